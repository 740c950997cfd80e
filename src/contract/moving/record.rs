//! A record as a whole, as TypeScript and files have it.

use bytes::Bytes;

use super::Moved;
use crate::contract::dynamic::Dynamic;
use crate::contract::executions::record::{Execution, LastOperation, Logged};
use crate::contract::outbox::record::{Content, EventStatus, Stored};
use crate::contract::states::Saga;
use crate::error::{Detail, Error, Kind};
use crate::time::Millis;

/// What a record is known by in its kind.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// A saga's name, or the consumer of an entry of the inbox; empty for all others.
    pub name: Box<str>,
    /// The claim id, the saga id, the id of the event or of the message.
    pub id: Box<str>,
}

/// The bytes of a payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// As they are stored: a compressed payload is compressed.
    Whole(Bytes),
    /// How many there are.
    Size(u64),
}

/// A payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload {
    /// The claim id.
    pub id: Box<str>,
    /// Its bytes; whole in an import.
    pub body: Body,
    /// When it ceases to exist.
    pub expires_at: Option<Millis>,
}

/// Saga state.
#[derive(Clone, Debug)]
pub struct State {
    /// The saga.
    pub saga: Saga,
    /// The id of what it is about.
    pub correlation_id: Box<str>,
}

/// An execution and its whole log. `seq` is the number of its last entry, `log_bytes` those of the entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logbook {
    /// Without its log.
    pub execution: Execution,
    /// Its log, from number 1 on, without gaps.
    pub log: Vec<Logged>,
}

/// An entry of the inbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The consumer.
    pub consumer: Box<str>,
    /// The message's id.
    pub id: Box<str>,
    /// Who accepted it.
    pub operation: Box<str>,
    /// When it is forgotten.
    pub expires_at: Millis,
}

/// A record, with all that is kept of it.
#[derive(Clone, Debug)]
pub enum Record {
    /// A payload.
    Payload(Payload),
    /// Saga state.
    State(Box<State>),
    /// An execution.
    Execution(Box<Logbook>),
    /// An event. Its `seq` says nothing in an import.
    Event(Box<Stored>),
    /// An entry of the inbox.
    Message(Message),
}

impl Record {
    /// Its kind.
    pub const fn kind(&self) -> Moved {
        match self {
            Self::Payload(_) => Moved::Payloads,
            Self::State(_) => Moved::States,
            Self::Execution(_) => Moved::Executions,
            Self::Event(_) => Moved::Outbox,
            Self::Message(_) => Moved::Inbox,
        }
    }

    /// Its id.
    pub fn id(&self) -> &str {
        match self {
            Self::Payload(payload) => &payload.id,
            Self::State(state) => &state.saga.id,
            Self::Execution(logbook) => &logbook.execution.id,
            Self::Event(stored) => &stored.event.id,
            Self::Message(message) => &message.id,
        }
    }

    /// What it is known by.
    pub fn key(&self) -> Key {
        let name: &str = match self {
            Self::State(state) => &state.saga.name,
            Self::Message(message) => &message.consumer,
            _ => "",
        };
        Key { name: name.into(), id: self.id().into() }
    }

    /// About how many bytes it has.
    pub fn bytes(&self) -> usize {
        let optional = |text: &Option<Box<str>>| text.as_ref().map_or(0, |text| text.len());
        128 + match self {
            Self::Payload(Payload { id, body: Body::Whole(data), .. }) => id.len() + data.len(),
            Self::Payload(payload) => payload.id.len(),
            Self::State(state) => state.saga.state.len() + state.saga.id.len() + state.correlation_id.len(),
            Self::Execution(logbook) => {
                let Execution { context, metadata, log_bytes, seq, .. } = &logbook.execution;
                let log = log_bytes.saturating_add(seq.saturating_mul(64));
                optional(context) + optional(metadata) + usize::try_from(log).unwrap_or_default()
            }
            Self::Event(stored) => stored.event.bytes() + optional(&stored.last_error),
            Self::Message(message) => message.consumer.len() + message.id.len(),
        }
    }

    /// When it ceases to exist.
    pub fn expires_at(&self) -> Option<Millis> {
        match self {
            Self::Payload(payload) => payload.expires_at,
            Self::State(state) => state.saga.expires_at,
            Self::Execution(logbook) => logbook.execution.expires_at,
            Self::Event(stored) => stored.expires_at,
            Self::Message(message) => Some(message.expires_at),
        }
    }

    /// Whether it is newer than another one of its key: a payload and an entry of the inbox that live longer; saga state
    /// and an execution with a larger version, or of the same version and changed later; an event that is further on
    /// (sent, then dead letter, then the more deliveries and failures).
    pub fn is_newer_than(&self, other: &Self) -> bool {
        let end = |record: &Self| record.expires_at().map_or(i64::MAX, |at| at.0);
        match (self, other) {
            (Self::State(one), Self::State(other)) => {
                (one.saga.version, one.saga.updated_at) > (other.saga.version, other.saga.updated_at)
            }
            (Self::Execution(one), Self::Execution(other)) => {
                let age = |logbook: &Logbook| {
                    (logbook.execution.version, logbook.execution.updated_at, logbook.execution.seq)
                };
                age(one) > age(other)
            }
            (Self::Event(one), Self::Event(other)) => {
                let progress = |stored: &Stored| {
                    let rank = match stored.status {
                        EventStatus::Sent => 2,
                        EventStatus::DeadLetter => 1,
                        EventStatus::Pending | EventStatus::Claimed => 0,
                    };
                    (rank, stored.deliveries, stored.retry_count)
                };
                progress(one) > progress(other)
            }
            _ => end(self) > end(other),
        }
    }

    /// `ALREADY_EXISTS`: another record has its key.
    pub fn taken(&self) -> Error {
        let what = match self {
            Self::Payload(_) => "a payload with this id",
            Self::State(_) => "a saga of this name with this saga id",
            Self::Execution(_) => "an execution with this saga id",
            Self::Event(_) => "an event with this id",
            Self::Message(_) => "an entry of this consumer with this message id",
        };
        let error = Error::new(Kind::AlreadyExists, format!("{what} already exists")).with_id(self.id());
        match self {
            Self::State(state) => error.with_detail("sagaName", Detail::Text(state.saga.name.to_string())),
            _ => error,
        }
    }

    /// As `ts/moving/records.ts` reads it; what it does not have is left out.
    pub fn into_dynamic(self) -> Dynamic {
        Dynamic::Map(match self {
            Self::Payload(payload) => of_payload(payload),
            Self::State(state) => of_state(*state),
            Self::Execution(logbook) => of_logbook(*logbook),
            Self::Event(stored) => of_event(*stored),
            Self::Message(Message { consumer, id, operation, expires_at }) => {
                Properties::default()
                    .text("consumer", consumer)
                    .text("messageId", id)
                    .text("operation", operation)
                    .with("expiresAt", Dynamic::Time(expires_at))
                    .0
            }
        })
    }
}

#[derive(Default)]
struct Properties(Vec<(String, Dynamic)>);

impl Properties {
    fn with(mut self, name: &str, value: Dynamic) -> Self {
        self.0.push((name.to_owned(), value));
        self
    }

    fn text(self, name: &str, text: Box<str>) -> Self {
        self.with(name, Dynamic::Text(text.into()))
    }

    fn int(self, name: &str, number: i64) -> Self {
        self.with(name, Dynamic::Int(number))
    }

    fn time(self, name: &str, at: Millis) -> Self {
        self.with(name, Dynamic::Time(at))
    }

    fn maybe_text(self, name: &str, text: Option<Box<str>>) -> Self {
        match text {
            Some(text) => self.text(name, text),
            None => self,
        }
    }

    fn maybe_time(self, name: &str, at: Option<Millis>) -> Self {
        match at {
            Some(at) => self.time(name, at),
            None => self,
        }
    }
}

fn of_payload(payload: Payload) -> Vec<(String, Dynamic)> {
    let properties = Properties::default().text("id", payload.id);
    let properties = match payload.body {
        Body::Whole(data) => properties.with("data", Dynamic::Bytes(data)),
        Body::Size(bytes) => properties.int("bytes", i64::try_from(bytes).unwrap_or(i64::MAX)),
    };
    properties.maybe_time("expiresAt", payload.expires_at).0
}

fn of_state(State { saga, correlation_id }: State) -> Vec<(String, Dynamic)> {
    Properties::default()
        .text("sagaName", saga.name)
        .text("sagaId", saga.id)
        .text("correlationId", correlation_id)
        .int("version", saga.version)
        .with("isCompleted", Dynamic::Bool(saga.completed))
        .time("createdAt", saga.created_at)
        .time("updatedAt", saga.updated_at)
        .maybe_time("completedAt", saga.completed_at)
        .maybe_time("timeoutAt", saga.timeout_at)
        .maybe_time("expiresAt", saga.expires_at)
        .text("state", saga.state)
        .0
}

fn of_logbook(Logbook { execution, log }: Logbook) -> Vec<(String, Dynamic)> {
    let tags = execution.tags.into_iter().map(|tag| Dynamic::Text(tag.into())).collect();
    let mut properties = Properties::default()
        .text("sagaId", execution.id)
        .text("name", execution.name)
        .with("status", execution.status.name().into())
        .maybe_text("subStatus", execution.sub_status)
        .maybe_text("context", execution.context)
        .maybe_text("metadata", execution.metadata)
        .with("tags", Dynamic::List(tags))
        .int("version", execution.version)
        .maybe_text("token", execution.token)
        .maybe_text("workerId", execution.worker)
        .maybe_time("dueAt", execution.due_at)
        .int("attempts", execution.attempts)
        .maybe_text("lastError", execution.last_error);
    if let Some(LastOperation { id, version, first_seq }) = execution.last_operation {
        let operation = Properties::default().text("id", id).int("version", version);
        let operation = match first_seq {
            Some(first_seq) => operation.int("firstSeq", first_seq),
            None => operation,
        };
        properties = properties.with("lastOperation", Dynamic::Map(operation.0));
    }
    properties
        .time("createdAt", execution.created_at)
        .time("updatedAt", execution.updated_at)
        .maybe_time("completedAt", execution.completed_at)
        .maybe_time("parkedAt", execution.parked_at)
        .maybe_time("expiresAt", execution.expires_at)
        .with("entries", Dynamic::List(log.into_iter().map(Logged::into_dynamic).collect()))
        .0
}

fn of_event(stored: Stored) -> Vec<(String, Dynamic)> {
    let event = stored.event;
    let properties = Properties::default()
        .text("eventId", event.id)
        .text("eventType", event.event_type)
        .maybe_text("sagaId", event.saga_id)
        .maybe_text("aggregateType", event.aggregate_type)
        .maybe_text("aggregateId", event.aggregate_id)
        .maybe_text("headers", event.headers)
        .maybe_text("routingKey", event.routing_key)
        .maybe_text("partitionKey", event.partition_key)
        .maybe_time("availableAt", event.available_at)
        .time("occurredAt", event.occurred_at);
    let properties = match event.payload {
        Content::Json(text) => properties.text("payload", text),
        Content::Bytes(bytes) => properties.with("payload", Dynamic::Bytes(bytes)),
    };
    properties
        .text("operation", stored.operation)
        .with("status", stored.status.name().into())
        .time("createdAt", stored.created_at)
        .maybe_time("claimedAt", stored.claimed_at)
        .maybe_time("sentAt", stored.sent_at)
        .maybe_time("deadAt", stored.dead_at)
        .int("retryCount", stored.retry_count)
        .int("deliveries", stored.deliveries)
        .maybe_text("lastError", stored.last_error)
        .maybe_text("workerId", stored.worker)
        .maybe_text("token", stored.token)
        .maybe_time("leaseUntil", stored.lease_until)
        .maybe_time("dueAt", stored.due_at)
        .maybe_time("expiresAt", stored.expires_at)
        .0
}
