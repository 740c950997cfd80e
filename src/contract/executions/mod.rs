//! The execution log as data, and the contract that every backend keeps.
//!
//! - An execution has a saga id, which is unique. Its log is numbered from 1 without gaps, by the write that stores the
//!   entries.
//! - A change is stored as a whole or not at all, its entries included. It is judged by [`judge::judge`]; a backend
//!   whose conditions are the server's asks that function why the server has refused.
//! - A claim gives an execution to one worker. Its token is random; every change is compared with it. Leases are judged
//!   by the server's clock.
//! - An execution that has expired (`executionTtlMs`) does not exist.
//! - Lists have the newest first. The cursor is a time and an id.

pub mod given;
pub mod judge;
pub mod record;

pub use super::lease::NewLease;
use super::operation::{Access, Group, Operation, RecordKind, Work};
#[allow(unused_imports)] // Named in the documentation.
use super::step::Reply;
use crate::time::Millis;
use record::{Entry, Status};

/// A value that a change keeps, or sets; none clears it.
pub type Patch<T> = Option<Option<T>>;

/// What a change must come with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fence {
    /// The token of the lease.
    Token(Box<str>),
    /// Nothing: the execution was never leased.
    NeverLeased,
    /// Nothing, whatever it is.
    Force,
}

/// What becomes of the lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseChange {
    /// Nothing.
    Keep,
    /// It is renewed for so many milliseconds, where less than half of them is left.
    Renew(u64),
    /// It ends.
    End {
        /// When the execution is due; none: at once, or after a pause where the attempt failed.
        due_at: Option<Millis>,
        /// The attempt failed.
        counted: bool,
    },
}

/// What becomes of the number of attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempts {
    /// Nothing, but that progress sets it back.
    Keep,
    /// One more.
    Increment,
    /// So many.
    Set(i64),
}

/// What the store's options say of executions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// How long an execution that has ended is kept, in milliseconds; none: until it is deleted.
    pub ttl_ms: Option<u64>,
    /// The pause before the second attempt, in milliseconds; it doubles.
    pub backoff_ms: u64,
    /// Entries of one log.
    pub max_entries: i64,
    /// Bytes of one log.
    pub max_bytes: i64,
}

/// No pause between attempts is longer, in milliseconds, unless `recoveryBackoffMs` is.
pub const LONGEST_BACKOFF_MS: u64 = 300_000;

impl Terms {
    /// The pause behind so many attempts, in milliseconds.
    pub fn backoff(&self, attempts: i64) -> u64 {
        let Ok(failed @ 1..) = u32::try_from(attempts) else { return 0 };
        let longest = LONGEST_BACKOFF_MS.max(self.backoff_ms);
        self.backoff_ms.saturating_mul(1_u64 << (failed - 1).min(40)).min(longest)
    }
}

/// A change of one execution and its log.
#[derive(Clone, Debug)]
pub struct Change {
    /// The saga id.
    pub id: Box<str>,
    /// The version that it must have.
    pub expected: Option<i64>,
    /// The lease that it must have.
    pub fence: Fence,
    /// Tells a repetition from another change. Never empty.
    pub operation: Box<str>,
    /// Whether the version counts it.
    pub counts: bool,
    /// The new context, JSON.
    pub context: Option<Box<str>>,
    /// The new status.
    pub status: Option<Status>,
    /// The engine's own word.
    pub sub_status: Patch<Box<str>>,
    /// JSON.
    pub metadata: Patch<Box<str>>,
    /// The new tags.
    pub tags: Option<Vec<Box<str>>>,
    /// New entries of the log; no two of them have the same key.
    pub entries: Vec<Entry>,
    /// When it is due. Not together with a token.
    pub due_at: Patch<Millis>,
    /// Why it failed.
    pub last_error: Patch<Box<str>>,
    /// The lease.
    pub lease: LeaseChange,
    /// The number of attempts.
    pub attempts: Attempts,
    /// The present, by the caller's clock.
    pub at: Millis,
    /// The store's options.
    pub terms: Terms,
}

impl Change {
    /// Whether an entry says that something was achieved: attempts are counted from there.
    pub fn is_progress(&self) -> bool {
        use record::StepStatus::{Compensated, Completed};
        self.entries.iter().any(|entry| matches!(entry.status, Completed | Compensated))
    }

    /// Whether an entry may be stored already.
    pub fn has_step_ids(&self) -> bool {
        self.entries.iter().any(|entry| entry.step_id.is_some())
    }
}

/// A new execution.
#[derive(Clone, Debug)]
pub struct Creation {
    /// The saga id.
    pub id: Box<str>,
    /// The saga's name.
    pub name: Box<str>,
    /// Its status.
    pub status: Status,
    /// The engine's own word.
    pub sub_status: Option<Box<str>>,
    /// JSON.
    pub context: Option<Box<str>>,
    /// JSON.
    pub metadata: Option<Box<str>>,
    /// Tags.
    pub tags: Vec<Box<str>>,
    /// The first entries of its log; no two of them have the same key.
    pub entries: Vec<Entry>,
    /// When it is due.
    pub due_at: Option<Millis>,
    /// Who has it from the beginning on, with which token, and for how many milliseconds.
    pub lease: Option<NewLease>,
    /// Tells a repetition from another creation.
    pub operation: Box<str>,
    /// The present, by the caller's clock.
    pub at: Millis,
    /// The store's options.
    pub terms: Terms,
}

/// An execution as a whole, in place of what is there.
#[derive(Clone, Debug)]
pub struct Replacement {
    /// What is stored if nothing is there; it has no lease.
    pub creation: Creation,
    /// Whether a lease and a terminal status do not matter.
    pub force: bool,
}

/// Who wants executions, and which.
#[derive(Clone, Debug)]
pub struct ClaimRuns {
    /// The lease; one token for all that one claim gives.
    pub lease: NewLease,
    /// At most [`super::arguments::MAX_LISTED`].
    pub limit: u64,
    /// Only those of these names.
    pub names: Option<Vec<Box<str>>>,
    /// Only those of these statuses; none of them terminal.
    pub statuses: Vec<Status>,
    /// Those that were claimed so often are parked.
    pub max_attempts: i64,
    /// Only those that nobody has changed for so many milliseconds.
    pub stale_after_ms: u64,
    /// The store's options.
    pub terms: Terms,
}

/// A lease that is renewed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renewal {
    /// The saga id.
    pub id: Box<str>,
    /// The token.
    pub token: Box<str>,
    /// For so many milliseconds from now on.
    pub lease_ms: u64,
}

/// A change of executions. What it was given is valid.
#[derive(Clone, Debug)]
pub enum ExecutionWrite {
    /// Stores a new one. Replies [`record::Checkpointed`], with a lease [`record::Execution`]; see [`record::taken`]. The
    /// same creation again succeeds again.
    Create(Box<Creation>),
    /// Changes one. Replies [`record::Checkpointed`]; see [`judge::judge`].
    Change(Box<Change>),
    /// Stores one, or replaces it with its whole log; `created_at` stays, the version counts on. Replies
    /// [`record::Checkpointed`].
    Save(Box<Replacement>),
    /// Removes one with its log. Replies [`Reply::Flag`].
    Delete {
        /// The saga id.
        id: Box<str>,
    },
    /// Gives executions that are due to a worker, the longest due first. Those that have been claimed too often are
    /// parked instead, and count for nothing. Replies a list of [`record::Execution`].
    Claim(Box<ClaimRuns>),
    /// Renews leases. Replies the list of ids whose lease is not the one given any more.
    Heartbeat {
        /// Each id at most once.
        renewals: Vec<Renewal>,
        /// The store's options.
        terms: Terms,
    },
    /// Makes parked executions due again. Replies [`Reply::Count`].
    Redrive {
        /// The saga ids.
        ids: Vec<Box<str>>,
        /// Whether their attempts count from zero again.
        reset_attempts: bool,
    },
    /// Removes executions that ended before a time, with their logs. Replies [`Reply::Count`]; fewer than `limit` means
    /// that there are no more.
    Cleanup {
        /// The time.
        before: Millis,
        /// Only those of these statuses; all of them terminal.
        statuses: Vec<Status>,
        /// At most [`super::arguments::MAX_LISTED`].
        limit: u64,
    },
}

/// Which executions are meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Those of this name.
    pub name: Option<Box<str>>,
    /// Those of this status.
    pub status: Option<Status>,
    /// Those with this tag.
    pub tag: Option<Box<str>>,
    /// Those that are parked, or that are not.
    pub parked: Option<bool>,
}

/// By what a list is ordered, the newest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The last change.
    Updated,
    /// The creation.
    Created,
}

/// A question about executions. What it was given is valid.
#[derive(Clone, Debug)]
pub enum ExecutionRead {
    /// One. Replies [`record::Execution`], or null.
    Load {
        /// The saga id.
        id: Box<str>,
        /// Whether it stays locked until the transaction ends (SQL).
        for_update: bool,
    },
    /// A page of a log. Replies [`record::Page`]; `NOT_FOUND` if there is no such execution.
    History {
        /// The saga id.
        id: Box<str>,
        /// The number that the page before ended with.
        after: Option<i64>,
        /// At most [`super::arguments::MAX_LISTED`] entries.
        limit: u64,
        /// At most so many bytes, but at least one entry.
        max_bytes: u64,
        /// The last ones first.
        reverse: bool,
    },
    /// Executions without their contexts. Replies a list; fewer than `limit` means that there are no more.
    List {
        /// Which.
        filter: Filter,
        /// In which order.
        order: Order,
        /// What the page before ended with.
        after: Option<(Millis, Box<str>)>,
        /// At most [`super::arguments::MAX_LISTED`].
        limit: u64,
    },
    /// How many. Replies [`Reply::Count`].
    Count {
        /// Which.
        filter: Filter,
    },
    /// Ids of running and compensating ones with fewer attempts, the oldest change first. Replies a list of texts.
    Recoverable {
        /// At most [`super::arguments::MAX_LISTED`].
        limit: u64,
        /// Fewer attempts than that.
        max_attempts: i64,
        /// Not changed for so many milliseconds.
        stale_after_ms: u64,
        /// Only those of this name.
        name: Option<Box<str>>,
    },
    /// Replies [`record::Counts`].
    Statistics,
}

impl ExecutionWrite {
    /// What one change of one execution that can wait for the end of a transaction is about.
    pub fn is_of_one(&self) -> bool {
        matches!(self, Self::Create(_) | Self::Change(_) | Self::Save(_) | Self::Delete { .. })
    }
}

impl Operation for ExecutionWrite {
    const KIND: RecordKind = RecordKind::Executions;
    const ACCESS: Access = Access::Write;
    const ORDERED: bool = true;

    /// Those of several executions have names that no saga has: one of each kind is under way at a time. Claims do not
    /// wait for each other: each has a token of its own.
    fn id(&self) -> &str {
        match self {
            Self::Create(creation) => &creation.id,
            Self::Change(change) => &change.id,
            Self::Save(replacement) => &replacement.creation.id,
            Self::Delete { id } => id,
            Self::Claim(claim) => &claim.lease.token,
            Self::Heartbeat { .. } => "\0heartbeat",
            Self::Redrive { .. } => "\0redrive",
            Self::Cleanup { .. } => "\0cleanup",
        }
    }

    fn subject(&self) -> &str {
        self.turn().unwrap_or_else(|| self.id())
    }

    fn turn(&self) -> Option<&'static str> {
        matches!(self, Self::Claim(_)).then_some("\0claim")
    }

    fn bytes(&self) -> usize {
        let length = |text: &Option<Box<str>>| text.as_ref().map_or(0, |text| text.len());
        let log =
            |entries: &[Entry]| entries.iter().map(|entry| usize::try_from(entry.bytes()).unwrap_or_default()).sum();
        let of = |creation: &Creation| -> usize {
            length(&creation.context) + length(&creation.metadata) + log(&creation.entries)
        };
        match self {
            Self::Create(creation) => of(creation),
            Self::Save(replacement) => of(&replacement.creation),
            Self::Change(change) => {
                let entries: usize = log(&change.entries);
                length(&change.context) + entries
            }
            _ => self.id().len(),
        }
    }

    /// Creations and changes know themselves again. A claim whose answer was lost has perhaps been given.
    fn may_repeat(&self) -> bool {
        !matches!(self, Self::Claim(_))
    }

    fn group(group: &[Self]) -> Group<'_> {
        Group::Executions(Work::Write(group))
    }
}

impl Operation for ExecutionRead {
    const KIND: RecordKind = RecordKind::Executions;
    const ACCESS: Access = Access::Read;
    const ORDERED: bool = false;

    fn id(&self) -> &str {
        match self {
            Self::Load { id, .. } | Self::History { id, .. } => id,
            _ => "",
        }
    }

    fn bytes(&self) -> usize {
        0
    }

    fn may_repeat(&self) -> bool {
        true
    }

    fn group(group: &[Self]) -> Group<'_> {
        Group::Executions(Work::Read(group))
    }
}

/// An operation on executions.
pub type ExecutionStep = Work<ExecutionWrite, ExecutionRead>;
