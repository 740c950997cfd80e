//! An event as an item, and its place in its key as another one:
//!
//! ```text
//! id: event#{eventId}, part: event
//!     { eventType: S, payload: S (JSON) or B, sagaId: S, aggregateType: S, aggregateId: S, headers: S, routingKey: S,
//!       partitionKey: S, availableAt: N, occurredAt: N, seq: N, operation: S, status: S, createdAt: N, claimedAt: N,
//!       sentAt: N, deadAt: N, retryCount: N, deliveries: N, lastError: S, workerId: S, token: S, leaseUntil: N,
//!       dueAt: N, expiresAt: N, expiresAtMs: N, queue: S, due: S, restIn: S, revision: N }
//! id: key#{partitionKey}, part: {seq}#{eventId}        { }
//! ```
//!
//! An event that is pending or claimed has `queue` and `due`, and no other one has: they are the key of the index
//! `queue`. `due` is a time and the `seq`, in digits: when somebody should look at the event. It is a hint; what is
//! true stands in `status`, `dueAt` and `leaseUntil`. An event that is sent or a dead letter has `restIn`, of the index
//! `rest`.
//!
//! An event with a partition key has a place in the collection of its key from its insertion until it is sent or
//! removed. That collection is read consistently, so the order of a key does not depend on an index. A place whose
//! event is gone is left over from somebody who was killed in between; whoever meets it removes it.
//!
//! `revision` changes with every change of an event but that of `due` alone.

use crate::backends::dynamodb::attribute::{Attribute, Item, MAX_ITEM_BYTES};
use crate::backends::dynamodb::executions::edit::Edit;
use crate::backends::dynamodb::executions::item::{number_of, shard_of, text_of};
use crate::backends::dynamodb::expression::{
    AGGREGATE_ID, AGGREGATE_TYPE, AVAILABLE_AT, CLAIMED_AT, CREATED_AT, DEAD_AT, DELIVERIES, DUE, DUE_AT, EVENT_TYPE,
    EXPIRES_AT, EXPIRES_AT_MS, Expression, HEADERS, LAST_ERROR, LEASE_UNTIL, OCCURRED_AT, OPERATION, PART,
    PARTITION_KEY, PAYLOAD, QUEUE, REST_IN, RETRY_COUNT, REVISION, ROUTING_KEY, SAGA_ID, SENT_AT, SEQ, STATUS, TOKEN,
    WORKER, id_of, part_key, set_expiry,
};
use crate::backends::dynamodb::requests::Update;
use crate::contract::outbox::given::too_large;
use crate::contract::outbox::record::{Content, Event, EventStatus, Stored};
use crate::error::{Error, Kind, Result};
use crate::time::Millis;

pub(crate) use crate::backends::dynamodb::executions::item::{AT_ONCE, SHARDS};

/// The indexes of the table.
pub(crate) const QUEUED: &str = "queue";
pub(crate) const RESTING: &str = "rest";
pub(crate) const OF_SAGA: &str = "saga";

/// The part that every event has.
pub(crate) const EVENT: &str = "event";

/// All of an event.
pub(crate) const WHOLE: &str = "#id, #part, #eventType, #payload, #sagaId, #aggregateType, #aggregateId, #headers, \
    #routingKey, #partitionKey, #availableAt, #occurredAt, #seq, #operation, #status, #createdAt, #claimedAt, #sentAt, \
    #deadAt, #retryCount, #deliveries, #lastError, #workerId, #token, #leaseUntil, #dueAt, #expiresAt, #expiresAtMs, \
    #queue, #due, #restIn, #revision";

/// What an event needs beside what it is given, at most: the last error, the worker, the token, times.
const RESERVE: u64 = 10 << 10;

/// The id of an event's item.
pub(crate) fn item_id(event: &str) -> String {
    format!("event#{event}")
}

/// The event of an item.
pub(crate) fn event_of(item: &Item) -> Option<&str> {
    id_of(item)?.strip_prefix("event#")
}

/// The key of an event's item.
pub(crate) fn event_key(event: &str) -> Item {
    part_key(&item_id(event), EVENT)
}

/// A place of a partition key: which event has it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) seq: i64,
    pub(crate) event: String,
}

impl Place {
    pub(crate) fn of(stored: &Stored) -> Self {
        Self { seq: stored.seq, event: stored.event.id.clone().into() }
    }

    /// The second part of its item's key.
    pub(crate) fn part(&self) -> String {
        format!("{:019}#{}", self.seq, self.event)
    }

    pub(crate) fn read(item: &Item) -> Option<Self> {
        let (seq, event) = text_of(item, PART)?.split_once('#')?;
        Some(Self { seq: seq.parse().ok()?, event: event.to_owned() })
    }

    /// Its item, which is nothing but its key.
    pub(crate) fn item(&self, key: &str) -> Item {
        part_key(&places_id(key), &self.part())
    }
}

/// The id that all places of a partition key have.
pub(crate) fn places_id(key: &str) -> String {
    format!("key#{key}")
}

/// A place in the index of the queue.
pub(crate) fn due_key(at: Millis, seq: i64) -> String {
    format!("{:016}#{seq:019}", at.0.max(0))
}

/// The time of such a place.
pub(crate) fn time_of_due(due: &str) -> Option<Millis> {
    due.get(..16)?.parse().ok().map(Millis)
}

/// When somebody should look at an event that is pending or claimed.
pub(crate) fn due_of(stored: &Stored) -> String {
    let at = stored.lease_until.or(stored.due_at).unwrap_or(stored.created_at);
    due_key(at, stored.seq)
}

/// A partition of the index of those that rest.
pub(crate) fn rest_in(status: EventStatus, shard: u32) -> String {
    format!("{}#{shard}", status.name())
}

/// An event's item, but for its revision.
pub(crate) fn item(of: &Stored) -> Item {
    let event = &of.event;
    let mut item = event_key(&event.id).with(Item::from([
        (EVENT_TYPE, Attribute::text(&event.event_type)),
        (
            PAYLOAD,
            match &event.payload {
                Content::Json(text) => Attribute::text(text),
                Content::Bytes(bytes) => Attribute::B(bytes.clone()),
            },
        ),
        (OCCURRED_AT, Attribute::number(event.occurred_at.0)),
        (SEQ, Attribute::number(of.seq)),
        (OPERATION, Attribute::text(&of.operation)),
        (STATUS, Attribute::text(of.status.name())),
        (CREATED_AT, Attribute::number(of.created_at.0)),
        (RETRY_COUNT, Attribute::number(of.retry_count)),
        (DELIVERIES, Attribute::number(of.deliveries)),
    ]));
    let texts = [
        (SAGA_ID, &event.saga_id),
        (AGGREGATE_TYPE, &event.aggregate_type),
        (AGGREGATE_ID, &event.aggregate_id),
        (HEADERS, &event.headers),
        (ROUTING_KEY, &event.routing_key),
        (PARTITION_KEY, &event.partition_key),
        (LAST_ERROR, &of.last_error),
        (WORKER, &of.worker),
        (TOKEN, &of.token),
    ];
    for (name, text) in texts {
        if let Some(text) = text {
            item.set(name, Attribute::text(text));
        }
    }
    let times = [
        (AVAILABLE_AT, event.available_at),
        (CLAIMED_AT, of.claimed_at),
        (SENT_AT, of.sent_at),
        (DEAD_AT, of.dead_at),
        (LEASE_UNTIL, of.lease_until),
        (DUE_AT, of.due_at),
    ];
    for (name, at) in times {
        if let Some(at) = at {
            item.set(name, Attribute::number(at.0));
        }
    }
    set_expiry(&mut item, of.expires_at);
    let shard = shard_of(&event.id);
    match of.status {
        EventStatus::Pending | EventStatus::Claimed => {
            item.set(QUEUE, Attribute::S(shard.to_string()));
            item.set(DUE, Attribute::S(due_of(of)));
        }
        EventStatus::Sent | EventStatus::DeadLetter => item.set(REST_IN, Attribute::S(rest_in(of.status, shard))),
    }
    item
}

/// The item of a new event; `PAYLOAD_TOO_LARGE` if there is no room for it.
pub(crate) fn new_item(of: &Stored) -> Result<Item> {
    let item = item(of).with(Item::from([(REVISION, Attribute::number(1))]));
    let (size, limit) = (item.size(), MAX_ITEM_BYTES - RESERVE);
    if size > limit {
        return Err(no_room(size, limit, of));
    }
    Ok(item)
}

/// The item of an event that has been somewhere else, with a revision of its own; `PAYLOAD_TOO_LARGE` as for a new one:
/// what has come to it since it was new has room of its own.
pub(crate) fn moved_item(of: &Stored, revision: i64) -> Result<Item> {
    const SINCE: [&str; 10] =
        [LAST_ERROR, WORKER, TOKEN, CLAIMED_AT, SENT_AT, DEAD_AT, LEASE_UNTIL, DUE_AT, EXPIRES_AT, EXPIRES_AT_MS];
    let item = item(of).with(Item::from([(REVISION, Attribute::number(revision))]));
    let since = item.iter().filter(|(name, _)| SINCE.contains(name)).map(|(name, value)| name.len() + value.size());
    let size = item.size();
    let given = size - since.sum::<usize>() as u64;
    for (size, limit) in [(given, MAX_ITEM_BYTES - RESERVE), (size, MAX_ITEM_BYTES)] {
        if size > limit {
            return Err(no_room(size, limit, of));
        }
    }
    Ok(item)
}

fn no_room(size: u64, limit: u64, of: &Stored) -> Error {
    let number = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
    too_large(number(size), number(limit)).with_id(&of.event.id)
}

/// An event that was read.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) stored: Stored,
    item: Item,
}

impl Found {
    /// `CORRUPT_DATA` if it is none.
    pub(crate) fn of(item: Item) -> Result<Self> {
        let id = event_of(&item).ok_or_else(|| corrupt("'id' is not one of an event"))?;
        let stored = decode(&item, id).map_err(|error| error.with_id(id))?;
        Ok(Self { stored, item })
    }

    /// What DynamoDB counts.
    pub(crate) fn size(&self) -> u64 {
        self.item.size()
    }

    /// Whether it stands in the index where it stands by itself.
    pub(crate) fn is_in_its_place(&self) -> bool {
        text_of(&self.item, DUE) == Some(&*due_of(&self.stored))
    }

    /// How often it was changed.
    pub(crate) fn revision(&self) -> Result<i64> {
        number_of(&self.item, REVISION).ok_or_else(|| corrupt("'revision' is missing"))
    }

    /// True of the item as long as nobody has changed it.
    pub(crate) fn is_same(&self) -> Result<Expression> {
        let values = [(":was", Attribute::number(self.revision()?)), (":place", Attribute::number(self.stored.seq))];
        Ok(Expression::new("#revision = :was AND #seq = :place", Item::from(values)))
    }

    /// The update that makes `after` of it.
    pub(crate) fn update(&self, after: &Stored) -> Result<Update> {
        let mut before = self.item.clone();
        before.take(REVISION);
        let mut edit = Edit::between(&before, &item(after));
        edit.add(REVISION, 1);
        Ok(Update { key: event_key(&after.event.id), change: edit.done(), condition: self.is_same()? })
    }
}

/// `CORRUPT_DATA`.
pub(crate) fn corrupt(what: impl std::fmt::Display) -> Error {
    Error::new(Kind::CorruptData, format!("the DynamoDB item of this event cannot be read: {what}"))
}

fn decode(item: &Item, id: &str) -> Result<Stored> {
    let missing = |name: &str| corrupt(format!("'{name}' is missing, or of another type"));
    let text = |name| text_of(item, name).map(Box::<str>::from);
    let needed = |name| text(name).ok_or_else(|| missing(name));
    let number = |name| number_of(item, name).ok_or_else(|| missing(name));
    // An attribute of another type is not one that is missing.
    let time = |name| item.get(name).map(|_| number(name)).transpose().map(|at| at.map(Millis));
    let payload = match item.get(PAYLOAD) {
        Some(Attribute::S(text)) => Content::Json(text.as_str().into()),
        Some(Attribute::B(bytes)) => Content::Bytes(bytes.clone()),
        _ => return Err(missing(PAYLOAD)),
    };
    let status = needed(STATUS)?;
    Ok(Stored {
        event: Event {
            id: id.into(),
            event_type: needed(EVENT_TYPE)?,
            payload,
            saga_id: text(SAGA_ID),
            aggregate_type: text(AGGREGATE_TYPE),
            aggregate_id: text(AGGREGATE_ID),
            headers: text(HEADERS),
            routing_key: text(ROUTING_KEY),
            partition_key: text(PARTITION_KEY),
            available_at: time(AVAILABLE_AT)?,
            occurred_at: Millis(number(OCCURRED_AT)?),
        },
        seq: number(SEQ)?,
        operation: needed(OPERATION)?,
        status: EventStatus::stored(&status).map_err(|_| corrupt(format!("'status' is {status}")))?,
        created_at: Millis(number(CREATED_AT)?),
        claimed_at: time(CLAIMED_AT)?,
        sent_at: time(SENT_AT)?,
        dead_at: time(DEAD_AT)?,
        retry_count: number(RETRY_COUNT)?,
        deliveries: number(DELIVERIES)?,
        last_error: text(LAST_ERROR),
        worker: text(WORKER),
        token: text(TOKEN),
        lease_until: time(LEASE_UNTIL)?,
        due_at: time(DUE_AT)?,
        expires_at: time(EXPIRES_AT_MS)?,
    })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    /// An event with every field, as it is when it is pending.
    fn sample() -> Stored {
        let text = |text: &str| Some(text.into());
        Stored {
            event: Event {
                id: "e-1".into(),
                event_type: "OrderPlaced".into(),
                payload: Content::Json("{}".into()),
                saga_id: text("s-1"),
                aggregate_type: text("Order"),
                aggregate_id: text("7"),
                headers: text("{\"a\":1}"),
                routing_key: text("orders"),
                partition_key: text("key#7"),
                available_at: Some(Millis(5)),
                occurred_at: Millis(4),
            },
            seq: 17 << 40,
            operation: "op".into(),
            status: EventStatus::Pending,
            created_at: Millis(9),
            claimed_at: None,
            sent_at: None,
            dead_at: None,
            retry_count: 2,
            deliveries: 3,
            last_error: text("no"),
            worker: None,
            token: None,
            lease_until: None,
            due_at: Some(Millis(8)),
            expires_at: None,
        }
    }

    fn claimed() -> Stored {
        Stored {
            status: EventStatus::Claimed,
            claimed_at: Some(Millis(10)),
            worker: Some("w".into()),
            token: Some("t".into()),
            lease_until: Some(Millis(20)),
            due_at: None,
            ..sample()
        }
    }

    fn dead() -> Stored {
        let (status, dead_at, expires_at) = (EventStatus::DeadLetter, Some(Millis(11)), Some(Millis(30_001)));
        Stored { status, dead_at, expires_at, due_at: None, ..sample() }
    }

    fn found(stored: &Stored) -> Found {
        Found::of(new_item(stored).unwrap()).unwrap()
    }

    #[test]
    fn events_come_back_as_they_went() {
        let mut bytes = sample();
        bytes.event.payload = Content::Bytes(Bytes::from_static(b"\0\xff"));
        for stored in [sample(), claimed(), dead(), bytes] {
            assert_eq!(found(&stored).stored, stored);
        }
        for name in [PAYLOAD, SEQ, STATUS, CREATED_AT, DELIVERIES, OPERATION] {
            let mut item = new_item(&sample()).unwrap();
            item.take(name).unwrap();
            let error = Found::of(item).unwrap_err();
            assert_eq!((error.kind(), error.id()), (Kind::CorruptData, Some("e-1")), "{name}");
        }
    }

    #[test]
    fn only_what_can_be_claimed_is_in_the_queue() {
        for (stored, due) in [(sample(), Some(8)), (claimed(), Some(20)), (dead(), None)] {
            let item = item(&stored);
            let at = text_of(&item, DUE).and_then(time_of_due);
            assert_eq!(at, due.map(Millis));
            assert_eq!((item.get(QUEUE).is_some(), item.get(REST_IN).is_some()), (due.is_some(), due.is_none()));
        }
        let update = found(&claimed()).update(&dead()).unwrap();
        let removed = update.change.text.split("REMOVE").nth(1).unwrap().to_owned();
        assert!(removed.contains("#queue") && removed.contains("#due") && removed.contains("#token"), "{removed}");
        assert_eq!(update.condition.text, "#revision = :was AND #seq = :place");
    }

    #[test]
    fn what_was_parked_is_not_in_its_place() {
        let mut item = new_item(&sample()).unwrap();
        assert!(Found::of(item.clone()).unwrap().is_in_its_place());
        item.take(DUE);
        item.set(DUE, Attribute::S(due_key(Millis(300_000), sample().seq)));
        let parked = Found::of(item).unwrap();
        assert!(!parked.is_in_its_place());
        let woken = parked.update(&parked.stored).unwrap();
        assert_eq!(woken.change.values.get(":due"), Some(&Attribute::S(due_of(&sample()))));
    }

    #[test]
    fn places_of_a_key_are_in_order() {
        let place = |seq, event: &str| Place { seq, event: event.to_owned() };
        let (one, other, last) = (place(9, "z"), place(10, "a#b"), place(i64::MAX, "a"));
        assert!(one < other && one.part() < other.part() && other.part() < last.part());
        for place in [one, other, last] {
            assert_eq!(Place::read(&place.item("key")), Some(place));
        }
        assert!(due_key(Millis(999), 5) < due_key(Millis(1_000), 1));
    }

    #[test]
    fn what_has_no_room_is_refused() {
        let mut large = sample();
        large.event.payload = Content::Bytes(Bytes::from(vec![0; 399_000]));
        assert!(new_item(&large).is_ok());
        large.event.payload = Content::Bytes(Bytes::from(vec![0; 400_000]));
        let error = new_item(&large).unwrap_err();
        assert_eq!((error.kind(), error.id()), (Kind::PayloadTooLarge, Some("e-1")));
    }

    #[test]
    fn an_event_that_fitted_elsewhere_fits_here_with_what_has_come_to_it() {
        let fits = |stored: &Stored| moved_item(stored, 1).map(|item| Found::of(item).unwrap().stored);
        for stored in [sample(), claimed(), dead()] {
            assert_eq!(fits(&stored).unwrap(), stored);
        }
        let mut large = claimed();
        large.event.payload = Content::Bytes(Bytes::from(vec![0; 398_900]));
        large.last_error = Some("x".repeat(4_096).into());
        assert!(new_item(&large).is_err() && fits(&large).is_ok());
        large.last_error = Some("x".repeat(11_000).into());
        assert_eq!(fits(&large).unwrap_err().kind(), Kind::PayloadTooLarge);
        large.last_error = None;
        large.event.payload = Content::Bytes(Bytes::from(vec![0; 400_000]));
        assert_eq!(fits(&large).unwrap_err().kind(), Kind::PayloadTooLarge);
    }
}
