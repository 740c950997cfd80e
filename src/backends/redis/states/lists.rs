//! The lists of sagas: written from what is stored, and looked at again behind it.

use std::collections::BTreeSet;

use super::keys::{Keys, Known, LISTS, corrupt, names, version_at_head};
use super::scripts::{self as ask, number_of, state_of, text_of, texts_of};
use super::{Mark, Pipe, States};
use crate::backends::redis::command::Request;
use crate::backends::redis::error;
use crate::contract::arguments::MAX_LISTED;
use crate::error::{Kind, Result};
use crate::time::Millis;

/// How often lists are written again because the state has changed meanwhile.
const SETTLED: usize = 8;
/// A change that began so long ago is not under way any more.
const ABANDONED_MS: i64 = 60_000;
/// Sagas that are asked for in one go: their states are all in memory then.
const AT_ONCE: usize = 200;

/// What is stored of a saga.
enum Standing {
    /// Nothing.
    Gone,
    /// A state, and when it ceases to exist.
    There(Known, Option<Millis>),
    /// A state that cannot be read: its lists stay as they are.
    Broken,
}

impl Standing {
    fn version(&self) -> Option<i64> {
        if let Self::There(known, _) = self { Some(known.version) } else { None }
    }
}

/// What the lists of some sagas were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mended {
    /// Sagas that are stored, and were not in just the lists in which they belong.
    pub(crate) misplaced: u64,
    /// Sagas that are not stored, and were in lists all the same.
    pub(crate) gone: u64,
    /// Sagas whose state cannot be read.
    pub(crate) broken: u64,
}

impl<P: Pipe> States<'_, P> {
    /// Writes the lists of a saga, until they are those of what is stored.
    pub(crate) async fn settle(
        &self,
        keys: Keys<'_>,
        id: &str,
        correlation_id: &str,
        known: Known,
        expires_at: Option<Millis>,
    ) -> Result<()> {
        let state = keys.state(correlation_id);
        for reply in self.on.pipe(list_requests(keys, id, Some((&known, expires_at)))).await? {
            reply?;
        }
        let head = text_of(self.one(ask::head(&state)).await?)?.unwrap_or_default();
        if version_at_head(head.as_bytes()) == Some(known.version) {
            return Ok(());
        }
        self.sync(keys, id).await
    }

    /// The same, beginning with what is stored.
    pub(crate) async fn sync(&self, keys: Keys<'_>, id: &str) -> Result<()> {
        match self.sync_all(keys, &[id], None).await?.broken {
            0 => Ok(()),
            _ => Err(corrupt().with_id(id)),
        }
    }

    /// The same, of several sagas; `ended` is when they ended, if they have and nobody has noted it.
    pub(crate) async fn sync_all(&self, keys: Keys<'_>, ids: &[&str], ended: Option<Millis>) -> Result<Mended> {
        let mut mended = Mended::default();
        for ids in ids.chunks(AT_ONCE) {
            let mut left: Vec<_> = ids.iter().copied().zip(self.standings(keys, ids).await?).collect();
            for round in 0..SETTLED {
                let broken = left.len();
                left.retain(|(_, standing)| !matches!(standing, Standing::Broken));
                mended.broken += (broken - left.len()) as u64;
                if left.is_empty() {
                    break;
                }
                for (_, standing) in &mut left {
                    if let Standing::There(known, _) = standing
                        && !known.sets_end
                    {
                        known.ended_at = known.ended_at.map(|at| ended.unwrap_or(at));
                    }
                }
                let changed = self.write_lists(keys, &left).await?;
                if round == 0 {
                    for ((_, standing), _) in left.iter().zip(changed).filter(|(_, changed)| *changed) {
                        let there = matches!(standing, Standing::There(..));
                        *if there { &mut mended.misplaced } else { &mut mended.gone } += 1;
                    }
                }
                let ids: Vec<&str> = left.iter().map(|(id, _)| *id).collect();
                let after = self.standings(keys, &ids).await?;
                let pairs = left.into_iter().zip(after);
                let moved = pairs.filter(|((_, before), after)| before.version() != after.version());
                left = moved.map(|((id, _), after)| (id, after)).collect();
            }
        }
        Ok(mended)
    }

    async fn standings(&self, keys: Keys<'_>, ids: &[&str]) -> Result<Vec<Standing>> {
        let indexes = ids.iter().map(|id| ask::get(keys.id(id))).collect();
        let indexes: Vec<Option<String>> =
            self.on.pipe(indexes).await?.into_iter().map(text_of).collect::<Result<_>>()?;
        let states = indexes.iter().flatten().flat_map(|correlation_id| {
            let state = keys.state(correlation_id);
            [ask::get(state.clone()), ask::time_left(&state)]
        });
        let mut replies = self.on.pipe(states.collect()).await?.into_iter();
        let mut found = Vec::with_capacity(ids.len());
        for (id, index) in ids.iter().zip(indexes) {
            if index.is_none() {
                found.push(Standing::Gone);
                continue;
            }
            let (Some(state), Some(left)) = (replies.next(), replies.next()) else {
                return Err(error::unexpected());
            };
            let left = u64::try_from(number_of(left)?).ok().map(|left| Millis::now().plus(left));
            let known = state_of(state).and_then(|state| state.map(|state| Known::of(state.as_bytes())).transpose());
            found.push(match known {
                Ok(Some(known)) if known.saga_id == **id => Standing::There(known, left),
                Ok(_) => Standing::Gone,
                Err(error) if error.kind() == Kind::CorruptData => Standing::Broken,
                Err(error) => return Err(error),
            });
        }
        Ok(found)
    }

    /// Whether the lists of each were other ones.
    async fn write_lists(&self, keys: Keys<'_>, sagas: &[(&str, Standing)]) -> Result<Vec<bool>> {
        let (mut requests, mut counts) = (Vec::new(), Vec::with_capacity(sagas.len()));
        for (id, standing) in sagas {
            let known = if let Standing::There(known, left) = standing { Some((known, *left)) } else { None };
            let of_saga = list_requests(keys, id, known);
            counts.push(of_saga.len());
            requests.extend(of_saga);
        }
        let mut replies = self.on.pipe(requests).await?.into_iter();
        let mut changed = Vec::with_capacity(counts.len());
        for count in counts {
            let mut is = false;
            for (at, reply) in replies.by_ref().take(count).enumerate() {
                // A name may follow.
                is |= number_of(reply)? != 0 && at < LISTS.len();
            }
            changed.push(is);
        }
        Ok(changed)
    }

    /// Before lists are trusted: what others have left unsettled, and what has ceased to exist.
    pub(crate) async fn tidy(&self, keys: Keys<'_>) -> Result<()> {
        self.settle_marks(keys).await?;
        while self.tidy_expired(keys, Millis::now(), u64::MAX).await? > 0 {}
        Ok(())
    }

    /// Takes sagas out of the lists that have ceased to exist by themselves, a page of them, at most `limit`; how
    /// many. None, if there are none.
    pub(crate) async fn tidy_expired(&self, keys: Keys<'_>, now: Millis, limit: u64) -> Result<u64> {
        let (mut skip, mut removed) = (0, 0);
        loop {
            let page = ask::up_to(&keys.list("expires"), &now.0.to_string(), skip, MAX_LISTED.min(limit));
            let over = texts_of(self.one(page).await?)?;
            let mended = self.sync_all(keys, &over.iter().map(String::as_str).collect::<Vec<_>>(), None).await?;
            removed += mended.gone;
            // Those that cannot be read stay where they are.
            skip += mended.broken;
            if removed > 0 || (over.len() as u64) < MAX_LISTED.min(limit) {
                return Ok(removed);
            }
        }
    }

    /// The same for all names, as far as they are known: those of sagas that have had a time to live.
    pub(crate) async fn tidy_all_expired(&self, now: Millis, limit: u64) -> Result<u64> {
        let known = match texts_of(self.one(ask::remembered(&names(self.prefix))).await?) {
            // Who may use the keys of payloads alone has no sagas.
            Err(error) if error.message().contains("(NOPERM)") => return Ok(0),
            known => known?,
        };
        let mut removed = 0;
        for name in known {
            let keys = self.keys(&name);
            self.settle_marks(keys).await?;
            while removed < limit {
                match self.tidy_expired(keys, now, limit - removed).await? {
                    0 => break,
                    more => removed += more,
                }
            }
        }
        Ok(removed)
    }

    pub(crate) async fn settle_marks(&self, keys: Keys<'_>) -> Result<()> {
        let unsettled = keys.unsettled();
        // One that ends while nobody knows when ends now: its dates may say anything.
        let now = Millis::now();
        let abandoned = (now.0 - ABANDONED_MS).to_string();
        let pages = [&*abandoned, "+inf"].map(|most| ask::up_to(&unsettled, most, 0, MAX_LISTED));
        let [old, all] = self.some(pages).await?;
        let (old, all) = (texts_of(old)?, texts_of(all)?);
        let ids: BTreeSet<&str> = all.iter().filter_map(|mark| Mark::id_of(mark)).collect();
        self.sync_all(keys, &ids.into_iter().collect::<Vec<_>>(), Some(now)).await?;
        // Those of changes that are under way go with them.
        for mark in &old {
            self.one(ask::drop_from(&unsettled, mark)).await??;
        }
        Ok(())
    }
}

/// What puts a saga into its lists, and takes it out of the others: a request for each list, and perhaps one more,
/// which remembers the name.
pub(crate) fn list_requests(keys: Keys<'_>, id: &str, known: Option<(&Known, Option<Millis>)>) -> Vec<Request> {
    let lists = match known {
        Some((known, expires_at)) => known.lists(expires_at),
        None => LISTS.map(|list| (list, None)),
    };
    let sets_end = known.is_some_and(|(known, _)| known.sets_end);
    let mut requests: Vec<Request> = lists
        .into_iter()
        .map(|(list, score)| match score {
            Some(score) if list == "ended" && !sets_end => ask::add_if_absent(&keys.list(list), score, id),
            Some(score) => ask::add(&keys.list(list), score, id),
            None => ask::drop_from(&keys.list(list), id),
        })
        .collect();
    if known.is_some_and(|(known, expires_at)| known.timeout_at.is_some() || expires_at.is_some()) {
        requests.push(ask::remember(&names(keys.prefix), keys.name));
    }
    requests
}
