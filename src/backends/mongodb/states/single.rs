//! Each operation, and the code that runs it, on whichever channel.

use super::{claims, lists, saga};
use crate::backends::mongodb::channel::Channel;
use crate::contract::operation::Work;
use crate::contract::states::{StateRead, StateStep, StateWrite};
use crate::contract::step::Reply;
use crate::error::Result;

/// Runs an operation.
pub(crate) async fn run(on: &impl Channel, step: &StateStep) -> Result<Reply> {
    match step {
        Work::Write(write) => self::write(on, write).await,
        Work::Read(read) => self::read(on, read).await,
    }
}

/// Runs a change.
pub(crate) async fn write(on: &impl Channel, write: &StateWrite) -> Result<Reply> {
    match write {
        StateWrite::Insert { saga, correlation_id } => saga::insert(on, saga, correlation_id).await,
        StateWrite::Update { saga, expected } => saga::update(on, saga, *expected).await,
        StateWrite::Delete { name, id } => saga::delete(on, name, id).await,
        StateWrite::DeleteByCorrelation { name, correlation_id } => {
            saga::delete_by_correlation(on, name, correlation_id).await
        }
        StateWrite::DeleteCompleted { name, before, limit } => lists::delete_completed(on, name, *before, *limit).await,
        StateWrite::ClaimTimedOut(claim) => claims::claim_timed_out(on, claim).await,
    }
}

/// Answers a question.
pub(crate) async fn read(on: &impl Channel, read: &StateRead) -> Result<Reply> {
    match read {
        StateRead::ById { name, id } => saga::by_id(on, name, id).await,
        StateRead::ByCorrelation { name, correlation_id } => saga::by_correlation(on, name, correlation_id).await,
        StateRead::List { name, completed, after, limit } => {
            lists::list(on, name, *completed, None, after.as_deref(), *limit).await
        }
        StateRead::Stale { name, since, after, limit } => {
            lists::list(on, name, Some(false), Some(*since), after.as_deref(), *limit).await
        }
        StateRead::Names { after, limit } => lists::names(on, after.as_deref(), *limit).await,
        StateRead::Count { name, completed } => lists::count(on, name, *completed).await,
        StateRead::TimedOut { now, name, limit } => lists::timed_out(on, *now, name.as_deref(), *limit).await,
    }
}
