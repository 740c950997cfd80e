//! Insertions that wait for the end of a transaction.
//!
//! 1. When the operation is called, its changes are planned. Only where an event has a partition key, that key is
//!    looked at: the event stands behind those that are there.
//! 2. If an id is taken at the end, nothing of the transaction happens.

use bytes::Bytes;

use super::insert::{changes, keys, stored};
use crate::backends::dynamodb::changes::{Planned, Refused};
use crate::backends::dynamodb::clock::Clock;
use crate::contract::outbox::Insertion;
use crate::contract::outbox::record::{Content, Event, taken};
use crate::error::{Error, Kind, Result};

pub(crate) use super::insert::LastPlaces;

/// The partition keys of an insertion.
pub(crate) fn keys_of(insertion: &Insertion) -> Vec<Box<str>> {
    keys(&insertion.events.iter().collect::<Vec<_>>())
}

/// The changes of an insertion behind these places. They have bytes of their own: once the call has returned, the
/// caller may write to its bytes.
pub(crate) fn plan(insertion: &Insertion, last: &LastPlaces, table: &str, clock: &Clock) -> Result<Vec<Planned>> {
    if insertion.ignores_duplicates {
        let text = "this transaction is only sent at its end, and DynamoDB cannot leave out events in it whose ids are \
            taken: insert them without ignoreDuplicates, or outside of the transaction";
        return Err(Error::new(Kind::Unsupported, text).with_id(&insertion.events[0].id));
    }
    let events: Vec<&Event> = insertion.events.iter().collect();
    let mut stored = stored(insertion, &events, last, clock);
    for event in &mut stored {
        if let Content::Bytes(bytes) = &event.event.payload {
            event.event.payload = Content::Bytes(Bytes::copy_from_slice(bytes));
        }
    }
    let planned = changes(table, &stored)?.into_iter().map(|change| {
        let event = change.id().and_then(|id| id.strip_prefix("event#"));
        // A place has no condition.
        Planned { refused: event.map(|event| Refused::Because(taken(event))), change }
    });
    Ok(planned.collect())
}
