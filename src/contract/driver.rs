//! What a backend offers on connections of its own. None of this grows with the kinds of records.

use std::sync::Arc;

use bytes::Bytes;
use tokio::runtime::Handle;

use super::capability::{Capabilities, Isolation};
use super::guest::ClientDriver;
use super::operation::{Access, Group, RecordKind};
use super::report::{Pool, Probe, Usage};
use super::states::Reindexed;
use super::step::{Reply, Step};
use super::transaction::Transaction;
use crate::error::Result;
use crate::runtime::{self, Task};
use crate::time::Millis;

/// How a lane may group and overlap its operations; each backend says its own.
#[derive(Clone, Copy, Debug)]
pub struct Batching {
    /// Groups under way at once.
    pub concurrency: usize,
    /// Operations in a group.
    pub max_operations: usize,
    /// Bytes in a group; a single larger operation goes alone.
    pub max_bytes: usize,
    /// The answers of a group whose operations have on average so many bytes are handed over together. JavaScript
    /// falls asleep while a group takes long, and would be woken by each of them; where groups are quick, it
    /// begins with the first meanwhile.
    pub together_from: usize,
}

/// One backend, as a store sees it. Groups hold operations that are valid; the driver runs
/// them and answers each. Timeouts, retries and order between groups are the lane's work.
pub trait Driver: Send + Sync + 'static {
    /// What the backend can do.
    fn capabilities(&self) -> &'static Capabilities;

    /// The largest payload that fits under `id`, in bytes: some backends limit the record as a whole.
    fn max_payload_bytes(&self, _id: &str) -> u64 {
        self.capabilities().max_payload_bytes
    }

    /// How operations may be grouped.
    fn batching(&self, kind: RecordKind, access: Access) -> Batching;

    /// Whether a claim looks for what it could take before it takes it. Then those of one store are under way one at a
    /// time: they would all find the same.
    fn looks_before_claims(&self) -> bool {
        false
    }

    /// The runtime of [`Driver::run`]; that of writes also runs the steps of transactions. All else that answers a
    /// [`Task`] runs on [`runtime::io`], which serves every network store of the process: it must not block.
    fn runtime_of(&self, _access: Access) -> Result<Handle> {
        runtime::io()
    }

    /// Runs a group; one result for each, in their order. Changes of one id take effect in the order in which they
    /// stand in it.
    fn run<'a>(&'a self, group: Group<'a>) -> Task<'a, Vec<Result<Reply>>>;

    /// Answers at once, on the caller's thread, if that never waits for anything.
    fn run_here(&self, _step: &Step) -> Option<Result<Reply>> {
        None
    }

    /// Whether [`Driver::find_here`] finds anything.
    fn answers_here(&self) -> bool {
        false
    }

    /// A payload that is had on the caller's thread sooner than on the way to another one and back; asked only by
    /// a caller that waits for nothing else. Where there is none, `run` has the answer.
    fn find_here(&self, _id: &str) -> Option<Bytes> {
        None
    }

    /// Opens a transaction; without `isolation`, on SQL, with `read committed`.
    fn begin(&self, isolation: Option<Isolation>) -> Task<'_, Result<Box<dyn Transaction>>>;

    /// Creates what is missing and checks what is there; safe from many processes at once.
    /// Answers warnings: what works in a lesser way than it could.
    fn initialize(&self) -> Task<'_, Result<Vec<String>>>;

    /// The statements that `initialize` runs where nothing is there yet; none without SQL.
    fn schema(&self) -> Vec<String> {
        Vec::new()
    }

    /// Removes one batch of at most `limit` records whose time was over at `now`; answers how many.
    /// The batches of one call have the same `now`.
    fn purge_expired(&self, now: Millis, limit: u64) -> Task<'_, Result<u64>>;

    /// Does a part of what has sagas found that other software has written; nothing where lists are the database's own.
    fn reindex<'a>(&'a self, _name: Option<&'a str>, _cursor: Option<&'a str>) -> Task<'a, Result<Reindexed>> {
        Box::pin(async { Ok(Reindexed::default()) })
    }

    /// Whether the last batch ended before its limit only because it took long.
    fn purge_is_unfinished(&self) -> bool {
        false
    }

    /// Asks the server something cheap.
    fn probe(&self) -> Task<'_, Result<Probe>>;

    /// Counts what is stored. May read all keys of the store.
    fn usage(&self, now: Millis) -> Task<'_, Result<Usage>>;

    /// The connections, where there are any.
    fn pool(&self) -> Option<Pool>;

    /// Ready when others may have inserted events since the last time it was asked; a driver that hears of nothing is
    /// never ready. At most one is asked at a time; it may be dropped at any moment.
    fn rung(&self) -> Task<'_, ()> {
        Box::pin(std::future::pending())
    }

    /// Gives the connections back; the last store on them closes them.
    fn close(&self) -> Task<'_, ()>;
}

/// What an opened backend consists of.
pub struct Opened {
    /// Works on connections of its own.
    pub driver: Arc<dyn Driver>,
    /// Works on clients of the application, where the backend has any.
    pub guest: Option<Arc<dyn ClientDriver>>,
}
