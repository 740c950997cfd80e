//! What a lane has to know of the operations that wait in it, and groups of them.

use std::collections::HashMap;

use super::executions::{ExecutionRead, ExecutionWrite};
use super::inbox::{InboxRead, InboxWrite};
use super::moving::{MovingRead, MovingWrite};
use super::outbox::{OutboxRead, OutboxWrite};
use super::payloads::{Read, Write};
use super::states::{StateRead, StateWrite};
use crate::error::{Error, Result};

/// The longest id, in bytes of UTF-8.
pub const MAX_ID_BYTES: usize = 1_024;

/// What a store keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordKind {
    /// The claim check.
    Payloads,
    /// Saga state.
    States,
    /// The execution log.
    Executions,
    /// Events that are published later.
    Outbox,
    /// Messages that have been applied.
    Inbox,
    /// Whole records of any of the others, on their way out or in.
    Moving,
}

impl RecordKind {
    /// As `ts/operations.ts` has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Payloads => "payloads",
            Self::States => "states",
            Self::Executions => "executions",
            Self::Outbox => "outbox",
            Self::Inbox => "inbox",
            Self::Moving => "moving",
        }
    }
}

/// Whether operations change anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// They do not.
    Read,
    /// They do.
    Write,
}

/// A change of a kind's records, or a question about them.
#[derive(Clone, Copy, Debug)]
pub enum Work<W, R> {
    /// A change.
    Write(W),
    /// A question.
    Read(R),
}

/// What a lane needs to know of the operations that wait in it.
pub trait Operation: Send + Sync + 'static {
    /// The kind of records.
    const KIND: RecordKind;

    /// Whether operations change anything.
    const ACCESS: Access;

    /// Whether two operations of one id must not be under way at once.
    const ORDERED: bool;

    /// The id. Operations that have none have a name that begins with NUL: of those of one name, one is under way.
    fn id(&self) -> &str;

    /// What errors name: the id, unless it is about several records, or the id is not what the caller knows.
    fn subject(&self) -> &str {
        self.id()
    }

    /// Its turn, if it is a claim: where claims look before they take ([`super::driver::Driver::looks_before_claims`]),
    /// of those of one turn one is under way. A name that begins with NUL.
    fn turn(&self) -> Option<&'static str> {
        None
    }

    /// Its share of a group's byte budget.
    fn bytes(&self) -> usize;

    /// Whether doing it twice gives the same answer as doing it once.
    fn may_repeat(&self) -> bool;

    /// Several of them, for a driver.
    fn group(group: &[Self]) -> Group<'_>
    where
        Self: Sized;
}

impl<W: Operation, R: Operation> Work<W, R> {
    /// What it is about.
    pub fn id(&self) -> &str {
        match self {
            Self::Write(write) => write.id(),
            Self::Read(read) => read.id(),
        }
    }

    /// What errors name.
    pub fn subject(&self) -> &str {
        match self {
            Self::Write(write) => write.subject(),
            Self::Read(read) => read.subject(),
        }
    }

    /// Whether doing it twice gives the same answer as doing it once.
    pub fn may_repeat(&self) -> bool {
        match self {
            Self::Write(write) => write.may_repeat(),
            Self::Read(read) => read.may_repeat(),
        }
    }
}

/// Operations of one kind that a driver runs together; each is valid.
#[derive(Clone, Copy, Debug)]
pub enum Group<'a> {
    /// The claim check.
    Payloads(Work<&'a [Write], &'a [Read]>),
    /// Saga state.
    States(Work<&'a [StateWrite], &'a [StateRead]>),
    /// The execution log.
    Executions(Work<&'a [ExecutionWrite], &'a [ExecutionRead]>),
    /// Events that are published later.
    Outbox(Work<&'a [OutboxWrite], &'a [OutboxRead]>),
    /// Messages that have been applied.
    Inbox(Work<&'a [InboxWrite], &'a [InboxRead]>),
    /// Whole records.
    Moving(Work<&'a [MovingWrite], &'a [MovingRead]>),
}

/// The places of a group's changes, those of one saga together in their order: other chains may be
/// under way beside them.
pub fn chains<O: Operation>(group: &[O]) -> Vec<Vec<usize>> {
    chains_by(group, O::id)
}

/// The same, where claims look before they take: they are one chain.
pub fn chains_with_turns<O: Operation>(group: &[O]) -> Vec<Vec<usize>> {
    chains_by(group, |operation| operation.turn().unwrap_or_else(|| operation.id()))
}

fn chains_by<'a, O: Operation>(group: &'a [O], name: impl Fn(&'a O) -> &'a str) -> Vec<Vec<usize>> {
    let mut chains: Vec<Vec<usize>> = Vec::with_capacity(group.len());
    let mut chain_of: HashMap<&str, usize> = HashMap::with_capacity(group.len());
    for (at, write) in group.iter().enumerate() {
        let chain = *chain_of.entry(name(write)).or_insert(chains.len());
        if chain == chains.len() {
            chains.push(Vec::new());
        }
        chains[chain].push(at);
    }
    chains
}

/// Refuses ids that some backend could not keep: the rules are the same on all of them.
pub fn check_id(id: &str) -> Result<()> {
    if id.is_empty() {
        return Err(Error::invalid("id must not be empty"));
    }
    if id.len() > MAX_ID_BYTES {
        return Err(Error::invalid(format!("id is {} bytes long; the limit is {MAX_ID_BYTES}", id.len())));
    }
    if id.contains('\0') {
        return Err(Error::invalid("id must not contain a NUL character"));
    }
    Ok(())
}
