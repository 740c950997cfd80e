//! Executions in a table of their own.
//!
//! ```text
//! mod.rs      each operation, and the code that runs it
//! item.rs     an execution as items: attributes, indexes
//! edit.rs     what an update of them says
//! direct.rs   a change that the server judges
//! change.rs   creations, changes and replacements of one that has been read
//! removal.rs  deletion, cleanup, expiry
//! read.rs     one execution, its context, its log
//! lists.rs    several, found by an index
//! claims.rs   leases: given to workers, renewed, given up
//! queued.rs   changes that wait for the end of a transaction
//! moved.rs    whole executions on their way in and out
//! ```

mod change;
mod claims;
mod direct;
pub(super) mod edit;
pub(super) mod item;
mod lists;
pub(super) mod moved;
pub(super) mod queued;
mod read;
pub(super) mod removal;

use std::time::Duration;

use futures_util::future::join_all;

use super::attribute::Item;
use super::channel::Channel;
use super::error;
use super::requests::Get;
use super::session::Session;
use crate::contract::executions::{ExecutionRead, ExecutionStep, ExecutionWrite};
use crate::contract::operation::{Work, chains_with_turns};
use crate::contract::step::Reply;
use crate::error::{Error, Kind, Result};
use crate::time::Millis;

/// Attempts of a change that others are in the way of.
const ATTEMPTS: u32 = 40;
/// Pauses before them: random ones up to the first, doubled each time up to the second.
const PAUSES: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(200));

/// The table of executions.
pub(super) struct Executions<'a, C> {
    pub(super) on: &'a C,
}

impl<C: Channel> Executions<'_, C> {
    /// The present, by the server's clock.
    fn now(&self) -> Millis {
        self.on.clock().now()
    }

    /// Runs an operation.
    pub(super) async fn run(&self, step: &ExecutionStep) -> Result<Reply> {
        match step {
            Work::Write(write) => self.write(write).await,
            Work::Read(read) => self.read(read).await,
        }
    }

    /// Runs a change.
    async fn write(&self, write: &ExecutionWrite) -> Result<Reply> {
        match write {
            ExecutionWrite::Create(creation) => self.create(creation).await,
            ExecutionWrite::Change(change) => self.change(change).await,
            ExecutionWrite::Save(replacement) => self.save(replacement).await,
            ExecutionWrite::Delete { id } => self.delete(id).await,
            ExecutionWrite::Claim(claim) => claims::claim(self, claim).await,
            ExecutionWrite::Heartbeat { renewals, terms } => claims::heartbeat(self, renewals, terms).await,
            ExecutionWrite::Redrive { ids, reset_attempts } => claims::redrive(self, ids, *reset_attempts).await,
            ExecutionWrite::Cleanup { before, statuses, limit } => {
                lists::cleanup(self, *before, statuses, *limit).await
            }
        }
    }

    /// Answers a question.
    async fn read(&self, read: &ExecutionRead) -> Result<Reply> {
        match read {
            ExecutionRead::Load { id, .. } => self.load(id).await,
            ExecutionRead::History { id, after, limit, max_bytes, reverse } => {
                self.history(id, *after, (*limit, *max_bytes), *reverse).await
            }
            ExecutionRead::List { filter, order, after, limit } => {
                lists::list(self, filter, *order, after.as_ref(), *limit).await
            }
            ExecutionRead::Count { filter } => lists::count(self, filter).await,
            ExecutionRead::Recoverable { limit, max_attempts, stale_after_ms, name } => {
                lists::recoverable(self, *limit, *max_attempts, *stale_after_ms, name.as_deref()).await
            }
            ExecutionRead::Statistics => lists::statistics(self).await,
        }
    }

    /// The item of a key, as it is now; with an empty projection all of it.
    async fn item(&self, key: Item, projection: &'static str) -> Result<Option<Item>> {
        Ok(self.on.send(Get { key, projection }).await?)
    }

    /// Waits before another attempt.
    async fn rest(&self, attempt: u32) {
        if attempt > 0 {
            let longest = PAUSES.0.saturating_mul(1 << (attempt - 1).min(10)).min(PAUSES.1);
            self.on.pause(longest.mul_f64(fastrand::f64())).await;
        }
    }
}

/// Others were always quicker.
fn crowded(id: &str) -> Error {
    let text = "others change this execution at the same time";
    Error::new(Kind::Backend, text).retryable(true).unsent().with_id(id)
}

/// Runs changes on the store's own connections; those of one execution in their order, the others beside each other.
pub(super) async fn write(on: &Session<'_>, group: &[ExecutionWrite]) -> Vec<Result<Reply>> {
    let run = |chain: Vec<usize>| async move {
        let mut done = Vec::with_capacity(chain.len());
        for member in chain {
            done.push((member, Box::pin(Executions { on }.write(&group[member])).await));
        }
        done
    };
    let mut answers: Vec<Result<Reply>> = vec![Err(error::unexpected()); group.len()];
    for (member, answer) in join_all(chains_with_turns(group).into_iter().map(run)).await.into_iter().flatten() {
        answers[member] = answer;
    }
    answers
}

/// Answers questions, beside each other.
pub(super) async fn read(on: &Session<'_>, group: &[ExecutionRead]) -> Vec<Result<Reply>> {
    join_all(group.iter().map(|read| async move { Executions { on }.read(read).await })).await
}
