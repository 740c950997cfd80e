//! SQL exists once, here, and names no driver: an [`Executor`] carries a statement to a
//! database, be it a pool's connection, a transaction, or a client of the application.
//!
//! Placeholders `$1..$n` appear once each and in order (a test checks every statement), so
//! that an executor whose database wants `?` can rewrite them without parsing SQL.

pub(crate) mod guest;
pub(crate) mod payloads;
pub(crate) mod schema;

use std::borrow::Cow;
use std::future::Future;

use bytes::Bytes;

use crate::error::{Error, Kind, Result};

/// Which database's SQL is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// PostgreSQL 12 and later. Groups are arrays; times are passed as Unix milliseconds.
    #[cfg(feature = "postgres")]
    Postgres,
    /// SQLite 3.35 and later. One row a statement; times are ISO 8601 text in UTC.
    #[cfg(feature = "sqlite")]
    Sqlite,
}

/// A parameter.
#[derive(Clone, Debug)]
pub(crate) enum Value<'a> {
    /// NULL.
    Null,
    /// Text.
    Text(Cow<'a, str>),
    /// Bytes.
    Bytes(&'a Bytes),
    /// A whole number (`bigint`).
    Int(i64),
    /// `text[]` (PostgreSQL only).
    Texts(Vec<&'a str>),
    /// `bytea[]` (PostgreSQL only).
    Blobs(Vec<&'a [u8]>),
    /// `bigint[]` with NULLs (PostgreSQL only).
    Ints(Vec<Option<i64>>),
}

impl<'a> Value<'a> {
    /// Text that is borrowed.
    pub(crate) fn text(text: &'a str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

/// A column of a row, as any driver may hand it over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cell {
    /// NULL.
    Null,
    /// Text.
    Text(String),
    /// Bytes.
    Bytes(Bytes),
    /// A whole number; booleans are 0 and 1.
    Int(i64),
}

impl Cell {
    /// The bytes of a payload.
    pub(crate) fn into_bytes(self, column: &str) -> Result<Bytes> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            other => Err(unexpected(column, "bytes", &other)),
        }
    }

    /// Text.
    pub(crate) fn into_text(self, column: &str) -> Result<String> {
        match self {
            Self::Text(text) => Ok(text),
            other => Err(unexpected(column, "text", &other)),
        }
    }

    /// A whole number, also where a driver hands `bigint` or `numeric` over as text.
    pub(crate) fn into_int(self, column: &str) -> Result<i64> {
        match self {
            Self::Int(number) => Ok(number),
            Self::Text(text) if text.parse::<i64>().is_ok() => Ok(text.parse().unwrap_or_default()),
            other => Err(unexpected(column, "a whole number", &other)),
        }
    }
}

fn unexpected(column: &str, wanted: &str, found: &Cell) -> Error {
    let found = match found {
        Cell::Null => "NULL",
        Cell::Text(_) => "text",
        Cell::Bytes(_) => "bytes",
        Cell::Int(_) => "a number",
    };
    Error::new(Kind::CorruptData, format!("column {column} holds {found} where {wanted} should be"))
}

/// What a statement answers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answer {
    /// Rows, each its cells in the order of the statement's columns.
    pub(crate) rows: Vec<Vec<Cell>>,
    /// Rows changed.
    pub(crate) affected: u64,
}

/// Carries statements to one connection, one after the other.
pub(crate) trait Executor: Send {
    /// Runs one statement. Errors are classified by the executor.
    fn run(&mut self, sql: &str, values: &[Value<'_>]) -> impl Future<Output = Result<Answer>> + Send;
}

/// A table's name, checked (see `OptionReader::identifier`) and quoted.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    schema: Option<String>,
    name: String,
}

impl Table {
    /// The table `name`, in `schema` or wherever the database looks by default.
    pub(crate) fn new(schema: Option<String>, name: String) -> Self {
        Self { schema, name }
    }

    /// The name to paste into a statement.
    pub(crate) fn quoted(&self) -> String {
        match &self.schema {
            Some(schema) => format!("\"{schema}\".\"{}\"", self.name),
            None => format!("\"{}\"", self.name),
        }
    }

    /// The name without its schema.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The schema, where one was given.
    pub(crate) fn schema(&self) -> Option<&str> {
        self.schema.as_deref()
    }
}
