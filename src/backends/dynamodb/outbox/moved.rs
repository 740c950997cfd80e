//! Whole events on their way in and out.
//!
//! - Events get places at the end of the queue, in the order of the import. One that replaces another one keeps its
//!   place, unless it is of another key or the other one is over.
//! - An event without a key is one conditional put. Events of a key are stored one after the other, or in one
//!   transaction: nobody sees one of them before those that stand in front of it.
//! - A scan finds the events of a key by their places, in their order ([`is_place`]), and then all others
//!   ([`has_no_place`]).

use std::collections::{HashMap, HashSet};

use super::insert::is_new;
use super::item::{EVENT, Found, Place, SHARDS, WHOLE, item_id, moved_item};
use super::{ATTEMPTS, Outbox, crowded};
use crate::backends::dynamodb::attribute::{Attribute, Item};
use crate::backends::dynamodb::batch::{AT_ONCE, Unit, fate_of, packs, store_together};
use crate::backends::dynamodb::changes::Change;
use crate::backends::dynamodb::channel::{Channel, all};
use crate::backends::dynamodb::executions::item::shard_of;
use crate::backends::dynamodb::expression::Expression;
use crate::backends::dynamodb::merged::fetch;
use crate::backends::dynamodb::requests::PutIf;
use crate::contract::moving::record::Record;
use crate::contract::moving::{Fate, Import};
use crate::contract::outbox::record::{EventStatus, Stored};
use crate::error::Result;

/// What a scan asks of an item: it is an event's place in its key.
pub(in crate::backends::dynamodb) fn is_place() -> Expression {
    Expression::new("begins_with(#id, :key)", Item::from([(":key", Attribute::text("key#"))]))
}

/// What a scan asks of an item: it is an event that has no place in a key, or none any more.
pub(in crate::backends::dynamodb) fn has_no_place() -> Expression {
    let values = [(":event", Attribute::text(EVENT)), (":sent", Attribute::text(EventStatus::Sent.name()))];
    let text = "#part = :event AND (attribute_not_exists(#partitionKey) OR #status = :sent)";
    Expression::new(text, Item::from(values))
}

/// What a count asks of an item: it is an event.
pub(in crate::backends::dynamodb) fn is_event() -> Expression {
    Expression::new("#part = :event", Item::from([(":event", Attribute::text(EVENT))]))
}

/// The event of an item.
pub(in crate::backends::dynamodb) fn decode(item: Item) -> Result<Stored> {
    Ok(Found::of(item)?.stored)
}

/// The key in which an event has a place.
fn key_with_place(stored: &Stored) -> Option<&str> {
    stored.event.partition_key.as_deref().filter(|_| stored.status != EventStatus::Sent)
}

fn place_of(stored: &Stored) -> Option<Item> {
    key_with_place(stored).map(|key| Place::of(stored).item(key))
}

/// An event of an import.
struct Arrival<'a> {
    member: usize,
    record: &'a Record,
    stored: &'a Stored,
    /// Its place at the end of the queue.
    seq: i64,
}

impl Arrival<'_> {
    fn at(&self, seq: i64) -> Stored {
        Stored { seq, ..self.stored.clone() }
    }

    /// What stores an event that is new.
    fn stores(&self, table: &str) -> Result<Stores> {
        let after = self.at(self.seq);
        let places = place_of(&after).map(|place| Change::put(table, place)).into_iter().collect();
        Ok(Stores { item: moved_item(&after, 1)?, condition: is_new(), places })
    }
}

/// What stores an event: its item under a condition, and what becomes of places.
struct Stores {
    item: Item,
    condition: Expression,
    places: Vec<Change>,
}

impl Stores {
    fn into_changes(self, table: &str) -> Vec<Change> {
        std::iter::once(Change::put(table, self.item).only_if(self.condition)).chain(self.places).collect()
    }
}

impl<C: Channel> Outbox<'_, C> {
    /// Events with these ids, by their ids: what each is, or why it cannot be read.
    pub(in crate::backends::dynamodb) async fn fetched(&self, ids: &[&str]) -> Result<HashMap<String, Result<Stored>>> {
        let known: HashSet<String> = ids.iter().map(|id| item_id(id)).collect();
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        let items = fetch(self.on, &known, Some(EVENT), WHOLE).await?;
        let event = |id: &str| id.strip_prefix("event#").unwrap_or(id).to_owned();
        Ok(items.into_iter().map(|(id, item)| (event(&id), decode(item))).collect())
    }

    /// The events that have these places, in their order, each with its id; none for a place whose event is gone.
    pub(in crate::backends::dynamodb) async fn placed(
        &self,
        places: &[Item],
    ) -> Result<Vec<Option<(String, Result<Stored>)>>> {
        let places: Vec<Option<Place>> = places.iter().map(Place::read).collect();
        let ids: Vec<&str> = places.iter().flatten().map(|place| &*place.event).collect();
        let mut events = self.fetched(&ids).await?;
        let found = places.iter().map(|place| {
            let place = place.as_ref()?;
            let is_there = match events.get(&place.event)? {
                Ok(stored) => stored.seq == place.seq && stored.status != EventStatus::Sent,
                Err(_) => true,
            };
            let event = if is_there { events.remove(&place.event) } else { None };
            event.map(|event| (place.event.clone(), event))
        });
        Ok(found.collect())
    }

    /// Stores events as they are, in their order.
    pub(in crate::backends::dynamodb) async fn import(&self, import: &Import) -> Result<Vec<Fate>> {
        let mut keys = HashSet::new();
        let with_keys = import.records.iter().filter_map(|record| match record {
            Record::Event(stored) => stored.event.partition_key.clone(),
            _ => None,
        });
        let keys: Vec<Box<str>> = with_keys.filter(|key| keys.insert(key.clone())).collect();
        let last = self.last_places(&keys).await?.into_values().max().unwrap_or_default();
        let count = i64::try_from(import.records.len()).unwrap_or(i64::MAX);
        let first = self.on.clock().places(count).max(last.saturating_add(1));
        // Rows of events are stored beside each other; each key is in one of them.
        let (mut alone, mut rows) = (Vec::new(), Vec::new());
        rows.resize_with(SHARDS as usize, Vec::new);
        for (member, (seq, record)) in (first..).zip(&import.records).enumerate() {
            let Record::Event(stored) = record else { continue };
            let arrival = Arrival { member, record, stored, seq };
            match key_with_place(stored) {
                Some(key) => rows[shard_of(key) as usize].push(arrival),
                None => alone.push(arrival),
            }
        }
        let mut fates: Vec<Option<Fate>> = vec![None; import.records.len()];
        for some in alone.chunks(AT_ONCE) {
            let brought = some.iter().map(|arrival| self.bring(import, arrival, false));
            for (arrival, brought) in some.iter().zip(all::<C, _>(brought.collect()).await) {
                fates[arrival.member] = Some(fate_of(brought.map_err(Into::into))?);
            }
        }
        let brought = rows.iter().filter(|row| !row.is_empty()).map(|row| self.bring_row(import, row));
        for brought in all::<C, _>(brought.collect()).await {
            for (member, fate) in brought? {
                fates[member] = Some(fate);
            }
        }
        Ok(fates.into_iter().map(|fate| fate.unwrap_or(Fate::Skipped)).collect())
    }

    /// Stores events with keys, one after the other.
    async fn bring_row(&self, import: &Import, row: &[Arrival<'_>]) -> Result<Vec<(usize, Fate)>> {
        let (mut fates, mut units) = (Vec::with_capacity(row.len()), Vec::with_capacity(row.len()));
        for (member, arrival) in row.iter().enumerate() {
            match arrival.stores(self.on.table()) {
                Ok(stores) => units.push(Unit { member, changes: stores.into_changes(self.on.table()) }),
                Err(error) => fates.push((arrival.member, Fate::Refused(error))),
            }
        }
        for pack in packs(units) {
            let members: Vec<usize> = pack.iter().map(|unit| unit.member).collect();
            let others = store_together(self.on, pack).await?;
            for member in members {
                let arrival = &row[member];
                let fate = if others.contains(&member) {
                    fate_of(Box::pin(self.bring(import, arrival, true)).await.map_err(Into::into))?
                } else {
                    Fate::Stored
                };
                fates.push((arrival.member, fate));
            }
        }
        Ok(fates)
    }

    /// Stores an event; whether it was stored. `is_known`: it is not new.
    async fn bring(&self, import: &Import, arrival: &Arrival<'_>, is_known: bool) -> Result<bool> {
        let (id, table) = (&*arrival.stored.event.id, self.on.table());
        for attempt in 0..ATTEMPTS {
            self.rest(attempt).await;
            let found = if attempt == 0 && !is_known { None } else { self.event(id).await? };
            let stores = match &found {
                None => arrival.stores(table)?,
                Some(found) => {
                    let there = &found.stored;
                    let lives = there.expires_at.is_none_or(|at| at > self.now());
                    if lives && !import.conflict.replaces(arrival.record, &Record::Event(Box::new(there.clone())))? {
                        return Ok(false);
                    }
                    self.replacement(found, arrival, lives)?
                }
            };
            if self.carry_out(stores).await? {
                if let Some(key) = found.as_ref().and_then(|found| found.stored.event.partition_key.as_deref()) {
                    self.wake(key).await?;
                }
                return Ok(true);
            }
        }
        Err(crowded(id))
    }

    /// What stores an event in place of the one that has its id.
    fn replacement(&self, found: &Found, arrival: &Arrival<'_>, lives: bool) -> Result<Stores> {
        let (there, table) = (&found.stored, self.on.table());
        let stays = lives && there.event.partition_key == arrival.stored.event.partition_key;
        let after = arrival.at(if stays { there.seq } else { arrival.seq });
        let item = moved_item(&after, found.revision()?.saturating_add(1))?;
        let place = place_of(&after);
        let old = there.event.partition_key.as_deref().map(|key| Place::of(there).item(key));
        let old = old.filter(|old| place.as_ref() != Some(old)).map(|old| Change::delete(table, old));
        let places = old.into_iter().chain(place.map(|place| Change::put(table, place))).collect();
        Ok(Stores { item, condition: found.is_same()?, places })
    }

    /// Whether it is stored; else nothing has happened.
    async fn carry_out(&self, stores: Stores) -> Result<bool> {
        let sent = if stores.places.is_empty() {
            self.on.send(PutIf { item: stores.item, condition: stores.condition }).await
        } else {
            self.on.transact(stores.into_changes(self.on.table())).await
        };
        match sent {
            Ok(()) => Ok(true),
            Err(failure) if failure.is_met() => Ok(false),
            Err(failure) => Err(failure.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::outbox::record::{Content, Event};
    use crate::time::Millis;

    fn stored(key: Option<&str>, status: EventStatus) -> Stored {
        let event = Event {
            id: "e-1".into(),
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
        Stored {
            event,
            seq: 0,
            operation: "o".into(),
            status,
            created_at: Millis(1),
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

    #[test]
    fn what_is_sent_or_has_no_key_has_no_place() {
        for (key, status, count) in [
            (None, EventStatus::Pending, 1),
            (Some("k"), EventStatus::Pending, 2),
            (Some("k"), EventStatus::DeadLetter, 2),
            (Some("k"), EventStatus::Sent, 1),
        ] {
            let stored = stored(key, status);
            let record = Record::Event(Box::new(stored.clone()));
            let arrival = Arrival { member: 0, record: &record, stored: &stored, seq: 7 };
            let changes = arrival.stores("outbox").unwrap().into_changes("outbox");
            assert_eq!(changes.len(), count, "{key:?} {status:?}");
            assert_eq!(changes[0].id(), Some("event#e-1"));
            if let Some(place) = changes.get(1) {
                assert_eq!((place.id(), place.part()), (Some("key#k"), Some("0000000000000000007#e-1")));
            }
        }
    }
}
