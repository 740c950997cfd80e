//! Whether another connection has written to the file, of this process or another one.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::database::Database;
use super::location::Location;
use super::worker::hop;
use crate::error::Result;

/// How often it is looked, while somebody waits.
const EVERY: Duration = Duration::from_millis(25);
/// The same, where it cannot be looked: there is no file yet, or it is locked.
const SELDOM: Duration = Duration::from_secs(1);

/// What `PRAGMA data_version` of the reader's connection was the last time. It changes with each commit of any other
/// connection.
#[derive(Default)]
pub(super) struct Heard(Mutex<Option<i64>>);

impl Heard {
    /// Takes a version down; whether it is another one than before.
    fn is_new(&self, version: i64) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).replace(version) != Some(version)
    }
}

/// Ready when somebody has written since the last time, and the first time at once.
pub(super) async fn rung(database: &Database, heard: &Heard) {
    // Private memory has one connection: who else should write?
    if database.location == Location::Memory {
        return std::future::pending().await;
    }
    loop {
        let pause = match version(database).await {
            Ok(version) if heard.is_new(version) => return,
            Ok(_) => EVERY,
            Err(error) => {
                tracing::debug!(%error, "sqlite: whether others write is not known");
                SELDOM
            }
        };
        tokio::time::sleep(pause).await;
    }
}

async fn version(database: &Database) -> Result<i64> {
    let (slot, thread) = database.reader()?;
    let asked = async move {
        let asked = slot.attempt(false, |connection| {
            Ok(connection.pragma_query_value(None, "data_version", |row| row.get::<_, i64>(0))?)
        });
        asked.map_err(super::error::Failure::into_error)
    };
    hop(&thread, asked).await
}
