//! Where requests about a table travel: on the store's own connections ([`super::session`]) or on a client of the
//! application ([`super::client`]). Code of a kind is generic over it. And single requests, over either of them.

use std::time::Duration;

use futures_util::future::join_all;

use super::attribute::Item;
use super::changes::Change;
use super::clock::Clock;
use super::config::KnownNames;
use super::error::{Cause, Failure};
use super::expression::{self, Expression, HEAD, IS_EXPIRED, IS_LIVE, SET_EXPIRY};
use super::requests::{Delete, Get, Put, Request, Update};
use super::tables::Contents;
use crate::contract::operation::RecordKind;
use crate::error::{Kind, Result};
use crate::time::Millis;

/// An id to ask for when only the answer's kind matters.
pub(super) const NOBODY: &str = "sagastore:probe";

/// A table, and a way to it.
pub(super) trait Channel: Send + Sync {
    /// Whether several requests may be under way at once.
    const IN_PARALLEL: bool;

    /// Leads to the table of another kind of records.
    fn to(&self, kind: RecordKind) -> Self
    where
        Self: Sized;

    /// The table's name.
    fn table(&self) -> &str;

    /// The server's clock beside ours.
    fn clock(&self) -> &Clock;

    /// Names of sagas that are known to be listed.
    fn known_names(&self) -> &KnownNames;

    /// Sends a request.
    fn send<R: Request>(&self, request: R) -> impl Future<Output = Result<R::Answer, Failure>> + Send;

    /// Has all of the changes happen, or none; an error if that is not known.
    fn transact(&self, changes: Vec<Change>) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Waits.
    fn pause(&self, pause: Duration) -> impl Future<Output = ()> + Send;
}

/// Does all of this, beside each other if `C` can.
pub(super) async fn all<C: Channel, F: Future + Send>(work: Vec<F>) -> Vec<F::Output> {
    if C::IN_PARALLEL {
        return join_all(work).await;
    }
    let mut done = Vec::with_capacity(work.len());
    for one in work {
        done.push(one.await);
    }
    done
}

/// Whether a conditional request has found its condition to hold.
pub(super) fn held(outcome: Result<(), Failure>) -> Result<bool, Failure> {
    match outcome {
        Ok(()) => Ok(true),
        Err(failure) if failure.cause == Cause::Condition => Ok(false),
        Err(failure) => Err(failure),
    }
}

/// Stores an item, whatever was there.
pub(super) async fn put(on: &impl Channel, item: Item) -> Result<(), Failure> {
    on.send(Put(item)).await
}

/// Removes a payload if its time is not over; whether there was one.
pub(super) async fn delete(on: &impl Channel, id: &str, now: Millis) -> Result<bool, Failure> {
    delete_if(on, expression::key(id), IS_LIVE, now).await
}

/// Removes the item of a key if its time is over; whether there was one.
pub(super) async fn delete_expired(on: &impl Channel, key: Item, now: Millis) -> Result<bool, Failure> {
    delete_if(on, key, IS_EXPIRED, now).await
}

async fn delete_if(on: &impl Channel, key: Item, condition: &'static str, now: Millis) -> Result<bool, Failure> {
    let condition = Expression::new(condition, expression::clock(now));
    held(on.send(Delete { key, condition }).await)
}

/// Sets another expiry if the time is not over; whether there was a payload.
pub(super) async fn touch(on: &impl Channel, id: &str, expires_at: Millis, now: Millis) -> Result<bool, Failure> {
    let change = Expression::new(SET_EXPIRY, expression::expiry_values(expires_at));
    let condition = Expression::new(IS_LIVE, expression::clock(now));
    held(on.send(Update { key: expression::key(id), change, condition }).await)
}

/// An item, as much of it as `projection` names.
pub(super) async fn get(on: &impl Channel, id: &str, projection: &'static str) -> Result<Option<Item>, Failure> {
    on.send(Get { key: expression::key(id), projection }).await
}

/// Whether the table is there, asked in the way of an ordinary read.
pub(super) async fn exists(on: &impl Channel, contents: Contents) -> Result<bool> {
    let key = match contents.sort() {
        Some(_) => expression::part_key(NOBODY, NOBODY),
        None => expression::key(NOBODY),
    };
    match on.send(Get { key, projection: HEAD }).await {
        Ok(_) => Ok(true),
        Err(failure) if failure.cause == Cause::NoTable => Ok(false),
        Err(failure) => Err(failure.error),
    }
}

/// Before the first request: whether our clock is the server's. Any answer tells, a refusal too;
/// a difference takes two of them. An error if the server cannot be reached.
pub(super) async fn read_clock(on: &impl Channel) -> Result<()> {
    for _ in 0..2 {
        if on.clock().ahead().is_some() {
            break;
        }
        match get(on, NOBODY, HEAD).await {
            Err(failure) if failure.cause == Cause::Clock => {}
            Err(failure) if failure.error.kind() == Kind::Connection => return Err(failure.error),
            // A refusal of another kind is told to those whom it concerns.
            _ => {}
        }
    }
    on.clock().settle();
    Ok(())
}
