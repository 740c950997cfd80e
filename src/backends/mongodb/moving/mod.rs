//! Whole records on their way out and in, over a channel.
//!
//! ```text
//! records.rs  documents as records
//! cursor.rs   where a page ends
//! scan.rs     pages
//! fetch.rs    records of some keys, and how many there are
//! item.rs     a record as it is to be stored
//! there.rs    what an import finds under its ids
//! import.rs   records are stored
//! ```
//!
//! # Pages
//!
//! A page is what stands behind the last `_id` of the page before; of events, behind their place in the queue. No cursor
//! of the server is left open. A document whose `_id` is no text is none of ours: these come last, counted instead of
//! compared, because clients of the application have no such values to compare with.
//!
//! # An import
//!
//! 1. What is new is most of it: one `insert` of many documents, each for itself. A unique index refuses those whose id is
//!    taken.
//! 2. What is there under these ids is read, only what a decision needs of it, and the policy decides.
//! 3. What replaces is one `update` of many documents, each under the condition that the document is as it was read. Where
//!    fewer are changed than were sent, step 2 tells what has happened.
//!
//! The log of an execution is stored first, under a name that nobody knows: the document that names it makes it one.
//! `FerretDB` 1 gets replacements one by one.
//!
//! Times that the server's clock judges (expiries, leases, pauses, and the stamps of events) are stored by that clock
//! and answered by ours, where both differ.

mod cursor;
mod fetch;
mod import;
mod item;
mod records;
mod scan;
#[cfg(test)]
mod tests;
mod there;

use super::channel::Channel;
use super::own::Own;
use super::states::groups::{answers, in_chains};
use crate::contract::moving::record::Record;
use crate::contract::moving::{Moved, MovingRead, MovingStep, MovingWrite, not_in_transactions};
use crate::contract::operation::Work;
use crate::contract::step::Reply;
use crate::error::Result;

/// Runs an operation on a client of the application.
pub(super) async fn run(on: &impl Channel, step: &MovingStep) -> Result<Reply> {
    if on.in_transaction() {
        return Err(not_in_transactions());
    }
    match step {
        Work::Write(MovingWrite::Import(import)) => import::run(&on.to(import.kind.records()), import).await,
        Work::Read(read) => self::read(on, read).await,
    }
}

/// Runs imports over the store's own connections.
pub(super) async fn write_group(on: &Own, group: &[MovingWrite]) -> Vec<Result<Reply>> {
    in_chains(on, group, |MovingWrite::Import(import)| async move {
        let on = on.to(import.kind.records());
        // Writes of unknown fate must not land behind it.
        if matches!(import.kind, Moved::Payloads | Moved::Executions) {
            on.fence(import.records.iter().map(Record::id)).await?;
        }
        import::run(&on, import).await
    })
    .await
}

/// Answers questions over the store's own connections.
pub(super) async fn read_group(on: &Own, group: &[MovingRead]) -> Vec<Result<Reply>> {
    let run = |at: usize| async move { [(at, read(on, &group[at]).await)] };
    on.keep_time().await;
    answers(group.len(), (0..group.len()).map(run)).await
}

async fn read(on: &impl Channel, read: &MovingRead) -> Result<Reply> {
    match read {
        MovingRead::Scan { kind, after, limit, max_bytes, only_sizes } => {
            let (limit, max_bytes, only_sizes) = (*limit, *max_bytes, *only_sizes);
            let (kind, after) = (*kind, after.as_deref());
            let asked = scan::Asked { kind, after, limit, max_bytes, only_sizes, prefix: None };
            scan::scan(&on.to(asked.kind.records()), &asked).await.map(crate::contract::moving::Page::into_reply)
        }
        MovingRead::Fetch { kind, keys } => fetch::fetch(&on.to(kind.records()), *kind, keys).await,
        MovingRead::List { prefix, after, limit } => {
            let (kind, after, prefix) = (Moved::Payloads, after.as_deref(), Some(&**prefix));
            let asked = scan::Asked { kind, after, limit: *limit, max_bytes: u64::MAX, only_sizes: true, prefix };
            scan::scan(&on.to(asked.kind.records()), &asked).await.map(crate::contract::moving::Page::into_reply)
        }
        MovingRead::Stat { id, expired } => fetch::stat(&on.to(Moved::Payloads.records()), id, *expired).await,
        MovingRead::Count { kind } => fetch::count(&on.to(kind.records())).await,
    }
}
