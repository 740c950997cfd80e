//! What becomes of events that a worker has, and what somebody decides about them.
//!
//! 1. An event that is sent and not kept is removed by one conditional delete, which tells what it was.
//! 2. Else events are read, judged, and changed under the condition that nobody has changed them since.
//! 3. Where an event of a key fails or is handed back, those behind it are handed back first: at every moment the
//!    first of a key stands before the others.
//! 4. The place of an event in its key is removed behind the event. Then the next one of the key is woken.

use std::collections::{HashMap, HashSet};

use super::item::{AT_ONCE, Found, Place, event_key};
use super::{ATTEMPTS, Outbox, crowded};
use crate::backends::dynamodb::attribute::{Attribute, Item};
use crate::backends::dynamodb::channel::{Channel, all};
use crate::backends::dynamodb::error::Cause;
use crate::backends::dynamodb::expression::Expression;
use crate::backends::dynamodb::requests::{Delete, TakeOut};
use crate::contract::outbox::record::{EventStatus, Stored, missing};
use crate::contract::outbox::{Decision, Held, Outcome, Settlement, Terms, judge};
use crate::error::Result;

/// Events that one claim has of one key; or one event without a key.
type Group<'h> = Vec<(Found, &'h Held)>;

/// Whether nobody looks at it any more in its key, or those behind it may perhaps pass.
fn is_ended(stored: &Stored) -> bool {
    matches!(stored.status, EventStatus::Sent | EventStatus::DeadLetter)
}

fn is_removed(stored: &Stored, terms: &Terms) -> bool {
    stored.status == EventStatus::Sent && terms.retain_sent_ms == 0
}

impl<C: Channel> Outbox<'_, C> {
    /// Says what has become of events; answers those that are another's by now.
    pub(super) async fn settle(&self, settlement: &Settlement) -> Result<Vec<Box<str>>> {
        let Settlement { held, outcome, terms } = settlement;
        if *outcome == Outcome::Sent && terms.retain_sent_ms == 0 {
            return self.take_out(held).await;
        }
        let mut lost: HashSet<&str> = HashSet::new();
        let ids: Vec<&str> = held.iter().map(|held| &*held.id).collect();
        let mut found = self.events(&ids).await?;
        // Those of a key in their order; the others by themselves.
        let mut groups: HashMap<(Option<Box<str>>, &str), Group> = HashMap::new();
        for held in held {
            let Some(event) = found.remove(&*held.id).filter(|found| judge::is_held(&found.stored, &held.token)) else {
                lost.insert(&held.id);
                continue;
            };
            let key = event.stored.event.partition_key.clone();
            let by_itself = if key.is_none() { &*held.id } else { &*held.token };
            groups.entry((key, by_itself)).or_default().push((event, held));
        }
        let mut groups: Vec<Group> = groups.into_values().collect();
        for group in &mut groups {
            group.sort_by(|(one, _), (other, _)| Place::of(&one.stored).cmp(&Place::of(&other.stored)));
        }
        for some in groups.chunks(AT_ONCE) {
            let settled = some.iter().map(|group| self.settle_group(group, settlement));
            for settled in all::<C, _>(settled.collect()).await {
                lost.extend(settled?);
            }
        }
        Ok(held.iter().filter(|held| lost.contains(&*held.id)).map(|held| held.id.clone()).collect())
    }

    /// Settles events of one key and one claim; answers those that are lost.
    async fn settle_group<'h>(&self, group: &[(Found, &'h Held)], settlement: &Settlement) -> Result<Vec<&'h str>> {
        let Settlement { outcome, terms, .. } = settlement;
        let mut lost = Vec::new();
        if !matches!(outcome, Outcome::Failed { .. } | Outcome::Released) {
            let mut ended = Vec::new();
            for (_, held) in group {
                match self.settle_one(held, outcome, terms).await? {
                    Some(after) => ended.push(after),
                    None => lost.push(&*held.id),
                }
            }
            self.wake_behind(ended.iter().filter(|after| is_ended(after))).await?;
            return Ok(lost);
        }
        let Some(((first, held), others)) = group.split_first() else { return Ok(lost) };
        self.hand_back_behind(&first.stored).await?;
        match self.settle_one(held, outcome, terms).await? {
            Some(after) if is_ended(&after) => self.wake_behind([&after]).await?,
            Some(_) => {}
            None => lost.push(&*held.id),
        }
        // What was handed back with the first has been released, and has not failed.
        if *outcome != Outcome::Released {
            lost.extend(others.iter().map(|(_, held)| &*held.id));
        }
        Ok(lost)
    }

    /// What it is now; none if it is another's.
    async fn settle_one(&self, held: &Held, outcome: &Outcome, terms: &Terms) -> Result<Option<Stored>> {
        let changed = self.change(&held.id, |event| {
            let is_held = judge::is_held(event, &held.token);
            if is_held {
                judge::settle(event, outcome, terms, self.now());
            }
            Ok(is_held)
        });
        let Some((_, after)) = Box::pin(changed).await? else { return Ok(None) };
        if after.status == EventStatus::Sent {
            self.drop_place_of(&after).await?;
        }
        Ok(Some(after))
    }

    /// Hands back what the same claim has of its key behind an event, the last ones first.
    async fn hand_back_behind(&self, event: &Stored) -> Result<()> {
        let (Some(key), Some(token)) = (&event.event.partition_key, &event.token) else { return Ok(()) };
        let behind = self.behind(key, &Place::of(event)).await?;
        let is_held = |found: &&Found| judge::is_held(&found.stored, token);
        let held: Vec<&str> = behind.iter().filter(is_held).map(|found| &*found.stored.event.id).collect();
        for some in held.rchunks(AT_ONCE) {
            let released = some.iter().map(|id| {
                self.change(id, |event| {
                    let is_held = judge::is_held(event, token);
                    if is_held {
                        judge::hand_back(event);
                    }
                    Ok(is_held)
                })
            });
            all::<C, _>(released.collect()).await.into_iter().collect::<Result<Vec<_>>>()?;
        }
        Ok(())
    }

    /// Removes events that are sent; answers those that are another's by now.
    async fn take_out(&self, held: &[Held]) -> Result<Vec<Box<str>>> {
        let (mut lost, mut ended) = (Vec::new(), Vec::new());
        for some in held.chunks(AT_ONCE * 2) {
            let taken = some.iter().map(|held| self.take_one(held));
            for (held, taken) in some.iter().zip(all::<C, _>(taken.collect()).await) {
                match taken? {
                    Some(stored) => ended.push(stored),
                    None => lost.push(held.id.clone()),
                }
            }
        }
        self.wake_behind(&ended).await?;
        Ok(lost)
    }

    async fn take_one(&self, held: &Held) -> Result<Option<Stored>> {
        for attempt in 0..ATTEMPTS {
            self.rest(attempt).await;
            let values =
                [(":claimed", Attribute::text(EventStatus::Claimed.name())), (":mine", Attribute::text(&held.token))];
            let condition = Expression::new("#status = :claimed AND #token = :mine", Item::from(values));
            match self.on.send(TakeOut(Delete { key: event_key(&held.id), condition })).await {
                Ok(None) => return Ok(None),
                Ok(Some(item)) => {
                    let stored = Found::of(item)?.stored;
                    self.drop_place_of(&stored).await?;
                    return Ok(Some(stored));
                }
                Err(failure) if failure.cause == Cause::Conflict => {}
                Err(failure) => return Err(failure.into()),
            }
        }
        Err(crowded(&held.id))
    }

    /// Decides about an event, whoever has it.
    pub(super) async fn decide(&self, id: &str, decision: &Decision, terms: &Terms) -> Result<()> {
        for attempt in 0..ATTEMPTS {
            self.rest(attempt).await;
            let found = self.event(id).await?.ok_or_else(|| missing(id))?;
            let mut after = found.stored.clone();
            let hands_back = judge::decide(&mut after, decision, terms, self.now())?;
            if hands_back {
                self.hand_back_behind(&found.stored).await?;
            }
            let is_done = if is_removed(&after, terms) {
                self.drop_event(&found).await?
            } else {
                after == found.stored || self.make(&found, &after).await?
            };
            if !is_done {
                continue;
            }
            if after.status == EventStatus::Sent {
                self.drop_place_of(&after).await?;
            }
            if is_ended(&after) {
                self.wake_behind([&after]).await?;
            }
            return Ok(());
        }
        Err(crowded(id))
    }

    /// Makes dead letters pending again; answers how many.
    pub(super) async fn requeue(&self, ids: &[Box<str>]) -> Result<u64> {
        let mut count = 0;
        for some in ids.chunks(AT_ONCE) {
            let changed = some.iter().map(|id| {
                self.change(id, |event| {
                    let is_dead = event.status == EventStatus::DeadLetter;
                    if is_dead {
                        judge::requeue(event);
                    }
                    Ok(is_dead)
                })
            });
            for changed in all::<C, _>(changed.collect()).await {
                count += u64::from(changed?.is_some());
            }
        }
        Ok(count)
    }

    /// Removes dead letters; answers how many.
    pub(super) async fn discard(&self, ids: &[Box<str>]) -> Result<u64> {
        let ids: Vec<&str> = ids.iter().map(|id| &**id).collect();
        self.remove(&ids, |stored| stored.status == EventStatus::DeadLetter).await
    }

    /// Removes events that are meant; answers how many.
    pub(super) async fn remove(&self, ids: &[&str], is_meant: impl Fn(&Stored) -> bool + Sync) -> Result<u64> {
        let mut removed = Vec::new();
        for some in ids.chunks(AT_ONCE) {
            let gone = some.iter().map(|id| self.remove_one(id, &is_meant));
            for gone in all::<C, _>(gone.collect()).await {
                removed.extend(gone?);
            }
        }
        self.wake_behind(&removed).await?;
        Ok(removed.len() as u64)
    }

    async fn remove_one(&self, id: &str, is_meant: &(impl Fn(&Stored) -> bool + Sync)) -> Result<Option<Stored>> {
        for attempt in 0..ATTEMPTS {
            self.rest(attempt).await;
            let found = self.event(id).await?.filter(|found| is_meant(&found.stored));
            let Some(found) = found else { return Ok(None) };
            if self.drop_event(&found).await? {
                return Ok(Some(found.stored));
            }
        }
        Err(crowded(id))
    }

    /// Hands back an event that is stuck; whether it was.
    pub(super) async fn release_one(&self, id: &str, is_stuck: impl Fn(&Stored) -> bool) -> Result<bool> {
        let released = self.change(id, |event| {
            let is_stuck = is_stuck(event);
            if is_stuck {
                judge::release(event);
            }
            Ok(is_stuck)
        });
        Ok(released.await?.is_some())
    }
}
