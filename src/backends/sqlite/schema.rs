//! Making and checking the table, and what a health probe sees of it.

use std::time::Duration;

use rusqlite::Connection;

use super::connection::journal_mode;
use super::database::Database;
use super::error::{Failure, missing_table};
use super::executor::{Alone, Purpose, Transaction};
use super::location::Location;
use super::payloads::is_read_only;
use super::slot::Slot;
use super::transaction::Sql;
use crate::contract::report::Probe;
use crate::error::{Detail, Error, Kind, Result};
use crate::sql::schema::{PayloadTable, create, create_index, inspect};
use crate::sql::states::schema;
use crate::sql::tables::All;
use crate::sql::{Dialect, Executor, Table, Value};

/// Creates file, tables and indexes where they are missing, and checks tables that are there.
/// Runs on the writer's thread; other processes that do the same wait for the lock.
pub(super) async fn initialize(
    slot: &Slot,
    table: &Table,
    states: &Table,
    sql: &Sql,
    limit: Duration,
) -> Result<Vec<String>> {
    slot.patiently(true, limit, |connection| {
        if is_read_only(connection)? {
            return check_read_only(connection, table, states, sql);
        }
        let mut transaction = Transaction::begin(connection, Purpose::Write)?;
        let warnings = transaction.run(async |on| {
            let warnings = make(on, table).await?;
            schema::make(on, states).await?;
            sql.executions.make(on).await?;
            sql.outbox.make(on).await?;
            sql.inbox.make(on).await?;
            Ok(warnings)
        })?;
        transaction.end(warnings)
    })
    .await
}

pub(super) async fn make<E: Executor>(on: &mut E, table: &Table) -> Result<Vec<String>> {
    match inspect(on, Dialect::Sqlite, table).await? {
        None => {
            create(on, Dialect::Sqlite, table).await?;
            Ok(Vec::new())
        }
        Some(found) => {
            check_unique_id(on, table).await?;
            create_index(on, Dialect::Sqlite, table).await?;
            Ok(warnings(found, table))
        }
    }
}

fn check_read_only(
    connection: &mut Connection,
    table: &Table,
    states: &Table,
    sql: &Sql,
) -> Result<Vec<String>, Failure> {
    let found = Alone::run(connection, async |on| {
        let found = inspect(on, Dialect::Sqlite, table).await?;
        if found.is_some() {
            check_unique_id(on, table).await?;
        }
        Ok::<_, Error>(found)
    })??;
    let Some(found) = found else {
        let message = format!("the database file is read-only and table {} does not exist", table.quoted());
        return Err(Error::new(Kind::Backend, message).into());
    };
    let mut warnings = warnings(found, table);
    warnings.push(String::from("the database file is read-only: payloads can be read, not written"));
    if Alone::run(connection, async |on| schema::is_ready(on, states).await)?? != Some(true) {
        let states = states.quoted();
        warnings
            .push(format!("the database file is read-only and table {states} does not exist: there is no saga state"));
    }
    if let Err(error) = Alone::run(connection, async |on| sql.executions.sql(on).await.map(drop))? {
        warnings.push(format!("the database file is read-only, and there are no executions: {error}"));
    }
    let is_ready = Alone::run(connection, async |on| {
        Ok::<_, Error>(sql.outbox.is_ready(on).await? && sql.inbox.is_ready(on).await?)
    })?;
    if !is_ready.is_ok_and(|is_ready| is_ready) {
        warnings.push(String::from("the database file is read-only, and there is no outbox, or no inbox"));
    }
    Ok(warnings)
}

fn warnings(found: PayloadTable, table: &Table) -> Vec<String> {
    if found.expiry_optional {
        return Vec::new();
    }
    vec![format!("column expires_at of table {} is NOT NULL: every payload needs an expiry", table.quoted())]
}

/// A put replaces the row of its id, so the database must know ids to be unique.
async fn check_unique_id<E: Executor>(on: &mut E, table: &Table) -> Result<()> {
    let sql = "select 1 from pragma_index_list($1) l where l.\"unique\" and not l.partial \
               and (select group_concat(name) from pragma_index_info(l.name)) = 'id'";
    if on.run(sql, &[Value::text(table.name())]).await?.rows.is_empty() {
        let message = format!("column id of table {} is neither its primary key nor unique", table.quoted());
        return Err(Error::new(Kind::Backend, message));
    }
    Ok(())
}

/// Looks at the database, on the reader's thread.
pub(super) async fn probe(
    database: &Database,
    table: &Table,
    states: &Table,
    sql: &Sql,
    limit: Duration,
) -> Result<Probe> {
    // One that has been there is missed by the connection.
    let missing = if database.presence.is_known() { None } else { missing_file(&database.location) };
    database.presence.check()?;
    let seen = if let Some(missing) = missing {
        Seen { degraded: Some(missing), wrong: Vec::new(), journal: None }
    } else {
        let slot = database.readers_slot();
        slot.patiently(false, limit, |connection| look(connection, table, states, sql)).await?
    };
    let mut details = vec![
        ("path", Detail::Text(database.location.shown())),
        ("durability", Detail::Text(database.durability.name().to_owned())),
    ];
    details.extend(seen.journal.map(|mode| ("journalMode", Detail::Text(mode))));
    details.extend(wal_bytes(&database.location).map(|bytes| ("walBytes", Detail::count(bytes))));
    let version = Some(rusqlite::version().to_owned());
    let mut probe = Probe { server_version: version, degraded: seen.degraded, details };
    probe.complain(seen.wrong);
    let is_full = database.checkpoints.is_full();
    probe.complain(is_full.then(|| String::from("the disk is full: the last write was refused")));
    Ok(probe)
}

struct Seen {
    degraded: Option<String>,
    /// Which tables are other ones than they should be.
    wrong: Vec<String>,
    journal: Option<String>,
}

fn look(connection: &mut Connection, table: &Table, states: &Table, sql: &Sql) -> Result<Seen, Failure> {
    let found = Alone::run(connection, async |on| inspect(on, Dialect::Sqlite, table).await)?;
    let degraded = match found {
        Err(error) if error.kind() != Kind::Backend => return Err(error.into()),
        Ok(None) => Some(missing_table(table).message().to_owned()),
        Ok(Some(_)) if is_read_only(connection)? => {
            Some(String::from("the database file is read-only: payloads can be read, not written"))
        }
        // What cannot be read is one of those that are wrong.
        Err(_) | Ok(Some(_)) => None,
    };
    let Sql { executions, outbox, inbox, .. } = sql;
    let tables = All { payloads: table, states, executions, outbox, inbox };
    let wrong = Alone::run(connection, async |on| tables.wrong(on, Dialect::Sqlite).await)??;
    Ok(Seen { degraded, wrong, journal: Some(journal_mode(connection)?) })
}

fn missing_file(location: &Location) -> Option<String> {
    let path = location.path()?;
    let missing = !path.exists() && path.parent().is_some_and(std::path::Path::is_dir);
    missing.then(|| String::from("the database file does not exist: call initialize() first"))
}

fn wal_bytes(location: &Location) -> Option<u64> {
    let mut wal = location.path()?.as_os_str().to_owned();
    wal.push("-wal");
    Some(std::fs::metadata(wal).map_or(0, |found| found.len()))
}
