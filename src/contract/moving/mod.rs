//! Whole records, as they are stored, on their way out of a store or into one. The contract that every backend keeps.
//!
//! - A record is one payload, saga, execution with its log, event, or entry of the inbox, with all that is kept of it:
//!   bytes as they are stored, versions, statuses, dates, leases, tokens.
//! - A scan answers what is stored, page by page, also what has expired and is still there. It holds nothing open
//!   between pages and blocks nobody. What is stored from its beginning to its end is answered at least once (Redis may
//!   answer a record twice); what comes or goes meanwhile may be answered or not. Events are answered in their order.
//! - An import stores a record as it is. It is a write of its own: no version is counted, no expiry is moved, no
//!   compression is undone. A record is stored whole, with all that finds it, or not at all.
//! - Events keep their order, not their numbers: each is stored at the end of the queue.
//! - No record fails because of another one.

pub mod given;
pub mod record;

use bytes::Bytes;

use super::dynamic::Dynamic;
use super::named::named;
use super::operation::{Access, Group, Operation, RecordKind, Work};
use super::step::Reply;
use crate::codec::compression;
use crate::error::{Error, Kind};
use crate::time::Millis;
use record::{Body, Key, Payload, Record};

named! {
    /// What a store's records are moved by: those of one kind at a time.
    Moved "kind" {
        /// Claim checks.
        Payloads "payloads",
        /// Saga state.
        States "states",
        /// Executions, with their logs.
        Executions "executions",
        /// Events.
        Outbox "outbox",
        /// Messages that were accepted.
        Inbox "inbox",
    }
}

impl Moved {
    /// What the store keeps them as.
    pub const fn records(self) -> RecordKind {
        match self {
            Self::Payloads => RecordKind::Payloads,
            Self::States => RecordKind::States,
            Self::Executions => RecordKind::Executions,
            Self::Outbox => RecordKind::Outbox,
            Self::Inbox => RecordKind::Inbox,
        }
    }
}

/// What becomes of a record whose id the target has already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conflict {
    /// What is there stays.
    Skip,
    /// It is replaced as a whole.
    Overwrite,
    /// The record is refused with `ALREADY_EXISTS`.
    Refuse,
    /// It is replaced if the record is newer: see [`Record::is_newer_than`].
    Newer,
}

impl Conflict {
    /// Whether `record` takes the place of `stored`; an error where that is refused.
    pub fn replaces(self, record: &Record, stored: &Record) -> crate::error::Result<bool> {
        match self {
            Self::Skip => Ok(false),
            Self::Overwrite => Ok(true),
            Self::Refuse => Err(record.taken()),
            Self::Newer => Ok(record.is_newer_than(stored)),
        }
    }
}

/// What became of a record.
#[derive(Clone, Debug)]
pub enum Fate {
    /// It is stored.
    Stored,
    /// The target had its id, and keeps what it has.
    Skipped,
    /// Its time is over: it is not stored.
    Expired,
    /// It cannot be stored.
    Refused(Error),
}

impl From<crate::error::Result<bool>> for Fate {
    /// Of whether it was stored.
    fn from(stored: crate::error::Result<bool>) -> Self {
        match stored {
            Ok(true) => Self::Stored,
            Ok(false) => Self::Skipped,
            Err(error) => Self::Refused(error),
        }
    }
}

/// Records of one kind that are to be stored.
#[derive(Clone, Debug)]
pub struct Import {
    /// Their kind.
    pub kind: Moved,
    /// They are valid, have not expired, and fit the backend. No two of them have the same key.
    pub records: Vec<Record>,
    /// What becomes of those whose id is taken.
    pub conflict: Conflict,
    /// The fates of all records that were given; none for those that are in `records`, in their order.
    decided: Vec<Option<Fate>>,
}

impl Import {
    /// Of records that are to be stored, and of those whose fate is known.
    pub fn new(kind: Moved, conflict: Conflict, given: Vec<Result<Record, Fate>>) -> Self {
        let (mut records, mut decided) = (Vec::with_capacity(given.len()), Vec::with_capacity(given.len()));
        for record in given {
            match record {
                Ok(record) => {
                    records.push(record);
                    decided.push(None);
                }
                Err(fate) => decided.push(Some(fate)),
            }
        }
        Self { kind, records, conflict, decided }
    }

    /// The answer, of the fates of [`Self::records`] in their order.
    pub fn reply(&self, fates: Vec<Fate>) -> Reply {
        let mut fates = fates.into_iter();
        let fates = self.decided.iter().map(|decided| match decided {
            Some(fate) => fate.clone(),
            None => fates.next().unwrap_or(Fate::Skipped),
        });
        Reply::Value(Dynamic::List(fates.map(Fate::into_dynamic).collect()))
    }
}

impl Fate {
    /// As `ts/moving/records.ts` reads it.
    fn into_dynamic(self) -> Dynamic {
        match self {
            Self::Stored => Dynamic::text("stored"),
            Self::Skipped => Dynamic::text("skipped"),
            Self::Expired => Dynamic::text("expired"),
            Self::Refused(error) => Dynamic::map([
                ("code", Dynamic::text(error.kind().code())),
                ("message", Dynamic::text(error.message())),
                ("retryable", Dynamic::Bool(error.is_retryable())),
            ]),
        }
    }
}

/// Stores records.
#[derive(Clone, Debug)]
pub enum MovingWrite {
    /// Stores records. Replies their fates: see [`Import::reply`]. An error is one of the whole: some of them may be
    /// stored.
    Import(Box<Import>),
}

impl MovingWrite {
    /// Of which kind the records are.
    pub const fn kind(&self) -> Moved {
        let Self::Import(import) = self;
        import.kind
    }
}

/// Looks at records.
#[derive(Clone, Debug)]
pub enum MovingRead {
    /// A page of what is stored. Replies [`Page`].
    Scan {
        /// Of which kind.
        kind: Moved,
        /// What the page before ended with: the backend's own text. `INVALID_ARGUMENT` if it is no page's.
        after: Option<Box<str>>,
        /// At most [`super::arguments::MAX_LISTED`]; a page may have fewer, also none, although it is not the last.
        limit: u64,
        /// About so many bytes in a page, but at least one record.
        max_bytes: u64,
        /// Without the bytes of payloads: only how many there are.
        only_sizes: bool,
    },
    /// The records of these keys. Replies a list: a record each, or null.
    Fetch {
        /// Of which kind.
        kind: Moved,
        /// At most [`super::arguments::MAX_LISTED`].
        keys: Vec<Key>,
    },
    /// A page of payloads without their bytes, in the order of their ids where the backend has one. Replies [`Page`].
    /// Those that have expired may be in it.
    List {
        /// What their ids begin with, byte for byte.
        prefix: Box<str>,
        /// What the page before ended with: the backend's own text. `INVALID_ARGUMENT` if it is no page's.
        after: Option<Box<str>>,
        /// At most [`super::arguments::MAX_LISTED`]; a page may have fewer, although it is not the last.
        limit: u64,
    },
    /// What is known of a payload without reading it. Replies [`Stat`], or null.
    Stat {
        /// Its id.
        id: Box<str>,
        /// Also of one that has expired, and is still there.
        expired: bool,
    },
    /// How many there are. Replies [`Count`].
    Count {
        /// Of which kind.
        kind: Moved,
    },
}

impl MovingRead {
    /// Of which kind the records are.
    pub const fn kind(&self) -> Moved {
        match self {
            Self::Scan { kind, .. } | Self::Fetch { kind, .. } | Self::Count { kind } => *kind,
            Self::List { .. } | Self::Stat { .. } => Moved::Payloads,
        }
    }
}

/// A page of a scan.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// In the order of the backend.
    pub records: Vec<Record>,
    /// What cannot be read, and why: its key as text, and the error.
    pub unreadable: Vec<(String, String)>,
    /// What the next page begins behind; none: that was all.
    pub cursor: Option<String>,
}

impl Page {
    /// As `ts/moving/records.ts` reads it.
    pub fn into_reply(self) -> Reply {
        let unreadable =
            self.unreadable.into_iter().map(|(key, why)| Dynamic::List(vec![Dynamic::Text(key), Dynamic::Text(why)]));
        Reply::Value(Dynamic::map([
            ("records", Dynamic::List(self.records.into_iter().map(Record::into_dynamic).collect())),
            ("unreadable", Dynamic::List(unreadable.collect())),
            ("cursor", self.cursor.map_or(Dynamic::Null, Dynamic::Text)),
        ]))
    }
}

/// The answer to [`MovingRead::Fetch`].
pub fn fetched(records: Vec<Option<Record>>) -> Reply {
    let records = records.into_iter().map(|record| record.map_or(Dynamic::Null, Record::into_dynamic));
    Reply::Value(Dynamic::List(records.collect()))
}

/// Bytes of a payload's beginning that tell how it is stored.
pub const HEAD_BYTES: usize = 32;

/// What is known of a payload without reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Bytes as they are stored.
    pub bytes: u64,
    /// At most [`HEAD_BYTES`] of its beginning.
    pub head: Bytes,
    /// When it ceases to exist.
    pub expires_at: Option<Millis>,
}

impl Stat {
    /// Of a payload that was read as a whole.
    pub fn of(record: &Record) -> Option<Self> {
        let Record::Payload(Payload { body: Body::Whole(data), expires_at, .. }) = record else { return None };
        let head = Bytes::copy_from_slice(&data[..data.len().min(HEAD_BYTES)]);
        Some(Self { bytes: data.len() as u64, head, expires_at: *expires_at })
    }

    /// As `ts/kinds/payload-lists.ts` reads it; null of one that has expired, unless such ones are wanted.
    pub fn into_reply(stat: Option<Self>, expired: bool) -> Reply {
        let is_meant = |stat: &Self| expired || !has_expired(stat.expires_at, Millis::now());
        let Some(Self { bytes, head, expires_at }) = stat.filter(is_meant) else {
            return Reply::Value(Dynamic::Null);
        };
        let (is_compressed, original) = compression::outline(&head, bytes);
        let count = |count: u64| Dynamic::Int(i64::try_from(count).unwrap_or(i64::MAX));
        Reply::Value(Dynamic::map([
            ("bytes", count(bytes)),
            ("originalBytes", original.map_or(Dynamic::Null, count)),
            ("compressed", Dynamic::Bool(is_compressed)),
            ("expiresAt", expires_at.map_or(Dynamic::Null, Dynamic::Time)),
        ]))
    }
}

/// The first text that is behind all that begin with `prefix`, byte for byte; none: nothing is.
pub fn behind_prefix(prefix: &str) -> Option<String> {
    let mut chars: Vec<char> = prefix.chars().collect();
    while let Some(last) = chars.pop() {
        // Between these two are no characters.
        let next = if last == '\u{d7ff}' { Some('\u{e000}') } else { char::from_u32(u32::from(last) + 1) };
        if let Some(next) = next {
            chars.push(next);
            return Some(chars.into_iter().collect());
        }
    }
    None
}

/// How many records there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// How many.
    pub records: u64,
    /// Whether it is only about right.
    pub approximate: bool,
}

impl Count {
    /// As `ts/moving/records.ts` reads it.
    pub fn into_reply(self) -> Reply {
        Reply::Value(Dynamic::map([
            ("count", Dynamic::Int(i64::try_from(self.records).unwrap_or(i64::MAX))),
            ("approximate", Dynamic::Bool(self.approximate)),
        ]))
    }
}

/// Bytes of a page that are asked for where nothing is said: 8 MiB.
pub const PAGE_BYTES: u64 = 8 * 1024 * 1024;

impl Operation for MovingWrite {
    const KIND: RecordKind = RecordKind::Moving;
    const ACCESS: Access = Access::Write;
    const ORDERED: bool = true;

    /// Events are imported one batch after the other.
    fn id(&self) -> &str {
        let Self::Import(import) = self;
        match import.kind {
            Moved::Outbox => "\0import",
            _ => import.records.first().map_or("", Record::id),
        }
    }

    fn subject(&self) -> &'static str {
        "\0several"
    }

    fn bytes(&self) -> usize {
        let Self::Import(import) = self;
        import.records.iter().map(Record::bytes).sum()
    }

    /// A repetition meets itself where the id must be free.
    fn may_repeat(&self) -> bool {
        let Self::Import(import) = self;
        import.conflict != Conflict::Refuse
    }

    fn group(group: &[Self]) -> Group<'_> {
        Group::Moving(Work::Write(group))
    }
}

impl Operation for MovingRead {
    const KIND: RecordKind = RecordKind::Moving;
    const ACCESS: Access = Access::Read;
    const ORDERED: bool = false;

    fn id(&self) -> &'static str {
        ""
    }

    fn subject(&self) -> &'static str {
        "\0several"
    }

    fn bytes(&self) -> usize {
        0
    }

    fn may_repeat(&self) -> bool {
        true
    }

    fn group(group: &[Self]) -> Group<'_> {
        Group::Moving(Work::Read(group))
    }
}

/// An operation that moves records.
pub type MovingStep = Work<MovingWrite, MovingRead>;

/// `INVALID_ARGUMENT`: a cursor that no page of this scan has had.
pub fn foreign_cursor() -> Error {
    Error::invalid("the cursor is not one of a page of this scan")
}

/// Whether a record whose expiry this is has ended.
pub fn has_expired(expires_at: Option<Millis>, now: Millis) -> bool {
    expires_at.is_some_and(|at| at <= now)
}

/// `UNSUPPORTED`: whole records are no part of a transaction.
pub fn not_in_transactions() -> Error {
    Error::new(Kind::Unsupported, "whole records are moved outside transactions: call it outside of this one")
}
