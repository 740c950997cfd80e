//! A record as it is to be stored.

use super::super::build::Build;
use super::super::channel::Channel;
use super::super::document::max_payload_bytes;
use super::super::executions::document::check_size;
use super::super::executions::log::{self, Place, is_large};
use super::super::executions::whole;
use super::super::inbox;
use super::super::outbox::document::{BESIDES, write_stored};
use super::super::states::saga;
use super::records::{id_of, with_times};
use crate::contract::executions::record::{Execution, Logged};
use crate::contract::moving::record::{Body, Logbook, Message, Payload, Record, State};
use crate::contract::outbox::given::too_large;
use crate::contract::outbox::record::Stored;
use crate::error::{Error, Result};
use crate::time::Millis;

/// The largest document that a server stores.
const MAX_DOCUMENT: usize = 16 * 1024 * 1024;

/// A record on its way into a collection.
pub(super) struct Item<'a> {
    /// Its place in the import.
    pub(super) at: usize,
    /// As it was given.
    pub(super) record: &'a Record,
    /// Its `_id`.
    pub(super) id: String,
    /// About the bytes that it needs in a command.
    pub(super) size: usize,
    /// What is written.
    written: Written<'a>,
    /// It was sent as a replacement, and may be stored.
    pub(super) was_sent: bool,
    /// The log that it takes the place of.
    pub(super) old_log: Option<String>,
    /// Why the last attempt has failed.
    pub(super) failed: Option<Error>,
}

/// What is written of a record.
enum Written<'a> {
    Payload(&'a str, &'a bytes::Bytes, Option<Millis>),
    State(&'a State),
    Execution(Box<Execution>, Place, &'a [Logged]),
    Event(Box<Stored>),
    Message(&'a Message),
}

fn length(text: Option<&str>) -> usize {
    text.map_or(0, str::len)
}

impl<'a> Item<'a> {
    /// `seq` is the number of an event that is new. `PAYLOAD_TOO_LARGE`: no document holds it.
    pub(super) fn new(on: &impl Channel, at: usize, record: &'a Record, seq: i64) -> Result<Self> {
        let there = |at: Millis| on.clock().there(at);
        let (size, written) = match record {
            Record::Payload(Payload { id, body: Body::Whole(data), expires_at }) => {
                let (size, limit) = (data.len() as u64, max_payload_bytes(id.len()));
                if size > limit {
                    let message = format!("the payload has {size} bytes; the limit is {limit}");
                    return Err(Error::too_large(message, size, limit).with_id(id));
                }
                (data.len(), Written::Payload(id, data, expires_at.map(there)))
            }
            Record::Payload(_) => return Err(Error::invalid("a payload without its bytes cannot be stored")),
            Record::State(state) => {
                let size = saga::size_of(&state.saga, &state.correlation_id);
                saga::check_size(size).map_err(|error| error.with_id(&state.saga.id))?;
                (size, Written::State(state))
            }
            Record::Execution(logbook) => execution(on, logbook)?,
            Record::Event(stored) => {
                let size = stored.event.bytes() + length(stored.last_error.as_deref());
                if size + BESIDES > MAX_DOCUMENT {
                    return Err(too_large(size, MAX_DOCUMENT - BESIDES).with_id(&stored.event.id));
                }
                let stored = with_times(Stored { seq, ..Stored::clone(stored) }, there);
                (size + BESIDES / 4, Written::Event(Box::new(stored)))
            }
            Record::Message(message) => (2 * (message.id.len() + message.consumer.len()), Written::Message(message)),
        };
        let id = id_of(record.kind(), &record.key());
        let size = size + 2 * id.len() + 512;
        Ok(Self { at, record, id, size, written, was_sent: false, old_log: None, failed: None })
    }

    /// Whether a part of its log is stored before it.
    pub(super) fn is_in_parts(&self) -> bool {
        matches!((&self.written, self.record), (Written::Execution(_, _, tail), Record::Execution(logbook))
            if tail.is_empty() && !logbook.log.is_empty())
    }

    /// The name of its log, if it has one.
    pub(super) fn log(&self) -> Option<&str> {
        if let Written::Execution(_, place, _) = &self.written { Some(&place.log) } else { None }
    }

    /// Whether a part of its log is stored.
    pub(super) fn has_stored_log(&self) -> bool {
        matches!(&self.written, Written::Execution(_, place, _) if place.spilled > 0)
    }

    /// Stores the log of an execution that is too large for one document. Nobody knows of it yet.
    pub(super) async fn store_log(&mut self, on: &impl Channel) -> Result<()> {
        if !self.is_in_parts() || self.has_stored_log() {
            return Ok(());
        }
        if let (Written::Execution(of, place, _), Record::Execution(logbook)) = (&mut self.written, self.record) {
            log::store_all(on, &of.id, place, &logbook.log, of.expires_at).await?;
        }
        Ok(())
    }

    /// It takes the place of an event with this number.
    pub(super) fn keep_place(&mut self, seq: i64) {
        if let Written::Event(stored) = &mut self.written {
            stored.seq = seq;
        }
    }

    /// Writes the whole document.
    pub(super) fn write<C: Channel>(&self, on: &C, document: &mut C::Command) {
        match &self.written {
            Written::Payload(id, data, expires_at) => {
                document.text("_id", id).binary("data", data);
                if let Some(at) = expires_at {
                    document.date("expiresAt", *at);
                }
            }
            Written::State(state) => saga::write_document(on, document, &state.saga, &state.correlation_id),
            Written::Execution(of, place, tail) => {
                whole::write_document(document, of, place, tail.iter().map(|logged| (&logged.entry, logged.at)));
                document.long("revision", 1);
            }
            Written::Event(stored) => write_stored(document, stored, stored.status.name()),
            Written::Message(Message { consumer, id, operation, expires_at }) => {
                let times = (on.now(), on.clock().there(*expires_at));
                inbox::write_document(document, (consumer, id), operation, times);
            }
        }
    }
}

/// An execution by the server's clock, with a log of its own; a large one is stored in parts.
fn execution<'a>(on: &impl Channel, logbook: &'a Logbook) -> Result<(usize, Written<'a>)> {
    let Logbook { execution: of, log } = logbook;
    let entry_bytes = |logged: &Logged| usize::try_from(logged.entry.bytes()).unwrap_or(MAX_DOCUMENT);
    for logged in log {
        check_size(&of.id, entry_bytes(logged))?;
    }
    let tail = if is_large(of.seq, of.log_bytes) { &[] } else { &log[..] };
    let texts = [&of.context, &of.metadata, &of.last_error];
    let texts: usize = texts.into_iter().map(|text| length(text.as_deref())).sum();
    let size = texts + tail.iter().map(|logged| entry_bytes(logged) + 256).sum::<usize>();
    check_size(&of.id, size)?;
    let there = |at: Millis| on.clock().there(at);
    let (due_at, expires_at) = (of.due_at.map(there), of.expires_at.map(there));
    let of = Box::new(Execution { due_at, expires_at, ..of.clone() });
    Ok((size + BESIDES, Written::Execution(of, Place::new(), tail)))
}
