//! A single saga.

use mongodb::bson::Document;

use super::document::{LISTED, delete_one, find, key, state, text, write_filter, write_live};
use crate::backends::mongodb::answer::{failed, first_write_error, number};
use crate::backends::mongodb::build::Build;
use crate::backends::mongodb::channel::Channel;
use crate::contract::dynamic::Dynamic;
use crate::contract::states::{Saga, conflict, correlation_taken, missing, taken};
use crate::contract::step::Reply;
use crate::error::{Error, Kind, Result};
use crate::time::Millis;

/// Attempts of an insert that finds the place taken by a saga whose time is over, or that is gone
/// when it looks.
const INSERTS: usize = 5;
/// Unique indexes do not admit it.
const DUPLICATE_KEY: i64 = 11_000;
/// The largest document that a server stores.
const MAX_DOCUMENT: usize = 16 * 1024 * 1024;
/// What a document needs beside its ids, twice its saga's name and id, and its state.
const BESIDES: usize = 512;

/// What is in the way of a new saga.
#[derive(Default)]
struct InTheWay {
    by_id: bool,
    by_correlation: bool,
    /// Sagas whose time is over, by `_id`.
    over: Vec<String>,
}

/// Inserts a saga.
pub(crate) async fn insert(on: &impl Channel, saga: &Saga, correlation_id: &str) -> Result<Reply> {
    let size = size_of(saga, correlation_id);
    check_size(size)?;
    for attempt in 0..INSERTS {
        if attempt > 0 || on.in_transaction() {
            let found = in_the_way(on, saga, correlation_id).await?;
            if found.by_id {
                return Err(taken(saga));
            }
            if found.by_correlation {
                return Err(correlation_taken(saga, correlation_id));
            }
            for id in &found.over {
                delete_if_over(on, id).await?;
            }
        }
        let change = on.change(size, &[], |command| {
            command.text("insert", on.collection()).begin_array("documents").begin("0");
            write_document(on, command, saga, correlation_id);
            command.end().end();
        });
        if !is_taken(&change.await?)? {
            return Ok(Reply::Done);
        }
    }
    let message = "others insert and delete sagas with these ids at the same time";
    Err(Error::new(Kind::Backend, message).retryable(true))
}

/// Whether a unique index has refused a write. Another refusal is an error.
fn is_taken(reply: &Document) -> Result<bool> {
    if first_write_error(reply).is_some_and(|entry| number(entry, "code") == DUPLICATE_KEY) {
        return Ok(true);
    }
    failed(reply).map(|()| false)
}

/// About the bytes that a saga's document needs.
pub(crate) fn size_of(saga: &Saga, correlation_id: &str) -> usize {
    saga.state.len() + 2 * (saga.name.len() + saga.id.len()) + correlation_id.len() + BESIDES
}

/// A whole document.
pub(crate) fn write_document<C: Channel>(on: &C, document: &mut C::Command, saga: &Saga, correlation_id: &str) {
    document.text("_id", &key(&saga.name, &saga.id)).text("sagaName", &saga.name).text("sagaId", &saga.id);
    document.text("correlationId", correlation_id).date("createdAt", saga.created_at);
    write_saga(on, document, saga, saga.completed_at);
}

/// The fields that an update sets as well.
fn write_saga<C: Channel>(on: &C, document: &mut C::Command, saga: &Saga, completed_at: Option<Millis>) {
    document.long("version", saga.version).flag("isCompleted", saga.completed).date("updatedAt", saga.updated_at);
    if let Some(at) = completed_at {
        document.date("completedAt", at);
    }
    if let Some(at) = saga.timeout_at {
        document.date("timeoutAt", at);
    }
    if let Some(at) = saga.expires_at {
        document.date("expiresAt", on.clock().there(at));
    }
    document.text("state", &saga.state);
}

async fn in_the_way(on: &impl Channel, saga: &Saga, correlation_id: &str) -> Result<InTheWay> {
    let (now, id) = (on.now(), key(&saga.name, &saga.id));
    let mut found = InTheWay::default();
    let ways: [&[(&str, &str)]; 2] = [&[("_id", &id)], &[("sagaName", &saga.name), ("correlationId", correlation_id)]];
    for (way, by_id) in ways.into_iter().zip([true, false]) {
        for document in find(on, &["expiresAt", "_id"], 1, None, |filter| write_filter(filter, way)).await? {
            if matches!(document.get("expiresAt"), Some(Dynamic::Time(at)) if *at <= now) {
                found.over.extend(text(&document, "_id").map(str::to_owned));
            } else if by_id {
                found.by_id = true;
            } else {
                found.by_correlation = true;
            }
        }
    }
    Ok(found)
}

/// Removes a saga whose time is over.
pub(crate) async fn delete_if_over(on: &impl Channel, id: &str) -> Result<()> {
    let now = on.now();
    let over = delete_one(on, |filter| {
        filter.text("_id", id).begin("expiresAt").date("$lte", now).end();
    });
    over.await.map(drop)
}

/// Changes a saga that has the expected version. One that ends is looked for among those that have not, first: only
/// these are told when they end.
pub(crate) async fn update(on: &impl Channel, saga: &Saga, expected: i64) -> Result<Reply> {
    let size = saga.state.len() + 2 * (saga.name.len() + saga.id.len()) + BESIDES + 1_024;
    check_size(size)?;
    let id = key(&saga.name, &saga.id);
    let mut from: &[Option<bool>] = if saga.completed { &[Some(false), Some(true)] } else { &[None] };
    if on.in_transaction() {
        let has_ended = check_version(on, saga, &id, expected).await?;
        from = if saga.completed { &from[usize::from(has_ended)..] } else { from };
    }
    for completed in from {
        let now = on.now();
        let change = on.change(size, &[], |command| {
            command.text("update", on.collection()).begin_array("updates").begin("0").begin("q").text("_id", &id);
            command.long("version", expected);
            match completed {
                Some(true) => drop(command.flag("isCompleted", true)),
                Some(false) => drop(command.begin("isCompleted").flag("$ne", true).end()),
                None => {}
            }
            write_live(command, now);
            command.end().begin("u");
            write_change(on, command, saga, *completed);
            command.end().end().end();
        });
        let reply = change.await?;
        failed(&reply)?;
        if number(&reply, "n") > 0 {
            return Ok(Reply::Done);
        }
    }
    check_version(on, saga, &id, expected).await?;
    // It had another version a moment ago.
    Err(Error::new(Kind::Backend, "the saga changes while it is updated").retryable(true))
}

/// The change of a saga that has ended already, or has not, or of any.
fn write_change<C: Channel>(on: &C, command: &mut C::Command, saga: &Saga, completed: Option<bool>) {
    command.begin("$set");
    write_saga(on, command, saga, saga.completed_at.filter(|_| completed != Some(true)));
    command.end();
    let absent = [
        ("completedAt", !saga.completed),
        ("timeoutAt", saga.timeout_at.is_none()),
        ("expiresAt", saga.expires_at.is_none()),
    ];
    if absent.iter().any(|(_, absent)| *absent) {
        command.begin("$unset");
        for (name, _) in absent.iter().filter(|(_, absent)| *absent) {
            command.int(name, 1);
        }
        command.end();
    }
}

/// An error unless the saga has this version; whether it has ended.
async fn check_version<C: Channel>(on: &C, saga: &Saga, id: &str, expected: i64) -> Result<bool> {
    let now = on.now();
    let filter = |filter: &mut C::Command| {
        filter.text("_id", id);
        write_live(filter, now);
    };
    let found = find(on, &["version", "isCompleted"], 1, None, filter).await?.pop();
    let has_ended = matches!(found.as_ref().and_then(|saga| saga.get("isCompleted")), Some(Dynamic::Bool(true)));
    match found.map(|document| document.get("version").and_then(Dynamic::as_int)) {
        Some(Some(actual)) if actual == expected => Ok(has_ended),
        Some(Some(actual)) => Err(conflict(saga, expected, actual)),
        Some(None) => Err(Error::new(Kind::CorruptData, "the document of this saga has no version")),
        None => Err(missing(saga)),
    }
}

/// Removes a saga.
pub(crate) async fn delete(on: &impl Channel, name: &str, id: &str) -> Result<Reply> {
    delete_one(on, |filter| write_filter(filter, &[("_id", &key(name, id))])).await.map(|_| Reply::Done)
}

/// Removes a saga, found by its correlation id.
pub(crate) async fn delete_by_correlation(on: &impl Channel, name: &str, correlation_id: &str) -> Result<Reply> {
    let way = [("sagaName", name), ("correlationId", correlation_id)];
    delete_one(on, |filter| write_filter(filter, &way)).await.map(|_| Reply::Done)
}

/// Finds a saga.
pub(crate) async fn by_id(on: &impl Channel, name: &str, id: &str) -> Result<Reply> {
    one(on, &[("_id", &key(name, id))]).await
}

/// Finds a saga by its correlation id.
pub(crate) async fn by_correlation(on: &impl Channel, name: &str, correlation_id: &str) -> Result<Reply> {
    one(on, &[("sagaName", name), ("correlationId", correlation_id)]).await
}

async fn one<C: Channel>(on: &C, way: &[(&str, &str)]) -> Result<Reply> {
    let now = on.now();
    let filter = |filter: &mut C::Command| {
        write_filter(filter, way);
        write_live(filter, now);
    };
    let found = find(on, &LISTED, 1, None, filter).await?.pop();
    Ok(Reply::State(found.map(|document| state(document)?.into_one()).transpose()?))
}

/// `PAYLOAD_TOO_LARGE`: no document holds so many bytes.
pub(crate) fn check_size(size: usize) -> Result<()> {
    if size <= MAX_DOCUMENT {
        return Ok(());
    }
    let message = format!("the saga needs {size} bytes; the limit of mongodb is {MAX_DOCUMENT}");
    Err(Error::too_large(message, size as u64, MAX_DOCUMENT as u64))
}
