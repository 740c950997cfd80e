//! Changes of saga state, step by step: each step changes one key, and the client may be gone after any of them.
//!
//! An insert:
//!
//! 1. It notes the change as unsettled, and takes the index of the saga id for its correlation id, unless the index
//!    leads to another one.
//! 2. If it leads to another correlation id, the insert looks at the state there. If that is this saga, the insert is
//!    refused. If not, it takes the index over, looks once more, and gives the index back if the saga is there now.
//! 3. It stores the state, unless there is one under the correlation id. If there is one, the insert gives the index
//!    up and is refused.
//! 4. It looks at the index again. If that leads to another state of this saga, the insert removes its own state and
//!    begins again. So of two inserts with one saga id at least one sees the other.
//! 5. It writes the lists (see `lists.rs`) and takes its note away.
//!
//! An update:
//!
//! 1. It notes the change as unsettled, and reads the index.
//! 2. One script compares the version and stores the state.
//! 3. It gives the index the time to live of the state.
//! 4. It writes the lists and takes its note away.
//!
//! A delete:
//!
//! 1. It notes the change as unsettled.
//! 2. It removes the state, and then the index. If the saga is there again by then, it gives the index back.
//! 3. It takes the saga out of the lists, and takes its note away.
//!
//! A client that dies in between leaves at most a note, and an index that leads to no state of its saga. The note is
//! settled by whoever lists next. Such an index is in nobody's way: an insert takes it over in step 2.

use fred::prelude::Value;

use super::keys::{Keys, Known};
use super::scripts::{self as ask, Looked, number_of, text_of, texts_of};
use super::{States, left};
use crate::backends::redis::channel::Channel;
use crate::backends::redis::command::Request;
use crate::contract::arguments::MAX_LISTED;
use crate::contract::states::{Saga, StateWrite, conflict, correlation_taken, missing, taken};
use crate::contract::step::Reply;
use crate::error::{Error, Kind, Result};
use crate::time::Millis;

/// Pages of lists that are gone through to find out whose a state is.
const WALKED: usize = 100;
/// Attempts of an insert that others with the same ids get in the way of.
const CONTENDED: usize = 16;

/// A change that is noted as unsettled.
pub(crate) struct Mark(String);

impl Mark {
    pub(crate) fn new(id: &str) -> Self {
        Self(format!("{:016x}:{id}", fastrand::u64(..)))
    }

    /// What notes the change.
    pub(crate) fn note(&self, keys: Keys<'_>) -> Request {
        ask::add(&keys.unsettled(), Millis::now().0, &self.0)
    }

    /// What takes the note away.
    pub(crate) fn away(&self, keys: Keys<'_>) -> Request {
        ask::drop_from(&keys.unsettled(), &self.0)
    }

    /// The saga that is changed.
    pub(super) fn id_of(mark: &str) -> Option<&str> {
        mark.split_once(':').map(|(_, id)| id)
    }
}

impl<C: Channel> States<'_, C> {
    /// Runs a change.
    pub(super) async fn write(&self, write: &StateWrite) -> Result<Reply> {
        if self.on.one_server()
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
    pub(crate) async fn unmark(&self, keys: Keys<'_>, mark: &Mark, done: &Result<Reply>) {
        const NOTHING: [Kind; 3] = [Kind::AlreadyExists, Kind::ConcurrencyConflict, Kind::NotFound];
        if done.as_ref().is_err_and(|error| NOTHING.contains(&error.kind())) {
            // If it stays, it is looked at once more.
            drop(self.one(mark.away(keys)).await);
        }
    }

    /// Stores a new saga.
    pub(crate) async fn insert(&self, keys: Keys<'_>, saga: &Saga, correlation_id: &str, mark: &Mark) -> Result<Reply> {
        let (id, left) = (keys.id(&saga.id), left(saga));
        for _ in 0..CONTENDED {
            let [marked, claimed] = self.some([mark.note(keys), ask::claim(id.clone(), correlation_id)]).await?;
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
                self.one(mark.away(keys)).await??;
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
    pub(crate) async fn keeps_index(
        &self,
        keys: Keys<'_>,
        saga: &Saga,
        correlation_id: &str,
        left: Option<i64>,
    ) -> Result<bool> {
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
        let [marked, correlation_id] = self.some([mark.note(keys), ask::get(keys.id(&saga.id))]).await?;
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
        self.one(mark.away(keys)).await??;
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
            for (id, index) in ids.iter().zip(self.on.send(indexes).await?) {
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
    pub(crate) async fn delete(&self, keys: Keys<'_>, id: &str, correlation_id: &str) -> Result<bool> {
        let mark = Mark::new(id);
        self.one(mark.note(keys)).await??;
        let removed = Looked::of(self.one(ask::remove(keys.state(correlation_id), id)).await?)?;
        self.release(keys, id, correlation_id).await?;
        self.sync(keys, id).await?;
        self.one(mark.away(keys)).await??;
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
