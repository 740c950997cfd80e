//! The inbox: which messages a consumer has applied.
//!
//! - An entry has a consumer and a message id; entries of two consumers have nothing to do with each other.
//! - Of several who accept the same entry at once, one is told that it is new.
//! - An entry lives until its time is over; then it does not exist.

use super::arguments::Arguments;
use super::dynamic::Dynamic;
use super::lease::random;
use super::operation::{Access, Group, Operation, RecordKind, Work};
use super::operations::Call;
#[allow(unused_imports)] // Named in the documentation.
use super::step::Reply;
use crate::error::{Error, Kind, Result};

/// The longest name of a consumer, in bytes of UTF-8.
const MAX_CONSUMER_BYTES: usize = 255;

/// The longest id of a message, in bytes of UTF-8.
const MAX_MESSAGE_BYTES: usize = 512;

/// How long an entry may live, in milliseconds: a hundred years.
const MAX_TTL_MS: i64 = 3_153_600_000_000;

/// A consumer's message.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    /// The consumer's name: 1 to 255 bytes of UTF-8, no NUL.
    pub consumer: Box<str>,
    /// The message's id: 1 to 512 bytes of UTF-8, no NUL.
    pub message: Box<str>,
    /// Both, for lanes and errors: the consumer, NUL, the message.
    pub key: Box<str>,
}

/// A change of the inbox. What it was given is valid.
#[derive(Clone, Debug)]
pub enum InboxWrite {
    /// Stores an entry, unless it is there. Replies [`Reply::Flag`]: whether it was new. The same operation again
    /// answers the same again. Where a transaction is only sent at its end, an entry that is there has it fail with
    /// `ALREADY_EXISTS`, and the reply is true.
    Accept {
        /// Which.
        entry: Entry,
        /// How long it lives.
        ttl_ms: u64,
        /// Tells a repetition from another one; stored.
        operation: Box<str>,
    },
    /// Removes an entry. Replies [`Reply::Flag`]: whether it was there.
    Forget {
        /// Which.
        entry: Entry,
    },
    /// Removes entries whose time is over. Replies [`Reply::Count`]; fewer than `limit` means that there are no more.
    Cleanup {
        /// At most [`super::arguments::MAX_LISTED`].
        limit: u64,
    },
}

/// A question about the inbox. What it was given is valid.
#[derive(Clone, Debug)]
pub enum InboxRead {
    /// Whether an entry is there. Replies [`Reply::Flag`].
    Has {
        /// Which.
        entry: Entry,
    },
}

impl Operation for InboxWrite {
    const KIND: RecordKind = RecordKind::Inbox;
    const ACCESS: Access = Access::Write;
    const ORDERED: bool = true;

    fn id(&self) -> &str {
        match self {
            Self::Accept { entry, .. } | Self::Forget { entry } => &entry.key,
            Self::Cleanup { .. } => "\0cleanup",
        }
    }

    fn subject(&self) -> &str {
        match self {
            Self::Accept { entry, .. } | Self::Forget { entry } => &entry.message,
            Self::Cleanup { .. } => self.id(),
        }
    }

    fn bytes(&self) -> usize {
        self.id().len()
    }

    fn may_repeat(&self) -> bool {
        true
    }

    fn group(group: &[Self]) -> Group<'_> {
        Group::Inbox(Work::Write(group))
    }
}

impl Operation for InboxRead {
    const KIND: RecordKind = RecordKind::Inbox;
    const ACCESS: Access = Access::Read;
    const ORDERED: bool = false;

    fn id(&self) -> &str {
        let Self::Has { entry } = self;
        &entry.key
    }

    fn subject(&self) -> &str {
        let Self::Has { entry } = self;
        &entry.message
    }

    fn bytes(&self) -> usize {
        0
    }

    fn may_repeat(&self) -> bool {
        true
    }

    fn group(group: &[Self]) -> Group<'_> {
        Group::Inbox(Work::Read(group))
    }
}

/// An operation on the inbox.
pub type InboxStep = Work<InboxWrite, InboxRead>;

/// Reads and checks what a call on the inbox was given.
pub fn step(call: Call, given: Vec<Dynamic>) -> Result<InboxStep> {
    let mut given = Arguments::new(given);
    if call == Call::InboxCleanup {
        let mut fields = given.fields()?;
        let limit = fields.limit()?;
        fields.finish()?;
        return Ok(InboxStep::Write(InboxWrite::Cleanup { limit }));
    }
    let entry = entry(&mut given)?;
    let mut fields = given.fields()?;
    let ttl_ms = fields.whole("ttlMs", 1, MAX_TTL_MS)?;
    fields.finish()?;
    Ok(match call {
        Call::InboxHas => InboxStep::Read(InboxRead::Has { entry }),
        Call::InboxForget => InboxStep::Write(InboxWrite::Forget { entry }),
        _ => {
            let ttl_ms = ttl_ms.ok_or_else(|| Error::invalid("ttlMs is missing"))?;
            InboxStep::Write(InboxWrite::Accept {
                entry,
                ttl_ms: u64::try_from(ttl_ms).unwrap_or(1),
                operation: random(),
            })
        }
    })
}

fn entry(given: &mut Arguments) -> Result<Entry> {
    Entry::new(&given.text("consumer")?, &given.text("messageId")?)
}

impl Entry {
    /// Checks both.
    pub fn new(consumer: &str, message: &str) -> Result<Self> {
        check("consumer", consumer, MAX_CONSUMER_BYTES)?;
        check("messageId", message, MAX_MESSAGE_BYTES)?;
        let key = format!("{consumer}\0{message}").into();
        Ok(Self { consumer: consumer.into(), message: message.into(), key })
    }
}

fn check(what: &str, text: &str, longest: usize) -> Result<()> {
    if text.is_empty() || text.len() > longest || text.contains('\0') {
        return Err(Error::invalid(format!("{what} must have 1 to {longest} bytes of UTF-8, none of them NUL")));
    }
    Ok(())
}

/// `ALREADY_EXISTS`: the entry is there, and a transaction that is only sent at its end expected that it is not.
pub fn accepted_before(entry: &Entry) -> Error {
    let message = format!("consumer '{}' has accepted the message before", entry.consumer);
    Error::new(Kind::AlreadyExists, message).with_id(&entry.message)
}
