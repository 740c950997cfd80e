//! What a call on the outbox was given, read strictly: named arguments, as `ts/kinds/outbox.ts` makes them.

use super::record::{Content, Event, EventStatus};
use super::{
    ClaimEvents, Decision, Held, Insertion, MAX_EVENTS, NewLease, OutboxRead, OutboxStep, OutboxWrite, Outcome,
    Settlement, Terms,
};
use crate::contract::arguments::{Arguments, Fields, MAX_LISTED, check_word, shortened};
use crate::contract::dynamic::Dynamic;
use crate::contract::lease::random;
use crate::contract::operation::check_id;
use crate::contract::operations::Call;
use crate::contract::settings::Settings;
use crate::error::{Error, Kind, Result};
use crate::time::Millis;

/// The longest id of an event, a saga or an aggregate, and the longest partition key, in bytes of UTF-8: with a word
/// before it, it is a key of every backend.
pub const MAX_KEY_BYTES: usize = 512;

/// The longest type and routing key, in bytes of UTF-8.
const MAX_TYPE_BYTES: usize = 255;

/// The longest headers, JSON, in bytes of UTF-8.
const MAX_HEADER_BYTES: usize = 65_536;

/// The largest event, in bytes, on any backend.
pub const MAX_EVENT_BYTES: usize = 15 * 1024 * 1024;

/// Reads and checks what a call on the outbox was given.
pub fn step(call: Call, given: Vec<Dynamic>, settings: &Settings) -> Result<OutboxStep> {
    let mut given = Arguments::new(given);
    let terms = settings.outbox;
    if matches!(call, Call::OutboxGet | Call::OutboxUpdateStatus) {
        let id = event_id(&given.text("eventId")?)?;
        let mut fields = given.fields()?;
        let step = if call == Call::OutboxGet {
            OutboxStep::Read(OutboxRead::Get { id: id.clone() })
        } else {
            let decision = decision(&mut fields).map_err(|error| error.with_id(&id))?;
            OutboxStep::Write(OutboxWrite::Decide { id: id.clone(), decision, terms })
        };
        fields.finish().map_err(|error| error.with_id(&id))?;
        return Ok(step);
    }
    let mut fields = given.fields()?;
    let step = of_several(call, &mut fields, terms)?;
    fields.finish()?;
    Ok(step)
}

fn of_several(call: Call, fields: &mut Fields, terms: Terms) -> Result<OutboxStep> {
    let settle = |fields: &mut Fields, outcome: Outcome| -> Result<OutboxStep> {
        Ok(OutboxStep::Write(OutboxWrite::Settle(Box::new(Settlement { held: held(fields)?, outcome, terms }))))
    };
    Ok(match call {
        Call::OutboxInsert => OutboxStep::Write(OutboxWrite::Insert(Box::new(insertion(fields, terms)?))),
        Call::OutboxClaim => OutboxStep::Write(OutboxWrite::Claim(Box::new(ClaimEvents {
            lease: NewLease::read(fields)?,
            limit: fields.limit()?,
            types: names(fields, "eventTypes")?,
            routing_keys: names(fields, "routingKeys")?,
            older_than_ms: older_than(fields)?,
            terms,
        }))),
        Call::OutboxAck => settle(fields, Outcome::Sent)?,
        Call::OutboxFail => {
            let outcome =
                Outcome::Failed { error: reason(fields)?, retry_at: fields.time("retryAt")?, jitter: jitter() };
            settle(fields, outcome)?
        }
        Call::OutboxRelease => settle(fields, Outcome::Released)?,
        Call::OutboxExtend => {
            let outcome = Outcome::Extended(fields.lease()?);
            settle(fields, outcome)?
        }
        Call::OutboxReleaseStuck => {
            OutboxStep::Write(OutboxWrite::ReleaseStuck { older_than_ms: older_than(fields)?, limit: fields.limit()? })
        }
        Call::OutboxRequeue => OutboxStep::Write(OutboxWrite::Requeue { ids: ids(fields)? }),
        Call::OutboxDiscard => OutboxStep::Write(OutboxWrite::Discard { ids: ids(fields)? }),
        Call::OutboxArchive => OutboxStep::Write(OutboxWrite::Archive {
            older_than_ms: older_than(fields)?,
            sent: fields.flag("sent")?.unwrap_or(false),
            dead: fields.flag("dead")?.unwrap_or(false),
            limit: fields.limit()?,
        }),
        Call::OutboxList => OutboxStep::Read(OutboxRead::List {
            saga_id: key(fields, "sagaId")?,
            status: status(fields)?,
            after: fields.text("after")?,
            limit: fields.limit()?,
        }),
        Call::OutboxStuck => {
            OutboxStep::Read(OutboxRead::Stuck { older_than_ms: older_than(fields)?, limit: fields.limit()? })
        }
        Call::OutboxCount => {
            let status = status(fields)?.ok_or_else(|| Error::invalid("status is missing"))?;
            OutboxStep::Read(OutboxRead::Count { status })
        }
        Call::OutboxBlockedKeys => OutboxStep::Read(OutboxRead::BlockedKeys { limit: fields.limit()?, terms }),
        _ => OutboxStep::Read(OutboxRead::Statistics { terms }),
    })
}

/// The id of an event, checked.
pub fn event_id(id: &str) -> Result<Box<str>> {
    let checked = if id.len() > MAX_KEY_BYTES {
        Err(Error::invalid(format!("eventId is longer than {MAX_KEY_BYTES} bytes of UTF-8")))
    } else {
        check_id(id).map_err(|error| Error::invalid(error.message().replacen("id", "eventId", 1)))
    };
    checked.map_err(|error| error.with_id(id))?;
    Ok(id.into())
}

/// Refuses what is too long to be a part of a key.
pub fn check_key(what: &str, key: &str) -> Result<()> {
    if key.is_empty() || key.len() > MAX_KEY_BYTES || key.contains('\0') {
        let message = format!("{what} must have 1 to {MAX_KEY_BYTES} bytes of UTF-8, none of them NUL");
        return Err(Error::invalid(message));
    }
    Ok(())
}

fn key(fields: &mut Fields, what: &str) -> Result<Option<Box<str>>> {
    let key = fields.text(what)?;
    if let Some(key) = &key {
        check_key(what, key)?;
    }
    Ok(key)
}

fn names(fields: &mut Fields, what: &str) -> Result<Option<Vec<Box<str>>>> {
    let names = fields.texts(what, 100, MAX_TYPE_BYTES)?;
    if names.as_ref().is_some_and(Vec::is_empty) {
        return Err(Error::invalid(format!("{what} must name at least one, or be left out")));
    }
    Ok(names)
}

fn older_than(fields: &mut Fields) -> Result<u64> {
    Ok(fields.whole("olderThanMs", 0, i64::MAX)?.and_then(|ms| u64::try_from(ms).ok()).unwrap_or(0))
}

fn status(fields: &mut Fields) -> Result<Option<EventStatus>> {
    fields.text("status")?.map(|status| EventStatus::given(&status)).transpose()
}

fn reason(fields: &mut Fields) -> Result<Box<str>> {
    let text = fields.text("error")?.ok_or_else(|| Error::invalid("error is missing"))?;
    Ok(shortened(&text))
}

/// What a backoff is multiplied by.
fn jitter() -> f64 {
    0.9 + fastrand::f64() * 0.2
}

fn ids(fields: &mut Fields) -> Result<Vec<Box<str>>> {
    let ids = fields.texts("ids", usize::try_from(MAX_LISTED).unwrap_or(usize::MAX), usize::MAX)?.unwrap_or_default();
    ids.iter().map(|id| event_id(id)).collect()
}

fn held(fields: &mut Fields) -> Result<Vec<Held>> {
    let Dynamic::List(given) = fields.take("claims") else { return Err(Error::invalid("claims must be a list")) };
    let mut held: Vec<Held> = Vec::with_capacity(given.len());
    let mut tokens: std::collections::HashMap<Box<str>, Box<str>> = std::collections::HashMap::new();
    for claim in given {
        let Dynamic::List(claim) = claim else { return Err(Error::invalid("a claim must be a list")) };
        let mut claim = Arguments::new(claim);
        let (id, token) = (event_id(&claim.text("eventId")?)?, claim.text("token")?);
        match tokens.insert(id.clone(), token.clone()) {
            None => held.push(Held { id, token }),
            Some(known) if known == token => {}
            Some(_) => return Err(Error::invalid("two claims of one event are given at once").with_id(&id)),
        }
    }
    Ok(held)
}

fn decision(fields: &mut Fields) -> Result<Decision> {
    let error = fields.text("error")?.map(|error| shortened(&error));
    match &*fields.text("status")?.unwrap_or_default() {
        "pending" => Ok(Decision::Pending),
        "sent" => Ok(Decision::Sent),
        "failed" => {
            let error = error.unwrap_or_else(|| "marked as failed".into());
            Ok(Decision::Failed { error, jitter: jitter() })
        }
        "dead_letter" => Ok(Decision::Dead { error }),
        "claimed" => Err(Error::invalid("an event is claimed by claim() alone")),
        _ => Err(Error::invalid("status must be one of 'pending', 'sent', 'failed', 'dead_letter'")),
    }
}

fn insertion(fields: &mut Fields, terms: Terms) -> Result<Insertion> {
    let Dynamic::List(given) = fields.take("events") else { return Err(Error::invalid("events must be a list")) };
    if given.is_empty() || given.len() > MAX_EVENTS {
        let message = format!("{} events are given: one insertion has 1 to {MAX_EVENTS}", given.len());
        return Err(Error::invalid(message));
    }
    let ignores_duplicates = fields.flag("ignoreDuplicates")?.unwrap_or(false);
    let mut events: Vec<Event> = Vec::with_capacity(given.len());
    let mut known: std::collections::HashSet<Box<str>> = std::collections::HashSet::with_capacity(given.len());
    for event in given {
        let event = self::event(event)?;
        if known.insert(event.id.clone()) {
            events.push(event);
        } else if !ignores_duplicates {
            let message = "two events of one insertion have the same id";
            return Err(Error::new(Kind::AlreadyExists, message).with_id(&event.id));
        }
    }
    let lease = match fields.take("claim") {
        Dynamic::Null => None,
        claim => {
            let mut claim = Fields::of(claim)?;
            let lease: NewLease = NewLease::read(&mut claim)?;
            claim.finish()?;
            Some(lease)
        }
    };
    Ok(Insertion { events, ignores_duplicates, lease, operation: random(), terms })
}

fn event(given: Dynamic) -> Result<Event> {
    let Dynamic::List(given) = given else { return Err(Error::invalid("an event must be a list")) };
    let mut given = Arguments::new(given);
    let id = event_id(&given.text("eventId")?)?;
    read(id.clone(), &mut given).map_err(|error| error.with_id(&id))
}

fn read(id: Box<str>, given: &mut Arguments) -> Result<Event> {
    let event_type = given.text("eventType")?;
    check_word("eventType", &event_type)?;
    let payload = match given.any() {
        Dynamic::Text(text) => Content::Json(text.into()),
        Dynamic::Bytes(bytes) => Content::Bytes(bytes),
        _ => return Err(Error::invalid("payload must be JSON or bytes")),
    };
    let mut key = |what: &str| -> Result<Option<Box<str>>> {
        let key = given.optional(what)?;
        if let Some(key) = &key {
            check_key(what, key)?;
        }
        Ok(key)
    };
    let (saga_id, aggregate_type, aggregate_id) = (key("sagaId")?, key("aggregateType")?, key("aggregateId")?);
    let headers = given.optional("headers")?;
    if headers.as_ref().is_some_and(|headers| headers.len() > MAX_HEADER_BYTES) {
        let message = format!("headers are larger than {MAX_HEADER_BYTES} bytes of JSON");
        return Err(Error::new(Kind::PayloadTooLarge, message));
    }
    let routing_key = given.optional("routingKey")?;
    if let Some(key) = &routing_key {
        check_word("routingKey", key)?;
    }
    let partition_key = given.optional("partitionKey")?;
    if let Some(key) = &partition_key {
        check_key("partitionKey", key)?;
    }
    let event = Event {
        id,
        event_type,
        payload,
        saga_id,
        aggregate_type,
        aggregate_id,
        headers,
        routing_key,
        partition_key,
        available_at: given.optional_time("availableAt")?,
        occurred_at: given.optional_time("occurredAt")?.unwrap_or_else(Millis::now),
    };
    let bytes = event.bytes();
    if bytes > MAX_EVENT_BYTES {
        return Err(too_large(bytes, MAX_EVENT_BYTES));
    }
    Ok(event)
}

/// `PAYLOAD_TOO_LARGE`: an event has so many bytes, and the limit is this one.
pub fn too_large(bytes: usize, limit: usize) -> Error {
    let message = format!("the event has {bytes} bytes; the limit is {limit}: keep what is large with store.put");
    Error::new(Kind::PayloadTooLarge, message)
}
