//! Whole records on their way in and out.
//!
//! ```text
//! mod.rs     each operation, and the code that runs it; records by their keys, counts
//! cursor.rs  where a scan goes on
//! scan.rs    a page of what is stored
//! single.rs  payloads and messages: a record is one item
//! ```
//!
//! What a record of several items is made of stands with its kind, in its `moved.rs`.

mod cursor;
mod scan;
mod single;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};

use futures_util::future::join_all;

use super::attribute::Item;
use super::channel::{Channel, all};
use super::error;
use super::executions::{Executions, moved as executions};
use super::expression::{Expression, part_key};
use super::merged::fetch;
use super::outbox::{Outbox, moved as events};
use super::pages::{Counted, ScanCount};
use super::payloads::item::WHOLE as PAYLOAD;
use super::requests::Get;
use super::session::Session;
use super::states::item::saga_key;
use super::states::moved as states;
use super::states::saga::States;
use super::tables::Describe;
use crate::contract::moving::record::{Key, Record};
use crate::contract::moving::{Count, Moved, MovingRead, MovingStep, MovingWrite, Stat, fetched};
use crate::contract::operation::{RecordKind, Work, chains};
use crate::contract::step::Reply;
use crate::error::Result;
use scan::Wanted;

/// Parts of a table that are counted beside each other.
const SEGMENTS: usize = 4;
/// Pages of each, at most. A page is 1 MB: larger tables are counted about.
const PAGES: usize = 32;
/// Messages that are asked for beside each other.
const AT_ONCE: usize = 32;

/// Moves records, of any kind.
pub(super) struct Moving<'a, C> {
    pub(super) on: &'a C,
}

impl<C: Channel> Moving<'_, C> {
    /// Runs an operation.
    pub(super) async fn run(&self, step: &MovingStep) -> Result<Reply> {
        match step {
            Work::Write(write) => self.write(write).await,
            Work::Read(read) => self.read(read).await,
        }
    }

    async fn write(&self, write: &MovingWrite) -> Result<Reply> {
        let MovingWrite::Import(import) = write;
        let on = &self.on.to(import.kind.records());
        let fates = match import.kind {
            Moved::States => Box::pin(States { on }.import(import)).await?,
            Moved::Executions => Box::pin(Executions { on }.import(import)).await?,
            Moved::Outbox => Box::pin(Outbox { on }.import(import)).await?,
            Moved::Payloads | Moved::Inbox => Box::pin(single::import(on, import)).await?,
        };
        Ok(import.reply(fates))
    }

    async fn read(&self, read: &MovingRead) -> Result<Reply> {
        match read {
            MovingRead::Scan { kind, after, limit, max_bytes, only_sizes } => {
                let wanted = Wanted { limit: *limit, max_bytes: *max_bytes, only_sizes: *only_sizes, prefix: "" };
                let page = Box::pin(scan::scan(&self.on.to(kind.records()), *kind, after.as_deref(), wanted)).await?;
                Ok(page.into_reply())
            }
            MovingRead::Fetch { kind, keys } => Ok(fetched(Box::pin(self.fetch(*kind, keys)).await?)),
            MovingRead::List { prefix, after, limit } => {
                let wanted = Wanted { limit: *limit, max_bytes: u64::MAX, only_sizes: true, prefix };
                let (on, kind) = (self.on.to(RecordKind::Payloads), Moved::Payloads);
                Ok(Box::pin(scan::scan(&on, kind, after.as_deref(), wanted)).await?.into_reply())
            }
            MovingRead::Stat { id, expired } => {
                let key = Key { name: Box::default(), id: id.clone() };
                let found = Box::pin(self.fetch(Moved::Payloads, &[key])).await?.pop().flatten();
                Ok(Stat::into_reply(found.as_ref().and_then(Stat::of), *expired))
            }
            MovingRead::Count { kind } => Ok(Box::pin(self.count(*kind)).await?.into_reply()),
        }
    }

    /// What stands under these keys, expired or not.
    async fn fetch(&self, kind: Moved, keys: &[Key]) -> Result<Vec<Option<Record>>> {
        let on = &self.on.to(kind.records());
        let ids: Vec<&str> = keys.iter().map(|key| &*key.id).collect();
        match kind {
            Moved::Payloads => {
                let decode = |item| single::payload(item, on.clock(), false);
                of_items(on, &ids, PAYLOAD, decode).await
            }
            Moved::States => {
                let places: Vec<String> = keys.iter().map(|key| saga_key(&key.name, &key.id)).collect();
                let places: Vec<&str> = places.iter().map(String::as_str).collect();
                let decode = |item| Ok(Record::State(Box::new(states::decode(&item, on.clock())?)));
                of_items(on, &places, states::WHOLE, decode).await
            }
            Moved::Executions => {
                let found = Executions { on }.fetched(&ids).await?;
                Ok(found.into_iter().map(|found| found.map(|logbook| Record::Execution(Box::new(logbook)))).collect())
            }
            Moved::Outbox => {
                let found = Outbox { on }.fetched(&ids).await?;
                let event = |id: &&str| found.get(*id).cloned().transpose();
                let found = ids.iter().map(event).collect::<Result<Vec<_>>>()?;
                Ok(found.into_iter().map(|found| found.map(|stored| Record::Event(Box::new(stored)))).collect())
            }
            Moved::Inbox => {
                let mut messages = Vec::with_capacity(keys.len());
                for some in keys.chunks(AT_ONCE) {
                    let asked =
                        some.iter().map(|key| on.send(Get { key: part_key(&key.id, &key.name), projection: "" }));
                    for item in all::<C, _>(asked.collect()).await {
                        messages.push(item?.map(|item| single::message(&item)).transpose()?);
                    }
                }
                Ok(messages)
            }
        }
    }

    /// How many records there are. A large table is not read to its end: then the number is that of its items, which
    /// DynamoDB counts every few hours, and of these the share that are records in what was read.
    async fn count(&self, kind: Moved) -> Result<Count> {
        let on = &self.on.to(kind.records());
        let counts = (0..SEGMENTS).map(|segment| count_segment(on, segment, filter_of(kind)));
        let (mut count, mut scanned, mut is_whole) = (0, 0, true);
        for counted in all::<C, _>(counts.collect()).await {
            let counted: Counted = counted?;
            count += counted.count;
            scanned += counted.scanned;
            is_whole &= counted.next.is_none();
        }
        if is_whole {
            return Ok(Count { records: count, approximate: false });
        }
        // Who may not ask for it has what was counted.
        let items = on.send(Describe).await.map_or(0, |table| table.items);
        let share = u128::from(items) * u128::from(count) / u128::from(scanned.max(1));
        Ok(Count { records: u64::try_from(share).unwrap_or(u64::MAX).max(count), approximate: true })
    }
}

async fn count_segment<C: Channel>(on: &C, segment: usize, filter: Option<Expression>) -> Result<Counted> {
    let mut counted = Counted { count: 0, scanned: 0, next: None };
    let number = |number: usize| i32::try_from(number).unwrap_or(0);
    for _ in 0..PAGES {
        let (after, filter) = (counted.next.take(), filter.clone());
        let page = on.send(ScanCount { segment: number(segment), segments: number(SEGMENTS), after, filter }).await?;
        counted.count += page.count;
        counted.scanned += page.scanned;
        counted.next = page.next;
        if counted.next.is_none() {
            break;
        }
    }
    Ok(counted)
}

/// Which items of a table are records.
fn filter_of(kind: Moved) -> Option<Expression> {
    match kind {
        Moved::States => Some(states::is_saga()),
        Moved::Executions => Some(executions::is_head()),
        Moved::Outbox => Some(events::is_event()),
        Moved::Payloads | Moved::Inbox => None,
    }
}

/// The records of these ids, where one item is a record.
async fn of_items<C: Channel>(
    on: &C,
    ids: &[&str],
    projection: &'static str,
    decode: impl Fn(Item) -> Result<Record>,
) -> Result<Vec<Option<Record>>> {
    let known: HashSet<&str> = ids.iter().copied().collect();
    let known: Vec<&str> = known.into_iter().collect();
    let items: HashMap<String, Item> = fetch(on, &known, None, projection).await?;
    ids.iter().map(|id| items.get(*id).cloned().map(&decode).transpose()).collect()
}

/// Stores records on the store's own connections; batches of events in their order, the others beside each other.
pub(super) async fn write(on: &Session<'_>, group: &[MovingWrite]) -> Vec<Result<Reply>> {
    let run = |chain: Vec<usize>| async move {
        let mut done = Vec::with_capacity(chain.len());
        for member in chain {
            done.push((member, Moving { on }.write(&group[member]).await));
        }
        done
    };
    let mut answers: Vec<Result<Reply>> = vec![Err(error::unexpected()); group.len()];
    for (member, answer) in join_all(chains(group).into_iter().map(run)).await.into_iter().flatten() {
        answers[member] = answer;
    }
    answers
}

/// Reads records, beside each other.
pub(super) async fn read(on: &Session<'_>, group: &[MovingRead]) -> Vec<Result<Reply>> {
    join_all(group.iter().map(|read| async move { Moving { on }.read(read).await })).await
}
