//! Executions as a whole: made, replaced, removed. Entries that are too many for a document are stored as segments of a
//! log that nobody knows yet, before it.

use super::document::{
    COMMAND, Stored, check_size, checked, find_and_modify, load, settle_expiry, update, write_head, write_unchanged,
};
use super::log::{self, Place, remove_log, remove_segments, write_entries};
use crate::backends::mongodb::answer::{first_write_error, number};
use crate::backends::mongodb::build::Build;
use crate::backends::mongodb::channel::Channel;
use crate::contract::dynamic::Dynamic;
use crate::contract::executions::record::{Checkpointed, Entry, Execution, Shows, lease_lost, taken};
use crate::contract::executions::{Creation, Replacement, judge};
use crate::contract::step::Reply;
use crate::error::{Error, Kind, Result};
use crate::time::Millis;

/// Attempts where others make and remove the same execution.
const ATTEMPTS: usize = 10;
/// Unique indexes do not admit it.
const DUPLICATE_KEY: i64 = 11_000;

fn checkpointed(answer: Checkpointed) -> Reply {
    Reply::Value(answer.into_dynamic())
}

fn size_of(creation: &Creation) -> usize {
    let length = |text: &Option<Box<str>>| text.as_ref().map_or(0, |text| text.len());
    length(&creation.context) + length(&creation.metadata)
}

/// A whole document, with the end of its log.
pub(crate) fn write_document<'a>(
    document: &mut impl Build,
    of: &Execution,
    place: &Place,
    tail: impl Iterator<Item = (&'a Entry, Millis)>,
) {
    document.text("_id", &of.id);
    write_head(document, of);
    if let Some(context) = &of.context {
        document.text("context", context);
    }
    let bytes = of.context.as_ref().map_or(0, |context| context.len());
    document.long("contextBytes", i64::try_from(bytes).unwrap_or(i64::MAX)).text("log", &place.log);
    document.long("spilled", place.spilled).long("spilledBytes", place.spilled_bytes);
    document.begin_array("tail");
    write_entries(document, tail);
    document.end();
}

/// Inserts the document of an execution. False: there is one.
async fn insert<C: Channel>(
    on: &C,
    creation: &Creation,
    of: &Execution,
    place: &Place,
    tail: &[Entry],
) -> Result<bool> {
    let size = size_of(creation) + log::command_bytes(tail) + COMMAND;
    let replaces = [&*creation.id];
    let change = on.change(size, &replaces, |command| {
        command.text("insert", on.collection()).begin_array("documents").begin("0");
        write_document(command, of, place, tail.iter().map(|entry| (entry, creation.at)));
        command.long("revision", 1).end().end();
    });
    let reply = change.await?;
    if first_write_error(&reply).is_some_and(|entry| number(entry, "code") == DUPLICATE_KEY) {
        return Ok(false);
    }
    checked(&reply).map(|_| true)
}

/// Removes an execution whose time is over, and its log; its place is free then.
async fn remove_expired(on: &impl Channel, stored: &Stored) -> Result<()> {
    let id = &*stored.execution.id;
    remove_segments(on, &[id], &stored.place.log).await?;
    let change = on.change(COMMAND, &[], |command| {
        command.text("delete", on.collection()).begin_array("deletes").begin("0").begin("q");
        write_unchanged(command, stored);
        command.end().int("limit", 1).end().end();
    });
    checked(&change.await?).map(drop)
}

fn busy(id: &str) -> Error {
    let message = "others make and remove this execution at the same time";
    Error::new(Kind::Backend, message).with_id(id).retryable(true).unsent()
}

/// Stores a new one.
pub(super) async fn create(on: &impl Channel, creation: &Creation) -> Result<Reply> {
    check_size(&creation.id, size_of(creation))?;
    let mut place = Place::new();
    let mut tail: Option<&[Entry]> = None;
    for attempt in 0..ATTEMPTS {
        // A write that fails would end a transaction; and nothing large is stored in vain.
        if (attempt > 0 || on.in_transaction() || log::are_large(&creation.entries))
            && let Some((stored, _)) = load(on, &creation.id, &["context"], None).await?
        {
            if stored.execution.lives_at(on.now()) {
                return exists(on, creation, &place, tail, stored).await;
            }
            remove_expired(on, &stored).await?;
        }
        let (mut execution, answer) = judge::created(creation, on.now())?;
        settle_expiry(&mut execution, None, on.clock());
        let rest = match tail {
            Some(rest) => rest,
            None => log::store(on, &creation.id, &mut place, &creation.entries, creation.at).await?,
        };
        tail = Some(rest);
        check_size(&creation.id, size_of(creation) + log::command_bytes(rest))?;
        if insert(on, creation, &execution, &place, rest).await? {
            if execution.expires_at.is_some() && place.spilled > 0 {
                log::expire_segments(on, &creation.id, &place.log, execution.expires_at).await?;
            }
            return Ok(match creation.lease {
                Some(_) => Reply::execution(Some(execution), Shows::ContextAndToken),
                None => checkpointed(answer),
            });
        }
    }
    Err(busy(&creation.id))
}

/// There is one: this very one, perhaps.
async fn exists(
    on: &impl Channel,
    creation: &Creation,
    place: &Place,
    tail: Option<&[Entry]>,
    stored: Stored,
) -> Result<Reply> {
    let of = stored.execution;
    if tail.is_some() && place.spilled > 0 && stored.place.log != place.log {
        remove_log(on, &creation.id, &place.log).await?;
    }
    let is_this = of.last_operation.as_ref().is_some_and(|last| last.id == creation.operation);
    if !is_this || of.version != 1 {
        return Err(taken(&creation.id));
    }
    match &creation.lease {
        Some(lease) if of.token.as_ref() == Some(&lease.token) => {
            Ok(Reply::execution(Some(of), Shows::ContextAndToken))
        }
        // Somebody else has claimed it since.
        Some(_) => Err(lease_lost(&creation.id, true)),
        None => {
            let first_seq = of.last_operation.and_then(|last| last.first_seq);
            Ok(checkpointed(Checkpointed { version: 1, first_seq, entries: of.seq, bytes: of.log_bytes }))
        }
    }
}

/// Stores one, or replaces it with its whole log.
pub(super) async fn save(on: &impl Channel, replacement: &Replacement) -> Result<Reply> {
    let creation = &replacement.creation;
    let id = &*creation.id;
    check_size(id, size_of(creation))?;
    let mut place = Place::new();
    let mut tail: Option<&[Entry]> = None;
    for _ in 0..ATTEMPTS {
        let now = on.now();
        let mut found = load(on, id, &[], None).await?.map(|(stored, _)| stored);
        if let Some(expired) = found.take_if(|stored| !stored.execution.lives_at(now)) {
            remove_expired(on, &expired).await?;
        }
        let replaced = judge::replaced(found.as_ref().map(|stored| &stored.execution), replacement, now);
        let (mut execution, answer) = match replaced {
            Ok(replaced) => replaced,
            Err(refused) => {
                if place.spilled > 0 {
                    remove_log(on, id, &place.log).await?;
                }
                return Err(refused);
            }
        };
        let is_repeated = |stored: &Stored| {
            stored.execution.last_operation.as_ref().is_some_and(|last| last.id == creation.operation)
        };
        if let Some(stored) = found.as_ref().filter(|stored| is_repeated(stored)) {
            let log = if place.spilled > 0 && place.log != stored.place.log { Some(&place.log) } else { None };
            if let Some(log) = log {
                remove_log(on, id, log).await?;
            }
            return Ok(checkpointed(answer));
        }
        settle_expiry(&mut execution, found.as_ref().and_then(|stored| stored.execution.expires_at), on.clock());
        let rest = match tail {
            Some(rest) => rest,
            None => log::store(on, id, &mut place, &creation.entries, creation.at).await?,
        };
        tail = Some(rest);
        check_size(id, size_of(creation) + log::command_bytes(rest))?;
        let is_done = match &found {
            None => insert(on, creation, &execution, &place, rest).await?,
            Some(stored) => replace(on, creation, stored, &execution, &place, rest).await?,
        };
        if is_done {
            if execution.expires_at.is_some() && place.spilled > 0 {
                log::expire_segments(on, id, &place.log, execution.expires_at).await?;
            }
            if let Some(stored) = found {
                remove_log(on, id, &stored.place.log).await?;
            }
            return Ok(checkpointed(answer));
        }
    }
    Err(busy(id))
}

async fn replace<C: Channel>(
    on: &C,
    creation: &Creation,
    stored: &Stored,
    of: &Execution,
    place: &Place,
    tail: &[Entry],
) -> Result<bool> {
    let size = size_of(creation) + log::command_bytes(tail) + COMMAND;
    let replaced = update(on, on.collection(), size, |command| {
        command.begin("q");
        write_unchanged(command, stored);
        command.end().begin("u");
        write_document(command, of, place, tail.iter().map(|entry| (entry, creation.at)));
        command.long("revision", stored.revision + 1).end();
    });
    Ok(replaced.await? > 0)
}

/// Removes one with its log. The document first: a log without one is seen by nobody.
pub(super) async fn delete(on: &impl Channel, id: &str) -> Result<Reply> {
    let (now, greatest) = (on.now(), Place::greatest());
    let removed = find_and_modify(on, id, COMMAND, &["expiresAt", "log"], |command| {
        command.begin("query").text("_id", id).end().flag("remove", true);
    });
    let removed = removed.await?;
    let log = removed.as_ref().and_then(|removed| super::document::text(removed, "log"));
    remove_segments(on, &[id], log.unwrap_or(&greatest)).await?;
    let is_over = |removed: &Dynamic| matches!(removed.get("expiresAt"), Some(Dynamic::Time(at)) if *at <= now);
    Ok(Reply::Flag(removed.as_ref().is_some_and(|removed| !is_over(removed))))
}
