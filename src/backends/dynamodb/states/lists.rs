//! Lists, counts and batches of sagas, by the indexes of their table.
//!
//! Indexes say which sagas, in which order, and follow the table a little later; what is answered is
//! read from the table itself. A list is in several partitions, each in the order of the index: they
//! are read beside each other and merged.

use std::cmp::Ordering;

use super::item::{
    COMPLETED, LISTED, LISTING, Removal, SHARDS, TIMEOUTS, decode, listed_in, number_of, saga_key, text_of,
};
use super::saga::States;
use crate::backends::dynamodb::attribute::{Attribute, Item};
use crate::backends::dynamodb::channel::{Channel, all};
use crate::backends::dynamodb::expression::{
    self, CORRELATION_ID, ENDED_AT, Expression, SAGA_ID, TIMEOUT_AT, UPDATED_AT, id_of, is_expired,
};
use crate::backends::dynamodb::merged::{Merged, fetch};
use crate::backends::dynamodb::pages::{Count, Query};
use crate::contract::states::FoundState;
use crate::contract::step::Reply;
use crate::error::Result;
use crate::time::Millis;

fn by_saga_id(one: &Item, other: &Item) -> Ordering {
    text_of(one, SAGA_ID).cmp(&text_of(other, SAGA_ID))
}

fn by_end(one: &Item, other: &Item) -> Ordering {
    number_of(one, ENDED_AT).cmp(&number_of(other, ENDED_AT))
}

fn by_timeout(one: &Item, other: &Item) -> Ordering {
    number_of(one, TIMEOUT_AT).cmp(&number_of(other, TIMEOUT_AT))
}

fn merged(
    index: &'static str,
    projection: &'static str,
    conditions: Vec<Expression>,
    limit: u64,
    order: fn(&Item, &Item) -> Ordering,
) -> Merged {
    let queries = conditions.into_iter().map(|condition| Query::of(Some(index), condition, projection, 0));
    Merged::new(queries.collect(), limit, order)
}

/// The partitions of a name: `None` means open ones and those that have ended.
pub(super) fn partitions(name: &str, completed: Option<bool>) -> Vec<String> {
    let kinds: &[bool] = match completed {
        Some(true) => &[true],
        Some(false) => &[false],
        None => &[false, true],
    };
    kinds.iter().flat_map(|ended| (0..SHARDS).map(|shard| listed_in(name, *ended, shard))).collect()
}

pub(super) fn within(partition: String) -> Item {
    Item::from([(":listed", Attribute::S(partition))])
}

/// A page of the sagas of a name; with `since` those that were changed last then, or before.
pub(crate) async fn list<C: Channel>(
    states: &States<'_, C>,
    name: &str,
    completed: Option<bool>,
    since: Option<Millis>,
    after: Option<&str>,
    limit: u64,
) -> Result<Reply> {
    let condition = |partition| match after {
        Some(after) => Expression::new(
            "#listed = :listed AND #saga > :after",
            within(partition).with(Item::from([(":after", Attribute::S(after.to_owned()))])),
        ),
        None => Expression::new("#listed = :listed", within(partition)),
    };
    let conditions = partitions(name, completed).into_iter().map(condition).collect();
    let mut merged = merged(LISTING, "#id, #saga", conditions, limit, by_saga_id);
    let is_old = |item: &Item, since: Millis| number_of(item, UPDATED_AT).is_some_and(|at| at <= since.0);
    let is_wanted = |item: &Item| {
        completed.is_none_or(|ended| item.get(ENDED_AT).is_some() == ended)
            && since.is_none_or(|since| is_old(item, since))
    };
    collect(states, &mut merged, limit, |_| true, is_wanted).await
}

/// What the index has of sagas whose timeout has passed.
pub(crate) fn overdue(now: Millis, limit: u64) -> Merged {
    let conditions = (0..SHARDS).map(|shard| {
        let values = Item::from([(":shard", Attribute::S(shard.to_string())), (":until", Attribute::number(now.0))]);
        Expression::new("#shard = :shard AND #timeout <= :until", values)
    });
    merged(TIMEOUTS, "#id, #timeout", conditions.collect(), limit, by_timeout)
}

/// Whether a saga has timed out, by its item.
pub(crate) fn is_due(item: &Item, now: Millis) -> bool {
    item.get(ENDED_AT).is_none() && number_of(item, TIMEOUT_AT).is_some_and(|at| at <= now.0)
}

/// Sagas whose timeout has passed.
pub(crate) async fn timed_out<C: Channel>(
    states: &States<'_, C>,
    now: Millis,
    name: Option<&str>,
    limit: u64,
) -> Result<Reply> {
    let mut merged = overdue(now, limit);
    let prefix = name.map(|name| saga_key(name, ""));
    let is_of_name =
        |item: &Item| prefix.as_ref().is_none_or(|prefix| id_of(item).is_some_and(|id| id.starts_with(prefix)));
    collect(states, &mut merged, limit, is_of_name, |item| is_due(item, now)).await
}

/// Reads sagas that an index has, until there are `limit` of which both are true: the first of what
/// the index knows, the second of the item.
async fn collect<C: Channel>(
    states: &States<'_, C>,
    merged: &mut Merged,
    limit: u64,
    may_be: impl Fn(&Item) -> bool,
    is: impl Fn(&Item) -> bool,
) -> Result<Reply> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut collected: Vec<FoundState> = Vec::new();
    let mut last: Option<String> = None;
    while collected.len() < limit {
        let listed = merged.next(states.on, limit - collected.len()).await?;
        if listed.is_empty() {
            break;
        }
        let mut ids: Vec<&str> = listed.iter().filter(|item| may_be(item)).filter_map(id_of).collect();
        // One that ends while it is listed is perhaps in both lists.
        ids.retain(|id| last.replace((*id).to_owned()).as_deref() != Some(id));
        let mut found = fetch(states.on, &ids, None, LISTED).await?;
        for id in ids {
            match found.remove(id) {
                Some(item) if is(&item) && !is_expired(&item, states.now())? => collected.push(decode(item)?),
                _ => {}
            }
        }
    }
    Ok(Reply::States(collected))
}

/// How many sagas of a name there are.
pub(crate) async fn count<C: Channel>(states: &States<'_, C>, name: &str, completed: Option<bool>) -> Result<Reply> {
    let now = states.now();
    let counts = partitions(name, completed).into_iter().map(|partition| {
        let condition = Expression::new("#listed = :listed", within(partition));
        let filter = Expression::new(concat!("NOT ", expression::expired!()), expression::clock(now));
        async move {
            let (mut total, mut after) = (0, None);
            loop {
                let (condition, filter) = (condition.clone(), filter.clone());
                let (count, next) = states.on.send(Count { index: LISTING, condition, filter, after }).await?;
                total += count;
                if next.is_none() {
                    return Ok(total);
                }
                after = next;
            }
        }
    });
    let counts: Result<Vec<u64>> = all::<C, _>(counts.collect()).await.into_iter().collect();
    Ok(Reply::Count(counts?.into_iter().sum()))
}

/// Removes sagas that ended before a time, those first that ended first.
pub(crate) async fn delete_completed<C: Channel>(
    states: &States<'_, C>,
    name: &str,
    before: Millis,
    limit: u64,
) -> Result<Reply> {
    let condition = |partition| {
        let values = within(partition).with(Item::from([(":before", Attribute::number(before.0))]));
        Expression::new("#listed = :listed AND #ended < :before", values)
    };
    let conditions = partitions(name, Some(true)).into_iter().map(condition).collect();
    let mut merged = merged(COMPLETED, "#id, #correlation, #ended", conditions, limit, by_end);
    let mut removed = 0;
    while removed < limit {
        let wanted = usize::try_from(limit - removed).unwrap_or(usize::MAX);
        let listed = merged.next(states.on, wanted).await?;
        if listed.is_empty() {
            break;
        }
        let prefix = saga_key(name, "");
        let removals = listed.iter().filter_map(|item| {
            let removal = Removal {
                name,
                id: id_of(item)?.strip_prefix(&prefix)?,
                correlation_id: text_of(item, CORRELATION_ID)?,
                before: Some(before),
            };
            Some(async move { states.remove(&removal).await })
        });
        for outcome in all::<C, _>(removals.collect()).await {
            removed += u64::from(outcome?);
        }
    }
    Ok(Reply::Count(removed))
}
