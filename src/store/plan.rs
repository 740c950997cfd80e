//! One call of the caller's as steps, for where there are no lanes: in a transaction, and on
//! clients of the application. Each step is run for itself, one after the other.

use bytes::Bytes;

use super::dynamic::Dynamic;
use super::payloads::{Operation, Read, Reply, Write};
use super::states::{StateStep, StateWrite};
use crate::error::{Error, Kind, Result};
use crate::time::Millis;

/// The operations of the caller's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// `put`
    Put,
    /// `get`
    Get,
    /// `find`
    Find,
    /// `has`
    Has,
    /// `delete`
    Delete,
    /// `touch`
    Touch,
    /// `putMany`
    PutMany,
    /// `getMany`
    GetMany,
    /// `states.getById`
    StateById,
    /// `states.getByCorrelationId`
    StateByCorrelation,
    /// `states.insert`
    StateInsert,
    /// `states.update`
    StateUpdate,
    /// `states.delete`
    StateDelete,
    /// `states.deleteByCorrelationId`
    StateDeleteByCorrelation,
    /// `states.findByName`
    StateList,
    /// `states.countByName`
    StateCount,
    /// `states.deleteCompletedBefore`
    StateDeleteCompleted,
    /// `states.findTimedOut`
    StateTimedOut,
    /// `states.claimTimedOut`
    StateClaimTimedOut,
}

impl Call {
    /// Their names in errors, logs and statistics, in the order of the variants.
    pub const NAMES: [&'static str; 19] = [
        "put",
        "get",
        "find",
        "has",
        "delete",
        "touch",
        "putMany",
        "getMany",
        "states.getById",
        "states.getByCorrelationId",
        "states.insert",
        "states.update",
        "states.delete",
        "states.deleteByCorrelationId",
        "states.findByName",
        "states.countByName",
        "states.deleteCompletedBefore",
        "states.findTimedOut",
        "states.claimTimedOut",
    ];

    const ALL: [Self; Self::NAMES.len()] = [
        Self::Put,
        Self::Get,
        Self::Find,
        Self::Has,
        Self::Delete,
        Self::Touch,
        Self::PutMany,
        Self::GetMany,
        Self::StateById,
        Self::StateByCorrelation,
        Self::StateInsert,
        Self::StateUpdate,
        Self::StateDelete,
        Self::StateDeleteByCorrelation,
        Self::StateList,
        Self::StateCount,
        Self::StateDeleteCompleted,
        Self::StateTimedOut,
        Self::StateClaimTimedOut,
    ];

    /// The name.
    pub const fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }

    /// Whether it is about saga state.
    pub const fn is_on_states(self) -> bool {
        self as usize >= Self::StateById as usize
    }

    /// The operation of this number, as the binding counts them.
    pub fn numbered(number: u32) -> Option<Self> {
        Self::ALL.get(usize::try_from(number).ok()?).copied()
    }
}

/// What a call was given, not checked yet.
#[derive(Clone, Debug)]
pub enum Given {
    /// One id.
    Id(String),
    /// A payload.
    Payload(String, Bytes, Option<Millis>),
    /// An id and its new expiry.
    Expiry(String, Millis),
    /// Several payloads.
    Payloads(Vec<(String, Bytes, Option<Millis>)>),
    /// Several ids.
    Ids(Vec<String>),
    /// What a call on states takes, in the order in which `ts/states.ts` gives it.
    State(Vec<Dynamic>),
}

/// One operation on one record, of any kind. Executions and outbox events join here.
#[derive(Clone, Debug)]
pub enum Step {
    /// A change of a payload.
    Write(Write),
    /// A question about a payload.
    Read(Read),
    /// A change of saga state, or a question about it.
    State(StateStep),
}

impl Step {
    /// The record.
    pub fn id(&self) -> &str {
        match self {
            Self::Write(write) => write.id(),
            Self::Read(read) => read.id(),
            Self::State(step) => step.id(),
        }
    }

    /// Whether doing it twice gives the same answer as doing it once.
    pub fn may_repeat(&self) -> bool {
        match self {
            Self::Write(write) => write.may_repeat(),
            Self::Read(read) => read.may_repeat(),
            Self::State(step) => step.may_repeat(),
        }
    }

    /// The change of saga state that it is, if it can be decided at the end of a transaction whether it holds.
    pub fn as_guarded(&self) -> Option<&StateWrite> {
        match self {
            Self::State(StateStep::Write(StateWrite::DeleteCompleted { .. } | StateWrite::ClaimTimedOut(_))) => None,
            Self::State(StateStep::Write(write)) => Some(write),
            _ => None,
        }
    }

    /// Whether it can be collected and sent later, when nobody waits for an answer any more.
    pub fn needs_no_answer(&self) -> bool {
        matches!(self, Self::Write(Write::Put { .. } | Write::Delete { .. }))
    }
}

/// The error of a step that a buffered transaction (MULTI, TransactWriteItems) cannot carry.
pub fn needs_an_answer(step: &Step) -> Error {
    let what = match step {
        Step::Read(_) => "nothing can be read",
        Step::Write(_) => "whether the payload exists cannot be told",
        Step::State(StateStep::Read(_)) => "saga state cannot be read",
        Step::State(StateStep::Write(_)) => "this cannot be done to saga state",
    };
    let message = format!("this transaction is only sent at its end: {what} in it (put and delete can be queued)");
    Error::new(Kind::Unsupported, message).with_id(step.id())
}

/// A call, checked.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Which call it is.
    pub call: Call,
    /// What it consists of.
    pub steps: Vec<Step>,
}

impl Plan {
    /// The call's answer, of those of its steps.
    pub fn answer(&self, mut replies: Vec<Reply>) -> Result<Reply> {
        match self.call {
            Call::PutMany => Ok(Reply::Done),
            Call::GetMany => {
                let data = |reply| if let Reply::Data(data) = reply { data } else { None };
                Ok(Reply::Many(replies.into_iter().map(data).collect()))
            }
            Call::Get => match replies.pop() {
                Some(Reply::Data(None)) | None => {
                    let id = self.steps.first().map_or("", Step::id);
                    Err(Error::new(Kind::NotFound, "not found: no payload has this id").with_id(id))
                }
                Some(reply) => Ok(reply),
            },
            _ => Ok(replies.pop().unwrap_or(Reply::Done)),
        }
    }
}
