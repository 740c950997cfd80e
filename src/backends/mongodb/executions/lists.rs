//! Several executions: lists, counts, and the removal of those that are over.

use super::document::{COMMAND, HEAD, checked, find, stored, text, write_in, write_live, write_statuses};
use super::log::{Place, remove_segments};
use crate::backends::mongodb::build::Build;
use crate::backends::mongodb::channel::Channel;
use crate::backends::mongodb::objects::first_batch;
use crate::contract::dynamic::Dynamic;
use crate::contract::executions::record::{Counts, Execution, Shows, Status};
use crate::contract::executions::{Filter, Order};
use crate::contract::step::Reply;
use crate::error::Result;
use crate::time::Millis;

fn write_filter(command: &mut impl Build, filter: &Filter, now: Millis) {
    let Filter { name, status, tag, parked } = filter;
    if let Some(name) = name {
        command.text("name", name);
    }
    if let Some(status) = status {
        command.text("status", status.name());
    }
    if let Some(tag) = tag {
        command.text("tags", tag);
    }
    if let Some(parked) = parked {
        command.begin("parkedAt").flag("$exists", *parked).end();
    }
    write_live(command, now);
}

/// A page, the newest first. An answer ends at 16 MB, so what it lacks is asked for behind its last one.
pub(super) async fn list<C: Channel>(
    on: &C,
    filter: &Filter,
    order: Order,
    after: Option<&(Millis, Box<str>)>,
    limit: u64,
) -> Result<Reply> {
    let now = on.now();
    let field = match order {
        Order::Updated => "updatedAt",
        Order::Created => "createdAt",
    };
    let mut listed: Vec<Execution> = Vec::new();
    let mut behind = after.cloned();
    while (listed.len() as u64) < limit {
        let left = limit - listed.len() as u64;
        let write = |command: &mut C::Command| {
            write_filter(command, filter, now);
            if let Some((at, id)) = &behind {
                command.begin_array("$or").begin("0").begin(field).date("$lt", *at).end().end();
                command.begin("1").date(field, *at).begin("_id").text("$lt", id).end().end().end();
            }
        };
        let found = find(on, on.collection(), &HEAD, left, &[(field, -1), ("_id", -1)], write).await?;
        let Some(count) = Some(found.len() as u64).filter(|count| *count > 0) else { break };
        for document in found {
            listed.push(stored(document)?.execution);
        }
        behind = listed.last().map(|last| match order {
            Order::Updated => (last.updated_at, last.id.clone()),
            Order::Created => (last.created_at, last.id.clone()),
        });
        if count == left {
            break;
        }
    }
    Ok(Reply::executions(listed, Shows::Neither))
}

/// Ids of running and compensating ones, the oldest change first.
pub(super) async fn recoverable<C: Channel>(
    on: &C,
    limit: u64,
    max_attempts: i64,
    stale_after_ms: u64,
    name: Option<&str>,
) -> Result<Reply> {
    let now = on.now();
    let before = now.minus(stale_after_ms);
    let filter = |filter: &mut C::Command| {
        write_statuses(filter, &[Status::Running, Status::Compensating]);
        filter.begin("attempts").long("$lt", max_attempts).end().begin("parkedAt").flag("$exists", false).end();
        filter.begin("updatedAt").date("$lte", before).end();
        if let Some(name) = name {
            filter.text("name", name);
        }
        write_live(filter, now);
    };
    let found = find(on, on.collection(), &["_id"], limit, &[("updatedAt", 1), ("_id", 1)], filter).await?;
    Ok(Reply::ids(found.iter().filter_map(|document| text(document, "_id").map(Into::into))))
}

/// Counts documents.
async fn count_where<C: Channel>(on: &C, write: impl FnOnce(&mut C::Command) + Send) -> Result<u64> {
    let answer = on.ask(COMMAND, |command| {
        // `count` is not for transactions.
        command.text("aggregate", on.collection()).begin_array("pipeline").begin("0").begin("$match");
        write(command);
        command.end().end().begin("1").text("$count", "executions").end().end().begin("cursor").end();
    });
    let found = first_batch(answer.await?)?.pop();
    let count = found.and_then(|found| found.get("executions").and_then(Dynamic::as_int)).unwrap_or(0);
    Ok(u64::try_from(count).unwrap_or_default())
}

/// How many there are.
pub(super) async fn count(on: &impl Channel, filter: &Filter) -> Result<Reply> {
    let now = on.now();
    count_where(on, |command| write_filter(command, filter, now)).await.map(Reply::Count)
}

/// What is summed up: a name, and the field; none counts.
const SUMS: [(&str, Option<&str>); 3] =
    [("count", None), ("log", Some("$logBytes")), ("context", Some("$contextBytes"))];

/// Sums by status.
async fn sums_by_status<C: Channel>(on: &C, sums: &[(&str, Option<&str>)], now: Millis) -> Result<Vec<Dynamic>> {
    let answer = on.ask(COMMAND, |command| {
        command.text("aggregate", on.collection()).begin_array("pipeline").begin("0").begin("$match");
        write_live(command, now);
        command.end().end().begin("1").begin("$group").text("_id", "$status");
        for (name, field) in sums {
            command.begin(name);
            match field {
                Some(field) => command.text("$sum", field),
                None => command.int("$sum", 1),
            };
            command.end();
        }
        command.end().end().end().begin("cursor").end();
    });
    first_batch(answer.await?)
}

/// Counts of all. Several questions: what changes meanwhile may be counted by one, and not by another.
pub(super) async fn statistics<C: Channel>(on: &C) -> Result<Reply> {
    let now = on.now();
    let mut counts = Counts::default();
    // FerretDB 1 shows the documents of a group to the first of several sums only.
    for sums in SUMS.chunks(if on.is_atomic() { SUMS.len() } else { 1 }) {
        for group in sums_by_status(on, sums, now).await? {
            let int = |name: &str| group.get(name).and_then(Dynamic::as_int).unwrap_or(0);
            let status = Status::stored(text(&group, "_id").unwrap_or_default())?;
            if let Some(place) = Status::ALL.iter().position(|known| *known == status) {
                counts.by_status[place] += u64::try_from(int("count")).unwrap_or_default();
            }
            counts.bytes += u64::try_from(int("log") + int("context")).unwrap_or_default();
        }
    }
    let parked = Filter { parked: Some(true), ..Filter::default() };
    counts.parked = count_where(on, |command| write_filter(command, &parked, now)).await?;
    counts.leased = count_where(on, |command| {
        command.begin("token").text("$gt", "").end();
        write_live(command, now);
    })
    .await?;
    let due = |filter: &mut C::Command| {
        filter.begin("dueAt").date("$gt", Millis(0)).end();
        write_live(filter, now);
    };
    let first = find(on, on.collection(), &["dueAt"], 1, &[("dueAt", 1)], due).await?.pop();
    if let Some(Dynamic::Time(at)) = first.as_ref().and_then(|first| first.get("dueAt")) {
        counts.oldest_due_at = Some(*at);
    }
    Ok(Reply::Value(counts.into_dynamic()))
}

/// Removes a batch of those that ended before a time, with their logs.
pub(super) async fn cleanup<C: Channel>(on: &C, before: Millis, statuses: &[Status], limit: u64) -> Result<Reply> {
    let now = on.now();
    let over = |filter: &mut C::Command| {
        write_statuses(filter, statuses);
        write_live(filter, now);
        filter.begin("completedAt").date("$lt", before).end();
    };
    let (found, removed) = remove_where(on, limit, over).await?;
    // Those that have been opened again are not there any more: the batch counts as full.
    Ok(Reply::Count(if found >= limit { limit.min(removed.max(1)) } else { removed }))
}

/// Removes a batch of those that have expired, with their logs.
pub(in crate::backends::mongodb) async fn purge<C: Channel>(on: &C, now: Millis, limit: u64) -> Result<u64> {
    let now = on.clock().there(now);
    let over = |filter: &mut C::Command| {
        filter.begin("expiresAt").date("$lte", now).end();
    };
    let (_, removed) = remove_where(on, limit, over).await?;
    // Segments whose execution the server has removed, before it did them.
    let found = find(on, on.log_collection(), &["_id"], limit, &[], over).await?;
    let ids: Vec<&str> = found.iter().filter_map(|document| text(document, "_id")).collect();
    if ids.is_empty() {
        return Ok(removed);
    }
    let change = on.change_many(COMMAND + ids.len() * 64, |command| {
        command.text("delete", on.log_collection()).begin_array("deletes").begin("0").begin("q");
        write_in(command, "_id", &ids);
        over(command);
        command.end().int("limit", 0).end().end();
    });
    checked(&change.await?)?;
    Ok(removed)
}

/// Removes executions: how many were found, and how many were removed, because they were still what was found.
async fn remove_where<C: Channel>(
    on: &C,
    limit: u64,
    over: impl Fn(&mut C::Command) + Send + Sync,
) -> Result<(u64, u64)> {
    let greatest = Place::greatest();
    let found = find(on, on.collection(), &["_id"], limit, &[], &over).await?;
    let mut ids: Vec<&str> = found.iter().filter_map(|document| text(document, "_id")).collect();
    if ids.is_empty() {
        return Ok((0, 0));
    }
    let size = COMMAND + ids.iter().map(|id| id.len() + 16).sum::<usize>();
    let change = on.change_many(size, |command| {
        command.text("delete", on.collection()).begin_array("deletes").begin("0").begin("q");
        write_in(command, "_id", &ids);
        over(command);
        command.end().int("limit", 0).end().end();
    });
    let removed = u64::try_from(checked(&change.await?)?).unwrap_or_default();
    let count = ids.len() as u64;
    if removed < count {
        let filter = |filter: &mut C::Command| write_in(filter, "_id", &ids);
        let there = find(on, on.collection(), &["_id"], count, &[], filter).await?;
        ids.retain(|id| !there.iter().any(|document| text(document, "_id") == Some(id)));
    }
    if !ids.is_empty() {
        remove_segments(on, &ids, &greatest).await?;
    }
    Ok((count, removed))
}
