//! Payloads in a map, with their expiries in order beside it.

use std::collections::{BTreeSet, HashMap};

use bytes::Bytes;

use crate::buffers;
use crate::contract::payloads::{Read, Write};
use crate::contract::report::Usage;
use crate::contract::step::Reply;
use crate::time::Millis;

/// All payloads of one memory store.
#[derive(Default)]
pub(super) struct Payloads {
    by_id: HashMap<Box<str>, Record>,
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
                self.remove(id);
                // A copy: the caller's buffer is its own again once the put is answered.
                let record = Record { data: Bytes::copy_from_slice(data), expires_at: *expires_at };
                self.bytes += record.data.len() as u64;
                self.by_id.insert(id.clone(), record);
                self.by_expiry.extend(expires_at.map(|at| (at, id.clone())));
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

    fn remove(&mut self, id: &str) -> Option<Record> {
        let (id, record) = self.by_id.remove_entry(id)?;
        self.bytes -= record.data.len() as u64;
        if let Some(at) = record.expires_at {
            self.by_expiry.remove(&(at, id));
        }
        Some(record)
    }
}
