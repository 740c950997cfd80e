//! Changes of saga state in one script: those of a transaction, and single ones where one server has all keys. A
//! transaction does this:
//!
//! 1. When a change is called, it reads what it needs to know: where the index leads, and what is stored there. If the
//!    change is not possible then, it is refused at once.
//! 2. At the commit one script looks whether all of that still holds. Only then does it everything, the commands on
//!    payloads too.
//! 3. If a condition no longer holds, nothing is written. The change is looked at once more, for the right error.
//!
//! Nothing can come between, so no change is noted as unsettled. In a Cluster all keys have to be in one slot, which
//! takes a hash tag in both prefixes.

use bytes::Bytes;

use super::keys::{Keys, Known};
use super::lists::list_requests;
use super::scripts::{self as ask, number_of, text_of};
use super::{States, left};
use crate::backends::redis::channel::Channel;
use crate::backends::redis::command::Request;
use crate::backends::redis::commit_script::CommitScript;
use crate::backends::redis::error;
use crate::contract::states::{Saga, StateWrite, changed_meanwhile, conflict, correlation_taken, missing, taken};
use crate::contract::step::Reply;
use crate::error::{Error, Kind, Result};

/// A change, and where its saga was when it was called.
pub(crate) struct Planned {
    write: StateWrite,
    id: Box<str>,
    /// What the index of the saga id led to.
    index: Option<String>,
    /// Where the state is, or will be.
    correlation_id: String,
}

impl Planned {
    fn keys<'a>(&'a self, prefix: &'a str) -> Keys<'a> {
        let name = match &self.write {
            StateWrite::Insert { saga, .. } | StateWrite::Update { saga, .. } => &saga.name,
            StateWrite::Delete { name, .. }
            | StateWrite::DeleteByCorrelation { name, .. }
            | StateWrite::DeleteCompleted { name, .. } => name,
            StateWrite::ClaimTimedOut(_) => "",
        };
        Keys { prefix, name }
    }

    /// The keys that no two changes of a transaction have in common.
    pub(crate) fn places(&self, prefix: &str) -> [Bytes; 2] {
        let keys = self.keys(prefix);
        [keys.id(&self.id), keys.state(&self.correlation_id)]
    }

    /// Adds what must hold, and what is to be done then, to a script.
    pub(crate) fn join(&self, prefix: &str, script: &mut CommitScript) {
        let keys = self.keys(prefix);
        let [index, state] = self.places(prefix);
        script.require_value(&index, self.index.as_deref().unwrap_or_default());
        match &self.write {
            StateWrite::Insert { saga, correlation_id } => {
                if let Some(stale) = self.index.as_ref().filter(|index| **index != **correlation_id) {
                    ask::require_state(script, &keys.state(stale), &saga.id, "gone");
                }
                script.require_free(&state);
                self.store(keys, &Known::about(saga, true), saga, script);
            }
            StateWrite::Update { saga, expected } => {
                ask::require_state(script, &state, &saga.id, &expected.to_string());
                self.store(keys, &Known::about(saga, false), saga, script);
            }
            _ => {
                ask::require_state(script, &state, &self.id, "there");
                script.then([Request::Unlink { key: state }, Request::Unlink { key: index }]);
                script.then(list_requests(keys, &self.id, None));
            }
        }
    }

    fn store(&self, keys: Keys<'_>, known: &Known, saga: &Saga, script: &mut CommitScript) {
        let ([index, state], left) = (self.places(keys.prefix), left(saga));
        script.then([ask::set(&state, &saga.state, left), ask::set(&index, &self.correlation_id, left)]);
        script.then(list_requests(keys, &saga.id, Some((known, saga.expires_at))));
    }
}

impl<C: Channel> States<'_, C> {
    /// What there is to do at the end, if anything is. A change that is not possible now is an error at once.
    pub(crate) async fn plan(&self, write: &StateWrite) -> Result<Option<Planned>> {
        let planned = |id: &str, index: Option<String>, correlation_id: String| {
            Some(Planned { write: write.clone(), id: id.into(), index, correlation_id })
        };
        match write {
            StateWrite::Insert { saga, correlation_id } => {
                let index = self.free_index(saga, correlation_id).await?;
                Ok(planned(&saga.id, index, correlation_id.to_string()))
            }
            StateWrite::Update { saga, expected } => {
                let index = self.index(&saga.name, &saga.id).await?.ok_or_else(|| missing(saga))?;
                let known = self.stored(self.keys(&saga.name), &index).await?.map(|(known, _)| known);
                let known = known.filter(|known| *known.saga_id == *saga.id).ok_or_else(|| missing(saga))?;
                if known.version != *expected {
                    return Err(conflict(saga, *expected, known.version));
                }
                Ok(planned(&saga.id, Some(index.clone()), index))
            }
            StateWrite::Delete { name, id } => {
                let Some(index) = self.index(name, id).await? else { return Ok(None) };
                match self.stored(self.keys(name), &index).await {
                    Ok(Some((known, _))) if known.saga_id == **id => {}
                    // It cannot be read, but the index leads to it.
                    Err(error) if error.kind() == Kind::CorruptData => {}
                    other => return other.map(|_| None),
                }
                Ok(planned(id, Some(index.clone()), index))
            }
            StateWrite::DeleteByCorrelation { name, correlation_id } => {
                let keys = self.keys(name);
                let id = match self.stored(keys, correlation_id).await {
                    Ok(None) => return Ok(None),
                    Ok(Some((known, _))) => known.saga_id,
                    // Of a saga id that nobody knows the index is empty, and there is nothing in the lists.
                    Err(error) if error.kind() == Kind::CorruptData => {
                        self.whose(keys, correlation_id).await?.unwrap_or_default()
                    }
                    Err(error) => return Err(error),
                };
                Ok(planned(&id, self.index(name, &id).await?, correlation_id.to_string()))
            }
            StateWrite::DeleteCompleted { .. } | StateWrite::ClaimTimedOut(_) => Err(error::unexpected()),
        }
    }

    /// Runs a single change in one script. None: nothing has happened, because a condition did not hold, or because
    /// the change has to know more than where the index of its saga id leads.
    pub(crate) async fn as_one_script(&self, write: &StateWrite) -> Result<Option<Reply>> {
        let (name, id) = match write {
            StateWrite::Insert { saga, .. } | StateWrite::Update { saga, .. } => (&saga.name, &saga.id),
            StateWrite::Delete { name, id } => (name, id),
            StateWrite::DeleteByCorrelation { .. }
            | StateWrite::DeleteCompleted { .. }
            | StateWrite::ClaimTimedOut(_) => return Ok(None),
        };
        let index = self.index(name, id).await?;
        let correlation_id = match write {
            StateWrite::Insert { correlation_id, .. } => Some(correlation_id.to_string()),
            _ => index.clone(),
        };
        let Some(correlation_id) = correlation_id else { return Ok(None) };
        let mut script = CommitScript::default();
        let planned = Planned { write: write.clone(), id: id.clone(), index, correlation_id };
        planned.join(self.prefix, &mut script);
        match self.one(script.request()?).await? {
            // CROSSSLOT: behind a proxy there are several servers after all.
            Err(error) if error.kind() == Kind::InvalidArgument => Ok(None),
            reply => Ok((number_of(reply)? == 0).then_some(Reply::Done)),
        }
    }

    async fn index(&self, name: &str, id: &str) -> Result<Option<String>> {
        text_of(self.one(ask::get(self.keys(name).id(id))).await?)
    }

    /// What the index of a new saga leads to, where nothing of it is.
    async fn free_index(&self, saga: &Saga, correlation_id: &str) -> Result<Option<String>> {
        let keys = self.keys(&saga.name);
        match self.stored(keys, correlation_id).await {
            Ok(Some((known, _))) if *known.saga_id == *saga.id => return Err(taken(saga)),
            Err(error) if error.kind() != Kind::CorruptData => return Err(error),
            Ok(None) => {}
            _ => return Err(correlation_taken(saga, correlation_id)),
        }
        let index = self.index(&saga.name, &saga.id).await?;
        match &index {
            Some(other) if self.is_at(keys, other, &saga.id).await? => Err(taken(saga)),
            _ => Ok(index),
        }
    }

    /// The error of a transaction at whose commit the conditions of this change no longer held.
    pub(crate) async fn refusal(&self, planned: &Planned) -> Error {
        match self.plan(&planned.write).await {
            Ok(_) => changed_meanwhile(&planned.id),
            Err(error) => error.with_id(&planned.id),
        }
    }
}
