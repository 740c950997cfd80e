//! Redis: one server, Sentinel or Cluster, through the `fred` crate.
//!
//! ```text
//! mod.rs         options, the driver
//! config.rs      the URL, certificates, fred's settings
//! payloads.rs    operations as commands, and their replies
//! inspect.rs     initialize, health, usage
//! executor.rs    the connection that stores share: made, made again, replaced
//! connection.rs  one fred client and its traffic
//! survey.rs      the servers' clock and our sessions there
//! error.rs       fred's errors in the store's terms
//! ```

mod config;
mod connection;
mod error;
mod executor;
mod inspect;
mod payloads;
mod survey;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::error::Result;
use crate::options::{OptionReader, Settings};
use crate::registry::Lease;
use crate::store::capability::{Capabilities, Expiry, Transactions};
use crate::store::lane::Shape;
use crate::store::payloads::{Read, Reply, Write};
use crate::store::statistics::{Pool, Usage};
use crate::store::{Driver, Opened, Probe, Task};
use crate::time::Millis;
use config::Endpoint;
use executor::Executor;

static CAPABILITIES: Capabilities = Capabilities {
    transactions: Transactions::Buffered,
    isolation: &[],
    expiry: Expiry::Server,
    // proto-max-bulk-len, as it is set everywhere unless somebody changed it.
    max_payload_bytes: 536_870_912,
    durable: true,
    shared: true,
    consistent_reads: true,
};

/// Opens a Redis URL without connecting. Takes `keyPrefix` and `tlsCaFile`.
pub fn open(url: &str, settings: &Settings, mut options: OptionReader) -> Result<Opened> {
    let prefix = options.string("keyPrefix")?.unwrap_or_else(|| String::from("saga:storage"));
    let ca_file = options.string("tlsCaFile")?;
    options.finish()?;
    config::check_prefix(&prefix)?;
    let key = format!("redis:{url} {ca_file:?} {:?}", settings.connect_timeout);
    let endpoint = Endpoint::parse(url, ca_file, settings.connect_timeout)?;
    let executor = Lease::take(key, || Executor::new(endpoint));
    Ok(Opened { driver: Arc::new(Redis { prefix, executor }), guest: None })
}

struct Redis {
    prefix: String,
    executor: Lease<Executor>,
}

impl Driver for Redis {
    fn capabilities(&self) -> &'static Capabilities {
        &CAPABILITIES
    }

    /// A group is answered as a whole, so it is no larger than what makes a system call
    /// worthwhile; the next ones follow it on the same connection without waiting for it.
    fn shape_of(&self, _writes: bool) -> Shape {
        Shape { concurrency: 64, max_operations: 256, max_bytes: 8 << 20 }
    }

    fn write<'a>(&'a self, group: &'a [Write]) -> Task<'a, Vec<Result<Reply>>> {
        Box::pin(payloads::write(self.executor.shared(), &self.prefix, group))
    }

    fn read<'a>(&'a self, group: &'a [Read]) -> Task<'a, Vec<Result<Reply>>> {
        Box::pin(payloads::read(self.executor.shared(), &self.prefix, group))
    }

    fn initialize(&self) -> Task<'_, Result<Vec<String>>> {
        Box::pin(inspect::initialize(self.executor.shared()))
    }

    fn purge_expired(&self, _now: Millis, _limit: u64) -> Task<'_, Result<u64>> {
        // Redis removes expired keys by itself.
        Box::pin(async { Ok(0) })
    }

    fn probe(&self) -> Task<'_, Result<Probe>> {
        Box::pin(inspect::probe(self.executor.shared()))
    }

    fn usage(&self, _now: Millis) -> Task<'_, Result<Usage>> {
        Box::pin(inspect::usage(self.executor.shared(), &self.prefix))
    }

    fn pool(&self) -> Option<Pool> {
        Some(self.executor.pool())
    }

    fn close(&self) -> Task<'_, ()> {
        Box::pin(async {
            if let Some(executor) = self.executor.release() {
                executor.close().await;
            }
        })
    }
}

/// What works on clients of the application.
pub fn guest(options: OptionReader) -> Result<Arc<dyn crate::store::borrowed::Guest>> {
    drop(options);
    Err(crate::error::Error::new(crate::error::Kind::Unsupported, "to be written"))
}
