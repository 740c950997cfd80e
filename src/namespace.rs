//! Option `namespace`: one word that names the tables, collections and key prefixes of every kind of record.
//!
//! A kind's own name is one word without an underscore, so that what two namespaces name is never the same:
//! the last word tells the kind, and what stands before it the namespace.

use crate::error::{Error, Result};
use crate::options::OptionReader;

/// The kind of the payloads.
pub const PAYLOADS: &str = "payloads";
/// The kind of saga state.
pub const SAGAS: &str = "sagas";
/// The kind of executions.
pub const EXECUTIONS: &str = "executions";
/// The log of executions, where it stands apart.
pub const LOG: &str = "log";
/// The kind of events.
pub const OUTBOX: &str = "outbox";
/// The kind of messages that have been applied.
pub const INBOX: &str = "inbox";

/// With an underscore and the longest kind behind it, a name is no longer than that of an index may begin with.
const MAX_BYTES: usize = 32;

/// The namespace of a store, where it has one.
pub struct Namespace(Option<String>);

impl Namespace {
    /// Takes option `namespace`. SQLite does not tell capitals from small letters, so there are none.
    pub fn read(options: &mut OptionReader) -> Result<Self> {
        let Some(text) = options.string("namespace")? else { return Ok(Self(None)) };
        let starts_well = text.as_bytes()[0].is_ascii_lowercase();
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        if starts_well && text.len() <= MAX_BYTES && text.bytes().all(allowed) {
            return Ok(Self(Some(text)));
        }
        Err(Error::invalid(format!(
            "option 'namespace' must be 1 to {MAX_BYTES} small letters, digits and underscores, starting with a letter"
        )))
    }

    /// The namespace.
    pub fn name(&self) -> Option<&str> {
        self.0.as_deref()
    }

    /// A kind's table or collection.
    pub fn table(&self, kind: &str, default: &str) -> String {
        self.0.as_ref().map_or_else(|| default.to_owned(), |name| format!("{name}_{kind}"))
    }

    /// What a kind's keys begin with.
    pub fn prefix(&self, kind: &str, default: &str) -> String {
        self.0.as_ref().map_or_else(|| default.to_owned(), |name| format!("{name}:{kind}"))
    }
}

/// Refuses two options that name one place for two kinds; each comes with the place that it names.
pub fn check_places(places: &[(&str, &str)], is_same: impl Fn(&str, &str) -> bool) -> Result<()> {
    for (at, (option, place)) in places.iter().enumerate() {
        if let Some((other, _)) = places[..at].iter().find(|(_, known)| is_same(known, place)) {
            return Err(same_place(other, option));
        }
    }
    Ok(())
}

/// `INVALID_ARGUMENT`: two options name one place for two kinds.
pub fn same_place(payloads: &str, sagas: &str) -> Error {
    Error::invalid(format!(
        "options '{payloads}' and '{sagas}' must not name the same place: one kind of records could overwrite another"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    fn read(text: &str) -> Result<Namespace> {
        Namespace::read(&mut OptionReader::parse(&serde_json::json!({ "namespace": text }).to_string())?)
    }

    #[test]
    fn names_are_those_of_the_documentation() {
        let orders = read("orders").unwrap();
        assert_eq!(orders.table(PAYLOADS, "saga_store"), "orders_payloads");
        assert_eq!(orders.prefix(SAGAS, "saga-bus"), "orders:sagas");
        let none = Namespace::read(&mut OptionReader::parse("{}").unwrap()).unwrap();
        assert_eq!(none.table(PAYLOADS, "saga_store"), "saga_store");
        assert!(read(&"n".repeat(32)).is_ok() && read("o_2").is_ok());
    }

    #[test]
    fn the_pattern_is_strict() {
        for text in ["", "Orders", "2orders", "_orders", "or-ders", "or ders", "or:ders", "örders", &"n".repeat(33)] {
            assert_eq!(read(text).err().map(|error| error.kind()), Some(Kind::InvalidArgument), "{text}");
        }
    }

    #[test]
    fn kinds_are_one_word() {
        for kind in [PAYLOADS, SAGAS] {
            assert!(kind.bytes().all(|b| b.is_ascii_lowercase()) && MAX_BYTES + 1 + kind.len() <= 48);
        }
    }
}
