//! Payloads in a map, with their expiries in order beside it.

use std::collections::BTreeSet;

use bytes::Bytes;
use indexmap::IndexMap;

use crate::buffers;
use crate::contract::payloads::{Read, Write};
use crate::contract::report::Usage;
use crate::contract::step::Reply;
use crate::time::Millis;

/// All payloads of one memory store.
#[derive(Default)]
pub(super) struct Payloads {
    /// A scan goes from its end to its beginning: what is removed has the last one take its place, which the scan has
    /// had by then, and what is replaced stays where it is.
    by_id: IndexMap<Box<str>, Record>,
    by_expiry: BTreeSet<(Millis, Box<str>)>,
    bytes: u64,
}

struct Record {
    data: Bytes,
    expires_at: Option<Millis>,
}

impl Record {
    fn lives_at(&self, now: Millis) -> bool {
        self.expires_at.is_none_or(|at| at > now)
    }
}

impl Payloads {
    pub(super) fn write(&mut self, operation: &Write, now: Millis) -> Reply {
        match operation {
            Write::Put { id, data, expires_at } => {
                self.store(id, data, *expires_at);
                Reply::Done
            }
            Write::Delete { id } => Reply::Flag(self.remove(id).is_some_and(|record| record.lives_at(now))),
            Write::Touch { id, expires_at } => {
                let Some(record) = self.by_id.get_mut(id).filter(|record| record.lives_at(now)) else {
                    return Reply::Flag(false);
                };
                if let Some(before) = record.expires_at.replace(*expires_at) {
                    self.by_expiry.remove(&(before, id.clone()));
                }
                self.by_expiry.insert((*expires_at, id.clone()));
                Reply::Flag(true)
            }
        }
    }

    pub(super) fn read(&self, operation: &Read, now: Millis) -> Reply {
        match operation {
            Read::Find { id } => {
                let found = self.by_id.get(id).filter(|record| record.lives_at(now));
                Reply::Data(found.map(|record| buffers::copied(&record.data)))
            }
            Read::Has { id } => Reply::Flag(self.by_id.get(id).is_some_and(|record| record.lives_at(now))),
        }
    }

    /// What stands under `id`, expired or not.
    pub(super) fn record(&self, id: &str) -> Option<(Bytes, Option<Millis>)> {
        self.by_id.get(id).map(|record| (record.data.clone(), record.expires_at))
    }

    pub(super) fn purge_expired(&mut self, now: Millis, limit: u64) -> u64 {
        let mut removed = 0;
        while removed < limit {
            let Some((_, id)) = self.by_expiry.first().filter(|(at, _)| *at <= now).cloned() else { break };
            self.remove(&id);
            removed += 1;
        }
        removed
    }

    pub(super) fn usage(&self, now: Millis) -> Usage {
        Usage {
            payloads: self.by_id.len() as u64,
            bytes: self.bytes,
            expired: self.by_expiry.iter().take_while(|(at, _)| *at <= now).count() as u64,
        }
    }

    /// Stores a payload, in place of what is there.
    pub(super) fn store(&mut self, id: &str, data: &[u8], expires_at: Option<Millis>) {
        // A copy: the caller's buffer is its own again once the put is answered.
        let record = Record { data: Bytes::copy_from_slice(data), expires_at };
        self.bytes += data.len() as u64;
        if let Some(before) = self.by_id.insert(id.into(), record) {
            self.forget(id, &before);
        }
        self.by_expiry.extend(expires_at.map(|at| (at, id.into())));
    }

    /// Those before `from`, the last first, each with its place: expired or not.
    pub(super) fn before(&self, from: usize) -> impl Iterator<Item = (usize, &str, &Bytes, Option<Millis>)> {
        let places = (0..from.min(self.by_id.len())).rev();
        places.filter_map(|place| {
            let (id, record) = self.by_id.get_index(place)?;
            Some((place, &**id, &record.data, record.expires_at))
        })
    }

    /// Those whose ids begin with `prefix` and are behind `after`, in the order of their ids: expired or not.
    pub(super) fn listed(&self, prefix: &str, after: Option<&str>) -> Vec<(&str, &Bytes, Option<Millis>)> {
        let is_meant = |id: &str| id.starts_with(prefix) && after.is_none_or(|after| id > after);
        let found = self.by_id.iter().filter(|(id, _)| is_meant(id));
        let mut found: Vec<_> = found.map(|(id, record)| (&**id, &record.data, record.expires_at)).collect();
        found.sort_unstable_by_key(|(id, ..)| *id);
        found
    }

    pub(super) fn count(&self) -> usize {
        self.by_id.len()
    }

    fn forget(&mut self, id: &str, record: &Record) {
        self.bytes -= record.data.len() as u64;
        if let Some(at) = record.expires_at {
            self.by_expiry.remove(&(at, id.into()));
        }
    }

    fn remove(&mut self, id: &str) -> Option<Record> {
        let record = self.by_id.swap_remove(id)?;
        self.forget(id, &record);
        Some(record)
    }
}
