//! Events in lists, and counts of them.

use super::document::{AT_ONCE, INSERTING, Place, stored};
use super::upkeep::write_stuck;
use crate::backends::mongodb::build::Build;
use crate::backends::mongodb::channel::Channel;
use crate::backends::mongodb::objects::first_batch;
use crate::backends::mongodb::statements::{COMMAND, find, text};
use crate::contract::dynamic::Dynamic;
use crate::contract::outbox::Terms;
use crate::contract::outbox::record::{Counts, EventPage, EventStatus, Stored, foreign_cursor, listed};
use crate::contract::step::Reply;
use crate::error::Result;
use crate::time::Millis;

/// One event, or null.
pub(super) async fn get<C: Channel>(on: &C, id: &str) -> Result<Reply> {
    let filter = |filter: &mut C::Command| {
        filter.text("_id", id);
        write_visible(filter, None);
    };
    let found = find(on, on.collection(), &[], 1, &[], filter).await?.pop();
    Ok(Reply::Value(found.map(stored).transpose()?.map_or(Dynamic::Null, Stored::into_dynamic)))
}

fn write_visible(filter: &mut impl Build, status: Option<EventStatus>) {
    match status {
        Some(status) => filter.text("status", status.name()),
        None => filter.begin("status").text("$ne", INSERTING).end(),
    };
}

/// The earliest events that meet a condition, behind a place. An answer ends at 16 MB: what it lacks is asked for behind
/// its last one.
async fn pages<C: Channel>(
    on: &C,
    mut after: Option<Place>,
    limit: u64,
    condition: impl Fn(&mut C::Command) + Send + Sync,
) -> Result<Vec<Stored>> {
    let mut events: Vec<Stored> = Vec::new();
    while (events.len() as u64) < limit {
        let left = limit - events.len() as u64;
        let filter = |filter: &mut C::Command| {
            condition(filter);
            if let Some(Place { seq, id }) = &after {
                filter.begin("seq").long("$gte", *seq).end().begin_array("$or");
                filter.begin("0").begin("seq").long("$gt", *seq).end().end();
                filter.begin("1").begin("_id").text("$gt", id).end().end().end();
            }
        };
        let found = find(on, on.collection(), &[], left, &[("seq", 1), ("_id", 1)], filter).await?;
        let count = found.len() as u64;
        for document in found {
            events.push(stored(document)?);
        }
        if count == 0 || count == left {
            break;
        }
        after = events.last().map(Place::of);
    }
    Ok(events)
}

/// A page.
pub(super) async fn list<C: Channel>(
    on: &C,
    saga_id: Option<&str>,
    status: Option<EventStatus>,
    after: Option<&str>,
    limit: u64,
) -> Result<Reply> {
    let condition = |filter: &mut C::Command| {
        if let Some(id) = saga_id {
            filter.text("sagaId", id);
        }
        write_visible(filter, status);
    };
    let mut events = pages(on, after.map(place).transpose()?, limit + 1, condition).await?;
    let has_more = events.len() as u64 > limit;
    events.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    let cursor = events.last().filter(|_| has_more).map(|last| format!("{}:{}", last.seq, last.event.id).into());
    Ok(EventPage { events, cursor }.into_reply())
}

/// A cursor is the number and the id of a page's last event.
fn place(cursor: &str) -> Result<Place> {
    let (seq, id) = cursor.split_once(':').ok_or_else(foreign_cursor)?;
    Ok(Place { seq: seq.parse().map_err(|_| foreign_cursor())?, id: id.into() })
}

/// What was claimed so long ago.
pub(super) async fn stuck<C: Channel>(on: &C, older_than_ms: u64, limit: u64) -> Result<Reply> {
    let now = on.now();
    pages(on, None, limit, |filter| write_stuck(filter, older_than_ms, now)).await.map(listed)
}

/// Runs an aggregation: a condition, and stages.
async fn aggregate<C: Channel>(
    on: &C,
    condition: impl FnOnce(&mut C::Command) + Send,
    stages: impl FnOnce(&mut C::Command) + Send,
) -> Result<Vec<Dynamic>> {
    let answer = on.ask(COMMAND, |command| {
        command.text("aggregate", on.collection()).begin_array("pipeline").begin("0").begin("$match");
        condition(command);
        command.end().end();
        stages(command);
        command.end().begin("cursor").int("batchSize", BATCH).end();
    });
    first_batch(answer.await?)
}

/// More than any aggregation here answers.
const BATCH: i32 = 10_000;

async fn count_where<C: Channel>(on: &C, condition: impl FnOnce(&mut C::Command) + Send) -> Result<u64> {
    // `count` is not for transactions.
    let stages = |pipeline: &mut C::Command| {
        pipeline.begin("1").text("$count", "events").end();
    };
    Ok(total(&aggregate(on, condition, stages).await?))
}

fn total(found: &[Dynamic]) -> u64 {
    let count = found.first().and_then(|found| found.get("events").and_then(Dynamic::as_int));
    u64::try_from(count.unwrap_or(0)).unwrap_or_default()
}

/// How many of a status.
pub(super) async fn count<C: Channel>(on: &C, status: EventStatus) -> Result<u64> {
    count_where(on, |filter| {
        filter.text("status", status.name());
    })
    .await
}

fn is_in_the_way(filter: &mut impl Build) {
    filter.text("status", EventStatus::DeadLetter.name()).begin("partitionKey").flag("$exists", true).end();
}

fn write_by_key(pipeline: &mut impl Build) {
    pipeline.begin("1").begin("$group").text("_id", "$partitionKey").end().end();
}

/// Keys that a dead letter holds up, in their order.
pub(super) async fn blocked_keys<C: Channel>(on: &C, limit: u64, terms: &Terms) -> Result<Reply> {
    if terms.skips_dead {
        return Ok(Reply::ids(Vec::new()));
    }
    let stages = |pipeline: &mut C::Command| {
        write_by_key(pipeline);
        pipeline.begin("2").begin("$sort").int("_id", 1).end().end();
        pipeline.begin("3").long("$limit", i64::try_from(limit).unwrap_or(i64::MAX)).end();
    };
    let found = aggregate(on, is_in_the_way, stages).await?;
    Ok(Reply::ids(found.iter().filter_map(|group| text(group, "_id").map(Into::into))))
}

/// Counts. Several questions: what changes meanwhile may be counted by one, and not by another.
pub(super) async fn statistics<C: Channel>(on: &C, terms: &Terms) -> Result<Reply> {
    let now = on.now();
    let mut counts = Counts {
        claimed: count(on, EventStatus::Claimed).await?,
        dead: count(on, EventStatus::DeadLetter).await?,
        sent: count(on, EventStatus::Sent).await?,
        ..Counts::default()
    };
    let pending = |filter: &mut C::Command, is_ready: bool| {
        filter.text("status", EventStatus::Pending.name());
        filter.begin("dueAt").date(if is_ready { "$lte" } else { "$gt" }, now).end();
    };
    counts.ready = count_where(on, |filter| pending(filter, true)).await?;
    counts.waiting = count_where(on, |filter| pending(filter, false)).await?;
    if !terms.skips_dead && counts.dead > 0 {
        let stages = |pipeline: &mut C::Command| {
            write_by_key(pipeline);
            pipeline.begin("2").text("$count", "events").end();
        };
        counts.blocked_keys = total(&aggregate(on, is_in_the_way, stages).await?);
    }
    if counts.ready > 0 {
        counts.oldest_ready = oldest(on, now).await?;
    }
    Ok(Reply::Value(counts.into_dynamic(now)))
}

/// When the earliest of those that are ready was stored: the first of those that never waited, or one that has.
async fn oldest<C: Channel>(on: &C, now: Millis) -> Result<Option<Millis>> {
    let mut oldest: Option<Millis> = None;
    for has_waited in [false, true] {
        let filter = |filter: &mut C::Command| {
            filter.text("status", EventStatus::Pending.name()).begin("dueAt");
            if has_waited {
                filter.date("$gt", AT_ONCE).date("$lte", now)
            } else {
                filter.date("$eq", AT_ONCE)
            };
            filter.end();
        };
        let found = find(on, on.collection(), &["createdAt"], 1, &[("seq", 1)], filter).await?.pop();
        if let Some(Dynamic::Time(at)) = found.as_ref().and_then(|found| found.get("createdAt")) {
            oldest = oldest.into_iter().chain([*at]).min();
        }
    }
    Ok(oldest)
}
