//! A transaction of the store's own: collected here, sent as MULTI and EXEC at the end.

use std::sync::Arc;

use bytes::Bytes;
use fred::prelude::Value;

use super::connection::Executed;
use super::error;
use super::executor::{Executor, refresh_clock};
use super::payloads::{answer_write, expiry, key, queued};
use super::slot::Anchor;
use crate::error::Result;
use crate::store::Task;
use crate::store::payloads::{Reply, Write};
use crate::store::plan::{Step, needs_an_answer};
use crate::store::transaction::Transaction;
use crate::time::Millis;

/// Writes that have not been sent. Nothing is to be undone before the commit.
pub(super) struct Collected {
    executor: Arc<Executor>,
    prefix: String,
    anchor: Anchor,
    writes: Vec<Write>,
}

impl Collected {
    pub(super) fn new(executor: Arc<Executor>, prefix: String) -> Self {
        Self { executor, prefix, anchor: Anchor::default(), writes: Vec::new() }
    }

    fn refusal(&self, steps: &[Step]) -> Result<()> {
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
}

impl Transaction for Collected {
    fn check(&self, steps: &[Step]) -> Result<()> {
        self.refusal(steps)
    }

    fn run<'a>(&'a mut self, step: &'a Step) -> Task<'a, Result<Reply>> {
        Box::pin(async move { self.collect(step) })
    }

    fn commit(self: Box<Self>) -> Task<'static, Result<()>> {
        Box::pin(async move {
            if self.writes.is_empty() {
                return Ok(());
            }
            // The connection of all other operations: what they have sent comes before.
            let connection = self.executor.connection().await?;
            if self.writes.iter().any(|write| expiry(write).is_some()) && connection.clock().is_due() {
                refresh_clock(&connection);
            }
            let (now, shift) = (Millis::now(), connection.clock().known_shift());
            let requests = self.writes.iter().filter_map(|write| queued(write, &self.prefix, now, shift)).collect();
            committed(&self.writes, self.executor.transact(&connection, requests).await)
        })
    }

    fn roll_back(self: Box<Self>) -> Task<'static, ()> {
        Box::pin(async {})
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
