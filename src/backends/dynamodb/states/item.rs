//! A saga as two items of the table of sagas:
//!
//! ```text
//! saga#{sagaName}#{sagaId}
//!     { id: S, sagaName: S, sagaId: S, correlationId: S, version: N, state: S, createdAt: N, updatedAt: N,
//!       listedIn: S, shard: S, endedAt: N, timeoutAt: N, expiresAt: N, expiresAtMs: N }
//! correlation#{sagaName}#{correlationId}
//!     { id: S, sagaId: S, expiresAt: N, expiresAtMs: N }
//! lease#{sagaName}#{sagaId}, once a worker has been given a saga that had timed out
//!     { id: S, workerId: S, timeoutAt: N, expiresAt: N, expiresAtMs: N }
//! name#{sagaName}, once a saga of this name has been stored
//!     { id: S, listedIn: S, sagaId: S }
//! ```
//!
//! Both are written in one transaction, with the same expiry, so that both ids are unique. The
//! second is never trusted alone: what counts is the saga that it leads to, with its correlation id.
//!
//! Three indexes list sagas: `listedIn` is `{sagaName}#open#{shard}` or `{sagaName}#ended#{shard}`,
//! and the shard one of a few by the saga id, so that the sagas of a name are in several partitions.
//! `endedAt` is there when it has ended, and says when it did so first, `timeoutAt` while it can time out; times are Unix
//! milliseconds, but for `expiresAt` (see [`expression`]). None of the indexes has the state in it,
//! so that most updates do not write to any.

use crate::backends::dynamodb::attribute::{Attribute, Item, MAX_ITEM_BYTES};
use crate::backends::dynamodb::expression::{
    self, CORRELATION_ID, CREATED_AT, ENDED_AT, Expression, LISTED_IN, NAME, SAGA_ID, SHARD, STATE, TIMEOUT_AT,
    UPDATED_AT, VERSION, expired, set_expiry,
};
use crate::contract::states::{FoundState, Saga};
use crate::error::{Error, Kind, Result};
use crate::time::Millis;

/// The indexes of the table of sagas.
pub(crate) const LISTING: &str = "listing";
pub(crate) const COMPLETED: &str = "completed";
pub(crate) const TIMEOUTS: &str = "timeouts";

/// Partitions of an index that the sagas of a name are spread over. Stored items are where it says.
pub(crate) const SHARDS: u32 = 8;

/// What finds need; what lists need; what tells whether a saga is there, and which one.
pub(crate) const FOUND: &str = "#id, #correlation, #name, #saga, #state, #at, #ms";
pub(crate) const LISTED: &str = "#id, #correlation, #name, #saga, #state, #updated, #ended, #timeout, #at, #ms";
pub(crate) const HEAD: &str = "#id, #correlation, #version, #at, #ms";
/// What tells whether it is still to be removed.
pub(crate) const OLD: &str = "#id, #correlation, #ended, #at, #ms";
/// Until when a saga is leased, and for which timeout.
pub(crate) const LEASE: &str = "#id, #timeout, #at, #ms";
/// What there is to know of a correlation id.
pub(crate) const LINK: &str = "#id, #saga, #at, #ms";

/// True where a new item can be put; the values are those of [`expression::clock`].
const IS_FREE: &str = concat!("attribute_not_exists(#id) OR ", expired!());
/// True of a saga that has this version and does not expire.
const IS_LASTING: &str = "#version = :expected AND attribute_not_exists(#at)";
/// True of a saga that is there and has this version and this correlation id.
const IS_SAME: &str = concat!("#version = :expected AND #correlation = :correlation AND NOT ", expired!());
/// True of a saga that has this correlation id.
const IS_LINKED: &str = "#correlation = :correlation";
/// The same of one that ended before a time, and whose own time is not over.
const IS_OLD: &str = concat!("#correlation = :correlation AND #ended < :before AND NOT ", expired!());
/// True where a saga is not there, or is another one's.
const IS_UNLINKED: &str = concat!("attribute_not_exists(#id) OR NOT #correlation = :correlation OR ", expired!());
/// True where a worker may be given a saga: nobody has it for this timeout.
const IS_UNCLAIMED: &str = concat!("attribute_not_exists(#id) OR NOT #timeout = :due OR ", expired!());
/// Who has it until when; the values are those of [`lease`].
const SET_LEASE: &str = "SET #worker = :worker, #timeout = :timeout, #at = :at, #ms = :ms";
/// True of what leads to this saga.
const LEADS_THERE: &str = "#saga = :saga";
/// True of what does not lead to another saga.
const LEADS_NOWHERE_ELSE: &str = "attribute_not_exists(#id) OR #saga = :saga";
/// The same where it may lead to one whose time is over.
const LEADS_NOWHERE_ELSE_NOW: &str = concat!("attribute_not_exists(#id) OR #saga = :saga OR ", expired!());

/// Which saga is to be removed.
pub(crate) struct Removal<'a> {
    pub(crate) name: &'a str,
    pub(crate) id: &'a str,
    pub(crate) correlation_id: &'a str,
    /// Only if it ended before, and its own time is not over.
    pub(crate) before: Option<Millis>,
}

/// The id of a saga's item.
pub(crate) fn saga_key(name: &str, id: &str) -> String {
    format!("saga#{name}#{id}")
}

/// The id of the item of a correlation id.
pub(crate) fn correlation_key(name: &str, correlation_id: &str) -> String {
    format!("correlation#{name}#{correlation_id}")
}

/// The id of the item of a saga's lease.
pub(crate) fn lease_key(name: &str, id: &str) -> String {
    format!("lease#{name}#{id}")
}

/// Gives a saga of this timeout to a worker.
pub(crate) fn lease(worker: &str, due: i64, until: Millis) -> Expression {
    let values = Item::from([(":worker", text(worker)), (":timeout", Attribute::number(due))]);
    Expression::new(SET_LEASE, values.with(expression::expiry_values(until)))
}

/// The condition of a lease.
pub(crate) fn is_unclaimed(due: i64, now: Millis) -> Expression {
    Expression::new(IS_UNCLAIMED, Item::from([(":due", Attribute::number(due))]).with(expression::clock(now)))
}

/// Where the sagas of a name are listed.
pub(crate) fn listed_in(name: &str, completed: bool, shard: u32) -> String {
    format!("{name}#{}#{shard}", if completed { "ended" } else { "open" })
}

/// FNV-1a.
fn shard_of(id: &str) -> u32 {
    id.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)) % SHARDS
}

fn text(value: &str) -> Attribute {
    Attribute::S(value.to_owned())
}

/// The item of a new saga.
pub(crate) fn of_saga(saga: &Saga, correlation_id: &str, expires_at: Option<Millis>) -> Item {
    let shard = shard_of(&saga.id);
    let mut item = expression::key(&saga_key(&saga.name, &saga.id));
    item.set(NAME, text(&saga.name));
    item.set(SAGA_ID, text(&saga.id));
    item.set(CORRELATION_ID, text(correlation_id));
    item.set(VERSION, Attribute::number(saga.version));
    item.set(CREATED_AT, Attribute::number(saga.created_at.0));
    item.set(UPDATED_AT, Attribute::number(saga.updated_at.0));
    item.set(LISTED_IN, Attribute::S(listed_in(&saga.name, saga.completed, shard)));
    item.set(SHARD, Attribute::S(shard.to_string()));
    if let Some(at) = saga.completed_at {
        item.set(ENDED_AT, Attribute::number(at.0));
    }
    if let Some(at) = saga.timeout_at {
        item.set(TIMEOUT_AT, Attribute::number(at.0));
    }
    set_expiry(&mut item, expires_at);
    item.set(STATE, text(&saga.state));
    item
}

/// The item of its correlation id.
pub(crate) fn of_correlation(saga: &Saga, correlation_id: &str, expires_at: Option<Millis>) -> Item {
    let mut item = expression::key(&correlation_key(&saga.name, correlation_id));
    item.set(SAGA_ID, text(&saga.id));
    set_expiry(&mut item, expires_at);
    item
}

/// What an update changes.
pub(crate) fn change(saga: &Saga, expires_at: Option<Millis>) -> Expression {
    let mut set = String::from("SET #version = :version, #state = :state, #updated = :updated, #listed = :listed");
    let mut remove = String::new();
    let mut values = Item::from([
        (":version", Attribute::number(saga.version)),
        (":state", text(&saga.state)),
        (":updated", Attribute::number(saga.updated_at.0)),
        (":listed", Attribute::S(listed_in(&saga.name, saga.completed, shard_of(&saga.id)))),
    ]);
    let mut sets_or_removes = |what: &str, as_what: &str, value: &str, to: Option<Attribute>| {
        if let Some(to) = to {
            set.extend([", ", what, " = ", as_what]);
            values.set(value, to);
        } else {
            remove.extend([if remove.is_empty() { " REMOVE " } else { ", " }, what]);
        }
    };
    // The time at which it ended first.
    let ended = "if_not_exists(#ended, :ended)";
    sets_or_removes("#ended", ended, ":ended", saga.completed_at.map(|at| Attribute::number(at.0)));
    sets_or_removes("#timeout", ":timeout", ":timeout", saga.timeout_at.map(|at| Attribute::number(at.0)));
    let mut expiry = Item::default();
    set_expiry(&mut expiry, expires_at);
    sets_or_removes("#at", ":at", ":at", expiry.take(expression::EXPIRES_AT));
    sets_or_removes("#ms", ":ms", ":ms", expiry.take(expression::EXPIRES_AT_MS));
    Expression::new(set + &remove, values)
}

/// An error if a saga's item would be too large.
pub(crate) fn check_size(size: u64) -> Result<()> {
    if size <= MAX_ITEM_BYTES { Ok(()) } else { Err(too_large(size)) }
}

/// `PAYLOAD_TOO_LARGE`, of a saga whose item needs so much.
pub(crate) fn too_large(size: u64) -> Error {
    let message = format!("the saga needs {size} bytes; the limit of dynamodb is {MAX_ITEM_BYTES}");
    Error::too_large(message, size, MAX_ITEM_BYTES)
}

/// The condition of a new item.
pub(crate) fn is_free(now: Millis) -> Expression {
    Expression::new(IS_FREE, expression::clock(now))
}

/// The condition of an update that leaves the correlation id alone.
pub(crate) fn is_lasting(expected: i64) -> Expression {
    Expression::new(IS_LASTING, Item::from([(":expected", Attribute::number(expected))]))
}

/// The condition of an update of which the correlation id's expiry is a part.
pub(crate) fn is_same(expected: i64, correlation_id: &str, now: Millis) -> Expression {
    let known = Item::from([(":expected", Attribute::number(expected)), (":correlation", text(correlation_id))]);
    Expression::new(IS_SAME, known.with(expression::clock(now)))
}

/// The condition of a removal; with `before` of a saga that has ended.
pub(crate) fn is_linked(correlation_id: &str, before: Option<Millis>, now: Millis) -> Expression {
    let known = Item::from([(":correlation", text(correlation_id))]);
    match before {
        Some(before) => {
            let before = Item::from([(":before", Attribute::number(before.0))]);
            Expression::new(IS_OLD, known.with(before).with(expression::clock(now)))
        }
        None => Expression::new(IS_LINKED, known),
    }
}

/// What must be true of a saga, for what leads to it to be a mistake.
pub(crate) fn is_unlinked(correlation_id: &str, now: Millis) -> Expression {
    Expression::new(IS_UNLINKED, Item::from([(":correlation", text(correlation_id))]).with(expression::clock(now)))
}

/// The condition on a correlation id's item, of what is to happen to one that leads to a saga.
pub(crate) fn leads_there(saga_id: &str) -> Expression {
    Expression::new(LEADS_THERE, Item::from([(":saga", text(saga_id))]))
}

/// The same where it may be missing.
pub(crate) fn leads_nowhere_else(saga_id: &str) -> Expression {
    Expression::new(LEADS_NOWHERE_ELSE, Item::from([(":saga", text(saga_id))]))
}

/// The same where it may be missing, or its time over.
pub(crate) fn leads_nowhere_else_now(saga_id: &str, now: Millis) -> Expression {
    Expression::new(LEADS_NOWHERE_ELSE_NOW, Item::from([(":saga", text(saga_id))]).with(expression::clock(now)))
}

/// The text of an attribute.
pub(crate) fn text_of<'a>(item: &'a Item, name: &str) -> Option<&'a str> {
    item.get(name).and_then(Attribute::as_s)
}

/// The whole number of an attribute.
pub(crate) fn number_of(item: &Item, name: &str) -> Option<i64> {
    item.get(name).and_then(Attribute::as_n)?.parse().ok()
}

/// The correlation id of a saga's item.
pub(crate) fn correlation_of(saga: &Item) -> Result<&str> {
    let no_correlation_id = || Error::new(Kind::CorruptData, "the item of this saga has no correlationId");
    text_of(saga, CORRELATION_ID).ok_or_else(no_correlation_id)
}

/// The state in a saga's item.
pub(crate) fn decode(mut item: Item) -> Result<FoundState> {
    let mut take = |name: &str| match item.take(name) {
        Some(Attribute::S(text)) => Some(text),
        _ => None,
    };
    let (name, id, state) = (take(NAME), take(SAGA_ID), take(STATE));
    let correlation_id = take(CORRELATION_ID).map(Into::into);
    let state = match (name.is_some() && id.is_some(), state) {
        (true, Some(state)) => Ok(state),
        (false, _) => Err(String::from("an item of the table of sagas has no sagaName or no sagaId")),
        (true, None) => Err(String::from("the item of this saga has no 'state' that is text")),
    };
    // Names have no number sign.
    let place = expression::id_of(&item).and_then(|place| place.strip_prefix("saga#")?.split_once('#'));
    let (name, id) = (name.or(place.map(|(name, _)| name.to_owned())), id.or(place.map(|(_, id)| id.to_owned())));
    let (Some(name), Some(id)) = (name, id) else {
        return Err(Error::new(Kind::CorruptData, "an item of the table of sagas has no sagaName or no sagaId"));
    };
    Ok(FoundState { name: name.into(), id: id.into(), correlation_id, state })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::states::OneState;

    fn saga(completed: bool, timeout_at: Option<i64>) -> Saga {
        Saga {
            name: "Order".into(),
            id: "s-1".into(),
            version: 3,
            completed,
            created_at: Millis(1),
            updated_at: Millis(2),
            completed_at: completed.then_some(Millis(7)),
            timeout_at: timeout_at.map(Millis),
            expires_at: None,
            state: "{}".into(),
        }
    }

    #[test]
    fn sagas_stay_where_they_are_listed() {
        let shards = ["s-1", "s-2", "s-3", "a", "\u{e4}"].map(shard_of);
        assert_eq!(shards, [4, 5, 2, 4, 2]);
        let spread: std::collections::HashSet<u32> = (0..100).map(|n| shard_of(&format!("saga-{n}"))).collect();
        assert_eq!(spread.len(), SHARDS as usize);
    }

    #[test]
    fn indexes_have_what_is_in_them() {
        let open = of_saga(&saga(false, Some(9)), "o-1", None);
        assert_eq!(text_of(&open, LISTED_IN), Some("Order#open#4"));
        assert_eq!((number_of(&open, TIMEOUT_AT), number_of(&open, ENDED_AT)), (Some(9), None));
        let ended = of_saga(&saga(true, None), "o-1", Some(Millis(5_001)));
        assert_eq!(text_of(&ended, LISTED_IN), Some("Order#ended#4"));
        assert_eq!((number_of(&ended, TIMEOUT_AT), number_of(&ended, ENDED_AT)), (None, Some(7)));
        let link = of_correlation(&saga(true, None), "o-1", Some(Millis(5_001)));
        assert_eq!(expression::id_of(&link), Some("correlation#Order#o-1"));
        for item in [&ended, &link] {
            assert_eq!((number_of(item, "expiresAt"), number_of(item, "expiresAtMs")), (Some(6), Some(5_001)));
        }
        assert_eq!(text_of(&link, LISTED_IN), None);
        let one = OneState { state: String::from("{}"), correlation_id: Some("o-1".into()) };
        assert_eq!(decode(open).unwrap().into_one().unwrap(), one);
        assert_eq!(decode(link).unwrap_err().kind(), Kind::CorruptData);
    }

    #[test]
    fn updates_take_away_what_is_over() {
        for (completed, timeout, expires, expected) in [
            (false, None, None, ", #listed = :listed REMOVE #ended, #timeout, #at, #ms"),
            (false, Some(9), None, ", #timeout = :timeout REMOVE #ended, #at, #ms"),
            (
                true,
                None,
                Some(Millis(1)),
                ", #ended = if_not_exists(#ended, :ended), #at = :at, #ms = :ms REMOVE #timeout",
            ),
            (true, Some(9), Some(Millis(1)), "(#ended, :ended), #timeout = :timeout, #at = :at, #ms = :ms"),
        ] {
            let change = change(&saga(completed, timeout), expires);
            assert!(change.text.ends_with(expected), "{}", change.text);
            for (name, used) in [(":ended", completed), (":timeout", timeout.is_some()), (":at", expires.is_some())] {
                assert_eq!(change.values.get(name).is_some(), used, "{name}");
            }
        }
    }
}
