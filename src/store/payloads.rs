//! The claim check: payload operations as data, and the contract that every backend keeps.
//!
//! - A write that has succeeded is stored whole; a read that follows sees it.
//! - `Put` on an existing id replaces data and expiry together.
//! - Bytes come back as they went in, none of them included.
//! - An expired payload does not exist: `Find` gives `None`, `Has`, `Delete` and `Touch` false.
//! - Writes of one id take effect in the order in which they stand in a group.

use bytes::Bytes;

use super::states::FoundState;
use super::transcode::Transcoder;
use super::{Driver, Task};
use crate::error::{Error, Result};
use crate::time::Millis;

/// The longest id, in bytes of UTF-8.
pub const MAX_ID_BYTES: usize = 1_024;

/// A change of one payload. Ids are valid (see [`check_id`]) and sizes within the limit.
#[derive(Clone, Debug)]
pub enum Write {
    /// Stores `data` under `id` until `expires_at` (in the future), or until deleted.
    /// Replies [`Reply::Done`].
    Put {
        /// The claim id.
        id: Box<str>,
        /// The payload.
        data: Bytes,
        /// When it ceases to exist.
        expires_at: Option<Millis>,
    },
    /// Removes a payload. Replies [`Reply::Flag`]: whether it existed.
    Delete {
        /// The claim id.
        id: Box<str>,
    },
    /// Sets another expiry (in the future). Replies [`Reply::Flag`]: whether it existed.
    Touch {
        /// The claim id.
        id: Box<str>,
        /// When it ceases to exist.
        expires_at: Millis,
    },
}

/// A question about one payload.
#[derive(Clone, Debug)]
pub enum Read {
    /// The bytes. Replies [`Reply::Data`].
    Find {
        /// The claim id.
        id: Box<str>,
    },
    /// Whether it exists. Replies [`Reply::Flag`].
    Has {
        /// The claim id.
        id: Box<str>,
    },
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

/// What a lane needs to know of the operations that wait in it.
pub trait Operation: Send + Sync + 'static {
    /// Whether two operations of one id must not be under way at once.
    const ORDERED: bool;

    /// Whether operations change anything.
    const WRITES: bool;

    /// The id.
    fn id(&self) -> &str;

    /// Its share of a group's byte budget.
    fn bytes(&self) -> usize;

    /// Whether doing it twice gives the same answer as doing it once.
    fn may_repeat(&self) -> bool;

    /// Runs a group; one result per member, in order.
    fn run<'a>(driver: &'a dyn Driver, transcoder: &'a Transcoder, group: &'a [Self]) -> Task<'a, Vec<Result<Reply>>>
    where
        Self: Sized;
}

impl Operation for Write {
    const ORDERED: bool = true;
    const WRITES: bool = true;

    fn id(&self) -> &str {
        match self {
            Self::Put { id, .. } | Self::Delete { id } | Self::Touch { id, .. } => id,
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Put { id, data, .. } => id.len() + data.len(),
            Self::Delete { id } | Self::Touch { id, .. } => id.len(),
        }
    }

    /// A delete whose answer was lost would answer `false` the second time.
    fn may_repeat(&self) -> bool {
        !matches!(self, Self::Delete { .. })
    }

    fn run<'a>(driver: &'a dyn Driver, transcoder: &'a Transcoder, group: &'a [Self]) -> Task<'a, Vec<Result<Reply>>> {
        Box::pin(transcoder.write(driver, group))
    }
}

impl Operation for Read {
    const ORDERED: bool = false;
    const WRITES: bool = false;

    fn id(&self) -> &str {
        match self {
            Self::Find { id } | Self::Has { id } => id,
        }
    }

    fn bytes(&self) -> usize {
        0
    }

    fn may_repeat(&self) -> bool {
        true
    }

    fn run<'a>(driver: &'a dyn Driver, transcoder: &'a Transcoder, group: &'a [Self]) -> Task<'a, Vec<Result<Reply>>> {
        Box::pin(transcoder.read(driver, group))
    }
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
