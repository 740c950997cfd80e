//! Expressions: the attributes that they name, the conditions on expiry, and the key of an item, for all kinds of
//! records.
//!
//! `expiresAt` is what DynamoDB's TTL reads: Unix seconds, rounded up. `expiresAtMs` is the exact
//! time beside it, and counts as long as `expiresAt` is it rounded up; an item that other software
//! has written or moved without it is judged by `expiresAt`. Without expiry there is neither.

use std::borrow::Cow;
use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;

use super::attribute::{Attribute, Item};
use crate::error::{Error, Kind, Result};
use crate::time::Millis;

// Of every item.
pub(super) const ID: &str = "id";
pub(super) const EXPIRES_AT: &str = "expiresAt";
pub(super) const EXPIRES_AT_MS: &str = "expiresAtMs";
// Of a payload.
pub(super) const DATA: &str = "data";
// Of a saga.
pub(super) const NAME: &str = "sagaName";
pub(super) const SAGA_ID: &str = "sagaId";
pub(super) const CORRELATION_ID: &str = "correlationId";
pub(super) const VERSION: &str = "version";
pub(super) const STATE: &str = "state";
pub(super) const CREATED_AT: &str = "createdAt";
pub(super) const UPDATED_AT: &str = "updatedAt";
pub(super) const LISTED_IN: &str = "listedIn";
pub(super) const SHARD: &str = "shard";
pub(super) const ENDED_AT: &str = "endedAt";
pub(super) const TIMEOUT_AT: &str = "timeoutAt";
pub(super) const WORKER: &str = "workerId";
// Of an execution, beside them.
pub(super) const PART: &str = "part";
pub(super) const STATUS: &str = "status";
pub(super) const SUB_STATUS: &str = "subStatus";
pub(super) const METADATA: &str = "metadata";
pub(super) const TAGS: &str = "tags";
pub(super) const SEQ: &str = "seq";
pub(super) const LOG_BYTES: &str = "logBytes";
pub(super) const TOKEN: &str = "token";
pub(super) const DUE_AT: &str = "dueAt";
pub(super) const ATTEMPTS: &str = "attempts";
pub(super) const PAUSE: &str = "pause";
pub(super) const LAST_ERROR: &str = "lastError";
pub(super) const LAST_OPERATION: &str = "lastOperation";
pub(super) const LAST_VERSION: &str = "lastVersion";
pub(super) const LAST_SEQ: &str = "lastSeq";
pub(super) const CREATED: &str = "createdKey";
pub(super) const UPDATED: &str = "updatedKey";
pub(super) const COMPLETED_AT: &str = "completedAt";
pub(super) const PARKED_AT: &str = "parkedAt";
pub(super) const PARKED_IN: &str = "parkedIn";
pub(super) const ENDS_AT: &str = "endsAt";
pub(super) const GONE: &str = "gone";
pub(super) const REVISION: &str = "revision";
pub(super) const CONTEXT: &str = "context";
pub(super) const CONTEXT_BYTES: &str = "contextBytes";
pub(super) const CONTEXT_PARTS: &str = "contextParts";
pub(super) const GENERATION: &str = "generation";
pub(super) const LOG: &str = "log";
pub(super) const SEGMENTS: &str = "segments";
pub(super) const TAIL: &str = "tail";
pub(super) const TAIL_BYTES: &str = "tailBytes";
pub(super) const ENTRIES: &str = "entries";
pub(super) const KEYS: &str = "keys";
// Of an event, beside them.
pub(super) const EVENT_TYPE: &str = "eventType";
pub(super) const PAYLOAD: &str = "payload";
pub(super) const AGGREGATE_TYPE: &str = "aggregateType";
pub(super) const AGGREGATE_ID: &str = "aggregateId";
pub(super) const HEADERS: &str = "headers";
pub(super) const ROUTING_KEY: &str = "routingKey";
pub(super) const PARTITION_KEY: &str = "partitionKey";
pub(super) const AVAILABLE_AT: &str = "availableAt";
pub(super) const OCCURRED_AT: &str = "occurredAt";
pub(super) const OPERATION: &str = "operation";
pub(super) const CLAIMED_AT: &str = "claimedAt";
pub(super) const SENT_AT: &str = "sentAt";
pub(super) const DEAD_AT: &str = "deadAt";
pub(super) const RETRY_COUNT: &str = "retryCount";
pub(super) const DELIVERIES: &str = "deliveries";
pub(super) const LEASE_UNTIL: &str = "leaseUntil";
pub(super) const QUEUE: &str = "queue";
pub(super) const DUE: &str = "due";
pub(super) const REST_IN: &str = "restIn";

/// Names that expressions use: some of the plain ones are reserved words.
const NAMES: [(&str, &str); 74] = [
    ("#id", ID),
    ("#data", DATA),
    ("#at", EXPIRES_AT),
    ("#ms", EXPIRES_AT_MS),
    ("#name", NAME),
    ("#saga", SAGA_ID),
    ("#correlation", CORRELATION_ID),
    ("#version", VERSION),
    ("#state", STATE),
    ("#updated", UPDATED_AT),
    ("#listed", LISTED_IN),
    ("#shard", SHARD),
    ("#ended", ENDED_AT),
    ("#timeout", TIMEOUT_AT),
    ("#worker", WORKER),
    // What is edited attribute by attribute: each under its own name.
    ("#part", PART),
    ("#status", STATUS),
    ("#subStatus", SUB_STATUS),
    ("#metadata", METADATA),
    ("#tags", TAGS),
    ("#seq", SEQ),
    ("#logBytes", LOG_BYTES),
    ("#token", TOKEN),
    ("#dueAt", DUE_AT),
    ("#attempts", ATTEMPTS),
    ("#pause", PAUSE),
    ("#lastError", LAST_ERROR),
    ("#lastOperation", LAST_OPERATION),
    ("#lastVersion", LAST_VERSION),
    ("#lastSeq", LAST_SEQ),
    ("#createdKey", CREATED),
    ("#updatedKey", UPDATED),
    ("#completedAt", COMPLETED_AT),
    ("#parkedAt", PARKED_AT),
    ("#parkedIn", PARKED_IN),
    ("#endsAt", ENDS_AT),
    ("#gone", GONE),
    ("#revision", REVISION),
    ("#context", CONTEXT),
    ("#contextBytes", CONTEXT_BYTES),
    ("#contextParts", CONTEXT_PARTS),
    ("#generation", GENERATION),
    ("#log", LOG),
    ("#segments", SEGMENTS),
    ("#tail", TAIL),
    ("#tailBytes", TAIL_BYTES),
    ("#entries", ENTRIES),
    ("#keys", KEYS),
    ("#sagaName", NAME),
    ("#listedIn", LISTED_IN),
    ("#workerId", WORKER),
    ("#expiresAt", EXPIRES_AT),
    ("#expiresAtMs", EXPIRES_AT_MS),
    ("#createdAt", CREATED_AT),
    ("#sagaId", SAGA_ID),
    ("#eventType", EVENT_TYPE),
    ("#payload", PAYLOAD),
    ("#aggregateType", AGGREGATE_TYPE),
    ("#aggregateId", AGGREGATE_ID),
    ("#headers", HEADERS),
    ("#routingKey", ROUTING_KEY),
    ("#partitionKey", PARTITION_KEY),
    ("#availableAt", AVAILABLE_AT),
    ("#occurredAt", OCCURRED_AT),
    ("#operation", OPERATION),
    ("#claimedAt", CLAIMED_AT),
    ("#sentAt", SENT_AT),
    ("#deadAt", DEAD_AT),
    ("#retryCount", RETRY_COUNT),
    ("#deliveries", DELIVERIES),
    ("#leaseUntil", LEASE_UNTIL),
    ("#queue", QUEUE),
    ("#due", DUE),
    ("#restIn", REST_IN),
];

/// The attributes that tell whether an item is there, or has expired.
pub(super) const HEAD: &str = "#id, #at, #ms";

/// The same in a table whose key has parts.
pub(super) const HEAD_OF_PART: &str = "#id, #part, #at, #ms";

/// True of an item whose time is not over; the values are those of [`clock`]. One whose expiry is
/// no number cannot expire.
pub(super) const IS_LIVE: &str = "attribute_exists(#id) AND (NOT attribute_type(#at, :N) OR #at > :s OR \
    (#at = :s AND (NOT attribute_type(#ms, :N) OR #ms > :now OR #ms <= :floor)))";

/// [`IS_EXPIRED`] as a part of a longer condition.
macro_rules! expired {
    () => {
        "(attribute_type(#at, :N) AND (#at < :s OR (#at = :s AND #ms <= :now AND #ms > :floor)))"
    };
}
pub(super) use expired;

/// True of an item whose time is over.
pub(super) const IS_EXPIRED: &str = expired!();

/// Sets another expiry; the values are those of [`expiry_values`].
pub(super) const SET_EXPIRY: &str = "SET #at = :at, #ms = :ms";

/// The names that expressions use.
pub(super) fn names(expressions: &str) -> impl Iterator<Item = (&'static str, &'static str)> {
    NAMES.into_iter().filter(move |(short, _)| uses(expressions, short))
}

/// Whether `name` is in there, not only as the beginning of a longer one.
fn uses(expressions: &str, name: &str) -> bool {
    let goes_on = |end: usize| expressions.as_bytes().get(end).is_some_and(u8::is_ascii_alphanumeric);
    expressions.match_indices(name).any(|(at, found)| !goes_on(at + found.len()))
}

/// The values of [`IS_LIVE`] and [`IS_EXPIRED`]. `:s` is the only second of which `expiresAt` alone
/// does not say whether it is over: the one that the present rounds up to.
pub(super) fn clock(now: Millis) -> Item {
    let floor = now.0.div_euclid(1_000);
    Item::from([
        (":N", Attribute::S(String::from("N"))),
        (":s", Attribute::number(floor + 1)),
        (":now", Attribute::number(now.0)),
        (":floor", Attribute::number(floor * 1_000)),
    ])
}

/// The values of [`SET_EXPIRY`].
pub(super) fn expiry_values(at: Millis) -> Item {
    Item::from([(":at", Attribute::number(seconds(at))), (":ms", Attribute::number(at.0))])
}

/// Unix seconds, rounded up.
pub(super) fn seconds(at: Millis) -> i64 {
    at.0.div_euclid(1_000) + i64::from(at.0.rem_euclid(1_000) > 0)
}

/// The key of an id.
pub(super) fn key(id: &str) -> Item {
    Item::from([(ID, Attribute::S(id.to_owned()))])
}

/// The key of a part of what an id has.
pub(super) fn part_key(id: &str, part: &str) -> Item {
    Item::from([(ID, Attribute::text(id)), (PART, Attribute::text(part))])
}

/// The key of an item that was read.
pub(super) fn key_of(item: &Item) -> Item {
    let id = id_of(item).unwrap_or_default();
    match item.get(PART).and_then(Attribute::as_s) {
        Some(part) => part_key(id, part),
        None => key(id),
    }
}

/// Gives a new item its expiry.
pub(super) fn set_expiry(item: &mut Item, expires_at: Option<Millis>) {
    if let Some(at) = expires_at {
        item.set(EXPIRES_AT, Attribute::number(seconds(at)));
        item.set(EXPIRES_AT_MS, Attribute::number(at.0));
    }
}

/// The id of an item.
pub(super) fn id_of(item: &Item) -> Option<&str> {
    item.get(ID)?.as_s()
}

/// Whether an item's time is over.
pub(super) fn is_expired(item: &Item, now: Millis) -> Result<bool> {
    Ok(expiry(item)?.is_some_and(|at| at <= now))
}

/// When an item's time is over.
pub(super) fn expiry(item: &Item) -> Result<Option<Millis>> {
    let Some(at) = item.get(EXPIRES_AT) else { return Ok(None) };
    let seconds = at.as_n().and_then(whole).ok_or_else(|| corrupt("expiresAt is not a number"))?;
    let exact = item.get(EXPIRES_AT_MS).and_then(Attribute::as_n).and_then(|text| text.parse().ok()).map(Millis);
    let rounds_up = |at: &Millis| self::seconds(*at) == seconds && at_is_whole(item);
    Ok(Some(exact.filter(rounds_up).unwrap_or(Millis(seconds.saturating_mul(1_000)))))
}

fn at_is_whole(item: &Item) -> bool {
    item.get(EXPIRES_AT).and_then(Attribute::as_n).is_some_and(|text| text.parse::<i64>().is_ok())
}

/// The whole part of a number as DynamoDB writes it, as far as an `i64` goes.
fn whole(text: &str) -> Option<i64> {
    if let Ok(whole) = text.parse() {
        return Some(whole);
    }
    #[allow(clippy::cast_possible_truncation)]
    text.parse::<f64>().ok().map(|number| number.floor() as i64)
}

pub(super) fn corrupt(what: &str) -> Error {
    Error::new(Kind::CorruptData, format!("the DynamoDB item of this id is not a payload: {what}"))
}

/// The names that expressions use, for the SDK.
pub(super) fn sdk_names(expressions: &str) -> HashMap<String, String> {
    names(expressions).map(|(short, name)| (short.to_owned(), name.to_owned())).collect()
}

/// The values of expressions for the SDK, if they have any.
pub(super) fn sdk_values(values: Item) -> Option<HashMap<String, AttributeValue>> {
    (!values.is_empty()).then(|| values.into_sdk())
}

/// An expression about an item, and the values in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Expression {
    pub(super) text: Cow<'static, str>,
    pub(super) values: Item,
}

impl Expression {
    pub(super) fn new(text: impl Into<Cow<'static, str>>, values: Item) -> Self {
        Self { text: text.into(), values }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn item(id: &str, expires_at: Option<Millis>) -> Item {
        let mut item = key(id);
        set_expiry(&mut item, expires_at);
        item
    }

    fn numbers(at: &str, ms: Option<&str>) -> Item {
        let mut item = key("a");
        item.set(EXPIRES_AT, Attribute::N(at.to_owned()));
        if let Some(ms) = ms {
            item.set(EXPIRES_AT_MS, Attribute::N(ms.to_owned()));
        }
        item
    }

    #[test]
    fn seconds_are_rounded_up() {
        for (ms, s) in [(0, 0), (1, 1), (999, 1), (1_000, 1), (1_001, 2), (-1, 0), (-1_000, -1)] {
            assert_eq!(seconds(Millis(ms)), s, "{ms}");
        }
    }

    #[test]
    fn an_item_is_judged_by_its_exact_expiry_if_it_has_one() {
        let at = |item: &Item| expiry(item).unwrap().map(|at| at.0);
        assert_eq!(at(&item("a", Some(Millis(5_001)))), Some(5_001));
        assert_eq!(at(&item("a", None)), None);
        assert_eq!(at(&numbers("6", None)), Some(6_000));
        // Moved by software that does not know the other attribute.
        assert_eq!(at(&numbers("60", Some("5001"))), Some(60_000));
        assert_eq!(at(&numbers("6.5", Some("6001"))), Some(6_000));
        assert_eq!(at(&numbers("1000000000000000000000000000000", None)), Some(i64::MAX));
        assert_eq!(at(&numbers("-1E+30", None)), Some(i64::MIN));
        let mut text = key("a");
        text.set(EXPIRES_AT, Attribute::S(String::from("2026-01-01")));
        assert_eq!(expiry(&text).unwrap_err().kind(), Kind::CorruptData);
    }

    /// The conditions, as DynamoDB evaluates them.
    #[allow(clippy::cast_precision_loss, clippy::float_cmp)]
    fn conditions(item: &Item, now: Millis) -> (bool, bool) {
        let get = |name: &str| item.get(name).map(|n| n.as_n().unwrap().parse::<f64>().unwrap());
        let floor = now.0.div_euclid(1_000);
        let (s, now, floor) = ((floor + 1) as f64, now.0 as f64, (floor * 1_000) as f64);
        let (at, ms) = (get(EXPIRES_AT), get(EXPIRES_AT_MS));
        let live = at.is_none_or(|at| at > s || (at == s && ms.is_none_or(|ms| ms > now || ms <= floor)));
        let expired = at.is_some_and(|at| at < s || (at == s && ms.is_some_and(|ms| ms <= now && ms > floor)));
        (live, expired)
    }

    proptest! {
        #[test]
        fn the_server_judges_as_reads_do(now in 0_i64..10_000, at in 0_i64..12, ms in -2_000_i64..14_000, has_ms: bool, half: bool) {
            let at = if half { format!("{at}.5") } else { at.to_string() };
            let item = numbers(&at, has_ms.then(|| ms.to_string()).as_deref());
            let expired = is_expired(&item, Millis(now)).unwrap();
            prop_assert_eq!(conditions(&item, Millis(now)), (!expired, expired));
        }

        #[test]
        fn our_own_items_expire_to_the_millisecond(now in 0_i64..5_000, at in 0_i64..5_000) {
            let item = item("a", Some(Millis(at)));
            prop_assert_eq!(is_expired(&item, Millis(now)).unwrap(), at <= now);
            prop_assert_eq!(conditions(&item, Millis(now)), (at > now, at <= now));
        }
    }
}
