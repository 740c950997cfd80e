//! SQLite's errors, classified by their extended code.

use std::fs;
use std::io;
use std::path::Path;

use rusqlite::Error as DriverError;
use rusqlite::ffi::{self, ErrorCode};

use super::location::Location;
use crate::contract::client::ClientError;
use crate::error::{Error, Kind};
use crate::sql::Table;

/// Why an attempt failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// Another connection holds a lock: worth another try, nothing has been done.
    Busy(DriverError),
    /// Anything else.
    Failed(Error),
    /// The connection had better be opened anew before the next attempt.
    Broken(Error),
}

impl Failure {
    /// The error for the caller, once trying has come to its end.
    pub(super) fn into_error(self) -> Error {
        match self {
            Self::Failed(error) | Self::Broken(error) => error,
            Self::Busy(source) => {
                Error::new(Kind::Timeout, "another process or connection holds the lock on the database")
                    .with_source(source)
                    .unsent()
            }
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl From<DriverError> for Failure {
    fn from(error: DriverError) -> Self {
        if is_busy(&error) {
            Self::Busy(error)
        } else if spoils_connection(&error) {
            Self::Broken(running(error))
        } else {
            Self::Failed(running(error))
        }
    }
}

/// The code of any error that SQLite itself reported.
fn code(error: &DriverError) -> Option<ffi::Error> {
    match error {
        DriverError::SqliteFailure(error, _) | DriverError::SqlInputError { error, .. } => Some(*error),
        _ => None,
    }
}

/// Whether another connection's lock is in the way. `SQLITE_PROTOCOL` is the same, told by
/// the WAL after many tries.
pub(super) fn is_busy(error: &DriverError) -> bool {
    code(error).is_some_and(|error| {
        matches!(error.code, ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed)
    })
}

/// Whether the transaction as a whole is at an end, not only the statement.
pub(super) fn ends_transaction(error: &DriverError) -> bool {
    is_busy(error)
        || code(error).is_some_and(|error| {
            matches!(
                error.code,
                ErrorCode::DiskFull
                    | ErrorCode::SystemIoFailure
                    | ErrorCode::OutOfMemory
                    | ErrorCode::ReadOnly
                    | ErrorCode::CannotOpen
                    | ErrorCode::DatabaseCorrupt
                    | ErrorCode::NotADatabase
                    | ErrorCode::OperationInterrupted
                    | ErrorCode::OperationAborted
            )
        })
}

fn spoils_connection(error: &DriverError) -> bool {
    code(error).is_some_and(|error| {
        matches!(
            error.code,
            ErrorCode::SystemIoFailure
                | ErrorCode::CannotOpen
                | ErrorCode::DatabaseCorrupt
                | ErrorCode::NotADatabase
                | ErrorCode::ReadOnly
        )
    })
}

const DISK_FULL: &str = "the disk is full";

/// Whether a write found no room.
pub(super) fn is_full(error: &Error) -> bool {
    error.message() == DISK_FULL
}

/// Classifies an error of an open connection.
pub(super) fn running(error: DriverError) -> Error {
    let Some(sqlite) = code(&error) else {
        return Error::new(Kind::Backend, "the SQLite driver failed").with_source(error);
    };
    let text = error.to_string();
    let classified = match sqlite.code {
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed => {
            return Failure::Busy(error).into_error();
        }
        ErrorCode::DatabaseCorrupt => Error::new(Kind::CorruptData, "the database file is corrupt"),
        ErrorCode::NotADatabase => Error::new(Kind::CorruptData, "the file is not an SQLite database"),
        ErrorCode::ReadOnly if sqlite.extended_code == ffi::SQLITE_READONLY_DIRECTORY => Error::new(
            Kind::Backend,
            "the database's directory is read-only: SQLite cannot create its journal or WAL there",
        ),
        ErrorCode::ReadOnly if sqlite.extended_code == ffi::SQLITE_READONLY_DBMOVED => {
            Error::new(Kind::Backend, "the database file was moved or removed while it was open").retryable(true)
        }
        ErrorCode::ReadOnly => Error::new(Kind::Backend, "the database file is read-only"),
        ErrorCode::CannotOpen => Error::new(
            Kind::Backend,
            "SQLite cannot open its journal or WAL beside the database: may this process write to the directory?",
        ),
        ErrorCode::DiskFull => Error::new(Kind::Backend, DISK_FULL).retryable(true),
        // ENOSPC in a write is reported as full, but a quota or a full tmpfs as an I/O error.
        ErrorCode::SystemIoFailure => Error::new(Kind::Backend, "the disk failed (SQLite I/O error)").retryable(true),
        ErrorCode::OutOfMemory => Error::new(Kind::Backend, "SQLite ran out of memory").retryable(true),
        ErrorCode::OperationInterrupted | ErrorCode::OperationAborted => {
            Error::new(Kind::Backend, "SQLite gave the operation up").retryable(true)
        }
        ErrorCode::TooBig => Error::new(Kind::PayloadTooLarge, "the payload is larger than SQLite can hold"),
        ErrorCode::ConstraintViolation if sqlite.extended_code == ffi::SQLITE_CONSTRAINT_NOTNULL => {
            let text = format!("{} asks for a value that the record does not have (an expiry?)", table_of(&error));
            Error::new(Kind::Backend, text)
        }
        ErrorCode::ConstraintViolation => {
            Error::new(Kind::Backend, format!("a constraint of {} refuses the record", table_of(&error)))
        }
        _ if text.contains("no such table") => missing(&table_of(&error)),
        _ if is_other_table(&text) => {
            let text = format!("{} is another one than it should: initialize() says what is wrong", table_of(&error));
            Error::new(Kind::Backend, text)
        }
        _ => Error::new(Kind::Backend, "SQLite refused the statement"),
    };
    classified.with_source(error)
}

/// Which table an error of a statement of ours is about: as SQLite says it, else as the statement names it first.
fn table_of(error: &DriverError) -> String {
    let (text, sql) = match error {
        DriverError::SqlInputError { msg, sql, .. } => (&**msg, &**sql),
        DriverError::SqliteFailure(_, Some(text)) => (&**text, ""),
        _ => ("", ""),
    };
    shown(named_in(text, sql))
}

/// Whether an error is about a table that is none of ours.
fn is_other_table(text: &str) -> bool {
    ["no such column", "has no column", "ON CONFLICT clause"].iter().any(|known| text.contains(known))
}

fn shown(table: Option<&str>) -> String {
    table.map_or_else(|| String::from("the table"), |table| format!("table \"{table}\""))
}

fn named_in<'a>(text: &'a str, sql: &'a str) -> Option<&'a str> {
    let is_name = |name: &&str| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_$".contains(&byte))
    };
    if let Some((_, table)) = text.split_once("no such table: ") {
        return Some(table.rsplit('.').next().unwrap_or(table)).filter(is_name);
    }
    if let Some((_, place)) = text.split_once("constraint failed: ") {
        return place.split_once('.').map(|(table, _)| table).filter(is_name);
    }
    let in_statement = ["into \"", "update \"", "from \""].iter().find_map(|word| {
        let (_, rest) = sql.split_once(word)?;
        rest.split_once('"').map(|(table, _)| table).filter(is_name)
    });
    // The name that SQLite tells may be another one, which the statement has given.
    let told = || text.strip_prefix("table ")?.split_once(" has no column").map(|(table, _)| table).filter(is_name);
    in_statement.or_else(told)
}

/// Classifies an error of a statement of the application's: what SQLite says about it is about
/// tables and values of the application.
pub(super) fn of_query(error: DriverError) -> Error {
    let text = match &error {
        DriverError::MultipleStatement => {
            return Error::invalid("query runs one statement at a time, and this is several");
        }
        DriverError::InvalidParameterCount(given, wanted) => {
            let message = format!("the statement has {wanted} parameters, and {given} values were given");
            return Error::invalid(message);
        }
        _ if ends_transaction(&error) => return running(error),
        DriverError::SqlInputError { msg, .. } | DriverError::SqliteFailure(_, Some(msg)) => msg.clone(),
        other => other.to_string(),
    };
    Error::new(Kind::Backend, format!("SQLite refused the statement: {text}")).with_source(error)
}

/// A client of the application threw.
pub(super) fn of_client(error: ClientError, table: &str) -> Error {
    let code = error.code.clone().unwrap_or_default();
    let text = &error.message;
    let of = |primary: &str| code.starts_with(primary);
    let classified = if of("SQLITE_BUSY") || of("SQLITE_LOCKED") {
        Error::new(Kind::Timeout, "another process or connection holds the lock on the database").unsent()
    } else if of("SQLITE_CORRUPT") || of("SQLITE_NOTADB") {
        Error::new(Kind::CorruptData, "the database file is corrupt, or no SQLite database")
    } else if of("SQLITE_FULL") {
        Error::new(Kind::Backend, DISK_FULL).retryable(true)
    } else if of("SQLITE_IOERR") {
        Error::new(Kind::Backend, "the disk failed (SQLite I/O error)").retryable(true)
    } else if of("SQLITE_READONLY") {
        Error::new(Kind::Backend, "the database file is read-only")
    } else if of("SQLITE_TOOBIG") {
        Error::new(Kind::PayloadTooLarge, "the payload is larger than SQLite can hold")
    } else if of("SQLITE_CONSTRAINT") {
        Error::new(Kind::Backend, format!("a constraint of {} refuses the record", shown(named_in(text, ""))))
    } else if text.contains("no such table") {
        missing(&shown(named_in(text, "")))
    } else if is_other_table(text) {
        let text = format!("table {table} is another one than it should ({text}): initialize() says what is wrong");
        Error::new(Kind::Backend, text)
    } else {
        Error::new(Kind::Backend, format!("the client failed: {text}"))
    };
    classified.with_source(error)
}

/// There is no table yet.
pub(super) fn missing_table(table: &Table) -> Error {
    missing(&format!("table {}", table.quoted()))
}

fn missing(table: &str) -> Error {
    Error::new(Kind::Backend, format!("{table} does not exist: call initialize() first"))
}

/// Classifies an error of opening: says what is in the way, as far as the file system tells.
/// An open that fails is not repeated by itself: nothing changes without somebody's help.
pub(super) fn opening(error: DriverError, location: &Location) -> Failure {
    let found = code(&error);
    let cannot_open =
        found.is_some_and(|error| matches!(error.code, ErrorCode::CannotOpen | ErrorCode::PermissionDenied));
    let Some(path) = location.path().filter(|_| cannot_open) else { return error.into() };
    let message = match obstacle(path) {
        Obstacle::NoDatabase => {
            return Failure::Failed(
                Error::new(
                    Kind::Backend,
                    format!("the database file {} does not exist: call initialize() first", path.display()),
                )
                .with_source(error),
            );
        }
        Obstacle::NoDirectory(directory) => format!("the directory {directory} of the database does not exist"),
        Obstacle::IsDirectory => format!("{} is a directory, not a database file", path.display()),
        Obstacle::Other => {
            format!("cannot open the database file {} or the WAL beside it: no permission, most likely", path.display())
        }
    };
    Failure::Failed(Error::new(Kind::Connection, message).retryable(false).with_source(error))
}

enum Obstacle {
    NoDatabase,
    NoDirectory(String),
    IsDirectory,
    Other,
}

/// Looks without opening: see `connection::read_only_medium`.
fn obstacle(path: &Path) -> Obstacle {
    let directory = path.parent().unwrap_or(path);
    let no_directory = || Obstacle::NoDirectory(directory.display().to_string());
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => Obstacle::IsDirectory,
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => no_directory(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => match fs::metadata(directory) {
            Ok(_) => Obstacle::NoDatabase,
            Err(error) if error.kind() == io::ErrorKind::NotFound => no_directory(),
            Err(_) => Obstacle::Other,
        },
        _ => Obstacle::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(code: i32) -> DriverError {
        DriverError::SqliteFailure(ffi::Error::new(code), None)
    }

    #[test]
    fn codes_become_kinds() {
        for (code, kind, retryable) in [
            (ffi::SQLITE_BUSY_SNAPSHOT, Kind::Timeout, true),
            (ffi::SQLITE_LOCKED, Kind::Timeout, true),
            (ffi::SQLITE_CORRUPT_INDEX, Kind::CorruptData, false),
            (ffi::SQLITE_NOTADB, Kind::CorruptData, false),
            (ffi::SQLITE_READONLY_DIRECTORY, Kind::Backend, false),
            (ffi::SQLITE_READONLY, Kind::Backend, false),
            (ffi::SQLITE_FULL, Kind::Backend, true),
            (ffi::SQLITE_IOERR_FSYNC, Kind::Backend, true),
            (ffi::SQLITE_TOOBIG, Kind::PayloadTooLarge, false),
            (ffi::SQLITE_CONSTRAINT_NOTNULL, Kind::Backend, false),
        ] {
            let error = running(failure(code));
            assert_eq!((error.kind(), error.is_retryable()), (kind, retryable), "{code}: {error}");
            assert!(!error.causes().is_empty(), "{code}");
        }
    }

    #[test]
    fn the_table_is_named() {
        assert_eq!(named_in("no such table: main.saga_instances", ""), Some("saga_instances"));
        assert_eq!(named_in("NOT NULL constraint failed: saga_store.expires_at", ""), Some("saga_store"));
        assert_eq!(named_in("table saga_store has no column named id", ""), Some("saga_store"));
        assert_eq!(named_in("CHECK constraint failed: length(x) > 1", ""), None);
        let sql = "insert into \"saga_outbox\" (a) select b from \"other\"";
        assert_eq!(named_in("no such column: a", sql), Some("saga_outbox"));
        assert_eq!(named_in("no such column: a", "select a from \"sagas\" where b"), Some("sagas"));
        assert_eq!(named_in("no such column: a", "select 1"), None);
    }

    #[test]
    fn a_statements_own_failure_does_not_end_the_transaction() {
        assert!(!ends_transaction(&failure(ffi::SQLITE_CONSTRAINT_CHECK)));
        assert!(!ends_transaction(&failure(ffi::SQLITE_TOOBIG)));
        assert!(ends_transaction(&failure(ffi::SQLITE_FULL)));
        assert!(ends_transaction(&failure(ffi::SQLITE_IOERR_WRITE)));
    }
}
