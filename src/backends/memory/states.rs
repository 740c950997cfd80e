//! Saga state in maps; a transaction has its own changes over them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::contract::operation::Work;
use crate::contract::states::{
    Claim, FoundState, OneState, Saga, StateRead, StateStep, StateWrite, conflict, correlation_taken, missing, taken,
};
use crate::contract::step::Reply;
use crate::error::{Error, Kind, Result};
use crate::time::Millis;

/// A saga's name and its saga id or its correlation id.
pub(super) type Key = (Box<str>, Box<str>);

pub(super) fn key(name: &str, id: &str) -> Key {
    (name.into(), id.into())
}

/// A saga as it is kept.
pub(super) struct Record {
    pub(super) saga: Saga,
    pub(super) correlation_id: Box<str>,
}

impl Record {
    pub(super) fn lives_at(&self, now: Millis) -> bool {
        self.saga.expires_at.is_none_or(|at| at > now)
    }

    fn found(&self) -> FoundState {
        let Saga { name, id, state, .. } = &self.saga;
        let correlation_id = Some(self.correlation_id.clone());
        FoundState { name: name.clone(), id: id.clone(), correlation_id, state: Ok(state.to_string()) }
    }

    fn one(&self) -> OneState {
        OneState { state: self.saga.state.to_string(), correlation_id: Some(self.correlation_id.clone()) }
    }

    fn is(&self, completed: Option<bool>) -> bool {
        completed.is_none_or(|wanted| wanted == self.saga.completed)
    }
}

/// All sagas of one memory store.
#[derive(Default)]
pub(super) struct States {
    pub(super) by_id: BTreeMap<Key, Arc<Record>>,
    pub(super) by_correlation: HashMap<Key, Box<str>>,
    leases: HashMap<Key, Lease>,
}

/// Until when a worker has a saga that has timed out.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Lease {
    until: Millis,
    /// The timeout that it is for.
    due: Millis,
}

impl States {
    /// Whether a worker has a saga of this timeout.
    fn is_leased(&self, key: &Key, due: Millis, now: Millis) -> bool {
        self.leases.get(key).is_some_and(|lease| lease.due == due && lease.until > now)
    }

    pub(super) fn set(&mut self, key: &Key, record: Option<Arc<Record>>) {
        // Also one whose time was over, and that had another correlation id.
        if let Some(before) = self.by_id.remove(key) {
            self.by_correlation.remove(&(key.0.clone(), before.correlation_id.clone()));
        }
        if let Some(record) = record {
            let correlation = (key.0.clone(), record.correlation_id.clone());
            self.by_correlation.insert(correlation, key.1.clone());
            self.by_id.insert(key.clone(), record);
        }
    }

    /// Removes sagas whose time is over, at most `limit`.
    pub(super) fn purge_expired(&mut self, now: Millis, limit: u64) -> u64 {
        let over = self.by_id.iter().filter(|(_, record)| !record.lives_at(now));
        let over: Vec<Key> =
            over.map(|(key, _)| key.clone()).take(usize::try_from(limit).unwrap_or(usize::MAX)).collect();
        for key in &over {
            self.set(key, None);
        }
        over.len() as u64
    }
}

/// What somebody sees of the sagas: all of them, with changes of their own that are not made yet.
pub(super) struct View<'a> {
    pub(super) states: &'a mut States,
    /// None: changes are made at once.
    pub(super) changes: Option<&'a mut Changes>,
}

/// The changes of a transaction.
#[derive(Default)]
pub(super) struct Changes {
    changed: BTreeMap<Key, Option<Arc<Record>>>,
    leased: HashMap<Key, Lease>,
    /// What stood there when it was first looked at.
    seen: BTreeMap<Key, Option<Arc<Record>>>,
}

impl Changes {
    /// Makes them, unless somebody else has changed one of the sagas meanwhile.
    pub(super) fn check(&self, states: &States, now: Millis) -> Result<()> {
        let same = |key: &Key, seen: &Option<Arc<Record>>| match (states.by_id.get(key), seen) {
            (None, None) => true,
            (Some(there), Some(seen)) => Arc::ptr_eq(there, seen),
            _ => false,
        };
        let is_free = |key: &Key, record: &Record| {
            let correlation = (key.0.clone(), record.correlation_id.clone());
            let holder = states.by_correlation.get(&correlation).map(|id| (key.0.clone(), id.clone()));
            holder.is_none_or(|holder| {
                holder == *key
                    || matches!(self.changed.get(&holder), Some(None))
                    || states.by_id.get(&holder).is_none_or(|other| !other.lives_at(now))
            })
        };
        let changed = self.changed.keys().filter_map(|key| Some((key, self.seen.get(key)?)));
        let undisturbed = changed.into_iter().all(|(key, seen)| same(key, seen))
            && self.changed.iter().all(|(key, record)| record.as_ref().is_none_or(|record| is_free(key, record)))
            && self.leased.iter().all(|(key, lease)| !states.is_leased(key, lease.due, now));
        if undisturbed {
            return Ok(());
        }
        let message = "another transaction has changed the same saga: nothing of this one has happened";
        Err(Error::new(Kind::Backend, message).retryable(true))
    }

    /// Makes them.
    pub(super) fn apply(self, states: &mut States) {
        states.leases.extend(self.leased);
        let (removed, stored): (Vec<_>, Vec<_>) = self.changed.into_iter().partition(|(_, record)| record.is_none());
        for (key, record) in removed.into_iter().chain(stored) {
            // One whose time was over, and whose correlation id this one has.
            if let Some(record) = &record
                && let Some(id) = states.by_correlation.get(&(key.0.clone(), record.correlation_id.clone()))
                && *id != key.1
            {
                let holder = (key.0.clone(), id.clone());
                states.set(&holder, None);
            }
            states.set(&key, record);
        }
    }
}

impl View<'_> {
    pub(super) fn run(&mut self, step: &StateStep, now: Millis) -> Result<Reply> {
        match step {
            Work::Write(write) => self.write(write, now),
            Work::Read(read) => Ok(self.read(read, now)),
        }
    }

    fn there(&self, key: &Key) -> Option<Arc<Record>> {
        match self.changes.as_ref().and_then(|changes| changes.changed.get(key)) {
            Some(changed) => changed.clone(),
            None => self.states.by_id.get(key).cloned(),
        }
    }

    fn by_id(&self, key: &Key, now: Millis) -> Option<Arc<Record>> {
        self.there(key).filter(|record| record.lives_at(now))
    }

    fn by_correlation(&self, name: &str, correlation_id: &str, now: Millis) -> Option<Arc<Record>> {
        let is = |record: &&Arc<Record>| *record.saga.name == *name && *record.correlation_id == *correlation_id;
        let ours = self.changes.as_ref().and_then(|changes| changes.changed.values().flatten().find(is)).cloned();
        let record = ours.or_else(|| {
            let id = self.states.by_correlation.get(&key(name, correlation_id))?;
            self.there(&key(name, id)).filter(|record| *record.correlation_id == *correlation_id)
        });
        record.filter(|record| record.lives_at(now))
    }

    fn set(&mut self, key: Key, record: Option<Arc<Record>>) {
        match &mut self.changes {
            None => self.states.set(&key, record),
            Some(changes) => {
                let there = self.states.by_id.get(&key).cloned();
                changes.seen.entry(key.clone()).or_insert(there);
                changes.changed.insert(key, record);
            }
        }
    }

    /// Those of a name, or all, in the order of names and ids, behind `after`.
    fn all(&self, name: Option<&str>, after: Option<&str>, now: Millis) -> Vec<Arc<Record>> {
        let from = key(name.unwrap_or_default(), after.unwrap_or_default());
        let within = |key: &&Key| name.is_none_or(|name| *key.0 == *name) && after.is_none_or(|after| *key.1 > *after);
        let mut found: BTreeMap<&Key, Option<&Arc<Record>>> =
            self.states.by_id.range(from..).map(|(key, record)| (key, Some(record))).collect();
        if let Some(changes) = &self.changes {
            found.extend(changes.changed.iter().map(|(key, record)| (key, record.as_ref())));
        }
        let found = found.into_iter().filter(|(key, _)| within(key)).filter_map(|(_, record)| record);
        found.filter(|record| record.lives_at(now)).cloned().collect()
    }

    /// The keys of a name: those that are stored, and those of changes that are not made yet.
    fn keys_of<'b>(&'b self, name: &'b str) -> impl Iterator<Item = &'b Key> {
        let of_name = move |key: &&Key| *key.0 == *name;
        let stored = self.states.by_id.range(key(name, "")..).map(|(key, _)| key).take_while(of_name);
        let changed = self.changes.as_ref().map(|changes| changes.changed.range(key(name, "")..));
        stored.chain(changed.into_iter().flatten().map(|(key, _)| key).take_while(of_name))
    }

    /// Names behind `after` that sagas have, in their order. It goes from name to name.
    fn names(&self, after: Option<&str>, limit: u64, now: Millis) -> Vec<Box<str>> {
        let (mut names, mut last) = (Vec::new(), after.unwrap_or_default().to_owned());
        while (names.len() as u64) < limit {
            // No name is between the two.
            let behind = key(&format!("{last}\0"), "");
            let stored = self.states.by_id.range(behind.clone()..).next().map(|(key, _)| &*key.0);
            let ours = self.changes.as_ref().and_then(|changes| changes.changed.range(behind..).next());
            let ours = ours.map(|(key, _)| &*key.0);
            let Some(next) = stored.into_iter().chain(ours).min() else { break };
            if self.keys_of(next).any(|key| self.by_id(key, now).is_some()) {
                names.push(next.into());
            }
            next.clone_into(&mut last);
        }
        names
    }

    pub(super) fn write(&mut self, write: &StateWrite, now: Millis) -> Result<Reply> {
        match write {
            StateWrite::Insert { saga, correlation_id } => {
                let id = key(&saga.name, &saga.id);
                if self.by_id(&id, now).is_some() {
                    return Err(taken(saga));
                }
                if self.by_correlation(&saga.name, correlation_id, now).is_some() {
                    return Err(correlation_taken(saga, correlation_id));
                }
                // What is over makes room, under either id.
                let over = self.states.by_correlation.get(&key(&saga.name, correlation_id)).cloned();
                if let Some(over) = over.filter(|_| self.changes.is_none()) {
                    self.set(key(&saga.name, &over), None);
                }
                if self.changes.is_none() {
                    self.set(id.clone(), None);
                }
                let record = Record { saga: (**saga).clone(), correlation_id: correlation_id.clone() };
                self.set(id, Some(Arc::new(record)));
                Ok(Reply::Done)
            }
            StateWrite::Update { saga, expected } => {
                let id = key(&saga.name, &saga.id);
                let before = self.by_id(&id, now).ok_or_else(|| missing(saga))?;
                if before.saga.version != *expected {
                    return Err(conflict(saga, *expected, before.saga.version));
                }
                let mut after = (**saga).clone();
                after.created_at = before.saga.created_at;
                if after.completed && before.saga.completed {
                    after.completed_at = before.saga.completed_at;
                }
                let record = Record { saga: after, correlation_id: before.correlation_id.clone() };
                self.set(id, Some(Arc::new(record)));
                Ok(Reply::Done)
            }
            StateWrite::Delete { name, id } => {
                self.set(key(name, id), None);
                Ok(Reply::Done)
            }
            StateWrite::DeleteByCorrelation { name, correlation_id } => {
                if let Some(record) = self.by_correlation(name, correlation_id, now) {
                    self.set(key(name, &record.saga.id), None);
                }
                Ok(Reply::Done)
            }
            StateWrite::DeleteCompleted { name, before, limit } => {
                let mut ended = self.all(Some(name), None, now);
                ended.retain(|record| record.saga.completed_at.is_some_and(|at| at < *before));
                ended.sort_by_key(|record| record.saga.completed_at);
                ended.truncate(usize::try_from(*limit).unwrap_or(usize::MAX));
                for record in &ended {
                    self.set(key(name, &record.saga.id), None);
                }
                Ok(Reply::Count(ended.len() as u64))
            }
            StateWrite::ClaimTimedOut(claim) => Ok(self.claim(claim, now)),
        }
    }

    /// Those that have timed out, the longest overdue first, each behind its timeout.
    fn timed_out(&self, at: Millis, name: Option<&str>, now: Millis) -> Vec<(Millis, Arc<Record>)> {
        let open = self.all(name, None, now).into_iter().filter(|record| record.is(Some(false)));
        let due = open.filter_map(|record| Some((record.saga.timeout_at.filter(|due| *due <= at)?, record)));
        let mut found: Vec<_> = due.collect();
        found.sort_by_key(|(due, _)| *due);
        found
    }

    fn claim(&mut self, claim: &Claim, now: Millis) -> Reply {
        self.states.leases.retain(|_, lease| lease.until > now);
        let mut claimed = Vec::new();
        for (due, record) in self.timed_out(claim.now, claim.name.as_deref(), now) {
            if claimed.len() as u64 == claim.limit {
                break;
            }
            let (key, lease) =
                (key(&record.saga.name, &record.saga.id), Lease { until: now.plus(claim.lease_ms), due });
            let ours = self.changes.as_ref().and_then(|changes| changes.leased.get(&key));
            if ours.is_some_and(|ours| ours.due == due) || self.states.is_leased(&key, due, now) {
                continue;
            }
            match &mut self.changes {
                Some(changes) => changes.leased.insert(key, lease),
                None => self.states.leases.insert(key, lease),
            };
            claimed.push(record.found());
        }
        Reply::States(claimed)
    }

    pub(super) fn read(&self, read: &StateRead, now: Millis) -> Reply {
        match read {
            StateRead::ById { name, id } => Reply::State(self.by_id(&key(name, id), now).map(|record| record.one())),
            StateRead::ByCorrelation { name, correlation_id } => {
                let found = self.by_correlation(name, correlation_id, now);
                Reply::State(found.map(|record| record.one()))
            }
            StateRead::List { name, completed, after, limit } => {
                let mut found = self.all(Some(name), after.as_deref(), now);
                found.retain(|record| record.is(*completed));
                found.truncate(usize::try_from(*limit).unwrap_or(usize::MAX));
                Reply::States(found.iter().map(|record| record.found()).collect())
            }
            StateRead::Stale { name, since, after, limit } => {
                let mut found = self.all(Some(name), after.as_deref(), now);
                found.retain(|record| record.is(Some(false)) && record.saga.updated_at <= *since);
                found.truncate(usize::try_from(*limit).unwrap_or(usize::MAX));
                Reply::States(found.iter().map(|record| record.found()).collect())
            }
            StateRead::Names { after, limit } => Reply::ids(self.names(after.as_deref(), *limit, now)),
            StateRead::Count { name, completed } => {
                let found = self.all(Some(name), None, now);
                Reply::Count(found.iter().filter(|record| record.is(*completed)).count() as u64)
            }
            StateRead::TimedOut { now: at, name, limit } => {
                let found = self.timed_out(*at, name.as_deref(), now).into_iter();
                let found = found.take(usize::try_from(*limit).unwrap_or(usize::MAX));
                Reply::States(found.map(|(_, record)| record.found()).collect())
            }
        }
    }
}
