//! Memory as a driver.

use super::transaction;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::records::Records;
use crate::contract::capability::{Capabilities, Expiry, Isolation, Transactions};
use crate::contract::driver::{Batching, Driver};
use crate::contract::operation::{Access, Group, RecordKind, Work};
use crate::contract::report::{Pool, Probe, Usage};
use crate::contract::step::{Reply, Step};
use crate::contract::transaction::Transaction;
use crate::error::Result;
use crate::registry::Lease;
use crate::runtime::Task;
use crate::time::Millis;

pub(super) static CAPABILITIES: Capabilities = Capabilities {
    transactions: Transactions::Interactive,
    isolation: &[],
    expiry: Expiry::Cleanup,
    // V8's own limit on a Buffer is far above it; this is what one put may keep.
    max_payload_bytes: 4_294_967_295,
    durable: false,
    shared: false,
    consistent_reads: true,
};

pub(super) struct Memory {
    pub(super) records: Lease<Mutex<Records>>,
}

impl Memory {
    pub(super) fn lock(&self) -> MutexGuard<'_, Records> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Driver for Memory {
    fn capabilities(&self) -> &'static Capabilities {
        &CAPABILITIES
    }

    fn batching(&self, _kind: RecordKind, _access: Access) -> Batching {
        Batching { concurrency: 1, max_operations: 1_024, max_bytes: usize::MAX, together_from: usize::MAX }
    }

    fn run<'a>(&'a self, group: Group<'a>) -> Task<'a, Vec<Result<Reply>>> {
        let mut records = self.lock();
        let now = Millis::now();
        let replies = match group {
            Group::Payloads(Work::Write(group)) => {
                group.iter().map(|write| Ok(records.payloads.write(write, now))).collect()
            }
            Group::Payloads(Work::Read(group)) => {
                group.iter().map(|read| Ok(records.payloads.read(read, now))).collect()
            }
            Group::States(Work::Write(group)) => group.iter().map(|write| records.view().write(write, now)).collect(),
            Group::States(Work::Read(group)) => group.iter().map(|read| Ok(records.view().read(read, now))).collect(),
            Group::Executions(Work::Write(group)) => {
                group.iter().map(|write| records.executions().write(write, now)).collect()
            }
            Group::Executions(Work::Read(group)) => {
                group.iter().map(|read| records.executions().read(read, now)).collect()
            }
            Group::Outbox(Work::Write(group)) => group.iter().map(|write| records.outbox.write(write, now)).collect(),
            Group::Outbox(Work::Read(group)) => group.iter().map(|read| records.outbox.read(read, now)).collect(),
            Group::Inbox(Work::Write(group)) => {
                group.iter().map(|write| Ok(records.inbox().write(write, now))).collect()
            }
            Group::Inbox(Work::Read(group)) => group.iter().map(|read| Ok(records.inbox().read(read, now))).collect(),
            Group::Moving(Work::Write(group)) => {
                group.iter().map(|write| Ok(records.write_moving(write, now))).collect()
            }
            Group::Moving(Work::Read(group)) => group.iter().map(|read| records.read_moving(read)).collect(),
        };
        drop(records);
        Box::pin(std::future::ready(replies))
    }

    fn run_here(&self, step: &Step) -> Option<Result<Reply>> {
        let mut records = self.lock();
        let now = Millis::now();
        Some(match step {
            Step::Payload(Work::Write(write)) => Ok(records.payloads.write(write, now)),
            Step::Payload(Work::Read(read)) => Ok(records.payloads.read(read, now)),
            Step::State(step) => records.view().run(step, now),
            Step::Execution(step) => records.executions().run(step, now),
            Step::Outbox(step) => records.outbox.run(step, now),
            Step::Inbox(step) => Ok(records.inbox().run(step, now)),
            Step::Moving(Work::Write(write)) => Ok(records.write_moving(write, now)),
            Step::Moving(Work::Read(read)) => records.read_moving(read),
        })
    }

    fn begin(&self, _isolation: Option<Isolation>) -> Task<'_, Result<Box<dyn Transaction>>> {
        let records = Arc::clone(self.records.arc());
        Box::pin(async { Ok(Box::new(transaction::Buffered::new(records)) as Box<dyn Transaction>) })
    }

    fn initialize(&self) -> Task<'_, Result<Vec<String>>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn purge_expired(&self, now: Millis, limit: u64) -> Task<'_, Result<u64>> {
        Box::pin(async move {
            let mut records = self.lock();
            let mut removed = records.payloads.purge_expired(now, limit);
            removed += records.states.purge_expired(now, limit - removed);
            removed += records.executions.purge_expired(now, limit - removed);
            removed += records.outbox.purge_expired(now, limit - removed);
            removed += records.inbox.purge_expired(now, limit - removed);
            Ok(removed)
        })
    }

    fn probe(&self) -> Task<'_, Result<Probe>> {
        Box::pin(async { Ok(Probe::default()) })
    }

    fn usage(&self, now: Millis) -> Task<'_, Result<Usage>> {
        Box::pin(async move { Ok(self.lock().payloads.usage(now)) })
    }

    fn pool(&self) -> Option<Pool> {
        None
    }

    fn close(&self) -> Task<'_, ()> {
        Box::pin(async {})
    }
}
