//! Payloads as documents `{ _id, data: BinData, expiresAt: Date }`, and the commands that carry
//! them, written straight into one buffer: a payload is copied once.

use mongodb::bson::spec::{BinarySubtype, ElementType};
use mongodb::bson::{Document, RawBsonRef, RawDocument, RawDocumentBuf};

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

/// A document being written.
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

    /// A string.
    pub(super) fn text(&mut self, name: &str, value: &str) -> &mut Self {
        self.key(ElementType::String, name);
        self.length(value.len() + 1);
        self.bytes.extend_from_slice(value.as_bytes());
        self.bytes.push(0);
        self
    }

    /// A 32-bit number.
    pub(super) fn int(&mut self, name: &str, value: i32) -> &mut Self {
        self.key(ElementType::Int32, name);
        self.bytes.extend_from_slice(&value.to_le_bytes());
        self
    }

    /// A 64-bit number.
    pub(super) fn long(&mut self, name: &str, value: i64) -> &mut Self {
        self.key(ElementType::Int64, name);
        self.bytes.extend_from_slice(&value.to_le_bytes());
        self
    }

    /// True or false.
    pub(super) fn flag(&mut self, name: &str, value: bool) -> &mut Self {
        self.key(ElementType::Boolean, name);
        self.bytes.push(value.into());
        self
    }

    /// A date.
    pub(super) fn date(&mut self, name: &str, value: Millis) -> &mut Self {
        self.key(ElementType::DateTime, name);
        self.bytes.extend_from_slice(&value.0.to_le_bytes());
        self
    }

    /// Bytes, of the generic subtype.
    pub(super) fn binary(&mut self, name: &str, value: &[u8]) -> &mut Self {
        self.key(ElementType::Binary, name);
        self.length(value.len());
        self.bytes.push(BinarySubtype::Generic.into());
        self.bytes.extend_from_slice(value);
        self
    }

    /// A document that is there already.
    pub(super) fn embed(&mut self, name: &str, value: &RawDocument) -> &mut Self {
        self.key(ElementType::EmbeddedDocument, name);
        self.bytes.extend_from_slice(value.as_bytes());
        self
    }

    /// Opens a document within this one.
    pub(super) fn begin(&mut self, name: &str) -> &mut Self {
        self.key(ElementType::EmbeddedDocument, name);
        self.start();
        self
    }

    /// Opens an array; its elements are named "0", "1" and so on.
    pub(super) fn begin_array(&mut self, name: &str) -> &mut Self {
        self.key(ElementType::Array, name);
        self.start();
        self
    }

    /// Closes what was opened last.
    pub(super) fn end(&mut self) -> &mut Self {
        if let Some(at) = self.open.pop() {
            self.bytes.push(0);
            let length = i32::try_from(self.bytes.len() - at).unwrap_or(i32::MAX);
            self.bytes[at..at + 4].copy_from_slice(&length.to_le_bytes());
        }
        self
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

/// One put: id, bytes, expiry by the server's clock.
pub(super) type Put<'a> = (&'a str, &'a [u8], Option<Millis>);

/// The statements of an `update` command that replace whole documents, or insert them.
pub(super) fn write_puts(command: &mut Writer, puts: &[Put<'_>]) {
    command.begin_array("updates");
    for (index, (id, data, expires_at)) in puts.iter().enumerate() {
        command.begin(&index.to_string()).begin("q").text("_id", id).end();
        command.begin("u").text("_id", id).binary("data", data);
        if let Some(at) = expires_at {
            command.date("expiresAt", *at);
        }
        command.end().flag("upsert", true).end();
    }
    command.end();
}

/// A condition that an expired document does not meet, at `now` by the server's clock. One with an
/// `expiresAt` that is no date does: reading it tells what is wrong with it.
pub(super) fn write_live(filter: &mut Writer, now: Millis) {
    filter.begin("expiresAt").begin("$not").date("$lte", now).end().end();
}

/// The bytes that `write_puts` needs, and some more for the rest of the command.
pub(super) fn size_of_puts(puts: &[Put<'_>]) -> usize {
    512 + puts.iter().map(|(id, data, _)| 2 * id.len() + data.len() + 128).sum::<usize>()
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

/// Reads a document that any program may have written.
pub(super) fn read(document: &RawDocument, now: Millis) -> Result<Found<'_>> {
    let (mut id, mut data, mut expires_at) = (None, None, None);
    for field in document {
        let (name, value) = field.map_err(error::malformed)?;
        match name.as_str() {
            "_id" => id = value.as_str(),
            "data" => data = Some(value),
            "expiresAt" => expires_at = Some(value),
            _ => {}
        }
    }
    let id = id.ok_or_else(error::unexpected)?;
    let expired = match expires_at {
        None | Some(RawBsonRef::Null) => Ok(false),
        Some(RawBsonRef::DateTime(at)) => Ok(at.timestamp_millis() <= now.0),
        Some(other) => Err(format!("'expiresAt' is {}, not a date", name_of(&other))),
    };
    let over = matches!(expired, Ok(true));
    let data = match (expired, data) {
        (Err(wrong), _) => Err(wrong),
        (Ok(true), _) => Ok(None),
        (Ok(false), Some(RawBsonRef::Binary(binary))) => Ok(Some(binary.bytes)),
        (Ok(false), Some(other)) => Err(format!("'data' is {}, not binary", name_of(&other))),
        (Ok(false), None) => Err(String::from("it has no 'data'")),
    };
    Ok(Found { id, over, data })
}

/// A type, as the server's documentation names it.
fn name_of(value: &RawBsonRef<'_>) -> &'static str {
    match value {
        RawBsonRef::Double(_) => "a double",
        RawBsonRef::String(_) => "a string",
        RawBsonRef::Array(_) => "an array",
        RawBsonRef::Document(_) => "an object",
        RawBsonRef::Boolean(_) => "a bool",
        RawBsonRef::Null => "null",
        RawBsonRef::Int32(_) => "an int",
        RawBsonRef::Int64(_) => "a long",
        RawBsonRef::Binary(_) => "binary",
        RawBsonRef::DateTime(_) => "a date",
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
    fn commands_are_what_the_driver_would_write() {
        let at = Millis(1_784_555_238_120);
        let mut command = Writer::with_capacity(64);
        command.text("update", "saga_store");
        write_puts(&mut command, &[("ä", b"\0\xff", Some(at)), ("b", b"", None)]);
        command.flag("ordered", false).int("n", -5).long("txnNumber", 7);
        let concern = raw(&doc! { "w": "majority" }).unwrap();
        command.embed("writeConcern", &concern);
        write_live(&mut command, at);
        let empty = Binary { subtype: BinarySubtype::Generic, bytes: Vec::new() };
        let expected = doc! {
            "update": "saga_store",
            "updates": [
                { "q": { "_id": "ä" }, "u": document("ä", vec![0, 255], at.0), "upsert": true },
                { "q": { "_id": "b" }, "u": { "_id": "b", "data": empty }, "upsert": true },
            ],
            "ordered": false,
            "n": -5,
            "txnNumber": 7_i64,
            "writeConcern": { "w": "majority" },
            "expiresAt": { "$not": { "$lte": DateTime::from_millis(at.0) } },
        };
        assert_eq!(command.finish().unwrap(), raw(&expected).unwrap());
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
