//! Options as they come from TypeScript (JSON), read strictly: an unknown name, a wrong
//! type or a value out of range is `INVALID_ARGUMENT` that says what is accepted.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::error::{Error, Result};

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
        self.checked_identifier(name, text)
    }

    /// The same, where there is no default.
    pub fn optional_identifier(&mut self, name: &'static str) -> Result<Option<String>> {
        self.string(name)?.map(|text| self.checked_identifier(name, text)).transpose()
    }

    fn checked_identifier(&self, name: &'static str, text: String) -> Result<String> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::settings::Settings;
    use crate::error::Kind;

    fn read(json: &str) -> Result<Settings> {
        let mut options = OptionReader::parse(json)?;
        let settings = Settings::read(&mut options)?;
        options.finish()?;
        Ok(settings)
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
}
