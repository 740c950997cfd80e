//! PostgreSQL 12 and later, and what speaks its protocol, through `sqlx`'s connection.
//!
//! - A group of writes is one statement over arrays; so is a group of small gets.
//! - A connection is closed, not reused, when a statement on it did not come to its end.
//! - The table is looked at once, at the first use: an `expires_at` without time zone is UTC.

mod address;
mod bell;
mod driver;
mod error;
mod executions;
mod executor;
mod guest;
mod initialize;
mod moving;
mod outbox;
mod payloads;
mod pool;
mod query;
mod spread;
mod states;
#[cfg(test)]
mod tests;
mod transaction;
mod vacuum;
mod values;

use std::sync::{Arc, Mutex};

use crate::contract::driver::Opened;
use crate::contract::guest::ClientDriver;
use crate::contract::settings::Settings;
use crate::error::Result;
use crate::options::OptionReader;
use crate::registry::Lease;
use crate::runtime::Task;
use crate::sql::Dialect;
use crate::sql::executions::Executions;
use crate::sql::executions::schema::Pair;
use crate::sql::inbox::Inbox;
use crate::sql::outbox::Outbox;
use crate::sql::states::{StateSql, batches};
use crate::sql::tables::Tables;
use bell::Bell;
use driver::Postgres;
use pool::Pool;

/// Opens a store on a libpq URL.
pub fn open(url: &str, settings: &Settings, mut options: OptionReader) -> Result<Opened> {
    let tables = Tables::read(&mut options, Dialect::Postgres)?;
    let pool_size = options.number("poolSize", 4, 1..=100)?;
    options.finish()?;
    let address = address::parse(url)?;
    let connect_timeout =
        address.connect_timeout.map_or(settings.connect_timeout, |limit| limit.min(settings.connect_timeout));
    let key = format!("postgres:{pool_size}:{}:{url}", connect_timeout.as_millis());
    let size = u32::try_from(pool_size).unwrap_or(1);
    let guest = guest::Hosted::new(tables.clone());
    let Tables { payloads: table, states: states_table, executions, log, outbox, inbox } = tables;
    let pair = Pair { executions, log };
    let events = Outbox::new(Dialect::Postgres, outbox);
    let driver = Arc::new(Postgres {
        pool: Lease::take(key, || Pool::new(address.options, size, connect_timeout)),
        prepared: address.prepared,
        pool_size: size as usize,
        // Sooner than the operation's own end, so that the error can say what it waited for.
        wait: settings.operation_timeout.mul_f64(0.9),
        quoted: table.quoted().into(),
        table,
        states: Arc::new(StateSql::new(Dialect::Postgres, &states_table)),
        update_states: batches::statement(&states_table),
        look_up_states: ["id", "correlation_id"].map(|column| batches::lookup(&states_table, column)),
        states_quoted: states_table.quoted().into(),
        states_table,
        executions_quoted: pair.executions.quoted().into(),
        executions: Arc::new(Executions::new(Dialect::Postgres, pair)),
        bell: Arc::new(Bell::new(&events.channel(), events.voice(), address.pooled)),
        vacuum: Arc::default(),
        outbox_quoted: events.quoted().into(),
        outbox: Arc::new(events),
        inbox_quoted: inbox.quoted().into(),
        inbox: Arc::new(Inbox::new(Dialect::Postgres, inbox)),
        sql: Mutex::default(),
        sizes: crate::sizes::Sizes::default(),
    });
    Ok(Opened { driver, guest: Some(Arc::new(guest)) })
}

/// What works on clients of the application. Takes `namespace`, `schema` and the names of tables.
pub fn guest(mut options: OptionReader) -> Result<Arc<dyn ClientDriver>> {
    let tables = Tables::read(&mut options, Dialect::Postgres)?;
    options.finish()?;
    Ok(Arc::new(guest::Hosted::new(tables)))
}
