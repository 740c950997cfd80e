//! Executions with their logs in a map; a transaction has its own changes over them.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::contract::executions::judge::{self, Claimed, Known, Verdict};
use crate::contract::executions::record::{
    Action, Checkpointed, Counts, Entry, Execution, Logged, Page, Shows, Status, StepStatus, missing, taken,
};
use crate::contract::executions::{
    Change, ClaimRuns, Creation, ExecutionRead, ExecutionStep, ExecutionWrite, Filter, Order, Renewal, Terms,
};
use crate::contract::operation::Work;
use crate::contract::step::Reply;
use crate::error::{Error, Kind, Result};
use crate::time::Millis;

/// An execution with its log.
#[derive(Clone)]
pub(super) struct Record {
    pub(super) execution: Execution,
    pub(super) log: Vec<Logged>,
    /// The numbers of entries with an id.
    keys: HashMap<(Box<str>, Action, StepStatus), i64>,
}

impl Record {
    fn new(execution: Execution) -> Self {
        Self { execution, log: Vec::new(), keys: HashMap::new() }
    }

    /// With its log.
    pub(super) fn with_log(execution: Execution, log: Vec<Logged>) -> Self {
        let key = |logged: &Logged| {
            let (id, action, status) = logged.entry.key()?;
            Some(((id.into(), action, status), logged.seq))
        };
        Self { keys: log.iter().filter_map(key).collect(), execution, log }
    }

    fn known(&self, entries: &[Entry]) -> Known {
        let place = |(place, entry): (usize, &Entry)| {
            let (id, action, status) = entry.key()?;
            Some((place, *self.keys.get(&(id.into(), action, status))?))
        };
        Known { places: entries.iter().enumerate().filter_map(place).collect() }
    }

    fn append<'a>(&mut self, entries: impl Iterator<Item = &'a Entry>, at: Millis) {
        for entry in entries {
            let seq = i64::try_from(self.log.len()).unwrap_or(i64::MAX) + 1;
            if let Some((id, action, status)) = entry.key() {
                self.keys.insert((id.into(), action, status), seq);
            }
            self.log.push(Logged { seq, entry: entry.clone(), at });
        }
    }

    fn is(&self, filter: &Filter) -> bool {
        let Filter { name, status, tag, parked } = filter;
        let of = &self.execution;
        name.as_ref().is_none_or(|name| *name == of.name)
            && status.is_none_or(|status| status == of.status)
            && tag.as_ref().is_none_or(|tag| of.tags.contains(tag))
            && parked.is_none_or(|parked| parked == of.parked_at.is_some())
    }
}

/// All executions of one memory store.
#[derive(Default)]
pub(super) struct Executions {
    pub(super) by_id: BTreeMap<Box<str>, Arc<Record>>,
    due: BTreeSet<(Millis, Box<str>)>,
}

impl Executions {
    /// Changes one in place, unless somebody still looks at it as it was.
    fn change<T>(&mut self, id: &str, change: impl FnOnce(&mut Record) -> T) -> Option<T> {
        let record = self.by_id.get_mut(id)?;
        let before = record.execution.due_at;
        let changed = change(Arc::make_mut(record));
        let after = record.execution.due_at;
        if before != after {
            before.map(|at| self.due.remove(&(at, id.into())));
            self.due.extend(after.map(|at| (at, id.into())));
        }
        Some(changed)
    }

    pub(super) fn set(&mut self, id: &str, record: Option<Arc<Record>>) {
        if let Some(before) = self.by_id.remove(id)
            && let Some(at) = before.execution.due_at
        {
            self.due.remove(&(at, id.into()));
        }
        if let Some(record) = record {
            self.due.extend(record.execution.due_at.map(|at| (at, id.into())));
            self.by_id.insert(id.into(), record);
        }
    }

    /// Removes executions whose time is over, at most `limit`.
    pub(super) fn purge_expired(&mut self, now: Millis, limit: u64) -> u64 {
        let over = self.by_id.iter().filter(|(_, record)| !record.execution.lives_at(now)).map(|(id, _)| id.clone());
        let over: Vec<Box<str>> = over.take(usize::try_from(limit).unwrap_or(usize::MAX)).collect();
        for id in &over {
            self.set(id, None);
        }
        over.len() as u64
    }
}

/// What somebody sees of the executions: all of them, with changes of their own that are not made yet.
pub(super) struct ExecutionView<'a> {
    pub(super) executions: &'a mut Executions,
    /// None: changes are made at once.
    pub(super) changes: Option<&'a mut ExecutionChanges>,
}

/// The changes of a transaction.
#[derive(Default)]
pub(super) struct ExecutionChanges {
    changed: BTreeMap<Box<str>, Option<Arc<Record>>>,
    /// What stood there when it was first looked at.
    seen: BTreeMap<Box<str>, Option<Arc<Record>>>,
}

impl ExecutionChanges {
    /// Whether nobody else has changed one of them meanwhile.
    pub(super) fn check(&self, executions: &Executions) -> Result<()> {
        let same = |there: Option<&Arc<Record>>, seen: Option<&Arc<Record>>| match (there, seen) {
            (None, None) => true,
            (Some(there), Some(seen)) => Arc::ptr_eq(there, seen),
            _ => false,
        };
        if self.seen.iter().all(|(id, seen)| same(executions.by_id.get(id), seen.as_ref())) {
            return Ok(());
        }
        let message = "another transaction has changed the same execution: nothing of this one has happened";
        Err(Error::new(Kind::Backend, message).retryable(true))
    }

    /// Makes them.
    pub(super) fn apply(self, executions: &mut Executions) {
        for (id, record) in self.changed {
            executions.set(&id, record);
        }
    }
}

fn checkpointed(answer: Checkpointed) -> Reply {
    Reply::Value(answer.into_dynamic())
}

impl ExecutionView<'_> {
    pub(super) fn run(&mut self, step: &ExecutionStep, now: Millis) -> Result<Reply> {
        match step {
            Work::Write(write) => self.write(write, now),
            Work::Read(read) => self.read(read, now),
        }
    }

    fn there(&self, id: &str) -> Option<&Arc<Record>> {
        match self.changes.as_ref().and_then(|changes| changes.changed.get(id)) {
            Some(changed) => changed.as_ref(),
            None => self.executions.by_id.get(id),
        }
    }

    fn living(&self, id: &str, now: Millis) -> Option<&Arc<Record>> {
        self.there(id).filter(|record| record.execution.lives_at(now))
    }

    fn set(&mut self, id: &str, record: Option<Arc<Record>>) {
        match &mut self.changes {
            None => self.executions.set(id, record),
            Some(changes) => {
                let there = || self.executions.by_id.get(id).cloned();
                changes.seen.entry(id.into()).or_insert_with(there);
                changes.changed.insert(id.into(), record);
            }
        }
    }

    fn change<T>(&mut self, id: &str, change: impl FnOnce(&mut Record) -> T) -> Option<T> {
        if self.changes.is_none() {
            return self.executions.change(id, change);
        }
        let mut record = Record::clone(self.there(id)?);
        let changed = change(&mut record);
        self.set(id, Some(Arc::new(record)));
        Some(changed)
    }

    /// All that live, in the order of their ids.
    fn all(&self, now: Millis) -> Vec<&Arc<Record>> {
        let mut found: BTreeMap<&str, Option<&Arc<Record>>> =
            self.executions.by_id.iter().map(|(id, record)| (&**id, Some(record))).collect();
        if let Some(changes) = &self.changes {
            found.extend(changes.changed.iter().map(|(id, record)| (&**id, record.as_ref())));
        }
        found.into_values().flatten().filter(|record| record.execution.lives_at(now)).collect()
    }

    pub(super) fn write(&mut self, write: &ExecutionWrite, now: Millis) -> Result<Reply> {
        match write {
            ExecutionWrite::Create(creation) => self.create(creation, now),
            ExecutionWrite::Change(change) => self.checkpoint(change, now),
            ExecutionWrite::Save(replacement) => {
                let creation = &replacement.creation;
                let stored = self.living(&creation.id, now).map(|record| &record.execution);
                let (execution, answer) = judge::replaced(stored, replacement, now)?;
                let mut record = Record::new(execution);
                record.append(creation.entries.iter(), creation.at);
                self.set(&creation.id, Some(Arc::new(record)));
                Ok(checkpointed(answer))
            }
            ExecutionWrite::Delete { id } => {
                let existed = self.living(id, now).is_some();
                self.set(id, None);
                Ok(Reply::Flag(existed))
            }
            ExecutionWrite::Claim(claim) => Ok(self.claim(claim, now)),
            ExecutionWrite::Heartbeat { renewals, terms } => Ok(self.heartbeat(renewals, terms, now)),
            ExecutionWrite::Redrive { ids, reset_attempts } => {
                let mut count = 0;
                for id in ids {
                    if self.living(id, now).is_some_and(|record| record.execution.parked_at.is_some()) {
                        self.change(id, |record| judge::redrive(&mut record.execution, *reset_attempts, now));
                        count += 1;
                    }
                }
                Ok(Reply::Count(count))
            }
            ExecutionWrite::Cleanup { before, statuses, limit } => {
                let is_over = |record: &&Arc<Record>| {
                    let of = &record.execution;
                    statuses.contains(&of.status) && of.completed_at.is_some_and(|at| at < *before)
                };
                let over = self.all(now).into_iter().filter(is_over).map(|record| record.execution.id.clone());
                let over: Vec<Box<str>> = over.take(usize::try_from(*limit).unwrap_or(usize::MAX)).collect();
                for id in &over {
                    self.set(id, None);
                }
                Ok(Reply::Count(over.len() as u64))
            }
        }
    }

    fn create(&mut self, creation: &Creation, now: Millis) -> Result<Reply> {
        if let Some(stored) = self.living(&creation.id, now) {
            let stored = &stored.execution;
            let is_this = stored.last_operation.as_ref().is_some_and(|last| last.id == creation.operation);
            if !is_this || stored.version != 1 {
                return Err(taken(&creation.id));
            }
        }
        let (execution, answer) = judge::created(creation, now)?;
        let mut record = Record::new(execution);
        record.append(creation.entries.iter(), creation.at);
        let reply = if creation.lease.is_some() {
            Reply::execution(Some(record.execution.clone()), Shows::ContextAndToken)
        } else {
            checkpointed(answer)
        };
        self.set(&creation.id, Some(Arc::new(record)));
        Ok(reply)
    }

    fn checkpoint(&mut self, change: &Change, now: Millis) -> Result<Reply> {
        let stored = self.living(&change.id, now).ok_or_else(|| missing(&change.id))?;
        let known = stored.known(&change.entries);
        let answer = match judge::judge(&stored.execution, change, &known)? {
            Verdict::Repeated(answer) => return Ok(checkpointed(answer)),
            Verdict::Change(answer) => answer,
        };
        self.change(&change.id, |record| {
            record.append(known.fresh(&change.entries), change.at);
            judge::apply(&mut record.execution, change, &answer, now);
        });
        Ok(checkpointed(answer))
    }

    /// Those that are due, the longest first.
    fn due(&self, now: Millis) -> Vec<Box<str>> {
        if self.changes.is_none() {
            return self.executions.due.iter().take_while(|(at, _)| *at <= now).map(|(_, id)| id.clone()).collect();
        }
        let due = |record: &&Arc<Record>| {
            Some((record.execution.due_at.filter(|at| *at <= now)?, record.execution.id.clone()))
        };
        let mut found: Vec<_> = self.all(now).iter().filter_map(due).collect();
        found.sort();
        found.into_iter().map(|(_, id)| id).collect()
    }

    fn claim(&mut self, claim: &ClaimRuns, now: Millis) -> Reply {
        let mut claimed = Vec::new();
        for id in self.due(now) {
            if claimed.len() as u64 == claim.limit {
                break;
            }
            let Some(record) = self.living(&id, now) else { continue };
            let mut execution = record.execution.clone();
            let outcome = judge::claim(&mut execution, claim, now);
            if outcome != Claimed::No {
                self.change(&id, |record| record.execution = execution.clone());
            }
            if outcome == Claimed::Yes {
                claimed.push(execution);
            }
        }
        Reply::executions(claimed, Shows::ContextAndToken)
    }

    fn heartbeat(&mut self, renewals: &[Renewal], terms: &Terms, now: Millis) -> Reply {
        let mut lost = Vec::new();
        for Renewal { id, token, lease_ms } in renewals {
            let has_it = self.living(id, now).is_some_and(|record| record.execution.token.as_ref() == Some(token));
            if has_it {
                self.change(id, |record| {
                    let of = &mut record.execution;
                    of.due_at = Some(judge::leased_until(*lease_ms, of.attempts, terms, now));
                });
            } else {
                lost.push(id.clone());
            }
        }
        Reply::ids(lost)
    }

    pub(super) fn read(&self, read: &ExecutionRead, now: Millis) -> Result<Reply> {
        Ok(match read {
            ExecutionRead::Load { id, .. } => {
                Reply::execution(self.living(id, now).map(|record| record.execution.clone()), Shows::Context)
            }
            ExecutionRead::History { id, after, limit, max_bytes, reverse } => {
                let log = &self.living(id, now).ok_or_else(|| missing(id))?.log;
                let page = if *reverse {
                    let rest = log.iter().rev().filter(|logged| after.is_none_or(|after| logged.seq < after));
                    Page::of(rest.cloned(), *limit, *max_bytes)
                } else {
                    let rest = log.iter().skip(usize::try_from(after.unwrap_or(0)).unwrap_or(usize::MAX));
                    Page::of(rest.cloned(), *limit, *max_bytes)
                };
                Reply::Value(page.into_dynamic())
            }
            ExecutionRead::List { filter, order, after, limit } => {
                let time = |record: &Record| match order {
                    Order::Updated => record.execution.updated_at,
                    Order::Created => record.execution.created_at,
                };
                let mut found = self.all(now);
                found.retain(|record| record.is(filter));
                found.sort_by_key(|record| Reverse((time(record), record.execution.id.clone())));
                let is_behind = |record: &&Arc<Record>| {
                    let place = (time(record), record.execution.id.clone());
                    after.as_ref().is_none_or(|after| place < *after)
                };
                let page = found.into_iter().filter(is_behind).take(usize::try_from(*limit).unwrap_or(usize::MAX));
                Reply::executions(page.map(|record| record.execution.clone()).collect(), Shows::Neither)
            }
            ExecutionRead::Count { filter } => {
                Reply::Count(self.all(now).iter().filter(|record| record.is(filter)).count() as u64)
            }
            ExecutionRead::Recoverable { limit, max_attempts, stale_after_ms, name } => {
                let before = now.minus(*stale_after_ms);
                let mut found = self.all(now);
                found.retain(|record| {
                    let of = &record.execution;
                    of.status.is_active()
                        && of.attempts < *max_attempts
                        && of.parked_at.is_none()
                        && of.updated_at <= before
                        && name.as_ref().is_none_or(|name| *name == of.name)
                });
                found.sort_by_key(|record| record.execution.updated_at);
                let ids = found.iter().map(|record| record.execution.id.clone());
                Reply::ids(ids.take(usize::try_from(*limit).unwrap_or(usize::MAX)))
            }
            ExecutionRead::Statistics => Reply::Value(self.counts(now).into_dynamic()),
        })
    }

    fn counts(&self, now: Millis) -> Counts {
        let mut counts = Counts::default();
        for record in self.all(now) {
            let of = &record.execution;
            if let Some(place) = Status::ALL.iter().position(|status| *status == of.status) {
                counts.by_status[place] += 1;
            }
            counts.parked += u64::from(of.parked_at.is_some());
            counts.leased += u64::from(of.is_leased());
            let context = of.context.as_ref().map_or(0, |context| context.len()) as u64;
            counts.bytes += context + u64::try_from(of.log_bytes).unwrap_or_default();
            counts.oldest_due_at = counts.oldest_due_at.into_iter().chain(of.due_at).min();
        }
        counts
    }
}
