//! Several partitions of an index read as one, and items of several ids.

use std::cmp::Ordering;
use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use super::attribute::Item;
use super::channel::{Channel, all};
use super::error;
use super::expression::id_of;
use super::pages::Query;
use super::requests::BatchGet;
use crate::error::Result;

/// Items of a BatchGetItem, at most.
const BATCH: usize = 100;
/// How often a batch is asked for again that brings nothing, and the pause before.
const EMPTY_BATCHES: (u32, Duration) = (5, Duration::from_millis(50));

/// A partition of an index, read as far as it was needed.
struct Partition {
    next: Option<Query>,
    buffer: VecDeque<Item>,
}

/// Partitions that are read as one.
pub(super) struct Merged {
    partitions: Vec<Partition>,
    order: fn(&Item, &Item) -> Ordering,
}

impl Merged {
    /// Each partition is as a query says; `limit` of them are wanted in all, as far as is known.
    pub(super) fn new(queries: Vec<Query>, limit: u64, order: fn(&Item, &Item) -> Ordering) -> Self {
        let share = usize::try_from(limit).unwrap_or(usize::MAX) / queries.len().max(1);
        let page = i32::try_from(share.saturating_mul(2).clamp(8, 1_000)).unwrap_or(8);
        let partition = |query| Partition { next: Some(Query { limit: page, ..query }), buffer: VecDeque::new() };
        Self { partitions: queries.into_iter().map(partition).collect(), order }
    }

    /// The next ones, at most `count`; none at the end.
    pub(super) async fn next<C: Channel>(&mut self, on: &C, count: usize) -> Result<Vec<Item>> {
        let mut taken = Vec::new();
        while taken.len() < count {
            self.fill(on).await?;
            let firsts = self.partitions.iter().enumerate().filter_map(|(at, one)| Some((at, one.buffer.front()?)));
            let Some((first, _)) = firsts.min_by(|(_, one), (_, other)| (self.order)(one, other)) else { break };
            taken.extend(self.partitions[first].buffer.pop_front());
        }
        Ok(taken)
    }

    /// Reads on in partitions of which nothing is left, until each has something or is at its end.
    async fn fill<C: Channel>(&mut self, on: &C) -> Result<()> {
        loop {
            let empty = self.partitions.iter_mut().filter(|one| one.buffer.is_empty());
            let read = empty.filter_map(|partition| {
                let query = partition.next.take()?;
                Some(async move {
                    let (items, after) = on.send(query.clone()).await?;
                    partition.buffer.extend(items);
                    partition.next = after.map(|after| Query { after: Some(after), ..query });
                    Ok(())
                })
            });
            let read: Vec<_> = read.collect();
            if read.is_empty() {
                return Ok(());
            }
            all::<C, _>(read).await.into_iter().collect::<Result<()>>()?;
        }
    }
}

/// Items of different ids, as they are now.
pub(super) async fn fetch<C: Channel>(
    on: &C,
    ids: &[&str],
    part: Option<&'static str>,
    projection: &'static str,
) -> Result<HashMap<String, Item>> {
    let batches = ids.chunks(BATCH).map(|batch| fetch_batch(on, batch.to_vec(), part, projection));
    let batches: Result<Vec<_>> = all::<C, _>(batches.collect()).await.into_iter().collect();
    Ok(batches?.into_iter().flatten().filter_map(|item| Some((id_of(&item)?.to_owned(), item))).collect())
}

async fn fetch_batch<C: Channel>(
    on: &C,
    mut ids: Vec<&str>,
    part: Option<&'static str>,
    projection: &'static str,
) -> Result<Vec<Item>> {
    let (mut items, mut empty) = (Vec::new(), 0);
    while !ids.is_empty() {
        let found = on.send(BatchGet { ids: &ids, part, projection }).await?;
        // It ends at 16 MB; what brings nothing at all is throttled.
        if found.items.is_empty() && !found.unprocessed.is_empty() {
            empty += 1;
            if empty > EMPTY_BATCHES.0 {
                return Err(error::throttled());
            }
            on.pause(EMPTY_BATCHES.1.mul_f64(f64::from(empty) * fastrand::f64())).await;
        }
        items.extend(found.items);
        ids.retain(|id| found.unprocessed.contains(*id));
    }
    Ok(items)
}
