//! Documents as records.

use bytes::Bytes;

use super::super::clock::Clock;
use super::super::executions::document::{self as executions, HEAD};
use super::super::inbox;
use super::super::objects;
use super::super::outbox::document as outbox;
use super::super::states::document as states;
use crate::contract::dynamic::Dynamic;
use crate::contract::executions::record::{Execution, Logged};
use crate::contract::moving::Moved;
use crate::contract::moving::record::{Body, Key, Logbook, Message, Payload, Record, State};
use crate::contract::outbox::record::Stored;
use crate::contract::states::Saga;
use crate::error::{Error, Kind, Result};
use crate::time::Millis;

/// Fields of a saga.
const STATE: [&str; 11] = [
    "sagaName",
    "sagaId",
    "correlationId",
    "version",
    "isCompleted",
    "createdAt",
    "updatedAt",
    "completedAt",
    "timeoutAt",
    "expiresAt",
    "state",
];

/// The fields that a record is made of; none are all.
pub(super) fn fields(kind: Moved) -> Vec<&'static str> {
    match kind {
        Moved::Payloads => vec!["data", "expiresAt"],
        Moved::States => STATE.to_vec(),
        Moved::Executions => [&HEAD[..], &["context", "tail"]].concat(),
        Moved::Outbox => Vec::new(),
        Moved::Inbox => vec!["consumer", "messageId", "operation", "expiresAt"],
    }
}

/// The `_id` of a record.
pub(super) fn id_of(kind: Moved, key: &Key) -> String {
    match kind {
        Moved::States => states::key(&key.name, &key.id),
        Moved::Inbox => inbox::key_of(&key.name, &key.id),
        _ => key.id.to_string(),
    }
}

/// An `_id` as text, whatever its type is.
pub(super) fn id_text(document: &Dynamic) -> String {
    match document.get("_id") {
        Some(Dynamic::Text(id)) => id.clone(),
        Some(Dynamic::Int(number)) => number.to_string(),
        Some(Dynamic::Number(number)) => number.to_string(),
        Some(Dynamic::Bool(flag)) => flag.to_string(),
        Some(Dynamic::Time(at)) => at.to_iso(),
        Some(Dynamic::Map(properties)) => object_id(properties).unwrap_or_else(|| String::from("(an object)")),
        _ => String::from("(an _id that is no text)"),
    }
}

/// An `ObjectId`, as it is read here, or as the class of the application's library has it.
fn object_id(properties: &[(String, Dynamic)]) -> Option<String> {
    properties.iter().find_map(|(name, value)| match value {
        Dynamic::Text(id) if name == "$oid" => Some(id.clone()),
        Dynamic::Bytes(bytes) if bytes.len() == 12 => Some(
            bytes
                .iter()
                .flat_map(|byte| [byte >> 4, byte & 15])
                .filter_map(|digit| char::from_digit(digit.into(), 16))
                .collect(),
        ),
        _ => None,
    })
}

fn corrupt(what: &str, wrong: &str) -> Error {
    Error::new(Kind::CorruptData, format!("the document is not {what}: {wrong}"))
}

/// Fields of a document that are taken one by one.
struct Fields {
    what: &'static str,
    document: Dynamic,
}

impl Fields {
    fn take(&mut self, name: &str) -> Dynamic {
        take(&mut self.document, name)
    }

    fn wrong(&self, name: &str, value: &Dynamic) -> Error {
        let wrong = if *value == Dynamic::Null { "is missing" } else { "has another type" };
        corrupt(self.what, &format!("'{name}' {wrong}"))
    }

    fn text(&mut self, name: &str) -> Result<Box<str>> {
        match self.take(name) {
            Dynamic::Text(text) => Ok(text.into()),
            other => Err(self.wrong(name, &other)),
        }
    }

    fn time(&mut self, name: &str) -> Result<Option<Millis>> {
        match self.take(name) {
            Dynamic::Time(at) => Ok(Some(at)),
            Dynamic::Null => Ok(None),
            other => Err(self.wrong(name, &other)),
        }
    }
}

/// A document as a record; an execution without what is in segments of its log. `CORRUPT_DATA` if it is none.
pub(super) fn record(kind: Moved, document: Dynamic, clock: &Clock) -> Result<Record> {
    Ok(match kind {
        Moved::Payloads => Record::Payload(payload(document, clock)?),
        Moved::States => Record::State(Box::new(state(document, clock)?)),
        Moved::Executions => of_execution(executions::stored(document)?.execution, Vec::new(), clock),
        Moved::Outbox => Record::Event(Box::new(event(outbox::stored(document)?, clock))),
        Moved::Inbox => Record::Message(message(document, clock)?),
    })
}

/// The same, of a document that was only asked for what decides whether it is replaced: the rest is empty.
pub(super) fn outline(kind: Moved, mut document: Dynamic, clock: &Clock) -> Result<Record> {
    if let Dynamic::Map(properties) = &mut document {
        match kind {
            Moved::Payloads => properties.push((String::from("data"), Dynamic::Bytes(Bytes::new()))),
            Moved::States => properties.push((String::from("state"), Dynamic::text(""))),
            _ => {}
        }
    }
    record(kind, document, clock)
}

/// Takes a field out of a document.
fn take(document: &mut Dynamic, name: &str) -> Dynamic {
    let Dynamic::Map(fields) = document else { return Dynamic::Null };
    let found = fields.iter().position(|(known, _)| known == name);
    found.map_or(Dynamic::Null, |at| fields.swap_remove(at).1)
}

/// The end of the log of an execution, out of its document.
pub(super) fn take_tail(document: &mut Dynamic) -> Dynamic {
    take(document, "tail")
}

/// An execution and its log.
pub(super) fn of_execution(stored: Execution, log: Vec<Logged>, clock: &Clock) -> Record {
    let (due_at, expires_at) = (stored.due_at.map(|at| clock.here(at)), stored.expires_at.map(|at| clock.here(at)));
    Record::Execution(Box::new(Logbook { execution: Execution { due_at, expires_at, ..stored }, log }))
}

/// A payload whose `data` is how many bytes it has; where that is not binary, of what type it is.
pub(super) fn measured(mut document: Dynamic, clock: &Clock) -> Result<Record> {
    let data = take(&mut document, "data");
    let size = match &data {
        Dynamic::Int(_) | Dynamic::Number(_) => data.as_int().and_then(|bytes| u64::try_from(bytes).ok()),
        _ => None,
    };
    if let (Some(_), Dynamic::Map(fields)) = (size, &mut document) {
        fields.push((String::from("data"), Dynamic::Bytes(Bytes::new())));
    }
    match (payload(document, clock), size, data) {
        (Ok(payload), Some(bytes), _) => Ok(Record::Payload(Payload { body: Body::Size(bytes), ..payload })),
        (Err(_), None, Dynamic::Text(kind)) if kind != "missing" => {
            Err(corrupt("a payload", &format!("'data' is of type {kind}, not binary")))
        }
        (read, ..) => read.map(Record::Payload),
    }
}

fn payload(document: Dynamic, clock: &Clock) -> Result<Payload> {
    let Some(Dynamic::Text(id)) = document.get("_id") else {
        return Err(corrupt("a payload", "its _id is not text"));
    };
    let id = id.as_str().into();
    let expires_at = if let Some(Dynamic::Time(at)) = document.get("expiresAt") { Some(clock.here(*at)) } else { None };
    match objects::read(document, Millis(i64::MIN))?.1 {
        Ok(data) => Ok(Payload { id, body: Body::Whole(data.unwrap_or_default()), expires_at }),
        Err(wrong) => Err(corrupt("a payload", &wrong)),
    }
}

fn state(document: Dynamic, clock: &Clock) -> Result<State> {
    let mut fields = Fields { what: "a saga", document };
    let (name, id, correlation_id) = (fields.text("sagaName")?, fields.text("sagaId")?, fields.text("correlationId")?);
    let version = fields.take("version");
    let version = version.as_int().ok_or_else(|| fields.wrong("version", &version))?;
    let (created_at, updated_at) = (fields.time("createdAt")?, fields.time("updatedAt")?);
    let Some((created_at, updated_at)) = created_at.or(updated_at).zip(updated_at.or(created_at)) else {
        return Err(corrupt("a saga", "it has neither createdAt nor updatedAt"));
    };
    let saga = Saga {
        name,
        id,
        version,
        completed: fields.take("isCompleted") == Dynamic::Bool(true),
        created_at,
        updated_at,
        completed_at: fields.time("completedAt")?,
        timeout_at: fields.time("timeoutAt")?,
        expires_at: fields.time("expiresAt")?.map(|at| clock.here(at)),
        state: fields.text("state")?,
    };
    Ok(State { saga, correlation_id })
}

/// What the server's clock says of an event.
fn event(stored: Stored, clock: &Clock) -> Stored {
    with_times(stored, |at| clock.here(at))
}

/// An event whose times, but for those that its caller has given, are by another clock.
pub(super) fn with_times(stored: Stored, clock: impl Fn(Millis) -> Millis) -> Stored {
    Stored {
        created_at: clock(stored.created_at),
        claimed_at: stored.claimed_at.map(&clock),
        sent_at: stored.sent_at.map(&clock),
        dead_at: stored.dead_at.map(&clock),
        lease_until: stored.lease_until.map(&clock),
        due_at: stored.due_at.map(&clock),
        expires_at: stored.expires_at.map(&clock),
        ..stored
    }
}

fn message(document: Dynamic, clock: &Clock) -> Result<Message> {
    let mut fields = Fields { what: "an entry of the inbox", document };
    fields.text("_id")?;
    let expires_at = fields.time("expiresAt")?.ok_or_else(|| fields.wrong("expiresAt", &Dynamic::Null))?;
    Ok(Message {
        consumer: fields.text("consumer")?,
        id: fields.text("messageId")?,
        operation: fields.text("operation")?,
        expires_at: clock.here(expires_at),
    })
}
