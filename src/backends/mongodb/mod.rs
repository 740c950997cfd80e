//! MongoDB, and servers that speak its protocol, through the `mongodb` crate.
//!
//! ```text
//! mod.rs         options, the driver
//! address.rs     the connection string, the write concern
//! payloads.rs    groups of writes as commands, and their answers
//! reads.rs       groups of reads
//! sessions.rs    writes that end once, and never late
//! document.rs    documents and commands as bytes
//! initialize.rs  the index on the expiry
//! inspect.rs     initialize, health, usage, purge
//! executor.rs    the driver's client that stores share
//! clock.rs       the server's clock
//! error.rs       the driver's errors in the store's terms
//! ```
//!
//! Commands are written here, not by the driver's collection methods: a group of replacements is
//! one `update` command on every server, not only on those with `bulkWrite` (8.0), and payloads
//! are copied once instead of being turned into the driver's documents and back.
//!
//! # Who sees what
//!
//! A put waits for the majority of the members (`w: majority`, unless the URL says otherwise), so
//! a failover does not undo it. Reads go to the primary with the read concern `local`: it has
//! every put that was acknowledged, and one with a lesser write concern, too. `majority` would
//! miss the latter. A primary that was cut off from the others and does not know it yet may
//! answer a `get` for some seconds without what its successor stored meanwhile; who cannot bear
//! that adds `readConcernLevel=linearizable` to the URL and pays a round trip between the
//! members for each read.

mod address;
mod clock;
mod document;
mod error;
mod executor;
mod initialize;
mod inspect;
mod payloads;
#[cfg(test)]
mod peer;
mod reads;
mod sessions;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use mongodb::bson::RawDocumentBuf;
use tokio::sync::Semaphore;

use crate::error::Result;
use crate::options::{OptionReader, Settings};
use crate::registry::Lease;
use crate::store::capability::{Capabilities, Expiry, Transactions};
use crate::store::lane::Shape;
use crate::store::payloads::{Read, Reply, Write};
use crate::store::statistics::{Pool, Usage};
use crate::store::{Driver, Opened, Probe, Task};
use crate::time::Millis;
use address::Address;
use executor::Executor;
use reads::Sizes;
use sessions::Suspects;

const fn capabilities(transactions: Transactions, expiry: Expiry) -> Capabilities {
    Capabilities {
        transactions,
        isolation: &[],
        expiry,
        // Under the shortest id.
        max_payload_bytes: document::max_payload_bytes(1),
        durable: true,
        shared: true,
        consistent_reads: true,
    }
}

/// By what is known of the server: 1 for no transactions, 2 for no TTL indexes. Before
/// `initialize` it is taken for a replica set.
static CAPABILITIES: [Capabilities; 4] = [
    capabilities(Transactions::Interactive, Expiry::Server),
    capabilities(Transactions::None, Expiry::Server),
    capabilities(Transactions::Interactive, Expiry::Cleanup),
    capabilities(Transactions::None, Expiry::Cleanup),
];

/// Opens a MongoDB URL without connecting. Takes `collectionName`.
pub fn open(url: &str, settings: &Settings, mut options: OptionReader) -> Result<Opened> {
    let collection = options.string("collectionName")?.unwrap_or_else(|| String::from("saga_store"));
    options.finish()?;
    address::check_collection(&collection)?;
    let address = Address::parse(url, settings.connect_timeout)?;
    let key = format!("mongodb:{} {url}", settings.connect_timeout.as_millis());
    let read_concern = address.read_concern.as_ref().map(document::raw).transpose()?;
    let driver = Arc::new(Mongo {
        collection,
        write_concern: document::raw(&address.write_concern)?,
        read_concern,
        max_time: i64::try_from(settings.operation_timeout.as_millis()).unwrap_or(i64::MAX).min(i32::MAX.into()),
        executor: Lease::take(key, || Executor::new(address)),
        suspects: Suspects::default(),
        sizes: Sizes::default(),
        permits: Semaphore::new(reads::AT_ONCE),
        lacks: AtomicUsize::new(0),
    });
    Ok(Opened { driver, guest: None })
}

/// A store's own part: its collection. The client is shared.
struct Mongo {
    executor: Lease<Executor>,
    collection: String,
    write_concern: RawDocumentBuf,
    read_concern: Option<RawDocumentBuf>,
    /// The server gives up after this many milliseconds: nobody waits any longer.
    max_time: i64,
    suspects: Suspects,
    sizes: Sizes,
    permits: Semaphore,
    /// The place in [`CAPABILITIES`].
    lacks: AtomicUsize,
}

impl Mongo {
    fn learn(&self, has_transactions: bool, has_ttl: bool) {
        let lacks = usize::from(!has_transactions) + 2 * usize::from(!has_ttl);
        self.lacks.store(lacks, Ordering::Relaxed);
    }

    /// A time of ours by the server's clock.
    fn there(&self, at: Millis) -> Millis {
        self.executor.clock().there(at)
    }
}

impl Driver for Mongo {
    fn capabilities(&self) -> &'static Capabilities {
        &CAPABILITIES[self.lacks.load(Ordering::Relaxed) % CAPABILITIES.len()]
    }

    fn max_payload_bytes(&self, id: &str) -> u64 {
        document::max_payload_bytes(id.len())
    }

    /// A command is a document itself, and ends at 16 MB with all that is in it.
    fn shape_of(&self, _writes: bool) -> Shape {
        Shape { concurrency: 4, max_operations: 128, max_bytes: 4 << 20 }
    }

    fn write<'a>(&'a self, group: &'a [Write]) -> Task<'a, Vec<Result<Reply>>> {
        Box::pin(self.write_group(group))
    }

    fn read<'a>(&'a self, group: &'a [Read]) -> Task<'a, Vec<Result<Reply>>> {
        Box::pin(self.read_group(group))
    }

    fn initialize(&self) -> Task<'_, Result<Vec<String>>> {
        Box::pin(self.initialize_collection())
    }

    fn purge_expired(&self, now: Millis, limit: u64) -> Task<'_, Result<u64>> {
        Box::pin(self.purge(now, limit))
    }

    fn probe(&self) -> Task<'_, Result<Probe>> {
        Box::pin(self.probe_server())
    }

    fn usage(&self, now: Millis) -> Task<'_, Result<Usage>> {
        Box::pin(self.count(now))
    }

    fn pool(&self) -> Option<Pool> {
        Some(self.executor.pool())
    }

    fn close(&self) -> Task<'_, ()> {
        Box::pin(async {
            self.suspects.clear();
            if let Some(executor) = self.executor.release() {
                executor.close().await;
            }
        })
    }
}
