//! An event as a document, and reading it.

use crate::backends::mongodb::build::Build;
use crate::contract::dynamic::Dynamic;
use crate::contract::outbox::record::{Content, Event, EventStatus, Stored};
use crate::error::{Error, Kind, Result};
use crate::time::Millis;

/// What a document needs beside the texts and the payload of its event, with its last error.
pub(crate) const BESIDES: usize = 4_096;
/// `dueAt` of an event that can be claimed at once: these stand first, in their order.
pub(super) const AT_ONCE: Millis = Millis(0);
/// `dueAt` of a dead letter: the end of the year 9999.
pub(super) const NEVER: Millis = Millis(253_402_300_799_999);
/// The status of an event whose insertion is not complete yet, on servers without transactions. Nobody sees it.
pub(crate) const INSERTING: &str = "inserting";

/// Where an event stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// Its number.
    pub(crate) seq: i64,
    /// Its id.
    pub(crate) id: Box<str>,
}

impl Place {
    pub(super) fn of(stored: &Stored) -> Self {
        Self { seq: stored.seq, id: stored.event.id.clone() }
    }
}

/// `dueAt` of an event.
pub(super) fn due(stored: &Stored) -> Option<Millis> {
    match stored.status {
        EventStatus::Pending => Some(stored.due_at.unwrap_or(AT_ONCE)),
        EventStatus::Claimed => Some(stored.lease_until.unwrap_or(AT_ONCE)),
        EventStatus::DeadLetter => Some(NEVER),
        EventStatus::Sent => None,
    }
}

/// The fields of an event.
pub(crate) fn write_stored(document: &mut impl Build, stored: &Stored, status: &str) {
    let event = &stored.event;
    document.text("_id", &event.id).long("seq", stored.seq).text("status", status);
    if let Some(at) = due(stored) {
        document.date("dueAt", at);
    }
    document.text("eventType", &event.event_type);
    match &event.payload {
        Content::Json(text) => document.text("payload", text),
        Content::Bytes(bytes) => document.binary("payload", bytes),
    };
    for (name, value) in [
        ("sagaId", &event.saga_id),
        ("aggregateType", &event.aggregate_type),
        ("aggregateId", &event.aggregate_id),
        ("headers", &event.headers),
        ("routingKey", &event.routing_key),
        ("partitionKey", &event.partition_key),
        ("worker", &stored.worker),
        ("token", &stored.token),
    ] {
        if let Some(value) = value {
            document.text(name, value);
        }
    }
    document.text("operation", &stored.operation);
    document.date("occurredAt", event.occurred_at).date("createdAt", stored.created_at);
    for (name, at) in [
        ("availableAt", event.available_at),
        ("claimedAt", stored.claimed_at),
        ("sentAt", stored.sent_at),
        ("deadAt", stored.dead_at),
        ("expiresAt", stored.expires_at),
    ] {
        if let Some(at) = at {
            document.date(name, at);
        }
    }
    if let Some(error) = &stored.last_error {
        document.text("lastError", error);
    }
    document.long("retryCount", stored.retry_count).long("deliveries", stored.deliveries);
}

fn corrupt(id: &str, wrong: &str) -> Error {
    Error::new(Kind::CorruptData, format!("the document is not an event: {wrong}")).with_id(id)
}

/// Reads a document; a part of one, too, that has at least `seq` and `status`: what is missing is empty then.
pub(crate) fn stored(document: Dynamic) -> Result<Stored> {
    let id: Box<str> = match document.get("_id") {
        Some(Dynamic::Text(id)) => id.as_str().into(),
        _ => return Err(corrupt("", "its _id is not text")),
    };
    let Dynamic::Map(properties) = document else { return Err(corrupt(&id, "it is none")) };
    let event = Event {
        id: id.clone(),
        event_type: "".into(),
        payload: Content::Json("".into()),
        saga_id: None,
        aggregate_type: None,
        aggregate_id: None,
        headers: None,
        routing_key: None,
        partition_key: None,
        available_at: None,
        occurred_at: Millis(0),
    };
    let mut of = Stored::pending(event, 0, "".into(), Millis(0));
    let (mut seq, mut status, mut due) = (None, None, None);
    for (field, value) in properties {
        let wrong = || corrupt(&id, &format!("'{field}' has another type"));
        let text = |value: Dynamic| match value {
            Dynamic::Text(text) => Ok(Some(text.into_boxed_str())),
            Dynamic::Null => Ok(None),
            _ => Err(wrong()),
        };
        let int = |value: &Dynamic| value.as_int().ok_or_else(wrong);
        let time = |value: &Dynamic| match value {
            Dynamic::Time(at) => Ok(Some(*at)),
            Dynamic::Null => Ok(None),
            _ => Err(wrong()),
        };
        match &*field {
            "seq" => seq = Some(int(&value)?),
            "status" => status = text(value)?,
            "dueAt" => due = time(&value)?,
            "eventType" => of.event.event_type = text(value)?.unwrap_or_default(),
            "payload" => {
                of.event.payload = match value {
                    Dynamic::Text(text) => Content::Json(text.into()),
                    Dynamic::Bytes(bytes) => Content::Bytes(bytes),
                    _ => return Err(wrong()),
                }
            }
            "sagaId" => of.event.saga_id = text(value)?,
            "aggregateType" => of.event.aggregate_type = text(value)?,
            "aggregateId" => of.event.aggregate_id = text(value)?,
            "headers" => of.event.headers = text(value)?,
            "routingKey" => of.event.routing_key = text(value)?,
            "partitionKey" => of.event.partition_key = text(value)?,
            "availableAt" => of.event.available_at = time(&value)?,
            "occurredAt" => of.event.occurred_at = time(&value)?.ok_or_else(wrong)?,
            "operation" => of.operation = text(value)?.unwrap_or_default(),
            "createdAt" => of.created_at = time(&value)?.ok_or_else(wrong)?,
            "claimedAt" => of.claimed_at = time(&value)?,
            "sentAt" => of.sent_at = time(&value)?,
            "deadAt" => of.dead_at = time(&value)?,
            "retryCount" => of.retry_count = int(&value)?,
            "deliveries" => of.deliveries = int(&value)?,
            "lastError" => of.last_error = text(value)?,
            "worker" => of.worker = text(value)?,
            "token" => of.token = text(value)?,
            "expiresAt" => of.expires_at = time(&value)?,
            _ => {}
        }
    }
    let (Some(seq), Some(status)) = (seq, status) else { return Err(corrupt(&id, "it lacks a seq or a status")) };
    (of.seq, of.status) = (seq, EventStatus::stored(&status).map_err(|error| error.with_id(&id))?);
    match of.status {
        EventStatus::Pending => of.due_at = due.filter(|at| *at != AT_ONCE),
        EventStatus::Claimed => of.lease_until = due,
        EventStatus::Sent | EventStatus::DeadLetter => {}
    }
    Ok(of)
}
