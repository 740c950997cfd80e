//! Commands, field by field: written once, as the bytes that the driver sends and as the objects
//! that clients of the application take. And what all of them end with.

use bytes::Bytes;
use mongodb::bson::RawDocument;

use crate::time::Millis;

/// A document being built, field by field.
pub(super) trait Build: Send {
    /// A string.
    fn text(&mut self, name: &str, value: &str) -> &mut Self;

    /// A 32-bit number.
    fn int(&mut self, name: &str, value: i32) -> &mut Self;

    /// A 64-bit number.
    fn long(&mut self, name: &str, value: i64) -> &mut Self;

    /// True or false.
    fn flag(&mut self, name: &str, value: bool) -> &mut Self;

    /// A date.
    fn date(&mut self, name: &str, value: Millis) -> &mut Self;

    /// Bytes, of the generic subtype.
    fn binary(&mut self, name: &str, value: &Bytes) -> &mut Self;

    /// A document that is there already.
    fn embed(&mut self, name: &str, value: &RawDocument) -> &mut Self;

    /// Opens a document within this one.
    fn begin(&mut self, name: &str) -> &mut Self;

    /// Opens an array; its elements are named "0", "1" and so on.
    fn begin_array(&mut self, name: &str) -> &mut Self;

    /// Closes what was opened last.
    fn end(&mut self) -> &mut Self;
}

/// What commands say besides the payloads. Where nothing is said, the server's defaults hold, or
/// what was said when the transaction began.
#[derive(Clone, Copy)]
pub(super) struct Terms<'a> {
    /// The collection.
    pub(super) collection: &'a str,
    /// What a write waits for.
    pub(super) write_concern: Option<&'a RawDocument>,
    /// What a read may see.
    pub(super) read_concern: Option<&'a RawDocument>,
    /// The server gives up after this many milliseconds.
    pub(super) max_time: Option<i64>,
}

impl Terms<'_> {
    /// What ends a writing command.
    pub(super) fn end_write(&self, command: &mut impl Build) {
        if let Some(concern) = self.write_concern {
            command.embed("writeConcern", concern);
        }
        self.end_any(command);
    }

    /// What ends a reading command.
    pub(super) fn end_read(&self, command: &mut impl Build) {
        if let Some(concern) = self.read_concern {
            command.embed("readConcern", concern);
        }
        self.end_any(command);
    }

    fn end_any(&self, command: &mut impl Build) {
        if let Some(limit) = self.max_time {
            command.long("maxTimeMS", limit);
        }
    }
}
