//! DynamoDB, through the `aws-sdk-dynamodb` crate.
//!
//! ```text
//! mod.rs         options, the driver
//! config.rs      the URL and the options
//! clock.rs       the server's clock beside ours
//! executor.rs    the SDK client that stores share: region, credentials, TLS
//! requests.rs    single requests about one table
//! item.rs        a payload as an item: attributes, sizes, conditions on the expiry
//! payloads.rs    groups of operations as batches and single requests
//! initialize.rs  the table, its TTL, health
//! sweep.rs       reading the whole table: cleanup, statistics
//! error.rs       the SDK's errors in the store's terms
//! ```

mod clock;
mod config;
mod error;
mod executor;
mod initialize;
mod item;
mod payloads;
mod requests;
mod sweep;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::Mutex;

use crate::error::{Error, Result};
use crate::options::{OptionReader, Settings};
use crate::registry::Lease;
use crate::store::capability::{Capabilities, Expiry, Transactions};
use crate::store::lane::Shape;
use crate::store::payloads::{Read, Reply, Write};
use crate::store::statistics::{Pool, Usage};
use crate::store::{Driver, Opened, Probe, Task};
use crate::time::Millis;
use config::Config;
use executor::Executor;
use payloads::Sizes;
use requests::Session;
use sweep::Sweep;

static CAPABILITIES: Capabilities = Capabilities {
    transactions: Transactions::Buffered,
    isolation: &[],
    // Within days; reads do not wait for it.
    expiry: Expiry::Server,
    // Of the shortest id; one of n bytes has n - 1 less.
    max_payload_bytes: item::max_payload_bytes(1),
    durable: true,
    shared: true,
    consistent_reads: true,
};

/// Opens a DynamoDB URL without connecting. Takes `tableName`, `region`, `endpoint` and `credentials`.
pub fn open(url: &str, settings: &Settings, mut options: OptionReader) -> Result<Opened> {
    let Config { table, place } = Config::read(url, &mut options)?;
    options.finish()?;
    let connect_timeout = settings.connect_timeout;
    let key = format!("dynamodb:{} {connect_timeout:?}", place.key());
    let executor = Lease::take(key, || Executor::new(place, connect_timeout));
    let driver = Arc::new(DynamoDb {
        table,
        executor,
        operation_timeout: settings.operation_timeout,
        sizes: Sizes::default(),
        sweep: Mutex::new(None),
        unswept: AtomicBool::new(false),
    });
    Ok(Opened { driver, guest: None })
}

struct DynamoDb {
    table: String,
    executor: Lease<Executor>,
    operation_timeout: Duration,
    sizes: Sizes,
    sweep: Mutex<Option<Sweep>>,
    unswept: AtomicBool,
}

impl DynamoDb {
    async fn session(&self) -> Result<Session<'_>> {
        let client = self.executor.client().await?;
        let session = Session { client, executor: &self.executor, table: &self.table };
        session.read_clock().await.map_err(Error::unsent)?;
        Ok(session)
    }
}

impl Driver for DynamoDb {
    fn capabilities(&self) -> &'static Capabilities {
        &CAPABILITIES
    }

    fn max_payload_bytes(&self, id: &str) -> u64 {
        item::max_payload_bytes(id.len() as u64)
    }

    /// A group of puts is one BatchWriteItem, unless they are large: then several smaller ones in
    /// parallel are sooner done.
    fn shape_of(&self, writes: bool) -> Shape {
        let max_operations = if writes { payloads::PUTS } else { payloads::GETS };
        Shape { concurrency: 16, max_operations, max_bytes: 1 << 20 }
    }

    fn write<'a>(&'a self, group: &'a [Write]) -> Task<'a, Vec<Result<Reply>>> {
        Box::pin(async move {
            match self.session().await {
                Ok(session) => payloads::write(&session, group).await,
                Err(error) => vec![Err(error); group.len()],
            }
        })
    }

    fn read<'a>(&'a self, group: &'a [Read]) -> Task<'a, Vec<Result<Reply>>> {
        Box::pin(async move {
            match self.session().await {
                Ok(session) => payloads::read(&session, group, &self.sizes).await,
                Err(error) => vec![Err(error); group.len()],
            }
        })
    }

    fn initialize(&self) -> Task<'_, Result<Vec<String>>> {
        // A little less than the operation may take, so that the error says what it waited for.
        Box::pin(async { initialize::initialize(&self.session().await?, self.operation_timeout.mul_f64(0.9)).await })
    }

    fn purge_expired(&self, now: Millis, limit: u64) -> Task<'_, Result<u64>> {
        Box::pin(async move {
            let session = self.session().await?;
            let slice = self.operation_timeout / 3;
            let now = self.executor.clock.stored(now);
            let purged = sweep::purge(&session, &self.sweep, now, limit, slice).await?;
            self.unswept.store(purged.unfinished, Ordering::Relaxed);
            Ok(purged.removed)
        })
    }

    fn purge_is_unfinished(&self) -> bool {
        self.unswept.load(Ordering::Relaxed)
    }

    fn probe(&self) -> Task<'_, Result<Probe>> {
        Box::pin(async { initialize::probe(&self.session().await?).await })
    }

    fn usage(&self, now: Millis) -> Task<'_, Result<Usage>> {
        Box::pin(async move {
            let session = self.session().await?;
            sweep::usage(&session, self.executor.clock.stored(now)).await
        })
    }

    fn pool(&self) -> Option<Pool> {
        // The SDK does not show its connections.
        None
    }

    fn close(&self) -> Task<'_, ()> {
        Box::pin(async {
            if let Some(executor) = self.executor.release() {
                executor.close();
            }
        })
    }
}
