//! The process's own memory: for tests, and for sagas that may die with the process.

mod payloads;
mod states;
mod transaction;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::{Error, Result};
use crate::namespace::Namespace;
use crate::options::OptionReader;
use crate::registry::Lease;
use crate::store::capability::{Capabilities, Expiry, Transactions};
use crate::store::lane::Shape;
use crate::store::payloads::{Read, Reply, Write};
use crate::store::states::StateStep;
use crate::store::statistics::{Pool, Usage};
use crate::store::transaction::{Isolation, Transaction};
use crate::store::{Driver, Opened, Probe, Task};
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

struct Memory {
    records: Lease<Mutex<Records>>,
}

impl Memory {
    fn lock(&self) -> MutexGuard<'_, Records> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, step: &StateStep) -> Result<Reply> {
        View { states: &mut self.lock().states, changes: None }.run(step, Millis::now())
    }
}

impl Driver for Memory {
    fn capabilities(&self) -> &'static Capabilities {
        &CAPABILITIES
    }

    fn shape_of(&self, _writes: bool) -> Shape {
        Shape { concurrency: 1, max_operations: 1_024, max_bytes: usize::MAX, together_from: usize::MAX }
    }

    fn write_now(&self, operation: &Write) -> Option<Result<Reply>> {
        Some(Ok(self.lock().payloads.write(operation, Millis::now())))
    }

    fn read_now(&self, operation: &Read) -> Option<Result<Reply>> {
        Some(Ok(self.lock().payloads.read(operation, Millis::now())))
    }

    fn write<'a>(&'a self, group: &'a [Write]) -> Task<'a, Vec<Result<Reply>>> {
        Box::pin(async move {
            group.iter().map(|operation| Ok(self.lock().payloads.write(operation, Millis::now()))).collect()
        })
    }

    fn read<'a>(&'a self, group: &'a [Read]) -> Task<'a, Vec<Result<Reply>>> {
        Box::pin(async move {
            group.iter().map(|operation| Ok(self.lock().payloads.read(operation, Millis::now()))).collect()
        })
    }

    fn state_now(&self, step: &StateStep) -> Option<Result<Reply>> {
        Some(self.run(step))
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
