//! Dead letters, what is stuck, and what is over.

use super::document::INSERTING;
use super::turn::Turn;
use crate::backends::mongodb::build::Build;
use crate::backends::mongodb::channel::Channel;
use crate::backends::mongodb::statements::{change_ids, find, remove_ids, text};
use crate::contract::outbox::record::EventStatus;
use crate::contract::step::Reply;
use crate::error::Result;
use crate::time::Millis;

/// The condition that an event was claimed so long ago.
pub(super) fn write_stuck(filter: &mut impl Build, older_than_ms: u64, now: Millis) {
    filter.text("status", EventStatus::Claimed.name());
    filter.begin("claimedAt").date("$lte", now.minus(older_than_ms)).end();
}

/// Hands back what was claimed so long ago.
pub(super) async fn release_stuck<C: Channel>(on: &C, older_than_ms: u64, limit: u64) -> Result<Reply> {
    let now = on.now();
    let is_stuck = |filter: &mut C::Command| write_stuck(filter, older_than_ms, now);
    let free = Turn::pending(None, now);
    let mut released = 0;
    while released < limit {
        let ids = ids(on, limit - released, is_stuck).await?;
        let count = change_ids(on, &ids, is_stuck, |update| free.write(update)).await? as u64;
        released += count;
        if count == ids.len() as u64 {
            break;
        }
    }
    Ok(Reply::Count(released))
}

/// The ids of the earliest events that meet a condition.
async fn ids<C: Channel>(on: &C, limit: u64, filter: impl FnOnce(&mut C::Command) + Send) -> Result<Vec<Box<str>>> {
    let found = find(on, on.collection(), &["_id"], limit, &[("seq", 1)], filter).await?;
    Ok(found.iter().filter_map(|document| text(document, "_id").map(Into::into)).collect())
}

fn is_dead(filter: &mut impl Build) {
    filter.text("status", EventStatus::DeadLetter.name());
}

/// Makes dead letters pending again.
pub(super) async fn requeue<C: Channel>(on: &C, ids: &[Box<str>]) -> Result<Reply> {
    let again = Turn::requeued(on.now());
    Ok(Reply::Count(change_ids(on, ids, is_dead, |update| again.write(update)).await? as u64))
}

/// Removes dead letters.
pub(super) async fn discard<C: Channel>(on: &C, ids: &[Box<str>]) -> Result<Reply> {
    Ok(Reply::Count(remove_ids(on, ids, is_dead).await? as u64))
}

/// Removes what was sent, or became a dead letter, so long ago.
pub(super) async fn archive<C: Channel>(
    on: &C,
    older_than_ms: u64,
    (sent, dead): (bool, bool),
    limit: u64,
) -> Result<Reply> {
    let before = on.now().minus(older_than_ms);
    let mut removed = 0;
    for (status, at, is_meant) in [(EventStatus::Sent, "sentAt", sent), (EventStatus::DeadLetter, "deadAt", dead)] {
        let is_over = |filter: &mut C::Command| {
            filter.text("status", status.name()).begin(at).date("$lte", before).end();
        };
        if is_meant {
            removed += remove_where(on, limit - removed, is_over).await?;
        }
    }
    Ok(Reply::Count(removed))
}

/// Removes what was sent, or dead, and was to be kept until now; and what an insertion has left that nobody completed.
pub(in crate::backends::mongodb) async fn purge<C: Channel>(on: &C, now: Millis, limit: u64) -> Result<u64> {
    let now = on.clock().there(now);
    let removed = remove_where(on, limit, |filter| {
        filter.begin("expiresAt").date("$lte", now).end();
    })
    .await?;
    let is_abandoned = |filter: &mut C::Command| {
        filter.text("status", INSERTING).begin("createdAt").date("$lte", now.minus(super::insert::ABANDONED_MS)).end();
    };
    Ok(removed + remove_where(on, limit - removed, is_abandoned).await?)
}

async fn remove_where<C: Channel>(
    on: &C,
    limit: u64,
    condition: impl Fn(&mut C::Command) + Send + Sync,
) -> Result<u64> {
    let mut removed = 0;
    while removed < limit {
        let ids = ids(on, limit - removed, &condition).await?;
        let count = remove_ids(on, &ids, &condition).await? as u64;
        removed += count;
        if count == ids.len() as u64 {
            break;
        }
    }
    Ok(removed)
}
