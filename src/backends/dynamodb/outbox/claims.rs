//! Events that are given to workers.
//!
//! 1. The index of the queue names candidates, the longest due first. It follows the table a little later.
//! 2. Events without a key are read as they are now and judged; a conditional update decides.
//! 3. For a candidate with a key, the key is walked along from its beginning: see [`super::keys`]. A run of several
//!    events is claimed in one transaction, so that it has no gap, whoever is in the way.

use std::collections::{HashMap, HashSet, VecDeque};

use super::Outbox;
use super::item::{AT_ONCE, Found, Place, QUEUED, SHARDS, event_of, time_of_due};
use crate::backends::dynamodb::attribute::{Attribute, Item};
use crate::backends::dynamodb::changes::Change;
use crate::backends::dynamodb::channel::{Channel, all};
use crate::backends::dynamodb::executions::item::{number_of, text_of};
use crate::backends::dynamodb::expression::{CREATED_AT, DUE, Expression, PARTITION_KEY, SEQ};
use crate::backends::dynamodb::merged::Merged;
use crate::backends::dynamodb::pages::Query;
use crate::backends::dynamodb::requests::Update;
use crate::contract::outbox::record::{EventStatus, Stored};
use crate::contract::outbox::{ClaimEvents, judge};
use crate::error::Result;
use crate::time::Millis;

/// Candidates that are looked at together.
const LOOKED_AT: usize = 100;
/// Events of one run: what a transaction takes.
const LONGEST_RUN: usize = 100;
const LARGEST_RUN: u64 = 3 << 20;
/// Places of a key that are read at once, at most.
const PLACES: usize = 100;
/// How often a key is looked at again that somebody has changed meanwhile.
const LOOKS: u32 = 4;
/// Events that are parked by one look at a key.
pub(super) const PARKED_AT_ONCE: usize = 100;
/// How long events wait behind a dead letter until somebody looks again; who decides about it wakes them before.
const BEHIND_DEAD_MS: u64 = 300_000;
/// How far the clocks of two processes are apart, at most: what is due at once is found all the same.
const APART_MS: i64 = 5_000;

/// What the index has of an event.
struct Candidate {
    event: String,
    seq: i64,
    key: Option<String>,
}

impl Candidate {
    /// None: its time has not come.
    fn read(item: &Item, now: Millis) -> Option<Self> {
        let at = time_of_due(text_of(item, DUE)?)?;
        if at > now && number_of(item, CREATED_AT) != Some(at.0) {
            return None;
        }
        Some(Self {
            event: event_of(item)?.to_owned(),
            seq: number_of(item, SEQ)?,
            key: text_of(item, PARTITION_KEY).map(str::to_owned),
        })
    }
}

/// What is looked at in one go.
enum Unit {
    Event(String),
    /// A key, and the candidates that led to it.
    Key(String, Vec<(String, i64)>),
}

/// What each of these candidates leads to; those of one key are one.
fn units(candidates: impl Iterator<Item = Candidate>) -> Vec<Unit> {
    let (mut units, mut places) = (Vec::new(), HashMap::new());
    for Candidate { event, seq, key } in candidates {
        let Some(key) = key else {
            units.push(Unit::Event(event));
            continue;
        };
        let place = *places.entry(key.clone()).or_insert(units.len());
        if place == units.len() {
            units.push(Unit::Key(key, Vec::new()));
        }
        if let Unit::Key(_, met) = &mut units[place] {
            met.push((event, seq));
        }
    }
    units
}

/// The first of them, with the room for each: a key has as much as it has candidates.
fn first_units(waiting: &mut VecDeque<Unit>, mut room: usize) -> Vec<(Unit, usize)> {
    let mut first = Vec::new();
    while room > 0 && first.len() < AT_ONCE {
        let Some(unit) = waiting.pop_front() else { break };
        let share = if let Unit::Key(_, met) = &unit { met.len().min(room) } else { 1 };
        room -= share;
        first.push((unit, share));
    }
    first
}

/// What a claim has given so far.
#[derive(Default)]
struct Given {
    claimed: Vec<Stored>,
    /// Keys of which nothing more can be claimed.
    closed: HashSet<String>,
    /// Keys of which there is more, perhaps.
    open: Vec<String>,
}

/// What a look at a key, or at an event, gave.
#[derive(Default)]
struct Visit {
    claimed: Vec<Stored>,
    /// There was more, and no room for it.
    is_cut: bool,
}

fn by_due(one: &Item, other: &Item) -> std::cmp::Ordering {
    text_of(one, DUE).cmp(&text_of(other, DUE))
}

/// What a claim wants of those that the index has.
fn wanted(claim: &ClaimEvents) -> Option<Expression> {
    let (mut parts, mut values) = (Vec::new(), Item::default());
    for (attribute, names, short) in [("#eventType", &claim.types, 't'), ("#routingKey", &claim.routing_keys, 'r')] {
        let Some(names) = names else { continue };
        let listed: Vec<String> = (0..names.len()).map(|place| format!(":{short}{place}")).collect();
        for (value, name) in listed.iter().zip(names) {
            values.set(value, Attribute::text(name));
        }
        parts.push(format!("{attribute} IN ({})", listed.join(", ")));
    }
    (!parts.is_empty()).then(|| Expression::new(parts.join(" AND "), values))
}

/// What the index has of events that are due, or nearly so.
fn candidates(claim: &ClaimEvents, now: Millis) -> Merged {
    let until = format!("{:016}", now.0.saturating_add(APART_MS).max(0));
    let filter = wanted(claim);
    let queries = (0..SHARDS).map(|shard| {
        let values = Item::from([(":queue", Attribute::S(shard.to_string())), (":until", Attribute::S(until.clone()))]);
        let condition = Expression::new("#queue = :queue AND #due < :until", values);
        let query = Query::of(Some(QUEUED), condition, "#id, #due, #seq, #createdAt, #partitionKey", 0);
        Query { filter: filter.clone(), ..query }
    });
    Merged::new(queries.collect(), claim.limit, by_due)
}

impl<C: Channel> Outbox<'_, C> {
    /// Gives events to a worker.
    pub(super) async fn claim(&self, claim: &ClaimEvents) -> Result<Vec<Stored>> {
        let limit = usize::try_from(claim.limit).unwrap_or(usize::MAX);
        let now = self.now();
        let (mut merged, mut given) = (candidates(claim, now), Given::default());
        let mut waiting = VecDeque::new();
        while given.claimed.len() < limit {
            let room = limit - given.claimed.len();
            if waiting.is_empty() {
                // More than there is room for, to see how many there are of a key.
                let listed = merged.next(self.on, room.saturating_mul(2).clamp(16, LOOKED_AT)).await?;
                if listed.is_empty() {
                    break;
                }
                let listed = listed.iter().filter_map(|item| Candidate::read(item, now));
                let is_open = |one: &Candidate| one.key.as_ref().is_none_or(|key| !given.closed.contains(key));
                waiting.extend(units(listed.filter(is_open)));
            }
            let some = first_units(&mut waiting, room);
            self.claim_units(claim, &some, &mut given).await?;
        }
        // What the index has not named stands behind what it has.
        for key in std::mem::take(&mut given.open) {
            let mut is_cut = true;
            while is_cut && given.claimed.len() < limit && !given.closed.contains(&key) {
                let visit = self.claim_key(claim, &key, limit - given.claimed.len(), &[]).await?;
                is_cut = visit.is_cut && !visit.claimed.is_empty();
                given.claimed.extend(visit.claimed);
            }
        }
        let mut claimed = given.claimed;
        claimed.sort_by(|one, other| Place::of(one).cmp(&Place::of(other)));
        Ok(claimed)
    }

    /// Claims of each at most as many as there is room for.
    async fn claim_units(&self, claim: &ClaimEvents, units: &[(Unit, usize)], given: &mut Given) -> Result<()> {
        let single = |unit: &'_ Unit| if let Unit::Event(id) = unit { Some(id.clone()) } else { None };
        let single: Vec<String> = units.iter().filter_map(|(unit, _)| single(unit)).collect();
        let found = self.events(&single.iter().map(String::as_str).collect::<Vec<_>>()).await?;
        let visits = units.iter().map(|(unit, room)| {
            let found = if let Unit::Event(id) = unit { found.get(id) } else { None };
            async move {
                match unit {
                    Unit::Event(_) => self.claim_one(claim, found).await,
                    Unit::Key(key, met) => self.claim_key(claim, key, *room, met).await,
                }
            }
        });
        for ((unit, _), visit) in units.iter().zip(all::<C, _>(visits.collect()).await) {
            let visit = visit?;
            if let Unit::Key(key, _) = unit {
                if visit.is_cut {
                    given.open.push(key.clone());
                } else {
                    given.closed.insert(key.clone());
                }
            }
            given.claimed.extend(visit.claimed);
        }
        Ok(())
    }

    /// Claims an event without a key.
    async fn claim_one(&self, claim: &ClaimEvents, found: Option<&Found>) -> Result<Visit> {
        let now = self.now();
        let is_meant =
            |found: &&Found| judge::is_free(&found.stored, now) && judge::is_wanted(&found.stored, claim, now);
        let Some(found) = found.filter(is_meant) else { return Ok(Visit::default()) };
        let mut after = found.stored.clone();
        let is_given = judge::claim(&mut after, &claim.lease, &claim.terms, now);
        let is_done = self.make(found, &after).await?;
        Ok(Visit { claimed: if is_given && is_done { vec![after] } else { Vec::new() }, is_cut: false })
    }

    /// Claims what can be claimed of a key, at most `room` events.
    async fn claim_key(&self, claim: &ClaimEvents, key: &str, room: usize, met: &[(String, i64)]) -> Result<Visit> {
        for look in 0..LOOKS {
            self.rest(look).await;
            if let Some(visit) = self.look_at(claim, key, room, met).await? {
                return Ok(visit);
            }
        }
        // Another worker is at it.
        Ok(Visit::default())
    }

    /// None: somebody has changed it meanwhile.
    async fn look_at(
        &self,
        claim: &ClaimEvents,
        key: &str,
        room: usize,
        met: &[(String, i64)],
    ) -> Result<Option<Visit>> {
        let now = self.now();
        let Some(Walk { run, is_cut, stopped_by }) = self.walk(claim, key, room, now).await? else { return Ok(None) };
        if let (true, Some(first)) = (run.is_empty(), stopped_by) {
            if judge::holds_up(&first, &claim.terms) && !judge::is_free(&first, now) {
                let until = first.lease_until.or(first.due_at).unwrap_or_else(|| now.plus(BEHIND_DEAD_MS));
                let behind = met.iter().filter(|(event, _)| **event != *first.event.id).cloned();
                self.park(&behind.collect::<Vec<_>>(), until).await?;
            }
            return Ok(Some(Visit::default()));
        }
        let updates: Result<Vec<Update>> = run.iter().map(|(found, after, _)| found.update(after)).collect();
        let mut updates = updates?;
        let is_done = match updates.len() {
            0 => true,
            1 => match updates.pop() {
                Some(update) => self.has(update).await?,
                None => true,
            },
            _ => self.transact(updates).await?,
        };
        let given = run.into_iter().filter(|(_, _, is_given)| *is_given).map(|(_, after, _)| after);
        Ok(is_done.then(|| Visit { claimed: given.collect(), is_cut }))
    }

    /// Whether all of them have happened; else none has.
    async fn transact(&self, updates: Vec<Update>) -> Result<bool> {
        let change =
            |Update { key, change, condition }| Change::update(self.on.table(), key, change).only_if(condition);
        match self.on.transact(updates.into_iter().map(change).collect()).await {
            Ok(()) => Ok(true),
            Err(failure) if failure.is_met() => Ok(false),
            Err(failure) => Err(failure.into()),
        }
    }

    /// Walks along a key. None: it cannot be seen as a whole at this moment.
    async fn walk(&self, claim: &ClaimEvents, key: &str, room: usize, now: Millis) -> Result<Option<Walk>> {
        let mut walk = Walk::default();
        let (mut behind, mut bytes, mut given) = (None, 0, 0);
        let page = room.saturating_add(1).clamp(2, PLACES);
        loop {
            let places = self.places(key, behind.as_ref(), i32::try_from(page).unwrap_or(2)).await?;
            let ids: Vec<&str> = places.iter().map(|place| &*place.event).collect();
            let mut events = self.events(&ids).await?;
            for place in &places {
                let is_of_it = |found: &Found| found.stored.seq == place.seq;
                let is_there = events.get(&place.event).is_some_and(is_of_it);
                let Some(found) = is_there.then(|| events.remove(&place.event)).flatten() else {
                    if !self.drop_empty_place(key, place).await? {
                        return Ok(None);
                    }
                    continue;
                };
                let stored = &found.stored;
                match stored.status {
                    // It is sent, and about to be removed from here.
                    EventStatus::Sent => {
                        self.drop_place(key, place).await?;
                        continue;
                    }
                    EventStatus::DeadLetter if claim.terms.skips_dead => continue,
                    _ if judge::is_held(stored, &claim.lease.token) => continue,
                    _ => {}
                }
                if !judge::is_free(stored, now) || !judge::is_wanted(stored, claim, now) {
                    walk.stopped_by = Some(found.stored);
                    return Ok(Some(walk));
                }
                bytes += found.size();
                let is_full = walk.run.len() == LONGEST_RUN || (bytes > LARGEST_RUN && !walk.run.is_empty());
                if given == room || is_full {
                    walk.is_cut = true;
                    return Ok(Some(walk));
                }
                let mut after = stored.clone();
                let is_given = judge::claim(&mut after, &claim.lease, &claim.terms, now);
                walk.run.push((found, after, is_given));
                if !is_given && !claim.terms.skips_dead {
                    return Ok(Some(walk));
                }
                given += usize::from(is_given);
            }
            if places.len() < page {
                return Ok(Some(walk));
            }
            behind = places.into_iter().last();
        }
    }
}

/// The beginning of a key, as far as it can be claimed.
#[derive(Default)]
struct Walk {
    /// Events, what becomes of them, and whether the worker gets them.
    run: Vec<(Found, Stored, bool)>,
    /// There was no room for more.
    is_cut: bool,
    /// The event at which it ended.
    stopped_by: Option<Stored>,
}
