//! Payload operations as Redis commands. A payload is a string key `{keyPrefix}:{id}`.
//!
//! # Whose clock
//!
//! Expiries are points in time by the caller's clock, and Redis judges them by its own. `SET`
//! with a PXAT in the server's past answers OK and stores nothing, `PEXPIREAT` deletes, so clocks
//! that differ would lose payloads without a word. Three things keep that from happening, none of
//! which costs the ordinary put a round trip or a byte:
//!
//! - The difference is read (TIME) when a connection is made and every 30 seconds after. If it is
//!   more than the error of measurement, expiries are sent in the server's time. Otherwise they
//!   are sent as they are.
//! - A put that expires soon is followed by an EXISTS in the same pipeline. If the key is gone
//!   before its time, the put fails as retryable and the clock is read again.
//! - A touch that expires soon sets the time that is left (PEXPIRE), which cannot be in the past.
//!
//! "Soon" is ten minutes: a clock would have to jump by more within half a minute.

use std::sync::Arc;

use bytes::Bytes;
use fred::error::Error as FredError;
use fred::prelude::Value;

use super::connection::{Connection, Replies, Request};
use super::error;
use super::executor::{Executor, ask_time, refresh_clock};
use crate::error::{Error, Kind, Result};
use crate::store::payloads::{Read, Reply, Write};
use crate::time::Millis;

/// Expiries nearer than this are taken care of.
const SOON_MS: i64 = 10 * 60 * 1_000;

/// Runs a group of writes in one pipeline.
pub(super) async fn write(on: &Arc<Executor>, prefix: &str, group: &[Write]) -> Vec<Result<Reply>> {
    let connection = match on.connection().await {
        Ok(connection) => connection,
        Err(error) => return vec![Err(error); group.len()],
    };
    if group.iter().any(|write| expiry(write).is_some()) && connection.clock().is_due() {
        refresh_clock(&connection);
    }
    let plan = Plan::new(group, prefix, Millis::now(), connection.clock().shift());
    match on.run(&connection, plan.requests).await {
        Ok(replies) => answer_writes(&connection, group, &plan.checked, replies).await,
        Err(error) => vec![Err(error); group.len()],
    }
}

/// Runs a group of reads in one pipeline.
pub(super) async fn read(on: &Arc<Executor>, prefix: &str, group: &[Read]) -> Vec<Result<Reply>> {
    let requests = group.iter().map(|read| match read {
        Read::Find { id } => Request::Get { key: key(prefix, id) },
        Read::Has { id } => Request::Exists { key: key(prefix, id) },
    });
    let sent = match on.connection().await {
        Ok(connection) => on.run(&connection, requests.collect()).await,
        Err(error) => Err(error),
    };
    match sent {
        Ok(replies) => group.iter().zip(replies).map(|(read, reply)| answer_read(read, reply)).collect(),
        Err(error) => vec![Err(error); group.len()],
    }
}

/// The key of an id.
pub(super) fn key(prefix: &str, id: &str) -> Bytes {
    let mut key = String::with_capacity(prefix.len() + 1 + id.len());
    key.push_str(prefix);
    key.push(':');
    key.push_str(id);
    key.into()
}

fn expiry(write: &Write) -> Option<Millis> {
    match write {
        Write::Put { expires_at, .. } => *expires_at,
        Write::Touch { expires_at, .. } => Some(*expires_at),
        Write::Delete { .. } => None,
    }
}

/// The requests of a group of writes, and which of the writes have an EXISTS behind them.
struct Plan {
    requests: Vec<Request>,
    checked: Vec<bool>,
}

impl Plan {
    /// `shift` is what the server's clock is ahead of ours.
    fn new(group: &[Write], prefix: &str, now: Millis, shift: i64) -> Self {
        let mut plan = Self { requests: Vec::with_capacity(group.len()), checked: Vec::with_capacity(group.len()) };
        for write in group {
            let soon = expiry(write).is_some_and(|at| at.0.saturating_sub(now.0) < SOON_MS);
            let at = expiry(write).map(|at| at.0.saturating_add(shift).max(1));
            let mut checked = false;
            match write {
                Write::Put { id, data, .. } => {
                    let key = key(prefix, id);
                    checked = soon;
                    plan.requests.push(Request::Set { key: key.clone(), data: data.clone(), at });
                    if checked {
                        plan.requests.push(Request::Exists { key });
                    }
                }
                Write::Delete { id } => plan.requests.push(Request::Unlink { key: key(prefix, id) }),
                Write::Touch { id, expires_at } => {
                    let key = key(prefix, id);
                    plan.requests.push(if soon {
                        Request::ExpireIn { key, millis: (expires_at.0 - now.0).max(1) }
                    } else {
                        Request::ExpireAt { key, at: at.unwrap_or(1) }
                    });
                }
            }
            plan.checked.push(checked);
        }
        plan
    }
}

async fn answer_writes(
    connection: &Connection,
    group: &[Write],
    checked: &[bool],
    replies: Replies,
) -> Vec<Result<Reply>> {
    let mut replies = replies.into_iter();
    let mut next = move || replies.next().unwrap_or_else(|| Err(FredError::new_canceled()));
    let mut answers = Vec::with_capacity(group.len());
    let mut lost = false;
    for (write, checked) in group.iter().zip(checked) {
        let mut answer = answer_write(write, next());
        // An EXISTS that fails (it may be forbidden) says nothing.
        if *checked && matches!(next(), Ok(Value::Integer(0))) && answer.is_ok() && outlives(write, Millis::now()) {
            lost = true;
            answer = Err(lost_at_once());
        }
        answers.push(answer);
    }
    if lost {
        // Before the put is repeated.
        ask_time(connection).await;
    }
    answers
}

fn outlives(write: &Write, now: Millis) -> bool {
    expiry(write).is_none_or(|at| at > now)
}

fn lost_at_once() -> Error {
    Error::new(Kind::Backend, "Redis dropped the payload at once: its clock says that expiresAt has passed")
        .retryable(true)
        .unsent()
}

fn answer_write(write: &Write, reply: Result<Value, FredError>) -> Result<Reply> {
    match (write, reply.map_err(error::command)?) {
        (Write::Put { .. }, _) => Ok(Reply::Done),
        (Write::Delete { .. } | Write::Touch { .. }, Value::Integer(count)) => Ok(Reply::Flag(count > 0)),
        _ => Err(error::unexpected()),
    }
}

fn answer_read(read: &Read, reply: Result<Value, FredError>) -> Result<Reply> {
    match (read, reply.map_err(error::command)?) {
        (Read::Find { .. }, Value::Null) => Ok(Reply::Data(None)),
        (Read::Find { .. }, Value::Bytes(data)) => Ok(Reply::Data(Some(data))),
        // fred makes a string of what is valid UTF-8; the bytes are the same.
        (Read::Find { .. }, Value::String(text)) => Ok(Reply::Data(Some(text.into_inner()))),
        (Read::Has { .. }, Value::Integer(count)) => Ok(Reply::Flag(count > 0)),
        _ => Err(error::unexpected()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = Millis(1_700_000_000_000);
    const LATER: Millis = Millis(NOW.0 + SOON_MS);

    fn put(expires_at: Option<Millis>) -> Write {
        Write::Put { id: "a".into(), data: Bytes::from_static(b"x"), expires_at }
    }

    fn touch(expires_at: Millis) -> Write {
        Write::Touch { id: "a".into(), expires_at }
    }

    fn requests(write: Write, shift: i64) -> Vec<Request> {
        Plan::new(&[write], "p", NOW, shift).requests
    }

    fn set(at: Option<i64>) -> Request {
        Request::Set { key: "p:a".into(), data: Bytes::from_static(b"x"), at }
    }

    #[test]
    fn keys_are_prefix_and_id() {
        assert_eq!(key("saga:storage", "slip-1-2"), Bytes::from_static(b"saga:storage:slip-1-2"));
    }

    #[test]
    fn distant_expiries_cost_nothing() {
        assert_eq!(requests(put(None), 0), [set(None)]);
        assert_eq!(requests(put(Some(LATER)), 0), [set(Some(LATER.0))]);
        assert_eq!(requests(touch(LATER), 0), [Request::ExpireAt { key: "p:a".into(), at: LATER.0 }]);
        assert_eq!(requests(Write::Delete { id: "a".into() }, 0), [Request::Unlink { key: "p:a".into() }]);
    }

    #[test]
    fn expiries_are_in_the_servers_time() {
        assert_eq!(requests(put(Some(LATER)), 7_000), [set(Some(LATER.0 + 7_000))]);
        assert_eq!(requests(touch(LATER), -7_000), [Request::ExpireAt { key: "p:a".into(), at: LATER.0 - 7_000 }]);
    }

    #[test]
    fn near_expiries_are_made_safe() {
        let soon = NOW.plus(500);
        assert_eq!(requests(put(Some(soon)), 0), [set(Some(soon.0)), Request::Exists { key: "p:a".into() }]);
        assert_eq!(requests(touch(soon), 99_000), [Request::ExpireIn { key: "p:a".into(), millis: 500 }]);
        assert_eq!(requests(touch(Millis(0)), 0), [Request::ExpireIn { key: "p:a".into(), millis: 1 }]);
    }
}
