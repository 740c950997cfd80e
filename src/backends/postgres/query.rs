//! The application's own statements in a transaction of the store's.
//!
//! A statement is prepared first: the server says which types its parameters and columns have,
//! and what does not fit them is refused before anything has happened.
//!
//! Behind a transaction pooler (`statement_cache_capacity=0`) nothing can be prepared under a
//! name, and sqlx asks for types only under one. Parameters are sent there with the types that
//! their values most likely mean, and a statement that wants another one says so with a cast
//! (`$1::uuid`); that a column cannot be read shows only after the statement has run.

use std::cell::Cell;

use futures_util::stream::StreamExt;
use sqlx::postgres::{PgArguments, PgColumn, PgConnection, PgRow, PgTypeInfo};
use sqlx::{
    Arguments, AssertSqlSafe, Column, Connection as _, Either, Executor as _, Row, SqlSafeStr, Statement, ValueRef,
    query_with,
};

use super::executor::{LARGE, Session, bytes_of};
use super::values::{Parameter, decode, guess, is_known, name};
use crate::contract::dynamic::Dynamic;
use crate::error::{Detail, Error, Kind, Result};
use crate::sql::{Dialect, WITHIN_A_TRANSACTION, Words, controls_transaction};

impl Session {
    /// Runs a statement; answers rows as objects. An `INVALID_ARGUMENT` leaves the transaction as
    /// it was, an error of the server's leaves it to be rolled back, or back to a savepoint.
    pub(super) async fn query(&mut self, sql: &str, values: &[Dynamic]) -> Result<Dynamic> {
        check(sql, values)?;
        let (connection, prepared) = self.lend()?;
        let types: Vec<PgTypeInfo> = if prepared {
            let statement = connection.prepare(AssertSqlSafe(sql).into_sql_str()).await;
            let statement = self.conclude_query(statement)?;
            check_columns(statement.columns())?;
            match statement.parameters() {
                Some(Either::Left(types)) => types.to_vec(),
                _ => Vec::new(),
            }
        } else {
            values.iter().map(guess).collect()
        };
        let (arguments, sent) = arguments(values, &types)?;
        let (connection, _) = self.lend()?;
        let outcome = run(connection, sql, arguments, prepared).await;
        if let Ok(found) = &outcome
            && sent.max(found.received) > LARGE
        {
            connection.shrink_buffers();
        }
        let found = self.conclude_query(outcome).map_err(|error| if prepared { error } else { with_hint(error) })?;
        self.has_run();
        match found.unreadable {
            None => Ok(Dynamic::List(found.rows)),
            Some(error) => Err(error),
        }
    }
}

/// What can be told from the statement alone.
fn check(sql: &str, values: &[Dynamic]) -> Result<()> {
    const DIALECT: Dialect = Dialect::Postgres;
    if sql.contains('\0') {
        return Err(Error::invalid("the statement contains a NUL character"));
    }
    if controls_transaction(DIALECT, sql) {
        return Err(Error::invalid(WITHIN_A_TRANSACTION));
    }
    if Words::of(DIALECT, sql).next().as_deref() == Some("copy") {
        return Err(Error::new(Kind::Unsupported, "copy cannot be run: its data would have to flow beside the answer"));
    }
    // Seen without asking the server: the last value has no place. (`$10` has one of `$1` in it.)
    let last = format!("${}", values.len());
    if !values.is_empty() && !sql.contains(&last) {
        return Err(Error::invalid(format!("{} values were given, and the statement has no {last}", values.len())));
    }
    Ok(())
}

fn check_columns(columns: &[PgColumn]) -> Result<()> {
    match columns.iter().find(|column| !is_known(column.type_info())) {
        Some(column) => Err(unknown(column).unsent()),
        None => Ok(()),
    }
}

fn unknown(column: &PgColumn) -> Error {
    let (column, of) = (column.name(), name(column.type_info()));
    let message =
        format!("column \"{column}\" is of type {of}, which is not read here; as text it is: \"{column}\"::text");
    Error::new(Kind::Unsupported, message)
}

/// Encodes the values; also how many bytes they have.
fn arguments(values: &[Dynamic], types: &[PgTypeInfo]) -> Result<(PgArguments, usize)> {
    if values.len() != types.len() {
        let (given, wanted) = (values.len(), types.len());
        let message = format!("the statement has {wanted} parameters, and {given} values were given");
        return Err(Error::invalid(message));
    }
    if u16::try_from(values.len()).is_err() {
        return Err(Error::invalid("a statement has at most 65,535 parameters"));
    }
    let sent = Cell::new(0);
    let mut arguments = PgArguments::default();
    arguments.reserve(values.len(), values.len() * 16);
    for (index, (value, of)) in values.iter().zip(types).enumerate() {
        arguments.add(Parameter { value, of, sent: &sent }).map_err(|wrong| {
            let position = format!("${}", index + 1);
            let wrong = wrong.to_string().replace("$n", &position);
            Error::invalid(format!("{position} ({}) is {wrong}", name(of)))
        })?;
    }
    Ok((arguments, sent.get()))
}

#[derive(Default)]
struct Found {
    rows: Vec<Dynamic>,
    received: usize,
    unreadable: Option<Error>,
}

/// Reads the whole answer, also where a value in it cannot be read: what comes behind it has to
/// be out of the way for the next statement.
async fn run(
    connection: &mut PgConnection,
    sql: &str,
    arguments: PgArguments,
    keep: bool,
) -> Result<Found, sqlx::Error> {
    let statement = query_with(AssertSqlSafe(sql), arguments).persistent(keep);
    let mut stream = connection.fetch_many(statement);
    let mut found = Found::default();
    let mut layout = None;
    while let Some(item) = stream.next().await {
        let Either::Right(row) = item? else { continue };
        if found.unreadable.is_some() {
            continue;
        }
        let layout = layout.get_or_insert_with(|| Layout::of(row.columns()));
        match layout.read(&row, &mut found.received) {
            Ok(row) => found.rows.push(row),
            Err(error) => found.unreadable = Some(error),
        }
    }
    Ok(found)
}

/// Where each column's value goes.
struct Layout {
    /// The names, each once.
    names: Vec<String>,
    /// For each column the place of its name.
    places: Vec<usize>,
}

impl Layout {
    fn of(columns: &[PgColumn]) -> Self {
        let mut names: Vec<String> = Vec::with_capacity(columns.len());
        let mut places = Vec::with_capacity(columns.len());
        for column in columns {
            let known = names.iter().position(|name| name == column.name());
            places.push(known.unwrap_or_else(|| {
                names.push(column.name().to_owned());
                names.len() - 1
            }));
        }
        Self { names, places }
    }

    fn read(&self, row: &PgRow, received: &mut usize) -> Result<Dynamic> {
        let mut properties: Vec<(String, Dynamic)> =
            self.names.iter().map(|name| (name.clone(), Dynamic::Null)).collect();
        for ((index, column), place) in row.columns().iter().enumerate().zip(&self.places) {
            properties[*place].1 = cell(row, index, column, received)?;
        }
        Ok(Dynamic::Map(properties))
    }
}

fn cell(row: &PgRow, index: usize, column: &PgColumn, received: &mut usize) -> Result<Dynamic> {
    let unreadable = |wrong: &str| {
        let message = format!(
            "the statement has run, but its answer cannot be read: column \"{}\" (type {}) {wrong}; as text it can: \"{0}\"::text",
            column.name(),
            name(column.type_info()),
        );
        Error::new(Kind::Unsupported, message)
    };
    let value = row.try_get_raw(index).map_err(|error| unreadable("is missing").with_source(error))?;
    if value.is_null() {
        return Ok(Dynamic::Null);
    }
    let bytes = value.as_bytes().unwrap_or_default();
    *received += bytes.len();
    decode(bytes, column.type_info(), || bytes_of(&value)).map_err(|wrong| unreadable(&wrong))
}

/// Where types are guessed, what does not fit is said by the server, and how to say it by a cast.
fn with_hint(error: Error) -> Error {
    let is_about_types = error.details().iter().any(|(name, value)| {
        *name == "sqlState" && matches!(value, Detail::Text(code) if ["42804", "42883", "42846"].contains(&&**code))
    });
    if !is_about_types {
        return error;
    }
    let message = format!(
        "{} (with statement_cache_capacity=0 a parameter has the type of its value: text, bigint, ...; another one needs a cast, as in $1::uuid)",
        error.message()
    );
    let code = error.details().to_vec();
    let hinted = Error::new(error.kind(), message).retryable(error.is_retryable()).unsent();
    code.into_iter().fold(hinted, |hinted, (name, value)| hinted.with_detail(name, value)).with_source(error)
}
