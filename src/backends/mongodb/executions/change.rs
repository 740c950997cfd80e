//! A change of an execution. Most are sent blind: one `findAndModify`, whose condition says all that the change assumes,
//! and whose answer has the numbers. Where the condition is not met, and where what the change comes to depends on
//! what is stored, the execution is read and judged, and changed if nobody has changed it meanwhile.

use super::document::{
    COMMAND, Stored, absent, check_size, find_and_modify, load, settle_expiry, update, write_head, write_live,
    write_statuses, write_tags, write_unchanged,
};
use super::log::{self, Place, first_of, is_large, key, write_entries};
use crate::backends::mongodb::build::Build;
use crate::backends::mongodb::channel::Channel;
use crate::contract::dynamic::Dynamic;
use crate::contract::executions::judge::{self, Known, Verdict};
use crate::contract::executions::record::{Checkpointed, Entry, Execution, Status, missing};
use crate::contract::executions::{Attempts, Change, Fence, LeaseChange};
use crate::contract::step::Reply;
use crate::error::{Detail, Error, Kind, Result};
use crate::time::Millis;

/// Attempts where others change the same execution.
const ATTEMPTS: usize = 20;
/// Numbers of attempts whose pauses a condition names one by one.
const PAUSES: i64 = 24;
/// Those that something leads away from.
const OPEN: [Status; 3] = [Status::Pending, Status::Running, Status::Compensating];
/// The server's codes for a document that has become larger than it stores.
const TOO_LARGE: [i64; 3] = [10_334, 17_419, 17_420];
/// What a change answers is made of these.
const ANSWER: [&str; 7] = ["version", "seq", "logBytes", "spilled", "spilledBytes", "log", "expiresAt"];

/// Changes one.
pub(super) async fn change(on: &impl Channel, change: &Change) -> Result<Reply> {
    check_size(&change.id, size(change))?;
    let done = async {
        if is_blind(on, change)
            && let Some(answer) = blind(on, change).await?
        {
            return Ok(answer);
        }
        read_and_change(on, change).await
    };
    done.await.map(|answer| Reply::Value(answer.into_dynamic())).map_err(|error: Error| too_large(on, change, error))
}

/// About the bytes that a change needs in a document, and in a command.
fn size(change: &Change) -> usize {
    let length = |text: Option<&str>| text.map_or(0, str::len);
    let metadata = change.metadata.as_ref().and_then(Option::as_deref);
    let last_error = change.last_error.as_ref().and_then(Option::as_deref);
    length(change.context.as_deref()) + length(metadata) + length(last_error) + log::command_bytes(&change.entries)
}

/// The server has found that the document would become too large. It has ended a transaction by that.
fn too_large(on: &impl Channel, change: &Change, error: Error) -> Error {
    let is_it = |(name, value): &(&str, Detail)| {
        *name == "serverCode" && TOO_LARGE.iter().any(|code| *value == Detail::Number(*code))
    };
    if on.in_transaction() || !error.details().iter().any(is_it) {
        return error;
    }
    let (size, limit) = (size(change) as u64, super::document::MAX_DOCUMENT as u64);
    let message = format!("the document of the execution would have more than {limit} bytes, the limit of mongodb");
    Error::too_large(message, size, limit).with_id(&change.id).with_source(error)
}

fn ends(change: &Change) -> bool {
    change.status.is_some_and(Status::is_terminal)
}

/// Whether what a change comes to can be said without knowing what is stored, under a condition.
fn is_blind(on: &impl Channel, change: &Change) -> bool {
    let is_forced = change.fence == Fence::Force && (change.status.is_some() || change.due_at.is_some());
    let lease = match change.lease {
        LeaseChange::Keep => true,
        LeaseChange::Renew(_) => pauses(change).is_some(),
        LeaseChange::End { .. } => ends(change),
    };
    // FerretDB 1 does not find what is not in an array.
    !is_forced && lease && (on.is_atomic() || !change.has_step_ids())
}

/// The attempts that there may be behind a change, each with its pause; the last one is that of all others, too. None:
/// there are too many.
fn pauses(change: &Change) -> Option<Vec<(i64, u64)>> {
    let backoff = |attempts| (attempts, change.terms.backoff(attempts));
    let known = match change.attempts {
        Attempts::Set(attempts) => Some(attempts),
        Attempts::Increment if change.is_progress() => Some(1),
        Attempts::Keep if change.is_progress() => Some(0),
        Attempts::Increment => return None,
        Attempts::Keep => None,
    };
    if let Some(known) = known {
        return Some(vec![backoff(known)]);
    }
    let longest = change.terms.backoff(i64::from(u32::MAX));
    let last = (0..=PAUSES).find(|attempts| change.terms.backoff(*attempts) == longest)?;
    Some((0..=last).map(backoff).collect())
}

/// The condition that more than half of a lease is left.
fn write_lease_lasts(filter: &mut impl Build, change: &Change, lease_ms: u64, now: Millis) {
    let pauses = pauses(change).unwrap_or_default();
    let enough = |pause: u64| now.plus((lease_ms / 2).saturating_add(pause));
    if let [(_, pause)] = pauses[..] {
        filter.begin("dueAt").date("$gte", enough(pause)).end();
        return;
    }
    filter.begin_array("$or");
    for (place, (attempts, pause)) in pauses.iter().enumerate() {
        filter.begin(&place.to_string()).begin("attempts");
        filter.long(if place + 1 == pauses.len() { "$gte" } else { "$eq" }, *attempts).end();
        filter.begin("dueAt").date("$gte", enough(*pause)).end().end();
    }
    filter.end();
}

fn entry_count(change: &Change) -> i64 {
    i64::try_from(change.entries.len()).unwrap_or(i64::MAX)
}

fn write_condition(filter: &mut impl Build, change: &Change, now: Millis) {
    filter.text("_id", &change.id);
    write_live(filter, now);
    filter.begin("lastOperation.id").text("$ne", &change.operation).end();
    match &change.fence {
        Fence::Token(token) => drop(filter.text("token", token)),
        Fence::NeverLeased => drop(filter.begin("token").flag("$exists", false).end()),
        Fence::Force => {}
    }
    if let Some(expected) = change.expected {
        filter.long("version", expected);
    }
    if change.status.is_some() || change.due_at.is_some() {
        write_statuses(filter, &OPEN);
    }
    // Nobody has said when it is due: at once, which another change sees to.
    if change.status.is_some_and(Status::is_active) && change.due_at.is_none() {
        filter.begin("dueAt").flag("$exists", true);
        filter.end();
    }
    if !change.entries.is_empty() {
        let bytes: i64 = change.entries.iter().map(Entry::bytes).sum();
        filter.begin("seq").long("$lte", change.terms.max_entries.saturating_sub(entry_count(change))).end();
        filter.begin("logBytes").long("$lte", change.terms.max_bytes.saturating_sub(bytes)).end();
    }
    if change.has_step_ids() {
        let keys: Vec<String> = change.entries.iter().filter_map(key).collect();
        filter.long("spilled", 0).begin("tail.key");
        super::document::write_texts(filter, "$nin", &keys);
        filter.end();
    }
    if let (LeaseChange::Renew(lease_ms), false) = (change.lease, ends(change)) {
        write_and(filter, |filter| write_lease_lasts(filter, change, lease_ms, now));
    }
}

/// A condition of its own beside those of the same fields.
fn write_and<B: Build>(filter: &mut B, write: impl FnOnce(&mut B)) {
    filter.begin_array("$and").begin("0");
    write(filter);
    filter.end().end();
}

/// What a change sets, clears, counts and appends, where its condition is met.
fn write_update<C: Channel>(on: &C, command: &mut C::Command, change: &Change) {
    let (count, ends) = (entry_count(change), ends(change));
    let mut cleared: Vec<&str> = Vec::new();
    command.begin("$set").begin("lastOperation").text("id", &change.operation).long("entries", count).end();
    if let Some(context) = &change.context {
        command.text("context", context).long("contextBytes", i64::try_from(context.len()).unwrap_or(i64::MAX));
    }
    let patches =
        [("subStatus", &change.sub_status), ("metadata", &change.metadata), ("lastError", &change.last_error)];
    for (name, patch) in patches {
        match patch {
            Some(Some(value)) => drop(command.text(name, value)),
            Some(None) => cleared.push(name),
            None => {}
        }
    }
    match &change.tags {
        Some(tags) if tags.is_empty() => cleared.push("tags"),
        Some(tags) => write_tags(command, tags),
        None => {}
    }
    if let Some(status) = change.status {
        command.text("status", status.name());
    }
    let attempts = match change.attempts {
        Attempts::Set(attempts) => Some(attempts),
        Attempts::Increment => change.is_progress().then_some(1),
        Attempts::Keep => change.is_progress().then_some(0),
    };
    if let Some(attempts) = attempts {
        command.long("attempts", attempts);
    }
    if ends {
        command.date("completedAt", change.at);
        if let Some(ttl) = change.terms.ttl_ms {
            command.date("expiresAt", on.clock().there(change.at.plus(ttl)));
        }
        if matches!(change.fence, Fence::Token(_)) {
            command.text("token", "");
        }
        cleared.extend(["dueAt", "parkedAt", "worker"]);
    } else if let Some(due_at) = change.due_at {
        match due_at {
            Some(at) => drop(command.date("dueAt", at)),
            None => cleared.push("dueAt"),
        }
        cleared.push("parkedAt");
    }
    command.end();
    if !cleared.is_empty() {
        command.begin("$unset");
        for name in cleared {
            command.int(name, 1);
        }
        command.end();
    }
    command.begin("$max").date("updatedAt", change.at).end();
    let bytes: i64 = change.entries.iter().map(Entry::bytes).sum();
    command.begin("$inc").long("revision", 1);
    if change.counts {
        command.long("version", 1);
    }
    if attempts.is_none() && change.attempts == Attempts::Increment {
        command.long("attempts", 1);
    }
    if count > 0 {
        command.long("seq", count).long("logBytes", bytes);
    }
    command.end();
    write_push(command, change, &Known::default());
}

fn write_push(command: &mut impl Build, change: &Change, known: &Known) {
    if known.fresh(&change.entries).next().is_some() {
        command.begin("$push").begin("tail").begin_array("$each");
        write_entries(command, known.fresh(&change.entries).map(|entry| (entry, change.at)));
        command.end().end().end();
    }
}

/// None: the condition is not met.
async fn blind<C: Channel>(on: &C, change: &Change) -> Result<Option<Checkpointed>> {
    let now = on.now();
    let changed = find_and_modify(on, &change.id, size(change) + COMMAND, &ANSWER, |command| {
        command.begin("query");
        write_condition(command, change, now);
        command.end().begin("update");
        write_update(on, command, change);
        command.end().flag("new", true);
    });
    let Some(document) = changed.await? else { return Ok(None) };
    let int = |name: &str| document.get(name).and_then(Dynamic::as_int).unwrap_or(0);
    let (seq, bytes) = (int("seq"), int("logBytes"));
    let answer =
        Checkpointed { version: int("version"), first_seq: first_of(seq, entry_count(change)), entries: seq, bytes };
    let log = super::document::text(&document, "log").unwrap_or_default();
    let place = Place { log: log.into(), spilled: int("spilled"), spilled_bytes: int("spilledBytes") };
    let expires_at = if let Some(Dynamic::Time(at)) = document.get("expiresAt") { Some(*at) } else { None };
    settle(on, change, &place, &answer, expires_at.filter(|_| ends(change))).await?;
    Ok(Some(answer))
}

/// What follows a change: its segments end with it, and a tail that is too large is shortened.
async fn settle(
    on: &impl Channel,
    change: &Change,
    place: &Place,
    answer: &Checkpointed,
    expires_at: Option<Millis>,
) -> Result<()> {
    let mut done = Ok(());
    if is_large(answer.entries - place.spilled, answer.bytes - place.spilled_bytes) {
        done = log::spill(on, &change.id).await;
    }
    if expires_at.is_some() && is_large(answer.entries, answer.bytes) {
        done = done.and(log::expire_segments(on, &change.id, &place.log, expires_at).await);
    }
    // The change has happened: what is left over the next one does. But a transaction that has failed has failed.
    if on.in_transaction() { done } else { Ok(()) }
}

/// Reads, judges, and changes what is as it was read.
async fn read_and_change(on: &impl Channel, change: &Change) -> Result<Checkpointed> {
    let more: &[&str] = if change.has_step_ids() { &["tail.key"] } else { &[] };
    for _ in 0..ATTEMPTS {
        let now = on.now();
        let (stored, tail) = load(on, &change.id, more, Some(now)).await?.ok_or_else(|| missing(&change.id))?;
        let known = log::known(on, &stored, &tail, &change.entries).await?;
        let answer = match judge::judge(&stored.execution, change, &known)? {
            Verdict::Repeated(answer) => {
                // It may have been interrupted behind the change itself.
                settle(on, change, &stored.place, &answer, stored.execution.expires_at).await?;
                return Ok(answer);
            }
            Verdict::Change(answer) => answer,
        };
        let mut next = stored.execution.clone();
        judge::apply(&mut next, change, &answer, now);
        let before = stored.execution.expires_at;
        settle_expiry(&mut next, before, on.clock());
        if before.is_some() && next.expires_at.is_none() {
            // Its segments first: they must not end while it lives.
            log::expire_segments(on, &change.id, &stored.place.log, None).await?;
        }
        if write_bound(on, change, &stored, &next, &known).await? {
            settle(on, change, &stored.place, &answer, next.expires_at).await?;
            return Ok(answer);
        }
    }
    let message = "others change the execution all the time";
    Err(Error::new(Kind::Backend, message).with_id(&change.id).retryable(true).unsent())
}

/// Changes the execution, if it is as it was read.
async fn write_bound<C: Channel>(
    on: &C,
    change: &Change,
    stored: &Stored,
    next: &Execution,
    known: &Known,
) -> Result<bool> {
    let changed = update(on, on.collection(), size(change) + COMMAND, |command| {
        command.begin("q");
        write_unchanged(command, stored);
        command.end().begin("u").begin("$set");
        write_head(command, next);
        if let Some(context) = &change.context {
            command.text("context", context).long("contextBytes", i64::try_from(context.len()).unwrap_or(i64::MAX));
        }
        command.end();
        let cleared = absent(next);
        if !cleared.is_empty() {
            command.begin("$unset");
            for name in cleared {
                command.int(name, 1);
            }
            command.end();
        }
        command.begin("$inc").long("revision", 1).end();
        write_push(command, change, known);
        command.end();
    });
    Ok(changed.await? > 0)
}
