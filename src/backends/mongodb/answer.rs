//! Answers to writing commands: how many documents, which statements failed, and whether enough
//! servers have it.

use std::collections::HashMap;

use mongodb::bson::{Bson, Document};
use mongodb::error::RETRYABLE_WRITE_ERROR;

use super::error;
use crate::error::{Error, Result};

/// What an answer to a write says.
pub(super) struct Answer {
    /// Documents found.
    pub(super) count: i64,
    /// Statements that failed, by their places.
    failed: HashMap<usize, Error>,
    /// The write concern was not fulfilled.
    unconfirmed: Option<Error>,
}

impl Answer {
    pub(super) fn of(reply: &Document) -> Self {
        let labelled = has_retry_label(reply);
        let failed = write_errors(reply).filter_map(Bson::as_document).map(|entry| {
            let place = usize::try_from(number(entry, "index")).unwrap_or(usize::MAX);
            (place, complaint(entry, labelled))
        });
        Self { count: number(reply, "n"), failed: failed.collect(), unconfirmed: unconfirmed(reply) }
    }

    /// What came of the statement at `place`.
    pub(super) fn at(&self, place: usize) -> Result<()> {
        match self.failed.get(&place).or(self.unconfirmed.as_ref()) {
            Some(error) => Err(error.clone()),
            None => Ok(()),
        }
    }
}

/// What `writeErrors` says.
pub(super) fn write_errors(reply: &Document) -> impl Iterator<Item = &Bson> {
    reply.get_array("writeErrors").map(Vec::as_slice).unwrap_or_default().iter()
}

/// The first entry of `writeErrors`.
pub(super) fn first_write_error(reply: &Document) -> Option<&Document> {
    write_errors(reply).next().and_then(Bson::as_document)
}

/// An error if a command of one statement was refused, or not confirmed.
pub(super) fn failed(reply: &Document) -> Result<()> {
    Answer::of(reply).at(0)
}

/// An entry of `writeErrors` as an error.
pub(super) fn complaint(entry: &Document, labelled: bool) -> Error {
    let (code, message) = code_and_message(entry);
    error::complaint(code, message, labelled)
}

/// Why a write is not confirmed, if it is not.
pub(super) fn unconfirmed(reply: &Document) -> Option<Error> {
    let (code, message) = code_and_message(reply.get_document("writeConcernError").ok()?);
    Some(error::unconfirmed(code, message))
}

fn code_and_message(entry: &Document) -> (i32, String) {
    let code = i32::try_from(number(entry, "code")).unwrap_or(0);
    (code, entry.get_str("errmsg").unwrap_or_default().to_owned())
}

/// Whether it was done, and a failover came before enough servers had it.
pub(super) fn may_be_undone(reply: &Document) -> bool {
    reply.contains_key("writeConcernError") && has_retry_label(reply)
}

/// Whether a `RetryableWriteError` is among an answer's labels.
fn has_retry_label(reply: &Document) -> bool {
    let label = Bson::from(RETRYABLE_WRITE_ERROR);
    reply.get_array("errorLabels").is_ok_and(|labels| labels.contains(&label))
}

/// A number, whatever its type.
pub(super) fn number(document: &Document, name: &str) -> i64 {
    match document.get(name) {
        Some(Bson::Int32(number)) => i64::from(*number),
        Some(Bson::Int64(number)) => *number,
        #[allow(clippy::cast_possible_truncation)]
        Some(Bson::Double(number)) => *number as i64,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;
    use mongodb::bson::doc;

    #[test]
    fn answers_are_read_by_place() {
        let answer = Answer::of(&doc! {
            "n": 1.0,
            "writeErrors": [{ "index": 1, "code": 11_000, "errmsg": "E11000" }],
            "ok": 1.0,
        });
        assert!(answer.at(0).is_ok());
        assert!(answer.at(1).unwrap_err().is_retryable());
        assert_eq!(answer.count, 1);
        let unconfirmed = Answer::of(&doc! { "n": 2, "writeConcernError": { "code": 64, "errmsg": "timed out" } });
        assert_eq!(unconfirmed.at(0).unwrap_err().kind(), Kind::Timeout);
        assert!(!unconfirmed.at(0).unwrap_err().is_unsent());
    }
}
