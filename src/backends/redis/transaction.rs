//! A transaction of the store's own: collected here, sent as MULTI and EXEC at the end; with saga state
//! in it the end is one script, which looks whether it may do all of it.

use std::sync::Arc;

use bytes::Bytes;
use fred::prelude::Value;

use super::command::Request;
use super::connection::Executed;
use super::error;
use super::executor::{Executor, refresh_clock};
use super::payloads::{answer_write, expiry, key, queued};
use super::servers::{Answers, Own, Servers};
use super::slot::Anchor;
use super::state_plans::Planned;
use super::state_scripts::{Finale, number_of};
use super::states::{Pipe, States};
use crate::error::Result;
use crate::store::Task;
use crate::store::payloads::{Operation, Reply, Write};
use crate::store::plan::{Step, needs_an_answer};
use crate::store::states::{StateWrite, changed_twice};
use crate::store::transaction::Transaction;
use crate::time::Millis;

/// Writes that have not been sent. Nothing is to be undone before the commit.
pub(super) struct Collected {
    executor: Arc<Executor>,
    prefix: String,
    states_prefix: String,
    anchor: Anchor,
    writes: Vec<Write>,
    states: Vec<Planned>,
}

impl Pipe for Own<'_> {
    async fn pipe(&self, requests: Vec<Request>) -> Result<Answers> {
        self.run(requests).await
    }
}

impl Collected {
    pub(super) fn new(executor: Arc<Executor>, prefix: String, states_prefix: String) -> Self {
        let (writes, states) = (Vec::new(), Vec::new());
        Self { executor, prefix, states_prefix, anchor: Anchor::default(), writes, states }
    }

    fn refusal(&self, steps: &[Step]) -> Result<()> {
        // A change of saga state, of which a call has one, looks for its keys itself.
        if steps.iter().all(|step| step.as_guarded().is_some()) {
            return Ok(());
        }
        if let Some(step) = steps.iter().find(|step| !step.needs_no_answer()) {
            return Err(needs_an_answer(step));
        }
        if self.executor.is_cluster() { self.anchor.check(&self.prefix, steps) } else { Ok(()) }
    }

    fn collect(&mut self, step: &Step) -> Result<Reply> {
        self.refusal(std::slice::from_ref(step))?;
        let Step::Write(write) = step else { return Err(needs_an_answer(step)) };
        self.anchor.keep(&key(&self.prefix, step.id()));
        self.writes.push(match write {
            Write::Put { id, data, expires_at } => Write::Put {
                id: id.clone(),
                // A copy: the caller's buffer is its own again once the put is answered.
                data: Bytes::copy_from_slice(data),
                expires_at: *expires_at,
            },
            other => other.clone(),
        });
        Ok(Reply::Done)
    }

    async fn collect_state(&mut self, write: &StateWrite) -> Result<Reply> {
        let own = Own::of(&self.executor).await?;
        let Some(planned) = (States { on: &own, prefix: &self.states_prefix }).plan(write).await? else {
            return Ok(Reply::Done);
        };
        let places = planned.places(&self.states_prefix);
        let mut known = self.states.iter().flat_map(|known| known.places(&self.states_prefix));
        if known.any(|known| places.contains(&known)) {
            return Err(changed_twice(write.id()));
        }
        if self.executor.is_cluster() {
            self.anchor.check_keys(places.iter().map(|place| (place.clone(), write.id())))?;
            self.anchor.keep(&places[0]);
        }
        self.states.push(planned);
        Ok(Reply::Done)
    }

    async fn send(self) -> Result<()> {
        if self.writes.is_empty() && self.states.is_empty() {
            return Ok(());
        }
        // The connection of all other operations: what they have sent comes before.
        let own = Own::of(&self.executor).await?;
        let connection = &own.connection;
        if self.writes.iter().any(|write| expiry(write).is_some()) && connection.clock().is_due() {
            refresh_clock(connection);
        }
        let (now, shift) = (Millis::now(), connection.clock().known_shift());
        let requests = self.writes.iter().filter_map(|write| queued(write, &self.prefix, now, shift)).collect();
        if self.states.is_empty() {
            return committed(&self.writes, self.executor.transact(connection, requests).await);
        }
        let mut script = Finale::default();
        // Up to which condition they are a change's.
        let mut ends = Vec::with_capacity(self.states.len());
        for planned in &self.states {
            planned.join(&self.states_prefix, &mut script);
            ends.push(script.conditions());
        }
        script.then(requests);
        match finished(self.executor.transact(connection, vec![script.request()?]).await)? {
            0 => Ok(()),
            condition => {
                let change = ends.iter().position(|end| condition <= *end);
                let planned = change.and_then(|change| self.states.get(change)).ok_or_else(error::unexpected)?;
                Err(States { on: &own, prefix: &self.states_prefix }.refusal(planned).await)
            }
        }
    }
}

impl Transaction for Collected {
    fn check(&self, steps: &[Step]) -> Result<()> {
        self.refusal(steps)
    }

    fn run<'a>(&'a mut self, step: &'a Step) -> Task<'a, Result<Reply>> {
        Box::pin(async move {
            match step.as_guarded() {
                Some(write) => self.collect_state(write).await,
                None => self.collect(step),
            }
        })
    }

    fn commit(self: Box<Self>) -> Task<'static, Result<()>> {
        Box::pin(self.send())
    }

    fn roll_back(self: Box<Self>) -> Task<'static, ()> {
        Box::pin(async {})
    }
}

/// What the script answers that EXEC has run.
fn finished(executed: Executed) -> Result<usize> {
    match executed? {
        Value::Null => Err(error::conflict()),
        Value::Array(mut replies) if replies.len() == 1 => {
            let reply = replies.pop().ok_or_else(error::unexpected)?;
            usize::try_from(number_of(Ok(reply))?).map_err(|_| error::unexpected())
        }
        _ => Err(error::unexpected()),
    }
}

/// Whether all writes have happened, of what EXEC answered.
fn committed(writes: &[Write], executed: Executed) -> Result<()> {
    match executed? {
        Value::Null => Err(error::conflict()),
        Value::Array(replies) if replies.len() == writes.len() => {
            for (write, reply) in writes.iter().zip(replies) {
                answer_write(write, Ok(reply)).map_err(|error| error::partly(&error))?;
            }
            Ok(())
        }
        _ => Err(error::unexpected()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn writes() -> Vec<Write> {
        let put = Write::Put { id: "a".into(), data: Bytes::new(), expires_at: None };
        vec![put, Write::Delete { id: "b".into() }]
    }

    #[test]
    fn exec_has_to_answer_every_command() {
        let ok = || Value::from("OK");
        assert!(committed(&writes(), Ok(Value::Array(vec![ok(), Value::Integer(0)]))).is_ok());
        let error = committed(&writes(), Ok(Value::Null)).unwrap_err();
        assert!(error.is_retryable() && error.message().contains("watched key"), "{error:?}");
        for replies in [vec![], vec![ok()], vec![ok(), ok()], vec![Value::Queued, Value::Integer(1)]] {
            assert!(committed(&writes(), Ok(Value::Array(replies.clone()))).is_err(), "{replies:?}");
        }
        for other in [Value::Queued, ok(), Value::Integer(2)] {
            assert!(committed(&writes(), Ok(other)).is_err());
        }
    }
}
