//! New events, all or none. One event is one `insert`. Several are a transaction of the server, which the store's own
//! connections and the client of the application begin for it. Servers without transactions (standalone ones, `FerretDB`)
//! get them hidden, and then one update that shows them: whoever dies in between has inserted nothing. Should the server
//! itself die within that update, some may be seen, and others not.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;

use super::document::{BESIDES, INSERTING, write_stored};
use super::not_atomic;
use crate::backends::mongodb::build::Build;
use crate::backends::mongodb::channel::Channel;
use crate::backends::mongodb::statements::{self, COMMAND, change_ids, find, has_inserted, remove_ids, text, write_in};
use crate::contract::dynamic::Dynamic;
use crate::contract::outbox::record::{Content, Event, EventStatus, Stored, listed, taken};
use crate::contract::outbox::{Insertion, judge};
use crate::contract::step::Reply;
use crate::error::{Error, Kind, Result};
use crate::time::Millis;

/// Attempts where others insert and remove the same ids.
const ATTEMPTS: usize = 5;
/// A command has no more bytes of events than this, unless one event alone does: it ends at 16 MB.
const COMMAND_BYTES: usize = 12 * 1024 * 1024;
/// Events that are looked at at once to learn which keys have any.
const KEYS: usize = 1_000;
/// An insertion that nobody has completed for so long, in milliseconds, nobody will.
pub(crate) const ABANDONED_MS: u64 = 60_000;

/// Stores events.
pub(super) async fn insert(on: &impl Channel, insertion: &Insertion) -> Result<Reply> {
    if insertion.lease.is_some() && !on.is_atomic() {
        return Err(not_atomic());
    }
    // A write that fails would end a transaction. Outside, what is there is only asked where it matters.
    let mut looks = on.in_transaction() || (insertion.ignores_duplicates && insertion.events.len() > 1);
    for _ in 0..ATTEMPTS {
        let now = on.now();
        let mut events: Vec<&Event> = insertion.events.iter().collect();
        if looks {
            let there = there(on, insertion, now).await?;
            let is_new = |event: &&Event| !there.contains_key(&*event.id);
            let is_taken = |event: &&&Event| there.get(&*event.id) == Some(&false);
            if !insertion.ignores_duplicates
                && let Some(event) = events.iter().find(is_taken)
            {
                return Err(taken(&event.id));
            }
            events.retain(is_new);
        }
        let (fresh, claimed) = made(on, insertion, &events, now).await?;
        if store(on, insertion, &fresh).await? {
            return Ok(listed(claimed));
        }
        looks = true;
    }
    let message = "others insert and remove events with these ids all the time";
    Err(Error::new(Kind::Backend, message).retryable(true))
}

/// Which of the ids are taken, and whether by this very insertion.
async fn there<C: Channel>(on: &C, insertion: &Insertion, now: Millis) -> Result<HashMap<Box<str>, bool>> {
    let ids: Vec<&str> = insertion.events.iter().map(|event| &*event.id).collect();
    let (mut there, mut abandoned) = (HashMap::new(), Vec::new());
    let filter = |filter: &mut C::Command| write_in(filter, "_id", &ids);
    let fields = ["operation", "status", "createdAt"];
    for document in find(on, on.collection(), &fields, ids.len() as u64, &[], filter).await? {
        let Some(id) = text(&document, "_id") else { continue };
        let is_ours = text(&document, "operation") == Some(&insertion.operation);
        let created_at = if let Some(Dynamic::Time(at)) = document.get("createdAt") { at.0 } else { i64::MAX };
        let is_hidden = text(&document, "status") == Some(INSERTING);
        if is_hidden && !is_ours && Millis(created_at).plus(ABANDONED_MS) < now {
            abandoned.push(Box::<str>::from(id));
        } else {
            there.insert(id.into(), is_ours);
        }
    }
    remove_ids(on, &abandoned, |filter| {
        filter.text("status", INSERTING);
    })
    .await?;
    Ok(there)
}

/// The events as they are stored, and copies of those that the lease has.
async fn made(
    on: &impl Channel,
    insertion: &Insertion,
    events: &[&Event],
    now: Millis,
) -> Result<(Vec<Stored>, Vec<Stored>)> {
    let mut busy = HashSet::new();
    if insertion.lease.is_some() {
        busy = busy_keys(on, insertion, events).await?;
    }
    let first = on.clock().numbers(i64::try_from(events.len()).unwrap_or(1).max(1));
    let (mut fresh, mut claimed) = (Vec::with_capacity(events.len()), Vec::new());
    for (event, seq) in events.iter().zip(first..) {
        let mut stored = waiting(on, insertion, event, seq, now);
        let key = event.partition_key.as_deref();
        let is_next = key.is_none_or(|key| !busy.contains(key));
        match &insertion.lease {
            Some(lease) if is_next && judge::is_free(&stored, now) => {
                judge::claim(&mut stored, lease, &insertion.terms, now);
                let mut copy = stored.clone();
                // The caller's bytes are its own again once it is answered.
                if let Content::Bytes(bytes) = &copy.event.payload {
                    copy.event.payload = Content::Bytes(Bytes::copy_from_slice(bytes));
                }
                claimed.push(copy);
            }
            _ => busy.extend(key.map(Box::from)),
        }
        fresh.push(stored);
    }
    Ok((fresh, claimed))
}

/// A new event that nobody has.
fn waiting(on: &impl Channel, insertion: &Insertion, event: &Event, seq: i64, now: Millis) -> Stored {
    let stored = judge::inserted(event, seq, insertion, now);
    // Our clock's time, by the server's.
    Stored { due_at: event.available_at.map(|at| on.clock().there(at)).filter(|at| *at > now), ..stored }
}

fn write_fresh(document: &mut impl Build, stored: &Stored) {
    write_stored(document, stored, stored.status.name());
}

/// The keys that have something unsent already.
async fn busy_keys<C: Channel>(on: &C, insertion: &Insertion, events: &[&Event]) -> Result<HashSet<Box<str>>> {
    let keys: HashSet<&str> = events.iter().filter_map(|event| event.partition_key.as_deref()).collect();
    let mut left: Vec<&str> = keys.into_iter().collect();
    let mut busy: HashSet<Box<str>> = HashSet::new();
    // Each answer has some keys, of which there may be many events.
    while !left.is_empty() {
        let filter = |filter: &mut C::Command| {
            write_in(filter, "partitionKey", &left);
            filter.begin("dueAt").flag("$exists", true).end();
            if insertion.terms.skips_dead {
                filter.begin("status").text("$ne", EventStatus::DeadLetter.name()).end();
            }
        };
        let most = left.len().max(KEYS) as u64;
        let found = find(on, on.collection(), &["partitionKey"], most, &[], filter).await?;
        if found.is_empty() {
            break;
        }
        busy.extend(found.iter().filter_map(|document| text(document, "partitionKey").map(Box::from)));
        left.retain(|key| !busy.contains(*key));
    }
    Ok(busy)
}

/// Stores them. False: an id is taken, and nothing is stored.
async fn store<C: Channel>(on: &C, insertion: &Insertion, fresh: &[Stored]) -> Result<bool> {
    let chunks = chunks(fresh, COMMAND_BYTES, usize::MAX);
    match &chunks[..] {
        [] if on.in_transaction() || insertion.events.len() == 1 => return Ok(true),
        [one] if one.len() == 1 && insertion.events.len() == 1 => {
            let reply = on.change(size(one), &[], |command| write_insert(on, command, one, None)).await?;
            return has_inserted(&reply);
        }
        _ => {}
    }
    let sizes: Vec<usize> = chunks.iter().map(|chunk| size(chunk)).collect();
    let write = |at: usize, command: &mut C::Command| write_insert(on, command, chunks[at], None);
    let Some(replies) = on.change_together(&sizes, write).await.map_err(repeatable)? else {
        return hide_and_show(on, insertion, fresh).await;
    };
    for reply in &replies {
        if !has_inserted(reply)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Stores events of insertions that have one each: whether its id was free.
pub(super) async fn insert_each<C: Channel>(on: &C, insertions: &[&Insertion]) -> Vec<Result<bool>> {
    let now = on.now();
    let events = insertions.iter().flat_map(|insertion| insertion.events.iter().map(move |event| (*insertion, event)));
    let first = on.clock().numbers(i64::try_from(insertions.len()).unwrap_or(1));
    let fresh: Vec<Stored> = events.zip(first..).map(|((of, event), seq)| waiting(on, of, event, seq, now)).collect();
    let write = |at: usize, document: &mut C::Command| write_fresh(document, &fresh[at]);
    statements::insert_each(on, size(&fresh), fresh.len(), write).await
}

/// An insertion knows itself again: whatever became of it, it can be repeated.
fn repeatable(error: Error) -> Error {
    if matches!(error.kind(), Kind::Connection | Kind::Timeout) { error.retryable(true) } else { error }
}

fn size(events: &[Stored]) -> usize {
    COMMAND + events.iter().map(|stored| stored.event.bytes() + BESIDES / 4).sum::<usize>()
}

/// Parts that each fit a command.
fn chunks(events: &[Stored], most_bytes: usize, most: usize) -> Vec<&[Stored]> {
    let mut chunks = Vec::new();
    let (mut from, mut bytes) = (0, 0);
    for (at, stored) in events.iter().enumerate() {
        let more = stored.event.bytes() + BESIDES;
        if at > from && (bytes + more > most_bytes || at - from == most) {
            chunks.push(&events[from..at]);
            (from, bytes) = (at, 0);
        }
        bytes += more;
    }
    if from < events.len() {
        chunks.push(&events[from..]);
    }
    chunks
}

fn write_insert<C: Channel>(on: &C, command: &mut C::Command, events: &[Stored], status: Option<&str>) {
    command.text("insert", on.collection()).begin_array("documents");
    for (place, stored) in events.iter().enumerate() {
        command.begin(&place.to_string());
        write_stored(command, stored, status.unwrap_or(stored.status.name()));
        command.end();
    }
    command.end();
}

/// On a server without transactions.
async fn hide_and_show<C: Channel>(on: &C, insertion: &Insertion, fresh: &[Stored]) -> Result<bool> {
    let ids: Vec<&str> = insertion.events.iter().map(|event| &*event.id).collect();
    let is_hidden = |filter: &mut C::Command| {
        filter.text("operation", &insertion.operation).text("status", INSERTING);
    };
    // FerretDB 1 does not like many statements in a command.
    let most = if on.is_atomic() { usize::MAX } else { 1 };
    for chunk in chunks(fresh, COMMAND_BYTES, most) {
        let write = |command: &mut C::Command| write_insert(on, command, chunk, Some(INSERTING));
        let stored = on.change(size(chunk), &[], write).await.and_then(|reply| has_inserted(&reply));
        if !matches!(stored, Ok(true)) {
            // Otherwise they are hidden for a minute.
            drop(remove_ids(on, &ids, is_hidden).await);
            return stored;
        }
    }
    for status in [EventStatus::Claimed, EventStatus::Pending] {
        let of_status = |filter: &mut C::Command| {
            is_hidden(filter);
            filter.begin("token").flag("$exists", status == EventStatus::Claimed).end();
        };
        if status == EventStatus::Pending || insertion.lease.is_some() {
            change_ids(on, &ids, of_status, |update| {
                update.begin("$set").text("status", status.name()).end();
            })
            .await?;
        }
    }
    Ok(true)
}
