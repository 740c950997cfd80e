//! What a call that moves records was given, read strictly.

use std::collections::HashSet;

use bytes::Bytes;

use super::record::{Body, Key, Logbook, Message, Payload, Record, State};
use super::{Conflict, Fate, Import, Moved, MovingRead, MovingStep, MovingWrite, PAGE_BYTES, has_expired};
use crate::contract::arguments::{Arguments, Fields, MAX_LISTED};
use crate::contract::dynamic::Dynamic;
use crate::contract::executions::given::{check_saga_id, tags};
use crate::contract::executions::record::{Action, Entry, Execution, LastOperation, Logged, Status, StepStatus};
use crate::contract::inbox;
use crate::contract::operation::check_id;
use crate::contract::operations::Call;
use crate::contract::outbox::given::{check_key, event_id};
use crate::contract::outbox::record::{Content, Event, EventStatus, Stored};
use crate::contract::states::{Saga, check_correlation_id, check_name, check_state_id};
use crate::error::{Error, Kind, Result};
use crate::time::Millis;

/// Reads and checks what a call was given. `limit` is the largest payload that the backend takes under an id.
pub fn step(call: Call, given: Vec<Dynamic>, limit: &dyn Fn(&str) -> u64) -> Result<MovingStep> {
    let mut given = Arguments::new(given);
    if call == Call::PayloadStat {
        let id = given.text("id")?;
        check_id(&id).map_err(|error| error.with_id(&id))?;
        let expired = given.optional_flag("expired")?.unwrap_or(false);
        return Ok(MovingStep::Read(MovingRead::Stat { id, expired }));
    }
    let mut fields = given.fields()?;
    if call == Call::PayloadList {
        let (prefix, after, limit) =
            (fields.text("prefix")?.unwrap_or_default(), fields.text("after")?, fields.limit()?);
        fields.finish()?;
        return Ok(MovingStep::Read(MovingRead::List { prefix, after, limit }));
    }
    let kind = kind(&mut fields)?;
    let step = match call {
        Call::Import => {
            let conflict = conflict(&mut fields)?;
            let records = some(&mut fields, "records")?;
            MovingStep::Write(MovingWrite::Import(Box::new(import(kind, conflict, records, limit))))
        }
        Call::Scan => MovingStep::Read(MovingRead::Scan {
            kind,
            after: fields.text("after")?,
            limit: fields.limit()?,
            max_bytes: fields
                .whole("maxBytes", 1, i64::MAX)?
                .map_or(PAGE_BYTES, |bytes| u64::try_from(bytes).unwrap_or(PAGE_BYTES)),
            only_sizes: fields.flag("onlySizes")?.unwrap_or(false),
        }),
        Call::Fetch => {
            let keys = some(&mut fields, "keys")?.into_iter().map(key).collect::<Result<_>>()?;
            MovingStep::Read(MovingRead::Fetch { kind, keys })
        }
        Call::CountRecords => MovingStep::Read(MovingRead::Count { kind }),
        _ => return Err(Error::invalid("the call is not one on whole records")),
    };
    fields.finish()?;
    Ok(step)
}

fn kind(fields: &mut Fields) -> Result<Moved> {
    Moved::given(&fields.text("kind")?.unwrap_or_default())
}

fn conflict(fields: &mut Fields) -> Result<Conflict> {
    match &*fields.text("onConflict")?.unwrap_or_default() {
        "skip-existing" => Ok(Conflict::Skip),
        "overwrite" => Ok(Conflict::Overwrite),
        "fail" => Ok(Conflict::Refuse),
        "newer" => Ok(Conflict::Newer),
        _ => Err(Error::invalid("onConflict must be one of 'skip-existing', 'overwrite', 'fail', 'newer'")),
    }
}

fn some(fields: &mut Fields, name: &str) -> Result<Vec<Dynamic>> {
    match fields.take(name) {
        Dynamic::List(list) if list.len() as u64 <= MAX_LISTED => Ok(list),
        _ => Err(Error::invalid(format!("{name} must be a list of at most {MAX_LISTED}"))),
    }
}

/// Each record that cannot be stored is refused alone.
fn import(kind: Moved, conflict: Conflict, given: Vec<Dynamic>, limit: &dyn Fn(&str) -> u64) -> Import {
    let now = Millis::now();
    let mut seen: HashSet<Key> = HashSet::with_capacity(given.len());
    let one = |given: Dynamic| -> std::result::Result<Record, Fate> {
        let record = record(kind, given).map_err(Fate::Refused)?;
        if has_expired(record.expires_at(), now) {
            return Err(Fate::Expired);
        }
        if let Record::Payload(Payload { id, body: Body::Whole(data), .. }) = &record {
            let (size, limit) = (data.len() as u64, limit(id));
            if size > limit {
                let message = format!("the payload has {size} bytes; the limit is {limit}");
                return Err(Fate::Refused(Error::too_large(message, size, limit).with_id(id)));
            }
        }
        // A scan of Redis may answer a record twice.
        if seen.insert(record.key()) { Ok(record) } else { Err(Fate::Skipped) }
    };
    Import::new(kind, conflict, given.into_iter().map(one).collect())
}

fn key(given: Dynamic) -> Result<Key> {
    match given {
        Dynamic::Text(id) => Ok(Key { name: "".into(), id: id.into() }),
        Dynamic::List(parts) => match <[Dynamic; 2]>::try_from(parts) {
            Ok([Dynamic::Text(name), Dynamic::Text(id)]) => Ok(Key { name: name.into(), id: id.into() }),
            _ => Err(Error::invalid("a key must be a string or two strings")),
        },
        _ => Err(Error::invalid("a key must be a string or two strings")),
    }
}

fn record(kind: Moved, given: Dynamic) -> Result<Record> {
    let mut fields = Fields::of(given)?;
    let record = match kind {
        Moved::Payloads => Record::Payload(payload(&mut fields)?),
        Moved::States => Record::State(Box::new(state(&mut fields)?)),
        Moved::Executions => Record::Execution(Box::new(logbook(&mut fields)?)),
        Moved::Outbox => Record::Event(Box::new(event(&mut fields)?)),
        Moved::Inbox => Record::Message(message(&mut fields)?),
    };
    fields.finish().map_err(|error| error.with_id(record.id()))?;
    Ok(record)
}

fn needed<T>(value: Option<T>, name: &str) -> Result<T> {
    value.ok_or_else(|| Error::invalid(format!("{name} is missing")))
}

fn count(fields: &mut Fields, name: &str) -> Result<i64> {
    needed(fields.version(name)?, name)
}

fn json(fields: &mut Fields, name: &str) -> Result<Option<Box<str>>> {
    let text = fields.text(name)?;
    if let Some(text) = &text
        && serde_json::from_str::<serde::de::IgnoredAny>(text).is_err()
    {
        return Err(Error::new(Kind::CorruptData, format!("{name} is not JSON")));
    }
    Ok(text)
}

fn payload(fields: &mut Fields) -> Result<Payload> {
    let id = needed(fields.text("id")?, "id")?;
    check_id(&id)?;
    let Dynamic::Bytes(data) = fields.take("data") else {
        return Err(Error::invalid("data must be bytes").with_id(&id));
    };
    Ok(Payload { body: Body::Whole(data), expires_at: fields.time("expiresAt")?, id })
}

fn state(fields: &mut Fields) -> Result<State> {
    let name = needed(fields.text("sagaName")?, "sagaName")?;
    check_name(&name)?;
    let id = needed(fields.text("sagaId")?, "sagaId")?;
    check_state_id("sagaId", &id)?;
    rest_of_state(fields, name, id.clone()).map_err(|error| error.with_id(&id))
}

fn rest_of_state(fields: &mut Fields, name: Box<str>, id: Box<str>) -> Result<State> {
    let correlation_id = needed(fields.text("correlationId")?, "correlationId")?;
    check_correlation_id(&correlation_id)?;
    let saga = Saga {
        name,
        id,
        version: count(fields, "version")?,
        completed: needed(fields.flag("isCompleted")?, "isCompleted")?,
        created_at: needed(fields.time("createdAt")?, "createdAt")?,
        updated_at: needed(fields.time("updatedAt")?, "updatedAt")?,
        completed_at: fields.time("completedAt")?,
        timeout_at: fields.time("timeoutAt")?,
        expires_at: fields.time("expiresAt")?,
        state: needed(json(fields, "state")?, "state")?,
    };
    Ok(State { saga, correlation_id })
}

fn logbook(fields: &mut Fields) -> Result<Logbook> {
    let id = needed(fields.text("sagaId")?, "sagaId")?;
    check_saga_id(&id)?;
    rest_of_logbook(fields, id.clone()).map_err(|error| error.with_id(&id))
}

fn rest_of_logbook(fields: &mut Fields, id: Box<str>) -> Result<Logbook> {
    let name = needed(fields.text("name")?, "name")?;
    check_name(&name)?;
    let last_operation = match fields.take("lastOperation") {
        Dynamic::Null => None,
        given => Some(last_operation(&mut Fields::of(given)?)?),
    };
    let log = match fields.take("entries") {
        Dynamic::List(entries) => entries.into_iter().map(logged).collect::<Result<Vec<_>>>()?,
        _ => return Err(Error::invalid("entries must be a list")),
    };
    if !(1..).zip(&log).all(|(seq, logged)| logged.seq == seq) {
        return Err(Error::new(Kind::CorruptData, "the numbers of the entries are not 1, 2, 3 and so on"));
    }
    let log_bytes = log.iter().fold(0_i64, |bytes, logged| bytes.saturating_add(logged.entry.bytes()));
    let execution = Execution {
        id,
        name,
        status: Status::given(&needed(fields.text("status")?, "status")?)?,
        sub_status: fields.text("subStatus")?,
        context: json(fields, "context")?,
        metadata: json(fields, "metadata")?,
        tags: tags(fields)?.unwrap_or_default(),
        version: count(fields, "version")?,
        seq: i64::try_from(log.len()).unwrap_or(i64::MAX),
        log_bytes,
        token: fields.text("token")?,
        worker: fields.text("workerId")?,
        due_at: fields.time("dueAt")?,
        attempts: count(fields, "attempts")?,
        last_error: fields.text("lastError")?,
        last_operation,
        created_at: needed(fields.time("createdAt")?, "createdAt")?,
        updated_at: needed(fields.time("updatedAt")?, "updatedAt")?,
        completed_at: fields.time("completedAt")?,
        parked_at: fields.time("parkedAt")?,
        expires_at: fields.time("expiresAt")?,
    };
    Ok(Logbook { execution, log })
}

fn last_operation(fields: &mut Fields) -> Result<LastOperation> {
    Ok(LastOperation {
        id: needed(fields.text("id")?, "lastOperation.id")?,
        version: count(fields, "version")?,
        first_seq: fields.version("firstSeq")?,
    })
}

/// As [`Logged`] is answered: a list.
fn logged(given: Dynamic) -> Result<Logged> {
    let mut given = Arguments::new(given.into_list().ok_or_else(|| Error::invalid("an entry must be a list"))?);
    let seq = given.version("seq of an entry")?;
    let step = given.text("step of an entry")?;
    let action = Action::given(&given.text("action of an entry")?)?;
    let status = StepStatus::given(&given.text("status of an entry")?)?;
    let step_id = given.optional("stepId of an entry")?;
    let details = given.optional("details of an entry")?;
    let body = given.optional("body of an entry")?;
    let at = given.time("time of an entry")?;
    Ok(Logged { seq, entry: Entry { step, action, status, step_id, details, body }, at })
}

fn event(fields: &mut Fields) -> Result<Stored> {
    let id = event_id(&needed(fields.text("eventId")?, "eventId")?)?;
    rest_of_event(fields, id.clone()).map_err(|error| error.with_id(&id))
}

fn rest_of_event(fields: &mut Fields, id: Box<str>) -> Result<Stored> {
    let mut key = |name: &str| -> Result<Option<Box<str>>> {
        let key = fields.text(name)?;
        key.as_deref().map_or(Ok(()), |key| check_key(name, key))?;
        Ok(key)
    };
    let (saga_id, aggregate_type, aggregate_id) = (key("sagaId")?, key("aggregateType")?, key("aggregateId")?);
    let (routing_key, partition_key) = (key("routingKey")?, key("partitionKey")?);
    let payload = match fields.take("payload") {
        Dynamic::Text(text) => Content::Json(text.into()),
        // They are the caller's.
        Dynamic::Bytes(bytes) => Content::Bytes(Bytes::copy_from_slice(&bytes)),
        _ => return Err(Error::invalid("payload must be a string or bytes")),
    };
    let event = Event {
        id,
        event_type: needed(fields.text("eventType")?, "eventType")?,
        payload,
        saga_id,
        aggregate_type,
        aggregate_id,
        headers: json(fields, "headers")?,
        routing_key,
        partition_key,
        available_at: fields.time("availableAt")?,
        occurred_at: needed(fields.time("occurredAt")?, "occurredAt")?,
    };
    let stored = Stored {
        event,
        seq: 0,
        operation: needed(fields.text("operation")?, "operation")?,
        status: EventStatus::given(&needed(fields.text("status")?, "status")?)?,
        created_at: needed(fields.time("createdAt")?, "createdAt")?,
        claimed_at: fields.time("claimedAt")?,
        sent_at: fields.time("sentAt")?,
        dead_at: fields.time("deadAt")?,
        retry_count: count(fields, "retryCount")?,
        deliveries: count(fields, "deliveries")?,
        last_error: fields.text("lastError")?,
        worker: fields.text("workerId")?,
        token: fields.text("token")?,
        lease_until: fields.time("leaseUntil")?,
        due_at: fields.time("dueAt")?,
        expires_at: fields.time("expiresAt")?,
    };
    let is_claim = stored.token.is_some() && stored.lease_until.is_some();
    if (stored.status == EventStatus::Claimed) != is_claim {
        return Err(Error::new(Kind::CorruptData, "token and leaseUntil belong to a claimed event, and to no other"));
    }
    Ok(stored)
}

fn message(fields: &mut Fields) -> Result<Message> {
    let (consumer, id) =
        (needed(fields.text("consumer")?, "consumer")?, needed(fields.text("messageId")?, "messageId")?);
    let entry = inbox::Entry::new(&consumer, &id)?;
    Ok(Message {
        consumer: entry.consumer,
        id: entry.message,
        operation: needed(fields.text("operation")?, "operation")?,
        expires_at: needed(fields.time("expiresAt")?, "expiresAt")?,
    })
}
