//! Each operation, and the code that runs it, on whichever channel.

use super::{claims, insert, lists, not_atomic, settle, upkeep};
use crate::backends::mongodb::channel::Channel;
use crate::contract::operation::Work;
use crate::contract::outbox::{OutboxRead, OutboxStep, OutboxWrite};
use crate::contract::step::Reply;
use crate::error::Result;

/// Runs an operation.
pub(crate) async fn run(on: &impl Channel, step: &OutboxStep) -> Result<Reply> {
    match step {
        Work::Write(write) => self::write(on, write).await,
        Work::Read(read) => self::read(on, read).await,
    }
}

/// Runs a change.
pub(crate) async fn write(on: &impl Channel, write: &OutboxWrite) -> Result<Reply> {
    match write {
        OutboxWrite::Insert(insertion) => insert::insert(on, insertion).await,
        OutboxWrite::Claim(_) if !on.is_atomic() => Err(not_atomic()),
        OutboxWrite::Claim(claim) => claims::claim(on, claim).await,
        OutboxWrite::Settle(settlement) => settle::settle(on, settlement).await,
        OutboxWrite::Decide { id, decision, terms } => settle::decide(on, id, decision, terms).await,
        OutboxWrite::ReleaseStuck { older_than_ms, limit } => upkeep::release_stuck(on, *older_than_ms, *limit).await,
        OutboxWrite::Requeue { ids } => upkeep::requeue(on, ids).await,
        OutboxWrite::Discard { ids } => upkeep::discard(on, ids).await,
        OutboxWrite::Archive { older_than_ms, sent, dead, limit } => {
            upkeep::archive(on, *older_than_ms, (*sent, *dead), *limit).await
        }
    }
}

/// Answers a question.
pub(crate) async fn read(on: &impl Channel, read: &OutboxRead) -> Result<Reply> {
    match read {
        OutboxRead::Get { id } => lists::get(on, id).await,
        OutboxRead::List { saga_id, status, after, limit } => {
            lists::list(on, saga_id.as_deref(), *status, after.as_deref(), *limit).await
        }
        OutboxRead::Stuck { older_than_ms, limit } => lists::stuck(on, *older_than_ms, *limit).await,
        OutboxRead::Count { status } => lists::count(on, *status).await.map(Reply::Count),
        OutboxRead::BlockedKeys { limit, terms } => lists::blocked_keys(on, *limit, terms).await,
        OutboxRead::Statistics { terms } => lists::statistics(on, terms).await,
    }
}
