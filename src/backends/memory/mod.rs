//! The process's own memory: for tests, and for sagas that may die with the process.

mod payloads;
mod states;
mod transaction;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::contract::capability::{Capabilities, Expiry, Isolation, Transactions};
use crate::contract::driver::{Batching, Driver, Opened};
use crate::contract::operation::{Access, Group, RecordKind, Work};
use crate::contract::report::{Pool, Probe, Usage};
use crate::contract::step::{Reply, Step};
use crate::contract::transaction::Transaction;
use crate::error::{Error, Result};
use crate::namespace::Namespace;
use crate::options::OptionReader;
use crate::registry::Lease;
use crate::runtime::Task;
use crate::time::Millis;
use payloads::Payloads;
use states::{States, View};

static CAPABILITIES: Capabilities = Capabilities {
    transactions: Transactions::Interactive,
    isolation: &[],
    expiry: Expiry::Cleanup,
    // V8's own limit on a Buffer is far above it; this is what one put may keep.
    max_payload_bytes: 4_294_967_295,
    durable: false,
    shared: false,
    consistent_reads: true,
};

/// Opens `memory://` (private) or `memory://name` (shared by all stores of that name and `namespace`).
pub fn open(url: &str, mut options: OptionReader) -> Result<Opened> {
    let namespace = Namespace::read(&mut options)?;
    options.finish()?;
    let name = url.split_once(':').map_or("", |(_, rest)| rest.trim_start_matches("//"));
    if name.len() > 200 || name.chars().any(|c| !(c.is_ascii_alphanumeric() || "-_.".contains(c))) {
        return Err(Error::invalid("memory://name: the name is letters, digits, '-', '_' and '.', at most 200"));
    }
    let records = if name.is_empty() {
        Lease::private(Mutex::new(Records::default()))
    } else {
        Lease::take(format!("memory:{name}/{}", namespace.name().unwrap_or_default()), Mutex::default)
    };
    Ok(Opened { driver: Arc::new(Memory { records }), guest: None })
}

/// All that a memory store keeps.
#[derive(Default)]
struct Records {
    payloads: Payloads,
    states: States,
}

impl Records {
    /// The sagas, outside a transaction.
    fn view(&mut self) -> View<'_> {
        View { states: &mut self.states, changes: None }
    }
}

struct Memory {
    records: Lease<Mutex<Records>>,
}

impl Memory {
    fn lock(&self) -> MutexGuard<'_, Records> {
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
        })
    }

    fn begin(&self, _isolation: Option<Isolation>) -> Task<'_, Result<Box<dyn Transaction>>> {
        let records = Arc::clone(self.records.shared());
        Box::pin(async { Ok(Box::new(transaction::Buffered::new(records)) as Box<dyn Transaction>) })
    }

    fn initialize(&self) -> Task<'_, Result<Vec<String>>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn purge_expired(&self, now: Millis, limit: u64) -> Task<'_, Result<u64>> {
        Box::pin(async move {
            let mut records = self.lock();
            let payloads = records.payloads.purge_expired(now, limit);
            Ok(payloads + records.states.purge_expired(now, limit - payloads))
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
