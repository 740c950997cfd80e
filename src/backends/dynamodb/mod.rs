//! DynamoDB, through the `aws-sdk-dynamodb` crate.
//!
//! ```text
//! mod.rs          opens a store; the files
//! config.rs       the URL and the options
//! driver.rs       on the store's own connections: each operation, and the code that runs it
//! guest.rs        the same on clients of the application
//!
//! channel.rs      where requests travel, and single requests over it
//! session.rs      the channel of the store's own connections
//! client.rs       the channel of a client of the application
//! shared.rs       the SDK's client, which stores share: region, credentials, TLS
//! clock.rs        the server's clock beside ours
//!
//! attribute.rs    items as such, in the forms in which they travel
//! expression.rs   attributes, conditions on the expiry, keys
//! requests.rs     requests about single items
//! pages.rs        requests about many items: scans and queries
//! merged.rs       several partitions of an index as one, items of several ids
//! tables.rs       requests about tables
//! changes.rs      several changes as one request
//! batch.rs        many puts as few requests, changes of several records in one transaction
//! error.rs        errors of both SDKs in the store's terms
//!
//! payloads/       payloads: items, single operations, groups, changes in a transaction
//! states/         saga state: the same
//! executions/     executions with their logs: the same
//! outbox/         events: the same
//! inbox.rs        messages that have been applied
//! moving/         whole records of all kinds, on their way in and out
//!
//! plan.rs         what a step of each kind adds to a transaction
//! load.rs         how much a transaction takes
//! queue.rs        changes that are kept and sent together
//! transaction.rs  the store's own transaction
//! collector.rs    a transaction that the application collects
//!
//! initialize.rs   the tables, their TTL, health
//! sweep.rs        reads a whole table: cleanup, statistics
//! ```

mod attribute;
mod batch;
mod changes;
mod channel;
mod client;
mod clock;
mod collector;
mod config;
mod driver;
mod error;
mod executions;
mod expression;
mod guest;
mod inbox;
mod initialize;
mod load;
mod merged;
mod moving;
mod outbox;
mod pages;
mod payloads;
mod plan;
mod queue;
mod requests;
mod rights;
mod session;
mod shared;
mod states;
mod sweep;
mod tables;
mod transaction;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tokio::sync::Mutex;

use crate::contract::driver::Opened;
use crate::contract::guest::ClientDriver;
use crate::contract::settings::Settings;
use crate::error::Result;
use crate::options::OptionReader;
use crate::registry::Lease;
use crate::sizes::Sizes;
use config::Config;
use driver::DynamoDb;
use guest::DynamoDbOnClients;
use session::Patience;
use shared::SharedClient;

/// Opens a DynamoDB URL without connecting. Takes `namespace`, `tableName`, `statesTableName`, `region`, `endpoint`
/// and `credentials`.
pub fn open(url: &str, settings: &Settings, mut options: OptionReader) -> Result<Opened> {
    let Config { tables, place } = Config::read(url, &mut options)?;
    options.finish()?;
    let tables = Arc::new(tables);
    let connect_timeout = settings.connect_timeout;
    let key = format!("dynamodb:{} {connect_timeout:?}", place.key());
    let shared = Lease::take(key, || SharedClient::new(place, connect_timeout));
    // A little less than the commit may take, so that the error says what came of it.
    let patience = Patience { retry: settings.retry, limit: settings.operation_timeout.mul_f64(0.9) };
    let own = Some((Arc::clone(shared.arc()), patience));
    let guest = Arc::new(DynamoDbOnClients::new(Arc::clone(&tables), Arc::clone(&shared.clock), own));
    let driver = Arc::new(DynamoDb {
        tables,
        shared,
        operation_timeout: settings.operation_timeout,
        patience,
        sizes: Sizes::default(),
        sweep: Mutex::new(None),
        states_sweep: Mutex::new(None),
        executions_sweep: Mutex::new(None),
        events_sweep: Mutex::new(None),
        messages_sweep: Mutex::new(None),
        unswept: AtomicBool::new(false),
        rights: rights::Rights::default(),
    });
    Ok(Opened { driver, guest: Some(guest) })
}

/// What works on clients of the application. Takes `namespace`, `tableName` and `statesTableName`: where they
/// are, and who asks, is the client's.
pub fn guest(mut options: OptionReader) -> Result<Arc<dyn ClientDriver>> {
    let tables = config::read_tables(&mut options)?;
    options.finish()?;
    Ok(Arc::new(DynamoDbOnClients::new(Arc::new(tables), Arc::default(), None)))
}
