//! The lists of sagas. They are written from what is stored:
//!
//! 1. A change is noted as unsettled before it begins (`changes.rs`).
//! 2. When the state has been changed, the lists are written from it, and the state is looked at once more. If it has
//!    changed meanwhile, they are written again.
//! 3. The note is taken away. If the client dies before, the note stays.
//!
//! Whoever lists or counts first writes the lists of all sagas that are noted. He leaves the notes of changes that may
//! be under way, and takes away the others.

use std::collections::BTreeSet;

use super::States;
use super::changes::Mark;
use super::keys::{Keys, Known, LISTS, all_names, corrupt, names, version_at_head};
use super::scripts::{self as ask, known_of, number_of, text_of, texts_of};
use crate::backends::redis::channel::Channel;
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
pub(super) const AT_ONCE: usize = 200;

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

    /// Sets when the saga has ended, if it has and nobody has noted it.
    fn end_at(&mut self, at: Millis) {
        if let Self::There(Known { ended_at: Some(ended_at), sets_end: false, .. }, _) = self {
            *ended_at = at;
        }
    }

    /// What writes the lists of the saga.
    fn requests(&self, keys: Keys<'_>, id: &str) -> Vec<Request> {
        let known = if let Self::There(known, expires_at) = self { Some((known, *expires_at)) } else { None };
        list_requests(keys, id, known)
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

impl<C: Channel> States<'_, C> {
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
        for reply in self.on.send(list_requests(keys, id, Some((&known, expires_at)))).await? {
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
            let mut sagas: Vec<_> = ids.iter().copied().zip(self.standings(keys, ids).await?).collect();
            for round in 0..SETTLED {
                let count = sagas.len();
                sagas.retain(|(_, standing)| !matches!(standing, Standing::Broken));
                mended.broken += (count - sagas.len()) as u64;
                if sagas.is_empty() {
                    break;
                }
                if let Some(at) = ended {
                    for (_, standing) in &mut sagas {
                        standing.end_at(at);
                    }
                }
                let changed = self.write_lists(keys, &sagas).await?;
                if round == 0 {
                    for ((_, standing), _) in sagas.iter().zip(changed).filter(|(_, changed)| *changed) {
                        let there = matches!(standing, Standing::There(..));
                        *if there { &mut mended.misplaced } else { &mut mended.gone } += 1;
                    }
                }
                // Those that have changed meanwhile are written again.
                let ids: Vec<&str> = sagas.iter().map(|(id, _)| *id).collect();
                let pairs = sagas.into_iter().zip(self.standings(keys, &ids).await?);
                let changed = pairs.filter(|((_, before), after)| before.version() != after.version());
                sagas = changed.map(|((id, _), after)| (id, after)).collect();
            }
        }
        Ok(mended)
    }

    async fn standings(&self, keys: Keys<'_>, ids: &[&str]) -> Result<Vec<Standing>> {
        let indexes = self.correlation_ids(keys, ids).await?;
        let states = indexes.iter().flatten().flat_map(|correlation_id| {
            let state = keys.state(correlation_id);
            [ask::get(state.clone()), ask::time_left(&state)]
        });
        let mut replies = self.on.send(states.collect()).await?.into_iter();
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
            found.push(match known_of(state) {
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
        let requests: Vec<_> = sagas.iter().map(|(id, standing)| standing.requests(keys, id)).collect();
        let counts: Vec<usize> = requests.iter().map(Vec::len).collect();
        let mut replies = self.on.send(requests.into_iter().flatten().collect()).await?.into_iter();
        let mut changed = Vec::with_capacity(counts.len());
        for count in counts {
            let mut is_changed = false;
            for (at, reply) in replies.by_ref().take(count).enumerate() {
                // A name may follow.
                is_changed |= number_of(reply)? != 0 && at < LISTS.len();
            }
            changed.push(is_changed);
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
        let (mut skip, mut removed, limit) = (0, 0, MAX_LISTED.min(limit));
        loop {
            let page = ask::up_to(&keys.list("expires"), &now.0.to_string(), skip, limit);
            let over = texts_of(self.one(page).await?)?;
            let mended = self.sync_all(keys, &over.iter().map(String::as_str).collect::<Vec<_>>(), None).await?;
            removed += mended.gone;
            // Those that cannot be read stay where they are.
            skip += mended.broken;
            if removed > 0 || (over.len() as u64) < limit {
                return Ok(removed);
            }
        }
    }

    /// The same for all names, as far as they are known: those of sagas that have had a time to live.
    pub(crate) async fn tidy_all_expired(&self, now: Millis, limit: u64) -> Result<u64> {
        let known = match self.names(None).await {
            // Who may use the keys of payloads alone has no sagas.
            Err(error) if error::is_forbidden(&error) => return Ok(0),
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

    /// Writes the lists of sagas whose changes are noted as unsettled.
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

/// What puts a saga into its lists, and takes it out of the others: a request for each list, and perhaps more, which
/// remember the name.
pub(crate) fn list_requests(keys: Keys<'_>, id: &str, known: Option<(&Known, Option<Millis>)>) -> Vec<Request> {
    let Some((known, expires_at)) = known else {
        return LISTS.iter().map(|list| ask::drop_from(&keys.list(list), id)).collect();
    };
    let lists = known.lists(expires_at).into_iter();
    let mut requests: Vec<Request> = lists
        .map(|(list, score)| match score {
            Some(score) if list == "ended" && !known.sets_end => ask::add_if_absent(&keys.list(list), score, id),
            Some(score) => ask::add(&keys.list(list), score, id),
            None => ask::drop_from(&keys.list(list), id),
        })
        .collect();
    if known.timeout_at.is_some() || expires_at.is_some() {
        requests.push(ask::remember(&names(keys.prefix), keys.name));
    }
    // A new one, or one that others have written.
    if known.sets_end {
        requests.push(ask::add(&all_names(keys.prefix), 0, keys.name));
    }
    requests
}
