//! Postgres as a driver.

use super::vacuum::{self, Vacuum};
use super::{error, initialize};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::bell::Bell;
use super::executor::Session;
use super::pool::{Patience, Pool};
use crate::contract::capability::{Capabilities, Expiry, Isolation, Transactions};
use crate::contract::driver::{Batching, Driver};
use crate::contract::operation::{Access, Group, RecordKind, Work};
use crate::contract::report;
use crate::contract::report::Probe;
use crate::contract::step::Reply;
use crate::contract::transaction::Transaction;
use crate::error::{Detail, Error, Result};
use crate::registry::Lease;
use crate::runtime::Task;
use crate::sql::executions::Executions;
use crate::sql::inbox::Inbox;
use crate::sql::outbox::Outbox;
use crate::sql::payloads::PayloadSql;
use crate::sql::schema::postgres::server;
use crate::sql::schema::{TimeColumn, inspect};
use crate::sql::states::schema::{all_statements, make_if_allowed};
use crate::sql::states::{StateSql, purge_both};
use crate::sql::tables::All;
use crate::sql::{Dialect, Table};
use crate::time::Millis;

pub(super) static CAPABILITIES: Capabilities = Capabilities {
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
pub(super) const TRUSTED: Duration = Duration::from_secs(30);
/// The same, for what cannot be repeated.
pub(super) const TRUSTED_BY_THE_CAREFUL: Duration = Duration::from_millis(500);

/// A store's own part: its tables. The pool is shared.
pub(super) struct Postgres {
    pub(super) pool: Lease<Pool>,
    pub(super) prepared: bool,
    pub(super) pool_size: usize,
    pub(super) wait: Duration,
    pub(super) table: Table,
    pub(super) quoted: Arc<str>,
    pub(super) states_table: Table,
    pub(super) states_quoted: Arc<str>,
    pub(super) states: Arc<StateSql>,
    pub(super) executions: Arc<Executions>,
    pub(super) executions_quoted: Arc<str>,
    pub(super) outbox: Arc<Outbox>,
    pub(super) outbox_quoted: Arc<str>,
    pub(super) inbox: Arc<Inbox>,
    pub(super) inbox_quoted: Arc<str>,
    /// Updates several sagas.
    pub(super) update_states: String,
    /// Look several sagas up: by saga ids, by correlation ids.
    pub(super) look_up_states: [String; 2],
    /// The statements, once the table has been looked at.
    pub(super) sql: Mutex<Option<Arc<PayloadSql>>>,
    pub(super) sizes: crate::sizes::Sizes,
    pub(super) bell: Arc<Bell>,
    pub(super) vacuum: Arc<Vacuum>,
}

impl Postgres {
    pub(super) fn known(&self) -> MutexGuard<'_, Option<Arc<PayloadSql>>> {
        self.sql.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection of the pool. Its errors are those of an operation that was not sent.
    pub(super) async fn session(&self, careful: bool) -> Result<Session> {
        self.session_on(&self.quoted, careful).await
    }

    /// The same, for a table of this quoted name.
    pub(super) async fn session_on(&self, quoted: &Arc<str>, careful: bool) -> Result<Session> {
        let trust = if careful { TRUSTED_BY_THE_CAREFUL } else { TRUSTED };
        let checkout = self.pool.arc().checkout(Patience { wait: self.wait, trust }).await?;
        Ok(Session::new(checkout, quoted, self.prepared))
    }

    /// The statements for the table as it is. That it is missing is not remembered.
    pub(super) async fn statements(&self, session: &mut Session) -> Result<Arc<PayloadSql>> {
        if let Some(sql) = self.known().clone() {
            return Ok(sql);
        }
        let found = inspect(session, Dialect::Postgres, &self.table).await.map_err(Error::unsent)?;
        let found = found.ok_or_else(|| error::missing_table(&self.quoted))?;
        Ok(self.learn(found.time))
    }

    pub(super) fn learn(&self, time: TimeColumn) -> Arc<PayloadSql> {
        let sql = Arc::new(PayloadSql::new(Dialect::Postgres, &self.table, time));
        *self.known() = Some(Arc::clone(&sql));
        sql
    }

    fn tables(&self) -> All<'_> {
        let Self { table: payloads, states_table: states, executions, outbox, inbox, .. } = self;
        All { payloads, states, executions, outbox, inbox }
    }

    pub(super) fn look_again_if_changed(&self, session: &Session) {
        if session.table_changed() {
            *self.known() = None;
        }
    }
}

impl Driver for Postgres {
    fn capabilities(&self) -> &'static Capabilities {
        &CAPABILITIES
    }

    fn batching(&self, kind: RecordKind, access: Access) -> Batching {
        // Writes and reads together need no more connections than there are.
        let concurrency =
            if access == Access::Write { self.pool_size.min(2) } else { self.pool_size.saturating_sub(2).clamp(1, 16) };
        // What moves records is a page of them.
        let max_operations = if kind == RecordKind::Moving { 1 } else { 128 };
        Batching { concurrency, max_operations, max_bytes: 4 * 1024 * 1024, together_from: usize::MAX }
    }

    fn run<'a>(&'a self, group: Group<'a>) -> Task<'a, Vec<Result<Reply>>> {
        match group {
            Group::Payloads(Work::Write(group)) => Box::pin(self.write_group(group)),
            Group::Payloads(Work::Read(group)) => Box::pin(self.read_group(group)),
            Group::Outbox(Work::Write(group)) => Box::pin(self.write_outbox_group(group)),
            Group::Outbox(Work::Read(group)) => Box::pin(self.read_outbox_group(group)),
            Group::Moving(Work::Write(group)) => Box::pin(self.write_moving_group(group)),
            Group::Moving(Work::Read(group)) => Box::pin(self.read_moving_group(group)),
            Group::Inbox(Work::Write(group)) => Box::pin(self.write_inbox_group(group)),
            Group::Inbox(Work::Read(group)) => Box::pin(self.read_inbox_group(group)),
            Group::Executions(Work::Write(group)) => Box::pin(self.write_execution_group(group)),
            Group::Executions(Work::Read(group)) => Box::pin(self.read_execution_group(group)),
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
            warnings.extend(self.executions.make_if_allowed(&mut session).await?);
            warnings.extend(self.outbox.make_if_allowed(&mut session).await?);
            warnings.extend(self.inbox.make_if_allowed(&mut session).await?);
            warnings.extend(server(&mut session, &self.table).await?.warning());
            warnings.extend(self.tables().forbidden(&mut session).await?);
            Ok(warnings)
        })
    }

    fn schema(&self) -> Vec<String> {
        let mut all = all_statements(Dialect::Postgres, &self.table, &self.states_table);
        all.extend(self.executions.pair().statements(Dialect::Postgres));
        all.extend(self.outbox.statements());
        all.extend(self.inbox.statements());
        all
    }

    fn purge_expired(&self, now: Millis, limit: u64) -> Task<'_, Result<u64>> {
        Box::pin(async move {
            let mut session = self.session(true).await?;
            let sql = self.statements(&mut session).await?;
            let removed = purge_both(&mut session, &sql, &self.states, now, limit).await;
            self.look_again_if_changed(&session);
            let mut removed = removed?;
            if removed < limit {
                removed += self.executions.purge_expired(&mut session, now, limit - removed).await?;
            }
            if removed < limit {
                removed += self.outbox.purge_expired(&mut session, now, limit - removed).await?;
            }
            if removed < limit {
                removed += self.inbox.purge_expired(&mut session, now, limit - removed).await?;
            }
            Ok(removed)
        })
    }

    fn probe(&self) -> Task<'_, Result<Probe>> {
        Box::pin(async move {
            let mut session = self.session(true).await?;
            let server = server(&mut session, &self.table).await?;
            let mut probe = server.probe(&self.quoted);
            probe.complain(self.tables().wrong(&mut session, Dialect::Postgres).await?);
            probe.complain(self.tables().forbidden(&mut session).await?);
            probe.degraded = probe.degraded.or_else(|| self.bell.listener.trouble());
            if let Some(listens) = self.bell.listener.listens() {
                probe.details.push(("outboxListens", Detail::Number(i64::from(listens))));
            }
            if let Some(trouble) = self.vacuum.trouble() {
                probe.degraded.get_or_insert_with(|| trouble.to_owned());
            }
            if let Some((ms, who)) = vacuum::held_back(&mut session).await? {
                probe.details.push(("oldestTransactionMs", Detail::Number(ms)));
                probe.degraded = probe.degraded.or_else(|| vacuum::warning(ms, &who));
            }
            Ok(probe)
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

    fn rung(&self) -> Task<'_, ()> {
        Box::pin(self.bell.rung(self.pool.arc()))
    }

    fn pool(&self) -> Option<report::Pool> {
        Some(self.pool.counts())
    }

    fn close(&self) -> Task<'_, ()> {
        Box::pin(async move {
            self.bell.listener.close();
            if let Some(pool) = self.pool.release() {
                pool.close().await;
            }
        })
    }
}
