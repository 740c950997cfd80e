//! Whole records on their way out and in.

use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;

use super::executions;
use super::inbox::Accepted;
use super::records::Records;
use super::states::{self, key};
use crate::buffers;
use crate::contract::moving::record::{Body, Key, Logbook, Message, Payload, Record, State};
use crate::contract::moving::{
    Count, Fate, Import, Moved, MovingRead, MovingWrite, Page, Stat, fetched, foreign_cursor,
};
use crate::contract::outbox::record::{Content, Stored};
use crate::contract::states::correlation_taken;
use crate::contract::step::Reply;
use crate::error::{Error, Result};
use crate::time::Millis;

/// What a page is made of.
struct Filling {
    page: Page,
    limit: u64,
    max_bytes: u64,
    bytes: u64,
}

impl Filling {
    /// Takes a record, unless the page is full: then the next page begins behind the last one.
    fn take(&mut self, record: Record, cursor: String) -> bool {
        self.bytes = self.bytes.saturating_add(record.bytes() as u64);
        let len = self.page.records.len() as u64;
        if len == self.limit || (len > 0 && self.bytes > self.max_bytes) {
            return false;
        }
        self.page.records.push(record);
        self.page.cursor = Some(cursor);
        true
    }

    /// Takes records until the page is full.
    fn fill(mut self, records: impl Iterator<Item = (Record, String)>) -> Page {
        for (record, cursor) in records {
            if !self.take(record, cursor) {
                return self.page;
            }
        }
        self.page.cursor = None;
        self.page
    }
}

fn of_state(record: &states::Record) -> Record {
    let states::Record { saga, correlation_id } = record;
    Record::State(Box::new(State { saga: saga.clone(), correlation_id: correlation_id.clone() }))
}

fn of_execution(record: &executions::Record) -> Record {
    Record::Execution(Box::new(Logbook { execution: record.execution.clone(), log: record.log.clone() }))
}

fn of_message(key: &str, accepted: &Accepted) -> Record {
    let (consumer, id) = key.split_once('\0').unwrap_or_default();
    let Accepted { until, operation } = accepted.clone();
    Record::Message(Message { consumer: consumer.into(), id: id.into(), operation, expires_at: until })
}

fn of_payload(id: &str, data: &Bytes, expires_at: Option<Millis>, only_sizes: bool) -> Record {
    let body = if only_sizes { Body::Size(data.len() as u64) } else { Body::Whole(buffers::copied(data)) };
    Record::Payload(Payload { id: id.into(), body, expires_at })
}

fn message_key(key: &Key) -> Box<str> {
    format!("{}\0{}", key.name, key.id).into()
}

/// A saga's cursor: its name, NUL, its id.
fn state_cursor(after: &str) -> Result<states::Key> {
    let (name, id) = after.split_once('\0').ok_or_else(foreign_cursor)?;
    Ok(key(name, id))
}

impl Records {
    pub(super) fn read_moving(&self, read: &MovingRead) -> Result<Reply> {
        Ok(match read {
            MovingRead::Scan { kind, after, limit, max_bytes, only_sizes } => {
                let filling = Filling { page: Page::default(), limit: *limit, max_bytes: *max_bytes, bytes: 0 };
                self.scan(*kind, after.as_deref(), filling, *only_sizes)?.into_reply()
            }
            MovingRead::Fetch { kind, keys } => fetched(keys.iter().map(|key| self.fetch(*kind, key)).collect()),
            MovingRead::List { prefix, after, limit } => {
                let mut found = self.payloads.listed(prefix, after.as_deref());
                let most = usize::try_from(*limit).unwrap_or(usize::MAX);
                let cursor = (found.len() > most).then(|| found[most - 1].0.to_owned());
                found.truncate(most);
                let records = found.into_iter().map(|(id, data, expires_at)| of_payload(id, data, expires_at, true));
                Page { records: records.collect(), cursor, ..Page::default() }.into_reply()
            }
            MovingRead::Stat { id, expired } => {
                let found = self.payloads.record(id);
                let record = found.map(|(data, expires_at)| of_payload(id, &data, expires_at, false));
                Stat::into_reply(record.as_ref().and_then(Stat::of), *expired)
            }
            MovingRead::Count { kind } => {
                let records = match kind {
                    Moved::Payloads => self.payloads.count(),
                    Moved::States => self.states.by_id.len(),
                    Moved::Executions => self.executions.by_id.len(),
                    Moved::Outbox => self.outbox.events.len(),
                    Moved::Inbox => self.inbox.0.len(),
                };
                Count { records: records as u64, approximate: false }.into_reply()
            }
        })
    }

    fn scan(&self, kind: Moved, after: Option<&str>, filling: Filling, only_sizes: bool) -> Result<Page> {
        Ok(match kind {
            Moved::Payloads => {
                let from = match after {
                    None => usize::MAX,
                    Some(after) => after.parse().map_err(|_| foreign_cursor())?,
                };
                let records = self.payloads.before(from);
                filling.fill(records.map(|(place, id, data, expires_at)| {
                    (of_payload(id, data, expires_at, only_sizes), place.to_string())
                }))
            }
            Moved::States => {
                let from = match after {
                    None => Bound::Unbounded,
                    Some(after) => Bound::Excluded(state_cursor(after)?),
                };
                let records = self.states.by_id.range((from, Bound::Unbounded));
                filling.fill(records.map(|(key, record)| (of_state(record), format!("{}\0{}", key.0, key.1))))
            }
            Moved::Executions => {
                let from = after.map_or(Bound::Unbounded, |after| Bound::Excluded(Box::<str>::from(after)));
                let records = self.executions.by_id.range((from, Bound::Unbounded));
                filling.fill(records.map(|(id, record)| (of_execution(record), id.to_string())))
            }
            Moved::Outbox => {
                let from = match after {
                    None => i64::MIN,
                    Some(after) => after.parse::<i64>().map_err(|_| foreign_cursor())?.saturating_add(1),
                };
                let records = self.outbox.events.range(from..);
                filling.fill(records.flat_map(|(seq, _)| {
                    let copy = self.outbox.copies([*seq]).into_iter();
                    copy.map(|stored| (Record::Event(Box::new(stored)), seq.to_string()))
                }))
            }
            Moved::Inbox => {
                let from = after.map_or(Bound::Unbounded, |after| Bound::Excluded(Box::<str>::from(after)));
                let records = self.inbox.0.range((from, Bound::Unbounded));
                filling.fill(records.map(|(key, accepted)| (of_message(key, accepted), key.to_string())))
            }
        })
    }

    /// What stands under a key, expired or not.
    fn fetch(&self, kind: Moved, at: &Key) -> Option<Record> {
        match kind {
            Moved::Payloads => {
                let (data, expires_at) = self.payloads.record(&at.id)?;
                Some(of_payload(&at.id, &data, expires_at, false))
            }
            Moved::States => self.states.by_id.get(&key(&at.name, &at.id)).map(|record| of_state(record)),
            Moved::Executions => self.executions.by_id.get(&at.id).map(|record| of_execution(record)),
            Moved::Outbox => {
                let (seq, _) = self.outbox.by_id(&at.id)?;
                self.outbox.copies([seq]).pop().map(|stored| Record::Event(Box::new(stored)))
            }
            Moved::Inbox => {
                let key = message_key(at);
                self.inbox.0.get(&key).map(|accepted| of_message(&key, accepted))
            }
        }
    }

    pub(super) fn write_moving(&mut self, write: &MovingWrite, now: Millis) -> Reply {
        let MovingWrite::Import(import) = write;
        import.reply(import.records.iter().map(|record| Fate::from(self.bring(record, import, now))).collect())
    }

    /// Whether it is stored.
    fn bring(&mut self, record: &Record, import: &Import, now: Millis) -> Result<bool> {
        let there = self.fetch(import.kind, &record.key());
        let living = there.filter(|there| there.expires_at().is_none_or(|at| at > now));
        if let Some(living) = &living
            && !import.conflict.replaces(record, living)?
        {
            return Ok(false);
        }
        match record {
            Record::Payload(Payload { id, body: Body::Whole(data), expires_at }) => {
                self.payloads.store(id, data, *expires_at);
            }
            Record::Payload(_) => return Err(Error::invalid("a payload without its bytes cannot be stored")),
            Record::State(state) => self.bring_state(state, now)?,
            Record::Execution(logbook) => {
                let record = executions::Record::with_log(logbook.execution.clone(), logbook.log.clone());
                self.executions.set(&logbook.execution.id, Some(Arc::new(record)));
            }
            Record::Event(stored) => self.bring_event(stored),
            Record::Message(message) => {
                let accepted = Accepted { until: message.expires_at, operation: message.operation.clone() };
                self.inbox.0.insert(message_key(&record.key()), accepted);
            }
        }
        Ok(true)
    }

    fn bring_state(&mut self, state: &State, now: Millis) -> Result<()> {
        let State { saga, correlation_id } = state;
        let holder = self.states.by_correlation.get(&key(&saga.name, correlation_id)).cloned();
        if let Some(holder) = holder.filter(|holder| *holder != saga.id) {
            let other = key(&saga.name, &holder);
            if self.states.by_id.get(&other).is_some_and(|other| other.lives_at(now)) {
                return Err(correlation_taken(saga, correlation_id).with_id(&saga.id));
            }
            self.states.set(&other, None);
        }
        let record = states::Record { saga: saga.clone(), correlation_id: correlation_id.clone() };
        self.states.set(&key(&saga.name, &saga.id), Some(Arc::new(record)));
        Ok(())
    }

    /// One that is replaced keeps its place.
    fn bring_event(&mut self, stored: &Stored) {
        let place = self.outbox.by_id(&stored.event.id).map(|(seq, _)| seq);
        // With it goes its place in the order of its key, which may be another one.
        if let Some(seq) = place {
            self.outbox.set(seq, None);
        }
        let seq = place.unwrap_or_else(|| {
            self.outbox.last += 1;
            self.outbox.last
        });
        if place.is_some() {
            // It may have had another partition key, whose queue it leaves.
            self.outbox.set(seq, None);
        }
        let mut stored = Stored { seq, ..stored.clone() };
        if let Content::Bytes(bytes) = &stored.event.payload {
            stored.event.payload = Content::Bytes(Bytes::copy_from_slice(bytes));
        }
        self.outbox.set(seq, Some(Arc::new(stored)));
    }
}
