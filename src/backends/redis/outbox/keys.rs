//! The keys of the outbox, and what stands under them. The prefix has a hash tag, so all of them are in one hash slot:
//!
//! ```text
//! {prefix}e:{id}     a hash: an event
//! {prefix}all        sorted sets of ids, by their numbers in the queue: all that are not sent
//! {prefix}again      those that can be claimed and are not on the stream
//! {prefix}dead       dead letters
//! {prefix}kept       those that are sent and kept
//! {prefix}s:{saga}   those of a saga, sent or not
//! {prefix}k:{key}    those of a partition key that are not sent
//! {prefix}ready      the stream: those that can be claimed, and have been since they were stored; the number of an entry
//!                    is that of the event, and the group is `workers`
//! {prefix}later      sorted sets of ids, by a time: pending ones, by when they are due
//! {prefix}leases     claimed ones, by the end of their leases; +inf: the end has been noticed
//! {prefix}died       dead letters, by when they died
//! {prefix}rotting    the same, by when they may be removed
//! {prefix}sent       those that are sent and kept, by when they were sent
//! {prefix}fading     the same, by when they cease to exist
//! {prefix}sagas      a hash: the sagas of those that are sent and kept
//! {prefix}blocked    a sorted set of partition keys that have dead letters, in the order of the keys
//! {prefix}deads      a hash: how many dead letters such a key has
//! {prefix}held       a set of partition keys that have nothing to claim because of a dead letter
//! {prefix}meta       a hash: the last number (`seq`), the length of the stream (`ready`), what is being mended
//! ```
//!
//! Of the events of a partition key only the first is on the stream or in `again`.

use bytes::Bytes;
use fred::prelude::Value;

use crate::contract::outbox::record::{Content, Event, EventStatus, Stored};
use crate::error::{Error, Kind, Result};
use crate::time::Millis;

/// The keys that nearly every script touches: a cluster that moves their slot has to know them.
pub(crate) fn touched(prefix: &str) -> Vec<Bytes> {
    const NAMES: [&str; 15] = [
        "all", "again", "dead", "kept", "ready", "later", "leases", "died", "rotting", "sent", "fading", "sagas",
        "blocked", "deads", "held",
    ];
    [anchor(prefix)].into_iter().chain(NAMES.map(|name| Bytes::from(format!("{prefix}{name}")))).collect()
}

/// A key that says in which slot all are.
pub(crate) fn anchor(prefix: &str) -> Bytes {
    Bytes::from(format!("{prefix}meta"))
}

/// The stream.
pub(crate) fn ready(prefix: &str) -> String {
    format!("{prefix}ready")
}

/// The version of [`body_of`].
const BODY: &str = "1";

/// What an event says, in one text: a line of its version, `j` (JSON) or `b` (bytes), when it happened, from when on
/// it may be claimed, and the bytes of the aggregate's type, of its id and of the headers (`-`: there is none). These
/// three and the payload follow.
pub(crate) fn body_of(event: &Event) -> Bytes {
    let texts = [&event.aggregate_type, &event.aggregate_id, &event.headers];
    let kind = if event.payload.is_json() { "j" } else { "b" };
    let or_none = |text: Option<String>| text.unwrap_or_else(|| String::from("-"));
    let available = or_none(event.available_at.map(|at| at.0.to_string()));
    let lengths = texts.map(|text| or_none(text.as_ref().map(|text| text.len().to_string())));
    let head = format!("{BODY} {kind} {} {available} {}\n", event.occurred_at.0, lengths.join(" "));
    let payload = event.payload.as_bytes();
    let texts = texts.into_iter().flatten();
    let size = head.len() + payload.len() + texts.clone().map(|text| text.len()).sum::<usize>();
    let mut body = Vec::with_capacity(size);
    body.extend_from_slice(head.as_bytes());
    for text in texts {
        body.extend_from_slice(text.as_bytes());
    }
    body.extend_from_slice(payload);
    Bytes::from(body)
}

/// Type and routing key, in one text.
pub(crate) fn kind_of(event: &Event) -> String {
    match &event.routing_key {
        Some(key) => format!("{}\0{key}", event.event_type),
        None => event.event_type.to_string(),
    }
}

/// `CORRUPT_DATA`: what stands there is no event.
pub(crate) fn corrupt(id: &str) -> Error {
    Error::new(Kind::CorruptData, "the stored event cannot be read").with_id(id)
}

/// A field of a reply, as text.
fn text(value: Option<Value>) -> Option<String> {
    value.filter(|value| !value.is_null())?.as_string()
}

fn bytes(value: Value) -> Option<Bytes> {
    match value {
        Value::Bytes(bytes) => Some(bytes),
        Value::String(text) => Some(Bytes::copy_from_slice(text.as_bytes())),
        _ => None,
    }
}

/// What [`body_of`] has packed.
struct Body {
    payload: Content,
    occurred_at: Millis,
    available_at: Option<Millis>,
    aggregate_type: Option<Box<str>>,
    aggregate_id: Option<Box<str>>,
    headers: Option<Box<str>>,
}

impl Body {
    fn read(body: &Bytes) -> Option<Self> {
        let end = body.iter().position(|byte| *byte == b'\n')?;
        let mut words = std::str::from_utf8(&body[..end]).ok()?.split(' ');
        if words.next()? != BODY {
            return None;
        }
        let is_json = match words.next()? {
            "j" => true,
            "b" => false,
            _ => return None,
        };
        let occurred_at = Millis(words.next()?.parse().ok()?);
        let available_at = match words.next()? {
            "-" => None,
            at => Some(Millis(at.parse().ok()?)),
        };
        let mut rest = &body[end + 1..];
        let mut next = || -> Option<Option<Box<str>>> {
            let length = match words.next()? {
                "-" => return Some(None),
                length => length.parse().ok()?,
            };
            let (text, behind) = rest.split_at_checked(length)?;
            rest = behind;
            Some(Some(std::str::from_utf8(text).ok()?.into()))
        };
        let (aggregate_type, aggregate_id, headers) = (next()?, next()?, next()?);
        // A copy: the reply has other events beside it.
        let payload = Content::stored(is_json, Bytes::copy_from_slice(rest)).ok()?;
        Some(Self { payload, occurred_at, available_at, aggregate_type, aggregate_id, headers })
    }
}

/// An event, as the script tells it: its id, and its fields in their order.
pub(crate) fn stored_of(values: Vec<Value>) -> Result<Stored> {
    let mut values = values.into_iter();
    let id = text(values.next()).unwrap_or_default();
    read(&id, values).ok_or_else(|| corrupt(&id))
}

fn read(id: &str, mut values: impl Iterator<Item = Value>) -> Option<Stored> {
    let mut next = || text(values.next());
    let number = |text: Option<String>| match text {
        None => Some(None),
        Some(text) => text.parse::<i64>().ok().map(Some),
    };
    let status = EventStatus::stored(&next()?).ok()?;
    let seq = next()?.parse().ok()?;
    let key = next();
    let (due, lease) = (number(next())?, number(next())?);
    let token = next();
    let deliveries = number(next())?.unwrap_or(0);
    let kind = next()?;
    let made = next()?;
    let saga = next();
    let retries = number(next())?.unwrap_or(0);
    let error = next();
    let body = Body::read(&bytes(values.next()?)?)?;
    let mut next = || text(values.next());
    let claimed = number(next())?;
    let worker = next();
    let (sent, dead, expires) = (number(next())?, number(next())?, number(next())?);
    let (created, operation) = made.split_once(' ')?;
    let (event_type, routing_key) = match kind.split_once('\0') {
        Some((event_type, key)) => (event_type, Some(key)),
        None => (&*kind, None),
    };
    Some(Stored {
        event: Event {
            id: id.into(),
            event_type: event_type.into(),
            payload: body.payload,
            saga_id: saga.map(Into::into),
            aggregate_type: body.aggregate_type,
            aggregate_id: body.aggregate_id,
            headers: body.headers,
            routing_key: routing_key.map(Into::into),
            partition_key: key.map(Into::into),
            available_at: body.available_at,
            occurred_at: body.occurred_at,
        },
        seq,
        operation: operation.into(),
        status,
        created_at: Millis(created.parse().ok()?),
        claimed_at: claimed.map(Millis),
        sent_at: sent.map(Millis),
        dead_at: dead.map(Millis),
        retry_count: retries,
        deliveries,
        last_error: error.map(Into::into),
        worker: worker.map(Into::into),
        token: token.map(Into::into),
        lease_until: lease.map(Millis),
        due_at: due.map(Millis),
        expires_at: expires.map(Millis),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(payload: Content, texts: bool) -> Event {
        let text = |text: &str| texts.then(|| Box::from(text));
        Event {
            id: "e".into(),
            event_type: "OrderPlaced".into(),
            payload,
            saga_id: None,
            aggregate_type: text("Order\n"),
            aggregate_id: text("ü"),
            headers: text("{\"a\":\"1 2\"}"),
            routing_key: text("r"),
            partition_key: None,
            available_at: texts.then_some(Millis(7)),
            occurred_at: Millis(-5),
        }
    }

    #[test]
    fn bodies_come_back() {
        for payload in [Content::Json("{\"n\":\"ü\"}".into()), Content::Bytes(Bytes::from_static(&[0, 255, 10]))] {
            for texts in [true, false] {
                let event = event(payload.clone(), texts);
                let body = Body::read(&body_of(&event)).unwrap();
                let read = Event {
                    payload: body.payload,
                    aggregate_type: body.aggregate_type,
                    aggregate_id: body.aggregate_id,
                    headers: body.headers,
                    available_at: body.available_at,
                    occurred_at: body.occurred_at,
                    ..event.clone()
                };
                assert_eq!(read, event);
            }
        }
        for body in ["", "2 j 1 - - - -\n", "1 x 1 - - - -\n", "1 j 1 - 5 - -\nabc", "1 j 1 - -\n"] {
            assert!(Body::read(&Bytes::from(body)).is_none(), "{body}");
        }
    }
}
