//! Changes of saga state that wait for the end of a transaction. What they need to know is read when
//! they are called; at the end one script looks whether all of it still holds, and only then does
//! everything, the commands about payloads too. Nothing can come between, so no change is noted as
//! unsettled. In a Cluster all keys have to be in one slot, which takes a hash tag in both prefixes.

use bytes::Bytes;

use super::keys::{Keys, Known};
use super::lists::list_requests;
use super::scripts::{self as ask, number_of, text_of};
use super::{Pipe, States, left};
use crate::backends::redis::command::Request;
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
    pub(crate) fn join(&self, prefix: &str, script: &mut ask::Finale) {
        let keys = self.keys(prefix);
        let [index, state] = self.places(prefix);
        script.require_index(&index, self.index.as_deref().unwrap_or_default());
        match &self.write {
            StateWrite::Insert { saga, correlation_id } => {
                if let Some(stale) = self.index.as_ref().filter(|index| **index != **correlation_id) {
                    script.require_state(&keys.state(stale), &saga.id, "gone");
                }
                script.require_free(&state);
                self.store(keys, &Known::about(saga, true), saga, script);
            }
            StateWrite::Update { saga, expected } => {
                script.require_state(&state, &saga.id, &expected.to_string());
                self.store(keys, &Known::about(saga, false), saga, script);
            }
            _ => {
                script.require_state(&state, &self.id, "there");
                script.then([Request::Unlink { key: state }, Request::Unlink { key: index }]);
                script.then(list_requests(keys, &self.id, None));
            }
        }
    }

    fn store(&self, keys: Keys<'_>, known: &Known, saga: &Saga, script: &mut ask::Finale) {
        let ([index, state], left) = (self.places(keys.prefix), left(saga));
        script.then([ask::set(&state, &saga.state, left), ask::set(&index, &self.correlation_id, left)]);
        script.then(list_requests(keys, &saga.id, Some((known, saga.expires_at))));
    }
}

impl<P: Pipe> States<'_, P> {
    /// What there is to do at the end, if anything is. What does not hold now is an error at once.
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

    /// A change in one script, if what is known from the index of its saga id is all there is to
    /// know. Otherwise nothing has happened.
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
        let mut script = ask::Finale::default();
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

    /// The error of a transaction in which this did not hold any more.
    pub(crate) async fn refusal(&self, planned: &Planned) -> Error {
        match self.plan(&planned.write).await {
            Ok(_) => changed_meanwhile(&planned.id),
            Err(error) => error.with_id(&planned.id),
        }
    }
}
