//! Groups of operations on saga state, each group in one transaction.

use std::time::Duration;

use super::database::Database;
use super::executor::{Alone, Purpose, Transaction};
use super::payloads::{begin_turn, for_each, wake_checkpoints};
use super::wal::restart_if_due;
use crate::contract::states::{StateRead, StateWrite};
use crate::contract::step::Reply;
use crate::error::Result;
use crate::sql::states::StateSql;
use crate::time::Millis;

/// Runs a group of changes, on the writer's thread; answered when they are committed. One that meets
/// another version, or another saga, has changed nothing, and fails alone.
pub(super) async fn write(
    database: &Database,
    sql: &StateSql,
    group: &[StateWrite],
    limit: Duration,
) -> Vec<Result<Reply>> {
    begin_turn().await;
    let results = database.writers_slot().patiently(false, limit, |connection| {
        restart_if_due(&database.checkpoints, connection)?;
        let mut transaction = Transaction::begin(connection, Purpose::Write)?;
        let now = Millis::now();
        let results = transaction.run(async |on| {
            let mut results = Vec::with_capacity(group.len());
            for write in group {
                results.push(sql.write(on, write, now).await);
            }
            results
        })?;
        transaction.commit()?;
        Ok(results)
    });
    let results = for_each(group, results.await);
    wake_checkpoints(database);
    results
}

/// Runs a group of questions on one state of the database, on the reader's thread.
pub(super) async fn read(
    database: &Database,
    sql: &StateSql,
    group: &[StateRead],
    limit: Duration,
) -> Vec<Result<Reply>> {
    let results = database.readers_slot().patiently(false, limit, |connection| {
        let now = Millis::now();
        if let [only] = group {
            return Alone::run(connection, async |on| vec![sql.read(on, only, now).await]);
        }
        let mut transaction = Transaction::begin(connection, Purpose::Read)?;
        let results = transaction.run(async |on| {
            let mut results = Vec::with_capacity(group.len());
            for read in group {
                results.push(sql.read(on, read, now).await);
            }
            results
        })?;
        transaction.commit()?;
        Ok(results)
    });
    for_each(group, results.await)
}
