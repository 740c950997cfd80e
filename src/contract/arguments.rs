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

/// The longest short word of a caller's (a step, a type, an operation id), in bytes of UTF-8.
const MAX_WORD_BYTES: usize = 255;

/// The longest text that says why something failed, in bytes of UTF-8; the rest is cut off.
const MAX_REASON_BYTES: usize = 8_192;

/// Records that one list or one batch has at most.
pub const MAX_LISTED: u64 = 1_000;

/// Refuses what is no short word: a step, a type, an operation id.
pub fn check_word(what: &str, word: &str) -> Result<()> {
    if word.is_empty() || word.len() > MAX_WORD_BYTES || word.contains('\0') {
        return Err(Error::invalid(format!("{what} must have 1 to {MAX_WORD_BYTES} bytes of UTF-8, none of them NUL")));
    }
    Ok(())
}

/// The beginning of a text that says why something failed: whole characters, none of them NUL, which not every backend
/// keeps.
pub fn shortened(text: &str) -> Box<str> {
    let text = text.replace('\0', "\u{fffd}");
    let mut end = text.len().min(MAX_REASON_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].into()
}

/// Named arguments of a call: what is not known is refused.
pub struct Fields(Vec<(String, Dynamic)>);

impl Fields {
    /// No arguments.
    pub fn none() -> Self {
        Self(Vec::new())
    }

    /// The properties of an object.
    pub fn of(given: Dynamic) -> Result<Self> {
        match given {
            Dynamic::Map(properties) => Ok(Self(properties)),
            Dynamic::Null => Ok(Self::none()),
            _ => Err(Error::invalid("an object is expected")),
        }
    }

    /// The value, whatever it is; null where there is none.
    pub fn take(&mut self, name: &str) -> Dynamic {
        match self.0.iter().position(|(known, _)| known == name) {
            Some(at) => self.0.swap_remove(at).1,
            None => Dynamic::Null,
        }
    }

    fn one(&mut self, name: &str) -> Arguments {
        Arguments::new(vec![self.take(name)])
    }

    /// A string, or nothing.
    pub fn text(&mut self, name: &str) -> Result<Option<Box<str>>> {
        self.one(name).optional(name)
    }

    /// A string; null clears it, and nothing leaves it as it is.
    pub fn patch(&mut self, name: &str) -> Result<Option<Option<Box<str>>>> {
        if self.0.iter().any(|(known, _)| known == name) { self.text(name).map(Some) } else { Ok(None) }
    }

    /// A boolean, or nothing.
    pub fn flag(&mut self, name: &str) -> Result<Option<bool>> {
        self.one(name).optional_flag(name)
    }

    /// A point in time, or nothing.
    pub fn time(&mut self, name: &str) -> Result<Option<Millis>> {
        self.one(name).optional_time(name)
    }

    /// A point in time; null clears it, and nothing leaves it as it is.
    pub fn time_patch(&mut self, name: &str) -> Result<Option<Option<Millis>>> {
        if self.0.iter().any(|(known, _)| known == name) { self.time(name).map(Some) } else { Ok(None) }
    }

    /// A whole number within these bounds, or nothing.
    pub fn whole(&mut self, name: &str, least: i64, most: i64) -> Result<Option<i64>> {
        let most = most.min(MAX_VERSION);
        match self.take(name) {
            Dynamic::Null => Ok(None),
            Dynamic::Int(number) if (least..=most).contains(&number) => Ok(Some(number)),
            _ => Err(Error::invalid(format!("{name} must be a whole number from {least} to {most}"))),
        }
    }

    /// A version, or nothing.
    pub fn version(&mut self, name: &str) -> Result<Option<i64>> {
        self.whole(name, 0, MAX_VERSION)
    }

    /// At most `most` strings of 1 to `longest` bytes of UTF-8, without NUL; or nothing. Each is there once.
    pub fn texts(&mut self, name: &str, most: usize, longest: usize) -> Result<Option<Vec<Box<str>>>> {
        let given = match self.take(name) {
            Dynamic::Null => return Ok(None),
            Dynamic::List(given) if given.len() <= most => given,
            _ => return Err(Error::invalid(format!("{name} must be a list of at most {most} strings"))),
        };
        let mut texts: Vec<Box<str>> = Vec::with_capacity(given.len());
        for text in given {
            match text {
                Dynamic::Text(text) if !text.is_empty() && text.len() <= longest && !text.contains('\0') => {
                    if !texts.iter().any(|known| **known == *text) {
                        texts.push(text.into());
                    }
                }
                _ => {
                    let message = format!("{name} must be strings of 1 to {longest} bytes of UTF-8, without NUL");
                    return Err(Error::invalid(message));
                }
            }
        }
        Ok(Some(texts))
    }

    /// How many records a list or a batch has at most.
    pub fn limit(&mut self) -> Result<u64> {
        self.one("limit").limit()
    }

    /// The name of a worker.
    pub fn worker(&mut self) -> Result<Box<str>> {
        self.one("workerId").worker()
    }

    /// How long a lease is, in milliseconds.
    pub fn lease(&mut self) -> Result<u64> {
        self.one("leaseMs").lease()
    }

    /// Refuses what nobody has asked for.
    pub fn finish(self) -> Result<()> {
        match self.0.into_iter().find(|(_, value)| *value != Dynamic::Null) {
            Some((name, _)) => Err(Error::invalid(format!("'{name}' is not known here"))),
            None => Ok(()),
        }
    }
}

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

    /// Named ones, or nothing.
    pub fn fields(&mut self) -> Result<Fields> {
        Fields::of(self.any())
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
