//! The process's own memory: for tests, and for sagas that may die with the process.

mod driver;
mod executions;
mod inbox;
mod moving;
mod outbox;
mod payloads;
mod records;
mod states;
mod transaction;

use std::sync::{Arc, Mutex};

use crate::contract::driver::Opened;
use crate::error::{Error, Result};
use crate::namespace::Namespace;
use crate::options::OptionReader;
use crate::registry::Lease;
use driver::Memory;
use records::Records;

/// Opens `memory://` (private) or `memory://name` (shared by all stores of that name and `namespace`).
pub fn open(url: &str, mut options: OptionReader) -> Result<Opened> {
    let namespace = Namespace::read(&mut options)?;
    options.finish()?;
    let name = url.split_once(':').map_or("", |(_, rest)| rest.trim_start_matches("//"));
    if name.len() > 200 || name.chars().any(|c| !(c.is_ascii_alphanumeric() || "-_.".contains(c))) {
        return Err(Error::invalid("memory://name: the name is letters, digits, '-', '_' and '.', at most 200"));
    }
    let records = if name.is_empty() {
        Lease::private(Mutex::new(Records::default()))
    } else {
        Lease::take(format!("memory:{name}/{}", namespace.name().unwrap_or_default()), Mutex::default)
    };
    Ok(Opened { driver: Arc::new(Memory { records }), guest: None })
}
