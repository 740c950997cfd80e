//! Several sagas, found by an index.

use super::document::{LISTED, delete_one, find, state, text, write_live};
use crate::backends::mongodb::answer::number;
use crate::backends::mongodb::build::Build;
use crate::backends::mongodb::channel::Channel;
use crate::backends::mongodb::objects::first_batch;
use crate::contract::dynamic::Dynamic;
use crate::contract::states::FoundState;
use crate::contract::step::Reply;
use crate::error::Result;
use crate::time::Millis;

/// Lists sagas by their ids; with `since` those that were changed last then, or before. An answer ends at 16 MB, so what it lacks is asked for behind its last saga: a cursor
/// would need a session, which commands of a client do not share.
pub(crate) async fn list<C: Channel>(
    on: &C,
    name: &str,
    completed: Option<bool>,
    since: Option<Millis>,
    after: Option<&str>,
    limit: u64,
) -> Result<Reply> {
    let now = on.now();
    let mut listed: Vec<FoundState> = Vec::new();
    loop {
        let left = limit.saturating_sub(listed.len() as u64);
        let last = listed.last().map(|found| found.id.to_string());
        let behind = last.as_deref().or(after);
        let filter = |filter: &mut C::Command| {
            filter.text("sagaName", name);
            if let Some(completed) = completed {
                filter.flag("isCompleted", completed);
            }
            if let Some(since) = since {
                filter.begin("updatedAt").date("$lte", since).end();
            }
            if let Some(behind) = behind {
                filter.begin("sagaId").text("$gt", behind).end();
            }
            write_live(filter, now);
        };
        let found = if left == 0 { Vec::new() } else { find(on, &LISTED, left, Some("sagaId"), filter).await? };
        if found.is_empty() {
            return Ok(Reply::States(listed));
        }
        let all = found.len() as u64 == left;
        listed.extend(found.into_iter().map(state).collect::<Result<Vec<_>>>()?);
        if all {
            return Ok(Reply::States(listed));
        }
    }
}

/// Lists the names that sagas have: from name to name by the index, one command each.
pub(crate) async fn names<C: Channel>(on: &C, after: Option<&str>, limit: u64) -> Result<Reply> {
    let now = on.now();
    let mut names: Vec<Box<str>> = Vec::new();
    while (names.len() as u64) < limit {
        let behind = names.last().map(|name| &**name).or(after).unwrap_or_default();
        let filter = |filter: &mut C::Command| {
            filter.begin("sagaName").text("$gt", behind).end();
            write_live(filter, now);
        };
        let found = find(on, &["sagaName"], 1, Some("sagaName"), filter).await?.pop();
        let Some(name) = found.as_ref().and_then(|document| text(document, "sagaName")) else { break };
        names.push(name.into());
    }
    Ok(Reply::ids(names))
}

/// Counts sagas.
pub(crate) async fn count(on: &impl Channel, name: &str, completed: Option<bool>) -> Result<Reply> {
    let now = on.now();
    let answer = on.ask(1_024, |command| {
        // `count` is not for transactions.
        command.text("aggregate", on.collection()).begin_array("pipeline").begin("0").begin("$match");
        command.text("sagaName", name);
        if let Some(completed) = completed {
            command.flag("isCompleted", completed);
        }
        write_live(command, now);
        command.end().end().begin("1").text("$count", "sagas").end().end().begin("cursor").end();
    });
    let found = first_batch(answer.await?)?.pop();
    let count = found.and_then(|found| found.get("sagas").and_then(Dynamic::as_int)).unwrap_or(0);
    Ok(Reply::Count(u64::try_from(count).unwrap_or_default()))
}

/// Lists sagas that have timed out, the longest ago first.
pub(crate) async fn timed_out<C: Channel>(on: &C, now: Millis, name: Option<&str>, limit: u64) -> Result<Reply> {
    let present = on.now();
    let filter = |filter: &mut C::Command| {
        filter.begin("timeoutAt").date("$lte", now).end().begin("isCompleted").flag("$ne", true).end();
        if let Some(name) = name {
            filter.text("sagaName", name);
        }
        write_live(filter, present);
    };
    let found = find(on, &LISTED, limit, Some("timeoutAt"), filter).await?;
    Ok(Reply::States(found.into_iter().map(state).collect::<Result<_>>()?))
}

/// Removes sagas that had ended before a time, but for those whose own time is over.
pub(crate) async fn delete_completed<C: Channel>(on: &C, name: &str, before: Millis, limit: u64) -> Result<Reply> {
    let (mut found, mut removed, now) = (0, 0, on.now());
    // Older versions do not note when a saga ends.
    for is_noted in [true, false] {
        let write = |filter: &mut C::Command| {
            filter.flag("isCompleted", true);
            if !is_noted {
                filter.begin("completedAt").flag("$exists", false).end();
            }
            filter.begin(if is_noted { "completedAt" } else { "updatedAt" }).date("$lt", before).end();
            write_live(filter, now);
        };
        let left = limit.saturating_sub(found);
        if left == 0 {
            break;
        }
        let of_name = |filter: &mut C::Command| {
            filter.text("sagaName", name);
            write(filter);
        };
        let listed = find(on, &["_id"], left, is_noted.then_some("completedAt"), of_name).await?;
        found += listed.len() as u64;
        // One by one: who has changed meanwhile stays, and FerretDB 1 does not like many statements in a command.
        for document in &listed {
            let Some(id) = text(document, "_id") else { continue };
            let unchanged = |filter: &mut C::Command| {
                filter.text("_id", id);
                write(filter);
            };
            let reply = delete_one(on, unchanged).await?;
            removed += u64::try_from(number(&reply, "n")).unwrap_or_default();
        }
    }
    // Those that have changed are not there any more: the batch counts as full.
    Ok(Reply::Count(if found >= limit { limit.min(removed.max(1)) } else { removed }))
}
