//! Entries of the inbox as documents `{ _id: "{length of consumer}:{consumer}:{messageId}", consumer, messageId,
//! operation, acceptedAt, expiresAt }`. An insert under a unique `_id` is what accepts a message: of two at once one is
//! refused, on `FerretDB` as well.

use super::build::Build;
use super::channel::Channel;
use super::own::Own;
use super::statements::{COMMAND, find, has_inserted, remove_ids, text};
use super::states::groups::{answers, in_chains};
use crate::contract::dynamic::Dynamic;
use crate::contract::inbox::{Entry, InboxRead, InboxStep, InboxWrite};
use crate::contract::operation::Work;
use crate::contract::step::Reply;
use crate::error::{Error, Kind, Result};
use crate::time::Millis;

/// Attempts where others accept and forget the same message.
const ATTEMPTS: usize = 5;

/// Runs an operation.
pub(super) async fn run(on: &impl Channel, step: &InboxStep) -> Result<Reply> {
    match step {
        Work::Write(write) => self::write(on, write).await,
        Work::Read(read) => self::read(on, read).await,
    }
}

/// Runs changes over the store's own connections; those of one entry in their order.
pub(super) async fn write_group(on: &Own, group: &[InboxWrite]) -> Vec<Result<Reply>> {
    in_chains(on, group, |write| self::write(on, write)).await
}

/// Answers questions over the store's own connections.
pub(super) async fn read_group(on: &Own, group: &[InboxRead]) -> Vec<Result<Reply>> {
    let run = |at: usize| async move { [(at, self::read(on, &group[at]).await)] };
    on.keep_time().await;
    answers(group.len(), (0..group.len()).map(run)).await
}

async fn write(on: &impl Channel, write: &InboxWrite) -> Result<Reply> {
    match write {
        InboxWrite::Accept { entry, ttl_ms, operation } => accept(on, entry, *ttl_ms, operation).await.map(Reply::Flag),
        InboxWrite::Forget { entry } => {
            let (now, ids) = (on.now(), [key(entry)]);
            let forgotten = remove_ids(on, &ids, |filter| {
                filter.begin("expiresAt").date("$gt", now).end();
            });
            forgotten.await.map(|count| Reply::Flag(count > 0))
        }
        InboxWrite::Cleanup { limit } => purge(on, Millis::now(), *limit).await.map(Reply::Count),
    }
}

async fn read<C: Channel>(on: &C, read: &InboxRead) -> Result<Reply> {
    let InboxRead::Has { entry } = read;
    let now = on.now();
    let is_living = |filter: &mut C::Command| {
        filter.text("_id", &key(entry)).begin("expiresAt").date("$gt", now).end();
    };
    Ok(Reply::Flag(!find(on, on.collection(), &["_id"], 1, &[], is_living).await?.is_empty()))
}

fn key(entry: &Entry) -> String {
    key_of(&entry.consumer, &entry.message)
}

/// Consumers may have any characters: the length says where they end.
pub(super) fn key_of(consumer: &str, message: &str) -> String {
    format!("{}:{consumer}:{message}", consumer.len())
}

/// A whole document.
pub(super) fn write_document(
    document: &mut impl Build,
    (consumer, message): (&str, &str),
    operation: &str,
    (accepted_at, expires_at): (Millis, Millis),
) {
    document.text("_id", &key_of(consumer, message)).text("consumer", consumer).text("messageId", message);
    document.text("operation", operation).date("acceptedAt", accepted_at).date("expiresAt", expires_at);
}

/// Whether it was new.
async fn accept<C: Channel>(on: &C, entry: &Entry, ttl_ms: u64, operation: &str) -> Result<bool> {
    let key = key(entry);
    for attempt in 0..ATTEMPTS {
        let now = on.now();
        // A write that fails would end a transaction.
        if attempt > 0 || on.in_transaction() {
            let filter = |filter: &mut C::Command| {
                filter.text("_id", &key);
            };
            let found = find(on, on.collection(), &["operation", "expiresAt"], 1, &[], filter).await?.pop();
            let is_over = |found: &Dynamic| matches!(found.get("expiresAt"), Some(Dynamic::Time(at)) if *at <= now);
            match found {
                Some(found) if is_over(&found) => {
                    remove_ids(on, &[&*key], |filter| {
                        filter.begin("expiresAt").date("$lte", now).end();
                    })
                    .await?;
                }
                Some(found) => return Ok(text(&found, "operation") == Some(operation)),
                None => {}
            }
        }
        let change = on.change(COMMAND + 2 * entry.key.len(), &[], |command| {
            command.text("insert", on.collection()).begin_array("documents").begin("0");
            write_document(command, (&entry.consumer, &entry.message), operation, (now, now.plus(ttl_ms)));
            command.end().end();
        });
        if has_inserted(&change.await?)? {
            return Ok(true);
        }
    }
    let message = "others accept and forget the message all the time";
    Err(Error::new(Kind::Backend, message).with_id(&entry.message).retryable(true))
}

/// Removes entries whose time is over, at most `limit`.
pub(super) async fn purge<C: Channel>(on: &C, now: Millis, limit: u64) -> Result<u64> {
    let now = on.clock().there(now);
    let is_over = |filter: &mut C::Command| {
        filter.begin("expiresAt").date("$lte", now).end();
    };
    let found = find(on, on.collection(), &["_id"], limit, &[], is_over).await?;
    let ids: Vec<&str> = found.iter().filter_map(|document| text(document, "_id")).collect();
    remove_ids(on, &ids, is_over).await.map(|count| count as u64)
}
