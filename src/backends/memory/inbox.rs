//! Entries of the inbox in a map; a transaction has its own changes over them.

use std::collections::{BTreeMap, HashMap};

use crate::contract::inbox::{InboxRead, InboxStep, InboxWrite};
use crate::contract::operation::Work;
use crate::contract::step::Reply;
use crate::error::{Error, Kind, Result};
use crate::time::Millis;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Accepted {
    pub(super) until: Millis,
    pub(super) operation: Box<str>,
}

/// All entries of one memory store, by consumer and message.
#[derive(Default)]
pub(super) struct Inbox(pub(super) BTreeMap<Box<str>, Accepted>);

/// The changes of a transaction.
#[derive(Default)]
pub(super) struct InboxChanges {
    changed: HashMap<Box<str>, Option<Accepted>>,
    /// What stood there when it was first changed.
    seen: HashMap<Box<str>, Option<Accepted>>,
}

impl InboxChanges {
    /// Whether nobody else has changed one of them meanwhile.
    pub(super) fn check(&self, inbox: &Inbox) -> Result<()> {
        if self.seen.iter().all(|(key, seen)| inbox.0.get(key) == seen.as_ref()) {
            return Ok(());
        }
        let message = "another transaction has accepted the same message: nothing of this one has happened";
        Err(Error::new(Kind::Backend, message).retryable(true))
    }

    /// Makes them.
    pub(super) fn apply(self, inbox: &mut Inbox) {
        for (key, after) in self.changed {
            match after {
                Some(after) => drop(inbox.0.insert(key, after)),
                None => drop(inbox.0.remove(&key)),
            }
        }
    }
}

/// What somebody sees of the inbox.
pub(super) struct InboxView<'a> {
    pub(super) inbox: &'a mut Inbox,
    /// None: changes are made at once.
    pub(super) changes: Option<&'a mut InboxChanges>,
}

impl InboxView<'_> {
    fn living(&self, key: &str, now: Millis) -> Option<&Accepted> {
        let there = match self.changes.as_ref().and_then(|changes| changes.changed.get(key)) {
            Some(changed) => changed.as_ref(),
            None => self.inbox.0.get(key),
        };
        there.filter(|accepted| accepted.until > now)
    }

    fn set(&mut self, key: &str, after: Option<Accepted>) {
        match (&mut self.changes, after) {
            (None, Some(after)) => drop(self.inbox.0.insert(key.into(), after)),
            (None, None) => drop(self.inbox.0.remove(key)),
            (Some(changes), after) => {
                changes.seen.entry(key.into()).or_insert_with(|| self.inbox.0.get(key).cloned());
                changes.changed.insert(key.into(), after);
            }
        }
    }

    pub(super) fn run(&mut self, step: &InboxStep, now: Millis) -> Reply {
        match step {
            Work::Write(write) => self.write(write, now),
            Work::Read(read) => self.read(read, now),
        }
    }

    pub(super) fn write(&mut self, write: &InboxWrite, now: Millis) -> Reply {
        match write {
            InboxWrite::Accept { entry, ttl_ms, operation } => {
                if let Some(accepted) = self.living(&entry.key, now) {
                    return Reply::Flag(accepted.operation == *operation);
                }
                self.set(&entry.key, Some(Accepted { until: now.plus(*ttl_ms), operation: operation.clone() }));
                Reply::Flag(true)
            }
            InboxWrite::Forget { entry } => {
                let existed = self.living(&entry.key, now).is_some();
                self.set(&entry.key, None);
                Reply::Flag(existed)
            }
            InboxWrite::Cleanup { limit } => Reply::Count(self.inbox.purge_expired(now, *limit)),
        }
    }

    pub(super) fn read(&self, read: &InboxRead, now: Millis) -> Reply {
        let InboxRead::Has { entry } = read;
        Reply::Flag(self.living(&entry.key, now).is_some())
    }
}

impl Inbox {
    /// Removes entries whose time is over, at most `limit`.
    pub(super) fn purge_expired(&mut self, now: Millis, limit: u64) -> u64 {
        let over = self.0.iter().filter(|(_, accepted)| accepted.until <= now).map(|(key, _)| key.clone());
        let over: Vec<Box<str>> = over.take(usize::try_from(limit).unwrap_or(usize::MAX)).collect();
        for key in &over {
            self.0.remove(key);
        }
        over.len() as u64
    }
}
