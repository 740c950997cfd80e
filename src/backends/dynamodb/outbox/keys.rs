//! The order of a partition key.
//!
//! 1. Each event of a key has a place in the key's collection, until it is sent or removed. The collection is read
//!    consistently, in its order.
//! 2. Who claims walks along it from its beginning, and stops at the first event that cannot be claimed.
//! 3. An event that stands behind such a one is parked: its place in the index of the queue is moved to when the one
//!    before it is free. So a key with many events is not looked at again and again.
//! 4. Who ends an event wakes the one behind it. If somebody is killed before that, it is looked at when its parking is
//!    over.

use std::collections::HashSet;

use super::item::{AT_ONCE, Found, Place, due_key, event_key, item_id, places_id};
use super::{Outbox, claims};
use crate::backends::dynamodb::attribute::{Attribute, Item};
use crate::backends::dynamodb::changes::Change;
use crate::backends::dynamodb::channel::{Channel, all};
use crate::backends::dynamodb::executions::edit::Edit;
use crate::backends::dynamodb::expression::{DUE, Expression, part_key};
use crate::backends::dynamodb::pages::Query;
use crate::backends::dynamodb::requests::Update;
use crate::contract::outbox::record::{EventStatus, Stored};
use crate::error::Result;
use crate::time::Millis;

/// Places that are read at once.
const PAGE: i32 = 100;

impl<C: Channel> Outbox<'_, C> {
    /// Places of a key behind one, the first ones first.
    pub(super) async fn places(&self, key: &str, behind: Option<&Place>, limit: i32) -> Result<Vec<Place>> {
        let mut values = Item::from([(":id", Attribute::S(places_id(key)))]);
        let text = match behind {
            None => "#id = :id",
            Some(place) => {
                values.set(":behind", Attribute::S(place.part()));
                "#id = :id AND #part > :behind"
            }
        };
        let query = Query::of(None, Expression::new(text, values), "#id, #part", limit);
        Ok(self.on.send(query).await?.0.iter().filter_map(Place::read).collect())
    }

    /// The number of the last place of a key.
    pub(super) async fn last_place(&self, key: &str) -> Result<Option<i64>> {
        let condition = Expression::new("#id = :id", Item::from([(":id", Attribute::S(places_id(key)))]));
        let query = Query { reverse: true, ..Query::of(None, condition, "#id, #part", 1) };
        Ok(self.on.send(query).await?.0.iter().find_map(Place::read).map(|place| place.seq))
    }

    /// All events of a key behind a place, with their places.
    pub(super) async fn behind(&self, key: &str, place: &Place) -> Result<Vec<Found>> {
        let (mut behind, mut events) = (Some(place.clone()), Vec::new());
        while let Some(from) = behind.take() {
            let places = self.places(key, Some(&from), PAGE).await?;
            let ids: Vec<&str> = places.iter().map(|place| &*place.event).collect();
            let mut found = self.events(&ids).await?;
            let is_of = |place: &Place, found: &Found| found.stored.seq == place.seq;
            let theirs = places.iter().filter(|place| found.get(&place.event).is_some_and(|found| is_of(place, found)));
            let theirs: Vec<&Place> = theirs.collect();
            events.extend(theirs.into_iter().filter_map(|place| found.remove(&place.event)));
            behind = places.into_iter().nth(PAGE.unsigned_abs() as usize - 1);
        }
        Ok(events)
    }

    /// Removes a place that has no event: whether it is certain that there is none. An insertion that is under way at
    /// this moment may be seen in halves; a transaction waits for the whole of it.
    pub(super) async fn drop_empty_place(&self, key: &str, place: &Place) -> Result<bool> {
        let values = Item::from([(":place", Attribute::number(place.seq))]);
        let is_gone = Expression::new("attribute_not_exists(#id) OR #seq <> :place", values);
        let table = self.on.table();
        let changes = vec![
            Change::check(table, event_key(&place.event)).only_if(is_gone),
            Change::delete(table, place.item(key)),
        ];
        match self.on.transact(changes).await {
            Ok(()) => Ok(true),
            Err(failure) if failure.is_met() => Ok(false),
            Err(failure) => Err(failure.into()),
        }
    }

    /// Moves events in the index of the queue, unless they stand behind that time.
    pub(super) async fn park(&self, events: &[(String, i64)], until: Millis) -> Result<()> {
        let parked = events.iter().take(claims::PARKED_AT_ONCE).map(|(event, seq)| {
            let due = due_key(until, *seq);
            let mut edit = Edit::default();
            edit.set(DUE, Attribute::S(due));
            let condition = Expression::new("attribute_exists(#queue) AND #due < :due", Item::default());
            let (key, change) = (part_key(&item_id(event), super::item::EVENT), edit.done());
            self.has(Update { key, change, condition })
        });
        let mut parked = parked.collect::<Vec<_>>().into_iter();
        loop {
            let some: Vec<_> = parked.by_ref().take(AT_ONCE).collect();
            if some.is_empty() {
                return Ok(());
            }
            all::<C, _>(some).await.into_iter().collect::<Result<Vec<_>>>()?;
        }
    }

    /// Something has ended: the first of its key that waits is looked at now.
    pub(super) async fn wake(&self, key: &str) -> Result<()> {
        let places = self.places(key, None, 8).await?;
        let ids: Vec<&str> = places.iter().map(|place| &*place.event).collect();
        if ids.is_empty() {
            return Ok(());
        }
        let found = self.events(&ids).await?;
        for place in &places {
            let Some(event) = found.get(&place.event).filter(|found| found.stored.seq == place.seq) else { continue };
            match event.stored.status {
                // Those behind it may pass it, or not: who claims knows.
                EventStatus::DeadLetter | EventStatus::Sent => {}
                EventStatus::Claimed => return Ok(()),
                EventStatus::Pending => {
                    if !event.is_in_its_place() {
                        // If somebody is quicker, it is looked at.
                        self.make(event, &event.stored).await?;
                    }
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// The same of the keys of several events.
    pub(super) async fn wake_behind<'s>(&self, ended: impl IntoIterator<Item = &'s Stored>) -> Result<()> {
        let keys: HashSet<&str> = ended.into_iter().filter_map(|ended| ended.event.partition_key.as_deref()).collect();
        let keys: Vec<&str> = keys.into_iter().collect();
        for some in keys.chunks(AT_ONCE) {
            let woken = some.iter().map(|key| self.wake(key)).collect();
            all::<C, _>(woken).await.into_iter().collect::<Result<Vec<_>>>()?;
        }
        Ok(())
    }
}
