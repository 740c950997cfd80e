//! PostgreSQL 12 and later, and what speaks its protocol, through `sqlx`'s connection.
//!
//! - A group of writes is one statement over arrays; so is a group of small gets.
//! - A connection is closed, not reused, when a statement on it did not come to its end.
//! - The table is looked at once, at the first use: an `expires_at` without time zone is UTC.

mod address;
mod error;
mod executor;
mod guest;
mod initialize;
mod payloads;
mod pool;
mod query;
mod states;
#[cfg(test)]
mod tests;
mod transaction;
mod values;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::contract::capability::{Capabilities, Expiry, Isolation, Transactions};
use crate::contract::driver::{Batching, Driver, Opened};
use crate::contract::guest::ClientDriver;
use crate::contract::operation::{Access, Group, RecordKind, Work};
use crate::contract::report;
use crate::contract::report::Probe;
use crate::contract::settings::Settings;
use crate::contract::step::Reply;
use crate::contract::transaction::Transaction;
use crate::error::{Error, Result};
use crate::namespace::{Namespace, PAYLOADS, SAGAS, same_place};
use crate::options::OptionReader;
use crate::registry::Lease;
use crate::runtime::Task;
use crate::sql::payloads::PayloadSql;
use crate::sql::schema::postgres::server;
use crate::sql::schema::{TimeColumn, inspect};
use crate::sql::states::schema::{all_statements, make_if_allowed};
use crate::sql::states::{StateSql, batches, purge_both};
use crate::sql::{Dialect, Table};
use crate::time::Millis;
use executor::Session;
use pool::{Patience, Pool};

static CAPABILITIES: Capabilities = Capabilities {
    transactions: Transactions::Interactive,
    isolation: &[Isolation::ReadCommitted, Isolation::RepeatableRead, Isolation::Serializable],
    expiry: Expiry::Cleanup,
    // A value, and the message that carries it, ends at 1 GiB.
    max_payload_bytes: 1_000_000_000,
    durable: true,
    shared: true,
    consistent_reads: true,
};

/// A connection that was idle for less is used without asking it first.
const TRUSTED: Duration = Duration::from_secs(30);
/// The same, for what cannot be repeated.
const TRUSTED_BY_THE_CAREFUL: Duration = Duration::from_millis(500);

/// Opens a store on a libpq URL.
pub fn open(url: &str, settings: &Settings, mut options: OptionReader) -> Result<Opened> {
    let (table, states_table) = tables(&mut options)?;
    let pool_size = options.number("poolSize", 4, 1..=100)?;
    options.finish()?;
    let address = address::parse(url)?;
    let connect_timeout =
        address.connect_timeout.map_or(settings.connect_timeout, |limit| limit.min(settings.connect_timeout));
    let key = format!("postgres:{pool_size}:{}:{url}", connect_timeout.as_millis());
    let size = u32::try_from(pool_size).unwrap_or(1);
    let guest = guest::Hosted::new(table.clone(), states_table.clone());
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
        sql: Mutex::default(),
        sizes: payloads::Sizes::default(),
    });
    Ok(Opened { driver, guest: Some(Arc::new(guest)) })
}

/// What works on clients of the application. Takes `namespace`, `schema`, `tableName` and `statesTableName`.
pub fn guest(mut options: OptionReader) -> Result<Arc<dyn ClientDriver>> {
    let (table, states_table) = tables(&mut options)?;
    options.finish()?;
    Ok(Arc::new(guest::Hosted::new(table, states_table)))
}

/// The table of payloads and that of sagas.
fn tables(options: &mut OptionReader) -> Result<(Table, Table)> {
    let schema = match options.string("schema")? {
        None => None,
        // Read again as an identifier, under the same rules as the table's name.
        Some(schema) => Some(identifier("schema", &schema)?),
    };
    let namespace = Namespace::read(options)?;
    let payloads = options.identifier("tableName", &namespace.table(PAYLOADS, "saga_store"))?;
    let states = options.identifier("statesTableName", &namespace.table(SAGAS, "saga_instances"))?;
    if payloads == states {
        return Err(same_place("tableName", "statesTableName"));
    }
    Ok((Table::new(schema.clone(), payloads), Table::new(schema, states)))
}

/// A store's own part: its tables. The pool is shared.
struct Postgres {
    pool: Lease<Pool>,
    prepared: bool,
    pool_size: usize,
    wait: Duration,
    table: Table,
    quoted: Arc<str>,
    states_table: Table,
    states_quoted: Arc<str>,
    states: Arc<StateSql>,
    /// Updates several sagas.
    update_states: String,
    /// Look several sagas up: by saga ids, by correlation ids.
    look_up_states: [String; 2],
    /// The statements, once the table has been looked at.
    sql: Mutex<Option<Arc<PayloadSql>>>,
    sizes: payloads::Sizes,
}

impl Postgres {
    fn known(&self) -> MutexGuard<'_, Option<Arc<PayloadSql>>> {
        self.sql.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection of the pool. Its errors are those of an operation that was not sent.
    async fn session(&self, careful: bool) -> Result<Session> {
        self.session_on(&self.quoted, careful).await
    }

    /// The same, for a table of this quoted name.
    async fn session_on(&self, quoted: &Arc<str>, careful: bool) -> Result<Session> {
        let trust = if careful { TRUSTED_BY_THE_CAREFUL } else { TRUSTED };
        let checkout = self.pool.shared().checkout(Patience { wait: self.wait, trust }).await?;
        Ok(Session::new(checkout, quoted, self.prepared))
    }

    /// The statements for the table as it is. That it is missing is not remembered.
    async fn statements(&self, session: &mut Session) -> Result<Arc<PayloadSql>> {
        if let Some(sql) = self.known().clone() {
            return Ok(sql);
        }
        let found = inspect(session, Dialect::Postgres, &self.table).await.map_err(Error::unsent)?;
        let found = found.ok_or_else(|| error::missing_table(&self.quoted))?;
        Ok(self.learn(found.time))
    }

    fn learn(&self, time: TimeColumn) -> Arc<PayloadSql> {
        let sql = Arc::new(PayloadSql::new(Dialect::Postgres, &self.table, time));
        *self.known() = Some(Arc::clone(&sql));
        sql
    }

    fn look_again_if_changed(&self, session: &Session) {
        if session.table_changed() {
            *self.known() = None;
        }
    }
}

impl Driver for Postgres {
    fn capabilities(&self) -> &'static Capabilities {
        &CAPABILITIES
    }

    fn batching(&self, _kind: RecordKind, access: Access) -> Batching {
        // Writes and reads together need no more connections than there are.
        let concurrency =
            if access == Access::Write { self.pool_size.min(2) } else { self.pool_size.saturating_sub(2).clamp(1, 16) };
        Batching { concurrency, max_operations: 128, max_bytes: 4 * 1024 * 1024, together_from: usize::MAX }
    }

    fn run<'a>(&'a self, group: Group<'a>) -> Task<'a, Vec<Result<Reply>>> {
        match group {
            Group::Payloads(Work::Write(group)) => Box::pin(self.write_group(group)),
            Group::Payloads(Work::Read(group)) => Box::pin(self.read_group(group)),
            Group::States(Work::Write(group)) => Box::pin(self.write_state_group(group)),
            Group::States(Work::Read(group)) => Box::pin(self.read_state_group(group)),
        }
    }

    fn begin(&self, isolation: Option<Isolation>) -> Task<'_, Result<Box<dyn Transaction>>> {
        Box::pin(self.begin_transaction(isolation))
    }

    fn initialize(&self) -> Task<'_, Result<Vec<String>>> {
        Box::pin(async move {
            let mut session = self.session(true).await?;
            let (found, mut warnings) = initialize::initialize(&mut session, &self.table, self.prepared).await?;
            self.learn(found.time);
            warnings.extend(make_if_allowed(&mut session, &self.states_table).await?);
            Ok(warnings)
        })
    }

    fn schema(&self) -> Vec<String> {
        all_statements(Dialect::Postgres, &self.table, &self.states_table)
    }

    fn purge_expired(&self, now: Millis, limit: u64) -> Task<'_, Result<u64>> {
        Box::pin(async move {
            let mut session = self.session(true).await?;
            let sql = self.statements(&mut session).await?;
            let removed = purge_both(&mut session, &sql, &self.states, now, limit).await;
            self.look_again_if_changed(&session);
            removed
        })
    }

    fn probe(&self) -> Task<'_, Result<Probe>> {
        Box::pin(async move {
            let mut session = self.session(true).await?;
            let server = server(&mut session, &self.table).await?;
            Ok(server.probe(&self.quoted))
        })
    }

    fn usage(&self, now: Millis) -> Task<'_, Result<report::Usage>> {
        Box::pin(async move {
            let mut session = self.session(true).await?;
            let sql = self.statements(&mut session).await?;
            let usage = sql.usage(&mut session, now).await;
            self.look_again_if_changed(&session);
            usage
        })
    }

    fn pool(&self) -> Option<report::Pool> {
        Some(self.pool.counts())
    }

    fn close(&self) -> Task<'_, ()> {
        Box::pin(async move {
            if let Some(pool) = self.pool.release() {
                pool.close().await;
            }
        })
    }
}

/// `OptionReader::identifier` for an option without a default.
fn identifier(name: &'static str, text: &str) -> Result<String> {
    let json = serde_json::json!({ name: text }).to_string();
    OptionReader::parse(&json)?.identifier(name, text)
}
