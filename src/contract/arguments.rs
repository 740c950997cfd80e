//! What a caller gave, read strictly: what is wrong is named.

use super::dynamic::Dynamic;
use crate::error::{Error, Result};
use crate::time::Millis;

/// The largest version: JavaScript counts that far.
const MAX_VERSION: i64 = 9_007_199_254_740_991;

/// The longest name of a worker, in bytes of UTF-8.
const MAX_WORKER_BYTES: usize = 256;

/// The longest lease, a week: a worker that has died keeps its sagas for so long.
const MAX_LEASE_MS: u64 = 604_800_000;

/// Records that one list or one batch has at most.
pub const MAX_LISTED: u64 = 1_000;

/// The arguments of a call, one after the other.
pub struct Arguments(std::vec::IntoIter<Dynamic>);

impl Arguments {
    /// Reads `given` from its beginning.
    pub fn new(given: Vec<Dynamic>) -> Self {
        Self(given.into_iter())
    }

    /// The value, whatever it is; null behind the last.
    pub fn any(&mut self) -> Dynamic {
        self.0.next().unwrap_or(Dynamic::Null)
    }

    /// A string.
    pub fn text(&mut self, what: &str) -> Result<Box<str>> {
        match self.any() {
            Dynamic::Text(text) => Ok(text.into()),
            _ => Err(Error::invalid(format!("{what} must be a string"))),
        }
    }

    /// A string, or nothing.
    pub fn optional(&mut self, what: &str) -> Result<Option<Box<str>>> {
        match self.any() {
            Dynamic::Null => Ok(None),
            Dynamic::Text(text) => Ok(Some(text.into())),
            _ => Err(Error::invalid(format!("{what} must be a string"))),
        }
    }

    /// A whole number.
    pub fn whole(&mut self, what: &str) -> Result<i64> {
        match self.any() {
            Dynamic::Int(number) => Ok(number),
            _ => Err(Error::invalid(format!("{what} must be a whole number"))),
        }
    }

    /// A version.
    pub fn version(&mut self, what: &str) -> Result<i64> {
        let version = self.whole(what)?;
        if (0..=MAX_VERSION).contains(&version) {
            return Ok(version);
        }
        Err(Error::invalid(format!("{what} must be a whole number from 0 to {MAX_VERSION}")))
    }

    /// A point in time.
    pub fn time(&mut self, what: &str) -> Result<Millis> {
        match self.any() {
            Dynamic::Time(at) => Ok(at),
            _ => Err(Error::invalid(format!("{what} must be a valid Date"))),
        }
    }

    /// A point in time, or nothing.
    pub fn optional_time(&mut self, what: &str) -> Result<Option<Millis>> {
        match self.any() {
            Dynamic::Null => Ok(None),
            Dynamic::Time(at) => Ok(Some(at)),
            _ => Err(Error::invalid(format!("{what} must be a valid Date"))),
        }
    }

    /// A boolean.
    pub fn flag(&mut self, what: &str) -> Result<bool> {
        match self.any() {
            Dynamic::Bool(flag) => Ok(flag),
            _ => Err(Error::invalid(format!("{what} must be true or false"))),
        }
    }

    /// A boolean, or nothing.
    pub fn optional_flag(&mut self, what: &str) -> Result<Option<bool>> {
        match self.any() {
            Dynamic::Null => Ok(None),
            Dynamic::Bool(flag) => Ok(Some(flag)),
            _ => Err(Error::invalid(format!("{what} must be true or false"))),
        }
    }

    /// How many records a list or a batch has at most.
    pub fn limit(&mut self) -> Result<u64> {
        let limit = self.whole("limit")?;
        let limit = u64::try_from(limit).ok().filter(|limit| (1..=MAX_LISTED).contains(limit));
        limit.ok_or_else(|| Error::invalid(format!("limit must be a whole number from 1 to {MAX_LISTED}")))
    }

    /// The name of a worker.
    pub fn worker(&mut self) -> Result<Box<str>> {
        let worker = self.text("workerId")?;
        if worker.is_empty() || worker.len() > MAX_WORKER_BYTES || worker.contains('\0') {
            return Err(Error::invalid(format!(
                "workerId must have 1 to {MAX_WORKER_BYTES} bytes of UTF-8, none of them NUL"
            )));
        }
        Ok(worker)
    }

    /// How long a lease is, in milliseconds.
    pub fn lease(&mut self) -> Result<u64> {
        let lease = u64::try_from(self.whole("leaseMs")?).ok().filter(|lease| (1..=MAX_LEASE_MS).contains(lease));
        lease.ok_or_else(|| Error::invalid(format!("leaseMs must be a whole number from 1 to {MAX_LEASE_MS}")))
    }
}
