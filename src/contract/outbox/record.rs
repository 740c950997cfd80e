//! Events, as every backend keeps them.

use bytes::Bytes;

use crate::contract::dynamic::Dynamic;
use crate::contract::named::named;
use crate::contract::step::Reply;
use crate::error::{Error, Kind, Result};
use crate::time::Millis;

named! {
    /// How far an event is.
    EventStatus "status" {
        /// It waits for a worker, or for its time.
        Pending "pending",
        /// A worker has it.
        Claimed "claimed",
        /// It is published.
        Sent "sent",
        /// Nobody tries any more.
        DeadLetter "dead_letter",
    }
}

/// What an event says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// JSON.
    Json(Box<str>),
    /// Bytes. They may be the caller's: a backend that keeps them behind its answer copies them.
    Bytes(Bytes),
}

impl Content {
    /// As bytes.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Json(text) => text.as_bytes(),
            Self::Bytes(bytes) => bytes,
        }
    }

    /// Whether it is JSON.
    pub const fn is_json(&self) -> bool {
        matches!(self, Self::Json(_))
    }

    /// As it was stored.
    pub fn stored(is_json: bool, bytes: Bytes) -> Result<Self> {
        if !is_json {
            return Ok(Self::Bytes(bytes));
        }
        match std::str::from_utf8(&bytes) {
            Ok(text) => Ok(Self::Json(text.into())),
            Err(_) => Err(Error::new(Kind::CorruptData, "the payload of an event is not UTF-8")),
        }
    }
}

/// An event, as it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Unique.
    pub id: Box<str>,
    /// What has happened.
    pub event_type: Box<str>,
    /// What is told of it.
    pub payload: Content,
    /// The saga.
    pub saga_id: Option<Box<str>>,
    /// The type of what it happened to.
    pub aggregate_type: Option<Box<str>>,
    /// The id of what it happened to.
    pub aggregate_id: Option<Box<str>>,
    /// JSON: an object.
    pub headers: Option<Box<str>>,
    /// Where it is to be published.
    pub routing_key: Option<Box<str>>,
    /// Events of one key are published in their order.
    pub partition_key: Option<Box<str>>,
    /// It is not claimed before.
    pub available_at: Option<Millis>,
    /// When it happened.
    pub occurred_at: Millis,
}

impl Event {
    /// Its texts and its payload.
    pub fn bytes(&self) -> usize {
        let optional = [
            &self.saga_id,
            &self.aggregate_type,
            &self.aggregate_id,
            &self.headers,
            &self.routing_key,
            &self.partition_key,
        ];
        let texts: usize = optional.into_iter().flatten().map(|text| text.len()).sum();
        self.id.len() + self.event_type.len() + self.payload.as_bytes().len() + texts
    }
}

/// An event, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// As it was given.
    pub event: Event,
    /// Its place in the queue.
    pub seq: i64,
    /// Of the insertion.
    pub operation: Box<str>,
    /// How far it is.
    pub status: EventStatus,
    /// When it was stored.
    pub created_at: Millis,
    /// When it was claimed; none unless it is claimed.
    pub claimed_at: Option<Millis>,
    /// When it was sent.
    pub sent_at: Option<Millis>,
    /// When it became a dead letter.
    pub dead_at: Option<Millis>,
    /// How often it has failed.
    pub retry_count: i64,
    /// How often it was claimed, less what was handed back.
    pub deliveries: i64,
    /// Why it failed the last time.
    pub last_error: Option<Box<str>>,
    /// Who has it; none unless it is claimed.
    pub worker: Option<Box<str>>,
    /// Of the claim; none unless it is claimed.
    pub token: Option<Box<str>>,
    /// When another worker may claim it; none unless it is claimed.
    pub lease_until: Option<Millis>,
    /// When it may be claimed; none: at once. None unless it is pending.
    pub due_at: Option<Millis>,
    /// When `purgeExpired` may remove it: if it is sent, or a dead letter.
    pub expires_at: Option<Millis>,
}

fn text(text: Option<Box<str>>) -> Dynamic {
    text.map_or(Dynamic::Null, |text| Dynamic::Text(text.into()))
}

fn time(time: Option<Millis>) -> Dynamic {
    time.map_or(Dynamic::Null, Dynamic::Time)
}

impl Stored {
    /// An event that waits for a worker, and that nobody has had yet.
    pub fn pending(event: Event, seq: i64, operation: Box<str>, created_at: Millis) -> Self {
        Self {
            event,
            seq,
            operation,
            status: EventStatus::Pending,
            created_at,
            claimed_at: None,
            sent_at: None,
            dead_at: None,
            retry_count: 0,
            deliveries: 0,
            last_error: None,
            worker: None,
            token: None,
            lease_until: None,
            due_at: None,
            expires_at: None,
        }
    }

    /// As TypeScript reads it: a list, whose order `ts/kinds/outbox-json.ts` has.
    pub fn into_dynamic(self) -> Dynamic {
        let Event {
            id,
            event_type,
            payload,
            saga_id,
            aggregate_type,
            aggregate_id,
            headers,
            routing_key,
            partition_key,
            available_at,
            occurred_at,
        } = self.event;
        Dynamic::List(vec![
            Dynamic::Text(id.into()),
            Dynamic::Text(event_type.into()),
            match payload {
                Content::Json(text) => Dynamic::Text(text.into()),
                Content::Bytes(bytes) => Dynamic::Bytes(bytes),
            },
            text(saga_id),
            text(aggregate_type),
            text(aggregate_id),
            text(headers),
            text(routing_key),
            text(partition_key),
            time(available_at),
            Dynamic::Time(occurred_at),
            Dynamic::text(self.status.name()),
            Dynamic::Time(self.created_at),
            time(self.claimed_at),
            time(self.sent_at),
            Dynamic::Int(self.retry_count),
            Dynamic::Int(self.deliveries),
            text(self.last_error),
            text(self.worker),
            text(self.token),
        ])
    }
}

/// Several events, as TypeScript reads them.
pub fn listed(events: Vec<Stored>) -> Reply {
    Reply::Value(Dynamic::List(events.into_iter().map(Stored::into_dynamic).collect()))
}

/// The answer to a settlement: the ids that were lost.
pub fn settled(lost: Vec<Box<str>>) -> Reply {
    Reply::ids(lost)
}

/// A page of a list.
#[derive(Clone, Debug, Default)]
pub struct EventPage {
    /// The earliest first.
    pub events: Vec<Stored>,
    /// What the next page begins behind; none: there is no next one.
    pub cursor: Option<Box<str>>,
}

impl EventPage {
    /// As TypeScript reads it.
    pub fn into_reply(self) -> Reply {
        let events = self.events.into_iter().map(Stored::into_dynamic).collect();
        Reply::Value(Dynamic::map([("events", Dynamic::List(events)), ("cursor", text(self.cursor))]))
    }
}

/// How many events there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Pending, and due: also those behind others of their key.
    pub ready: u64,
    /// Somebody has them.
    pub claimed: u64,
    /// Pending, and not due yet.
    pub waiting: u64,
    /// Dead letters.
    pub dead: u64,
    /// Sent, and kept.
    pub sent: u64,
    /// Keys that a dead letter holds up.
    pub blocked_keys: u64,
    /// When the earliest of those that are ready was stored.
    pub oldest_ready: Option<Millis>,
}

impl Counts {
    /// As TypeScript reads it; `now` is by the clock that the times are by.
    pub fn into_dynamic(self, now: Millis) -> Dynamic {
        let count = |count: u64| Dynamic::Int(i64::try_from(count).unwrap_or(i64::MAX));
        let oldest = self.oldest_ready.map_or(Dynamic::Null, |at| Dynamic::Int(now.0.saturating_sub(at.0).max(0)));
        Dynamic::map([
            ("ready", count(self.ready)),
            ("claimed", count(self.claimed)),
            ("waiting", count(self.waiting)),
            ("dead", count(self.dead)),
            ("sent", count(self.sent)),
            ("blockedKeys", count(self.blocked_keys)),
            ("oldestReadyMs", oldest),
        ])
    }
}

/// `ALREADY_EXISTS`: an event has this id.
pub fn taken(id: &str) -> Error {
    Error::new(Kind::AlreadyExists, "an event with this id exists already").with_id(id)
}

/// `NOT_FOUND`: there is no such event.
pub fn missing(id: &str) -> Error {
    Error::new(Kind::NotFound, "not found: no event has this id").with_id(id)
}

/// `INVALID_STATE`: it is sent.
pub fn is_sent(id: &str) -> Error {
    Error::new(Kind::InvalidState, "the event has been sent").with_id(id)
}

/// A cursor that no page has had.
pub fn foreign_cursor() -> Error {
    Error::invalid("cursor is not one of a page of this list")
}
