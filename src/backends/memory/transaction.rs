//! A transaction: its writes are kept beside the payloads, and applied together at the end.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::executions::{ExecutionChanges, ExecutionView};
use super::inbox::{InboxChanges, InboxView};
use super::outbox::OutboxChanges;
use super::records::Records;
use super::states::{Changes, View};
use crate::contract::moving::not_in_transactions;
use crate::contract::operation::Operation;
use crate::contract::operation::Work;
use crate::contract::payloads::{Read, Write};
use crate::contract::step::{Reply, Step};
use crate::contract::transaction::Transaction;
use crate::error::Result;
use crate::runtime::Task;
use crate::time::Millis;

/// Writes that nobody else sees yet.
pub(super) struct Buffered {
    records: Arc<Mutex<Records>>,
    changes: Changes,
    executions: ExecutionChanges,
    outbox: OutboxChanges,
    inbox: InboxChanges,
    writes: Vec<Write>,
    /// The last write of each id, as its place in `writes`.
    last: HashMap<Box<str>, usize>,
}

impl Buffered {
    pub(super) fn new(records: Arc<Mutex<Records>>) -> Self {
        Self {
            records,
            changes: Changes::default(),
            executions: ExecutionChanges::default(),
            outbox: OutboxChanges::default(),
            inbox: InboxChanges::default(),
            writes: Vec::new(),
            last: HashMap::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Records> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&mut self, write: Write) {
        self.last.insert(write.id().into(), self.writes.len());
        self.writes.push(write);
    }

    /// What stands under `id` in the eyes of this transaction: the bytes and their expiry.
    fn seen(&self, id: &str, now: Millis) -> Option<(Bytes, Option<Millis>)> {
        let (data, expires_at) = match self.last.get(id).map(|at| &self.writes[*at]) {
            Some(Write::Put { data, expires_at, .. }) => (data.clone(), *expires_at),
            Some(Write::Delete { .. }) => return None,
            Some(Write::Touch { expires_at, .. }) => (self.lock().payloads.record(id)?.0, Some(*expires_at)),
            None => self.lock().payloads.record(id)?,
        };
        expires_at.is_none_or(|at| at > now).then_some((data, expires_at))
    }

    fn run_now(&mut self, step: &Step) -> Result<Reply> {
        let now = Millis::now();
        Ok(match step {
            Step::State(step) => {
                let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
                View { states: &mut records.states, changes: Some(&mut self.changes) }.run(step, now)?
            }
            Step::Execution(step) => {
                let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
                let changes = Some(&mut self.executions);
                ExecutionView { executions: &mut records.executions, changes }.run(step, now)?
            }
            Step::Outbox(step) => {
                let records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
                self.outbox.view(&records.outbox).run(step, now)?
            }
            Step::Inbox(step) => {
                let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
                InboxView { inbox: &mut records.inbox, changes: Some(&mut self.inbox) }.run(step, now)
            }
            Step::Moving(_) => return Err(not_in_transactions()),
            Step::Payload(Work::Read(Read::Find { id })) => {
                Reply::Data(self.seen(id, now).map(|(data, _)| Bytes::copy_from_slice(&data)))
            }
            Step::Payload(Work::Read(Read::Has { id })) => Reply::Flag(self.seen(id, now).is_some()),
            Step::Payload(Work::Write(Write::Put { id, data, expires_at })) => {
                // A copy: the caller's buffer is its own again once the put is answered.
                let data = Bytes::copy_from_slice(data);
                self.keep(Write::Put { id: id.clone(), data, expires_at: *expires_at });
                Reply::Done
            }
            Step::Payload(Work::Write(Write::Delete { id })) => {
                let existed = self.seen(id, now).is_some();
                self.keep(Write::Delete { id: id.clone() });
                Reply::Flag(existed)
            }
            Step::Payload(Work::Write(Write::Touch { id, expires_at })) => {
                let Some((data, _)) = self.seen(id, now) else { return Ok(Reply::Flag(false)) };
                let (id, expires_at) = (id.clone(), *expires_at);
                let ours = self.last.get(&id).is_some_and(|at| matches!(self.writes[*at], Write::Put { .. }));
                // Bytes that stand in the store stay what they are then, whoever has put them.
                self.keep(if ours {
                    Write::Put { id, data, expires_at: Some(expires_at) }
                } else {
                    Write::Touch { id, expires_at }
                });
                Reply::Flag(true)
            }
        })
    }
}

impl Transaction for Buffered {
    fn run<'a>(&'a mut self, step: &'a Step) -> Task<'a, Result<Reply>> {
        Box::pin(async move { self.run_now(step) })
    }

    fn commit(self: Box<Self>) -> Task<'static, Result<()>> {
        Box::pin(async move {
            let Self { records, changes, executions, outbox, inbox, writes, .. } = *self;
            let mut records = records.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Millis::now();
            changes.check(&records.states, now)?;
            executions.check(&records.executions)?;
            outbox.check(&records.outbox)?;
            inbox.check(&records.inbox)?;
            changes.apply(&mut records.states);
            executions.apply(&mut records.executions);
            outbox.apply(&mut records.outbox);
            inbox.apply(&mut records.inbox);
            for write in &writes {
                records.payloads.write(write, now);
            }
            Ok(())
        })
    }

    fn roll_back(self: Box<Self>) -> Task<'static, ()> {
        Box::pin(async {})
    }
}
