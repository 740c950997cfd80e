//! New events.
//!
//! 1. What is larger than an item may be, or too many for a transaction, is refused before anything is sent.
//! 2. Events of a partition key get places behind the last one that the key has.
//! 3. One event without a key is one conditional put; everything else is one transaction, of which each event is an
//!    item and each place of a key another one.
//! 4. If an id is taken, the events that have it are read: by the same insertion, it has happened before.

use std::collections::{HashMap, HashSet};

use super::item::{Found, Place, new_item};
use super::{ATTEMPTS, Outbox, crowded};
use crate::backends::dynamodb::attribute::Item;
use crate::backends::dynamodb::changes::Change;
use crate::backends::dynamodb::channel::{Channel, all};
use crate::backends::dynamodb::clock::Clock;
use crate::backends::dynamodb::expression::Expression;
use crate::backends::dynamodb::load::Load;
use crate::backends::dynamodb::requests::PutIf;
use crate::contract::outbox::record::{Event, EventStatus, Stored, taken};
use crate::contract::outbox::{Insertion, judge};
use crate::error::{Error, Kind, Result};

/// The last places of keys, where they are known.
pub(crate) type LastPlaces = HashMap<Box<str>, i64>;

/// True where no event has the id.
pub(super) fn is_new() -> Expression {
    Expression::new("attribute_not_exists(#id)", Item::default())
}

/// New events with their places in the queue, which nobody has.
pub(super) fn stored(insertion: &Insertion, events: &[&Event], last: &LastPlaces, clock: &Clock) -> Vec<Stored> {
    let now = clock.now();
    let count = i64::try_from(events.len()).unwrap_or(i64::MAX);
    let behind = last.values().copied().max().unwrap_or_default();
    // All of them behind the last one of any key.
    let first = clock.places(count).max(behind.saturating_add(1));
    (first..).zip(events).map(|(seq, event)| judge::inserted(event, seq, insertion, now)).collect()
}

/// Each event's changes: its item, and its place if it has a key.
pub(super) fn changes(table: &str, stored: &[Stored]) -> Result<Vec<Change>> {
    let (mut changes, mut load) = (Vec::with_capacity(stored.len()), Load::default());
    for event in stored {
        let mut of_event = vec![Change::put(table, new_item(event)?).only_if(is_new())];
        if let Some(key) = &event.event.partition_key {
            of_event.push(Change::put(table, Place::of(event).item(key)));
        }
        for change in of_event {
            load = load.with_size(change.size(), None).map_err(|error| too_many(error, &event.event.id))?;
            changes.push(change);
        }
    }
    Ok(changes)
}

fn too_many(error: Error, id: &str) -> Error {
    if error.kind() != Kind::InvalidArgument {
        return error.with_id(id);
    }
    let text = "one insertion on DynamoDB is one transaction of at most 100 items: an event is one item, and an event \
        with a partitionKey is two";
    Error::invalid(text).with_detail("limit", crate::error::Detail::count(100)).with_id(id)
}

/// The partition keys of events.
pub(super) fn keys(events: &[&Event]) -> Vec<Box<str>> {
    let mut known = HashSet::new();
    events.iter().filter_map(|event| event.partition_key.clone()).filter(|key| known.insert(key.clone())).collect()
}

impl<C: Channel> Outbox<'_, C> {
    /// Where keys end.
    pub(in crate::backends::dynamodb) async fn last_places(&self, keys: &[Box<str>]) -> Result<LastPlaces> {
        let mut last = LastPlaces::new();
        for some in keys.chunks(super::item::AT_ONCE) {
            let looked = some.iter().map(|key| self.last_place(key));
            for (key, place) in some.iter().zip(all::<C, _>(looked.collect()).await) {
                last.extend(place?.map(|place| (key.clone(), place)));
            }
        }
        Ok(last)
    }

    /// Stores events; answers those that the lease has.
    pub(super) async fn insert(&self, insertion: &Insertion) -> Result<Vec<Stored>> {
        let mut events: Vec<&Event> = insertion.events.iter().collect();
        // Before anything is sent.
        changes(self.on.table(), &stored(insertion, &events, &LastPlaces::new(), self.on.clock()))?;
        for attempt in 0..ATTEMPTS {
            self.rest(attempt).await;
            if events.is_empty() {
                return Ok(Vec::new());
            }
            let keys = keys(&events);
            let last = self.last_places(&keys).await?;
            let mut stored = stored(insertion, &events, &last, self.on.clock());
            let claimed = self.lease(insertion, &mut stored, &last).await?;
            if self.store(&stored).await? {
                let is_claimed = |stored: &Stored| claimed.contains(&stored.seq);
                return Ok(stored.into_iter().filter(is_claimed).collect());
            }
            let ids: Vec<&str> = events.iter().map(|event| &*event.id).collect();
            let known = self.events(&ids).await?;
            let of_others = |event: &&&Event| {
                known.get(&*event.id).is_some_and(|found: &Found| found.stored.operation != insertion.operation)
            };
            if let Some(event) = events.iter().find(of_others)
                && !insertion.ignores_duplicates
            {
                return Err(taken(&event.id));
            }
            events.retain(|event| !known.contains_key(&*event.id));
        }
        Err(crowded(&insertion.events[0].id))
    }

    /// Whether all of them are stored; else none is.
    async fn store(&self, stored: &[Stored]) -> Result<bool> {
        let sent = match stored {
            [event] if event.event.partition_key.is_none() => {
                self.on.send(PutIf { item: new_item(event)?, condition: is_new() }).await
            }
            _ => self.on.transact(changes(self.on.table(), stored)?).await,
        };
        match sent {
            Ok(()) => Ok(true),
            Err(failure) if failure.is_met() => Ok(false),
            Err(failure) => Err(failure.into()),
        }
    }

    /// Gives those of new events to the lease that nothing stands before; answers their places.
    async fn lease(&self, insertion: &Insertion, stored: &mut [Stored], last: &LastPlaces) -> Result<HashSet<i64>> {
        let (Some(lease), now) = (&insertion.lease, self.now()) else { return Ok(HashSet::new()) };
        let mut closed: HashSet<Box<str>> = HashSet::new();
        for key in last.keys() {
            if self.is_held_up(key, insertion).await? {
                closed.insert(key.clone());
            }
        }
        let mut claimed = HashSet::new();
        for event in stored {
            let key = event.event.partition_key.clone();
            if key.as_ref().is_some_and(|key| closed.contains(key)) {
                continue;
            }
            if judge::is_free(event, now) && judge::claim(event, lease, &insertion.terms, now) {
                claimed.insert(event.seq);
            } else {
                closed.extend(key);
            }
        }
        Ok(claimed)
    }

    /// Whether something stands in a key that holds up others.
    async fn is_held_up(&self, key: &str, insertion: &Insertion) -> Result<bool> {
        let mut behind = None;
        loop {
            let places = self.places(key, behind.as_ref(), 100).await?;
            let ids: Vec<&str> = places.iter().map(|place| &*place.event).collect();
            if ids.is_empty() {
                return Ok(false);
            }
            let found = self.events(&ids).await?;
            for place in &places {
                match found.get(&place.event).filter(|found| found.stored.seq == place.seq) {
                    // Perhaps it is being stored at this moment.
                    None => return Ok(true),
                    Some(found) if found.stored.status == EventStatus::Sent => {}
                    Some(found) if judge::holds_up(&found.stored, &insertion.terms) => return Ok(true),
                    Some(_) => {}
                }
            }
            behind = places.into_iter().last();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::outbox::Terms;
    use crate::contract::outbox::record::Content;
    use crate::time::Millis;

    fn insertion(count: usize, key: Option<&str>) -> Insertion {
        let event = |n: usize| Event {
            id: format!("e-{n}").into(),
            event_type: "OrderPlaced".into(),
            payload: Content::Json("1".into()),
            saga_id: None,
            aggregate_type: None,
            aggregate_id: None,
            headers: None,
            routing_key: None,
            partition_key: key.map(Into::into),
            available_at: None,
            occurred_at: Millis(1),
        };
        let terms = Terms {
            max_retries: 1,
            max_deliveries: 2,
            backoff_ms: 1,
            skips_dead: false,
            retain_sent_ms: 0,
            retain_dead_ms: None,
            notifies_in_transaction: false,
        };
        Insertion {
            events: (0..count).map(event).collect(),
            ignores_duplicates: false,
            lease: None,
            operation: "o".into(),
            terms,
        }
    }

    fn planned(insertion: &Insertion, last: &LastPlaces) -> Result<Vec<Change>> {
        let events: Vec<&Event> = insertion.events.iter().collect();
        changes("outbox", &stored(insertion, &events, last, &Clock::default()))
    }

    #[test]
    fn an_insertion_is_one_transaction() {
        let none = LastPlaces::new();
        assert_eq!(planned(&insertion(100, None), &none).unwrap().len(), 100);
        assert_eq!(planned(&insertion(50, Some("k")), &none).unwrap().len(), 100);
        for (count, key, id) in [(101, None, "e-100"), (51, Some("k"), "e-50")] {
            let error = planned(&insertion(count, key), &none).unwrap_err();
            assert_eq!((error.kind(), error.id()), (Kind::InvalidArgument, Some(id)));
            assert!(error.message().contains("at most 100 items"), "{error}");
        }
        let mut large = insertion(12, None);
        for event in &mut large.events {
            event.payload = Content::Bytes(bytes::Bytes::from(vec![0; 380_000]));
        }
        assert_eq!(planned(&large, &none).unwrap_err().kind(), Kind::PayloadTooLarge);
    }

    #[test]
    fn events_stand_behind_those_of_their_keys() {
        let insertion = insertion(3, Some("k"));
        let events: Vec<&Event> = insertion.events.iter().collect();
        // Of a process whose clock is ahead.
        let last = 1 << 62;
        let known = LastPlaces::from([("k".into(), last)]);
        let behind: Vec<i64> =
            stored(&insertion, &events, &known, &Clock::default()).iter().map(|stored| stored.seq).collect();
        assert_eq!(behind, [last + 1, last + 2, last + 3]);
    }
}
