//! An SQLite file, shared with other processes, or private memory.
//!
//! One thread writes, in transactions that take in all operations that wait (group commit);
//! one thread reads; one checkpoints. The operations' futures run on these threads directly.

mod bell;
mod checkpoint;
mod connection;
mod database;
mod driver;
mod error;
mod executor;
mod groups;
mod guest;
mod location;
mod locks;
mod payloads;
mod presence;
mod schema;
mod slot;
#[cfg(test)]
mod tests;
mod transaction;
mod wal;
mod worker;

use std::sync::Arc;

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
use crate::sql::payloads::PayloadSql;
use crate::sql::schema::TimeColumn;
use crate::sql::states::StateSql;
use crate::sql::tables::Tables;
use connection::Durability;
use database::Database;
use driver::Sqlite;
use location::Location;
use transaction::Sql;

/// Opens `sqlite:///absolute.db`, `sqlite:relative.db` or `sqlite::memory:`. Does not touch
/// the file and starts no thread.
pub fn open(url: &str, settings: &Settings, mut options: OptionReader) -> Result<Opened> {
    let tables = Tables::read(&mut options, Dialect::Sqlite)?;
    let durability = match options.choice("durability", &["full", "normal"])? {
        "normal" => Durability::Normal,
        _ => Durability::Full,
    };
    options.finish()?;
    let location = Location::from_url(url)?;
    let database = match location.path() {
        None => Lease::private(Database::new(location, durability)),
        Some(path) => {
            // Escaped, so that two paths that are no UTF-8 stay two.
            #[allow(clippy::unnecessary_debug_formatting)]
            let key = format!("sqlite:{}:{path:?}", durability.name());
            Lease::take(key, || Database::new(location, durability))
        }
    };
    let patience = settings.operation_timeout.mul_f64(0.9);
    let guest = guest::Hosted::new(tables.clone());
    let Tables { payloads: table, states: states_table, executions, log, outbox, inbox } = tables;
    let sql = Sql {
        payloads: Arc::new(PayloadSql::new(Dialect::Sqlite, &table, TimeColumn::Text)),
        states: Arc::new(StateSql::new(Dialect::Sqlite, &states_table)),
        executions: Arc::new(Executions::new(Dialect::Sqlite, Pair { executions, log })),
        outbox: Arc::new(Outbox::new(Dialect::Sqlite, outbox)),
        inbox: Arc::new(Inbox::new(Dialect::Sqlite, inbox)),
    };
    let driver = Arc::new(Sqlite {
        database,
        table,
        states_table,
        sql,
        // Each of the lane's attempts gets its share, so that the last one's error, which
        // says what is wrong, comes before the lane's own timeout, which does not.
        group_patience: patience.mul_f64(0.7) / settings.retry.attempts,
        patience,
        heard: bell::Heard::default(),
    });
    Ok(Opened { driver, guest: Some(Arc::new(guest)) })
}

/// What works on clients of the application. Takes `namespace` and the names of tables.
pub fn guest(mut options: OptionReader) -> Result<Arc<dyn ClientDriver>> {
    let tables = Tables::read(&mut options, Dialect::Sqlite)?;
    options.finish()?;
    Ok(Arc::new(guest::Hosted::new(tables)))
}
