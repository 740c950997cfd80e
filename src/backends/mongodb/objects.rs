//! Commands as the objects that clients of the application take, and their answers.

use bytes::Bytes;
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, Bson, DateTime, Document, RawDocument};

use super::build::Build;
use super::document::{Field, judge};
use super::error;
use crate::contract::dynamic::Dynamic;
use crate::error::Result;
use crate::time::Millis;

/// A command being built. Payloads stay where they are.
#[derive(Default)]
pub(super) struct ObjectWriter {
    /// What is open, each with its name in the one before; the command itself has none.
    open: Vec<(String, Dynamic)>,
    command: Vec<(String, Dynamic)>,
}

impl ObjectWriter {
    /// The whole command.
    pub(super) fn finish(mut self) -> Dynamic {
        while !self.open.is_empty() {
            self.end();
        }
        Dynamic::Map(self.command)
    }

    fn add(&mut self, name: &str, value: Dynamic) -> &mut Self {
        match self.open.last_mut() {
            Some((_, Dynamic::List(elements))) => elements.push(value),
            Some((_, Dynamic::Map(properties))) => properties.push((name.to_owned(), value)),
            _ => self.command.push((name.to_owned(), value)),
        }
        self
    }
}

impl Build for ObjectWriter {
    fn text(&mut self, name: &str, value: &str) -> &mut Self {
        self.add(name, Dynamic::text(value))
    }

    fn int(&mut self, name: &str, value: i32) -> &mut Self {
        self.add(name, Dynamic::Int(value.into()))
    }

    fn long(&mut self, name: &str, value: i64) -> &mut Self {
        self.add(name, Dynamic::Int(value))
    }

    fn flag(&mut self, name: &str, value: bool) -> &mut Self {
        self.add(name, Dynamic::Bool(value))
    }

    fn date(&mut self, name: &str, value: Millis) -> &mut Self {
        self.add(name, Dynamic::Time(value))
    }

    fn binary(&mut self, name: &str, value: &Bytes) -> &mut Self {
        self.add(name, Dynamic::Bytes(value.clone()))
    }

    fn embed(&mut self, name: &str, value: &RawDocument) -> &mut Self {
        let document = Document::try_from(value).unwrap_or_default();
        self.add(name, of_document(document))
    }

    fn begin(&mut self, name: &str) -> &mut Self {
        self.open.push((name.to_owned(), Dynamic::Map(Vec::new())));
        self
    }

    fn begin_array(&mut self, name: &str) -> &mut Self {
        self.open.push((name.to_owned(), Dynamic::List(Vec::new())));
        self
    }

    fn end(&mut self) -> &mut Self {
        match self.open.pop() {
            Some((name, value)) => self.add(&name, value),
            None => self,
        }
    }
}

/// A document as an object. Bytes are moved.
pub(super) fn of_document(document: Document) -> Dynamic {
    Dynamic::Map(document.into_iter().map(|(name, value)| (name, of_bson(value))).collect())
}

fn of_bson(value: Bson) -> Dynamic {
    match value {
        Bson::Boolean(flag) => Dynamic::Bool(flag),
        Bson::Int32(number) => Dynamic::Int(number.into()),
        Bson::Int64(number) => Dynamic::Int(number),
        Bson::Double(number) => Dynamic::Number(number),
        Bson::String(text) => Dynamic::Text(text),
        Bson::Binary(binary) => Dynamic::Bytes(Bytes::from(binary.bytes)),
        Bson::DateTime(at) => Dynamic::Time(Millis(at.timestamp_millis())),
        Bson::Array(elements) => Dynamic::List(elements.into_iter().map(of_bson).collect()),
        Bson::Document(document) => of_document(document),
        // Ids of other software: what cannot be read is named by them.
        Bson::ObjectId(id) => Dynamic::map([("$oid", Dynamic::Text(id.to_hex()))]),
        // Nothing that is sent or read here has another type.
        _ => Dynamic::Null,
    }
}

/// An answer as a document.
pub(super) fn to_document(answer: Dynamic) -> Result<Document> {
    match to_bson(answer) {
        Bson::Document(document) => Ok(document),
        _ => Err(error::unexpected()),
    }
}

fn to_bson(value: Dynamic) -> Bson {
    match value {
        Dynamic::Null => Bson::Null,
        Dynamic::Bool(flag) => Bson::Boolean(flag),
        Dynamic::Int(number) => Bson::Int64(number),
        Dynamic::Number(number) => Bson::Double(number),
        Dynamic::Text(text) => Bson::String(text),
        Dynamic::Bytes(bytes) => Bson::Binary(Binary { subtype: BinarySubtype::Generic, bytes: bytes.to_vec() }),
        Dynamic::Time(at) => Bson::DateTime(DateTime::from_millis(at.0)),
        Dynamic::List(elements) => Bson::Array(elements.into_iter().map(to_bson).collect()),
        Dynamic::Map(properties) => {
            Bson::Document(properties.into_iter().map(|(name, value)| (name, to_bson(value))).collect())
        }
    }
}

/// The documents in the first part of a cursor.
pub(super) fn first_batch(answer: Dynamic) -> Result<Vec<Dynamic>> {
    let mut found = take(take(Some(answer), "cursor"), "firstBatch");
    found.take().and_then(Dynamic::into_list).ok_or_else(error::unexpected)
}

fn take(object: Option<Dynamic>, name: &str) -> Option<Dynamic> {
    let Some(Dynamic::Map(properties)) = object else { return None };
    properties.into_iter().find(|(known, _)| known == name).map(|(_, value)| value)
}

/// Whether the time of a document is over, and its payload: as [`super::document::read`], with
/// the bytes in the memory that the client made for them.
pub(super) fn read(document: Dynamic, now: Millis) -> Result<(bool, Result<Option<Bytes>, String>)> {
    let Dynamic::Map(properties) = document else { return Err(error::unexpected()) };
    let (mut data, mut expires_at) = (Field::Missing, Field::Missing);
    for (name, value) in properties {
        match &*name {
            "data" => data = field_of(value),
            "expiresAt" => expires_at = field_of(value),
            _ => {}
        }
    }
    Ok(judge(&expires_at, data, now))
}

fn field_of(value: Dynamic) -> Field<Bytes> {
    match value {
        Dynamic::Null => Field::Null,
        Dynamic::Time(at) => Field::Date(at),
        Dynamic::Bytes(bytes) => Field::Binary(bytes),
        Dynamic::Bool(_) => Field::Other("a bool"),
        Dynamic::Int(_) | Dynamic::Number(_) => Field::Other("a number"),
        Dynamic::Text(_) => Field::Other("a string"),
        Dynamic::List(_) => Field::Other("an array"),
        Dynamic::Map(_) => Field::Other("an object"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object<const N: usize>(properties: [(&str, Dynamic); N]) -> Dynamic {
        Dynamic::map(properties)
    }

    #[test]
    fn documents_are_read_as_those_of_the_driver() {
        let x = || Dynamic::Bytes(Bytes::from_static(b"x"));
        let at = |millis| Dynamic::Time(Millis(millis));
        for (document, expected) in [
            (object([("_id", "a".into()), ("data", x())]), Ok(Some(&b"x"[..]))),
            (object([("data", x()), ("expiresAt", Dynamic::Null)]), Ok(Some(b"x"))),
            (object([("data", x()), ("expiresAt", at(1_001))]), Ok(Some(b"x"))),
            (object([("data", x()), ("expiresAt", at(1_000))]), Ok(None)),
            (object([("data", "x".into())]), Err("'data' is a string, not binary")),
            (object([("data", Dynamic::Null)]), Err("'data' is null, not binary")),
            (object([]), Err("it has no 'data'")),
            (object([("data", x()), ("expiresAt", 5.into())]), Err("'expiresAt' is a number, not a date")),
            (object([("data", x()), ("expiresAt", x())]), Err("'expiresAt' is binary, not a date")),
        ] {
            let shown = format!("{document:?}");
            let (over, data) = read(document, Millis(1_000)).unwrap();
            assert_eq!(over, expected == Ok(None), "{shown}");
            assert_eq!(data.as_ref().map(Option::as_deref).map_err(String::as_str), expected, "{shown}");
        }
        assert!(read(Dynamic::Null, Millis(0)).is_err());
    }

    #[test]
    fn bytes_of_an_answer_are_not_copied() {
        let data = Bytes::from(vec![1, 2, 3]);
        let document = object([("_id", "a".into()), ("data", Dynamic::Bytes(data.clone()))]);
        let answer = object([("cursor", object([("firstBatch", Dynamic::List(vec![document]))]))]);
        let found = first_batch(answer).unwrap().pop().unwrap();
        let (_, read) = read(found, Millis(0)).unwrap();
        assert_eq!(read.unwrap().unwrap().as_ptr(), data.as_ptr());
        assert!(first_batch(object([("ok", 1.into())])).is_err());
    }
}
