//! What has become of claimed events, and what somebody decides about one.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::document::{Place, due, stored};
use super::not_atomic;
use super::turn::{Count, Turn};
use crate::backends::mongodb::build::Build;
use crate::backends::mongodb::channel::Channel;
use crate::backends::mongodb::statements::{COMMAND, bytes_of, change_ids, checked, find, remove_ids, text, write_in};
use crate::contract::outbox::record::{EventStatus, Stored, missing, settled};
use crate::contract::outbox::{Decision, Outcome, Settlement, Terms, judge};
use crate::contract::step::Reply;
use crate::error::{Error, Kind, Result};
use crate::time::Millis;

/// Attempts where others change the same event.
const ATTEMPTS: usize = 20;
/// What is asked of events that are held.
const HELD: [&str; 6] = ["_id", "seq", "status", "partitionKey", "token", "retryCount"];

/// Says what has become of events; answers those that are lost.
pub(super) async fn settle(on: &impl Channel, settlement: &Settlement) -> Result<Reply> {
    if !on.is_atomic() {
        return Err(not_atomic());
    }
    let mut by_token: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for held in &settlement.held {
        by_token.entry(&held.token).or_default().push(&held.id);
    }
    let (now, terms) = (on.now(), &settlement.terms);
    let mut lost: HashSet<&str> = HashSet::new();
    for (token, ids) in by_token {
        let claim = Claim { token, ids, terms, now };
        lost.extend(match &settlement.outcome {
            Outcome::Sent => claim.send(on).await?,
            Outcome::Extended(lease_ms) => claim.extend(on, *lease_ms).await?,
            Outcome::Released => claim.let_go(on, None).await?,
            Outcome::Failed { error, retry_at, jitter } => {
                let retry_at = retry_at.map(|at| on.clock().there(at));
                claim.let_go(on, Some(Failure { error, retry_at, jitter: *jitter })).await?
            }
        });
    }
    let ids = settlement.held.iter().map(|held| &held.id).filter(|id| lost.contains(&***id));
    Ok(settled(ids.cloned().collect()))
}

/// How events have failed.
#[derive(Clone, Copy)]
struct Failure<'a> {
    error: &'a str,
    retry_at: Option<Millis>,
    jitter: f64,
}

/// Events of one claim.
struct Claim<'a> {
    token: &'a str,
    ids: Vec<&'a str>,
    terms: &'a Terms,
    now: Millis,
}

impl<'a> Claim<'a> {
    fn is_ours(&self, filter: &mut impl Build) {
        filter.text("token", self.token);
    }

    /// Those that the claim still has.
    async fn held<C: Channel>(&self, on: &C, among: &[&str]) -> Result<Vec<Stored>> {
        let filter = |filter: &mut C::Command| {
            write_in(filter, "_id", among);
            self.is_ours(filter);
        };
        let found = find(on, on.collection(), &HELD, among.len() as u64, &[], filter).await?;
        found.into_iter().map(stored).collect()
    }

    /// The ids that are not among these.
    fn others(&self, held: &[Stored]) -> Vec<&'a str> {
        let held: HashSet<&str> = held.iter().map(|stored| &*stored.event.id).collect();
        self.ids.iter().copied().filter(|id| !held.contains(id)).collect()
    }

    async fn extend(&self, on: &impl Channel, lease_ms: u64) -> Result<Vec<&'a str>> {
        let until = self.now.plus(lease_ms);
        let longer = |update: &mut _| write_due(update, until);
        let count = change_ids(on, &self.ids, |filter| self.is_ours(filter), longer).await?;
        if count == self.ids.len() {
            return Ok(Vec::new());
        }
        Ok(self.others(&self.held(on, &self.ids).await?))
    }

    async fn send(&self, on: &impl Channel) -> Result<Vec<&'a str>> {
        // The count of one says which.
        let held = if self.ids.len() == 1 { None } else { Some(self.held(on, &self.ids).await?) };
        let mut lost = held.map_or(Vec::new(), |held| self.others(&held));
        let ids: Vec<&str> = self.ids.iter().copied().filter(|id| !lost.contains(id)).collect();
        let count = self.mark_sent(on, &ids).await?;
        if count < ids.len() {
            // Others have taken some of them this very moment, and have them, or have sent them.
            match ids[..] {
                [id] => lost.push(id),
                _ => lost.extend(claimed(on, &ids).await?),
            }
        }
        Ok(lost)
    }

    async fn mark_sent(&self, on: &impl Channel, ids: &[&str]) -> Result<usize> {
        if self.terms.retain_sent_ms == 0 {
            return remove_ids(on, ids, |filter| self.is_ours(filter)).await;
        }
        let sent = Turn::sent(self.terms, self.now);
        change_ids(on, ids, |filter| self.is_ours(filter), |update| sent.write(update)).await
    }

    /// Hands back those behind in their keys, and then fails or releases.
    async fn let_go<C: Channel>(&self, on: &C, failure: Option<Failure<'_>>) -> Result<Vec<&'a str>> {
        let held = self.held(on, &self.ids).await?;
        let mut lost = self.others(&held);
        let mut firsts: HashMap<&str, &Stored> = HashMap::new();
        for event in &held {
            if let Some(key) = event.event.partition_key.as_deref() {
                let first = firsts.entry(key).or_insert(event);
                if Place::of(event) < Place::of(first) {
                    *first = event;
                }
            }
        }
        let lines: Vec<(&str, &Stored)> = firsts.iter().map(|(key, first)| (*key, *first)).collect();
        hand_back_behind(on, &lines, self.token, self.now).await?;
        let is_first = |event: &&Stored| {
            let key = event.event.partition_key.as_deref();
            key.is_none_or(|key| firsts.get(key).is_some_and(|first| first.event.id == event.event.id))
        };
        let (firsts, behind): (Vec<&Stored>, Vec<&Stored>) = held.iter().partition(is_first);
        let mut by_failures: BTreeMap<i64, Vec<&str>> = BTreeMap::new();
        for event in firsts {
            let failures = if failure.is_some() { event.retry_count } else { 0 };
            by_failures.entry(failures).or_default().push(&event.event.id);
        }
        let mut overtaken: HashSet<&str> = HashSet::new();
        for (failures, ids) in &by_failures {
            let turn = failure.map_or(Turn::handed_back(self.now), |failure| self.failed(&failure, *failures));
            let condition = |filter: &mut C::Command| {
                self.is_ours(filter);
                if failure.is_some() {
                    filter.long("retryCount", *failures);
                }
            };
            if change_ids(on, ids, condition, |update| turn.write(update)).await? < ids.len() {
                overtaken.extend(if ids.len() == 1 { ids.clone() } else { claimed(on, ids).await? });
            }
        }
        lost.extend(self.ids.iter().filter(|id| overtaken.contains(*id)));
        if failure.is_some() {
            let behind: HashSet<&str> = behind.iter().map(|event| &*event.event.id).collect();
            lost.extend(self.ids.iter().filter(|id| behind.contains(*id)));
        }
        Ok(lost)
    }

    /// What one more failure makes of events that have had so many.
    fn failed<'f>(&self, failure: &Failure<'f>, failures: i64) -> Turn<'f> {
        let failures = failures + 1;
        let turn = if failures > self.terms.max_retries {
            Turn::dead(Some(failure.error), self.terms, self.now)
        } else {
            let pause = judge::backoff(self.terms, failures, failure.jitter);
            let due_at = failure.retry_at.unwrap_or_else(|| self.now.plus(pause));
            Turn { error: Some(failure.error), ..Turn::pending(Some(due_at), self.now) }
        };
        Turn { retry_count: Count::Add(1), ..turn }
    }
}

fn write_due(update: &mut impl Build, at: Millis) {
    update.begin("$set").date("dueAt", at).end();
}

/// Those among these that somebody has.
async fn claimed<'a, C: Channel>(on: &C, ids: &[&'a str]) -> Result<Vec<&'a str>> {
    let filter = |filter: &mut C::Command| {
        write_in(filter, "_id", ids);
        filter.text("status", EventStatus::Claimed.name());
    };
    let found = find(on, on.collection(), &["_id"], ids.len() as u64, &[], filter).await?;
    let found: HashSet<&str> = found.iter().filter_map(|document| text(document, "_id")).collect();
    Ok(ids.iter().copied().filter(|id| found.contains(id)).collect())
}

/// Hands back what the same claim has behind these events in their keys.
async fn hand_back_behind<C: Channel>(on: &C, lines: &[(&str, &Stored)], token: &str, now: Millis) -> Result<()> {
    if lines.is_empty() {
        return Ok(());
    }
    let keys: Vec<&str> = lines.iter().map(|(key, _)| *key).collect();
    let back = Turn::handed_back(now);
    let change = on.change_many(bytes_of(&keys) + lines.len() * COMMAND / 2, |command| {
        command.text("update", on.collection()).begin_array("updates");
        for (place, (key, first)) in lines.iter().enumerate() {
            command.begin(&place.to_string()).begin("q").text("partitionKey", key).text("token", token);
            command.begin("dueAt").flag("$exists", true).end().begin("seq").long("$gte", first.seq).end();
            command.begin("_id").text("$ne", &first.event.id).end().end().begin("u");
            back.write(command);
            command.end().flag("multi", true).end();
        }
        command.end();
    });
    checked(&change.await?).map(drop)
}

/// Decides about one event, whoever has it.
pub(super) async fn decide<C: Channel>(on: &C, id: &str, decision: &Decision, terms: &Terms) -> Result<Reply> {
    for _ in 0..ATTEMPTS {
        let now = on.now();
        let fields =
            ["_id", "seq", "status", "dueAt", "partitionKey", "token", "retryCount", "deliveries", "lastError"];
        let filter = |filter: &mut C::Command| {
            filter.text("_id", id).begin("status").text("$ne", super::document::INSERTING).end();
        };
        let found = find(on, on.collection(), &fields, 1, &[], filter).await?.pop().ok_or_else(|| missing(id))?;
        let before = stored(found)?;
        let mut after = before.clone();
        let hands_back = judge::decide(&mut after, decision, terms, now)?;
        if before.status == EventStatus::Sent {
            return Ok(Reply::Done);
        }
        if let (true, Some(key), Some(token)) = (hands_back, &before.event.partition_key, &before.token) {
            hand_back_behind(on, &[(key, &before)], token, now).await?;
        }
        let is_as_read = |filter: &mut C::Command| write_unchanged(filter, &before);
        let count = if after.status == EventStatus::Sent && terms.retain_sent_ms == 0 {
            remove_ids(on, &[id], is_as_read).await?
        } else {
            let turn = turn(&before, &after, now);
            change_ids(on, &[id], is_as_read, |update| turn.write(update)).await?
        };
        if count > 0 {
            return Ok(Reply::Done);
        }
    }
    let message = "others change the event all the time";
    Err(Error::new(Kind::Backend, message).with_id(id).retryable(true).unsent())
}

/// The condition that an event is as it was read.
fn write_unchanged(filter: &mut impl Build, before: &Stored) {
    filter.text("status", before.status.name());
    match &before.token {
        Some(token) => drop(filter.text("token", token)),
        None => drop(filter.begin("token").flag("$exists", false).end()),
    }
    filter.long("retryCount", before.retry_count).long("deliveries", before.deliveries);
}

/// The update that makes one of the other.
fn turn<'a>(before: &Stored, after: &'a Stored, now: Millis) -> Turn<'a> {
    let count = |before: i64, after: i64| match after - before {
        0 => Count::Keep,
        _ if after == 0 => Count::Zero,
        more => Count::Add(more),
    };
    Turn {
        status: after.status,
        due_at: due(after),
        at: now,
        lease: None,
        expires_at: after.expires_at,
        error: after.last_error.as_deref(),
        retry_count: count(before.retry_count, after.retry_count),
        deliveries: count(before.deliveries, after.deliveries),
    }
}
