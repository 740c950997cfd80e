//! The one way from a call to its steps, and from their replies to its answer: for lanes, for transactions and for
//! clients of the application.

use bytes::Bytes;

use super::Store;
use crate::contract::dynamic::Dynamic;
use crate::contract::executions;
use crate::contract::inbox;
use crate::contract::moving;
use crate::contract::operation::{RecordKind, Work, check_id};
use crate::contract::operations::Call;
use crate::contract::outbox;
use crate::contract::payloads::{Read, Write};
use crate::contract::states;
use crate::contract::step::{Reply, Step};
use crate::error::{Error, Kind, Result};
use crate::time::Millis;

/// What a call was given, not checked yet; see [`crate::contract::operations::Takes`].
#[derive(Clone, Debug)]
pub enum Given<'a> {
    /// One id.
    Id(&'a str),
    /// A payload.
    Payload(&'a str, Bytes, Option<Millis>),
    /// An id and its new expiry.
    Expiry(&'a str, Millis),
    /// Several payloads.
    Payloads(Vec<(String, Bytes, Option<Millis>)>),
    /// Several ids.
    Ids(Vec<String>),
    /// A list, in the order of the call's own.
    List(Vec<Dynamic>),
}

/// What a call consists of. Most are one step.
#[derive(Clone, Debug)]
pub enum Steps {
    /// One.
    One(Step),
    /// Any number.
    Many(Vec<Step>),
}

/// A call, checked.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Which call it is.
    pub call: Call,
    /// What it consists of.
    pub steps: Steps,
}

impl Plan {
    /// Its call and its steps.
    pub fn into_parts(self) -> (Call, Vec<Step>) {
        match self.steps {
            Steps::One(step) => (self.call, vec![step]),
            Steps::Many(steps) => (self.call, steps),
        }
    }
}

/// The answer of a call that is one step.
pub(super) fn answer_one(call: Call, id: &str, reply: Reply) -> Result<Reply> {
    match (call, reply) {
        (Call::Get, Reply::Data(None)) => {
            Err(Error::new(Kind::NotFound, "not found: no payload has this id, or it has expired").with_id(id))
        }
        (Call::ExecutionLoad, Reply::Value(Dynamic::Null)) => Err(executions::record::missing(id)),
        (_, reply) => Ok(reply),
    }
}

/// Whether the reply to its only step is not always the answer of a call.
pub(super) const fn may_differ(call: Call) -> bool {
    matches!(call, Call::Get | Call::ExecutionLoad)
}

/// The answer of a call of any number of steps.
pub(super) fn answer_many(call: Call, replies: Vec<Reply>) -> Reply {
    match call {
        Call::GetMany => {
            let data = |reply| if let Reply::Data(data) = reply { data } else { None };
            Reply::Many(replies.into_iter().map(data).collect())
        }
        _ => Reply::Done,
    }
}

/// A call's answer, of those of its steps.
pub(super) fn answer(call: Call, steps: &[Step], mut replies: Vec<Reply>) -> Result<Reply> {
    match (call, steps) {
        (Call::PutMany | Call::GetMany, _) => Ok(answer_many(call, replies)),
        (_, [step]) => answer_one(call, step.id(), replies.pop().unwrap_or(Reply::Done)),
        _ => Ok(Reply::Done),
    }
}

impl Store {
    /// Checks a call and makes steps of it.
    pub fn plan(&self, call: Call, given: Given<'_>) -> Result<Plan> {
        self.check_open()?;
        let steps = match given {
            Given::Id(id) => Steps::One(of_id(call, id).map_err(|error| error.with_id(id))?),
            Given::Payload(id, data, expires_at) => {
                Steps::One(self.put_step(id, data, expires_at).map_err(|error| error.with_id(id))?)
            }
            Given::Expiry(id, at) => Steps::One(self.touch_step(id, at).map_err(|error| error.with_id(id))?),
            Given::Payloads(entries) => {
                let put = |(id, data, expires_at): (String, Bytes, Option<Millis>)| {
                    self.put_step(&id, data, expires_at).map_err(|error| error.with_id(&id))
                };
                Steps::Many(entries.into_iter().map(put).collect::<Result<_>>()?)
            }
            Given::Ids(ids) => {
                let find = |id: String| of_id(Call::Find, &id).map_err(|error| error.with_id(&id));
                Steps::Many(ids.into_iter().map(find).collect::<Result<_>>()?)
            }
            Given::List(given) => Steps::One(match call.kind() {
                RecordKind::States => Step::State(states::step(call, given, &self.settings)?),
                RecordKind::Executions => Step::Execution(executions::given::step(call, given, &self.settings)?),
                RecordKind::Outbox => Step::Outbox(outbox::given::step(call, given, &self.settings)?),
                RecordKind::Inbox => Step::Inbox(inbox::step(call, given)?),
                RecordKind::Moving => Step::Moving(moving::given::step(call, given, &|id| self.most_of_payload(id))?),
                RecordKind::Payloads => return Err(other_arguments()),
            }),
        };
        Ok(Plan { call, steps })
    }

    fn put_step(&self, id: &str, data: Bytes, expires_at: Option<Millis>) -> Result<Step> {
        check_id(id)?;
        self.transcoder().check(id, &data, &|id| self.max_payload_bytes(id))?;
        let expires_at = expires_at.map(|at| self.kept_until(at)).transpose()?;
        Ok(Step::Payload(Work::Write(Write::Put { id: id.into(), data, expires_at })))
    }

    fn touch_step(&self, id: &str, at: Millis) -> Result<Step> {
        check_id(id)?;
        let expires_at = self.kept_until(at)?;
        Ok(Step::Payload(Work::Write(Write::Touch { id: id.into(), expires_at })))
    }

    /// A payload that is already past its expiry belongs to a saga that timed out and still has
    /// to compensate: it is kept for a while, never silently dropped.
    fn kept_until(&self, expires_at: Millis) -> Result<Millis> {
        let now = Millis::now();
        if expires_at > now {
            return Ok(expires_at);
        }
        if expires_at.is_seconds() {
            let given = expires_at.iso().unwrap_or_else(|| String::from("a time long ago"));
            return Err(Error::invalid(format!(
                "expiresAt is {given}, before 2001: a Date takes milliseconds, not seconds (new Date(seconds * 1000))"
            )));
        }
        if self.settings.late_retention.is_zero() {
            return Err(Error::new(Kind::AlreadyExpired, "expiresAt has passed and lateRetentionMs is 0"));
        }
        Ok(now.plus(u64::try_from(self.settings.late_retention.as_millis()).unwrap_or(u64::MAX)))
    }
}

/// A call that takes an id alone.
fn of_id(call: Call, id: &str) -> Result<Step> {
    check_id(id)?;
    let id = id.into();
    Ok(Step::Payload(match call {
        Call::Get | Call::Find => Work::Read(Read::Find { id }),
        Call::Has => Work::Read(Read::Has { id }),
        Call::Delete => Work::Write(Write::Delete { id }),
        _ => return Err(other_arguments()),
    }))
}

fn other_arguments() -> Error {
    Error::invalid("the operation takes other arguments")
}
