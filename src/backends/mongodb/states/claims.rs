//! Sagas that have timed out, each given to one worker: one conditional update of each document, to
//! which it adds `timeoutClaimedBy`, `timeoutClaimedUntil` (by the server's clock, as expiries are) and
//! `timeoutClaimedFor`. A lease is for one timeout: an update that moves it ends the lease.

use std::collections::HashMap;

use super::document::{COMMAND, LISTED, find, state, text, write_live};
use crate::backends::mongodb::answer::{failed, number};
use crate::backends::mongodb::build::Build;
use crate::backends::mongodb::channel::Channel;
use crate::contract::dynamic::Dynamic;
use crate::contract::states::{Claim, FoundState};
use crate::contract::step::Reply;
use crate::error::Result;
use crate::time::Millis;

const BY: &str = "timeoutClaimedBy";
const UNTIL: &str = "timeoutClaimedUntil";
const FOR: &str = "timeoutClaimedFor";
/// Documents that are looked at in one command, at least: many may be leased.
const PAGE: u64 = 100;

/// A saga that has timed out: its `_id` and its timeout.
type Overdue = (String, Millis);

fn time(document: &Dynamic, name: &str) -> Option<Millis> {
    if let Some(Dynamic::Time(at)) = document.get(name) { Some(*at) } else { None }
}

/// Gives sagas to a worker.
pub(crate) async fn claim_timed_out(on: &impl Channel, claim: &Claim) -> Result<Reply> {
    let limit = usize::try_from(claim.limit).unwrap_or(usize::MAX);
    let mut ours: Vec<Overdue> = Vec::new();
    // The last timeout that was looked at, and those that had it: others of the same moment may follow.
    let mut last: (Option<Millis>, Vec<String>) = (None, Vec::new());
    while ours.len() < limit {
        let asked = claim.limit.max(PAGE) + last.1.len() as u64;
        let page = overdue(on, claim, last.0, asked).await?;
        let (is_last, now) = ((page.len() as u64) < asked, on.now());
        for document in page {
            let (Some(id), Some(due)) = (text(&document, "_id"), time(&document, "timeoutAt")) else { continue };
            if last.0 == Some(due) && last.1.iter().any(|seen| seen == id) {
                continue;
            }
            if last.0 != Some(due) {
                last = (Some(due), Vec::new());
            }
            last.1.push(id.to_owned());
            let is_leased = time(&document, FOR) == Some(due) && time(&document, UNTIL).is_some_and(|at| at > now);
            if !is_leased && lease(on, claim, id, due).await? {
                ours.push((id.to_owned(), due));
                if ours.len() == limit {
                    break;
                }
            }
        }
        if is_last {
            break;
        }
    }
    leased(on, ours).await
}

/// Sagas that have timed out, from a timeout on, leased or not.
async fn overdue<C: Channel>(on: &C, claim: &Claim, from: Option<Millis>, limit: u64) -> Result<Vec<Dynamic>> {
    let present = on.now();
    let filter = |filter: &mut C::Command| {
        filter.begin("timeoutAt").date("$lte", claim.now);
        if let Some(from) = from {
            filter.date("$gte", from);
        }
        filter.end().begin("isCompleted").flag("$ne", true).end();
        if let Some(name) = &claim.name {
            filter.text("sagaName", name);
        }
        write_live(filter, present);
    };
    find(on, &["_id", "timeoutAt", UNTIL, FOR], limit, Some("timeoutAt"), filter).await
}

/// Leases a saga, unless it is leased or has changed.
async fn lease(on: &impl Channel, claim: &Claim, id: &str, due: Millis) -> Result<bool> {
    let now = on.now();
    let change = on.change(COMMAND, &[], |command| {
        command.text("update", on.collection()).begin_array("updates").begin("0").begin("q").text("_id", id);
        command.date("timeoutAt", due).begin("isCompleted").flag("$ne", true).end();
        command.begin_array("$or").begin("0").begin(UNTIL).begin("$not").date("$gt", now).end().end().end();
        command.begin("1").begin(FOR).date("$ne", due).end().end().end();
        command.end().begin("u").begin("$set").text(BY, &claim.worker);
        command.date(UNTIL, now.plus(claim.lease_ms)).date(FOR, due).end().end().end().end();
    });
    let reply = change.await?;
    failed(&reply)?;
    Ok(number(&reply, "n") > 0)
}

/// Leased sagas, as they are now; without those that have ended or been given more time meanwhile.
/// An answer ends at 16 MB: what it lacks is asked for again.
async fn leased<C: Channel>(on: &C, ours: Vec<Overdue>) -> Result<Reply> {
    let mut found: HashMap<String, FoundState> = HashMap::with_capacity(ours.len());
    let mut left: Vec<&Overdue> = ours.iter().collect();
    while !left.is_empty() {
        let filter = |filter: &mut C::Command| {
            filter.begin("_id").begin_array("$in");
            for (at, (id, _)) in left.iter().enumerate() {
                filter.text(&at.to_string(), id);
            }
            filter.end().end().begin("isCompleted").flag("$ne", true).end();
        };
        let fields = [&["_id", "timeoutAt"][..], &LISTED].concat();
        let documents = find(on, &fields, left.len() as u64, None, filter).await?;
        if documents.is_empty() {
            break;
        }
        let mut answered: HashMap<String, Dynamic> =
            documents.into_iter().filter_map(|document| Some((text(&document, "_id")?.to_owned(), document))).collect();
        let mut still = Vec::new();
        for saga in left {
            match answered.remove(&saga.0) {
                None => still.push(saga),
                Some(document) if time(&document, "timeoutAt") == Some(saga.1) => {
                    found.insert(saga.0.clone(), state(document)?);
                }
                Some(_) => {}
            }
        }
        left = still;
    }
    Ok(Reply::States(ours.iter().filter_map(|(id, _)| found.remove(id)).collect()))
}
