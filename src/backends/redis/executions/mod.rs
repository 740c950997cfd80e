//! Executions on Redis. They are in buckets, by their ids: all keys of a bucket are in one hash slot, so a change with
//! its log and its indexes is one script, in a Cluster too.
//!
//! - The scripts judge by the rules of `judge.rs` in the contract, and answer codes; here the errors are made of them.
//! - Leases are judged by the server's clock, inside the script.
//! - What a list names is looked at: it may have gone by itself (`executionTtlMs`), or have changed meanwhile.
//!
//! ```text
//! mod.rs       Executions: where an operation goes, and scripts on their way
//! keys.rs      the keys, and what stands under them
//! scripts.rs   what is asked of the server
//! *.lua        the script: what all of it knows, changes of one execution, operations on several
//! changes.rs   changes of one execution
//! queued.rs    the same in transactions that are sent at their end
//! claims.rs    claims
//! several.rs   leases, what is removed together
//! walk.rs      indexes of all buckets, read as one
//! reads.rs     questions
//! ```

pub(super) mod changes;
pub(super) mod claims;
pub(super) mod keys;
pub(super) mod queued;
pub(super) mod reads;
pub(super) mod scripts;
pub(super) mod several;
#[cfg(test)]
mod tests;
pub(super) mod walk;

use bytes::Bytes;
use fred::prelude::Value;
use futures_util::future::join;

use super::channel::{Answers, Channel};
use super::command::Request;
use super::{error, groups};
use crate::contract::executions::{ExecutionRead, ExecutionStep, ExecutionWrite};
use crate::contract::operation::{Work, chains_with_turns};
use crate::contract::step::Reply;
use crate::error::{Error, Kind, Result};
use claims::Due;
use keys::{BUCKETS, Bucket};
use scripts::{Script, Words, script};

/// The executions under a prefix.
pub(super) struct Executions<'a, C> {
    pub(super) on: &'a C,
    pub(super) prefix: &'a str,
}

/// Runs a group of changes over the store's own connection; those of one execution in their order.
pub(super) async fn write(on: &impl Channel, prefix: &str, due: &Due, group: &[ExecutionWrite]) -> Vec<Result<Reply>> {
    let (mut claims, mut places) = (Vec::new(), Vec::new());
    if on.one_server() {
        for (place, write) in group.iter().enumerate() {
            if let ExecutionWrite::Claim(claim) = write {
                claims.push(&**claim);
                places.push(place);
            }
        }
    }
    let chains: Vec<_> = chains_with_turns(group).into_iter().filter(|chain| !places.contains(&chain[0])).collect();
    let changes = groups::run(on, &chains, |on, at| {
        Box::pin(async move { Executions { on: &*on, prefix }.write(&group[at]).await })
    });
    if claims.is_empty() {
        let results = changes.await;
        due.note(group);
        return results;
    }
    let executions = Executions { on, prefix };
    let (mut results, claimed) = join(changes, claims::claim_together(&executions, due, &claims)).await;
    due.note(group);
    results.resize_with(group.len(), || Err(error::unexpected()));
    for (place, result) in places.into_iter().zip(claimed) {
        results[place] = result;
    }
    results
}

/// Runs a group of questions.
pub(super) async fn read(on: &impl Channel, prefix: &str, group: &[ExecutionRead]) -> Vec<Result<Reply>> {
    let chains: Vec<Vec<usize>> = (0..group.len()).map(|at| vec![at]).collect();
    groups::run(on, &chains, |on, at| Box::pin(async move { Executions { on: &*on, prefix }.read(&group[at]).await }))
        .await
}

impl<C: Channel> Executions<'_, C> {
    /// Runs an operation.
    pub(super) async fn run(&self, step: &ExecutionStep) -> Result<Reply> {
        match step {
            Work::Write(write) => self.write(write).await,
            Work::Read(read) => self.read(read).await,
        }
    }

    async fn one(&self, request: Request) -> Result<Result<Value>> {
        self.on.send(vec![request]).await?.pop().ok_or_else(error::unexpected)
    }

    /// The words of an operation in a bucket.
    fn words(&self, operation: &'static str, bucket: Bucket) -> Words {
        Words::of(operation, bucket.base(self.prefix))
    }

    /// An operation on executions of one bucket. One server finds the keys by itself.
    fn script(&self, bucket: Bucket, ids: &[&str], words: &Words) -> Script {
        script(self.keys(bucket, ids), words, false)
    }

    fn keys(&self, bucket: Bucket, ids: &[&str]) -> Vec<Bytes> {
        if self.on.one_server() {
            vec![bucket.key(self.prefix, &["leased"])]
        } else {
            keys::touched(bucket, self.prefix, ids)
        }
    }

    async fn ask(&self, scripts: Vec<Script>) -> Result<Answers> {
        scripts::ask(self.on, scripts).await
    }

    async fn ask_one(&self, script: Script) -> Result<Result<Value>> {
        self.ask(vec![script]).await?.pop().ok_or_else(error::unexpected)
    }

    /// Stores how many buckets there are, or compares it with what is stored.
    pub(super) async fn initialize(&self) -> Result<()> {
        let (key, count) = (keys::buckets(self.prefix), BUCKETS.to_string());
        let set = ["SET".into(), key.clone(), Bytes::from(count.clone()), "NX".into()];
        let set = Request::Words { key: key.clone(), words: set.into() };
        let mut answers = self.on.send(vec![set, Request::Get { key }]).await?;
        let (got, set) = (answers.pop().ok_or_else(error::unexpected)?, answers.pop());
        // Who may use the keys of payloads alone has no executions.
        if set.is_some_and(|set| set.is_err_and(|error| error::is_forbidden(&error))) {
            return Ok(());
        }
        let stored = match got {
            Err(error) if error::is_forbidden(&error) => return Ok(()),
            stored => stored?.as_string().unwrap_or_default(),
        };
        if stored == count {
            return Ok(());
        }
        let message = format!(
            "the executions under '{}' are in '{stored}' buckets, and this version of sagastore has {count}",
            self.prefix
        );
        Err(Error::new(Kind::Unsupported, message))
    }
}
