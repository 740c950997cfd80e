//! Leases. Candidates are found by the index on `dueAt`; each is given by an update bound to what was read, and what
//! carries the claim's token then is the claim's.

use std::collections::HashMap;

use super::document::{
    COMMAND, HEAD, Stored, checked, find, stored, write_in, write_live, write_statuses, write_texts, write_unchanged,
};
use crate::backends::mongodb::answer::number;
use crate::backends::mongodb::build::Build;
use crate::backends::mongodb::channel::Channel;
use crate::contract::executions::judge::{self, Claimed};
use crate::contract::executions::record::{Execution, Shows};
use crate::contract::executions::{ClaimRuns, Renewal, Terms};
use crate::contract::step::Reply;
use crate::error::{Error, Kind, Result};
use crate::time::Millis;

/// Rounds of a claim, and of a renewal: others change the same executions.
const ROUNDS: usize = 20;
/// Statements of one command, where the server takes several.
const STATEMENTS: usize = 500;

/// `UNSUPPORTED`: two workers could get the same execution.
pub(super) fn not_atomic() -> Error {
    let message = "executions cannot be claimed on this server (FerretDB 1): it does not change documents atomically, \
                   so two workers could get the same one; a MongoDB server does";
    Error::new(Kind::Unsupported, message).unsent()
}

/// Gives executions that are due to a worker.
pub(super) async fn claim(on: &impl Channel, claim: &ClaimRuns) -> Result<Reply> {
    let limit = usize::try_from(claim.limit).unwrap_or(usize::MAX);
    let mut claimed: Vec<Execution> = Vec::new();
    for _ in 0..ROUNDS {
        let left = claim.limit.saturating_sub(claimed.len() as u64);
        let now = on.now();
        let found = candidates(on, claim, left, now).await?;
        let is_last = (found.len() as u64) < left;
        let mut ids: Vec<Box<str>> = Vec::new();
        let mut changes: Vec<(Stored, Execution)> = Vec::with_capacity(found.len());
        for before in found {
            let mut after = before.execution.clone();
            match judge::claim(&mut after, claim, now) {
                Claimed::No => continue,
                Claimed::Yes => ids.push(after.id.clone()),
                Claimed::Parked => {}
            }
            changes.push((before, after));
        }
        give(on, &changes).await?;
        claimed.extend(leased(on, &claim.lease.token, &ids).await?);
        if is_last || claimed.len() >= limit {
            break;
        }
    }
    Ok(Reply::executions(claimed, Shows::ContextAndToken))
}

/// Executions that are due, the longest first.
async fn candidates<C: Channel>(on: &C, claim: &ClaimRuns, limit: u64, now: Millis) -> Result<Vec<Stored>> {
    let stale = i64::try_from(claim.stale_after_ms).unwrap_or(i64::MAX);
    let filter = |filter: &mut C::Command| {
        filter.begin("dueAt").date("$lte", now).end();
        write_statuses(filter, &claim.statuses);
        if let Some(names) = &claim.names {
            write_in(filter, "name", names);
        }
        if stale > 0 {
            filter.begin("updatedAt").date("$lte", Millis(now.0.saturating_sub(stale))).end();
        }
        write_live(filter, now);
    };
    let found = find(on, on.collection(), &HEAD, limit, &[("dueAt", 1), ("_id", 1)], filter).await?;
    found.into_iter().map(stored).collect()
}

/// Leases or parks executions that are as they were read.
async fn give(on: &impl Channel, changes: &[(Stored, Execution)]) -> Result<()> {
    for changes in changes.chunks(statements(on)) {
        let change = on.change(COMMAND + changes.len() * COMMAND, &[], |command| {
            command.text("update", on.collection()).begin_array("updates");
            for (place, (before, after)) in changes.iter().enumerate() {
                command.begin(&place.to_string()).begin("q");
                write_unchanged(command, before);
                command.end().begin("u").begin("$set").long("attempts", after.attempts);
                for (name, text) in [("token", &after.token), ("worker", &after.worker)] {
                    if let Some(text) = text {
                        command.text(name, text);
                    }
                }
                for (name, at) in [("dueAt", after.due_at), ("parkedAt", after.parked_at)] {
                    if let Some(at) = at {
                        command.date(name, at);
                    }
                }
                command.end();
                if after.parked_at.is_some() {
                    command.begin("$unset").int("dueAt", 1).int("worker", 1).end();
                }
                command.begin("$inc").long("revision", 1).end().end().end();
            }
            command.end().flag("ordered", false);
        });
        checked(&change.await?)?;
    }
    Ok(())
}

fn statements(on: &impl Channel) -> usize {
    if on.is_atomic() { STATEMENTS } else { 1 }
}

/// Those that carry the token, with their contexts. An answer ends at 16 MB: what it lacks is asked for again.
async fn leased<C: Channel>(on: &C, token: &str, ids: &[Box<str>]) -> Result<Vec<Execution>> {
    let mut found: HashMap<Box<str>, Execution> = HashMap::with_capacity(ids.len());
    let mut left: Vec<&Box<str>> = ids.iter().collect();
    let fields = [&HEAD[..], &["context"]].concat();
    while !left.is_empty() {
        let filter = |filter: &mut C::Command| {
            write_in(filter, "_id", &left);
            filter.text("token", token);
        };
        let documents = find(on, on.collection(), &fields, left.len() as u64, &[], filter).await?;
        let before = found.len();
        for document in documents {
            let Stored { execution, .. } = stored(document)?;
            found.insert(execution.id.clone(), execution);
        }
        if found.len() == before {
            break;
        }
        left.retain(|id| !found.contains_key(&***id));
    }
    Ok(ids.iter().filter_map(|id| found.remove(id)).collect())
}

/// Renews leases; the ids of those that are lost.
pub(super) async fn heartbeat(on: &impl Channel, renewals: &[Renewal], terms: &Terms) -> Result<Reply> {
    let mut lost: Vec<Box<str>> = Vec::new();
    for renewals in renewals.chunks(STATEMENTS) {
        renew(on, renewals, terms, &mut lost).await?;
    }
    Ok(Reply::ids(lost))
}

async fn renew<C: Channel>(on: &C, renewals: &[Renewal], terms: &Terms, lost: &mut Vec<Box<str>>) -> Result<()> {
    for _ in 0..ROUNDS {
        let now = on.now();
        let ids: Vec<&str> = renewals.iter().map(|renewal| &*renewal.id).collect();
        let filter = |filter: &mut C::Command| {
            write_in(filter, "_id", &ids);
            write_live(filter, now);
        };
        let documents = find(on, on.collection(), &HEAD, ids.len() as u64, &[], filter).await?;
        let mut there: HashMap<Box<str>, Stored> = HashMap::with_capacity(documents.len());
        for document in documents {
            let stored = stored(document)?;
            there.insert(stored.execution.id.clone(), stored);
        }
        let has_it = |renewal: &&Renewal| {
            there.get(&renewal.id).is_some_and(|stored| stored.execution.token.as_ref() == Some(&renewal.token))
        };
        let (ours, others): (Vec<&Renewal>, Vec<&Renewal>) = renewals.iter().partition(has_it);
        let mut renewed = 0;
        for ours in ours.chunks(statements(on)) {
            renewed += extend(on, ours, &there, terms, now).await?;
        }
        if renewed == ours.len() {
            lost.extend(others.into_iter().map(|renewal| renewal.id.clone()));
            return Ok(());
        }
    }
    Err(Error::new(Kind::Backend, "others change the executions all the time").retryable(true))
}

async fn extend(
    on: &impl Channel,
    ours: &[&Renewal],
    there: &HashMap<Box<str>, Stored>,
    terms: &Terms,
    now: Millis,
) -> Result<usize> {
    let change = on.change(COMMAND + ours.len() * COMMAND, &[], |command| {
        command.text("update", on.collection()).begin_array("updates");
        for (place, renewal) in ours.iter().enumerate() {
            let attempts = there.get(&renewal.id).map_or(0, |stored| stored.execution.attempts);
            command.begin(&place.to_string()).begin("q").text("_id", &renewal.id).text("token", &renewal.token);
            // The pause behind the lease depends on them.
            command.long("attempts", attempts).end().begin("u").begin("$set");
            command.date("dueAt", judge::leased_until(renewal.lease_ms, attempts, terms, now)).end();
            command.begin("$inc").long("revision", 1).end().end().end();
        }
        command.end().flag("ordered", false);
    });
    let reply = change.await?;
    checked(&reply)?;
    Ok(usize::try_from(number(&reply, "n")).unwrap_or_default())
}

/// Makes parked executions due again.
pub(super) async fn redrive(on: &impl Channel, ids: &[Box<str>], reset_attempts: bool) -> Result<Reply> {
    let mut count = 0;
    for ids in ids.chunks(STATEMENTS) {
        let now = on.now();
        let change = on.change_many(COMMAND + ids.len() * 600, |command| {
            command.text("update", on.collection()).begin_array("updates").begin("0").begin("q").begin("_id");
            write_texts(command, "$in", ids);
            command.end().begin("parkedAt").flag("$exists", true).end();
            write_live(command, now);
            command.end().begin("u").begin("$set").date("dueAt", now);
            if reset_attempts {
                command.long("attempts", 0);
            }
            command.end().begin("$unset").int("parkedAt", 1).end();
            command.begin("$inc").long("revision", 1).end().end().flag("multi", true).end().end();
        });
        count += u64::try_from(checked(&change.await?)?).unwrap_or_default();
    }
    Ok(Reply::Count(count))
}
