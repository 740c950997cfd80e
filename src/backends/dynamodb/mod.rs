//! DynamoDB, through the `aws-sdk-dynamodb` crate.
//!
//! ```text
//! mod.rs          options, the driver
//! config.rs       the URL and the options
//! attribute.rs    items as such, in the forms in which they travel
//! item.rs         a payload as an item: attributes, sizes, conditions on the expiry
//! requests.rs     requests about items, for the SDK and for clients of the application
//! pages.rs        requests about many items: scans and queries
//! changes.rs      several changes as one request
//! tables.rs       requests about tables
//! transport.rs    who carries requests, and single operations over whichever it is
//! executor.rs     the SDK client that stores share: region, credentials, TLS
//! session.rs      the store's own way to a table, and batches on it
//! guest.rs        on a client of the application
//! clock.rs        the server's clock beside ours
//! single.rs       one payload operation as one request
//! payloads.rs     groups of operations as batches and single requests
//! collect.rs      what a transaction can carry
//! transaction.rs  the store's own transaction
//! state_item.rs   a saga as items: attributes, indexes, conditions
//! states.rs       saga state, found by an id
//! state_lists.rs  saga state, found by an index
//! state_plans.rs  changes of saga state in a transaction
//! state_groups.rs groups of operations on saga state
//! initialize.rs   the tables, their TTL, health
//! sweep.rs        reading the whole table: cleanup, statistics
//! error.rs        errors of both SDKs in the store's terms
//! ```

mod attribute;
mod changes;
mod channel;
mod clock;
mod collect;
mod config;
mod error;
mod expression;
mod guest;
mod initialize;
mod pages;
mod payloads;
mod requests;
mod session;
mod shared;
mod states;
mod sweep;
mod tables;
mod transaction;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::Mutex;

use crate::contract::capability::{Capabilities, Expiry, Isolation, Transactions};
use crate::contract::driver::{Batching, Driver, Opened};
use crate::contract::guest::ClientDriver;
use crate::contract::operation::{Access, Group, RecordKind, Work};
use crate::contract::report::{Pool, Probe, Usage};
use crate::contract::settings::Settings;
use crate::contract::step::Reply;
use crate::contract::transaction::Transaction;
use crate::error::Result;
use crate::options::OptionReader;
use crate::registry::Lease;
use crate::runtime::Task;
use crate::time::Millis;
use config::{Config, Tables};
use guest::Hosted;
use payloads::Sizes;
use session::Session;
use shared::Executor;
use sweep::Sweep;
use transaction::{Collected, OnOwn, Patience};

static CAPABILITIES: Capabilities = Capabilities {
    transactions: Transactions::Buffered,
    isolation: &[],
    // Within days; reads do not wait for it.
    expiry: Expiry::Server,
    // Of the shortest id; one of n bytes has n - 1 less.
    max_payload_bytes: payloads::item::max_payload_bytes(1),
    durable: true,
    shared: true,
    consistent_reads: true,
};

/// Opens a DynamoDB URL without connecting. Takes `namespace`, `tableName`, `statesTableName`, `region`, `endpoint`
/// and `credentials`.
pub fn open(url: &str, settings: &Settings, mut options: OptionReader) -> Result<Opened> {
    let Config { tables, place } = Config::read(url, &mut options)?;
    options.finish()?;
    let connect_timeout = settings.connect_timeout;
    let key = format!("dynamodb:{} {connect_timeout:?}", place.key());
    let executor = Lease::take(key, || Executor::new(place, connect_timeout));
    // A little less than the commit may take, so that the error says what came of it.
    let patience = Patience { retry: settings.retry, limit: settings.operation_timeout.mul_f64(0.9) };
    let own = Some((Arc::clone(executor.shared()), patience));
    let guest = Arc::new(Hosted::new(tables.clone(), Arc::clone(&executor.clock), own));
    let driver = Arc::new(DynamoDb {
        tables,
        executor,
        operation_timeout: settings.operation_timeout,
        patience,
        sizes: Sizes::default(),
        sweep: Mutex::new(None),
        states_sweep: Mutex::new(None),
        unswept: AtomicBool::new(false),
    });
    Ok(Opened { driver, guest: Some(guest) })
}

/// What works on clients of the application. Takes `namespace`, `tableName` and `statesTableName`: where they
/// are, and who asks, is the client's.
pub fn guest(mut options: OptionReader) -> Result<Arc<dyn ClientDriver>> {
    let tables = config::read_tables(&mut options)?;
    options.finish()?;
    Ok(Arc::new(Hosted::new(tables, Arc::default(), None)))
}

struct DynamoDb {
    tables: Tables,
    executor: Lease<Executor>,
    operation_timeout: Duration,
    patience: Patience,
    sizes: Sizes,
    sweep: Mutex<Option<Sweep>>,
    states_sweep: Mutex<Option<Sweep>>,
    unswept: AtomicBool,
}

impl DynamoDb {
    async fn session(&self) -> Result<Session<'_>> {
        Session::open(&self.executor, &self.tables.payloads, self.patience).await
    }

    /// To the table of sagas.
    async fn states_session(&self) -> Result<Session<'_>> {
        Ok(self.session().await?.about(&self.tables.states))
    }
}

impl Driver for DynamoDb {
    fn capabilities(&self) -> &'static Capabilities {
        &CAPABILITIES
    }

    fn max_payload_bytes(&self, id: &str) -> u64 {
        payloads::item::max_payload_bytes(id.len() as u64)
    }

    /// A group of puts is one BatchWriteItem, unless they are large: then several smaller ones in
    /// parallel are sooner done.
    fn batching(&self, _kind: RecordKind, access: Access) -> Batching {
        let max_operations = if access == Access::Write { payloads::PUTS } else { payloads::GETS };
        Batching { concurrency: 16, max_operations, max_bytes: 1 << 20, together_from: usize::MAX }
    }

    fn run<'a>(&'a self, group: Group<'a>) -> Task<'a, Vec<Result<Reply>>> {
        match group {
            Group::Payloads(Work::Write(group)) => Box::pin(async move {
                match self.session().await {
                    Ok(session) => payloads::write(&session, group).await,
                    Err(error) => vec![Err(error); group.len()],
                }
            }),
            Group::Payloads(Work::Read(group)) => Box::pin(async move {
                match self.session().await {
                    Ok(session) => payloads::read(&session, group, &self.sizes).await,
                    Err(error) => vec![Err(error); group.len()],
                }
            }),
            Group::States(Work::Write(group)) => Box::pin(async move {
                match self.states_session().await {
                    Ok(session) => states::groups::write(&session, group).await,
                    Err(error) => vec![Err(error); group.len()],
                }
            }),
            Group::States(Work::Read(group)) => Box::pin(async move {
                match self.states_session().await {
                    Ok(session) => states::groups::read(&session, group).await,
                    Err(error) => vec![Err(error); group.len()],
                }
            }),
        }
    }

    fn begin(&self, _isolation: Option<Isolation>) -> Task<'_, Result<Box<dyn Transaction>>> {
        Box::pin(async {
            // The clock is known then.
            drop(self.session().await?);
            let executor = Arc::clone(self.executor.shared());
            let collected = Collected::new(self.tables.clone(), Arc::clone(&executor.clock));
            Ok(Box::new(OnOwn::new(executor, self.patience, collected)) as Box<dyn Transaction>)
        })
    }

    fn initialize(&self) -> Task<'_, Result<Vec<String>>> {
        Box::pin(async {
            let session = self.session().await?.at_once();
            // A little less than the operation may take, so that the error says what it waited for.
            let states = self.states_session().await?.at_once();
            initialize::initialize(&session, &states, Some(self.operation_timeout.mul_f64(0.9))).await
        })
    }

    fn purge_expired(&self, now: Millis, limit: u64) -> Task<'_, Result<u64>> {
        Box::pin(async move {
            let session = self.session().await?;
            let slice = self.operation_timeout / 3;
            let now = self.executor.clock.stored(now);
            let mut sweep = self.sweep.lock().await;
            let purged = Box::pin(sweep::purge(&session, &mut sweep, now, limit, Some(slice))).await?;
            let session = session.about(&self.tables.states);
            let mut sweep = self.states_sweep.lock().await;
            let of_states = sweep::purge_if_there(&session, &mut sweep, now, limit - purged.removed, Some(slice));
            let of_states = Box::pin(of_states).await?;
            self.unswept.store(purged.unfinished || of_states.unfinished, Ordering::Relaxed);
            Ok(purged.removed + of_states.removed)
        })
    }

    fn purge_is_unfinished(&self) -> bool {
        self.unswept.load(Ordering::Relaxed)
    }

    fn probe(&self) -> Task<'_, Result<Probe>> {
        Box::pin(async { initialize::probe(&self.session().await?.at_once()).await })
    }

    fn usage(&self, now: Millis) -> Task<'_, Result<Usage>> {
        Box::pin(async move {
            let session = self.session().await?;
            Box::pin(sweep::usage(&session, self.executor.clock.stored(now))).await
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
