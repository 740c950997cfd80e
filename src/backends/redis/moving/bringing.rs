//! Sagas are stored as they are. It is looked at what is there, and judged; then a saga is stored, if that still holds.
//! Otherwise it is looked at once more.
//!
//! - Where one server has all keys, one script compares and stores: state, index and lists, and what is replaced is gone
//!   with it.
//! - In a Cluster it is done step by step, as `states/changes.rs` does it. Where a saga is replaced by one with another
//!   correlation id, the new state is stored first, then the index is led there, then the old state is removed: there is
//!   no moment without the saga. A client that dies in between leaves at most a state that its saga's index does not
//!   lead to.

use std::sync::Arc;

use fred::prelude::Value;

use super::states::{look_at, looked_at};
use crate::backends::redis::channel::Channel;
use crate::backends::redis::command::{Request, Until};
use crate::backends::redis::commit_script::CommitScript;
use crate::backends::redis::error;
use crate::backends::redis::groups::{self, MemberChannel};
use crate::backends::redis::payloads::shifted;
use crate::backends::redis::states::changes::Mark;
use crate::backends::redis::states::keys::{Keys, Known, corrupt};
use crate::backends::redis::states::lists::list_requests;
use crate::backends::redis::states::scripts::{self as ask, Looked, number_of, text_of};
use crate::backends::redis::states::{States, left};
use crate::contract::moving::record::{Record, State};
use crate::contract::moving::{Conflict, Import};
use crate::contract::states::{Saga, correlation_taken};
use crate::contract::step::Reply;
use crate::error::{Error, Kind, Result};
use crate::time::Millis;

/// Attempts, where others change the same sagas.
const CONTENDED: usize = 16;

/// What is there under the saga id of a record.
enum There {
    Nothing,
    /// A saga, under this correlation id.
    Saga(String, Box<Saga>),
    /// What its index leads to cannot be read.
    Broken(String),
}

/// What was found of a record.
struct LookedAt {
    index: Option<String>,
    there: There,
    /// Whether another saga has the correlation id.
    is_taken: bool,
}

/// A saga on its way in.
struct Bringing<'a, C> {
    states: States<'a, C>,
    state: &'a State,
    known: Known,
    /// What to add to our time to have the servers'.
    shift: i64,
}

/// Stores sagas; whether each was stored.
pub(super) async fn bring(on: &impl Channel, prefix: &str, import: &Import, shift: i64) -> Vec<Result<bool>> {
    let chains: Vec<Vec<usize>> = (0..import.records.len()).map(|at| vec![at]).collect();
    let one = |on: Arc<MemberChannel>, at: usize| {
        let record = &import.records[at];
        Box::pin(async move {
            let Record::State(state) = record else { return Err(error::unexpected()) };
            let known = about(&state.saga);
            let bringing = Bringing { states: States { on: &*on, prefix }, state, known, shift };
            bringing.bring(record, import.conflict).await.map(Reply::Flag)
        }) as crate::runtime::Task<'_, Result<Reply>>
    };
    let replies = groups::run(on, &chains, one).await;
    replies.into_iter().map(|reply| reply.map(|reply| reply == Reply::Flag(true))).collect()
}

/// What the lists have to say of it: nothing is noted of it yet.
fn about(saga: &Saga) -> Known {
    let ended_at = saga.completed.then(|| saga.completed_at.unwrap_or(saga.updated_at));
    Known { ended_at, ..Known::about(saga, true) }
}

impl<C: Channel> Bringing<'_, C> {
    fn keys(&self) -> Keys<'_> {
        self.states.keys(&self.state.saga.name)
    }

    async fn bring(&self, record: &Record, conflict: Conflict) -> Result<bool> {
        for _ in 0..CONTENDED {
            let found = self.look().await?;
            let replaces = match &found.there {
                There::Nothing => true,
                There::Saga(correlation_id, saga) => {
                    let state = State { saga: Saga::clone(saga), correlation_id: correlation_id.as_str().into() };
                    conflict.replaces(record, &Record::State(Box::new(state)))?
                }
                There::Broken(_) => match conflict {
                    Conflict::Skip => false,
                    Conflict::Overwrite => true,
                    Conflict::Refuse => return Err(record.taken()),
                    Conflict::Newer => return Err(corrupt()),
                },
            };
            if !replaces {
                return Ok(false);
            }
            let State { saga, correlation_id } = self.state;
            if found.is_taken {
                return Err(correlation_taken(saga, correlation_id));
            }
            if self.store(&found).await? {
                return Ok(true);
            }
        }
        let message = "others change the saga at the same time";
        Err(Error::new(Kind::Backend, message).retryable(true))
    }

    async fn look(&self) -> Result<LookedAt> {
        let (keys, State { saga, correlation_id }) = (self.keys(), self.state);
        let asked = [ask::get(keys.id(&saga.id)), ask::get(keys.state(correlation_id))];
        let [index, state] = self.states.some(asked).await?;
        let (index, state) = (text_of(index)?, looked_at(keys.name, state)?);
        let leads_there = index.as_deref() == Some(correlation_id);
        let own = || correlation_id.to_string();
        let (there, is_taken) = match state {
            Some(Ok(found)) if found.id == saga.id => (There::Saga(own(), Box::new(found)), false),
            Some(Err(())) if leads_there => (There::Broken(own()), false),
            state => {
                let there = match index.as_ref().filter(|_| !leads_there) {
                    None => There::Nothing,
                    Some(other) => match look_at(&self.states, keys, other).await? {
                        Some(Ok(found)) if found.id == saga.id => There::Saga(other.clone(), Box::new(found)),
                        Some(Err(())) => There::Broken(other.clone()),
                        _ => There::Nothing,
                    },
                };
                (there, state.is_some())
            }
        };
        Ok(LookedAt { index, there, is_taken })
    }

    /// Whether it was stored; otherwise it is not as it was looked at any more.
    async fn store(&self, found: &LookedAt) -> Result<bool> {
        if self.states.on.one_server() {
            match self.states.one(self.script(found)?).await? {
                // CROSSSLOT: behind a proxy there are several servers after all.
                Err(error) if error.kind() == Kind::InvalidArgument => {}
                reply => return Ok(number_of(reply)? == 0),
            }
        }
        let stored = match &found.there {
            There::Nothing => self.insert().await?,
            There::Broken(correlation_id) => {
                self.states.delete(self.keys(), &self.state.saga.id, correlation_id).await?;
                self.insert().await?
            }
            There::Saga(correlation_id, was) if **correlation_id == *self.state.correlation_id => {
                self.replace(was.version).await?
            }
            There::Saga(correlation_id, _) => self.replace_elsewhere(correlation_id).await?,
        };
        if stored {
            self.end_exactly(!matches!(found.there, There::Nothing)).await?;
        }
        Ok(stored)
    }

    /// Everything in one.
    fn script(&self, found: &LookedAt) -> Result<Request> {
        let (keys, State { saga, correlation_id }) = (self.keys(), self.state);
        let (index, state) = (keys.id(&saga.id), keys.state(correlation_id));
        let mut script = CommitScript::default();
        script.require_value(&index, found.index.as_deref().unwrap_or_default());
        let (other, wanted) = match &found.there {
            There::Nothing => (found.index.as_ref(), String::from("gone")),
            There::Saga(at, was) => (Some(at), was.version.to_string()),
            There::Broken(at) => (Some(at), String::from("there")),
        };
        if let Some(other) = other.filter(|other| ***other != **correlation_id) {
            ask::require_state(&mut script, &keys.state(other), &saga.id, &wanted);
            script.require_free(&state);
            if !matches!(found.there, There::Nothing) {
                script.then([Request::Unlink { key: keys.state(other) }]);
            }
        } else if matches!(found.there, There::Nothing) {
            script.require_free(&state);
        } else {
            ask::require_state(&mut script, &state, &saga.id, &wanted);
        }
        let until = saga.expires_at.map(|at| Until::At(shifted(at, self.shift)));
        let set = |key, text: &str| Request::Set { key, data: text.to_owned().into(), until };
        script.then([set(state, &saga.state), set(index, correlation_id)]);
        script.then([Request::Unlink { key: keys.lease(&saga.id) }]);
        script.then(list_requests(keys, &saga.id, Some((&self.known, saga.expires_at))));
        script.request()
    }

    async fn insert(&self) -> Result<bool> {
        let (keys, State { saga, correlation_id }) = (self.keys(), self.state);
        let mark = Mark::new(&saga.id);
        let inserted = self.states.insert(keys, saga, correlation_id, &mark).await;
        self.states.unmark(keys, &mark, &inserted).await;
        match inserted {
            // Somebody was quicker: it is judged once more.
            Err(error) if error.kind() == Kind::AlreadyExists => Ok(false),
            inserted => inserted.map(|_| true),
        }
    }

    /// In place of the saga that has the same correlation id.
    async fn replace(&self, version: i64) -> Result<bool> {
        let (keys, State { saga, correlation_id }) = (self.keys(), self.state);
        let (mark, left) = (Mark::new(&saga.id), left(saga));
        let change = ask::change(keys.state(correlation_id), &saga.id, version, &saga.state, left);
        let [noted, changed] = self.states.some([mark.note(keys), change]).await?;
        noted?;
        if Looked::of(changed)? != Looked::Done || !self.states.keeps_index(keys, saga, correlation_id, left).await? {
            return Ok(false);
        }
        self.settle(&mark).await
    }

    /// In place of the saga that has another correlation id.
    async fn replace_elsewhere(&self, other: &str) -> Result<bool> {
        let (keys, State { saga, correlation_id }) = (self.keys(), self.state);
        let (mark, left, state) = (Mark::new(&saga.id), left(saga), keys.state(correlation_id));
        let [noted, stored] = self.states.some([mark.note(keys), ask::store(&state, &saga.state, left)]).await?;
        noted?;
        if matches!(stored?, Value::Null) {
            return Ok(false);
        }
        let moved = ask::move_to(keys.id(&saga.id), other, correlation_id);
        if number_of(self.states.one(moved).await?)? == 0 {
            self.states.one(ask::remove_if(state, &saga.state)).await??;
            return Ok(false);
        }
        self.states.one(ask::remove(keys.state(other), &saga.id)).await??;
        self.states.keeps_index(keys, saga, correlation_id, left).await?;
        self.settle(&mark).await
    }

    async fn settle(&self, mark: &Mark) -> Result<bool> {
        let (keys, State { saga, correlation_id }) = (self.keys(), self.state);
        self.states.settle(keys, &saga.id, correlation_id, self.known.clone(), saga.expires_at).await?;
        self.states.one(mark.away(keys)).await??;
        Ok(true)
    }

    /// The steps have set the time that was left, which is later by as long as they took.
    async fn end_exactly(&self, has_replaced: bool) -> Result<()> {
        let (keys, State { saga, correlation_id }) = (self.keys(), self.state);
        let mut requests = Vec::new();
        if let Some(at) = saga.expires_at.filter(|at| *at > Millis::now()).map(|at| shifted(at, self.shift)) {
            requests.push(Request::ExpireAt { key: keys.state(correlation_id), at });
            requests.push(Request::ExpireAt { key: keys.id(&saga.id), at });
        }
        if has_replaced {
            requests.push(Request::Unlink { key: keys.lease(&saga.id) });
        }
        for reply in self.states.on.send(requests).await? {
            reply?;
        }
        Ok(())
    }
}
