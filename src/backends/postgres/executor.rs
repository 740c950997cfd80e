//! Carries statements to one connection of the pool.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::StreamExt;
use sqlx::postgres::{PgArguments, PgConnection, PgRow, PgValue, PgValueRef};
use sqlx::{Arguments, AssertSqlSafe, Connection, Either, Executor as _, Row, Value as _, ValueRef, raw_sql};

use super::error::{Failure, of_query, of_statement};
use super::pool::Checkout;
use super::values::{BOOL, BPCHAR, BYTEA, INT2, INT4, INT8, NAME, TEXT, VARCHAR};
use crate::contract::capability::Isolation;
use crate::error::{Error, Result};
use crate::sql::{Answer, Cell, Executor, Value};

/// From here on bytes are handed on in the buffer that they were received in. Below, a payload
/// that the application keeps would keep the buffer of its whole group alive.
const SHARED_FROM: usize = 32 * 1024;

/// A statement that moved more than this leaves large buffers behind; they are given back.
pub(super) const LARGE: usize = 16 * 1024 * 1024;

/// A connection for one group of operations.
pub(super) struct Session {
    checkout: Checkout,
    /// The quoted name, for messages.
    table: Arc<str>,
    /// Whether statements are prepared and kept (see `Address::prepared`).
    prepared: bool,
    in_transaction: bool,
    /// What has failed in the transaction: the server will only roll it back.
    failed: Option<Error>,
    /// The connection is broken: what follows is not sent.
    broken: Option<Error>,
    /// A statement that fails with any values: it is not sent again.
    hopeless: Option<(String, Error)>,
    table_changed: bool,
}

impl Session {
    pub(super) fn new(checkout: Checkout, table: &Arc<str>, prepared: bool) -> Self {
        Self {
            checkout,
            table: Arc::clone(table),
            prepared,
            in_transaction: false,
            failed: None,
            broken: None,
            hopeless: None,
            table_changed: false,
        }
    }

    /// Whether a statement has failed because the table is gone or is another one.
    pub(super) fn table_changed(&self) -> bool {
        self.table_changed
    }

    /// Opens a transaction; dropped before its commit, the connection is closed and with it undone.
    /// The level is named, because the session's default may be another one.
    pub(super) async fn begin(&mut self, isolation: Isolation) -> Result<()> {
        self.in_transaction = true;
        self.failed = None;
        self.plain(match isolation {
            Isolation::ReadCommitted => "begin isolation level read committed",
            Isolation::RepeatableRead => "begin isolation level repeatable read",
            Isolation::Serializable => "begin isolation level serializable",
        })
        .await
    }

    /// Makes it last. The server answers the commit of a transaction in which something has failed
    /// with a rollback, and calls that a success; here it is the error that it was.
    pub(super) async fn commit(&mut self) -> Result<()> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        self.plain("commit").await?;
        self.in_transaction = false;
        self.checkout.done();
        Ok(())
    }

    /// Undoes it, so that the connection can be used again.
    pub(super) async fn roll_back(&mut self) {
        if self.in_transaction && self.broken.is_none() && self.plain("rollback").await.is_ok() {
            self.in_transaction = false;
            self.checkout.done();
        }
    }

    /// A statement without parameters or rows, in one message.
    async fn plain(&mut self, sql: &'static str) -> Result<()> {
        let connection = self.checkout.start()?;
        let outcome = connection.execute(raw_sql(sql)).await.map(|_| ());
        self.conclude(sql, outcome)
    }

    /// A statement that runs in no transaction, and answers nothing.
    pub(super) async fn run_alone(&mut self, sql: String) -> Result<()> {
        let connection = self.checkout.start()?;
        let outcome = connection.execute(raw_sql(AssertSqlSafe(sql.clone()))).await.map(drop);
        self.conclude(&sql, outcome)
    }

    /// Decides from an outcome whether the connection is in a state to go on.
    fn conclude<T>(&mut self, sql: &str, outcome: Result<T, sqlx::Error>) -> Result<T> {
        let failure = match outcome {
            Ok(value) => {
                self.settle();
                return Ok(value);
            }
            Err(error) => of_statement(error, &self.table),
        };
        self.table_changed |= failure.table_changed;
        if failure.hopeless {
            self.hopeless = Some((sql.to_owned(), failure.error.clone()));
        }
        Err(self.note(failure))
    }

    fn note(&mut self, failure: Failure) -> Error {
        let Failure { error, broken, .. } = failure;
        if broken {
            self.broken = Some(error.clone().unsent());
        } else {
            self.settle();
        }
        if self.in_transaction {
            self.failed.get_or_insert_with(|| error.clone());
        }
        error
    }

    /// The connection for a statement of the application's, and whether statements are prepared.
    pub(super) fn lend(&mut self) -> Result<(&mut PgConnection, bool)> {
        if let Some(error) = &self.broken {
            return Err(error.clone());
        }
        Ok((self.checkout.start()?, self.prepared))
    }

    /// Decides from what a statement of the application's has come to.
    pub(super) fn conclude_query<T>(&mut self, outcome: Result<T, sqlx::Error>) -> Result<T> {
        match outcome {
            Ok(value) => {
                self.settle();
                Ok(value)
            }
            Err(error) => Err(self.note(of_query(error))),
        }
    }

    /// A statement of the application's has run. The server runs nothing in a failed transaction
    /// but a `rollback to savepoint`: what has failed is undone, and everything since the savepoint.
    pub(super) fn has_run(&mut self) {
        self.failed = None;
        self.hopeless = None;
    }

    fn settle(&mut self) {
        if !self.in_transaction {
            self.checkout.done();
        }
    }

    async fn attempt(&mut self, sql: &str, values: &[Value<'_>]) -> Result<Answer> {
        let (arguments, sent) = arguments(values).map_err(|error| of_statement(error, &self.table).error)?;
        let prepared = self.prepared;
        let connection = self.checkout.start()?;
        let outcome = query(connection, sql, arguments, prepared).await;
        if let Ok((_, received)) = &outcome
            && sent.max(*received) > LARGE
        {
            connection.shrink_buffers();
        }
        self.conclude(sql, outcome.map(|(answer, _)| answer))
    }
}

impl Executor for Session {
    async fn run(&mut self, sql: &str, values: &[Value<'_>]) -> Result<Answer> {
        if let Some(error) = &self.broken {
            return Err(error.clone());
        }
        if let Some((_, error)) = self.hopeless.as_ref().filter(|(failed, _)| failed == sql) {
            return Err(error.clone());
        }
        // Without prepared statements Parse and Bind are two exchanges: behind a transaction
        // pooler only a transaction makes sure that the same server gets both.
        if self.prepared || self.in_transaction {
            return self.attempt(sql, values).await;
        }
        self.begin(Isolation::ReadCommitted).await.map_err(Error::unsent)?;
        match self.attempt(sql, values).await {
            Ok(answer) => {
                self.commit().await?;
                Ok(answer)
            }
            Err(error) => {
                self.roll_back().await;
                Err(error)
            }
        }
    }
}

/// Sends a statement and reads its whole answer; also how many bytes that was, about.
async fn query(
    connection: &mut PgConnection,
    sql: &str,
    arguments: PgArguments,
    keep: bool,
) -> Result<(Answer, usize), sqlx::Error> {
    let statement = sqlx::query_with(AssertSqlSafe(sql), arguments).persistent(keep);
    let mut stream = connection.fetch_many(statement);
    let mut answer = Answer::default();
    let mut received = 0;
    while let Some(item) = stream.next().await {
        match item? {
            Either::Left(done) => answer.affected += done.rows_affected(),
            Either::Right(row) => answer.rows.push(cells(&row, &mut received)?),
        }
    }
    Ok((answer, received))
}

/// Encodes parameters into one buffer of the right size.
fn arguments(values: &[Value<'_>]) -> Result<(PgArguments, usize), sqlx::Error> {
    let size = values.iter().map(size_of).sum();
    let mut arguments = PgArguments::default();
    arguments.reserve(values.len(), size);
    for value in values {
        match value {
            // A time: text that may be NULL says so.
            Value::Null => arguments.add(None::<i64>),
            Value::NoText => arguments.add(None::<&str>),
            Value::Text(text) => arguments.add(&**text),
            Value::Bytes(bytes) => arguments.add(&bytes[..]),
            Value::Int(number) => arguments.add(*number),
            Value::Texts(texts) => arguments.add(texts.as_slice()),
            Value::OptionalTexts(texts) => arguments.add(texts.as_slice()),
            Value::Blobs(blobs) => arguments.add(blobs.as_slice()),
            Value::Ints(numbers) => arguments.add(numbers.as_slice()),
        }
        .map_err(sqlx::Error::Encode)?;
    }
    Ok((arguments, size))
}

/// At least the bytes of an encoded parameter.
fn size_of(value: &Value<'_>) -> usize {
    // The head of an array is 20 bytes, a length 4.
    24 + match value {
        Value::Null | Value::NoText | Value::Int(_) => 8,
        Value::Text(text) => text.len(),
        Value::Bytes(bytes) => bytes.len(),
        Value::Texts(texts) => texts.iter().map(|text| text.len() + 4).sum(),
        Value::OptionalTexts(texts) => texts.iter().map(|text| text.map_or(0, str::len) + 4).sum(),
        Value::Blobs(blobs) => blobs.iter().map(|blob| blob.len() + 4).sum(),
        Value::Ints(numbers) => numbers.len() * 12,
    }
}

fn cells(row: &PgRow, received: &mut usize) -> Result<Vec<Cell>, sqlx::Error> {
    (0..row.len())
        .map(|index| {
            let value = row.try_get_raw(index)?;
            if value.is_null() {
                return Ok(Cell::Null);
            }
            *received += value.as_bytes().map_or(0, <[u8]>::len);
            cell(&value).map_err(|source| sqlx::Error::ColumnDecode { index: index.to_string(), source })
        })
        .collect()
}

/// Decodes by the type's OID; every answer with parameters is in binary form.
fn cell(value: &PgValueRef<'_>) -> Result<Cell, sqlx::error::BoxDynError> {
    let bytes = value.as_bytes()?;
    let oid = value.type_info().oid().map_or(0, |oid| oid.0);
    Ok(match oid {
        BYTEA => Cell::Bytes(bytes_of(value)),
        TEXT | VARCHAR | BPCHAR | NAME => Cell::Text(std::str::from_utf8(bytes)?.to_owned()),
        BOOL => Cell::Int(i64::from(bytes != [0])),
        INT2 => Cell::Int(i16::from_be_bytes(bytes.try_into()?).into()),
        INT4 => Cell::Int(i32::from_be_bytes(bytes.try_into()?).into()),
        INT8 => Cell::Int(i64::from_be_bytes(bytes.try_into()?)),
        other => return Err(format!("type {other} is not one that this store asks for").into()),
    })
}

/// A value's bytes, in a buffer of their own if they are few.
pub(super) fn bytes_of(value: &PgValueRef<'_>) -> Bytes {
    match value.as_bytes() {
        Ok(bytes) if bytes.len() < SHARED_FROM => Bytes::copy_from_slice(bytes),
        _ => Bytes::from_owner(Received(ValueRef::to_owned(value))),
    }
}

/// A value in the buffer that it was received in.
struct Received(PgValue);

impl AsRef<[u8]> for Received {
    fn as_ref(&self) -> &[u8] {
        self.0.as_ref().as_bytes().unwrap_or_default()
    }
}
