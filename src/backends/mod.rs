//! One folder for each backend. In each the same file name means the same thing; not every backend has every file.
//!
//! ```text
//! mod.rs          opens a store: takes the backend's own options, and refuses unknown ones
//! driver.rs       the driver: capabilities, and where each operation goes on connections of the store's own
//! guest.rs        the client driver: the same on clients of the application
//! payloads(.rs)   the claim check, over whatever carries its requests
//! states(.rs)     saga state, likewise
//! transaction.rs  transactions of the store's own
//! initialize.rs   creates and checks what a store needs
//! inspect.rs      health and usage
//! channel.rs      where requests travel: over a connection of the store's own, or over a client of the application
//! shared.rs       the connections that stores of one URL share: made, replaced, closed
//! error.rs        errors of the driver, of clients and of the database in the store's terms
//! tests.rs        what is tried on a real database, beside the suites in TypeScript
//! ```
//!
//! In the folder of a kind: `queued.rs` has what waits for the end of a transaction, `groups.rs` what runs together,
//! `claims.rs` sagas that are given to one worker each. Each folder's `mod.rs` lists its files.

#[cfg(feature = "dynamodb")]
pub mod dynamodb;
pub mod memory;
#[cfg(feature = "mongodb")]
pub mod mongodb;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(feature = "redis")]
pub mod redis;
#[cfg(feature = "sqlite")]
pub mod sqlite;

#[cfg(test)]
mod moving_tests;
#[cfg(test)]
mod outbox_tests;

use std::sync::Arc;

use crate::contract::driver::Opened;
use crate::contract::guest::ClientDriver;
use crate::contract::settings::Settings;
use crate::error::{Error, Kind, Result};
use crate::options::OptionReader;
use crate::url::Backend;

/// Opens a backend without connecting: takes its own options and refuses unknown ones.
pub fn open(backend: Backend, url: &str, settings: &Settings, options: OptionReader) -> Result<Opened> {
    match backend {
        Backend::Memory => memory::open(url, options),
        #[cfg(feature = "sqlite")]
        Backend::Sqlite => sqlite::open(url, settings, options),
        #[cfg(feature = "postgres")]
        Backend::Postgres => postgres::open(url, settings, options),
        #[cfg(feature = "redis")]
        Backend::Redis => redis::open(url, settings, options),
        #[cfg(feature = "mongodb")]
        Backend::Mongodb => mongodb::open(url, settings, options),
        #[cfg(feature = "dynamodb")]
        Backend::Dynamodb => dynamodb::open(url, settings, options),
        #[cfg(not(all(
            feature = "sqlite",
            feature = "postgres",
            feature = "redis",
            feature = "mongodb",
            feature = "dynamodb"
        )))]
        _ => {
            let _ = settings;
            Err(missing(backend))
        }
    }
}

/// What works on clients of the application: takes the backend's names from the options and
/// refuses unknown ones.
pub fn guest(backend: Backend, options: OptionReader) -> Result<Arc<dyn ClientDriver>> {
    match backend {
        #[cfg(feature = "sqlite")]
        Backend::Sqlite => sqlite::guest(options),
        #[cfg(feature = "postgres")]
        Backend::Postgres => postgres::guest(options),
        #[cfg(feature = "redis")]
        Backend::Redis => redis::guest(options),
        #[cfg(feature = "mongodb")]
        Backend::Mongodb => mongodb::guest(options),
        #[cfg(feature = "dynamodb")]
        Backend::Dynamodb => dynamodb::guest(options),
        _ => {
            drop(options);
            Err(missing(backend))
        }
    }
}

fn missing(backend: Backend) -> Error {
    Error::new(Kind::Unsupported, format!("this build has no clients of {}", backend.name()))
}
