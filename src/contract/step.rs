//! One operation on one record, of any kind, and what it answers.

use bytes::Bytes;

use super::operation::Work;
use super::payloads::{PayloadStep, Write};
use super::states::{FoundState, StateStep, StateWrite};
use crate::error::{Error, Kind};

/// One operation on one record, of any kind.
#[derive(Clone, Debug)]
pub enum Step {
    /// On a payload.
    Payload(PayloadStep),
    /// On saga state.
    State(StateStep),
}

/// How a transaction that is only sent at its end (MULTI, TransactWriteItems) can carry a step.
#[derive(Clone, Copy, Debug)]
pub enum Queued<'a> {
    /// As it is.
    Blind(&'a Write),
    /// With a condition on what is stored, which is judged at the end.
    Conditional(&'a StateWrite),
    /// Not at all: somebody waits for its answer.
    No,
}

impl Step {
    /// The record.
    pub fn id(&self) -> &str {
        match self {
            Self::Payload(step) => step.id(),
            Self::State(step) => step.id(),
        }
    }

    /// Whether doing it twice gives the same answer as doing it once.
    pub fn may_repeat(&self) -> bool {
        match self {
            Self::Payload(step) => step.may_repeat(),
            Self::State(step) => step.may_repeat(),
        }
    }

    /// How a transaction that is only sent at its end can carry it.
    pub fn queued(&self) -> Queued<'_> {
        match self {
            Self::Payload(Work::Write(write @ (Write::Put { .. } | Write::Delete { .. }))) => Queued::Blind(write),
            Self::Payload(_)
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
    };
    let message = format!("this transaction is only sent at its end: {what} in it (put and delete can be queued)");
    Error::new(Kind::Unsupported, message).with_id(step.id())
}

/// What an operation answers.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// The JSON of a saga's state, if there is one.
    State(Option<String>),
    /// Several states.
    States(Vec<FoundState>),
}
