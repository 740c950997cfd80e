//! Commands and conditions that several kinds of records share.

use std::collections::HashSet;

use mongodb::bson::{Bson, Document};

use super::answer::{Answer, complaint, first_write_error, number, unconfirmed, write_errors};
use super::build::Build;
use super::channel::Channel;
use super::objects::first_batch;
use crate::contract::dynamic::Dynamic;
use crate::error::Result;

/// The bytes that a command without texts of the caller's needs.
pub(crate) const COMMAND: usize = 2_048;

/// A text field.
pub(crate) fn text<'a>(document: &'a Dynamic, name: &str) -> Option<&'a str> {
    document.get(name).and_then(Dynamic::as_text)
}

/// A list of texts.
pub(crate) fn write_texts<T: AsRef<str>>(document: &mut impl Build, name: &str, texts: &[T]) {
    document.begin_array(name);
    for (at, text) in texts.iter().enumerate() {
        document.text(&at.to_string(), text.as_ref());
    }
    document.end();
}

/// A condition that one of these texts meets.
pub(crate) fn write_in<T: AsRef<str>>(filter: &mut impl Build, name: &str, texts: &[T]) {
    filter.begin(name);
    write_texts(filter, "$in", texts);
    filter.end();
}

/// Documents of a collection, as much of them as `fields` names.
pub(crate) async fn find<C: Channel>(
    on: &C,
    collection: &str,
    fields: &[&str],
    limit: u64,
    sort: &[(&str, i32)],
    filter: impl FnOnce(&mut C::Command) + Send,
) -> Result<Vec<Dynamic>> {
    let answer = on.ask(COMMAND, |command| {
        command.text("find", collection).begin("filter");
        filter(command);
        command.end().begin("projection");
        for field in fields {
            command.int(field, 1);
        }
        command.end();
        if !sort.is_empty() {
            command.begin("sort");
            for (field, direction) in sort {
                command.int(field, *direction);
            }
            command.end();
        }
        let limit = i32::try_from(limit).unwrap_or(i32::MAX - 1);
        command.int("limit", limit).int("batchSize", limit.saturating_add(1));
    });
    first_batch(answer.await?)
}

/// One conditional update: how many documents met the condition. `write` writes `q` and `u`.
pub(crate) async fn update<C: Channel>(
    on: &C,
    collection: &str,
    size: usize,
    write: impl Fn(&mut C::Command) + Send + Sync,
) -> Result<i64> {
    let change = on.change(size, &[], |command| {
        command.text("update", collection).begin_array("updates").begin("0");
        write(command);
        command.end().end();
    });
    checked(&change.await?)
}

/// How many documents a write of any number of statements was about; an error if one of them failed.
pub(crate) fn checked(reply: &Document) -> Result<i64> {
    if let Some(entry) = first_write_error(reply) {
        return Err(complaint(entry, false));
    }
    match unconfirmed(reply) {
        Some(error) => Err(error),
        None => Ok(number(reply, "n")),
    }
}

/// The bytes that a condition on ids needs.
pub(crate) fn bytes_of<T: AsRef<str>>(ids: &[T]) -> usize {
    COMMAND + ids.iter().map(|id| id.as_ref().len() + 16).sum::<usize>()
}

/// Changes documents that meet a condition, among these. How many did.
pub(crate) async fn change_ids<C: Channel, T: AsRef<str> + Sync>(
    on: &C,
    ids: &[T],
    condition: impl Fn(&mut C::Command) + Send + Sync,
    update: impl Fn(&mut C::Command) + Send + Sync,
) -> Result<usize> {
    let write = |command: &mut C::Command| {
        command.text("update", on.collection()).begin_array("updates").begin("0").begin("q");
        write_ids(command, ids);
        condition(command);
        command.end().begin("u");
        update(command);
        command.end();
        if ids.len() > 1 {
            command.flag("multi", true);
        }
        command.end().end();
    };
    run(on, ids, write).await
}

/// Removes documents that meet a condition, among these. How many did.
pub(crate) async fn remove_ids<C: Channel, T: AsRef<str> + Sync>(
    on: &C,
    ids: &[T],
    condition: impl Fn(&mut C::Command) + Send + Sync,
) -> Result<usize> {
    let write = |command: &mut C::Command| {
        command.text("delete", on.collection()).begin_array("deletes").begin("0").begin("q");
        write_ids(command, ids);
        condition(command);
        command.end().int("limit", i32::from(ids.len() == 1)).end().end();
    };
    run(on, ids, write).await
}

/// A command about one document is sent again where its answer is lost.
async fn run<C: Channel, T: AsRef<str> + Sync>(
    on: &C,
    ids: &[T],
    write: impl Fn(&mut C::Command) + Send + Sync,
) -> Result<usize> {
    let size = bytes_of(ids) + COMMAND;
    let reply = match ids {
        [] => return Ok(0),
        [_] => on.change(size, &[], write).await?,
        _ => on.change_many(size, write).await?,
    };
    Ok(usize::try_from(checked(&reply)?).unwrap_or_default())
}

fn write_ids<T: AsRef<str>>(filter: &mut impl Build, ids: &[T]) {
    match ids {
        [id] => drop(filter.text("_id", id.as_ref())),
        _ => write_in(filter, "_id", ids),
    }
}

/// Inserts documents of which each stands for itself: whether a unique index has admitted it.
pub(crate) async fn insert_each<C: Channel>(
    on: &C,
    size: usize,
    count: usize,
    write: impl Fn(usize, &mut C::Command) + Send + Sync,
) -> Vec<Result<bool>> {
    let inserted = on.change(size, &[], |command| {
        command.text("insert", on.collection()).begin_array("documents");
        for at in 0..count {
            command.begin(&at.to_string());
            write(at, command);
            command.end();
        }
        command.end().flag("ordered", false);
    });
    match inserted.await {
        Ok(reply) => have_inserted(&reply, count),
        Err(error) => vec![Err(error); count],
    }
}

/// Which of so many documents that were inserted, each for itself, a unique index has admitted.
pub(crate) fn have_inserted(reply: &Document, count: usize) -> Vec<Result<bool>> {
    let answer = Answer::of(reply);
    let taken: HashSet<i64> = write_errors(reply)
        .filter_map(Bson::as_document)
        .filter(|entry| number(entry, "code") == DUPLICATE_KEY)
        .map(|entry| number(entry, "index"))
        .collect();
    (0..count)
        .map(|at| match i64::try_from(at) {
            Ok(place) if taken.contains(&place) => Ok(false),
            _ => answer.at(at).map(|()| true),
        })
        .collect()
}

/// Unique indexes do not admit it.
const DUPLICATE_KEY: i64 = 11_000;

/// Whether a unique index has admitted what was inserted. Another refusal is an error.
pub(crate) fn has_inserted(reply: &Document) -> Result<bool> {
    if first_write_error(reply).is_some_and(|entry| number(entry, "code") == DUPLICATE_KEY) {
        return Ok(false);
    }
    checked(reply).map(|_| true)
}
