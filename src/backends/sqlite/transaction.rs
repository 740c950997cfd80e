//! A transaction that stays open between polls, on the writer's connection.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::FutureExt;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, Error as DriverError};
use tokio::sync::OwnedMutexGuard;

use super::database::Database;
use super::error::{Failure, ends_transaction, is_full, of_query, running};
use super::executor::{commit, execute};
use super::slot::Slot;
use crate::contract::dynamic::Dynamic;
use crate::contract::moving::{Moved, not_in_transactions};
use crate::contract::step::{Reply, Step};
use crate::contract::transaction::Transaction;
use crate::error::{Error, Kind, Result};
use crate::runtime::Task;
use crate::sql::Around;
use crate::sql::executions::Executions;
use crate::sql::inbox::Inbox;
use crate::sql::moving::Place;
use crate::sql::outbox::Outbox;
use crate::sql::payloads::PayloadSql;
use crate::sql::states::StateSql;
use crate::sql::{Answer, Dialect, Executor, Value, WITHIN_A_TRANSACTION, controls_transaction, is_blank};
use crate::time::Millis;

/// Begins when the connection is free and the file's lock is ours. On the writer's thread.
pub(super) async fn begin(
    slot: Arc<Slot>,
    database: Arc<Database>,
    sql: Sql,
    patience: Duration,
) -> Result<Box<dyn Transaction>> {
    let until = Instant::now() + patience;
    let turn = slot.turn(patience).await?;
    slot.until(until, false, |connection| {
        connection.prepare_cached("begin immediate")?.raw_execute()?;
        Ok(())
    })
    .await?;
    Ok(Box::new(Ongoing { slot, database, sql, ended: None, over: false, _turn: turn }))
}

/// The statements of a store.
#[derive(Clone)]
pub(super) struct Sql {
    pub(super) payloads: Arc<PayloadSql>,
    pub(super) states: Arc<StateSql>,
    pub(super) executions: Arc<Executions>,
    pub(super) outbox: Arc<Outbox>,
    pub(super) inbox: Arc<Inbox>,
}

impl Sql {
    /// Where the records of a kind are.
    pub(super) fn place(&self, kind: Moved) -> Place<'_> {
        match kind {
            Moved::Payloads => Place::Payloads(&self.payloads),
            Moved::States => Place::States(&self.states),
            Moved::Executions => Place::Executions(&self.executions),
            Moved::Outbox => Place::Outbox(&self.outbox),
            Moved::Inbox => Place::Inbox(&self.inbox),
        }
    }
}

struct Ongoing {
    slot: Arc<Slot>,
    database: Arc<Database>,
    sql: Sql,
    /// What has ended the transaction, if a statement has.
    ended: Option<Error>,
    /// Committed or rolled back.
    over: bool,
    /// The last field: given back when everything else is done.
    _turn: OwnedMutexGuard<()>,
}

impl Ongoing {
    /// Runs `work`; `classify` makes sense of SQLite's errors.
    fn attempt<T>(
        &mut self,
        work: impl FnOnce(&mut Connection) -> Result<Result<T>, DriverError>,
        classify: fn(DriverError) -> Error,
    ) -> Result<T> {
        if let Some(error) = &self.ended {
            return Err(error.clone());
        }
        let mut ended = false;
        let done = self.slot.attempt(false, |connection| {
            let done = work(connection);
            ended = done.as_ref().is_err_and(ends_transaction) || connection.is_autocommit();
            // Not as a failure of the slot: an open transaction keeps its connection.
            Ok(done.map_err(classify).and_then(std::convert::identity))
        });
        let done = done.map_err(Failure::into_error).and_then(std::convert::identity);
        if ended {
            let error = done.as_ref().err().cloned();
            let error = error.unwrap_or_else(|| Error::new(Kind::Backend, "a statement has ended the transaction"));
            self.ended = Some(error.clone());
            return Err(error);
        }
        done
    }
}

fn roll_back(connection: &mut Connection) {
    if connection.is_autocommit() {
        return;
    }
    if let Err(error) = connection.execute_batch("rollback") {
        tracing::warn!(%error, "sqlite: rollback failed");
    }
}

impl Executor for Ongoing {
    fn run(&mut self, sql: &str, values: &[Value<'_>]) -> impl Future<Output = Result<Answer>> + Send {
        std::future::ready(self.attempt(|connection| execute(connection, sql, values).map(Ok), running))
    }
}

impl Transaction for Ongoing {
    fn run<'a>(&'a mut self, step: &'a Step) -> Task<'a, Result<Reply>> {
        Box::pin(async move {
            let (sql, now) = (self.sql.clone(), Millis::now());
            // It waits for nothing: the executor answers at once.
            let done = match step {
                Step::Outbox(step) => sql.outbox.run(self, step, Around::Savepoint, now).now_or_never(),
                Step::Moving(_) => Some(Err(not_in_transactions())),
                Step::Inbox(step) => sql.inbox.run(self, step, now).now_or_never(),
                Step::Execution(step) => sql.executions.run(self, step, Around::Savepoint, now).now_or_never(),
                Step::State(step) => sql.states.run(self, step, now).now_or_never(),
                Step::Payload(step) => sql.payloads.run(self, step, now).now_or_never(),
            };
            done.unwrap_or_else(|| Err(Error::new(Kind::Backend, "an SQLite operation waited for something else")))
        })
    }

    fn query<'a>(&'a mut self, sql: &'a str, values: &'a [Dynamic]) -> Task<'a, Result<Dynamic>> {
        Box::pin(async move {
            check(sql)?;
            self.attempt(|connection| rows(connection, sql, values), of_query)
        })
    }

    fn commit(mut self: Box<Self>) -> Task<'static, Result<()>> {
        Box::pin(async move {
            if let Some(error) = &self.ended {
                return Err(error.clone());
            }
            self.slot.attempt(false, |connection| commit(connection)).map_err(Failure::into_error)?;
            self.over = true;
            if self.database.checkpoints.is_due() && self.database.background().is_ok() {
                self.database.checkpoints.wake();
            }
            Ok(())
        })
    }

    fn roll_back(self: Box<Self>) -> Task<'static, ()> {
        // `Drop` does it.
        Box::pin(async move { drop(self) })
    }
}

impl Drop for Ongoing {
    fn drop(&mut self) {
        if !self.over {
            let was_full = self.ended.as_ref().is_some_and(is_full);
            self.slot.if_open(|connection| {
                roll_back(connection);
                if was_full {
                    self.database.checkpoints.make_room(connection);
                }
            });
        }
    }
}

/// What can be told from a statement of the application's alone.
fn check(sql: &str) -> Result<()> {
    // SQLite would take it for the end, and leave out what follows.
    if sql.contains('\0') {
        return Err(Error::invalid("the statement contains a NUL character"));
    }
    if controls_transaction(Dialect::Sqlite, sql) {
        return Err(Error::invalid(WITHIN_A_TRANSACTION));
    }
    Ok(())
}

/// Runs a statement of the application's. Whole numbers stay what they are; the binding makes a
/// BigInt of one that JavaScript's numbers would round.
fn rows(connection: &mut Connection, sql: &str, values: &[Dynamic]) -> Result<Result<Dynamic>, DriverError> {
    if is_blank(Dialect::Sqlite, sql) {
        return Ok(Ok(Dynamic::List(Vec::new())));
    }
    let mut statement = connection.prepare_cached(sql)?;
    let wanted = statement.parameter_count();
    if wanted != values.len() {
        return Err(DriverError::InvalidParameterCount(values.len(), wanted));
    }
    for (index, value) in values.iter().enumerate() {
        match bound(value) {
            Ok(bound) => statement.raw_bind_parameter(index + 1, bound)?,
            Err(wrong) => return Ok(Err(Error::invalid(format!("${} is {wrong}", index + 1)))),
        }
    }
    if statement.column_count() == 0 {
        statement.raw_execute()?;
        return Ok(Ok(Dynamic::List(Vec::new())));
    }
    let mut names: Option<Vec<String>> = None;
    let mut found = Vec::new();
    let mut rows = statement.raw_query();
    while let Some(row) = rows.next()? {
        // Asked only now: the first step prepares a statement anew whose table has changed.
        let names = names.get_or_insert_with(|| row.as_ref().column_names().map(str::to_owned).collect());
        let mut properties: Vec<(String, Dynamic)> = Vec::with_capacity(names.len());
        for (index, name) in names.iter().enumerate() {
            let value = match row.get_ref(index)? {
                ValueRef::Null => Dynamic::Null,
                ValueRef::Integer(number) => Dynamic::Int(number),
                ValueRef::Real(number) => Dynamic::Number(number),
                ValueRef::Text(text) => Dynamic::Text(String::from_utf8_lossy(text).into_owned()),
                ValueRef::Blob(bytes) => Dynamic::Bytes(Bytes::copy_from_slice(bytes)),
            };
            match properties.iter_mut().find(|(known, _)| known == name) {
                Some((_, known)) => *known = value,
                None => properties.push((name.clone(), value)),
            }
        }
        found.push(Dynamic::Map(properties));
    }
    Ok(Ok(Dynamic::List(found)))
}

fn bound(value: &Dynamic) -> Result<ToSqlOutput<'_>, &'static str> {
    Ok(ToSqlOutput::Borrowed(match value {
        Dynamic::Null => ValueRef::Null,
        Dynamic::Bool(flag) => ValueRef::Integer(i64::from(*flag)),
        Dynamic::Int(number) => ValueRef::Integer(*number),
        Dynamic::Number(number) if number.is_nan() => return Err("NaN, which SQLite would store as NULL"),
        Dynamic::Number(number) => ValueRef::Real(*number),
        Dynamic::Text(text) => ValueRef::Text(text.as_bytes()),
        Dynamic::Bytes(bytes) => ValueRef::Blob(bytes),
        Dynamic::Time(at) => {
            let iso = at.iso().ok_or("a Date that ISO 8601 has no four-digit year for")?;
            return Ok(ToSqlOutput::Owned(iso.into()));
        }
        Dynamic::List(_) => return Err("an array, which SQLite does not have; give JSON as text"),
        Dynamic::Map(_) => return Err("an object, which SQLite does not have; give JSON as text"),
    }))
}
