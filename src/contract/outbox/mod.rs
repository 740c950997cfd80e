//! The outbox as data, and the contract that every backend keeps.
//!
//! - An event has an id, which is unique among the events that are stored. It is stored at the end of the queue; the
//!   numbers that say where (`seq`) grow, and may have gaps.
//! - An event is pending, claimed, sent, or a dead letter. A pending one may have to wait for its time. Nothing that is
//!   not sent is ever removed by itself.
//! - Claims go by state, never by a position: an event whose transaction commits late is claimed all the same.
//! - A claim gives events to one worker. Its token is random; whatever becomes of an event is compared with it. A lease
//!   that is over ends nothing by itself: the worker has the event until another one claims it.
//! - Of the events of one partition key, an event is claimed only if all earlier ones are sent, or are claimed in the
//!   same claim. A dead letter counts as not sent, unless [`Terms::skips_dead`]. When an event of a claim fails or is
//!   handed back, those of its key behind it in the same claim are handed back, too, and not counted as delivered.
//! - Leases and times to wait are judged by the server's clock.
//! - `deliveries` counts claims, less those that were handed back; `retry_count` counts failures. Either makes a dead
//!   letter.
//! - Lists have the earliest first. A cursor is the backend's own text.

pub mod given;
pub mod judge;
pub mod record;

use super::operation::{Access, Group, Operation, RecordKind, Work};
#[allow(unused_imports)] // Named in the documentation.
use super::step::Reply;
use crate::time::Millis;
use record::{Event, EventStatus};

pub use super::lease::NewLease;

/// What the store's options say of the outbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// An event that has failed more often is a dead letter.
    pub max_retries: i64,
    /// An event that would be claimed more often, without any answer, is a dead letter.
    pub max_deliveries: i64,
    /// The pause behind the first failure, in milliseconds; it doubles, up to [`LONGEST_BACKOFF_MS`].
    pub backoff_ms: u64,
    /// Whether a dead letter lets those behind it pass that have its key.
    pub skips_dead: bool,
    /// How long an event is kept that has been sent, in milliseconds; 0: it is removed at once.
    pub retain_sent_ms: u64,
    /// How long a dead letter is kept, in milliseconds; none: until somebody decides.
    pub retain_dead_ms: Option<u64>,
    /// Whether other processes are told of an event in the transaction that inserts it (PostgreSQL).
    pub notifies_in_transaction: bool,
}

/// No pause behind a failure is longer, in milliseconds, but by its jitter, or unless [`Terms::backoff_ms`] is.
pub const LONGEST_BACKOFF_MS: u64 = 300_000;

/// Events of one insertion.
pub const MAX_EVENTS: usize = 1_000;

/// Why a dead letter is one whose workers never answered.
pub const NEVER_ANSWERED: &str = "it was claimed too often without an answer (maxDeliveries)";

/// New events.
#[derive(Clone, Debug)]
pub struct Insertion {
    /// At least one, no two of them with the same id.
    pub events: Vec<Event>,
    /// Whether events whose ids are taken are left out; otherwise none of the events is stored.
    pub ignores_duplicates: bool,
    /// Who has them from the beginning on: those that are due, and before which no other one of their key stands.
    pub lease: Option<NewLease>,
    /// Tells a repetition from another insertion; stored with each event.
    pub operation: Box<str>,
    /// The store's options.
    pub terms: Terms,
}

/// Who wants events, and which.
#[derive(Clone, Debug)]
pub struct ClaimEvents {
    /// The lease; one token for all that one claim gives.
    pub lease: NewLease,
    /// At most [`super::arguments::MAX_LISTED`].
    pub limit: u64,
    /// Only those of these types.
    pub types: Option<Vec<Box<str>>>,
    /// Only those with these routing keys.
    pub routing_keys: Option<Vec<Box<str>>>,
    /// Only those that were stored so many milliseconds ago.
    pub older_than_ms: u64,
    /// The store's options.
    pub terms: Terms,
}

impl ClaimEvents {
    /// Whether it takes only some types or routing keys.
    pub fn is_choosy(&self) -> bool {
        self.types.is_some() || self.routing_keys.is_some()
    }
}

/// What becomes of events that a worker has.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// They are sent.
    Sent,
    /// They have failed, and are pending again after a pause, or are dead letters.
    Failed {
        /// Why.
        error: Box<str>,
        /// When they are due again; none: by the backoff.
        retry_at: Option<Millis>,
        /// From 0.9 to 1.1: the backoff is multiplied by it.
        jitter: f64,
    },
    /// They are pending again, and the claim does not count as a delivery.
    Released,
    /// Their lease lasts for so many milliseconds from now on.
    Extended(u64),
}

/// An event that a worker has, and the token of its claim.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Held {
    /// The event.
    pub id: Box<str>,
    /// The token.
    pub token: Box<str>,
}

/// What becomes of events that a worker has.
#[derive(Clone, Debug)]
pub struct Settlement {
    /// Each at most once; at least one, at most [`super::arguments::MAX_LISTED`].
    pub held: Vec<Held>,
    /// What becomes of them.
    pub outcome: Outcome,
    /// The store's options.
    pub terms: Terms,
}

/// What somebody decides about an event, whoever has it.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// It is pending, at once; a dead letter's failures and deliveries count from zero again.
    Pending,
    /// It is sent.
    Sent,
    /// It has failed once more; see [`Outcome::Failed`].
    Failed {
        /// Why.
        error: Box<str>,
        /// As of [`Outcome::Failed`].
        jitter: f64,
    },
    /// It is a dead letter.
    Dead {
        /// Why.
        error: Option<Box<str>>,
    },
}

/// A change of the outbox. What it was given is valid.
#[derive(Clone, Debug)]
pub enum OutboxWrite {
    /// Stores events. Replies a list of [`record::Stored`], those that the lease has; empty without a lease.
    /// `ALREADY_EXISTS` with the first id that is taken, and nothing is stored. The same insertion again succeeds again.
    Insert(Box<Insertion>),
    /// Gives events that are due to a worker, the earliest first. Those that have been claimed too often become dead
    /// letters instead. Replies a list of [`record::Stored`], in the order of `seq`.
    Claim(Box<ClaimEvents>),
    /// Says what has become of claimed events. Replies the list of ids whose token is not the one given any more; see
    /// [`record::settled`].
    Settle(Box<Settlement>),
    /// Decides about one event. Replies [`Reply::Done`]; `NOT_FOUND` if there is none, `INVALID_STATE` if it is sent
    /// and the decision is another one.
    Decide {
        /// The event.
        id: Box<str>,
        /// What becomes of it.
        decision: Decision,
        /// The store's options.
        terms: Terms,
    },
    /// Hands back what was claimed so many milliseconds ago or earlier; the claim counts as a delivery. Replies
    /// [`Reply::Count`]; fewer than `limit` means that there are no more.
    ReleaseStuck {
        /// How long ago.
        older_than_ms: u64,
        /// At most [`super::arguments::MAX_LISTED`].
        limit: u64,
    },
    /// Makes dead letters pending again, in their old places; failures and deliveries count from zero. Replies
    /// [`Reply::Count`]: of how many.
    Requeue {
        /// Each at most once; at most [`super::arguments::MAX_LISTED`].
        ids: Vec<Box<str>>,
    },
    /// Removes dead letters; what their keys held up goes on. Replies [`Reply::Count`].
    Discard {
        /// Each at most once; at most [`super::arguments::MAX_LISTED`].
        ids: Vec<Box<str>>,
    },
    /// Removes events that were sent, or became dead letters, so many milliseconds ago or earlier. Replies
    /// [`Reply::Count`]; fewer than `limit` means that there are no more.
    Archive {
        /// How long ago.
        older_than_ms: u64,
        /// Those that were sent.
        sent: bool,
        /// Dead letters.
        dead: bool,
        /// At most [`super::arguments::MAX_LISTED`].
        limit: u64,
    },
}

/// A question about the outbox. What it was given is valid.
#[derive(Clone, Debug)]
pub enum OutboxRead {
    /// One event. Replies [`record::Stored`], or null.
    Get {
        /// The event.
        id: Box<str>,
    },
    /// Events, the earliest first. Replies [`record::EventPage`].
    List {
        /// Those of this saga.
        saga_id: Option<Box<str>>,
        /// Those of this status.
        status: Option<EventStatus>,
        /// What the page before ended with: see [`record::EventPage`]. `INVALID_ARGUMENT` if it is no page's.
        after: Option<Box<str>>,
        /// At most [`super::arguments::MAX_LISTED`].
        limit: u64,
    },
    /// What was claimed so many milliseconds ago or earlier, the earliest event first. Replies a list of
    /// [`record::Stored`].
    Stuck {
        /// How long ago.
        older_than_ms: u64,
        /// At most [`super::arguments::MAX_LISTED`].
        limit: u64,
    },
    /// How many. Replies [`Reply::Count`].
    Count {
        /// Those of this status.
        status: EventStatus,
    },
    /// Keys that a dead letter holds up, in the order of the keys. Replies a list of texts; empty where dead letters
    /// hold up nothing.
    BlockedKeys {
        /// At most [`super::arguments::MAX_LISTED`].
        limit: u64,
        /// The store's options.
        terms: Terms,
    },
    /// Replies [`record::Counts`].
    Statistics {
        /// The store's options.
        terms: Terms,
    },
}

impl Operation for OutboxWrite {
    const KIND: RecordKind = RecordKind::Outbox;
    const ACCESS: Access = Access::Write;
    const ORDERED: bool = true;

    /// What must not be under way at once with another one: insertions and claims are free, what becomes of one claim
    /// goes one after the other, and of each kind that is about many there is one at a time.
    fn id(&self) -> &str {
        match self {
            Self::Insert(insertion) => insertion.events.first().map_or("", |event| &event.id),
            Self::Claim(claim) => &claim.lease.token,
            Self::Settle(settlement) => settlement.held.first().map_or("", |held| &held.token),
            Self::Decide { id, .. } => id,
            Self::ReleaseStuck { .. } => "\0stuck",
            Self::Requeue { .. } => "\0requeue",
            Self::Discard { .. } => "\0discard",
            Self::Archive { .. } => "\0archive",
        }
    }

    fn subject(&self) -> &str {
        match self {
            Self::Insert(insertion) if insertion.events.len() == 1 => self.id(),
            Self::Settle(settlement) if settlement.held.len() == 1 => &settlement.held[0].id,
            Self::Decide { id, .. } => id,
            _ => "\0several",
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Insert(insertion) => insertion.events.iter().map(Event::bytes).sum(),
            Self::Settle(settlement) => settlement.held.len() * 64,
            _ => self.id().len(),
        }
    }

    /// Insertions know themselves again. Whether a claim or a settlement without an answer has happened is not known,
    /// and a second one would find the tokens gone: the caller is told.
    fn may_repeat(&self) -> bool {
        match self {
            Self::Insert(insertion) => insertion.lease.is_none(),
            Self::Settle(settlement) => matches!(settlement.outcome, Outcome::Extended(_)),
            Self::Claim(_) => false,
            Self::Decide { decision, .. } => !matches!(decision, Decision::Failed { .. } | Decision::Sent),
            _ => true,
        }
    }

    fn group(group: &[Self]) -> Group<'_> {
        Group::Outbox(Work::Write(group))
    }
}

impl Operation for OutboxRead {
    const KIND: RecordKind = RecordKind::Outbox;
    const ACCESS: Access = Access::Read;
    const ORDERED: bool = false;

    fn id(&self) -> &str {
        if let Self::Get { id } = self { id } else { "" }
    }

    fn bytes(&self) -> usize {
        0
    }

    fn may_repeat(&self) -> bool {
        true
    }

    fn group(group: &[Self]) -> Group<'_> {
        Group::Outbox(Work::Read(group))
    }
}

/// An operation on the outbox.
pub type OutboxStep = Work<OutboxWrite, OutboxRead>;
