//! Carries statements to a connection, within a transaction that always comes to an end.
//! Everything here is synchronous and runs within one poll: futures that share the thread
//! never see each other's transactions.

use std::future::{Future, ready};
use std::time::{Duration, Instant};

use futures_util::future::FutureExt;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, Error as DriverError, Statement};

use super::error::{Failure, ends_transaction, is_busy, running};
use crate::buffers;
use crate::error::{Error, Kind, Result};
use crate::sql::{Answer, Cell, Executor, Value};

/// How long `commit` may go on trying where readers hold it up (only without WAL).
const COMMIT_PATIENCE: Duration = Duration::from_secs(1);

/// What a transaction is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Takes the write lock at once: there is no snapshot that could turn out too old later.
    Write,
    /// Sees one state of the database throughout.
    Read,
}

/// An open transaction; rolled back when dropped, also by a panic.
pub(super) struct Transaction<'c> {
    connection: &'c mut Connection,
    purpose: Purpose,
    ended: Option<Failure>,
}

impl<'c> Transaction<'c> {
    /// Begins.
    pub(super) fn begin(connection: &'c mut Connection, purpose: Purpose) -> Result<Self, Failure> {
        let sql = if purpose == Purpose::Write { "begin immediate" } else { "begin" };
        connection.prepare_cached(sql)?.raw_execute()?;
        Ok(Self { connection, purpose, ended: None })
    }

    /// Runs operations that wait for nothing but this executor.
    pub(super) fn run<T>(&mut self, work: impl AsyncFnOnce(&mut Self) -> T) -> Result<T, Failure> {
        work(self)
            .now_or_never()
            .ok_or_else(|| Failure::Failed(Error::new(Kind::Backend, "an SQLite operation waited for something else")))
    }

    /// Commits, unless a statement has ended the transaction: then its failure is everybody's.
    pub(super) fn commit(mut self) -> Result<(), Failure> {
        if let Some(failure) = self.ended.take() {
            return Err(failure);
        }
        commit(self.connection)
    }

    /// Commits what has succeeded and rolls back what has not.
    pub(super) fn end<T>(mut self, outcome: Result<T>) -> Result<T, Failure> {
        match outcome {
            Ok(value) => self.commit().map(|()| value),
            Err(error) => Err(self.ended.take().unwrap_or(Failure::Failed(error))),
        }
    }

    fn statement(&mut self, sql: &str, values: &[Value<'_>]) -> Result<Answer> {
        if self.ended.is_some() {
            return Err(Error::new(Kind::Backend, "the transaction has ended"));
        }
        execute(self.connection, sql, values).map_err(|error| {
            let ends = match self.purpose {
                Purpose::Write => ends_transaction(&error) || self.connection.is_autocommit(),
                Purpose::Read => is_busy(&error),
            };
            if !ends {
                return running(error);
            }
            self.ended = Some(error.into());
            Error::new(Kind::Backend, "the transaction has ended")
        })
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        if self.connection.is_autocommit() {
            return;
        }
        if let Err(error) = self.connection.execute_batch("rollback") {
            tracing::warn!(%error, "sqlite: rollback failed");
        }
    }
}

impl Executor for Transaction<'_> {
    fn run(&mut self, sql: &str, values: &[Value<'_>]) -> impl Future<Output = Result<Answer>> + Send {
        ready(self.statement(sql, values))
    }
}

/// One statement outside of a transaction: it is its own.
pub(super) struct Alone<'c> {
    connection: &'c mut Connection,
    busy: Option<DriverError>,
}

impl<'c> Alone<'c> {
    /// Runs on `connection`.
    pub(super) fn run<T>(connection: &'c mut Connection, work: impl AsyncFnOnce(&mut Self) -> T) -> Result<T, Failure> {
        let mut alone = Self { connection, busy: None };
        let done = work(&mut alone).now_or_never();
        match (alone.busy, done) {
            (Some(busy), _) => Err(Failure::Busy(busy)),
            (None, Some(value)) => Ok(value),
            (None, None) => Err(Error::new(Kind::Backend, "an SQLite operation waited for something else").into()),
        }
    }
}

impl Executor for Alone<'_> {
    fn run(&mut self, sql: &str, values: &[Value<'_>]) -> impl Future<Output = Result<Answer>> + Send {
        ready(execute(self.connection, sql, values).map_err(|error| {
            if is_busy(&error) {
                self.busy = Some(error);
                return Error::new(Kind::Timeout, "the database is locked");
            }
            running(error)
        }))
    }
}

/// Commits, also where readers hold it up for a while.
pub(super) fn commit(connection: &Connection) -> Result<(), Failure> {
    let until = Instant::now() + COMMIT_PATIENCE;
    loop {
        match connection.prepare_cached("commit").and_then(|mut commit| commit.raw_execute()) {
            Ok(_) => return Ok(()),
            Err(error) if is_busy(&error) && Instant::now() < until => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Runs one statement.
pub(super) fn execute(connection: &Connection, sql: &str, values: &[Value<'_>]) -> Result<Answer, DriverError> {
    let mut statement = connection.prepare_cached(sql).map_err(|error| with_statement(error, sql))?;
    for (index, value) in values.iter().enumerate() {
        bind(&mut statement, index + 1, value)?;
    }
    let columns = statement.column_count();
    if columns == 0 {
        let affected = statement.raw_execute()?;
        return Ok(Answer { rows: Vec::new(), affected: affected as u64 });
    }
    let mut found = Vec::new();
    let mut rows = statement.raw_query();
    while let Some(row) = rows.next()? {
        let cells = (0..columns).map(|index| row.get_ref(index).map(cell));
        found.push(cells.collect::<Result<Vec<Cell>, DriverError>>()?);
    }
    let affected = found.len() as u64;
    Ok(Answer { rows: found, affected })
}

/// An error of a statement of ours, with the statement, which names the table: SQLite does not always tell it.
fn with_statement(error: DriverError, sql: &str) -> DriverError {
    match error {
        DriverError::SqliteFailure(error, Some(msg)) => {
            DriverError::SqlInputError { error, msg, sql: sql.to_owned(), offset: -1 }
        }
        other => other,
    }
}

/// rusqlite binds blobs as `SQLITE_TRANSIENT`: SQLite makes a copy of its own. There is no
/// safe way to lend it ours (its `blob` I/O writes every page twice).
fn bind(statement: &mut Statement<'_>, index: usize, value: &Value<'_>) -> Result<(), DriverError> {
    let borrowed = match value {
        Value::Null | Value::NoText => ValueRef::Null,
        Value::Text(text) => ValueRef::Text(text.as_bytes()),
        Value::Bytes(bytes) => ValueRef::Blob(bytes),
        Value::Int(number) => ValueRef::Integer(*number),
        Value::Texts(_) | Value::OptionalTexts(_) | Value::Blobs(_) | Value::Ints(_) => {
            let message = "SQLite has no arrays";
            return Err(DriverError::ToSqlConversionFailure(message.into()));
        }
    };
    statement.raw_bind_parameter(index, ToSqlOutput::Borrowed(borrowed))
}

/// What stands in a column.
pub(super) fn cell(value: ValueRef<'_>) -> Cell {
    match value {
        ValueRef::Null => Cell::Null,
        ValueRef::Integer(number) => Cell::Int(number),
        ValueRef::Real(number) => Cell::Text(number.to_string()),
        ValueRef::Text(text) => Cell::Text(String::from_utf8_lossy(text).into_owned()),
        ValueRef::Blob(bytes) => Cell::Bytes(buffers::copied(bytes)),
    }
}
