//! Pages of what is stored.

use super::super::build::Build;
use super::super::channel::Channel;
use super::super::error::is_denied;
use super::super::executions::document::stored;
use super::super::executions::log::whole;
use super::super::objects::first_batch;
use super::super::statements::COMMAND;
use super::cursor::{At, Cursor};
use super::records::{fields, id_text, measured, of_execution, record, take_tail};
use crate::contract::dynamic::Dynamic;
use crate::contract::executions::record::Execution;
use crate::contract::moving::record::{Body, Payload, Record};
use crate::contract::moving::{Moved, Page, behind_prefix};
use crate::error::{Error, Kind, Result};

/// Documents that are asked for where it is not known how large they are, of a server whose answers have no end.
const FIRST: u64 = 16;

/// A page, as it is asked for.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) kind: Moved,
    pub(super) after: Option<&'a str>,
    pub(super) limit: u64,
    pub(super) max_bytes: u64,
    pub(super) only_sizes: bool,
    /// What their ids begin with; then only those whose id is text.
    pub(super) prefix: Option<&'a str>,
}

/// What a page is made of.
struct Filling<'a> {
    asked: &'a Asked<'a>,
    page: Page,
    bytes: u64,
    cursor: Cursor,
    /// Whether the server says how large payloads are, without sending them.
    measures: bool,
}

impl Filling<'_> {
    fn len(&self) -> u64 {
        (self.page.records.len() + self.page.unreadable.len()) as u64
    }

    fn has_room(&self) -> bool {
        self.len() < self.asked.limit && (self.len() == 0 || self.bytes < self.asked.max_bytes)
    }

    /// Bytes of a record, on average: of this page, or of the one before.
    fn average(&self) -> u64 {
        self.bytes.checked_div(self.len()).unwrap_or(self.cursor.average)
    }

    /// How many documents to ask for. What does not fit is asked for again.
    fn wanted(&self, has_bounds: bool) -> u64 {
        let left = self.asked.limit.saturating_sub(self.len()).max(1);
        match self.average() {
            0 if has_bounds => left,
            0 => left.min(FIRST),
            average => (self.asked.max_bytes.saturating_sub(self.bytes) / average + 1).clamp(1, left),
        }
    }

    /// Whether so many bytes still fit.
    fn fits(&mut self, bytes: usize) -> bool {
        let bytes = bytes as u64;
        if self.len() > 0 && self.bytes.saturating_add(bytes) > self.asked.max_bytes {
            return false;
        }
        self.bytes = self.bytes.saturating_add(bytes);
        true
    }

    fn end(mut self, is_last: bool) -> Page {
        let cursor = Cursor { average: self.average(), at: self.cursor.at };
        self.page.cursor = (!is_last).then(|| cursor.text(self.asked.kind));
        self.page
    }
}

/// A page.
pub(super) async fn scan(on: &impl Channel, asked: &Asked<'_>) -> Result<Page> {
    let cursor = asked.after.map_or_else(|| Ok(Cursor::start(asked.kind)), |after| Cursor::of(asked.kind, after))?;
    let measures = asked.only_sizes && asked.kind == Moved::Payloads && on.is_atomic();
    let mut filling = Filling { asked, page: Page::default(), bytes: 0, cursor, measures };
    while filling.has_room() {
        let found = match documents(on, &filling).await {
            // It does not know how to measure.
            Err(refused) if filling.measures && is_refusal(&refused) => {
                filling.measures = false;
                continue;
            }
            found => found?,
        };
        // An answer ends at 16 MB: only one without any document is the last.
        if found.is_empty() {
            if matches!(filling.cursor.at, At::Others(_)) || asked.prefix.is_some() {
                return Ok(filling.end(true));
            }
            filling.cursor.at = At::Others(0);
            continue;
        }
        let before = filling.cursor.at.clone();
        for document in found {
            let behind = filling.cursor.at.behind(&document);
            if !filling.has_room() || !take(on, &mut filling, document).await? {
                return Ok(filling.end(false));
            }
            filling.cursor.at = behind;
        }
        if filling.cursor.at == before {
            let message = "the numbers of events cannot be compared: one is of a type that none of ours has";
            return Err(Error::new(Kind::CorruptData, message));
        }
    }
    Ok(filling.end(false))
}

fn is_refusal(error: &Error) -> bool {
    error.kind() == Kind::Backend && !error.is_retryable() && !is_denied(error)
}

/// Documents that come next. No cursor is left open on the server.
async fn documents<C: Channel>(on: &C, filling: &Filling<'_>) -> Result<Vec<Dynamic>> {
    let Filling { asked, cursor: Cursor { at, .. }, .. } = filling;
    let wanted = i32::try_from(filling.wanted(on.is_atomic())).unwrap_or(i32::MAX - 1);
    let answer = on.ask(COMMAND, |command| {
        command.text("find", on.collection()).begin("filter");
        at.write_filter(asked.kind, command);
        if let Some(prefix) = asked.prefix {
            command.begin_array("$and").begin("0").begin("_id").text("$gte", prefix);
            if let Some(end) = behind_prefix(prefix) {
                command.text("$lt", &end);
            }
            command.end().end().end();
        }
        command.end().begin("projection");
        match at {
            // They are none of ours, unless they say themselves which saga they are.
            At::Others(_) if asked.kind != Moved::States => drop(command.int("_id", 1)),
            _ => write_fields(command, asked.kind, filling.measures),
        }
        command.end().begin("sort");
        for field in at.sort() {
            command.int(field, 1);
        }
        command.end();
        if let At::Others(count) = at {
            command.long("skip", i64::try_from(*count).unwrap_or(i64::MAX));
        }
        command.int("limit", wanted).int("batchSize", wanted.saturating_add(1)).flag("singleBatch", true);
    });
    first_batch(answer.await?)
}

fn write_fields(projection: &mut impl Build, kind: Moved, measures: bool) {
    for field in fields(kind) {
        if field == "data" && measures {
            projection.begin("data").begin_array("$cond").begin("0").begin_array("$eq");
            projection.begin("0").text("$type", "$data").end().text("1", "binData").end().end();
            projection.begin("1").text("$binarySize", "$data").end();
            // Of another type, it is told which one.
            projection.begin("2").text("$type", "$data").end().end().end();
        } else {
            projection.int(field, 1);
        }
    }
}

/// Takes a document, unless it does not fit. One that is no record is told of.
async fn take(on: &impl Channel, filling: &mut Filling<'_>, document: Dynamic) -> Result<bool> {
    let kind = filling.asked.kind;
    let key = id_text(&document);
    let read = match kind {
        Moved::Executions => return take_execution(on, filling, key, document).await,
        Moved::Payloads if filling.measures => measured(document, on.clock()),
        _ => record(kind, document, on.clock()),
    };
    match read {
        Ok(read) if !filling.fits(read.bytes()) => return Ok(false),
        Ok(Record::Payload(Payload { id, body: Body::Whole(data), expires_at })) if filling.asked.only_sizes => {
            let body = Body::Size(data.len() as u64);
            filling.page.records.push(Record::Payload(Payload { id, body, expires_at }));
        }
        Ok(read) => filling.page.records.push(read),
        Err(error) => tell(filling, key, error)?,
    }
    Ok(true)
}

/// An execution and its log, unless it is gone meanwhile.
async fn take_execution(
    on: &impl Channel,
    filling: &mut Filling<'_>,
    key: String,
    mut document: Dynamic,
) -> Result<bool> {
    let tail = take_tail(&mut document);
    let stored = match stored(document) {
        Ok(stored) => stored,
        Err(error) => return tell(filling, key, error).map(|()| true),
    };
    // It says itself how large its log is.
    let Execution { context, metadata, log_bytes, .. } = &stored.execution;
    let texts = [context, metadata].into_iter().flatten().map(|text| text.len()).sum::<usize>();
    if !filling.fits(128 + texts + usize::try_from(*log_bytes).unwrap_or_default()) {
        return Ok(false);
    }
    match whole(on, stored, tail).await {
        Ok(Some((stored, log))) => filling.page.records.push(of_execution(stored.execution, log, on.clock())),
        Ok(None) => {}
        Err(error) => tell(filling, key, error)?,
    }
    Ok(true)
}

/// Notes what cannot be read. Any other error is one of the whole page.
fn tell(filling: &mut Filling<'_>, key: String, error: Error) -> Result<()> {
    if error.kind() != Kind::CorruptData {
        return Err(error);
    }
    filling.page.unreadable.push((key, error.message().to_owned()));
    Ok(())
}
