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
//!   are sent as they are. Where our own clock has been set meanwhile, as a clock that nobody sets
//!   tells, the difference is read first.
//! - A put that expires soon is followed by an EXISTS in the same pipeline. If the key is gone
//!   before its time, the put fails as retryable and the clock is read again.
//! - A touch that expires soon sets the time that is left (PEXPIRE), which cannot be in the past.
//!
//! "Soon" is ten minutes: a server's clock would have to jump by more within half a minute.

use bytes::Bytes;
use fred::prelude::Value;

use super::channel::{Answers, Channel, Servers};
use super::command::{Request, Until};
use super::error;
use crate::contract::payloads::{Read, Write};
use crate::contract::step::Reply;
use crate::error::{Error, Kind, Result};
use crate::time::Millis;

/// Expiries nearer than this are taken care of.
const SOON_MS: i64 = 10 * 60 * 1_000;

/// Runs a group of writes in one pipeline.
pub(super) async fn write(on: &impl Servers, prefix: &str, group: &[Write]) -> Result<Vec<Result<Reply>>> {
    if group.iter().any(|write| expiry(write).is_some()) {
        on.keep_time().await?;
    }
    let plan = Plan::new(group, prefix, Millis::now(), on.clock().shift());
    let (answers, lost) = answer_writes(group, &plan.checked, on.send(plan.requests).await?);
    if lost {
        // Before the put is repeated.
        on.ask_time().await?;
    }
    Ok(answers)
}

/// Runs a group of reads in one pipeline.
pub(super) async fn read(on: &impl Channel, prefix: &str, group: &[Read]) -> Result<Vec<Result<Reply>>> {
    let replies = on.send(group.iter().map(|read| request(read, prefix)).collect()).await?;
    Ok(group.iter().zip(replies).map(|(read, reply)| answer_read(read, reply)).collect())
}

/// Runs a single read.
pub(super) async fn read_one(on: &impl Channel, prefix: &str, read: &Read) -> Result<Reply> {
    let mut replies = on.send(vec![request(read, prefix)]).await?;
    answer_read(read, replies.pop().unwrap_or_else(|| Err(error::unexpected())))
}

/// The request of a read.
fn request(read: &Read, prefix: &str) -> Request {
    match read {
        Read::Find { id } => Request::Get { key: key(prefix, id) },
        Read::Has { id } => Request::Exists { key: key(prefix, id) },
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

/// When the payload of a write ceases to exist.
pub(super) fn expiry(write: &Write) -> Option<Millis> {
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
            let soon = expiry(write).is_some_and(|at| is_soon(at, now));
            let at = expiry(write).map(|at| shifted(at, shift));
            let mut checked = false;
            match write {
                Write::Put { id, data, .. } => {
                    let key = key(prefix, id);
                    checked = soon;
                    plan.requests.push(Request::Set { key: key.clone(), data: data.clone(), until: at.map(Until::At) });
                    if checked {
                        plan.requests.push(Request::Exists { key });
                    }
                }
                Write::Delete { id } => plan.requests.push(Request::Unlink { key: key(prefix, id) }),
                Write::Touch { id, expires_at } => {
                    let key = key(prefix, id);
                    plan.requests.push(if soon {
                        Request::ExpireIn { key, millis: left(*expires_at, now) }
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

/// Whether an expiry is taken care of.
pub(super) fn is_soon(at: Millis, now: Millis) -> bool {
    at.0.saturating_sub(now.0) < SOON_MS
}

/// An expiry by the server's clock.
pub(super) fn shifted(at: Millis, shift: i64) -> i64 {
    at.0.saturating_add(shift).max(1)
}

fn left(at: Millis, now: Millis) -> i64 {
    at.0.saturating_sub(now.0).max(1)
}

/// The request of a write that stands in a MULTI; none if it needs an answer.
///
/// Nobody looks behind such a put whether it is still there: it is only known at the EXEC, which
/// has done the rest by then. So what expires soon is sent as the time that is left (PX), which
/// cannot have passed, however late the EXEC comes; and so is everything while the server's clock
/// is not known (no `shift`). The price is that the payload stays longer by the time until EXEC.
pub(super) fn queued(write: &Write, prefix: &str, now: Millis, shift: Option<i64>) -> Option<Request> {
    match write {
        Write::Put { id, data, expires_at } => {
            let until = expires_at.map(|at| match shift {
                Some(shift) if !is_soon(at, now) => Until::At(shifted(at, shift)),
                _ => Until::In(left(at, now)),
            });
            Some(Request::Set { key: key(prefix, id), data: data.clone(), until })
        }
        Write::Delete { id } => Some(Request::Unlink { key: key(prefix, id) }),
        Write::Touch { .. } => None,
    }
}

/// The answers to writes, of the replies to their plan, and whether a put was lost at once.
fn answer_writes(group: &[Write], checked: &[bool], replies: Answers) -> (Vec<Result<Reply>>, bool) {
    let mut replies = replies.into_iter();
    let mut next = move || replies.next().unwrap_or_else(|| Err(error::unexpected()));
    let mut answers = Vec::with_capacity(group.len());
    let mut lost = false;
    for (write, checked) in group.iter().zip(checked) {
        let mut answer = answer_write(write, next());
        // An EXISTS that fails (it may be forbidden) says nothing.
        let gone = *checked && next().is_ok_and(|count| count.as_i64() == Some(0));
        if gone && answer.is_ok() && outlives(write, Millis::now()) {
            lost = true;
            answer = Err(lost_at_once());
        }
        answers.push(answer);
    }
    (answers, lost)
}

fn outlives(write: &Write, now: Millis) -> bool {
    expiry(write).is_none_or(|at| at > now)
}

/// The server has dropped what was stored.
pub(super) fn lost_at_once() -> Error {
    Error::new(Kind::Backend, "Redis dropped the payload at once: its clock says that expiresAt has passed")
        .retryable(true)
        .unsent()
}

/// The answer to a write. `QUEUED`, on a client that is in a MULTI which nobody has told us of, is
/// none.
pub(super) fn answer_write(write: &Write, reply: Result<Value>) -> Result<Reply> {
    let reply = reply?;
    match write {
        Write::Put { .. } if reply.as_bytes().is_some_and(|reply| reply == b"OK") => Ok(Reply::Done),
        Write::Put { .. } => Err(error::unexpected()),
        Write::Delete { .. } | Write::Touch { .. } => flag(&reply),
    }
}

/// The answer to a read.
fn answer_read(read: &Read, reply: Result<Value>) -> Result<Reply> {
    match (read, reply?) {
        (Read::Find { .. }, Value::Null) => Ok(Reply::Data(None)),
        (Read::Find { .. }, Value::Bytes(data)) => Ok(Reply::Data(Some(data))),
        // fred makes a string of what is valid UTF-8; the bytes are the same.
        (Read::Find { .. }, Value::String(text)) => Ok(Reply::Data(Some(text.into_inner()))),
        (Read::Find { .. }, _) => Err(error::unexpected()),
        (Read::Has { .. }, reply) => flag(&reply),
    }
}

fn flag(count: &Value) -> Result<Reply> {
    count.as_i64().map(|count| Reply::Flag(count > 0)).ok_or_else(error::unexpected)
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
        Request::Set { key: "p:a".into(), data: Bytes::from_static(b"x"), until: at.map(Until::At) }
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

    #[test]
    fn in_a_multi_no_expiry_can_have_passed() {
        let until = |at: Millis, shift| match queued(&put(Some(at)), "p", NOW, shift) {
            Some(Request::Set { until, .. }) => until,
            other => panic!("{other:?}"),
        };
        assert_eq!(until(LATER, Some(7_000)), Some(Until::At(LATER.0 + 7_000)));
        assert_eq!(until(LATER, None), Some(Until::In(SOON_MS)));
        assert_eq!(until(NOW.plus(500), Some(7_000)), Some(Until::In(500)));
        assert_eq!(until(Millis(0), Some(0)), Some(Until::In(1)));
        assert_eq!(queued(&put(None), "p", NOW, Some(0)), Some(set(None)));
        let delete = Write::Delete { id: "a".into() };
        assert_eq!(queued(&delete, "p", NOW, None), Some(Request::Unlink { key: "p:a".into() }));
        assert_eq!(queued(&touch(LATER), "p", NOW, Some(0)), None);
    }

    #[test]
    fn replies_are_read_from_drivers_and_clients() {
        let bytes = |text: &'static str| Value::Bytes(Bytes::from_static(text.as_bytes()));
        for ok in [Value::from("OK"), bytes("OK")] {
            assert_eq!(answer_write(&put(None), Ok(ok)).unwrap(), Reply::Done);
        }
        // Not stored yet, or never.
        for other in [Value::Queued, bytes("QUEUED"), Value::Null, Value::Integer(1)] {
            assert!(answer_write(&put(None), Ok(other)).is_err());
        }
        let delete = Write::Delete { id: "a".into() };
        assert_eq!(answer_write(&delete, Ok(Value::Integer(0))).unwrap(), Reply::Flag(false));
        // ioredis with stringNumbers.
        assert_eq!(answer_write(&touch(LATER), Ok(Value::from("1"))).unwrap(), Reply::Flag(true));
        assert!(answer_write(&delete, Ok(Value::Queued)).is_err());
        let find = Read::Find { id: "a".into() };
        assert_eq!(answer_read(&find, Ok(Value::Null)).unwrap(), Reply::Data(None));
        assert_eq!(answer_read(&find, Ok(bytes(""))).unwrap(), Reply::Data(Some(Bytes::new())));
        assert!(answer_read(&find, Ok(Value::Queued)).is_err());
        assert!(answer_read(&Read::Has { id: "a".into() }, Ok(Value::Queued)).is_err());
    }

    #[test]
    fn a_put_that_is_gone_at_once_has_failed() {
        let soon = [put(Some(Millis::now().plus(5_000)))];
        let replies = |count| vec![Ok(Value::from("OK")), count];
        let (answers, lost) = answer_writes(&soon, &[true], replies(Ok(Value::Integer(0))));
        assert!(lost && answers[0].as_ref().is_err_and(Error::is_retryable));
        for count in [Ok(Value::Integer(1)), Err(error::unexpected())] {
            let (answers, lost) = answer_writes(&soon, &[true], replies(count));
            assert!(!lost && answers[0].is_ok());
        }
    }
}
