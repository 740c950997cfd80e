//! Saga state in a table of its own.
//!
//! ```text
//! mod.rs     each operation, and the code that runs it
//! item.rs    a saga as items: attributes, indexes, conditions
//! saga.rs    a single saga
//! lists.rs   several sagas, found by an index
//! names.rs   the names that sagas have
//! claims.rs  sagas that have timed out, each given to one worker
//! queued.rs  changes that wait for the end of a transaction
//! moved.rs   whole sagas on their way in and out
//! groups.rs  groups of operations on the store's own connections
//! ```

pub(super) mod claims;
pub(super) mod groups;
pub(super) mod item;
pub(super) mod lists;
pub(super) mod moved;
pub(super) mod names;
pub(super) mod queued;
pub(super) mod saga;

use super::channel::Channel;
use crate::contract::operation::Work;
use crate::contract::states::{StateRead, StateStep, StateWrite};
use crate::contract::step::Reply;
use crate::error::Result;
use saga::States;

impl<C: Channel> States<'_, C> {
    /// Runs an operation.
    pub(crate) async fn run(&self, step: &StateStep) -> Result<Reply> {
        match step {
            Work::Write(write) => self.write(write).await,
            Work::Read(read) => self.read(read).await,
        }
    }

    /// Runs a change.
    pub(crate) async fn write(&self, write: &StateWrite) -> Result<Reply> {
        match write {
            StateWrite::Insert { saga, correlation_id } => {
                self.list_name(&saga.name).await?;
                self.insert(saga, correlation_id).await
            }
            StateWrite::Update { saga, expected } => {
                self.list_name(&saga.name).await?;
                self.update(saga, *expected).await
            }
            StateWrite::Delete { name, id } => self.delete(name, id).await,
            StateWrite::DeleteByCorrelation { name, correlation_id } => {
                self.delete_by_correlation(name, correlation_id).await
            }
            StateWrite::DeleteCompleted { name, before, limit } => {
                lists::delete_completed(self, name, *before, *limit).await
            }
            StateWrite::ClaimTimedOut(claim) => claims::claim(self, claim).await,
        }
    }

    /// Answers a question.
    pub(crate) async fn read(&self, read: &StateRead) -> Result<Reply> {
        match read {
            StateRead::ById { name, id } => self.by_id(name, id).await,
            StateRead::ByCorrelation { name, correlation_id } => self.by_correlation(name, correlation_id).await,
            StateRead::List { name, completed, after, limit } => {
                lists::list(self, name, *completed, None, after.as_deref(), *limit).await
            }
            StateRead::Stale { name, since, after, limit } => {
                lists::list(self, name, Some(false), Some(*since), after.as_deref(), *limit).await
            }
            StateRead::Names { after, limit } => names::list(self, after.as_deref(), *limit).await,
            StateRead::Count { name, completed } => lists::count(self, name, *completed).await,
            StateRead::TimedOut { now, name, limit } => lists::timed_out(self, *now, name.as_deref(), *limit).await,
        }
    }
}
