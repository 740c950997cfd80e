//! Groups of operations on records other than payloads, each group in one transaction.

use std::time::Duration;

use super::database::Database;
use super::executor::{Alone, Purpose, Transaction};
use super::payloads::{begin_turn, for_each, wake_checkpoints};
use super::slot::Slot;
use super::transaction::Sql;
use super::wal::restart_if_due;
use crate::contract::executions::{ExecutionRead, ExecutionWrite};
use crate::contract::inbox::{InboxRead, InboxWrite};
use crate::contract::moving::{MovingRead, MovingWrite};
use crate::contract::outbox::{OutboxRead, OutboxWrite};
use crate::contract::states::{StateRead, StateWrite};
use crate::contract::step::Reply;
use crate::error::Result;
use crate::sql::executions::Executions;
use crate::sql::inbox::Inbox;
use crate::sql::outbox::Outbox;
use crate::sql::states::StateSql;
use crate::sql::{Around, Executor};
use crate::time::Millis;

/// The statements of a kind, for operations of this type.
pub(super) trait Runs<O> {
    /// Runs one operation; one that fails has changed nothing, and fails alone.
    async fn run<E: Executor>(&self, on: &mut E, operation: &O, now: Millis) -> Result<Reply>;
}

impl Runs<StateWrite> for StateSql {
    async fn run<E: Executor>(&self, on: &mut E, operation: &StateWrite, now: Millis) -> Result<Reply> {
        self.write(on, operation, now).await
    }
}

impl Runs<StateRead> for StateSql {
    async fn run<E: Executor>(&self, on: &mut E, operation: &StateRead, now: Millis) -> Result<Reply> {
        self.read(on, operation, now).await
    }
}

impl Runs<ExecutionWrite> for Executions {
    async fn run<E: Executor>(&self, on: &mut E, operation: &ExecutionWrite, now: Millis) -> Result<Reply> {
        self.write(on, operation, Around::Savepoint, now).await
    }
}

impl Runs<ExecutionRead> for Executions {
    async fn run<E: Executor>(&self, on: &mut E, operation: &ExecutionRead, now: Millis) -> Result<Reply> {
        self.read(on, operation, now).await
    }
}

impl Runs<OutboxWrite> for Outbox {
    async fn run<E: Executor>(&self, on: &mut E, operation: &OutboxWrite, now: Millis) -> Result<Reply> {
        self.write(on, operation, Around::Savepoint, now).await
    }
}

impl Runs<OutboxRead> for Outbox {
    async fn run<E: Executor>(&self, on: &mut E, operation: &OutboxRead, now: Millis) -> Result<Reply> {
        self.read(on, operation, now).await
    }
}

impl Runs<InboxWrite> for Inbox {
    async fn run<E: Executor>(&self, on: &mut E, operation: &InboxWrite, now: Millis) -> Result<Reply> {
        self.write(on, operation, now).await
    }
}

impl Runs<InboxRead> for Inbox {
    async fn run<E: Executor>(&self, on: &mut E, operation: &InboxRead, now: Millis) -> Result<Reply> {
        self.read(on, operation, now).await
    }
}

impl Runs<MovingWrite> for Sql {
    async fn run<E: Executor>(&self, on: &mut E, operation: &MovingWrite, now: Millis) -> Result<Reply> {
        self.place(operation.kind()).write(on, operation, now).await
    }
}

impl Runs<MovingRead> for Sql {
    async fn run<E: Executor>(&self, on: &mut E, operation: &MovingRead, _now: Millis) -> Result<Reply> {
        self.place(operation.kind()).read(on, operation).await
    }
}

/// Runs a group of changes, on the writer's thread; answered when they are committed.
pub(super) async fn write<O>(
    database: &Database,
    sql: &impl Runs<O>,
    group: &[O],
    limit: Duration,
) -> Vec<Result<Reply>> {
    begin_turn().await;
    let results = database.writers_slot().patiently(false, limit, |connection| {
        restart_if_due(&database.checkpoints, connection)?;
        let mut transaction = Transaction::begin(connection, Purpose::Write)?;
        let results = transaction.run(async |on| each(on, sql, group).await)?;
        transaction.commit()?;
        Ok(results)
    });
    let results = for_each(group, results.await);
    wake_checkpoints(database);
    results
}

/// Runs a group of questions on one state of the database, on the reader's thread.
pub(super) async fn read<O>(
    database: &Database,
    sql: &impl Runs<O>,
    group: &[O],
    limit: Duration,
) -> Vec<Result<Reply>> {
    let results = database.readers_slot().patiently(false, limit, |connection| {
        if group.len() == 1 {
            return Alone::run(connection, async |on| each(on, sql, group).await);
        }
        let mut transaction = Transaction::begin(connection, Purpose::Read)?;
        let results = transaction.run(async |on| each(on, sql, group).await)?;
        transaction.commit()?;
        Ok(results)
    });
    for_each(group, results.await)
}

async fn each<O, E: Executor>(on: &mut E, sql: &impl Runs<O>, group: &[O]) -> Vec<Result<Reply>> {
    let now = Millis::now();
    let mut results = Vec::with_capacity(group.len());
    for operation in group {
        results.push(sql.run(on, operation, now).await);
    }
    results
}

/// Removes one batch of what is neither a payload nor saga state, on the writer's thread.
pub(super) async fn purge_expired(slot: &Slot, sql: &Sql, now: Millis, batch: u64, limit: Duration) -> Result<u64> {
    slot.patiently(false, limit, |connection| {
        let mut transaction = Transaction::begin(connection, Purpose::Write)?;
        let removed = transaction.run(async |on| {
            let mut removed = sql.executions.purge_expired(on, now, batch).await?;
            if removed < batch {
                removed += sql.outbox.purge_expired(on, now, batch - removed).await?;
            }
            if removed < batch {
                removed += sql.inbox.purge_expired(on, now, batch - removed).await?;
            }
            Ok(removed)
        })?;
        transaction.end(removed)
    })
    .await
}
