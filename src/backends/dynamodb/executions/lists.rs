//! Several executions, found by an index of their table.
//!
//! An index says which executions, in which order, and follows the table a little later; what is answered is read from
//! the table itself. Counts and statistics are the index's.

use std::cmp::Ordering;
use std::collections::HashSet;

use super::Executions;
use super::item::{
    AT_ONCE, BY_CREATION, BY_UPDATE, DUE, ENDED, HEAD, PARKED, SHARDS, SUMMARY, execution, head_key, listed_in,
    number_of, order_key, text_of,
};
use super::removal::{Removed, is_alone_since};
use crate::backends::dynamodb::attribute::{Attribute, Item};
use crate::backends::dynamodb::channel::{Channel, all};
use crate::backends::dynamodb::expression::{
    COMPLETED_AT, CONTEXT_BYTES, CREATED, DUE_AT, Expression, LISTED_IN, LOG_BYTES, PARKED_AT, UPDATED, WORKER, id_of,
};
use crate::backends::dynamodb::merged::{Merged, fetch};
use crate::backends::dynamodb::pages::{Count, Query};
use crate::backends::dynamodb::requests::Delete;
use crate::contract::executions::record::{Counts, Execution, Shows, Status};
use crate::contract::executions::{Filter, Order};
use crate::contract::step::Reply;
use crate::error::Result;
use crate::time::Millis;

/// True of what has not expired.
const LIVES: &str = "(attribute_not_exists(#endsAt) OR #endsAt > :now)";

fn latest_change(one: &Item, other: &Item) -> Ordering {
    text_of(other, UPDATED).cmp(&text_of(one, UPDATED))
}

fn latest_creation(one: &Item, other: &Item) -> Ordering {
    text_of(other, CREATED).cmp(&text_of(one, CREATED))
}

fn oldest_change(one: &Item, other: &Item) -> Ordering {
    text_of(one, UPDATED).cmp(&text_of(other, UPDATED))
}

fn first_end(one: &Item, other: &Item) -> Ordering {
    number_of(one, COMPLETED_AT).cmp(&number_of(other, COMPLETED_AT))
}

/// What an index can tell of a filter; the status is that of the partition, unless the index is of those that are parked.
fn of_index(filter: &Filter, index: &str, now: Millis) -> Expression {
    let (mut text, mut values) = (String::from(LIVES), Item::from([(":now", Attribute::number(now.0))]));
    if let Some(status) = filter.status.filter(|_| index == PARKED) {
        text.push_str(" AND #status = :status");
        values.set(":status", Attribute::text(status.name()));
    }
    if let Some(name) = &filter.name {
        text.push_str(" AND #sagaName = :name");
        values.set(":name", Attribute::text(name));
    }
    if let Some(tag) = &filter.tag {
        text.push_str(" AND contains(#tags, :tag)");
        values.set(":tag", Attribute::text(tag));
    }
    match filter.parked {
        Some(true) => text.push_str(" AND attribute_exists(#parkedAt)"),
        Some(false) => text.push_str(" AND attribute_not_exists(#parkedAt)"),
        None => {}
    }
    Expression::new(text, values)
}

fn is(filter: &Filter, of: &Execution) -> bool {
    let Filter { name, status, tag, parked } = filter;
    name.as_ref().is_none_or(|name| *name == of.name)
        && status.is_none_or(|status| status == of.status)
        && tag.as_ref().is_none_or(|tag| of.tags.contains(tag))
        && parked.is_none_or(|parked| parked == of.parked_at.is_some())
}

/// The partitions of statuses.
fn partitions(statuses: &[Status]) -> Vec<String> {
    statuses.iter().flat_map(|status| (0..SHARDS).map(|shard| listed_in(*status, shard))).collect()
}

fn statuses(filter: &Filter) -> Vec<Status> {
    filter.status.map_or_else(|| Status::ALL.to_vec(), |status| vec![status])
}

fn within(partition: String) -> Item {
    Item::from([(":listed", Attribute::S(partition))])
}

/// Where what a filter admits is listed: an index, the attribute of its partitions, and the partitions. Those that are
/// parked have an index of their own, in the order of their changes.
fn places(filter: &Filter, order: Order) -> (&'static str, &'static str, Vec<String>) {
    match (filter.parked, order) {
        (Some(true), Order::Updated) => {
            (PARKED, "#parkedIn = :listed", (0..SHARDS).map(|shard| shard.to_string()).collect())
        }
        (_, Order::Updated) => (BY_UPDATE, "#listedIn = :listed", partitions(&statuses(filter))),
        (_, Order::Created) => (BY_CREATION, "#listedIn = :listed", partitions(&statuses(filter))),
    }
}

/// A page of executions.
pub(super) async fn list<C: Channel>(
    executions: &Executions<'_, C>,
    filter: &Filter,
    order: Order,
    after: Option<&(Millis, Box<str>)>,
    limit: u64,
) -> Result<Reply> {
    let (key, projection): (_, &'static str) = match order {
        Order::Updated => (UPDATED, "#id, #updatedKey"),
        Order::Created => (CREATED, "#id, #createdKey"),
    };
    let (index, is_listed, partitions) = places(filter, order);
    let queries = partitions.into_iter().map(|partition| {
        let condition = match after {
            None => Expression::new(is_listed, within(partition)),
            Some((at, id)) => Expression::new(
                format!("{is_listed} AND #{key} < :after"),
                within(partition).with(Item::from([(":after", Attribute::S(order_key(*at, id)))])),
            ),
        };
        let filter = Some(of_index(filter, index, executions.now()));
        Query { filter, reverse: true, ..Query::of(Some(index), condition, projection, 0) }
    });
    let order_of = if order == Order::Updated { latest_change } else { latest_creation };
    let mut merged = Merged::new(queries.collect(), limit, order_of);
    let mut found = collect(executions, &mut merged, limit, |found| is(filter, found)).await?;
    // Those that the index had at a place that is not theirs any more.
    found.sort_by_key(|found| {
        let at = if order == Order::Updated { found.updated_at } else { found.created_at };
        std::cmp::Reverse((at, found.id.clone()))
    });
    Ok(Reply::executions(found, Shows::Neither))
}

/// Reads executions that an index has, until there are `limit` that are meant.
async fn collect<C: Channel>(
    executions: &Executions<'_, C>,
    merged: &mut Merged,
    limit: u64,
    is_meant: impl Fn(&Execution) -> bool,
) -> Result<Vec<Execution>> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let (mut collected, mut seen) = (Vec::new(), HashSet::new());
    while collected.len() < limit {
        let listed = merged.next(executions.on, limit - collected.len()).await?;
        if listed.is_empty() {
            break;
        }
        // One that changes while it is listed is perhaps in two places.
        let ids: Vec<&str> = listed.iter().filter_map(id_of).filter(|id| seen.insert((*id).to_owned())).collect();
        let mut found = fetch(executions.on, &ids, Some(HEAD), SUMMARY).await?;
        for id in ids {
            let Some(item) = found.remove(id) else { continue };
            let now = executions.now();
            collected.extend(execution(&item)?.filter(|found| found.lives_at(now) && is_meant(found)));
        }
    }
    Ok(collected)
}

/// How many executions there are.
pub(super) async fn count<C: Channel>(executions: &Executions<'_, C>, filter: &Filter) -> Result<Reply> {
    let now = executions.now();
    let (index, is_listed, partitions) = places(filter, Order::Updated);
    let counts = partitions.into_iter().map(|partition| async move {
        let mut next = Some(Count {
            index,
            condition: Expression::new(is_listed, within(partition)),
            filter: of_index(filter, index, now),
            after: None,
        });
        let mut total = 0;
        while let Some(query) = next.take() {
            let (count, after) = executions.on.send(query.clone()).await?;
            total += count;
            next = after.map(|after| Count { after: Some(after), ..query });
        }
        Ok(total)
    });
    let counts: Result<Vec<u64>> = all::<C, _>(counts.collect()).await.into_iter().collect();
    Ok(Reply::Count(counts?.into_iter().sum()))
}

/// Ids of those that somebody should go on with, the oldest change first.
pub(super) async fn recoverable<C: Channel>(
    executions: &Executions<'_, C>,
    limit: u64,
    max_attempts: i64,
    stale_after_ms: u64,
    name: Option<&str>,
) -> Result<Reply> {
    let now = executions.now();
    let before = now.minus(stale_after_ms);
    let filter = Filter { name: name.map(Into::into), parked: Some(false), ..Filter::default() };
    let active: Vec<Status> = Status::ALL.iter().copied().filter(|status| status.is_active()).collect();
    let queries = partitions(&active).into_iter().map(|partition| {
        let until = Item::from([(":until", Attribute::S(order_key(before.plus(1), "")))]);
        let condition = Expression::new("#listedIn = :listed AND #updatedKey < :until", within(partition).with(until));
        let filter = Some(of_index(&filter, BY_UPDATE, now));
        Query { filter, ..Query::of(Some(BY_UPDATE), condition, "#id, #updatedKey", 0) }
    });
    let mut merged = Merged::new(queries.collect(), limit, oldest_change);
    let is_meant = |found: &Execution| {
        is(&filter, found)
            && found.status.is_active()
            && found.attempts < max_attempts
            && found.updated_at.0 <= before.0
    };
    let found = collect(executions, &mut merged, limit, is_meant).await?;
    Ok(Reply::ids(found.into_iter().map(|found| found.id)))
}

/// Counts all executions.
pub(super) async fn statistics<C: Channel>(executions: &Executions<'_, C>) -> Result<Reply> {
    let now = executions.now();
    let all_of = Filter::default();
    let parts = Status::ALL
        .iter()
        .enumerate()
        .flat_map(|(place, status)| (0..SHARDS).map(move |shard| (place, listed_in(*status, shard))));
    let counts = parts.map(|(place, partition)| {
        let condition = Expression::new("#listedIn = :listed", within(partition));
        let projection = "#id, #logBytes, #contextBytes, #parkedAt, #workerId";
        let query = Query::of(Some(BY_UPDATE), condition, projection, 1_000);
        let query = Query { filter: Some(of_index(&all_of, BY_UPDATE, now)), ..query };
        async move {
            let (mut counts, mut next) = (Counts::default(), Some(query));
            while let Some(query) = next.take() {
                let (items, after) = executions.on.send(query.clone()).await?;
                for item in &items {
                    let bytes = |name| number_of(item, name).and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(0);
                    counts.by_status[place] += 1;
                    counts.parked += u64::from(item.get(PARKED_AT).is_some());
                    // Whoever has it is named.
                    counts.leased += u64::from(item.get(WORKER).is_some());
                    counts.bytes += bytes(LOG_BYTES) + bytes(CONTEXT_BYTES);
                }
                next = after.map(|after| Query { after: Some(after), ..query });
            }
            Ok(counts)
        }
    });
    let counts: Result<Vec<Counts>> = all::<C, _>(counts.collect()).await.into_iter().collect();
    let mut total = Counts { oldest_due_at: first_due(executions).await?, ..Counts::default() };
    for counts in counts? {
        for (total, more) in total.by_status.iter_mut().zip(counts.by_status) {
            *total += more;
        }
        total.parked += counts.parked;
        total.leased += counts.leased;
        total.bytes += counts.bytes;
    }
    Ok(Reply::Value(total.into_dynamic()))
}

async fn first_due<C: Channel>(executions: &Executions<'_, C>) -> Result<Option<Millis>> {
    let firsts = (0..SHARDS).map(|shard| {
        let values = Item::from([(":shard", Attribute::S(shard.to_string()))]);
        executions.on.send(Query::of(Some(DUE), Expression::new("#shard = :shard", values), "#id, #dueAt", 1))
    });
    let mut first = None;
    for found in all::<C, _>(firsts.collect()).await {
        let at = found?.0.first().and_then(|item| number_of(item, DUE_AT)).map(Millis);
        first = first.into_iter().chain(at).min();
    }
    Ok(first)
}

/// Removes executions that ended before a time, those first that ended first.
pub(super) async fn cleanup<C: Channel>(
    executions: &Executions<'_, C>,
    before: Millis,
    statuses: &[Status],
    limit: u64,
) -> Result<Reply> {
    let queries = partitions(statuses).into_iter().map(|partition| {
        let values = within(partition).with(Item::from([(":before", Attribute::number(before.0))]));
        let condition = Expression::new("#listedIn = :listed AND #completedAt < :before", values);
        Query::of(Some(ENDED), condition, "#id, #listedIn, #completedAt", 0)
    });
    let mut merged = Merged::new(queries.collect(), limit, first_end);
    let mut removed = 0;
    while removed < limit {
        let wanted = usize::try_from(limit - removed).unwrap_or(usize::MAX).min(AT_ONCE);
        let listed = merged.next(executions.on, wanted).await?;
        if listed.is_empty() {
            break;
        }
        let removals = listed.iter().map(|item| remove_old(executions, item, before, statuses));
        for outcome in all::<C, _>(removals.collect()).await {
            removed += u64::from(outcome?);
        }
    }
    Ok(Reply::Count(removed))
}

/// Removes one that is listed, if it still is what it was listed for.
async fn remove_old<C: Channel>(
    executions: &Executions<'_, C>,
    listed: &Item,
    before: Millis,
    statuses: &[Status],
) -> Result<bool> {
    let (Some(id), Some(partition)) = (id_of(listed), text_of(listed, LISTED_IN)) else { return Ok(false) };
    let alone = Delete { key: head_key(id), condition: is_alone_since(before, partition, executions.now()) };
    match executions.on.send(alone).await {
        Ok(()) => return Ok(true),
        Err(failure) if failure.is_met() => {}
        Err(failure) => return Err(failure.into()),
    }
    let is_meant = |head: &super::item::Head| {
        let of = &head.execution;
        statuses.contains(&of.status) && of.completed_at.is_some_and(|at| at < before)
    };
    Ok(executions.remove(id, is_meant).await? == Removed::Living)
}
