//! Payloads and messages of the inbox: a record is one item.
//!
//! - What replaces whatever is there goes in batches.
//! - Else each is one put under the condition that its key is free, or what is there may be replaced. That is one
//!   request for a record, and one write unit where a transaction would need two.

use crate::backends::dynamodb::attribute::{Attribute, Item};
use crate::backends::dynamodb::batch::{self, AT_ONCE, fate_of, patiently};
use crate::backends::dynamodb::channel::{Channel, all, held};
use crate::backends::dynamodb::clock::Clock;
use crate::backends::dynamodb::executions::item::text_of;
use crate::backends::dynamodb::expression::{
    self, DATA, Expression, OPERATION, PART, corrupt, expired, expiry, id_of, part_key, seconds, set_expiry,
};
use crate::backends::dynamodb::payloads::item;
use crate::backends::dynamodb::requests::PutIf;
use crate::contract::moving::record::{Body, Message, Payload, Record};
use crate::contract::moving::{Conflict, Fate, Import};
use crate::error::{Error, Kind, Result};
use crate::time::Millis;

/// True where nothing is in the way.
const IS_FREE: &str = concat!("attribute_not_exists(#id) OR ", expired!());
/// The same, or where what is there ends, and the new one does not.
const ENDS: &str = concat!("attribute_not_exists(#id) OR ", expired!(), " OR attribute_type(#at, :N)");
/// The same, or where what is there ends sooner. Its exact time counts if it is of that second.
const ENDS_SOONER: &str =
    concat!("attribute_not_exists(#id) OR ", expired!(), " OR #at < :at OR (#at = :at AND #ms < :ms AND #ms > :from)");

/// Stores records of which each is one item.
pub(super) async fn import<C: Channel>(on: &C, import: &Import) -> Result<Vec<Fate>> {
    let items = import.records.iter().map(|record| encode(record, on.clock())).collect::<Result<Vec<_>>>()?;
    if import.conflict == Conflict::Overwrite {
        return batch::put_all(on, &items).await;
    }
    let mut fates = Vec::with_capacity(items.len());
    let records: Vec<_> = import.records.iter().zip(items).collect();
    for some in records.chunks(AT_ONCE) {
        let puts = some.iter().map(|(record, item)| put(on, record, item, import.conflict));
        for fate in all::<C, _>(puts.collect()).await {
            fates.push(fate?);
        }
    }
    Ok(fates)
}

async fn put<C: Channel>(on: &C, record: &Record, item: &Item, conflict: Conflict) -> Result<Fate> {
    let condition = may_replace(conflict, record, on.clock());
    let sent = patiently(on, || PutIf { item: item.clone(), condition: condition.clone() }).await;
    match held(sent) {
        Ok(false) if conflict == Conflict::Refuse => Ok(Fate::Refused(record.taken())),
        stored => fate_of(stored),
    }
}

fn stored_expiry(record: &Record, clock: &Clock) -> Option<Millis> {
    match record {
        // By the server's clock from the first.
        Record::Message(message) => Some(message.expires_at),
        record => record.expires_at().map(|at| clock.stored(at)),
    }
}

/// What must be true of what is there.
fn may_replace(conflict: Conflict, record: &Record, clock: &Clock) -> Expression {
    let values = expression::clock(clock.now());
    if conflict != Conflict::Newer {
        return Expression::new(IS_FREE, values);
    }
    let Some(at) = stored_expiry(record, clock) else { return Expression::new(ENDS, values) };
    let second = seconds(at);
    let new = [
        (":at", Attribute::number(second)),
        (":ms", Attribute::number(at.0)),
        (":from", Attribute::number(second.saturating_sub(1).saturating_mul(1_000))),
    ];
    Expression::new(ENDS_SOONER, values.with(Item::from(new)))
}

fn encode(record: &Record, clock: &Clock) -> Result<Item> {
    let expires_at = stored_expiry(record, clock);
    match record {
        Record::Payload(Payload { id, body: Body::Whole(data), .. }) => Ok(item::encode(id, data, expires_at)),
        Record::Message(Message { consumer, id, operation, .. }) => {
            let mut item = part_key(id, consumer);
            item.set(OPERATION, Attribute::text(operation));
            set_expiry(&mut item, expires_at);
            Ok(item)
        }
        _ => Err(Error::invalid("a payload without its bytes cannot be stored").with_id(record.id())),
    }
}

/// The payload of an item, whether its time is over or not.
pub(super) fn payload(mut item: Item, clock: &Clock, only_sizes: bool) -> Result<Record> {
    let expires_at = expiry(&item)?.map(|at| clock.told(at));
    let id = id_of(&item).unwrap_or_default().into();
    let Some(Attribute::B(data)) = item.take(DATA) else { return Err(corrupt("it has no data that is binary")) };
    let body = if only_sizes { Body::Size(data.len() as u64) } else { Body::Whole(data) };
    Ok(Record::Payload(Payload { id, body, expires_at }))
}

/// The message of an item, whether its time is over or not.
pub(super) fn message(item: &Item) -> Result<Record> {
    let corrupt =
        |what: &str| Error::new(Kind::CorruptData, format!("the DynamoDB item of this message has no {what}"));
    let text = |name: &str| text_of(item, name).map(Box::<str>::from).ok_or_else(|| corrupt(name));
    Ok(Record::Message(Message {
        consumer: text(PART)?,
        id: text(expression::ID)?,
        operation: text(OPERATION)?,
        expires_at: expiry(item)?.ok_or_else(|| corrupt(expression::EXPIRES_AT))?,
    }))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn payload_of(expires_at: Option<i64>) -> Record {
        let body = Body::Whole(Bytes::from_static(b"x"));
        Record::Payload(Payload { id: "a".into(), body, expires_at: expires_at.map(Millis) })
    }

    #[test]
    fn records_come_back_as_they_went() {
        let clock = Clock::default();
        let message_of = Message {
            consumer: "c".into(),
            id: "m#1".into(),
            operation: "o".into(),
            expires_at: Millis(1_700_000_000_001),
        };
        let item = encode(&Record::Message(message_of.clone()), &clock).unwrap();
        let Record::Message(read) = message(&item).unwrap() else { panic!() };
        assert_eq!(read, message_of);
        for at in [None, Some(1_700_000_000_001), Some(1)] {
            let Record::Payload(sent) = payload_of(at) else { panic!() };
            let item = || encode(&payload_of(at), &clock).unwrap();
            let Record::Payload(read) = payload(item(), &clock, false).unwrap() else { panic!() };
            assert_eq!(read, sent);
            let Record::Payload(read) = payload(item(), &clock, true).unwrap() else { panic!() };
            assert_eq!(read.body, Body::Size(1));
        }
        for broken in [expression::key("a"), part_key("a", "b")] {
            assert_eq!(message(&broken).unwrap_err().kind(), Kind::CorruptData);
            assert_eq!(payload(broken, &clock, false).unwrap_err().kind(), Kind::CorruptData);
        }
        let sized = Record::Payload(Payload { id: "a".into(), body: Body::Size(1), expires_at: None });
        assert_eq!(encode(&sized, &clock).unwrap_err().kind(), Kind::InvalidArgument);
    }

    #[test]
    fn a_condition_has_just_the_values_that_it_uses() {
        let clock = Clock::default();
        for conflict in [Conflict::Skip, Conflict::Refuse, Conflict::Newer] {
            for at in [None, Some(1_700_000_000_001)] {
                let Expression { text, values } = may_replace(conflict, &payload_of(at), &clock);
                let is_end = |c: char| !c.is_ascii_alphanumeric();
                let mut used: Vec<&str> =
                    text.split(':').skip(1).map(|rest| rest.split(is_end).next().unwrap_or_default()).collect();
                used.sort_unstable();
                used.dedup();
                let mut given: Vec<&str> = values.iter().map(|(name, _)| &name[1..]).collect();
                given.sort_unstable();
                assert_eq!(given, used, "{text}");
            }
        }
    }
}
