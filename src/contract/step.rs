//! One operation on one record, of any kind, and what it answers.

use bytes::Bytes;

use super::dynamic::Dynamic;
use super::executions::record::{Execution, Shows};
use super::executions::{ExecutionStep, ExecutionWrite};
use super::inbox::{InboxStep, InboxWrite};
use super::moving::MovingStep;
use super::operation::Work;
use super::outbox::{Insertion, OutboxStep, OutboxWrite};
use super::payloads::{PayloadStep, Write};
use super::states::{FoundState, OneState, StateStep, StateWrite};
use crate::error::{Error, Kind};

/// One operation on one record, of any kind.
#[derive(Clone, Debug)]
pub enum Step {
    /// On a payload.
    Payload(PayloadStep),
    /// On saga state.
    State(StateStep),
    /// On an execution.
    Execution(ExecutionStep),
    /// On the outbox.
    Outbox(OutboxStep),
    /// On the inbox.
    Inbox(InboxStep),
    /// On whole records.
    Moving(MovingStep),
}

/// How a transaction that is only sent at its end (MULTI, TransactWriteItems) can carry a step.
#[derive(Clone, Copy, Debug)]
pub enum Queued<'a> {
    /// As it is.
    Blind(&'a Write),
    /// With a condition on what is stored, which is judged at the end.
    Conditional(&'a StateWrite),
    /// The same, of an execution.
    Execution(&'a ExecutionWrite),
    /// Events that nobody has from the beginning on.
    Outbox(&'a Insertion),
    /// An entry that is accepted, on the condition that it is new, or removed.
    Inbox(&'a InboxWrite),
    /// Not at all: somebody waits for its answer.
    No,
}

impl Step {
    /// The record.
    pub fn id(&self) -> &str {
        match self {
            Self::Payload(step) => step.id(),
            Self::State(step) => step.id(),
            Self::Execution(step) => step.id(),
            Self::Outbox(step) => step.id(),
            Self::Inbox(step) => step.id(),
            Self::Moving(step) => step.id(),
        }
    }

    /// What errors name.
    pub fn subject(&self) -> &str {
        match self {
            Self::Payload(step) => step.subject(),
            Self::State(step) => step.subject(),
            Self::Execution(step) => step.subject(),
            Self::Outbox(step) => step.subject(),
            Self::Inbox(step) => step.subject(),
            Self::Moving(step) => step.subject(),
        }
    }

    /// Whether doing it twice gives the same answer as doing it once.
    pub fn may_repeat(&self) -> bool {
        match self {
            Self::Payload(step) => step.may_repeat(),
            Self::State(step) => step.may_repeat(),
            Self::Execution(step) => step.may_repeat(),
            Self::Outbox(step) => step.may_repeat(),
            Self::Inbox(step) => step.may_repeat(),
            Self::Moving(step) => step.may_repeat(),
        }
    }

    /// How a transaction that is only sent at its end can carry it.
    pub fn queued(&self) -> Queued<'_> {
        match self {
            Self::Payload(Work::Write(write @ (Write::Put { .. } | Write::Delete { .. }))) => Queued::Blind(write),
            Self::Execution(Work::Write(write)) if write.is_of_one() => Queued::Execution(write),
            Self::Outbox(Work::Write(OutboxWrite::Insert(insertion))) if insertion.lease.is_none() => {
                Queued::Outbox(insertion)
            }
            Self::Inbox(Work::Write(write @ (InboxWrite::Accept { .. } | InboxWrite::Forget { .. }))) => {
                Queued::Inbox(write)
            }
            Self::Payload(_)
            | Self::Execution(_)
            | Self::Outbox(_)
            | Self::Inbox(_)
            | Self::Moving(_)
            | Self::State(
                Work::Read(_) | Work::Write(StateWrite::DeleteCompleted { .. } | StateWrite::ClaimTimedOut(_)),
            ) => Queued::No,
            Self::State(Work::Write(write)) => Queued::Conditional(write),
        }
    }
}

/// The error of a step that a transaction that is only sent at its end cannot carry.
pub fn not_queueable(step: &Step) -> Error {
    let what = match step {
        Step::Payload(Work::Read(_)) => "nothing can be read",
        Step::Payload(Work::Write(_)) => "whether the payload exists cannot be told",
        Step::State(Work::Read(_)) => "saga state cannot be read",
        Step::State(Work::Write(_)) => "this cannot be done to saga state",
        Step::Execution(Work::Read(_)) => "executions cannot be read",
        Step::Execution(Work::Write(_)) => "this cannot be done to executions",
        Step::Outbox(_) => "of the outbox only insert, without a claim, is possible",
        Step::Inbox(_) => "of the inbox only accept and forget are possible",
        Step::Moving(_) => "whole records are not moved",
    };
    let message = format!(
        "this transaction is only sent at its end: {what} in it (put, delete and conditional changes can be queued)"
    );
    Error::new(Kind::Unsupported, message).with_id(step.subject())
}

/// What an operation answers.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// It is done.
    Done,
    /// Whether the payload existed.
    Flag(bool),
    /// The payload, if it exists. The bytes are the caller's alone: no other answer, nor the
    /// backend, reads or writes the same memory.
    Data(Option<Bytes>),
    /// The payloads of a `getMany`, in the order asked for.
    Many(Vec<Option<Bytes>>),
    /// A count.
    Count(u64),
    /// A saga's state, if there is one.
    State(Option<OneState>),
    /// Several states.
    States(Vec<FoundState>),
    /// Of an operation on executions: what TypeScript reads.
    Value(Dynamic),
}

impl Reply {
    /// One execution, or null.
    pub fn execution(found: Option<Execution>, shows: Shows) -> Self {
        Self::Value(found.map_or(Dynamic::Null, |execution| execution.into_dynamic(shows)))
    }

    /// Several executions.
    pub fn executions(found: Vec<Execution>, shows: Shows) -> Self {
        let found = found.into_iter().map(|execution| execution.into_dynamic(shows));
        Self::Value(Dynamic::List(found.collect()))
    }

    /// Several ids.
    pub fn ids(ids: impl IntoIterator<Item = Box<str>>) -> Self {
        Self::Value(Dynamic::List(ids.into_iter().map(|id| Dynamic::Text(id.into())).collect()))
    }
}
