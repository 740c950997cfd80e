//! Sqlite as a driver.

use super::{groups, payloads, schema, transaction};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::runtime::Handle;

use super::bell::{self, Heard};
use super::database::Database;
use super::location::Location;
use super::transaction::Sql;
use super::worker::hop;
use crate::contract::capability::{Capabilities, Expiry, Isolation, Transactions};
use crate::contract::driver::{Batching, Driver};
use crate::contract::operation::{Access, Group, RecordKind, Work};
use crate::contract::report::{Pool, Probe, Usage};
use crate::contract::step::Reply;
use crate::contract::transaction::Transaction;
use crate::error::Result;
use crate::registry::Lease;
use crate::runtime::Task;
use crate::sql::states::schema::all_statements;
use crate::sql::{Dialect, Table};
use crate::time::Millis;

/// SQLite's limit for a whole row is a billion bytes; the id, the expiry and the row's
/// header take their part of it.
pub(super) const MAX_PAYLOAD_BYTES: u64 = 1_000_000_000 - 4_096;

pub(super) static FILE: Capabilities = Capabilities {
    transactions: Transactions::Interactive,
    isolation: &[Isolation::Serializable],
    expiry: Expiry::Cleanup,
    max_payload_bytes: MAX_PAYLOAD_BYTES,
    durable: true,
    shared: true,
    consistent_reads: true,
};

pub(super) static MEMORY: Capabilities = Capabilities { durable: false, shared: false, ..FILE };

/// Operations in one transaction. More gain nothing, and each waits for the whole group.
pub(super) const WRITES: Batching =
    Batching { concurrency: 1, max_operations: 256, max_bytes: 16 * 1024 * 1024, together_from: 0 };

/// A group's payloads are all in memory at once, and their sizes are not known before.
pub(super) const READS: Batching =
    Batching { concurrency: 1, max_operations: 64, max_bytes: usize::MAX, together_from: usize::MAX };

/// A probe gives up before the health check does.
pub(super) const PROBE_PATIENCE: Duration = Duration::from_secs(4);

pub(super) struct Sqlite {
    pub(super) database: Lease<Database>,
    pub(super) table: Table,
    pub(super) states_table: Table,
    pub(super) sql: Sql,
    pub(super) group_patience: Duration,
    pub(super) patience: Duration,
    pub(super) heard: Heard,
}

impl Driver for Sqlite {
    fn capabilities(&self) -> &'static Capabilities {
        if self.database.location == Location::Memory { &MEMORY } else { &FILE }
    }

    fn batching(&self, kind: RecordKind, access: Access) -> Batching {
        match (access, kind) {
            (Access::Write, _) => WRITES,
            // Each is a page of records.
            (Access::Read, RecordKind::Moving) => Batching { max_operations: 1, ..READS },
            (Access::Read, _) => READS,
        }
    }

    fn runtime_of(&self, access: Access) -> Result<Handle> {
        let (_, thread) = if access == Access::Write { self.database.writer() } else { self.database.reader() }?;
        Ok(thread)
    }

    fn run<'a>(&'a self, group: Group<'a>) -> Task<'a, Vec<Result<Reply>>> {
        let (database, sql, patience): (&Database, _, _) = (&self.database, &self.sql, self.group_patience);
        match group {
            Group::Payloads(Work::Write(group)) => Box::pin(payloads::write(database, &sql.payloads, group, patience)),
            Group::Payloads(Work::Read(group)) => Box::pin(payloads::read(database, &sql.payloads, group, patience)),
            Group::States(Work::Write(group)) => Box::pin(groups::write(database, &*sql.states, group, patience)),
            Group::States(Work::Read(group)) => Box::pin(groups::read(database, &*sql.states, group, patience)),
            Group::Executions(Work::Write(group)) => {
                Box::pin(groups::write(database, &*sql.executions, group, patience))
            }
            Group::Executions(Work::Read(group)) => Box::pin(groups::read(database, &*sql.executions, group, patience)),
            Group::Outbox(Work::Write(group)) => Box::pin(groups::write(database, &*sql.outbox, group, patience)),
            Group::Outbox(Work::Read(group)) => Box::pin(groups::read(database, &*sql.outbox, group, patience)),
            Group::Moving(Work::Write(group)) => Box::pin(groups::write(database, sql, group, patience)),
            Group::Moving(Work::Read(group)) => Box::pin(groups::read(database, sql, group, patience)),
            Group::Inbox(Work::Write(group)) => Box::pin(groups::write(database, &*sql.inbox, group, patience)),
            Group::Inbox(Work::Read(group)) => Box::pin(groups::read(database, &*sql.inbox, group, patience)),
        }
    }

    fn answers_here(&self) -> bool {
        self.database.location != Location::Memory
    }

    fn find_here(&self, id: &str) -> Option<Bytes> {
        payloads::find_here(&self.database, &self.sql.payloads, id)
    }

    fn begin(&self, _isolation: Option<Isolation>) -> Task<'_, Result<Box<dyn Transaction>>> {
        Box::pin(async {
            let (slot, thread) = self.database.writer()?;
            let database = Arc::clone(self.database.arc());
            let (sql, patience) = (self.sql.clone(), self.patience);
            hop(&thread, async move { transaction::begin(slot, database, sql, patience).await }).await
        })
    }

    fn initialize(&self) -> Task<'_, Result<Vec<String>>> {
        Box::pin(async {
            let (slot, thread) = self.database.writer()?;
            let (table, states, patience) = (self.table.clone(), self.states_table.clone(), self.patience);
            let sql = self.sql.clone();
            let database = Arc::clone(self.database.arc());
            let made = async move {
                database.leave_moved(patience).await?;
                schema::initialize(&slot, &table, &states, &sql, patience).await
            };
            hop(&thread, made).await
        })
    }

    fn schema(&self) -> Vec<String> {
        let mut all = all_statements(Dialect::Sqlite, &self.table, &self.states_table);
        all.extend(self.sql.executions.pair().statements(Dialect::Sqlite));
        all.extend(self.sql.outbox.statements());
        all.extend(self.sql.inbox.statements());
        all
    }

    fn purge_expired(&self, now: Millis, limit: u64) -> Task<'_, Result<u64>> {
        Box::pin(async move {
            let (slot, thread) = self.database.writer()?;
            let (sql, patience) = (self.sql.clone(), self.patience);
            let purged = async move {
                let removed = payloads::purge_expired(&slot, &sql.payloads, &sql.states, now, limit, patience).await?;
                let left = limit.saturating_sub(removed);
                if left == 0 {
                    return Ok(removed);
                }
                Ok(removed + groups::purge_expired(&slot, &sql, now, left, patience).await?)
            };
            hop(&thread, purged).await
        })
    }

    fn probe(&self) -> Task<'_, Result<Probe>> {
        Box::pin(async {
            let (_, thread) = self.database.reader()?;
            let (database, sql) = (Arc::clone(self.database.arc()), self.sql.clone());
            let (table, states) = (self.table.clone(), self.states_table.clone());
            let patience = self.patience.min(PROBE_PATIENCE);
            hop(&thread, async move { schema::probe(&database, &table, &states, &sql, patience).await }).await
        })
    }

    fn usage(&self, now: Millis) -> Task<'_, Result<Usage>> {
        Box::pin(async move {
            let (slot, thread) = self.database.background()?;
            let (sql, patience) = (Arc::clone(&self.sql.payloads), self.patience);
            hop(&thread, async move { payloads::usage(&slot, &sql, now, patience).await }).await
        })
    }

    fn rung(&self) -> Task<'_, ()> {
        Box::pin(bell::rung(&self.database, &self.heard))
    }

    fn pool(&self) -> Option<Pool> {
        Some(self.database.pool())
    }

    fn close(&self) -> Task<'_, ()> {
        Box::pin(async {
            if let Some(database) = self.database.release() {
                database.close().await;
            }
        })
    }
}
