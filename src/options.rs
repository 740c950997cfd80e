//! Options as they come from TypeScript (JSON), read strictly: an unknown name, a wrong
//! type or a value out of range is `INVALID_ARGUMENT` that says what is accepted.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::store::compression::Compression;

/// A day in milliseconds times 366: no timeout of ours is longer.
const A_YEAR_MS: u64 = 366 * 24 * 60 * 60 * 1000;

/// Takes options out of a JSON object one by one; `finish` refuses what is left over.
#[derive(Debug)]
pub struct OptionReader {
    left: Map<String, Value>,
    known: Vec<&'static str>,
    prefix: &'static str,
}

impl OptionReader {
    /// Reads `json`, which must be an object.
    pub fn parse(json: &str) -> Result<Self> {
        match serde_json::from_str(json) {
            Ok(Value::Object(left)) => Ok(Self { left, known: Vec::new(), prefix: "" }),
            _ => Err(Error::invalid("options must be an object or a connection string")),
        }
    }

    /// The secrets in nested options that are still there: what errors must not contain. Short ones
    /// are stand-ins for local servers; hiding them would spoil messages that they happen to occur in.
    pub fn secrets(&self) -> Vec<String> {
        let nested = self.left.values().filter_map(Value::as_object).flatten();
        let secret = nested.filter(|(name, _)| matches!(name.as_str(), "secretAccessKey" | "sessionToken"));
        secret.filter_map(|(_, value)| value.as_str()).filter(|text| text.len() >= 8).map(str::to_owned).collect()
    }

    fn take(&mut self, name: &'static str) -> Option<Value> {
        self.known.push(name);
        self.left.remove(name).filter(|value| !value.is_null())
    }

    /// Drops what others put beside the options in an object of theirs.
    pub fn skip(&mut self, name: &str) {
        self.left.remove(name);
    }

    fn wrong(&self, name: &str, wanted: &str) -> Error {
        Error::invalid(format!("option '{}{name}' must be {wanted}", self.prefix))
    }

    /// A string; its content is never shown in an error (it may hold a password).
    pub fn string(&mut self, name: &'static str) -> Result<Option<String>> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) if !text.is_empty() => Ok(Some(text)),
            Some(_) => Err(self.wrong(name, "a string that is not empty")),
        }
    }

    /// A whole number within `range`.
    pub fn number(&mut self, name: &'static str, default: u64, range: RangeInclusive<u64>) -> Result<u64> {
        let Some(value) = self.take(name) else { return Ok(default) };
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
        let number = value
            .as_u64()
            .or_else(|| value.as_f64().filter(|n| n.fract() == 0.0 && *n >= 0.0 && *n < 9e15).map(|n| n as u64));
        number
            .filter(|n| range.contains(n))
            .ok_or_else(|| self.wrong(name, &format!("a whole number from {} to {}", range.start(), range.end())))
    }

    /// A duration in milliseconds.
    pub fn millis(&mut self, name: &'static str, default: u64, least: u64) -> Result<Duration> {
        self.number(name, default, least..=A_YEAR_MS).map(Duration::from_millis)
    }

    /// One of the given words; the first is the default.
    pub fn choice(&mut self, name: &'static str, accepted: &[&'static str]) -> Result<&'static str> {
        let Some(value) = self.take(name) else { return Ok(accepted[0]) };
        let found = value.as_str().and_then(|text| accepted.iter().find(|word| **word == text));
        found.copied().ok_or_else(|| self.wrong(name, &quoted(accepted, " or ")))
    }

    /// A name that goes into SQL, quoted: letters, digits and underscores, at most 63 of them.
    pub fn identifier(&mut self, name: &'static str, default: &str) -> Result<String> {
        let text = self.string(name)?.unwrap_or_else(|| default.to_owned());
        let mut letters = text.bytes();
        let starts_well = letters.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
        if starts_well && text.len() <= 63 && letters.all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            return Ok(text);
        }
        Err(self.wrong(name, "1 to 63 letters, digits and underscores, not starting with a digit"))
    }

    /// A nested object, read by `read` under the same rules.
    pub fn nested<T>(
        &mut self,
        name: &'static str,
        prefix: &'static str,
        read: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<T> {
        let left = match self.take(name) {
            None => Map::new(),
            Some(Value::Object(map)) => map,
            Some(_) => return Err(self.wrong(name, "an object")),
        };
        let mut inner = Self { left, known: Vec::new(), prefix };
        let value = read(&mut inner)?;
        inner.finish()?;
        Ok(value)
    }

    /// One of the words `accepted` in place of the object `name` stands for one with that word as its `field`.
    pub fn word_for(&mut self, name: &str, field: &str, accepted: &[&str]) -> Result<()> {
        match self.left.get(name) {
            None | Some(Value::Null | Value::Object(_)) => {}
            Some(Value::String(word)) if accepted.contains(&word.as_str()) => {
                let object = Map::from_iter([(field.to_owned(), Value::String(word.clone()))]);
                self.left.insert(name.to_owned(), Value::Object(object));
            }
            Some(_) => return Err(self.wrong(name, &format!("{} or an object", quoted(accepted, ", ")))),
        }
        Ok(())
    }

    /// Refuses what nobody took.
    pub fn finish(self) -> Result<()> {
        let Some(unknown) = self.left.keys().next() else { return Ok(()) };
        let near = self
            .known
            .iter()
            .max_by(|a, b| strsim::jaro_winkler(a, unknown).total_cmp(&strsim::jaro_winkler(b, unknown)));
        let hint = match near {
            Some(near) if strsim::jaro_winkler(near, unknown) > 0.8 => format!(" (did you mean '{near}'?)"),
            _ => String::new(),
        };
        let mut accepted = self.known.clone();
        accepted.sort_unstable();
        let shown: String = unknown.chars().take(60).collect();
        Err(Error::invalid(format!("unknown option '{}{shown}'{hint}; accepted: {}", self.prefix, accepted.join(", "))))
    }
}

fn quoted(words: &[&str], between: &str) -> String {
    words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(between)
}

/// How often and how soon a failed operation is repeated (full jitter).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Attempts in all, the first included.
    pub attempts: u32,
    /// The longest pause before the second attempt; it doubles with each further one.
    pub base: Duration,
    /// The longest pause of all.
    pub max: Duration,
}

impl Retry {
    /// A random pause after `failed` failed attempts.
    pub fn pause(&self, failed: u32) -> Duration {
        let ceiling = self.base.saturating_mul(1_u32 << failed.saturating_sub(1).min(20)).min(self.max);
        ceiling.mul_f64(fastrand::f64())
    }
}

/// The options that every store has.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How long a payload that was already past its expiry at the put is kept.
    pub late_retention: Duration,
    /// The caller's own limit on a payload's bytes, as they are stored.
    pub max_payload_bytes: Option<u64>,
    /// Whether payloads are compressed.
    pub compression: Compression,
    /// The longest that a promise stays pending.
    pub operation_timeout: Duration,
    /// The longest that reaching the server may take.
    pub connect_timeout: Duration,
    /// Repeating what failed.
    pub retry: Retry,
    /// How long a saga that has ended is kept after its last change; none: as others are.
    pub completed_ttl: Option<Duration>,
    /// How long a saga is kept after its last change; none: until it is deleted.
    pub default_ttl: Option<Duration>,
}

impl Settings {
    /// Takes the common options.
    pub fn read(options: &mut OptionReader) -> Result<Self> {
        Ok(Self {
            late_retention: options.millis("lateRetentionMs", 3_600_000, 0)?,
            max_payload_bytes: match options.number("maxPayloadBytes", u64::MAX, 0..=u64::MAX)? {
                u64::MAX => None,
                limit => Some(limit),
            },
            compression: Compression::read(options)?,
            operation_timeout: options.millis("operationTimeoutMs", 30_000, 1)?,
            connect_timeout: options.millis("connectTimeoutMs", 5_000, 1)?,
            retry: options.nested("retry", "retry.", |retry| {
                Ok(Retry {
                    attempts: u32::try_from(retry.number("attempts", 3, 1..=100)?).unwrap_or(1),
                    base: retry.millis("baseMs", 50, 0)?,
                    max: retry.millis("maxMs", 2_000, 0)?,
                })
            })?,
            completed_ttl: ttl(options, "completedTtlMs")?,
            default_ttl: ttl(options, "defaultTtlMs")?,
        })
    }
}

/// A time to live; 0 is for ever.
fn ttl(options: &mut OptionReader, name: &'static str) -> Result<Option<Duration>> {
    Ok(Some(options.millis(name, 0, 0)?).filter(|ttl| !ttl.is_zero()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    fn read(json: &str) -> Result<Settings> {
        let mut options = OptionReader::parse(json)?;
        let settings = Settings::read(&mut options)?;
        options.finish()?;
        Ok(settings)
    }

    #[test]
    fn defaults_are_the_documented_ones() {
        let settings = read("{}").unwrap();
        assert_eq!(settings.late_retention, Duration::from_secs(3600));
        assert_eq!(settings.operation_timeout, Duration::from_secs(30));
        assert_eq!(settings.connect_timeout, Duration::from_secs(5));
        assert_eq!(settings.retry.attempts, 3);
    }

    #[test]
    fn a_misspelt_option_names_what_is_accepted() {
        let error = read(r#"{"lateRetentionMS": 5}"#).unwrap_err();
        assert_eq!(error.kind(), Kind::InvalidArgument);
        assert!(error.message().contains("did you mean 'lateRetentionMs'"), "{error}");
        let error = read(r#"{"retry": {"atempts": 5}}"#).unwrap_err();
        assert!(error.message().contains("unknown option 'retry.atempts'"), "{error}");
        assert!(error.message().contains("accepted: attempts, baseMs, maxMs"), "{error}");
    }

    #[test]
    fn numbers_are_checked() {
        for json in [
            r#"{"operationTimeoutMs": 0}"#,
            r#"{"operationTimeoutMs": -1}"#,
            r#"{"connectTimeoutMs": "5"}"#,
            r#"{"retry": 3}"#,
            r#"{"retry": {"attempts": 1.5}}"#,
        ] {
            assert_eq!(read(json).unwrap_err().kind(), Kind::InvalidArgument, "{json}");
        }
        assert!(read(r#"{"maxPayloadBytes": 1e6}"#).is_ok());
    }

    #[test]
    fn secrets_in_nested_options_are_known() {
        let json = r#"{"url": "x", "credentials": {"accessKeyId": "AKIAEXAMPLE", "secretAccessKey": "0123456789",
            "sessionToken": "short"}, "retry": {"attempts": 3}}"#;
        assert_eq!(OptionReader::parse(json).unwrap().secrets(), ["0123456789"]);
    }

    #[test]
    fn pauses_have_full_jitter_under_a_doubling_ceiling() {
        let retry = Retry { attempts: 3, base: Duration::from_millis(50), max: Duration::from_millis(120) };
        for _ in 0..200 {
            assert!(retry.pause(1) <= Duration::from_millis(50));
            assert!(retry.pause(2) <= Duration::from_millis(100));
            assert!(retry.pause(30) <= Duration::from_millis(120));
        }
    }
}
