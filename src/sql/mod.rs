//! SQL exists once, here, and names no driver: an [`Executor`] carries a statement to a
//! database, be it a pool's connection, a transaction, or a client of the application.
//!
//! Placeholders `$1..$n` appear once each and in order (a test checks every statement), so
//! that an executor whose database wants `?` can rewrite them without parsing SQL.

mod around;
pub(crate) mod client;

pub(crate) mod executions;
pub(crate) mod inbox;
pub(crate) mod moving;
pub(crate) mod outbox;
mod own_table;
pub(crate) mod payloads;
mod query;
#[cfg(feature = "postgres")]
mod rowset;
pub(crate) mod schema;
pub(crate) mod states;
pub(crate) mod tables;

use std::borrow::Cow;
use std::future::Future;

#[cfg(feature = "postgres")]
use base64::Engine as _;
#[cfg(feature = "postgres")]
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use crate::error::{Detail, Error, Kind, Result};
use crate::time::Millis;
pub(crate) use around::Around;

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

impl Dialect {
    /// A time as a parameter.
    pub(crate) fn time(self, at: Millis) -> Value<'static> {
        match self {
            #[cfg(feature = "postgres")]
            Self::Postgres => Value::Int(at.0),
            #[cfg(feature = "sqlite")]
            Self::Sqlite => Value::Text(at.to_iso().into()),
        }
    }
}

/// So many rows are stored by one statement of SQLite.
#[cfg(feature = "sqlite")]
pub(crate) const TOGETHER: [usize; 3] = [32, 4, 1];

/// Why [`controls_transaction`] is refused.
pub(crate) const WITHIN_A_TRANSACTION: &str = "the transaction begins and ends with its callback; within it there are savepoints (savepoint, release, rollback to)";

/// Whether a statement of the application's would begin or end a transaction. Savepoints are its
/// own business: they, and going back to one, do neither.
pub(crate) fn controls_transaction(dialect: Dialect, sql: &str) -> bool {
    let mut words = Words::of(dialect, sql);
    match words.next().as_deref() {
        Some("begin" | "start" | "commit" | "end" | "abort") => true,
        Some("rollback") => {
            let next = words.next();
            let next = if matches!(next.as_deref(), Some("work" | "transaction")) { words.next() } else { next };
            next.as_deref() != Some("to")
        }
        Some("prepare") => words.next().as_deref() == Some("transaction"),
        _ => false,
    }
}

/// Whether there is no statement, only white space, comments and semicolons.
pub(crate) fn is_blank(dialect: Dialect, sql: &str) -> bool {
    Words::of(dialect, sql).rest.is_empty()
}

/// The words that a statement starts with, in lower case, up to the first that is none.
pub(crate) struct Words<'a> {
    dialect: Dialect,
    rest: &'a str,
}

impl<'a> Words<'a> {
    /// The words of `sql`.
    pub(crate) fn of(dialect: Dialect, sql: &'a str) -> Self {
        let mut words = Self { dialect, rest: sql };
        // Databases skip empty statements before the first that is one.
        while let Some(rest) = words.skip_blanks().strip_prefix(';') {
            words.rest = rest;
        }
        words
    }

    /// Skips white space and comments, as the database does.
    fn skip_blanks(&mut self) -> &'a str {
        loop {
            // SQLite takes a byte order mark for white space.
            self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r', '\x0b', '\x0c', '\u{feff}']);
            if let Some(comment) = self.rest.strip_prefix("--") {
                self.rest = comment.find(self.line_ends()).map_or("", |end| &comment[end..]);
            } else if let Some(comment) = self.rest.strip_prefix("/*") {
                self.rest = self.after_comment(comment);
            } else {
                return self.rest;
            }
        }
    }

    fn line_ends(&self) -> &'static [char] {
        match self.dialect {
            #[cfg(feature = "postgres")]
            Dialect::Postgres => &['\n', '\r'],
            #[cfg(feature = "sqlite")]
            Dialect::Sqlite => &['\n'],
        }
    }

    /// What follows a comment whose start is behind us. PostgreSQL's comments nest.
    fn after_comment(&self, comment: &'a str) -> &'a str {
        let nests = match self.dialect {
            #[cfg(feature = "postgres")]
            Dialect::Postgres => true,
            #[cfg(feature = "sqlite")]
            Dialect::Sqlite => false,
        };
        let (mut open, mut rest) = (1_usize, comment);
        while open > 0 {
            let Some(at) = rest.find(['*', '/']) else { return "" };
            rest = &rest[at..];
            if let Some(after) = rest.strip_prefix("*/") {
                (open, rest) = (open - 1, after);
            } else if let Some(after) = rest.strip_prefix("/*").filter(|_| nests) {
                (open, rest) = (open + 1, after);
            } else {
                rest = &rest[1..];
            }
        }
        rest
    }
}

impl Iterator for Words<'_> {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        let text = self.skip_blanks();
        let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
        self.rest = &text[end..];
        (end > 0).then(|| text[..end].to_ascii_lowercase())
    }
}

/// A parameter.
#[derive(Clone, Debug)]
pub(crate) enum Value<'a> {
    /// NULL.
    Null,
    /// NULL, where there could be text.
    NoText,
    /// Text.
    Text(Cow<'a, str>),
    /// Bytes.
    Bytes(&'a Bytes),
    /// A whole number (`bigint`).
    Int(i64),
    /// `text[]` (PostgreSQL only).
    Texts(Vec<&'a str>),
    /// `text[]` with NULLs (PostgreSQL only).
    OptionalTexts(Vec<Option<&'a str>>),
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

    /// The bytes of what `encode(…, 'base64')` has answered, in lines.
    #[cfg(feature = "postgres")]
    pub(crate) fn into_encoded_bytes(self, column: &str) -> Result<Bytes> {
        let text = self.into_text(column)?;
        let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
        for line in text.split('\n') {
            STANDARD.decode_vec(line, &mut bytes).map_err(|error| {
                Error::new(Kind::CorruptData, format!("column {column} has come as something else than base64"))
                    .with_source(error)
            })?;
        }
        Ok(bytes.into())
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

    /// Whether `bytea` is to be asked for as base64: what a client of the application makes of bytes depends on
    /// its parsers, and on `bytea_output`.
    #[cfg(feature = "postgres")]
    fn wants_base64(&self) -> bool {
        false
    }
}

/// The cells of a row that has so many.
pub(crate) fn cells<const N: usize>(row: Vec<Cell>) -> [Cell; N] {
    let mut cells = row.into_iter();
    std::array::from_fn(|_| cells.next().unwrap_or(Cell::Null))
}

/// The `SQLSTATE` of an error.
fn sql_state(error: &Error) -> Option<&str> {
    error.details().iter().find_map(|(name, detail)| match detail {
        Detail::Text(code) if *name == "sqlState" => Some(code.as_str()),
        _ => None,
    })
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

#[cfg(all(test, feature = "postgres", feature = "sqlite"))]
mod tests {
    use super::Dialect::{Postgres, Sqlite};
    use super::*;

    #[test]
    fn what_begins_or_ends_a_transaction_is_recognized() {
        for sql in [
            "begin",
            "BEGIN;",
            "begin immediate",
            "start transaction isolation level serializable",
            " \t\r\n commit",
            "commit and chain",
            "COMMIT/**/;",
            "end",
            "end transaction",
            "abort",
            "rollback",
            "rollback;",
            "rollback work",
            "rollback and no chain",
            "rollback -- to savepoint a",
            "-- a comment\ncommit",
            "/* one */ -- two\n /* three */commit",
            ";;/**/; commit",
            "/***/commit",
            "/* * / */commit",
            "prepare transaction 'x'",
            "prepare /* */ TRANSACTION 'x'",
        ] {
            assert!(controls_transaction(Postgres, sql) && controls_transaction(Sqlite, sql), "{sql}");
        }
        for sql in [
            "",
            ";",
            "--",
            "/*",
            "/* commit",
            "-- commit",
            "select 1",
            "savepoint a",
            "release a",
            "release savepoint commit",
            "rollback to a",
            "ROLLBACK /* x */ TO SAVEPOINT a",
            "rollback work to a",
            "rollback transaction to savepoint a",
            "prepare a as select 1",
            "begins",
            "commit_all()",
            "ending",
            "\"commit\"",
            "ünder",
        ] {
            assert!(!controls_transaction(Postgres, sql) && !controls_transaction(Sqlite, sql), "{sql}");
        }
    }

    #[test]
    fn blank_is_what_holds_no_statement() {
        for sql in ["", " ;\n", "-- x", "/* x */;", "/*"] {
            assert!(is_blank(Postgres, sql) && is_blank(Sqlite, sql), "{sql}");
        }
        assert!(!is_blank(Postgres, "; select 1") && !is_blank(Sqlite, "-- x\n*"));
    }

    #[test]
    fn comments_are_those_of_the_database() {
        for (sql, postgres, sqlite) in [
            ("/* /* */ commit", false, true),
            ("/* /* */ commit */ select 1", false, true),
            ("/* /* */ */ commit", true, false),
            ("-- x\rcommit", true, false),
            ("-- x\rselect 1\ncommit", false, true),
        ] {
            assert_eq!(controls_transaction(Postgres, sql), postgres, "{sql:?}");
            assert_eq!(controls_transaction(Sqlite, sql), sqlite, "{sql:?}");
        }
    }
}
