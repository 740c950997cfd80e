//! Saga state on Redis, where the keys of one saga may be on different servers.
//!
//! - The state is the truth. It is stored under its correlation id, and changed by one atomic script.
//! - The index from the saga id to the correlation id is a hint: what it leads to must say that it is that saga. It is
//!   written before the state and removed after it.
//! - Lists are indexes too. Whoever lists or counts first settles what others have left.
//! - Where one server has all keys, a change that nothing is in the way of is one script (`queued.rs`). It leaves
//!   nothing to settle, and does not disturb the steps of others.
//!
//! ```text
//! mod.rs       States: where an operation goes, and looking at what is stored
//! keys.rs      the keys, and what a stored state tells
//! scripts.rs   what is asked of one key, and the replies
//! changes.rs   changes, step by step
//! queued.rs    changes in one script, and in transactions
//! lists.rs     the lists: how they are written, and settled
//! reads.rs     questions
//! claims.rs    sagas that have timed out, each for one worker
//! reindex.rs   sagas that software without our lists has written
//! ```
//!
//! Most of these files hold methods of one type, [`States`]: they import it from here, and it calls them.

pub(super) mod changes;
pub(super) mod claims;
pub(super) mod keys;
pub(super) mod lists;
pub(super) mod queued;
pub(super) mod reads;
pub(super) mod reindex;
pub(super) mod scripts;
#[cfg(test)]
pub(super) mod tests;

use fred::prelude::Value;

use super::channel::Channel;
use super::command::Request;
use super::{error, groups};
use crate::contract::operation::{Work, chains};
use crate::contract::states::{Saga, StateRead, StateStep, StateWrite};
use crate::contract::step::Reply;
use crate::error::{Error, Kind, Result};
use crate::time::Millis;
use keys::{Keys, Known, names};
use scripts::{self as ask, state_of, text_of, texts_of};

/// The sagas under a prefix.
pub(super) struct States<'a, C> {
    pub(super) on: &'a C,
    pub(super) prefix: &'a str,
}

/// A state, and what it tells.
pub(super) type Stored = (Known, String);

/// A saga of a list: its correlation id, and what is there, or why it cannot be read.
pub(super) type Fetched = (String, Result<Stored, String>);

impl<C: Channel> States<'_, C> {
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
        self.on.send(vec![request]).await?.pop().ok_or_else(error::unexpected)
    }

    /// The replies to exactly as many requests.
    pub(super) async fn some<const N: usize>(&self, requests: [Request; N]) -> Result<[Result<Value>; N]> {
        self.on.send(requests.into()).await?.try_into().map_err(|_| error::unexpected())
    }

    /// What the indexes of these saga ids lead to.
    async fn correlation_ids(&self, keys: Keys<'_>, ids: &[impl AsRef<str>]) -> Result<Vec<Option<String>>> {
        let indexes = ids.iter().map(|id| ask::get(keys.id(id.as_ref()))).collect();
        self.on.send(indexes).await?.into_iter().map(text_of).collect()
    }

    /// The name that was asked for, or all that are known: those of sagas that have had a timeout or a time to live.
    async fn names(&self, name: Option<&str>) -> Result<Vec<String>> {
        match name {
            Some(name) => Ok(vec![name.to_owned()]),
            None => texts_of(self.one(ask::remembered(&names(self.prefix))).await?),
        }
    }

    /// The sagas of these ids, each with its correlation id; or why one cannot be read.
    pub(super) async fn fetch(&self, keys: Keys<'_>, ids: &[String]) -> Result<Vec<Option<Fetched>>> {
        let indexes = self.correlation_ids(keys, ids).await?;
        let states = indexes.iter().flatten().map(|correlation_id| ask::get(keys.state(correlation_id))).collect();
        let mut states = self.on.send(states).await?.into_iter();
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

/// Runs a group of changes over the store's own connection; those of one saga in their order.
pub(super) async fn write(on: &impl Channel, prefix: &str, group: &[StateWrite]) -> Vec<Result<Reply>> {
    groups::run(on, &chains(group), |on, at| {
        Box::pin(async move { States { on: &*on, prefix }.write(&group[at]).await })
    })
    .await
}

/// Runs a group of questions.
pub(super) async fn read(on: &impl Channel, prefix: &str, group: &[StateRead]) -> Vec<Result<Reply>> {
    let chains: Vec<Vec<usize>> = (0..group.len()).map(|at| vec![at]).collect();
    groups::run(on, &chains, |on, at| Box::pin(async move { States { on: &*on, prefix }.read(&group[at]).await })).await
}

/// Milliseconds that a saga is kept.
pub(super) fn left(saga: &Saga) -> Option<i64> {
    saga.expires_at.map(|at| at.0.saturating_sub(Millis::now().0).max(1))
}
