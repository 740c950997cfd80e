//! Events in a map; a transaction works on a copy of it, and brings in at its end what it has changed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use bytes::Bytes;

use crate::contract::operation::Work;
use crate::contract::outbox::judge;
use crate::contract::outbox::record::{
    Content, Counts, EventPage, EventStatus, Stored, foreign_cursor, listed, missing, settled, taken,
};
use crate::contract::outbox::{
    ClaimEvents, Insertion, OutboxRead, OutboxStep, OutboxWrite, Outcome, Settlement, Terms,
};
use crate::contract::step::Reply;
use crate::error::{Error, Kind, Result};
use crate::time::Millis;

/// All events of one memory store.
#[derive(Clone, Default)]
pub(super) struct Outbox {
    pub(super) events: BTreeMap<i64, Arc<Stored>>,
    by_id: HashMap<Box<str>, i64>,
    /// What is not sent, by partition key.
    keys: HashMap<Box<str>, BTreeSet<i64>>,
    /// What can be claimed: without a key, or the first of its key.
    free: BTreeSet<i64>,
    /// The same, that can be claimed from some time on.
    timed: BTreeSet<(Millis, i64)>,
    pub(super) last: i64,
    skips_dead: bool,
    /// In a transaction: what stood in the places that it has changed.
    journal: Option<HashMap<i64, Option<Arc<Stored>>>>,
}

/// The changes of a transaction: none yet, or a copy that all work is done on.
#[derive(Default)]
pub(super) struct OutboxChanges(Option<Box<Outbox>>);

impl OutboxChanges {
    /// What the transaction sees.
    pub(super) fn view(&mut self, outbox: &Outbox) -> &mut Outbox {
        self.0.get_or_insert_with(|| {
            let mut copy = Box::new(outbox.clone());
            copy.journal = Some(HashMap::new());
            copy
        })
    }

    /// Whether nobody else has changed the same events meanwhile.
    pub(super) fn check(&self, outbox: &Outbox) -> Result<()> {
        let Some(copy) = &self.0 else { return Ok(()) };
        for (seq, before) in copy.journal.iter().flatten() {
            let id_is_taken = before.is_none()
                && copy.events.get(seq).is_some_and(|event| outbox.by_id.contains_key(&event.event.id));
            let same = match (outbox.events.get(seq), before) {
                // Inserted here; another transaction may have used the number.
                (_, None) => !id_is_taken,
                (Some(there), Some(before)) => Arc::ptr_eq(there, before),
                (None, Some(_)) => false,
            };
            if !same {
                let message = "another transaction has changed the same events: nothing of this one has happened";
                return Err(Error::new(Kind::Backend, message).retryable(true));
            }
        }
        Ok(())
    }

    /// Makes them. What was inserted gets its place in the queue now.
    pub(super) fn apply(self, outbox: &mut Outbox) {
        let Some(mut copy) = self.0 else { return };
        let mut changed: Vec<_> = copy.journal.take().unwrap_or_default().into_iter().collect();
        changed.sort_unstable_by_key(|(seq, _)| *seq);
        outbox.let_dead_pass(copy.skips_dead);
        for (seq, before) in changed {
            let after = copy.events.remove(&seq);
            if before.is_some() {
                outbox.set(seq, after);
            } else if let Some(mut inserted) = after {
                outbox.last += 1;
                Arc::make_mut(&mut inserted).seq = outbox.last;
                outbox.set(outbox.last, Some(inserted));
            }
        }
    }
}

impl Outbox {
    /// The first event of a key that is not sent, or does not let others pass.
    fn head(&self, key: &str) -> Option<i64> {
        let dead_pass = |seq: &&i64| {
            let dead = self.events.get(*seq).is_some_and(|event| event.status == EventStatus::DeadLetter);
            !(dead && self.skips_dead)
        };
        self.keys.get(key)?.iter().find(dead_pass).copied()
    }

    /// Whether dead letters let others of their key pass: with it other events may be the first ones.
    fn let_dead_pass(&mut self, skips_dead: bool) {
        if self.skips_dead == skips_dead {
            return;
        }
        let heads = |outbox: &Self| outbox.keys.keys().filter_map(|key| outbox.head(key)).collect::<Vec<i64>>();
        for seq in heads(self) {
            self.unplace(seq);
        }
        self.skips_dead = skips_dead;
        for seq in heads(self) {
            self.place(seq);
        }
    }

    fn unplace(&mut self, seq: i64) {
        self.free.remove(&seq);
        if let Some(event) = self.events.get(&seq)
            && let Some(at) = event.due_at.or(event.lease_until)
        {
            self.timed.remove(&(at, seq));
        }
    }

    fn place(&mut self, seq: i64) {
        let Some(event) = self.events.get(&seq) else { return };
        let is_first = event.event.partition_key.as_ref().is_none_or(|key| self.head(key) == Some(seq));
        match (event.status, event.due_at.or(event.lease_until)) {
            _ if !is_first => {}
            (EventStatus::Pending | EventStatus::Claimed, Some(at)) => drop(self.timed.insert((at, seq))),
            (EventStatus::Pending | EventStatus::Claimed, None) => drop(self.free.insert(seq)),
            (EventStatus::Sent | EventStatus::DeadLetter, _) => {}
        }
    }

    /// Changes one place of the queue.
    pub(super) fn set(&mut self, seq: i64, after: Option<Arc<Stored>>) {
        let before = self.events.get(&seq).cloned();
        if let Some(journal) = &mut self.journal {
            journal.entry(seq).or_insert_with(|| before.clone());
        }
        let of = |event: &Option<Arc<Stored>>| event.as_ref().and_then(|event| event.event.partition_key.clone());
        let key = of(&before).or_else(|| of(&after));
        let head = key.as_ref().and_then(|key| self.head(key));
        for seq in head.into_iter().chain([seq]) {
            self.unplace(seq);
        }
        let is_unsent = after.as_ref().is_some_and(|event| event.status != EventStatus::Sent);
        if let Some(key) = &key {
            let of_key = self.keys.entry(key.clone()).or_default();
            if is_unsent {
                of_key.insert(seq)
            } else {
                of_key.remove(&seq)
            };
            if of_key.is_empty() {
                self.keys.remove(key);
            }
        }
        if let Some(event) = after {
            self.by_id.insert(event.event.id.clone(), seq);
            self.events.insert(seq, event);
        } else {
            self.events.remove(&seq);
            before.map(|event| self.by_id.remove(&event.event.id));
        }
        let head = key.as_ref().and_then(|key| self.head(key));
        for seq in head.into_iter().chain([seq]) {
            self.place(seq);
        }
    }

    fn change<T>(&mut self, seq: i64, change: impl FnOnce(&mut Stored) -> T) -> Option<T> {
        let mut event = Stored::clone(self.events.get(&seq)?);
        let changed = change(&mut event);
        self.set(seq, Some(Arc::new(event)));
        Some(changed)
    }

    pub(super) fn by_id(&self, id: &str) -> Option<(i64, &Arc<Stored>)> {
        let seq = *self.by_id.get(id)?;
        Some((seq, self.events.get(&seq)?))
    }

    pub(super) fn run(&mut self, step: &OutboxStep, now: Millis) -> Result<Reply> {
        match step {
            Work::Write(write) => self.write(write, now),
            Work::Read(read) => self.read(read, now),
        }
    }

    pub(super) fn write(&mut self, write: &OutboxWrite, now: Millis) -> Result<Reply> {
        Ok(match write {
            OutboxWrite::Insert(insertion) => self.insert(insertion, now)?,
            OutboxWrite::Claim(claim) => listed(self.claim(claim, now)),
            OutboxWrite::Settle(settlement) => settled(self.settle(settlement, now)),
            OutboxWrite::Decide { id, decision, terms } => {
                self.let_dead_pass(terms.skips_dead);
                let (seq, event) = self.by_id(id).ok_or_else(|| missing(id))?;
                let before = Arc::clone(event);
                let mut after = Stored::clone(event);
                let hands_back = judge::decide(&mut after, decision, terms, now)?;
                self.set(seq, Some(Arc::new(after)));
                if hands_back {
                    self.hand_back_behind(&before);
                }
                self.drop_if_sent(seq, terms);
                Reply::Done
            }
            OutboxWrite::ReleaseStuck { older_than_ms, limit } => {
                let stuck = self.stuck(*older_than_ms, *limit, now);
                for seq in &stuck {
                    self.change(*seq, judge::release);
                }
                Reply::Count(stuck.len() as u64)
            }
            OutboxWrite::Requeue { ids } => {
                let dead = self.dead(ids);
                for seq in &dead {
                    self.change(*seq, judge::requeue);
                }
                Reply::Count(dead.len() as u64)
            }
            OutboxWrite::Discard { ids } => {
                let dead = self.dead(ids);
                for seq in &dead {
                    self.set(*seq, None);
                }
                Reply::Count(dead.len() as u64)
            }
            OutboxWrite::Archive { older_than_ms, sent, dead, limit } => {
                let before = now.minus(*older_than_ms);
                let is_over = |event: &Stored| match event.status {
                    EventStatus::Sent => *sent && event.sent_at.is_some_and(|at| at <= before),
                    EventStatus::DeadLetter => *dead && event.dead_at.is_some_and(|at| at <= before),
                    EventStatus::Pending | EventStatus::Claimed => false,
                };
                Reply::Count(self.remove(is_over, *limit))
            }
        })
    }

    fn insert(&mut self, insertion: &Insertion, now: Millis) -> Result<Reply> {
        self.let_dead_pass(insertion.terms.skips_dead);
        let known = |id: &str| self.by_id(id).map(|(_, event)| event.operation == insertion.operation);
        if !insertion.ignores_duplicates
            && let Some(event) = insertion.events.iter().find(|event| known(&event.id) == Some(false))
        {
            return Err(taken(&event.id));
        }
        let fresh: Vec<_> = insertion.events.iter().filter(|event| known(&event.id).is_none()).collect();
        let mut claimed = Vec::new();
        for event in fresh {
            self.last += 1;
            let mut stored = judge::inserted(event, self.last, insertion, now);
            // The caller's bytes are its own again once it is answered.
            if let Content::Bytes(bytes) = &stored.event.payload {
                stored.event.payload = Content::Bytes(Bytes::copy_from_slice(bytes));
            }
            self.set(self.last, Some(Arc::new(stored)));
            if let Some(lease) = &insertion.lease
                && self.is_next(self.last, &lease.token)
                && self.events.get(&self.last).is_some_and(|event| judge::is_free(event, now))
            {
                self.change(self.last, |event| judge::claim(event, lease, &insertion.terms, now));
                claimed.push(self.last);
            }
        }
        Ok(listed(self.copies(claimed)))
    }

    /// Whether all events of its key before it are in the hands of the same claim.
    fn is_next(&self, seq: i64, token: &str) -> bool {
        let Some(key) = self.events.get(&seq).and_then(|event| event.event.partition_key.as_ref()) else { return true };
        let before = self.keys.get(key).into_iter().flat_map(|of_key| of_key.range(..seq));
        before.filter_map(|seq| self.events.get(seq)).all(|event| {
            let dead = event.status == EventStatus::DeadLetter;
            (dead && self.skips_dead) || judge::is_held(event, token)
        })
    }

    /// Copies of the payloads: no answer shares its memory with what is stored.
    pub(super) fn copies(&self, seqs: impl IntoIterator<Item = i64>) -> Vec<Stored> {
        let copy = |seq| {
            let mut event = Stored::clone(self.events.get(&seq)?);
            if let Content::Bytes(bytes) = &event.event.payload {
                event.event.payload = Content::Bytes(Bytes::copy_from_slice(bytes));
            }
            Some(event)
        };
        seqs.into_iter().filter_map(copy).collect()
    }

    fn claim(&mut self, claim: &ClaimEvents, now: Millis) -> Vec<Stored> {
        self.let_dead_pass(claim.terms.skips_dead);
        while let Some((_, seq)) = self.timed.first().copied().filter(|(at, _)| *at <= now) {
            self.timed.pop_first();
            self.free.insert(seq);
        }
        let (mut claimed, mut from) = (Vec::new(), i64::MIN);
        while let Some(head) = self.free.range(from..).next().copied()
            && (claimed.len() as u64) < claim.limit
        {
            from = head + 1;
            self.claim_from(head, claim, now, &mut claimed);
        }
        claimed.sort_unstable();
        self.copies(claimed)
    }

    /// Claims an event, and those of its key behind it.
    fn claim_from(&mut self, head: i64, claim: &ClaimEvents, now: Millis, claimed: &mut Vec<i64>) {
        let Some(key) = self.events.get(&head).map(|event| event.event.partition_key.clone()) else { return };
        let of_key = key.and_then(|key| self.keys.get(&key));
        let run: Vec<i64> = of_key.map_or_else(|| vec![head], |of_key| of_key.range(head..).copied().collect());
        for seq in run {
            let Some(event) = self.events.get(&seq) else { continue };
            if event.status == EventStatus::DeadLetter && self.skips_dead {
                continue;
            }
            let is_full = claimed.len() as u64 == claim.limit;
            if is_full || !judge::is_free(event, now) || !judge::is_wanted(event, claim, now) {
                return;
            }
            let is_given = self.change(seq, |event| judge::claim(event, &claim.lease, &claim.terms, now));
            if is_given == Some(true) {
                claimed.push(seq);
            } else if !self.skips_dead {
                return;
            }
        }
    }

    fn settle(&mut self, settlement: &Settlement, now: Millis) -> Vec<Box<str>> {
        let Settlement { held, outcome, terms } = settlement;
        self.let_dead_pass(terms.skips_dead);
        // In their order: one that fails takes those behind it along.
        let mut held: Vec<_> = held.iter().map(|held| (self.by_id.get(&held.id).copied(), held)).collect();
        held.sort_by_key(|(seq, _)| *seq);
        let (mut lost, mut handed_back) = (Vec::new(), BTreeSet::<(i64, &str)>::new());
        for (seq, held) in held {
            if *outcome == Outcome::Released && seq.is_some_and(|seq| handed_back.contains(&(seq, &*held.token))) {
                continue;
            }
            let found = seq.and_then(|seq| Some((seq, self.events.get(&seq)?)));
            let Some((seq, event)) = found.filter(|(_, event)| judge::is_held(event, &held.token)) else {
                lost.push(held.id.clone());
                continue;
            };
            let before = Arc::clone(event);
            if self.change(seq, |event| judge::settle(event, outcome, terms, now)) == Some(true) {
                let behind = self.hand_back_behind(&before);
                handed_back.extend(behind.into_iter().map(|seq| (seq, &*held.token)));
            }
            self.drop_if_sent(seq, terms);
        }
        lost
    }

    /// Hands back what the same claim has of its key behind an event; answers what.
    fn hand_back_behind(&mut self, event: &Stored) -> Vec<i64> {
        let (Some(key), Some(token)) = (&event.event.partition_key, &event.token) else { return Vec::new() };
        let behind = self.keys.get(key).into_iter().flat_map(|of_key| of_key.range(event.seq + 1..).copied());
        let is_held = |seq: &i64| self.events.get(seq).is_some_and(|event| judge::is_held(event, token));
        let behind: Vec<i64> = behind.filter(is_held).collect();
        for seq in &behind {
            self.change(*seq, judge::hand_back);
        }
        behind
    }

    fn drop_if_sent(&mut self, seq: i64, terms: &Terms) {
        let is_sent = self.events.get(&seq).is_some_and(|event| event.status == EventStatus::Sent);
        if is_sent && terms.retain_sent_ms == 0 {
            self.set(seq, None);
        }
    }

    fn stuck(&self, older_than_ms: u64, limit: u64, now: Millis) -> Vec<i64> {
        let before = now.minus(older_than_ms);
        let is_stuck = |event: &&Arc<Stored>| {
            event.status == EventStatus::Claimed && event.claimed_at.is_some_and(|at| at <= before)
        };
        self.events.values().filter(is_stuck).map(|event| event.seq).take(places(limit)).collect()
    }

    fn dead(&self, ids: &[Box<str>]) -> Vec<i64> {
        let found = ids.iter().filter_map(|id| self.by_id(id));
        found.filter(|(_, event)| event.status == EventStatus::DeadLetter).map(|(seq, _)| seq).collect()
    }

    fn remove(&mut self, is_over: impl Fn(&Stored) -> bool, limit: u64) -> u64 {
        let over = self.events.values().filter(|event| is_over(event)).map(|event| event.seq);
        let over: Vec<i64> = over.take(places(limit)).collect();
        for seq in &over {
            self.set(*seq, None);
        }
        over.len() as u64
    }

    /// Removes what is sent, or dead, and was to be kept until now, at most `limit`.
    pub(super) fn purge_expired(&mut self, now: Millis, limit: u64) -> u64 {
        self.remove(|event| event.expires_at.is_some_and(|at| at <= now), limit)
    }

    pub(super) fn read(&self, read: &OutboxRead, now: Millis) -> Result<Reply> {
        Ok(match read {
            OutboxRead::Get { id } => {
                let found = self.copies(self.by_id.get(id).copied()).pop();
                Reply::Value(found.map_or(crate::contract::dynamic::Dynamic::Null, Stored::into_dynamic))
            }
            OutboxRead::List { saga_id, status, after, limit } => {
                let after = after.as_ref().map(|after| after.parse::<i64>().map_err(|_| foreign_cursor()));
                let from = after.transpose()?.map_or(i64::MIN, |after| after.saturating_add(1));
                let is_meant = |event: &&Arc<Stored>| {
                    status.is_none_or(|status| status == event.status)
                        && saga_id.as_ref().is_none_or(|id| event.event.saga_id.as_ref() == Some(id))
                };
                let found = self.events.range(from..).map(|(_, event)| event).filter(is_meant);
                let mut found: Vec<i64> = found.map(|event| event.seq).take(places(*limit) + 1).collect();
                let has_more = found.len() > places(*limit);
                found.truncate(places(*limit));
                let cursor = found.last().filter(|_| has_more).map(|seq| seq.to_string().into());
                EventPage { events: self.copies(found), cursor }.into_reply()
            }
            OutboxRead::Stuck { older_than_ms, limit } => listed(self.copies(self.stuck(*older_than_ms, *limit, now))),
            OutboxRead::Count { status } => {
                Reply::Count(self.events.values().filter(|event| event.status == *status).count() as u64)
            }
            OutboxRead::BlockedKeys { limit, terms } => {
                let mut blocked = self.blocked_keys(terms);
                blocked.truncate(places(*limit));
                Reply::ids(blocked)
            }
            OutboxRead::Statistics { terms } => Reply::Value(self.counts(terms, now).into_dynamic(now)),
        })
    }

    fn blocked_keys(&self, terms: &Terms) -> Vec<Box<str>> {
        if terms.skips_dead {
            return Vec::new();
        }
        let dead = self.events.values().filter(|event| event.status == EventStatus::DeadLetter);
        let keys: BTreeSet<Box<str>> = dead.filter_map(|event| event.event.partition_key.clone()).collect();
        keys.into_iter().collect()
    }

    fn counts(&self, terms: &Terms, now: Millis) -> Counts {
        let mut counts = Counts { blocked_keys: self.blocked_keys(terms).len() as u64, ..Counts::default() };
        for event in self.events.values() {
            match event.status {
                EventStatus::Pending if event.due_at.is_none_or(|at| at <= now) => {
                    counts.ready += 1;
                    counts.oldest_ready = counts.oldest_ready.into_iter().chain([event.created_at]).min();
                }
                EventStatus::Pending => counts.waiting += 1,
                EventStatus::Claimed => counts.claimed += 1,
                EventStatus::DeadLetter => counts.dead += 1,
                EventStatus::Sent => counts.sent += 1,
            }
        }
        counts
    }
}

fn places(limit: u64) -> usize {
    usize::try_from(limit).unwrap_or(usize::MAX)
}
