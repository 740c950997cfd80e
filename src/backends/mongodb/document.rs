//! Payloads as documents `{ _id, data: BinData, expiresAt: Date }`, and commands written straight
//! into one buffer: a payload is copied once.

use bytes::Bytes;
use mongodb::bson::spec::{BinarySubtype, ElementType};
use mongodb::bson::{Document, RawBsonRef, RawDocument, RawDocumentBuf};

use super::build::Build;
use super::error;
use crate::error::{Error, Kind, Result};
use crate::time::Millis;

/// The largest document that a server stores.
const MAX_DOCUMENT: u64 = 16 * 1024 * 1024;

/// What a document needs beside its id and its bytes: length (4), `_id` (1 + 4 + 4 + 1), `data`
/// (1 + 5 + 4 + 1), `expiresAt` (1 + 10 + 8), end (1). The date counts in any case, because a
/// `touch` may add it later.
const BESIDES: u64 = 4 + 10 + 11 + 19 + 1;

/// The largest payload that fits under an id of `id_bytes` bytes.
pub(super) const fn max_payload_bytes(id_bytes: usize) -> u64 {
    MAX_DOCUMENT - BESIDES - id_bytes as u64
}

/// A document being written as the bytes that are sent.
pub(super) struct Writer {
    bytes: Vec<u8>,
    open: Vec<usize>,
}

impl Writer {
    /// An empty document; `capacity` saves it from growing.
    pub(super) fn with_capacity(capacity: usize) -> Self {
        let mut writer = Self { bytes: Vec::with_capacity(capacity), open: Vec::with_capacity(4) };
        writer.start();
        writer
    }

    fn start(&mut self) {
        self.open.push(self.bytes.len());
        self.bytes.extend_from_slice(&[0; 4]);
    }

    fn key(&mut self, kind: ElementType, name: &str) {
        self.bytes.push(kind as u8);
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
    }

    fn length(&mut self, length: usize) {
        self.bytes.extend_from_slice(&i32::try_from(length).unwrap_or(i32::MAX).to_le_bytes());
    }

    /// The whole document.
    pub(super) fn finish(mut self) -> Result<RawDocumentBuf> {
        while !self.open.is_empty() {
            self.end();
        }
        RawDocumentBuf::from_bytes(self.bytes)
            .map_err(|source| Error::new(Kind::Backend, "a command cannot be written").unsent().with_source(source))
    }
}

impl Build for Writer {
    fn text(&mut self, name: &str, value: &str) -> &mut Self {
        self.key(ElementType::String, name);
        self.length(value.len() + 1);
        self.bytes.extend_from_slice(value.as_bytes());
        self.bytes.push(0);
        self
    }

    fn int(&mut self, name: &str, value: i32) -> &mut Self {
        self.key(ElementType::Int32, name);
        self.bytes.extend_from_slice(&value.to_le_bytes());
        self
    }

    fn long(&mut self, name: &str, value: i64) -> &mut Self {
        self.key(ElementType::Int64, name);
        self.bytes.extend_from_slice(&value.to_le_bytes());
        self
    }

    fn flag(&mut self, name: &str, value: bool) -> &mut Self {
        self.key(ElementType::Boolean, name);
        self.bytes.push(value.into());
        self
    }

    fn date(&mut self, name: &str, value: Millis) -> &mut Self {
        self.key(ElementType::DateTime, name);
        self.bytes.extend_from_slice(&value.0.to_le_bytes());
        self
    }

    fn binary(&mut self, name: &str, value: &Bytes) -> &mut Self {
        self.key(ElementType::Binary, name);
        self.length(value.len());
        self.bytes.push(BinarySubtype::Generic.into());
        self.bytes.extend_from_slice(value);
        self
    }

    fn embed(&mut self, name: &str, value: &RawDocument) -> &mut Self {
        self.key(ElementType::EmbeddedDocument, name);
        self.bytes.extend_from_slice(value.as_bytes());
        self
    }

    fn begin(&mut self, name: &str) -> &mut Self {
        self.key(ElementType::EmbeddedDocument, name);
        self.start();
        self
    }

    fn begin_array(&mut self, name: &str) -> &mut Self {
        self.key(ElementType::Array, name);
        self.start();
        self
    }

    fn end(&mut self) -> &mut Self {
        if let Some(at) = self.open.pop() {
            self.bytes.push(0);
            let length = i32::try_from(self.bytes.len() - at).unwrap_or(i32::MAX);
            self.bytes[at..at + 4].copy_from_slice(&length.to_le_bytes());
        }
        self
    }
}

/// A document as commands that are sent rarely are made.
pub(super) fn raw(command: &Document) -> Result<RawDocumentBuf> {
    RawDocumentBuf::try_from(command)
        .map_err(|source| Error::new(Kind::Backend, "a command cannot be written").unsent().with_source(source))
}

/// What a document holds.
#[derive(Debug, PartialEq)]
pub(super) struct Found<'a> {
    /// Its id, if that is a string.
    pub(super) id: &'a str,
    /// Its time is over.
    pub(super) over: bool,
    /// The payload, unless its time is over; an error where the document is not one of ours.
    pub(super) data: Result<Option<&'a [u8]>, String>,
}

/// A field of a document, as far as its type matters.
pub(super) enum Field<T> {
    Missing,
    Null,
    Date(Millis),
    Binary(T),
    /// Of another type, as the server's documentation names it.
    Other(&'static str),
}

impl<T> Field<T> {
    fn name(&self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Null => "null",
            Self::Date(_) => "a date",
            Self::Binary(_) => "binary",
            Self::Other(name) => name,
        }
    }
}

/// Whether the time of a document is over, and its payload: see [`Found`].
pub(super) fn judge<T>(expires_at: &Field<T>, data: Field<T>, now: Millis) -> (bool, Result<Option<T>, String>) {
    match (expires_at, data) {
        (Field::Date(at), _) if *at <= now => (true, Ok(None)),
        (Field::Missing | Field::Null | Field::Date(_), Field::Binary(data)) => (false, Ok(Some(data))),
        (Field::Missing | Field::Null | Field::Date(_), Field::Missing) => {
            (false, Err(String::from("it has no 'data'")))
        }
        (Field::Missing | Field::Null | Field::Date(_), other) => {
            (false, Err(format!("'data' is {}, not binary", other.name())))
        }
        (other, _) => (false, Err(format!("'expiresAt' is {}, not a date", other.name()))),
    }
}

/// Reads a document that any program may have written.
pub(super) fn read(document: &RawDocument, now: Millis) -> Result<Found<'_>> {
    let (mut id, mut data, mut expires_at) = (None, Field::Missing, Field::Missing);
    for field in document {
        let (name, value) = field.map_err(error::malformed)?;
        match name.as_str() {
            "_id" => id = value.as_str(),
            "data" => data = field_of(&value),
            "expiresAt" => expires_at = field_of(&value),
            _ => {}
        }
    }
    let id = id.ok_or_else(error::unexpected)?;
    let (over, data) = judge(&expires_at, data, now);
    Ok(Found { id, over, data })
}

fn field_of<'a>(value: &RawBsonRef<'a>) -> Field<&'a [u8]> {
    match value {
        RawBsonRef::Null => Field::Null,
        RawBsonRef::DateTime(at) => Field::Date(Millis(at.timestamp_millis())),
        RawBsonRef::Binary(binary) => Field::Binary(binary.bytes),
        other => Field::Other(name_of(other)),
    }
}

/// A type, as the server's documentation names it.
fn name_of(value: &RawBsonRef<'_>) -> &'static str {
    match value {
        RawBsonRef::Double(_) => "a double",
        RawBsonRef::String(_) => "a string",
        RawBsonRef::Array(_) => "an array",
        RawBsonRef::Document(_) => "an object",
        RawBsonRef::Boolean(_) => "a bool",
        RawBsonRef::Int32(_) => "an int",
        RawBsonRef::Int64(_) => "a long",
        RawBsonRef::ObjectId(_) => "an objectId",
        RawBsonRef::Decimal128(_) => "a decimal",
        _ => "of another type",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mongodb::bson::{Binary, Bson, DateTime, doc};

    fn document(id: &str, data: Vec<u8>, expires_at: i64) -> Document {
        let data = Binary { subtype: BinarySubtype::Generic, bytes: data };
        doc! { "_id": id, "data": data, "expiresAt": DateTime::from_millis(expires_at) }
    }

    #[test]
    fn the_limit_is_what_the_driver_serialises() {
        for id in ["a", "slip-order-4711-1784555238120", &"ü".repeat(512)] {
            let largest = usize::try_from(max_payload_bytes(id.len())).unwrap();
            let written = document(id, vec![7; largest], i64::MAX).to_vec().unwrap();
            assert_eq!(written.len() as u64, MAX_DOCUMENT, "{}", id.len());
        }
    }

    #[test]
    fn documents_are_read() {
        let now = Millis(1_000);
        let binary = |subtype| Binary { subtype, bytes: b"x".to_vec() };
        let date = DateTime::from_millis;
        let generic = || binary(BinarySubtype::Generic);
        for (document, expected) in [
            (doc! { "_id": "a", "data": generic() }, Ok(Some(&b"x"[..]))),
            (doc! { "_id": "a", "data": generic(), "expiresAt": Bson::Null }, Ok(Some(b"x"))),
            (doc! { "data": generic(), "_id": "a", "more": 1, "expiresAt": date(1_001) }, Ok(Some(b"x"))),
            (doc! { "_id": "a", "data": generic(), "expiresAt": date(1_000) }, Ok(None)),
            (doc! { "_id": "a", "data": binary(BinarySubtype::UserDefined(0x80)) }, Ok(Some(b"x"))),
            (doc! { "_id": "a", "data": binary(BinarySubtype::BinaryOld) }, Ok(Some(b"x"))),
            (doc! { "_id": "a", "data": "x" }, Err("'data' is a string, not binary")),
            (doc! { "_id": "a", "data": Bson::Null }, Err("'data' is null, not binary")),
            (doc! { "_id": "a" }, Err("it has no 'data'")),
            (
                doc! { "_id": "a", "data": generic(), "expiresAt": "2030-01-01" },
                Err("'expiresAt' is a string, not a date"),
            ),
            (doc! { "_id": "a", "data": generic(), "expiresAt": 5_i64 }, Err("'expiresAt' is a long, not a date")),
        ] {
            let raw = raw(&document).unwrap();
            let found = read(&raw, now).unwrap();
            assert_eq!(found.id, "a");
            assert_eq!(found.over, expected == Ok(None));
            assert_eq!(found.data, expected.map_err(str::to_owned), "{document}");
        }
        assert!(read(&raw(&doc! { "_id": 7, "data": generic() }).unwrap(), now).is_err());
    }
}
