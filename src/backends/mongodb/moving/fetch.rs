//! Records of some keys, and how many there are.

use std::collections::HashMap;

use super::super::build::Build;
use super::super::channel::Channel;
use super::super::error;
use super::super::executions::document::stored;
use super::super::executions::log::whole;
use super::super::outbox::document::INSERTING;
use super::super::statements::{COMMAND, find, text, write_in};
use super::records::{fields, id_of, of_execution, record, take_tail};
use crate::contract::dynamic::Dynamic;
use crate::contract::moving::record::{Key, Record};
use crate::contract::moving::{Count, Moved, Stat, fetched};
use crate::contract::step::Reply;
use crate::error::Result;

/// Keys in a command to a server whose answers have no end.
const AT_ONCE: usize = 64;

/// The records of these keys. An answer ends at 16 MB: what it lacks is asked for again.
pub(super) async fn fetch<C: Channel>(on: &C, kind: Moved, keys: &[Key]) -> Result<Reply> {
    let ids: Vec<String> = keys.iter().map(|key| id_of(kind, key)).collect();
    let mut left: Vec<&str> = ids.iter().map(String::as_str).collect();
    left.sort_unstable();
    left.dedup();
    let most = if on.is_atomic() { left.len() } else { AT_ONCE };
    let mut records: HashMap<String, Record> = HashMap::with_capacity(left.len());
    while !left.is_empty() {
        let mut asked = left.split_off(left.len().saturating_sub(most));
        let filter = |filter: &mut C::Command| write_in(filter, "_id", &asked);
        let found = find(on, on.collection(), &fields(kind), asked.len() as u64, &[], filter).await?;
        if found.is_empty() {
            continue;
        }
        let before = asked.len();
        for document in found {
            let Some(id) = text(&document, "_id").map(str::to_owned) else { continue };
            asked.retain(|asked| *asked != id);
            if let Some(record) = one(on, kind, document).await? {
                records.insert(id, record);
            }
        }
        if asked.len() < before {
            left.append(&mut asked);
        }
    }
    Ok(fetched(ids.iter().map(|id| records.get(id).cloned()).collect()))
}

/// What is known of a payload. (No command tells the beginning of its bytes alone.)
pub(super) async fn stat<C: Channel>(on: &C, id: &str, expired: bool) -> Result<Reply> {
    let filter = |filter: &mut C::Command| {
        filter.text("_id", id);
    };
    let found = find(on, on.collection(), &fields(Moved::Payloads), 1, &[], filter).await?.pop();
    let found = match found {
        Some(document) => one(on, Moved::Payloads, document).await?,
        None => None,
    };
    Ok(Stat::into_reply(found.as_ref().and_then(Stat::of), expired))
}

/// The record; none, if it is not one yet or not any more.
async fn one(on: &impl Channel, kind: Moved, mut document: Dynamic) -> Result<Option<Record>> {
    match kind {
        Moved::Outbox if text(&document, "status") == Some(INSERTING) => Ok(None),
        Moved::Executions => {
            let tail = take_tail(&mut document);
            let found = whole(on, stored(document)?, tail).await?;
            Ok(found.map(|(stored, log)| of_execution(stored.execution, log, on.clock())))
        }
        _ => record(kind, document, on.clock()).map(Some),
    }
}

/// About how many there are: as the server knows without looking.
pub(super) async fn count<C: Channel>(on: &C) -> Result<Reply> {
    let write = |command: &mut C::Command| {
        command.text("count", on.collection());
    };
    let answer = on.ask(COMMAND, write).await?;
    let count = answer.get("n").and_then(Dynamic::as_int).ok_or_else(error::unexpected)?;
    Ok(Count { records: u64::try_from(count).unwrap_or_default(), approximate: true }.into_reply())
}
