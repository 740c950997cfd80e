//! Saga state on Redis, where the keys of one saga may be on different servers: each step changes one
//! key, and a client may be gone after any of them.
//!
//! - The state is the truth. It is stored under its correlation id, and changed by one atomic script.
//! - The index from the saga id to the correlation id is a hint: what it leads to must say that it
//!   is that saga. It is written before the state and removed behind it, so what a client leaves
//!   behind that dies in between is an index without its state, which is in nobody's way.
//! - An insert takes the index for its correlation id, stores the state, and looks at the index again.
//!   Who finds the index taken looks at the state that it leads to, takes the index over if there is
//!   none, and looks again: of two inserts with one saga id at least one sees the other.
//! - Lists are indexes too. A change is noted as unsettled before it begins and until its lists are
//!   known to be right: whoever lists or counts first settles what others have left. Lists are
//!   written from what is stored, and the state is looked at once more behind it: if it has changed
//!   meanwhile, they are written again.
//! - Where one server has all keys, a change that nothing is in the way of is one script
//!   ([`super::state_plans`]). It leaves nothing to settle, and does not disturb the steps of others.

pub(super) mod claims;
pub(super) mod groups;
pub(super) mod keys;
pub(super) mod lists;
pub(super) mod queued;
pub(super) mod reindex;
pub(super) mod scripts;
#[cfg(test)]
pub(super) mod tests;

use std::collections::BTreeMap;

use fred::prelude::Value;

use super::channel::Answers;
use super::command::Request;
use super::error;
use crate::contract::arguments::MAX_LISTED;
use crate::contract::operation::Work;
use crate::contract::states::{
    FoundState, Saga, StateRead, StateStep, StateWrite, conflict, correlation_taken, missing, taken,
};
use crate::contract::step::Reply;
use crate::error::{Error, Kind, Result};
use crate::time::Millis;
use keys::{Keys, Known, names};
use scripts as ask;
use scripts::{Looked, number_of, state_of, text_of, texts_of};

/// Pages of lists that are gone through to find out whose a state is.
const WALKED: usize = 100;
/// Attempts of an insert that others with the same ids get in the way of.
const CONTENDED: usize = 16;

/// Sends requests where their keys are, and waits for the replies.
pub(super) trait Pipe: Sync {
    /// Whether one script may have all keys of a saga, as far as is known.
    fn is_together(&self) -> bool {
        false
    }

    /// One reply for each, in order.
    fn pipe(&self, requests: Vec<Request>) -> impl Future<Output = Result<Answers>> + Send;
}

/// The sagas under a prefix.
pub(super) struct States<'a, P> {
    pub(super) on: &'a P,
    pub(super) prefix: &'a str,
}

/// A change that is noted as unsettled.
pub(super) struct Mark(String);

impl Mark {
    fn new(id: &str) -> Self {
        Self(format!("{:016x}:{id}", fastrand::u64(..)))
    }

    pub(super) fn id_of(mark: &str) -> Option<&str> {
        mark.split_once(':').map(|(_, id)| id)
    }
}

/// A state, and what it tells.
pub(super) type Stored = (Known, String);

/// A saga of a list: its correlation id, and what is there, or why it cannot be read.
pub(super) type Fetched = (String, Result<Stored, String>);

impl<P: Pipe> States<'_, P> {
    /// Runs an operation.
    pub(super) async fn run(&self, step: &StateStep) -> Result<Reply> {
        match step {
            Work::Write(write) => self.write(write).await,
            Work::Read(read) => self.read(read).await,
        }
    }

    pub(super) fn keys<'b>(&'b self, name: &'b str) -> Keys<'b> {
        Keys { prefix: self.prefix, name }
    }

    pub(super) async fn one(&self, request: Request) -> Result<Result<Value>> {
        self.on.pipe(vec![request]).await?.pop().ok_or_else(error::unexpected)
    }

    /// The replies to exactly as many requests.
    pub(super) async fn some<const N: usize>(&self, requests: [Request; N]) -> Result<[Result<Value>; N]> {
        self.on.pipe(requests.into()).await?.try_into().map_err(|_| error::unexpected())
    }

    async fn write(&self, write: &StateWrite) -> Result<Reply> {
        if self.on.is_together()
            && let Some(reply) = self.as_one_script(write).await?
        {
            return Ok(reply);
        }
        match write {
            StateWrite::Insert { saga, correlation_id } => {
                let (keys, mark) = (self.keys(&saga.name), Mark::new(&saga.id));
                let inserted = self.insert(keys, saga, correlation_id, &mark).await;
                self.unmark(keys, &mark, &inserted).await;
                inserted
            }
            StateWrite::Update { saga, expected } => {
                let (keys, mark) = (self.keys(&saga.name), Mark::new(&saga.id));
                let updated = self.update(keys, saga, *expected, &mark).await;
                self.unmark(keys, &mark, &updated).await;
                updated
            }
            StateWrite::Delete { name, id } => {
                let keys = self.keys(name);
                match text_of(self.one(ask::get(keys.id(id))).await?)? {
                    Some(correlation_id) => self.delete(keys, id, &correlation_id).await.map(|_| Reply::Done),
                    None => Ok(Reply::Done),
                }
            }
            StateWrite::DeleteByCorrelation { name, correlation_id } => {
                let keys = self.keys(name);
                match self.stored(keys, correlation_id).await {
                    Ok(Some((known, _))) => {
                        self.delete(keys, &known.saga_id, correlation_id).await.map(|_| Reply::Done)
                    }
                    Ok(None) => Ok(Reply::Done),
                    Err(error) if error.kind() == Kind::CorruptData => {
                        match self.whose(keys, correlation_id).await? {
                            Some(id) => drop(self.delete(keys, &id, correlation_id).await?),
                            None => drop(self.one(Request::Unlink { key: keys.state(correlation_id) }).await??),
                        }
                        Ok(Reply::Done)
                    }
                    Err(error) => Err(error),
                }
            }
            StateWrite::DeleteCompleted { name, before, limit } => self.delete_completed(name, *before, *limit).await,
            StateWrite::ClaimTimedOut(claim) => self.claim_timed_out(claim).await,
        }
    }

    /// A change that has come to nothing has left its lists as they were.
    async fn unmark(&self, keys: Keys<'_>, mark: &Mark, done: &Result<Reply>) {
        const NOTHING: [Kind; 3] = [Kind::AlreadyExists, Kind::ConcurrencyConflict, Kind::NotFound];
        if done.as_ref().is_err_and(|error| NOTHING.contains(&error.kind())) {
            // If it stays, it is looked at once more.
            drop(self.one(ask::drop_from(&keys.unsettled(), &mark.0)).await);
        }
    }

    fn mark(keys: Keys<'_>, mark: &Mark) -> Request {
        ask::add(&keys.unsettled(), Millis::now().0, &mark.0)
    }

    async fn insert(&self, keys: Keys<'_>, saga: &Saga, correlation_id: &str, mark: &Mark) -> Result<Reply> {
        let (id, left) = (keys.id(&saga.id), left(saga));
        for _ in 0..CONTENDED {
            let [marked, claimed] = self.some([Self::mark(keys, mark), ask::claim(id.clone(), correlation_id)]).await?;
            marked?;
            if let Some(other) = text_of(claimed)? {
                if self.is_at(keys, &other, &saga.id).await? {
                    return Err(taken(saga));
                }
                if !self.take_over(keys, saga, &other, correlation_id).await? {
                    continue;
                }
            }
            let stored = self.one(ask::store(&keys.state(correlation_id), &saga.state, left)).await??;
            if matches!(stored, Value::Null) {
                match self.in_the_way(keys, saga, correlation_id).await? {
                    Some(error) => return Err(error),
                    None => continue,
                }
            }
            if self.keeps_index(keys, saga, correlation_id, left).await? {
                self.settle(keys, &saga.id, correlation_id, Known::about(saga, true), saga.expires_at).await?;
                self.one(ask::drop_from(&keys.unsettled(), &mark.0)).await??;
                return Ok(Reply::Done);
            }
            self.one(ask::remove_if(keys.state(correlation_id), &saga.state)).await??;
        }
        let message = "others insert and delete sagas with these ids at the same time";
        Err(Error::new(Kind::Backend, message).retryable(true))
    }

    /// Takes the index of a saga over from a correlation id under which it is not. Not, if it is there
    /// after all, or if somebody else was quicker.
    async fn take_over(&self, keys: Keys<'_>, saga: &Saga, from: &str, to: &str) -> Result<bool> {
        let id = keys.id(&saga.id);
        if number_of(self.one(ask::move_to(id.clone(), from, to)).await?)? == 0 {
            return Ok(false);
        }
        if !self.is_at(keys, from, &saga.id).await? {
            return Ok(true);
        }
        self.one(ask::move_to(id, to, from)).await??;
        Ok(false)
    }

    /// What keeps a saga from being stored under a correlation id; none if it is gone.
    async fn in_the_way(&self, keys: Keys<'_>, saga: &Saga, correlation_id: &str) -> Result<Option<Error>> {
        let there = match self.stored(keys, correlation_id).await {
            Ok(None) => return Ok(None),
            Ok(Some((known, _))) if known.saga_id == *saga.id => return Ok(Some(taken(saga))),
            Ok(Some((known, _))) => Some(known),
            Err(error) if error.kind() == Kind::CorruptData => None,
            Err(error) => return Err(error),
        };
        self.release(keys, &saga.id, correlation_id).await?;
        if let Some(known) = there {
            // Its index may have been lost: without it, it could not be deleted by its saga id.
            self.one(ask::set_if_absent(&keys.id(&known.saga_id), correlation_id)).await??;
        }
        Ok(Some(correlation_taken(saga, correlation_id)))
    }

    /// Whether the index still leads to the state that has just been stored; gives it its time to live.
    async fn keeps_index(&self, keys: Keys<'_>, saga: &Saga, correlation_id: &str, left: Option<i64>) -> Result<bool> {
        let id = keys.id(&saga.id);
        for _ in 0..CONTENDED {
            match text_of(self.one(ask::confirm(id.clone(), correlation_id, left)).await?)? {
                Some(there) if there == correlation_id => return Ok(true),
                None => {
                    self.one(ask::claim(id.clone(), correlation_id)).await??;
                }
                Some(other) => {
                    if self.is_at(keys, &other, &saga.id).await? {
                        return Ok(false);
                    }
                    self.take_over(keys, saga, &other, correlation_id).await?;
                }
            }
        }
        Ok(false)
    }

    /// Gives the index of a saga up. If somebody has inserted the saga again meanwhile, it is given back.
    async fn release(&self, keys: Keys<'_>, id: &str, correlation_id: &str) -> Result<()> {
        self.one(ask::remove_if(keys.id(id), correlation_id)).await??;
        if self.is_at(keys, correlation_id, id).await? {
            self.one(ask::set_if_absent(&keys.id(id), correlation_id)).await??;
        }
        Ok(())
    }

    async fn update(&self, keys: Keys<'_>, saga: &Saga, expected: i64, mark: &Mark) -> Result<Reply> {
        let [marked, correlation_id] = self.some([Self::mark(keys, mark), ask::get(keys.id(&saga.id))]).await?;
        marked?;
        let correlation_id = text_of(correlation_id)?.ok_or_else(|| missing(saga))?;
        let left = left(saga);
        let changed = ask::change(keys.state(&correlation_id), &saga.id, expected, &saga.state, left);
        match Looked::of(self.one(changed).await?)? {
            Looked::Absent => return Err(missing(saga)),
            Looked::Version(actual) => return Err(conflict(saga, expected, actual)),
            Looked::Done => {}
        }
        self.one(ask::confirm(keys.id(&saga.id), &correlation_id, left)).await??;
        self.settle(keys, &saga.id, &correlation_id, Known::about(saga, false), saga.expires_at).await?;
        self.one(ask::drop_from(&keys.unsettled(), &mark.0)).await??;
        Ok(Reply::Done)
    }

    /// The saga id under which a state is known that cannot be read. Most are whole at their beginning; for others
    /// the lists are gone through, as far as is bearable.
    pub(super) async fn whose(&self, keys: Keys<'_>, correlation_id: &str) -> Result<Option<String>> {
        let state = self.one(ask::get(keys.state(correlation_id))).await??;
        let mut ids = saga_ids_in(state.as_bytes().unwrap_or_default());
        let mut walks = vec![("open", None), ("completed", None)];
        for _ in 0..WALKED {
            let indexes = ids.iter().map(|id| ask::get(keys.id(id))).collect();
            for (id, index) in ids.iter().zip(self.on.pipe(indexes).await?) {
                if text_of(index)?.as_deref() == Some(correlation_id) {
                    return Ok(Some(id.clone()));
                }
            }
            let Some((list, after)) = walks.last_mut() else { return Ok(None) };
            let page = ask::behind(&keys.list(list), after.as_deref(), MAX_LISTED);
            ids = texts_of(self.one(page).await?)?;
            *after = ids.last().cloned();
            if (ids.len() as u64) < MAX_LISTED {
                walks.pop();
            }
        }
        Ok(None)
    }

    /// Removes a saga; whether it was there.
    async fn delete(&self, keys: Keys<'_>, id: &str, correlation_id: &str) -> Result<bool> {
        let mark = Mark::new(id);
        self.one(Self::mark(keys, &mark)).await??;
        let removed = Looked::of(self.one(ask::remove(keys.state(correlation_id), id)).await?)?;
        self.release(keys, id, correlation_id).await?;
        self.sync(keys, id).await?;
        self.one(ask::drop_from(&keys.unsettled(), &mark.0)).await??;
        Ok(removed == Looked::Done)
    }

    async fn delete_completed(&self, name: &str, before: Millis, limit: u64) -> Result<Reply> {
        let keys = self.keys(name);
        self.tidy(keys).await?;
        // What cannot be read is left.
        let (mut removed, mut left) = (0, 0);
        while removed < limit {
            let most = format!("({}", before.0);
            let page = ask::up_to(&keys.list("ended"), &most, left, limit - removed);
            let ids = texts_of(self.one(page).await?)?;
            if ids.is_empty() {
                break;
            }
            let mut outdated = Vec::new();
            for (id, found) in ids.iter().zip(self.fetch(keys, &ids).await?) {
                match found {
                    // The list knows best, unless other software has written it.
                    Some((correlation_id, Ok((known, _))))
                        if known.ended_at.is_some_and(|at| at < before || !known.sets_end) =>
                    {
                        removed += u64::from(self.delete(keys, id, &correlation_id).await?);
                    }
                    Some((_, Err(_))) => left += 1,
                    _ => outdated.push(id.as_str()),
                }
            }
            self.sync_all(keys, &outdated, None).await?;
        }
        Ok(Reply::Count(removed))
    }

    async fn read(&self, read: &StateRead) -> Result<Reply> {
        match read {
            StateRead::ById { name, id } => {
                let keys = self.keys(name);
                let Some(correlation_id) = text_of(self.one(ask::get(keys.id(id))).await?)? else {
                    return Ok(Reply::State(None));
                };
                let found = self.stored(keys, &correlation_id).await?.filter(|(known, _)| known.saga_id == **id);
                Ok(Reply::State(found.map(|(_, state)| state)))
            }
            StateRead::ByCorrelation { name, correlation_id } => {
                state_of(self.one(ask::get(self.keys(name).state(correlation_id))).await?).map(Reply::State)
            }
            StateRead::List { name, completed, after, limit } => {
                self.list(name, *completed, after.as_deref(), *limit).await
            }
            StateRead::Count { name, completed } => {
                let keys = self.keys(name);
                self.tidy(keys).await?;
                let lists = lists_of(*completed).iter().map(|list| ask::size(&keys.list(list))).collect();
                let mut count = 0;
                for reply in self.on.pipe(lists).await? {
                    count += number_of(reply)?;
                }
                Ok(Reply::Count(u64::try_from(count).unwrap_or_default()))
            }
            StateRead::TimedOut { now, name, limit } => self.timed_out(*now, name.as_deref(), *limit).await,
        }
    }

    async fn list(&self, name: &str, completed: Option<bool>, after: Option<&str>, limit: u64) -> Result<Reply> {
        let keys = self.keys(name);
        self.tidy(keys).await?;
        let most = usize::try_from(limit).unwrap_or(usize::MAX);
        let (mut listed, mut last) = (Vec::new(), after.map(str::to_owned));
        loop {
            let lists = lists_of(completed);
            let pages = lists.iter().map(|list| ask::behind(&keys.list(list), last.as_deref(), limit));
            // Each with the lists that have it.
            let mut ids: BTreeMap<String, Vec<&str>> = BTreeMap::new();
            for (page, list) in self.on.pipe(pages.collect()).await?.into_iter().zip(lists) {
                for id in texts_of(page)? {
                    ids.entry(id).or_default().push(list);
                }
            }
            let (ids, lists): (Vec<String>, Vec<_>) = ids.into_iter().take(most).unzip();
            let mut outdated = Vec::new();
            for ((id, lists), found) in ids.iter().zip(lists).zip(self.fetch(keys, &ids).await?) {
                let Some((_, stored)) = found else {
                    outdated.push(id.as_str());
                    continue;
                };
                let known = stored.as_ref().ok().map(|(known, _)| known.completed);
                // Software that knows nothing of lists may have ended it.
                if known.is_some_and(|ended| lists.iter().any(|list| *list != list_of(ended))) {
                    outdated.push(id);
                }
                if known.is_none() || completed.is_none() || known == completed {
                    let state = stored.map(|(_, state)| state);
                    listed.push(FoundState { name: name.into(), id: id.as_str().into(), state });
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

    async fn timed_out(&self, now: Millis, name: Option<&str>, limit: u64) -> Result<Reply> {
        let known_names = match name {
            Some(name) => vec![name.to_owned()],
            None => texts_of(self.one(ask::remembered(&names(self.prefix))).await?)?,
        };
        let mut overdue: Vec<(Millis, FoundState)> = Vec::new();
        for saga_name in &known_names {
            let keys = self.keys(saga_name);
            self.settle_marks(keys).await?;
            loop {
                let page = ask::up_to(&keys.list("timeouts"), &now.0.to_string(), 0, limit);
                let ids = texts_of(self.one(page).await?)?;
                let (mut found, mut outdated) = (Vec::new(), Vec::new());
                for (id, there) in ids.iter().zip(self.fetch(keys, &ids).await?) {
                    match there {
                        Some((_, Ok((Known { timeout_at: Some(due), .. }, state)))) if due <= now => {
                            let (name, id) = (saga_name.as_str().into(), id.as_str().into());
                            found.push((due, FoundState { name, id, state: Ok(state) }));
                        }
                        // Since when is not known.
                        Some((_, Err(why))) => {
                            let (name, id) = (saga_name.as_str().into(), id.as_str().into());
                            found.push((now, FoundState { name, id, state: Err(why) }));
                        }
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

    /// The sagas of these ids, each with its correlation id; or why one cannot be read.
    pub(super) async fn fetch(&self, keys: Keys<'_>, ids: &[String]) -> Result<Vec<Option<Fetched>>> {
        let indexes = ids.iter().map(|id| ask::get(keys.id(id))).collect();
        let indexes: Vec<Option<String>> =
            self.on.pipe(indexes).await?.into_iter().map(text_of).collect::<Result<_>>()?;
        let states = indexes.iter().flatten().map(|correlation_id| ask::get(keys.state(correlation_id))).collect();
        let mut states = self.on.pipe(states).await?.into_iter();
        let mut found = Vec::with_capacity(ids.len());
        for (id, index) in ids.iter().zip(indexes) {
            found.push(match index {
                None => None,
                Some(correlation_id) => {
                    let state = state_of(states.next().unwrap_or_else(|| Err(error::unexpected())));
                    let read = |state: String| Ok::<_, Error>((Known::of(state.as_bytes())?, state));
                    let stored = match state.and_then(|state| state.map(read).transpose()) {
                        Err(error) if error.kind() == Kind::CorruptData => Some(Err(error.message().to_owned())),
                        stored => stored?.map(Ok),
                    };
                    let is_it = |stored: &Result<Stored, String>| {
                        !stored.as_ref().is_ok_and(|(known, _)| known.saga_id != **id)
                    };
                    stored.filter(is_it).map(|stored| (correlation_id, stored))
                }
            });
        }
        Ok(found)
    }

    pub(super) async fn stored(&self, keys: Keys<'_>, correlation_id: &str) -> Result<Option<Stored>> {
        let state = state_of(self.one(ask::get(keys.state(correlation_id))).await?)?;
        state.map(|state| Ok((Known::of(state.as_bytes())?, state))).transpose()
    }

    /// Whether a saga is stored under a correlation id.
    pub(super) async fn is_at(&self, keys: Keys<'_>, correlation_id: &str, id: &str) -> Result<bool> {
        match self.stored(keys, correlation_id).await {
            Ok(stored) => Ok(stored.is_some_and(|(known, _)| known.saga_id == *id)),
            Err(error) if error.kind() == Kind::CorruptData => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// Milliseconds that a saga is kept.
pub(super) fn left(saga: &Saga) -> Option<i64> {
    saga.expires_at.map(|at| at.0.saturating_sub(Millis::now().0).max(1))
}

fn list_of(completed: bool) -> &'static str {
    if completed { "completed" } else { "open" }
}

/// What stands behind `"sagaId":` in a text that is no JSON.
fn saga_ids_in(text: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(text);
    let behind = text.match_indices("\"sagaId\"").filter_map(|(at, found)| {
        let rest = text[at + found.len()..].trim_start().strip_prefix(':')?;
        serde_json::Deserializer::from_str(rest).into_iter::<String>().next()?.ok()
    });
    behind.take(8).collect()
}

fn lists_of(completed: Option<bool>) -> &'static [&'static str] {
    match completed {
        None => &["open", "completed"],
        Some(false) => &["open"],
        Some(true) => &["completed"],
    }
}
