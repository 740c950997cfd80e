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
//! shared.rs     the SDK client that stores share: region, credentials, TLS
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
mod driver;
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
use guest::Hosted;
use shared::Connector;
use transaction::Patience;

/// Opens a DynamoDB URL without connecting. Takes `namespace`, `tableName`, `statesTableName`, `region`, `endpoint`
/// and `credentials`.
pub fn open(url: &str, settings: &Settings, mut options: OptionReader) -> Result<Opened> {
    let Config { tables, place } = Config::read(url, &mut options)?;
    options.finish()?;
    let connect_timeout = settings.connect_timeout;
    let key = format!("dynamodb:{} {connect_timeout:?}", place.key());
    let shared = Lease::take(key, || Connector::new(place, connect_timeout));
    // A little less than the commit may take, so that the error says what came of it.
    let patience = Patience { retry: settings.retry, limit: settings.operation_timeout.mul_f64(0.9) };
    let own = Some((Arc::clone(shared.arc()), patience));
    let guest = Arc::new(Hosted::new(tables.clone(), Arc::clone(&shared.clock), own));
    let driver = Arc::new(DynamoDb {
        tables,
        shared,
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
