//! Each operation, and the code that runs it, on whichever channel.

use super::document::load;
use super::log::{Asked, history};
use super::{change, claims, lists, whole};
use crate::backends::mongodb::channel::Channel;
use crate::contract::executions::record::Shows;
use crate::contract::executions::{ExecutionRead, ExecutionStep, ExecutionWrite};
use crate::contract::operation::Work;
use crate::contract::step::Reply;
use crate::error::Result;

/// Runs an operation.
pub(crate) async fn run(on: &impl Channel, step: &ExecutionStep) -> Result<Reply> {
    match step {
        Work::Write(write) => self::write(on, write).await,
        Work::Read(read) => self::read(on, read).await,
    }
}

/// Runs a change.
pub(crate) async fn write(on: &impl Channel, write: &ExecutionWrite) -> Result<Reply> {
    match write {
        ExecutionWrite::Create(creation) => whole::create(on, creation).await,
        ExecutionWrite::Change(change) => change::change(on, change).await,
        ExecutionWrite::Save(replacement) => whole::save(on, replacement).await,
        ExecutionWrite::Delete { id } => whole::delete(on, id).await,
        ExecutionWrite::Claim(_) if !on.is_atomic() => Err(claims::not_atomic()),
        ExecutionWrite::Claim(claim) => claims::claim(on, claim).await,
        ExecutionWrite::Heartbeat { renewals, terms } => claims::heartbeat(on, renewals, terms).await,
        ExecutionWrite::Redrive { ids, reset_attempts } => claims::redrive(on, ids, *reset_attempts).await,
        ExecutionWrite::Cleanup { before, statuses, limit } => lists::cleanup(on, *before, statuses, *limit).await,
    }
}

/// Answers a question.
pub(crate) async fn read(on: &impl Channel, read: &ExecutionRead) -> Result<Reply> {
    match read {
        ExecutionRead::Load { id, .. } => {
            let found = load(on, id, &["context"], Some(on.now())).await?;
            Ok(Reply::execution(found.map(|(stored, _)| stored.execution), Shows::Context))
        }
        ExecutionRead::History { id, after, limit, max_bytes, reverse } => {
            let (after, limit, max_bytes, reverse) = (*after, *limit, *max_bytes, *reverse);
            history(on, id, Asked { after, limit, max_bytes, reverse }).await
        }
        ExecutionRead::List { filter, order, after, limit } => {
            lists::list(on, filter, *order, after.as_ref(), *limit).await
        }
        ExecutionRead::Count { filter } => lists::count(on, filter).await,
        ExecutionRead::Recoverable { limit, max_attempts, stale_after_ms, name } => {
            lists::recoverable(on, *limit, *max_attempts, *stale_after_ms, name.as_deref()).await
        }
        ExecutionRead::Statistics => lists::statistics(on).await,
    }
}
