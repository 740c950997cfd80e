//! The claim check: payload operations as data, and the contract that every backend keeps.
//!
//! - A write that has succeeded is stored whole; a read that follows sees it.
//! - `Put` on an existing id replaces data and expiry together.
//! - Bytes come back as they went in, none of them included.
//! - An expired payload does not exist: `Find` gives `None`, `Has`, `Delete` and `Touch` false.
//! - Writes of one id take effect in the order in which they stand in a group.

use bytes::Bytes;

use super::operation::{Access, Group, Operation, RecordKind, Work};
#[allow(unused_imports)] // Named in the documentation.
use super::step::Reply;
use crate::time::Millis;

/// An operation on a payload.
pub type PayloadStep = Work<Write, Read>;

/// A change of one payload. Ids are valid (see [`super::operation::check_id`]) and sizes within the limit.
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

impl Operation for Write {
    const KIND: RecordKind = RecordKind::Payloads;
    const ACCESS: Access = Access::Write;
    const ORDERED: bool = true;

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

    fn group(group: &[Self]) -> Group<'_> {
        Group::Payloads(Work::Write(group))
    }
}

impl Operation for Read {
    const KIND: RecordKind = RecordKind::Payloads;
    const ACCESS: Access = Access::Read;
    const ORDERED: bool = false;

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

    fn group(group: &[Self]) -> Group<'_> {
        Group::Payloads(Work::Read(group))
    }
}
