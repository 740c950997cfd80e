//! Events for a worker: the steps of `mod.rs`.

use std::collections::{HashMap, HashSet};

use super::document::{AT_ONCE, INSERTING, Place, stored};
use super::line::{Known, Run, choose, known, without_gap};
use super::turn::Turn;
use crate::backends::mongodb::build::Build;
use crate::backends::mongodb::channel::Channel;
use crate::backends::mongodb::statements::{change_ids, find, text, write_in, write_texts};
use crate::contract::dynamic::Dynamic;
use crate::contract::outbox::record::{EventStatus, Stored, listed};
use crate::contract::outbox::{ClaimEvents, NEVER_ANSWERED};
use crate::contract::step::Reply;
use crate::error::Result;
use crate::time::Millis;

/// Rounds of a claim: others take what it has seen, or what it has seen cannot be claimed.
const ROUNDS: usize = 20;
/// So many candidates for each event that is wanted.
const BATCHES: usize = 3;
/// Candidates at least, and at most.
const LEAST: usize = 64;
const MOST: usize = 3_000;
/// Keys that a claim passes over.
const PASSED: usize = 1_000;
/// Fields that a choice needs.
const SEEN: [&str; 10] =
    ["_id", "seq", "status", "dueAt", "partitionKey", "eventType", "routingKey", "createdAt", "deliveries", "token"];

/// Gives events to a worker.
pub(super) async fn claim(on: &impl Channel, claim: &ClaimEvents) -> Result<Reply> {
    let limit = usize::try_from(claim.limit).unwrap_or(usize::MAX);
    let mut claimed: Vec<Stored> = Vec::new();
    let mut passed: HashSet<Box<str>> = HashSet::new();
    let mut shuffles = false;
    for _ in 0..ROUNDS {
        let (now, left) = (on.now(), limit - claimed.len());
        let most = left.saturating_mul(BATCHES).clamp(LEAST, MOST);
        let (candidates, are_all) = candidates(on, claim, &passed, most, now).await?;
        let Known { runs, over, blocked } = look(on, claim, &candidates, now).await?;
        bury(on, claim, &over, now).await?;
        let chosen = choose(runs, left, shuffles);
        let wanted: usize = chosen.iter().map(|run| run.events.len()).sum();
        let got = take(on, claim, &chosen, now).await?;
        shuffles = got.len() < wanted;
        claimed.extend(got);
        let is_all = are_all && !shuffles && over.is_empty();
        let gives_nothing = wanted == 0 && over.is_empty() && blocked.is_empty();
        passed.extend(blocked);
        if claimed.len() >= limit || is_all || gives_nothing || passed.len() > PASSED {
            break;
        }
    }
    claimed.sort_unstable_by_key(Place::of);
    Ok(listed(claimed))
}

/// Step 1. Events that are due, the earliest first; of those that had to wait the ones that are due the longest. Whether
/// there are no more.
async fn candidates<C: Channel>(
    on: &C,
    claim: &ClaimEvents,
    passed: &HashSet<Box<str>>,
    most: usize,
    now: Millis,
) -> Result<(Vec<Stored>, bool)> {
    let age = i64::try_from(claim.older_than_ms).unwrap_or(i64::MAX);
    let filter = |filter: &mut C::Command, have_waited: bool| {
        write_in(filter, "status", &[EventStatus::Pending.name(), EventStatus::Claimed.name()]);
        filter.begin("dueAt");
        if have_waited {
            filter.date("$gt", AT_ONCE);
        }
        filter.date("$lte", now).end();
        for (name, names) in [("eventType", &claim.types), ("routingKey", &claim.routing_keys)] {
            if let Some(names) = names {
                write_in(filter, name, names);
            }
        }
        if age > 0 {
            filter.begin("createdAt").date("$lte", Millis(now.0.saturating_sub(age))).end();
        }
        if !passed.is_empty() {
            let passed: Vec<&Box<str>> = passed.iter().collect();
            filter.begin("partitionKey");
            write_texts(filter, "$nin", &passed);
            filter.end();
        }
    };
    let sort = [("dueAt", 1), ("seq", 1)];
    let limit = most as u64;
    let mut found = find(on, on.collection(), &SEEN, limit, &sort, |command| filter(command, false)).await?;
    let is_at_once = |document: &Dynamic| matches!(document.get("dueAt"), Some(Dynamic::Time(at)) if *at == AT_ONCE);
    let are_all = found.len() < most;
    let mut last = None;
    if !are_all && found.last().is_some_and(is_at_once) {
        last = found.last().and_then(|document| document.get("seq").and_then(Dynamic::as_int));
        // They would have to wait until nobody inserts any more.
        found.extend(find(on, on.collection(), &SEEN, limit, &sort, |command| filter(command, true)).await?);
    }
    let mut candidates: Vec<Stored> = found.into_iter().map(stored).collect::<Result<_>>()?;
    // Behind the last one there may be others, which are earlier.
    candidates.retain(|event| last.is_none_or(|last| event.seq <= last));
    candidates.sort_unstable_by_key(Place::of);
    Ok((candidates, are_all))
}

/// Step 2. What can be claimed of them.
async fn look<C: Channel>(on: &C, claim: &ClaimEvents, candidates: &[Stored], now: Millis) -> Result<Known> {
    let keyed = || candidates.iter().filter_map(|event| Some((event.event.partition_key.as_deref()?, event.seq)));
    let keys: Vec<&str> = keyed().map(|(key, _)| key).collect::<HashSet<_>>().into_iter().collect();
    let Some(last) = keyed().map(|(_, seq)| seq).max() else { return Ok(known(candidates, &[], None, claim, now)) };
    let most = candidates.len() * 4 + 1_000;
    let filter = |filter: &mut C::Command| {
        write_in(filter, "partitionKey", &keys);
        filter.begin("dueAt").flag("$exists", true).end().begin("seq").long("$lte", last).end();
        filter.begin("status").text("$ne", INSERTING).end();
    };
    let sort = [("seq", 1), ("_id", 1)];
    let found = find(on, on.collection(), &SEEN, most as u64, &sort, filter).await?;
    let lines: Vec<Stored> = found.into_iter().map(stored).collect::<Result<_>>()?;
    let known_to = (lines.len() == most).then(|| lines.last().map_or(last, |event| event.seq));
    Ok(known(candidates, &lines, known_to, claim, now))
}

/// What has been claimed too often is a dead letter, if it still is due.
async fn bury<C: Channel>(on: &C, claim: &ClaimEvents, over: &[Box<str>], now: Millis) -> Result<()> {
    let dead = Turn::dead(Some(NEVER_ANSWERED), &claim.terms, now);
    let condition = |filter: &mut C::Command| {
        filter.begin("dueAt").date("$lte", now).end();
        filter.begin("deliveries").long("$gte", claim.terms.max_deliveries).end();
    };
    change_ids(on, over, condition, |update| dead.write(update)).await.map(drop)
}

/// Steps 4 to 6.
async fn take<C: Channel>(on: &C, claim: &ClaimEvents, chosen: &[Run], now: Millis) -> Result<Vec<Stored>> {
    let firsts: Vec<&str> = chosen.iter().filter_map(|run| run.events.first().map(|place| &*place.id)).collect();
    if firsts.is_empty() {
        return Ok(Vec::new());
    }
    let token = &claim.lease.token;
    let mut count = give(on, claim, &firsts, now).await?;
    let mut behind: Vec<&Run> = chosen.iter().filter(|run| run.events.len() > 1).collect();
    if !behind.is_empty() {
        if count < firsts.len() {
            let ours = |filter: &mut C::Command| {
                write_in(filter, "_id", &firsts);
                filter.text("token", token);
            };
            let ours = find(on, on.collection(), &["_id"], firsts.len() as u64, &[], ours).await?;
            let ours: HashSet<&str> = ours.iter().filter_map(|document| text(document, "_id")).collect();
            behind.retain(|run| ours.contains(&*run.events[0].id));
        }
        let ids: Vec<&str> = behind.iter().flat_map(|run| &run.events[1..]).map(|place| &*place.id).collect();
        count += give(on, claim, &ids, now).await?;
    }
    let ids: Vec<&str> = chosen.iter().flat_map(|run| &run.events).map(|place| &*place.id).collect();
    let mut found = with_token(on, token, &ids, count).await?;
    let (mut claimed, mut back): (Vec<Stored>, Vec<&str>) = (Vec::new(), Vec::new());
    for run in chosen {
        let (kept, left) = without_gap(run, |id| found.contains_key(id));
        back.extend(left);
        claimed.extend(kept.into_iter().filter_map(|id| found.remove(id)));
    }
    change_ids(
        on,
        &back,
        |filter| {
            filter.text("token", token);
        },
        |update| Turn::handed_back(now).write(update),
    )
    .await?;
    Ok(claimed)
}

/// Gives the token to those that still are due. How many got it.
async fn give<C: Channel>(on: &C, claim: &ClaimEvents, ids: &[&str], now: Millis) -> Result<usize> {
    let claimed = Turn::claimed(&claim.lease, now);
    let condition = |filter: &mut C::Command| {
        write_in(filter, "status", &[EventStatus::Pending.name(), EventStatus::Claimed.name()]);
        filter.begin("dueAt").date("$lte", now).end();
        filter.begin("deliveries").long("$lt", claim.terms.max_deliveries).end();
    };
    change_ids(on, ids, condition, |update| claimed.write(update)).await
}

/// Those that carry a token, whole. An answer ends at 16 MB: what it lacks is asked for again.
async fn with_token<C: Channel>(on: &C, token: &str, ids: &[&str], count: usize) -> Result<HashMap<Box<str>, Stored>> {
    let mut found: HashMap<Box<str>, Stored> = HashMap::with_capacity(ids.len());
    let mut left: Vec<&str> = ids.to_vec();
    while found.len() < count && !left.is_empty() {
        let filter = |filter: &mut C::Command| {
            write_in(filter, "_id", &left);
            filter.text("token", token);
        };
        let documents = find(on, on.collection(), &[], left.len() as u64, &[], filter).await?;
        if documents.is_empty() {
            break;
        }
        for document in documents {
            let stored = stored(document)?;
            found.insert(stored.event.id.clone(), stored);
        }
        left.retain(|id| !found.contains_key(*id));
    }
    Ok(found)
}
