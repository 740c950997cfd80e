//! Questions about sagas. Lists are settled before they are read, and what they name is looked at: a saga that is not
//! as its list says is not shown, and its lists are written again.

use std::collections::{BTreeMap, BTreeSet};

use super::States;
use super::keys::{Keys, Known, all_names, updated_at};
use super::scripts::{self as ask, number_of, state_of, text_of, texts_of};
use crate::backends::redis::channel::Channel;
use crate::contract::states::{FoundState, OneState, StateRead};
use crate::contract::step::Reply;
use crate::error::Result;
use crate::time::Millis;

impl<C: Channel> States<'_, C> {
    /// Answers a question.
    pub(super) async fn read(&self, read: &StateRead) -> Result<Reply> {
        match read {
            StateRead::ById { name, id } => {
                let keys = self.keys(name);
                let Some(correlation_id) = text_of(self.one(ask::get(keys.id(id))).await?)? else {
                    return Ok(Reply::State(None));
                };
                let found = self.stored(keys, &correlation_id).await?.filter(|(known, _)| known.saga_id == **id);
                let one = |(_, state)| OneState { state, correlation_id: Some(correlation_id.into()) };
                Ok(Reply::State(found.map(one)))
            }
            StateRead::ByCorrelation { name, correlation_id } => {
                let state = state_of(self.one(ask::get(self.keys(name).state(correlation_id))).await?)?;
                Ok(Reply::State(state.map(|state| OneState { state, correlation_id: Some(correlation_id.clone()) })))
            }
            StateRead::List { name, completed, after, limit } => {
                self.list(name, *completed, None, after.as_deref(), *limit).await
            }
            StateRead::Stale { name, since, after, limit } => {
                self.list(name, Some(false), Some(*since), after.as_deref(), *limit).await
            }
            StateRead::Names { after, limit } => self.list_names(after.as_deref(), *limit).await,
            StateRead::Count { name, completed } => {
                let keys = self.keys(name);
                self.tidy(keys).await?;
                let lists = lists_of(*completed).iter().map(|list| ask::size(&keys.list(list))).collect();
                let mut count = 0;
                for reply in self.on.send(lists).await? {
                    count += number_of(reply)?;
                }
                Ok(Reply::Count(u64::try_from(count).unwrap_or_default()))
            }
            StateRead::TimedOut { now, name, limit } => self.timed_out(*now, name.as_deref(), *limit).await,
        }
    }

    /// The sagas of a name by their ids; with `since` those that were changed last then, or before.
    async fn list(
        &self,
        name: &str,
        completed: Option<bool>,
        since: Option<Millis>,
        after: Option<&str>,
        limit: u64,
    ) -> Result<Reply> {
        let keys = self.keys(name);
        self.tidy(keys).await?;
        let most = usize::try_from(limit).unwrap_or(usize::MAX);
        let (mut listed, mut last) = (Vec::new(), after.map(str::to_owned));
        loop {
            let lists = lists_of(completed);
            let pages = lists.iter().map(|list| ask::behind(&keys.list(list), last.as_deref(), limit));
            // Each with the lists that have it.
            let mut ids: BTreeMap<String, Vec<&str>> = BTreeMap::new();
            for (page, list) in self.on.send(pages.collect()).await?.into_iter().zip(lists) {
                for id in texts_of(page)? {
                    ids.entry(id).or_default().push(list);
                }
            }
            let (ids, lists): (Vec<String>, Vec<_>) = ids.into_iter().take(most).unzip();
            let mut outdated = Vec::new();
            for ((id, lists), found) in ids.iter().zip(lists).zip(self.fetch(keys, &ids).await?) {
                let Some((correlation_id, stored)) = found else {
                    outdated.push(id.as_str());
                    continue;
                };
                let known = stored.as_ref().ok().map(|(known, _)| known.completed);
                // Software that knows nothing of lists may have ended it.
                if known.is_some_and(|ended| lists.iter().any(|list| *list != list_of(ended))) {
                    outdated.push(id);
                }
                let is_old = |since| {
                    let changed = stored.as_ref().ok().and_then(|(_, state)| updated_at(state));
                    changed.is_some_and(|changed| changed <= since)
                };
                let is_meant = (completed.is_none() || known == completed) && since.is_none_or(is_old);
                // What cannot be read is told.
                if known.is_none() || is_meant {
                    let state = stored.map(|(_, state)| state);
                    listed.push(found_state(keys, id, correlation_id, state));
                    if listed.len() == most {
                        break;
                    }
                }
            }
            self.sync_all(keys, &outdated, None).await?;
            if listed.len() == most || ids.len() < most {
                return Ok(Reply::States(listed));
            }
            last = ids.last().cloned();
        }
    }

    /// Names that sagas have, in their order. Each that is remembered is looked at: its sagas may all be gone.
    async fn list_names(&self, after: Option<&str>, limit: u64) -> Result<Reply> {
        let most = usize::try_from(limit).unwrap_or(usize::MAX);
        // Older versions remember only these.
        let timed = self.names(None).await?;
        let (mut listed, mut last): (Vec<Box<str>>, _) = (Vec::new(), after.map(str::to_owned));
        loop {
            let page = texts_of(self.one(ask::behind(&all_names(self.prefix), last.as_deref(), limit)).await?)?;
            let end = if page.len() < most { None } else { page.last().cloned() };
            let is_within = |name: &&String| {
                last.as_ref().is_none_or(|last| *name > last) && end.as_ref().is_none_or(|end| *name <= end)
            };
            let mut names: BTreeSet<&String> = timed.iter().filter(is_within).collect();
            names.extend(&page);
            for name in names {
                if self.has_sagas(self.keys(name)).await? {
                    listed.push(name.as_str().into());
                    if listed.len() == most {
                        return Ok(Reply::ids(listed));
                    }
                }
            }
            match end {
                Some(end) => last = Some(end),
                None => return Ok(Reply::ids(listed)),
            }
        }
    }

    /// Whether a name has any. Its lists are settled where that may change the answer.
    async fn has_sagas(&self, keys: Keys<'_>) -> Result<bool> {
        let sizes = || ["open", "completed"].map(|list| ask::size(&keys.list(list)));
        let [open, completed] = sizes();
        let over = ask::up_to(&keys.list("expires"), &Millis::now().0.to_string(), 0, 1);
        let asked = [open, completed, ask::size(&keys.unsettled()), over];
        let [open, completed, unsettled, over] = self.some(asked).await?;
        let has_some = number_of(open)? + number_of(completed)? > 0;
        if number_of(unsettled)? == 0 && (!has_some || texts_of(over)?.is_empty()) {
            return Ok(has_some);
        }
        self.tidy(keys).await?;
        let [open, completed] = self.some(sizes()).await?;
        Ok(number_of(open)? + number_of(completed)? > 0)
    }

    async fn timed_out(&self, now: Millis, name: Option<&str>, limit: u64) -> Result<Reply> {
        let mut overdue: Vec<(Millis, FoundState)> = Vec::new();
        for saga_name in &self.names(name).await? {
            let keys = self.keys(saga_name);
            self.settle_marks(keys).await?;
            loop {
                let page = ask::up_to(&keys.list("timeouts"), &now.0.to_string(), 0, limit);
                let ids = texts_of(self.one(page).await?)?;
                let (mut found, mut outdated) = (Vec::new(), Vec::new());
                for (id, there) in ids.iter().zip(self.fetch(keys, &ids).await?) {
                    match there {
                        Some((at, Ok((Known { timeout_at: Some(due), .. }, state)))) if due <= now => {
                            found.push((due, found_state(keys, id, at, Ok(state))));
                        }
                        // Since when is not known.
                        Some((at, Err(why))) => found.push((now, found_state(keys, id, at, Err(why)))),
                        _ => outdated.push(id.as_str()),
                    }
                }
                self.sync_all(keys, &outdated, None).await?;
                // What was outdated has made room for others.
                if outdated.is_empty() || ids.len() as u64 != limit {
                    overdue.append(&mut found);
                    break;
                }
            }
        }
        overdue.sort_by_key(|(at, _)| *at);
        overdue.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(Reply::States(overdue.into_iter().map(|(_, found)| found).collect()))
    }
}

/// A saga of a list.
pub(super) fn found_state(
    keys: Keys<'_>,
    id: &str,
    correlation_id: String,
    state: Result<String, String>,
) -> FoundState {
    FoundState { name: keys.name.into(), id: id.into(), correlation_id: Some(correlation_id.into()), state }
}

fn list_of(completed: bool) -> &'static str {
    if completed { "completed" } else { "open" }
}

fn lists_of(completed: Option<bool>) -> &'static [&'static str] {
    match completed {
        None => &["open", "completed"],
        Some(false) => &["open"],
        Some(true) => &["completed"],
    }
}
