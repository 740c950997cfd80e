//! Messages that have been applied: an item for each consumer and message.
//!
//! ```text
//! id: {messageId}, part: {consumer}        { operation: S, expiresAt: N, expiresAtMs: N }
//! ```
//!
//! One conditional put accepts a message; an item whose time is over does not count, whether TTL has come to it or not.

use futures_util::future::join_all;
use tokio::sync::Mutex;

use super::attribute::{Attribute, Item};
use super::changes::{Change, Planned, Refused};
use super::channel::{Channel, held};
use super::clock::Clock;
use super::error::{self, Cause, Failure};
use super::expression::{self, Expression, HEAD, IS_LIVE, OPERATION, expired, part_key, set_expiry};
use super::requests::{Delete, Get, PutIf};
use super::session::Session;
use super::sweep::{self, Sweep};
use super::tables::Contents;
use crate::contract::inbox::{Entry, InboxRead, InboxStep, InboxWrite, accepted_before};
use crate::contract::operation::{Work, chains};
use crate::contract::step::Reply;
use crate::error::{Error, Kind, Result};
use crate::time::Millis;
use crate::url::Backend;

/// Attempts of a request that a transaction is in the way of.
const ATTEMPTS: u32 = 10;
/// The pause before the next one, at most.
const PAUSE: std::time::Duration = std::time::Duration::from_millis(50);

/// True where the message is new.
const IS_NEW: &str = concat!("attribute_not_exists(#id) OR ", expired!());
/// The same, or where this very operation has accepted it.
const IS_NEW_OR_MINE: &str = concat!("attribute_not_exists(#id) OR #operation = :operation OR ", expired!());

fn key(entry: &Entry) -> Item {
    part_key(&entry.message, &entry.consumer)
}

fn accepted(entry: &Entry, until: Millis, operation: &str) -> Item {
    let mut item = key(entry);
    item.set(OPERATION, Attribute::text(operation));
    set_expiry(&mut item, Some(until));
    item
}

/// The table of the inbox.
pub(super) struct Inbox<'a, C> {
    pub(super) on: &'a C,
}

impl<C: Channel> Inbox<'_, C> {
    fn now(&self) -> Millis {
        self.on.clock().now()
    }

    /// Runs an operation.
    pub(super) async fn run(&self, step: &InboxStep, sweep: &mut Option<Sweep>) -> Result<Reply> {
        match step {
            Work::Write(InboxWrite::Cleanup { limit }) => self.cleanup(*limit, sweep).await,
            Work::Write(write) => self.write(write).await,
            Work::Read(read) => self.read(read).await,
        }
    }

    async fn write(&self, write: &InboxWrite) -> Result<Reply> {
        for attempt in 0..ATTEMPTS {
            if attempt > 0 {
                self.on.pause(PAUSE.mul_f64(fastrand::f64())).await;
            }
            let sent = self.send(write).await;
            match sent {
                Err(failure) if failure.cause == Cause::Conflict => {}
                sent => return Ok(Reply::Flag(sent?)),
            }
        }
        let text = "a transaction changes this message at the same time";
        Err(Error::new(Kind::Backend, text).retryable(true).unsent())
    }

    async fn send(&self, write: &InboxWrite) -> Result<bool, Failure> {
        let now = self.now();
        match write {
            InboxWrite::Accept { entry, ttl_ms, operation } => {
                let values = expression::clock(now).with(Item::from([(":operation", Attribute::text(operation))]));
                let condition = Expression::new(IS_NEW_OR_MINE, values);
                held(self.on.send(PutIf { item: accepted(entry, now.plus(*ttl_ms), operation), condition }).await)
            }
            InboxWrite::Forget { entry } => {
                let condition = Expression::new(IS_LIVE, expression::clock(now));
                held(self.on.send(Delete { key: key(entry), condition }).await)
            }
            // It has a sweep, which goes on where it was.
            InboxWrite::Cleanup { .. } => Err(error::unexpected().into()),
        }
    }

    async fn read(&self, read: &InboxRead) -> Result<Reply> {
        let InboxRead::Has { entry } = read;
        let item = self.on.send(Get { key: key(entry), projection: HEAD }).await?;
        let is_there = item.map(|item| expression::is_expired(&item, self.now())).transpose()?;
        Ok(Reply::Flag(is_there == Some(false)))
    }

    async fn cleanup(&self, limit: u64, sweep: &mut Option<Sweep>) -> Result<Reply> {
        let purged = sweep::purge((self.on, Contents::Messages), sweep, self.now(), limit, None).await?;
        Ok(Reply::Count(purged.removed))
    }
}

/// The change of an operation that waits for the end of a transaction, and its answer.
pub(super) fn queue(write: &InboxWrite, table: &str, clock: &Clock) -> Result<(Vec<Planned>, Reply)> {
    let now = clock.now();
    let planned = match write {
        InboxWrite::Accept { entry, ttl_ms, operation } => {
            let condition = Expression::new(IS_NEW, expression::clock(now));
            let change = Change::put(table, accepted(entry, now.plus(*ttl_ms), operation)).only_if(condition);
            // Told from other ids that are taken: the transaction has no say in what this one is of.
            let refused = accepted_before(entry).at(Backend::Dynamodb.name(), "inbox.accept");
            Planned { change, refused: Some(Refused::Because(refused)) }
        }
        InboxWrite::Forget { entry } => Planned { change: Change::delete(table, key(entry)), refused: None },
        InboxWrite::Cleanup { .. } => return Err(error::unexpected()),
    };
    Ok((vec![planned], Reply::Flag(true)))
}

/// Runs changes on the store's own connections; those of one message in their order, the others beside each other.
pub(super) async fn write(on: &Session<'_>, group: &[InboxWrite], sweep: &Mutex<Option<Sweep>>) -> Vec<Result<Reply>> {
    let run = |chain: Vec<usize>| async move {
        let mut done = Vec::with_capacity(chain.len());
        for member in chain {
            let answer = match &group[member] {
                InboxWrite::Cleanup { limit } => Box::pin(Inbox { on }.cleanup(*limit, &mut *sweep.lock().await)).await,
                write => Inbox { on }.write(write).await,
            };
            done.push((member, answer));
        }
        done
    };
    let mut answers: Vec<Result<Reply>> = vec![Err(error::unexpected()); group.len()];
    for (member, answer) in join_all(chains(group).into_iter().map(run)).await.into_iter().flatten() {
        answers[member] = answer;
    }
    answers
}

/// Answers questions, beside each other.
pub(super) async fn read(on: &Session<'_>, group: &[InboxRead]) -> Vec<Result<Reply>> {
    join_all(group.iter().map(|read| async move { Inbox { on }.read(read).await })).await
}
