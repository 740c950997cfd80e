//! Opening a connection and setting it up.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use rusqlite::{Connection, Error as DriverError, MAIN_DB, OpenFlags};

use super::error::{Failure, is_busy, opening};
use super::location::Location;
use super::locks;

/// SQLite itself waits this long for a lock, blocking the thread; longer waits are
/// repetitions that sleep in between, so that the thread's timers go off in time.
pub(super) const BUSY_SLICE: Duration = Duration::from_millis(50);

/// Of a new database. Payloads of several KiB then fit a page, and large ones have short
/// overflow chains; 16 KiB won against 4 KiB in every measured cell.
const PAGE_SIZE: u32 = 16_384;

/// The page cache of a connection that reads payloads, in KiB. With SQLite's default of 2 MB, a mere 125 of our
/// pages, one small get at a time takes an eighth more. The writer does as well with the default: hardly any page
/// that it has written is wanted again.
pub(super) const READERS_CACHE_KIB: i32 = 16_384;

/// A WAL that starts over keeps this much of its file, to write into instead of growing again.
const WAL_KEPT_BYTES: i64 = 64 * 1024 * 1024;

/// Statements kept prepared: some eight for each table, and stores of several tables may share.
const STATEMENTS: usize = 64;

/// What an answered put survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Durability {
    /// A loss of power: every commit is synced.
    Full,
    /// A crash of the process; a loss of power may take the last commits, never the file.
    Normal,
}

impl Durability {
    /// As the option says it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Normal => "normal",
        }
    }
}

/// Opens the database, with SQLite's default for the size of its page cache unless given; only with `create` is a
/// missing file made.
pub(super) fn open(
    location: &Location,
    durability: Durability,
    cache_kib: Option<i32>,
    create: bool,
) -> Result<Connection, Failure> {
    let Some(path) = location.path() else {
        let connection = Connection::open_in_memory()?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        return Ok(connection);
    };
    locks::install()?;
    locks::refuse_where_unsafe(path)?;
    // Falls back to read-only by itself where the file may not be written.
    let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    flags.set(OpenFlags::SQLITE_OPEN_CREATE, create);
    let opened = Connection::open_with_flags(path, flags).and_then(|connection| {
        if let Some(kib) = cache_kib {
            connection.pragma_update(None, "cache_size", -kib)?;
        }
        set_up(&connection, durability)?;
        Ok(connection)
    });
    match opened {
        Ok(connection) => Ok(connection),
        Err(error) if is_busy(&error) => Err(Failure::Busy(error)),
        Err(error) => read_only_medium(path).ok_or_else(|| opening(error, location)),
    }
}

fn set_up(connection: &Connection, durability: Durability) -> Result<(), DriverError> {
    connection.busy_timeout(BUSY_SLICE)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.pragma_update(None, "synchronous", durability.name())?;
    // The first to read the file: finds what is no database.
    if journal_mode(connection)? != "wal" && !connection.is_readonly(MAIN_DB)? {
        // Has no effect but on an empty database.
        connection.pragma_update(None, "page_size", PAGE_SIZE)?;
        switch_to_wal(connection)?;
    }
    connection.pragma_update(None, "journal_size_limit", WAL_KEPT_BYTES)?;
    // The pragma clears the WAL hook, so it comes before the hook.
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    Ok(())
}

/// The switch needs the file alone and does not call the busy handler; the caller repeats
/// it. Where WAL is not possible for another reason, the database stays in the mode it has.
fn switch_to_wal(connection: &Connection) -> Result<(), DriverError> {
    match connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get::<_, String>(0)) {
        Err(error) if is_busy(&error) => Err(error),
        Err(error) => {
            tracing::debug!(%error, "sqlite: no WAL here; going on without");
            Ok(())
        }
        Ok(mode) => {
            if mode != "wal" {
                tracing::debug!(%mode, "sqlite: no WAL here; going on without");
            }
            Ok(())
        }
    }
}

/// How the database keeps its transactions apart: `wal`, `delete`, `memory`, ...
pub(super) fn journal_mode(connection: &Connection) -> Result<String, DriverError> {
    connection.pragma_query_value(None, "journal_mode", |row| row.get(0))
}

/// On a medium that nobody can write, a database in WAL mode can only be read as immutable:
/// there is no place for the shared index of its WAL.
///
/// The file must not be opened here to find out, nor anywhere else but by SQLite: closing it
/// would take away all locks that this process holds on it (POSIX), and so may corrupt it.
/// Linux refuses to remove a file from such a medium before it looks whether there is one.
fn read_only_medium(path: &Path) -> Option<Connection> {
    const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/');
    let beside = |suffix: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        name
    };
    if fs::remove_file(beside("-no-such-file")).err()?.kind() != io::ErrorKind::ReadOnlyFilesystem {
        return None;
    }
    // What stands in a WAL that was left behind would be missing.
    if fs::metadata(beside("-wal")).is_ok_and(|found| found.len() > 0) {
        return None;
    }
    let uri = format!("file:{}?immutable=1", utf8_percent_encode(path.to_str()?, KEPT));
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    let connection = Connection::open_with_flags(uri, flags).ok()?;
    journal_mode(&connection).ok()?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Some(connection)
}
