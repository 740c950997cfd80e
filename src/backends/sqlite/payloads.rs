//! The payload operations: groups of them in one transaction each.

use std::time::Duration;

use bytes::Bytes;
use rusqlite::{Connection, MAIN_DB};

use super::database::Database;
use super::error::Failure;
use super::executor::{Alone, Purpose, Transaction, cell};
use super::slot::Slot;
use super::wal::restart_if_due;
use crate::contract::payloads::{Read, Write};
use crate::contract::report::Usage;
use crate::contract::step::Reply;
use crate::error::Result;
use crate::sql::payloads::{PayloadSql, lives};
use crate::sql::states::{StateSql, purge_both};
use crate::time::Millis;

/// Runs a group of writes in one transaction, on the writer's thread. Answered when it is
/// committed; a statement that fails by itself fails alone.
pub(super) async fn write(
    database: &Database,
    sql: &PayloadSql,
    group: &[Write],
    limit: Duration,
) -> Vec<Result<Reply>> {
    begin_turn().await;
    let results = database.writers_slot().patiently(false, limit, |connection| {
        restart_if_due(&database.checkpoints, connection)?;
        write_group(connection, sql, group)
    });
    let results = for_each(group, results.await);
    wake_checkpoints(database);
    results
}

/// A lane under load hardly ever yields; what else waits for the thread gets its turn here.
pub(super) async fn begin_turn() {
    tokio::task::yield_now().await;
}

/// Has the WAL written back if it has grown.
pub(super) fn wake_checkpoints(database: &Database) {
    if database.checkpoints.is_due() {
        match database.background() {
            Ok(_) => database.checkpoints.wake(),
            Err(error) => tracing::warn!(%error, "sqlite: no checkpoint"),
        }
    }
}

fn write_group(connection: &mut Connection, sql: &PayloadSql, group: &[Write]) -> Result<Vec<Result<Reply>>, Failure> {
    let mut transaction = Transaction::begin(connection, Purpose::Write)?;
    let now = Millis::now();
    let results = transaction.run(async |on| sql.write(on, group, now).await)?;
    transaction.commit()?;
    Ok(results)
}

/// Runs a group of reads on one state of the database, on the reader's thread.
pub(super) async fn read(database: &Database, sql: &PayloadSql, group: &[Read], limit: Duration) -> Vec<Result<Reply>> {
    let results = database.readers_slot().patiently(false, limit, |connection| read_group(connection, sql, group));
    let results = for_each(group, results.await);
    database.prepare_here();
    results
}

/// Reads one small payload on the caller's thread; none where there is none, where it is not possible without
/// waiting, or where it fails: the reader's thread knows what to do then.
pub(super) fn find_here(database: &Database, sql: &PayloadSql, id: &str) -> Option<Bytes> {
    database.here(|connection| find_small(connection, sql, id))?
}

/// Without the steps that other databases and larger payloads need.
fn find_small(connection: &Connection, sql: &PayloadSql, id: &str) -> Result<Option<Bytes>, Failure> {
    let mut statement = connection.prepare_cached(&sql.find_small)?;
    let mut rows = statement.query([id])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let (data, expires_at) = (cell(row.get_ref(0)?), cell(row.get_ref(1)?));
    if !lives(expires_at, Millis::now())? {
        return Ok(None);
    }
    Ok(Some(data.into_bytes("data")?))
}

fn read_group(connection: &mut Connection, sql: &PayloadSql, group: &[Read]) -> Result<Vec<Result<Reply>>, Failure> {
    let now = Millis::now();
    if group.len() == 1 {
        return Alone::run(connection, async |on| sql.read(on, group, now).await);
    }
    let mut transaction = Transaction::begin(connection, Purpose::Read)?;
    let results = transaction.run(async |on| sql.read(on, group, now).await)?;
    transaction.commit()?;
    Ok(results)
}

/// What happened to the group as a whole happened to each member.
pub(super) fn for_each<O>(group: &[O], results: Result<Vec<Result<Reply>>>) -> Vec<Result<Reply>> {
    results.unwrap_or_else(|error| group.iter().map(|_| Err(error.clone())).collect())
}

/// Removes one batch, on the writer's thread.
pub(super) async fn purge_expired(
    slot: &Slot,
    sql: &PayloadSql,
    states: &StateSql,
    now: Millis,
    batch: u64,
    limit: Duration,
) -> Result<u64> {
    slot.patiently(false, limit, |connection| {
        let mut transaction = Transaction::begin(connection, Purpose::Write)?;
        let removed = transaction.run(async |on| purge_both(on, sql, states, now, batch).await)?;
        transaction.end(removed)
    })
    .await
}

/// Counts, on whichever thread.
pub(super) async fn usage(slot: &Slot, sql: &PayloadSql, now: Millis, limit: Duration) -> Result<Usage> {
    slot.patiently(false, limit, |connection| Ok(Alone::run(connection, async |on| sql.usage(on, now).await)??)).await
}

/// Whether the file could be opened for reading only.
pub(super) fn is_read_only(connection: &Connection) -> Result<bool, Failure> {
    Ok(connection.is_readonly(MAIN_DB)?)
}
