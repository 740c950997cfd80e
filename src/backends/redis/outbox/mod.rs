//! The outbox on Redis: one queue, whose keys are all in one hash slot. So whatever happens to events is one script, in
//! a Cluster too.
//!
//! - The scripts judge by the rules of `judge.rs` in the contract.
//! - What can be claimed is on a stream, which a consumer group reads; what can be claimed once more is in a sorted
//!   set beside it. A claim takes the earliest of both. The group is read with NOACK and has one consumer: leases are
//!   in sorted sets and in the events, with a token that an acknowledgement is compared with. The group's own list of
//!   what is pending knows no token, says nothing of an event that must wait, and would be written twice more for each
//!   claim.
//! - What is read goes off the stream in the same script, so its length can be compared with a count. If the stream has
//!   lost anything, it is made up from the list of all events, a part in each claim.
//! - A script looks at a bounded number of events. A claim that wants more asks again.
//!
//! ```text
//! mod.rs       Outbox: where an operation goes, and scripts on their way
//! keys.rs      the keys, and what stands under them
//! scripts.rs   what is asked of the server
//! *.lua        the script: what all of it knows, insertions, claims, settlements, what is decided and goes, questions
//! changes.rs   changes
//! queued.rs    insertions in transactions that are sent at their end
//! reads.rs     questions
//! ```

mod changes;
pub(super) mod keys;
pub(super) mod queued;
mod reads;
pub(super) mod scripts;
#[cfg(test)]
mod tests;

use fred::prelude::Value;

use super::channel::Channel;
use super::script::{Script, Words, ask};
use super::{error, groups};
use crate::contract::operation::{Work, chains};
use crate::contract::outbox::{OutboxRead, OutboxStep, OutboxWrite};
use crate::contract::step::Reply;
use crate::error::Result;

/// The outbox under a prefix.
pub(super) struct Outbox<'a, C> {
    pub(super) on: &'a C,
    pub(super) prefix: &'a str,
}

/// Runs a group of changes over the store's own connection; those that must not be under way at once in their order.
pub(super) async fn write(on: &impl Channel, prefix: &str, group: &[OutboxWrite]) -> Vec<Result<Reply>> {
    groups::run(on, &chains(group), |on, at| {
        Box::pin(async move { Outbox { on: &*on, prefix }.write(&group[at]).await })
    })
    .await
}

/// Runs a group of questions.
pub(super) async fn read(on: &impl Channel, prefix: &str, group: &[OutboxRead]) -> Vec<Result<Reply>> {
    let chains: Vec<Vec<usize>> = (0..group.len()).map(|at| vec![at]).collect();
    groups::run(on, &chains, |on, at| Box::pin(async move { Outbox { on: &*on, prefix }.read(&group[at]).await })).await
}

impl<C: Channel> Outbox<'_, C> {
    /// Runs an operation.
    pub(super) async fn run(&self, step: &OutboxStep) -> Result<Reply> {
        match step {
            Work::Write(write) => self.write(write).await,
            Work::Read(read) => self.read(read).await,
        }
    }

    /// The words of an operation.
    fn words(&self, operation: &'static str) -> Words {
        Words::of(operation, self.prefix.to_owned())
    }

    fn script(&self, words: Words) -> Script {
        let keys = if self.on.one_server() { vec![keys::anchor(self.prefix)] } else { keys::touched(self.prefix) };
        Script::new(&scripts::SCRIPT, keys, words)
    }

    async fn ask(&self, words: Words) -> Result<Value> {
        ask(self.on, vec![self.script(words)]).await?.pop().ok_or_else(error::unexpected)?
    }

    /// Several at once, in their order.
    async fn ask_all(&self, words: Vec<Words>) -> Result<Vec<Result<Value>>> {
        ask(self.on, words.into_iter().map(|words| self.script(words)).collect()).await
    }
}
