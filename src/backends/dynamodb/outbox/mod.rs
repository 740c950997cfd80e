//! Events in a table of their own.
//!
//! ```text
//! mod.rs     each operation, and the code that runs it; single events
//! item.rs    an event as an item, its place in its key
//! keys.rs    the order of a partition key
//! insert.rs  new events
//! claims.rs  events that are given to workers
//! settle.rs  what becomes of them; what somebody decides
//! lists.rs   several, found by an index: lists, counts, those that are stuck or old
//! queued.rs  insertions that wait for the end of a transaction
//! moved.rs   whole events on their way in and out
//! ```

mod claims;
mod insert;
pub(super) mod item;
mod keys;
mod lists;
pub(super) mod moved;
pub(super) mod queued;
mod settle;

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use futures_util::future::join_all;

use super::attribute::Item;
use super::channel::{Channel, held};
use super::error;
use super::executions::item::{number_of, text_of};
use super::expression::{Expression, IS_EXPIRED, PARTITION_KEY, SEQ, clock, key_of};
use super::merged::fetch;
use super::requests::{Delete, Get, Update};
use super::session::Session;
use crate::contract::dynamic::Dynamic;
use crate::contract::operation::{Work, chains};
use crate::contract::outbox::record::{EventStatus, Stored, listed, settled};
use crate::contract::outbox::{OutboxRead, OutboxStep, OutboxWrite};
use crate::contract::step::Reply;
use crate::error::{Error, Kind, Result};
use crate::time::Millis;
use item::{EVENT, Found, Place, WHOLE, event_key, event_of, item_id};

/// Attempts of a change that others are in the way of.
const ATTEMPTS: u32 = 40;
/// Pauses before them: random ones up to the first, doubled each time up to the second.
const PAUSES: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(200));

/// The table of events.
pub(super) struct Outbox<'a, C> {
    pub(super) on: &'a C,
}

impl<C: Channel> Outbox<'_, C> {
    /// The present, by the server's clock.
    fn now(&self) -> Millis {
        self.on.clock().now()
    }

    /// Runs an operation.
    pub(super) async fn run(&self, step: &OutboxStep) -> Result<Reply> {
        match step {
            Work::Write(write) => self.write(write).await,
            Work::Read(read) => self.read(read).await,
        }
    }

    /// Runs a change.
    async fn write(&self, write: &OutboxWrite) -> Result<Reply> {
        Ok(match write {
            OutboxWrite::Insert(insertion) => listed(Box::pin(self.insert(insertion)).await?),
            OutboxWrite::Claim(claim) => listed(Box::pin(self.claim(claim)).await?),
            OutboxWrite::Settle(settlement) => settled(Box::pin(self.settle(settlement)).await?),
            OutboxWrite::Decide { id, decision, terms } => {
                Box::pin(self.decide(id, decision, terms)).await?;
                Reply::Done
            }
            OutboxWrite::ReleaseStuck { older_than_ms, limit } => {
                Reply::Count(Box::pin(self.release_stuck(*older_than_ms, *limit)).await?)
            }
            OutboxWrite::Requeue { ids } => Reply::Count(Box::pin(self.requeue(ids)).await?),
            OutboxWrite::Discard { ids } => Reply::Count(Box::pin(self.discard(ids)).await?),
            OutboxWrite::Archive { older_than_ms, sent, dead, limit } => {
                let of = |of: bool, status| of.then_some(status);
                let statuses = [of(*sent, EventStatus::Sent), of(*dead, EventStatus::DeadLetter)];
                Reply::Count(Box::pin(self.archive(*older_than_ms, statuses, *limit)).await?)
            }
        })
    }

    /// Answers a question.
    async fn read(&self, read: &OutboxRead) -> Result<Reply> {
        Ok(match read {
            OutboxRead::Get { id } => {
                let found = self.event(id).await?;
                Reply::Value(found.map_or(Dynamic::Null, |found| found.stored.into_dynamic()))
            }
            OutboxRead::List { saga_id, status, after, limit } => {
                Box::pin(self.list(saga_id.as_deref(), *status, after.as_deref(), *limit)).await?.into_reply()
            }
            OutboxRead::Stuck { older_than_ms, limit } => listed(Box::pin(self.stuck(*older_than_ms, *limit)).await?),
            OutboxRead::Count { status } => Reply::Count(Box::pin(self.count(*status)).await?),
            OutboxRead::BlockedKeys { limit, terms } => {
                let mut keys = Box::pin(self.blocked_keys(terms)).await?;
                keys.truncate(usize::try_from(*limit).unwrap_or(usize::MAX));
                Reply::ids(keys)
            }
            OutboxRead::Statistics { terms } => Box::pin(self.statistics(terms)).await?,
        })
    }

    /// An event, as it is now.
    async fn event(&self, id: &str) -> Result<Option<Found>> {
        let item = self.on.send(Get { key: event_key(id), projection: WHOLE }).await?;
        item.map(Found::of).transpose()
    }

    /// Several, as they are now.
    async fn events(&self, ids: &[&str]) -> Result<HashMap<String, Found>> {
        // One that was sent and stored again has two places for a while, and a read takes no item twice.
        let ids: HashSet<String> = ids.iter().map(|id| item_id(id)).collect();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let items: HashMap<String, Item> = fetch(self.on, &ids, Some(EVENT), WHOLE).await?;
        let found = |item: Item| Ok((event_of(&item).unwrap_or_default().to_owned(), Found::of(item)?));
        items.into_values().map(found).collect()
    }

    /// Makes `after` of an event that was read; whether it was still the same.
    async fn make(&self, found: &Found, after: &Stored) -> Result<bool> {
        self.has(found.update(after)?).await
    }

    /// Sends an update; whether its condition held.
    async fn has(&self, update: Update) -> Result<bool> {
        match self.on.send(update).await {
            Ok(()) => Ok(true),
            Err(failure) if failure.is_met() => Ok(false),
            Err(failure) => Err(failure.into()),
        }
    }

    /// Removes an event that was read, and its place; whether it was still the same.
    async fn drop_event(&self, found: &Found) -> Result<bool> {
        let stored = &found.stored;
        let delete = Delete { key: event_key(&stored.event.id), condition: found.is_same()? };
        match self.on.send(delete).await {
            Ok(()) => {}
            Err(failure) if failure.is_met() => return Ok(false),
            Err(failure) => return Err(failure.into()),
        }
        self.drop_place_of(stored).await?;
        Ok(true)
    }

    /// Changes an event, whoever is in the way. None: there is none, or `change` does not want it. Else what it was.
    async fn change(&self, id: &str, change: impl Fn(&mut Stored) -> Result<bool>) -> Result<Option<(Found, Stored)>> {
        for attempt in 0..ATTEMPTS {
            self.rest(attempt).await;
            let Some(found) = self.event(id).await? else { return Ok(None) };
            let mut after = found.stored.clone();
            if !change(&mut after)? {
                return Ok(None);
            }
            if after == found.stored || self.make(&found, &after).await? {
                return Ok(Some((found, after)));
            }
        }
        Err(crowded(id))
    }

    /// Waits before another attempt.
    async fn rest(&self, attempt: u32) {
        if attempt > 0 {
            let longest = PAUSES.0.saturating_mul(1 << (attempt - 1).min(10)).min(PAUSES.1);
            self.on.pause(longest.mul_f64(fastrand::f64())).await;
        }
    }

    /// Removes the place of an event that is no more, or is sent.
    async fn drop_place_of(&self, stored: &Stored) -> Result<()> {
        match &stored.event.partition_key {
            Some(key) => self.drop_place(key, &Place::of(stored)).await,
            None => Ok(()),
        }
    }

    async fn drop_place(&self, key: &str, place: &Place) -> Result<()> {
        let condition = Expression::new("attribute_exists(#id)", Item::default());
        match held(self.on.send(Delete { key: place.item(key), condition }).await) {
            // Somebody else removes it at this moment.
            Err(failure) if !failure.is_met() => Err(failure.into()),
            _ => Ok(()),
        }
    }
}

/// What there is to know of an event that is over.
pub(super) const OVER: &str = "#id, #part, #at, #ms, #partitionKey, #seq";

/// Removes an event that was kept until now, and its place; whether it was there.
pub(super) async fn purge_one<C: Channel>(on: &C, item: &Item, now: Millis) -> Result<bool> {
    let delete = Delete { key: key_of(item), condition: Expression::new(IS_EXPIRED, clock(now)) };
    if !held(on.send(delete).await)? {
        return Ok(false);
    }
    let outbox = Outbox { on };
    let (key, event, seq) = (text_of(item, PARTITION_KEY), event_of(item), number_of(item, SEQ));
    if let (Some(key), Some(event), Some(seq)) = (key, event, seq) {
        outbox.drop_place(key, &Place { seq, event: event.to_owned() }).await?;
        outbox.wake(key).await?;
    }
    Ok(true)
}

/// Others were always quicker.
fn crowded(id: &str) -> Error {
    let text = "others change this event at the same time";
    Error::new(Kind::Backend, text).retryable(true).unsent().with_id(id)
}

/// Runs changes on the store's own connections: those that must not be under way at once in their order, the others
/// beside each other.
pub(super) async fn write(on: &Session<'_>, group: &[OutboxWrite]) -> Vec<Result<Reply>> {
    let run = |chain: Vec<usize>| async move {
        let mut done = Vec::with_capacity(chain.len());
        for member in chain {
            done.push((member, Outbox { on }.write(&group[member]).await));
        }
        done
    };
    let mut answers: Vec<Result<Reply>> = vec![Err(error::unexpected()); group.len()];
    for (member, answer) in join_all(chains(group).into_iter().map(run)).await.into_iter().flatten() {
        answers[member] = answer;
    }
    answers
}

/// Answers questions, beside each other.
pub(super) async fn read(on: &Session<'_>, group: &[OutboxRead]) -> Vec<Result<Reply>> {
    join_all(group.iter().map(|read| async move { Outbox { on }.read(read).await })).await
}
