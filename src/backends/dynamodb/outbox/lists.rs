//! Several events, found by an index of their table.
//!
//! An index says which events, and follows the table a little later; what is answered is read from the table itself.
//! Counts and statistics are the index's.
//!
//! Lists of pending and claimed events read all of the index `queue`, which is in the order of what is due, and keep
//! the first ones.

use std::collections::BTreeSet;

use super::Outbox;
use super::item::{AT_ONCE, OF_SAGA, Place, QUEUED, RESTING, SHARDS, event_of, rest_in};
use crate::backends::dynamodb::attribute::{Attribute, Item};
use crate::backends::dynamodb::channel::{Channel, all};
use crate::backends::dynamodb::executions::item::{number_of, text_of};
use crate::backends::dynamodb::expression::{CREATED_AT, DUE_AT, Expression, PARTITION_KEY, SEQ, STATUS};
use crate::backends::dynamodb::pages::{Count, Query};
use crate::contract::outbox::Terms;
use crate::contract::outbox::record::{Counts, EventPage, EventStatus, Stored, foreign_cursor};
use crate::contract::step::Reply;
use crate::error::Result;
use crate::time::Millis;

/// Items of a page of an index.
const PAGE: i32 = 1_000;

fn places(limit: u64) -> usize {
    usize::try_from(limit).unwrap_or(usize::MAX)
}

/// A cursor is a place: its number, `#`, the event's id.
fn cursor(text: &str) -> Result<Place> {
    let (seq, event) = text.split_once('#').ok_or_else(foreign_cursor)?;
    Ok(Place { seq: seq.parse().map_err(|_| foreign_cursor())?, event: event.to_owned() })
}

/// A part of an index: its partition, and what of it.
struct Part {
    index: &'static str,
    condition: Expression,
    filter: Option<Expression>,
}

impl Part {
    /// Those that are pending or claimed.
    fn queued(shard: u32, filter: Option<Expression>) -> Self {
        let values = Item::from([(":queue", Attribute::S(shard.to_string()))]);
        Self { index: QUEUED, condition: Expression::new("#queue = :queue", values), filter }
    }

    /// Those that are sent, or dead letters.
    fn resting(status: EventStatus, shard: u32, filter: Option<Expression>) -> Self {
        let values = Item::from([(":rest", Attribute::S(rest_in(status, shard)))]);
        Self { index: RESTING, condition: Expression::new("#restIn = :rest", values), filter }
    }

    /// Those of a status.
    fn of(status: EventStatus) -> Vec<Self> {
        let shards = 0..SHARDS;
        match status {
            EventStatus::Pending | EventStatus::Claimed => {
                shards.map(|shard| Self::queued(shard, Some(has_status(status)))).collect()
            }
            EventStatus::Sent | EventStatus::DeadLetter => {
                shards.map(|shard| Self::resting(status, shard, None)).collect()
            }
        }
    }

    /// With those alone that stand behind a place.
    fn behind(mut self, seq: i64) -> Self {
        let value = Item::from([(":seq", Attribute::number(seq))]);
        if self.index == QUEUED {
            let filter = self.filter.unwrap_or_else(|| Expression::new("attribute_exists(#seq)", Item::default()));
            let text = format!("{} AND #seq >= :seq", filter.text);
            self.filter = Some(Expression::new(text, filter.values.with(value)));
        } else {
            let text = format!("{} AND #seq >= :seq", self.condition.text);
            self.condition = Expression::new(text, self.condition.values.with(value));
        }
        self
    }
}

fn has_status(status: EventStatus) -> Expression {
    Expression::new("#status = :status", Item::from([(":status", Attribute::text(status.name()))]))
}

impl<C: Channel> Outbox<'_, C> {
    /// Looks at each item of parts of indexes, until `look` has seen enough of one.
    async fn each<T: Default + Send>(
        &self,
        parts: Vec<Part>,
        projection: &'static str,
        look: impl Fn(&mut T, &Item) -> bool + Sync,
    ) -> Result<Vec<T>> {
        let read = parts.into_iter().map(|Part { index, condition, filter }| {
            let look = &look;
            async move {
                let mut seen = T::default();
                let mut next = Some(Query { filter, ..Query::of(Some(index), condition, projection, PAGE) });
                while let Some(query) = next.take() {
                    let (items, after) = self.on.send(query.clone()).await?;
                    if !items.iter().all(|item| look(&mut seen, item)) {
                        break;
                    }
                    next = after.map(|after| Query { after: Some(after), ..query });
                }
                Ok(seen)
            }
        });
        all::<C, _>(read.collect()).await.into_iter().collect()
    }

    /// Places of parts of indexes, the first ones, at most `limit`.
    async fn first_places(&self, parts: Vec<Part>, behind: Option<&Place>, limit: usize) -> Result<Vec<Place>> {
        let parts = match behind {
            Some(place) => parts.into_iter().map(|part| part.behind(place.seq)).collect(),
            None => parts,
        };
        let mut first = BTreeSet::new();
        // The index of those that rest is in this order.
        let (queued, ordered): (Vec<Part>, Vec<Part>) = parts.into_iter().partition(|part| part.index == QUEUED);
        for (parts, is_ordered) in [(queued, false), (ordered, true)] {
            let found = self.each(parts, "#id, #seq", |seen: &mut BTreeSet<Place>, item: &Item| {
                let (Some(event), Some(seq)) = (event_of(item), number_of(item, SEQ)) else { return true };
                let place = Place { seq, event: event.to_owned() };
                if behind.is_none_or(|behind| place > *behind) {
                    seen.insert(place);
                }
                if seen.len() > limit {
                    seen.pop_last();
                    return !is_ordered;
                }
                true
            });
            first.extend(found.await?.into_iter().flatten());
        }
        Ok(first.into_iter().take(limit).collect())
    }

    /// A page of events, the earliest first.
    pub(super) async fn list(
        &self,
        saga_id: Option<&str>,
        status: Option<EventStatus>,
        after: Option<&str>,
        limit: u64,
    ) -> Result<EventPage> {
        let (limit, mut behind) = (places(limit), after.map(cursor).transpose()?);
        let mut found: Vec<Stored> = Vec::new();
        let is_meant = |stored: &Stored| {
            status.is_none_or(|status| status == stored.status)
                && saga_id.is_none_or(|id| stored.event.saga_id.as_deref() == Some(id))
        };
        // One more than is wanted tells whether there is a next page.
        while found.len() <= limit {
            let wanted = limit + 1 - found.len();
            let parts = match (saga_id, status) {
                (Some(id), _) => {
                    let values = Item::from([(":saga", Attribute::text(id))]);
                    let condition = Expression::new("#sagaId = :saga", values);
                    vec![Part { index: OF_SAGA, condition, filter: None }]
                }
                (None, Some(status)) => Part::of(status),
                (None, None) => {
                    let resting = [EventStatus::Sent, EventStatus::DeadLetter].into_iter().flat_map(Part::of);
                    (0..SHARDS).map(|shard| Part::queued(shard, None)).chain(resting).collect()
                }
            };
            let listed = self.first_places(parts, behind.as_ref(), wanted).await?;
            let ids: Vec<&str> = listed.iter().map(|place| &*place.event).collect();
            let mut events = self.events(&ids).await?;
            for place in &listed {
                let event = events.remove(&place.event).map(|found| found.stored);
                found.extend(event.filter(|stored| stored.seq == place.seq && is_meant(stored)));
            }
            if listed.len() < wanted {
                break;
            }
            behind = listed.into_iter().last();
        }
        let has_more = found.len() > limit;
        found.truncate(limit);
        let cursor = found.last().filter(|_| has_more).map(|last| format!("{}#{}", last.seq, last.event.id).into());
        Ok(EventPage { events: found, cursor })
    }

    /// Events that were claimed so long ago.
    pub(super) async fn stuck(&self, older_than_ms: u64, limit: u64) -> Result<Vec<Stored>> {
        let before = self.now().minus(older_than_ms);
        let filter = || {
            let status = has_status(EventStatus::Claimed);
            let values = status.values.with(Item::from([(":before", Attribute::number(before.0))]));
            Some(Expression::new(format!("{} AND #claimedAt <= :before", status.text), values))
        };
        let parts = || (0..SHARDS).map(|shard| Part::queued(shard, filter())).collect();
        let (limit, mut behind, mut found) = (places(limit), None, Vec::new());
        while found.len() < limit {
            let wanted = limit - found.len();
            let listed = self.first_places(parts(), behind.as_ref(), wanted).await?;
            let ids: Vec<&str> = listed.iter().map(|place| &*place.event).collect();
            let mut events = self.events(&ids).await?;
            let is_stuck = |stored: &Stored| is_stuck(stored, before);
            let stored = listed.iter().filter_map(|place| events.remove(&place.event)).map(|found| found.stored);
            found.extend(stored.filter(is_stuck));
            if listed.len() < wanted {
                break;
            }
            behind = listed.into_iter().last();
        }
        Ok(found)
    }

    /// Hands them back; answers how many.
    pub(super) async fn release_stuck(&self, older_than_ms: u64, limit: u64) -> Result<u64> {
        let before = self.now().minus(older_than_ms);
        let stuck = self.stuck(older_than_ms, limit).await?;
        let mut count = 0;
        for some in stuck.chunks(AT_ONCE) {
            let released =
                some.iter().map(|stored| self.release_one(&stored.event.id, move |event| is_stuck(event, before)));
            for released in all::<C, _>(released.collect()).await {
                count += u64::from(released?);
            }
        }
        Ok(count)
    }

    /// Removes events that were sent, or became dead letters, so long ago; answers how many.
    pub(super) async fn archive(
        &self,
        older_than_ms: u64,
        statuses: [Option<EventStatus>; 2],
        limit: u64,
    ) -> Result<u64> {
        let before = self.now().minus(older_than_ms);
        let is_old = |stored: &Stored| {
            let at = match stored.status {
                EventStatus::Sent => stored.sent_at,
                EventStatus::DeadLetter => stored.dead_at,
                _ => None,
            };
            statuses.contains(&Some(stored.status)) && at.is_some_and(|at| at <= before)
        };
        let mut removed = 0;
        let parts = || {
            let of = |status| {
                let attribute = if status == EventStatus::Sent { "#sentAt" } else { "#deadAt" };
                let values = Item::from([(":before", Attribute::number(before.0))]);
                let filter = Expression::new(format!("{attribute} <= :before"), values);
                (0..SHARDS).map(move |shard| Part::resting(status, shard, Some(filter.clone())))
            };
            statuses.into_iter().flatten().flat_map(of).collect::<Vec<_>>()
        };
        let mut behind = None;
        while removed < limit {
            let wanted = places(limit - removed);
            let listed = self.first_places(parts(), behind.as_ref(), wanted).await?;
            let ids: Vec<&str> = listed.iter().map(|place| &*place.event).collect();
            removed += self.remove(&ids, is_old).await?;
            if listed.len() < wanted {
                break;
            }
            behind = listed.into_iter().last();
        }
        Ok(removed)
    }

    /// How many there are of a status.
    pub(super) async fn count(&self, status: EventStatus) -> Result<u64> {
        let counts = Part::of(status).into_iter().map(|Part { index, condition, filter }| async move {
            // What has no key of the index is not in it.
            let filter = filter.unwrap_or_else(|| Expression::new("attribute_exists(#id)", Item::default()));
            let (mut total, mut next) = (0, Some(Count { index, condition, filter, after: None }));
            while let Some(query) = next.take() {
                let (count, after) = self.on.send(query.clone()).await?;
                total += count;
                next = after.map(|after| Count { after: Some(after), ..query });
            }
            Ok(total)
        });
        let counts: Result<Vec<u64>> = all::<C, _>(counts.collect()).await.into_iter().collect();
        Ok(counts?.into_iter().sum())
    }

    /// Keys that a dead letter holds up, in their order.
    pub(super) async fn blocked_keys(&self, terms: &Terms) -> Result<Vec<Box<str>>> {
        if terms.skips_dead {
            return Ok(Vec::new());
        }
        let keys = self.each(
            Part::of(EventStatus::DeadLetter),
            "#id, #partitionKey",
            |seen: &mut BTreeSet<Box<str>>, item| {
                seen.extend(text_of(item, PARTITION_KEY).map(Box::from));
                true
            },
        );
        let keys: BTreeSet<Box<str>> = keys.await?.into_iter().flatten().collect();
        Ok(keys.into_iter().collect())
    }

    /// Counts all events.
    pub(super) async fn statistics(&self, terms: &Terms) -> Result<Reply> {
        let now = self.now();
        let parts = (0..SHARDS).map(|shard| Part::queued(shard, None)).collect();
        let queued = self.each(parts, "#id, #status, #dueAt, #createdAt", |seen: &mut Counts, item| {
            let is_due = number_of(item, DUE_AT).is_none_or(|at| at <= now.0);
            match text_of(item, STATUS).and_then(EventStatus::named) {
                Some(EventStatus::Pending) if is_due => {
                    seen.ready += 1;
                    let created = number_of(item, CREATED_AT).map(Millis);
                    seen.oldest_ready = seen.oldest_ready.into_iter().chain(created).min();
                }
                Some(EventStatus::Pending) => seen.waiting += 1,
                Some(EventStatus::Claimed) => seen.claimed += 1,
                _ => {}
            }
            true
        });
        let mut counts = Counts::default();
        for seen in queued.await? {
            counts.ready += seen.ready;
            counts.waiting += seen.waiting;
            counts.claimed += seen.claimed;
            counts.oldest_ready = counts.oldest_ready.into_iter().chain(seen.oldest_ready).min();
        }
        counts.sent = self.count(EventStatus::Sent).await?;
        counts.dead = self.count(EventStatus::DeadLetter).await?;
        counts.blocked_keys = self.blocked_keys(terms).await?.len() as u64;
        Ok(Reply::Value(counts.into_dynamic(now)))
    }
}

fn is_stuck(stored: &Stored, before: Millis) -> bool {
    stored.status == EventStatus::Claimed && stored.claimed_at.is_some_and(|at| at <= before)
}
