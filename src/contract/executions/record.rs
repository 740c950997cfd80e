//! An execution and its log, as every backend keeps them.

use crate::contract::dynamic::Dynamic;
use crate::contract::named::named;
use crate::error::{Detail, Error, Kind};
use crate::time::Millis;

named! {
    /// How far an execution is.
    Status "status" {
        /// It has not begun.
        Pending "pending",
        /// Its steps run.
        Running "running",
        /// Its steps are undone.
        Compensating "compensating",
        /// It has succeeded.
        Completed "completed",
        /// All that it did is undone.
        Compensated "compensated",
        /// It has failed.
        Failed "failed",
    }
}

named! {
    /// Whether a step is done or undone.
    Action "action" {
        /// It is done.
        Act "act",
        /// It is undone.
        Compensate "compensate",
    }
}

named! {
    /// How far a step is.
    StepStatus "status of a step" {
        /// It is still to come.
        Pending "pending",
        /// It has begun.
        Started "started",
        /// It has succeeded.
        Completed "completed",
        /// It has failed.
        Failed "failed",
        /// It has been undone.
        Compensated "compensated",
        /// It is left out.
        Skipped "skipped",
    }
}

impl Status {
    /// Those that nothing leads back from.
    pub const TERMINAL: [Self; 3] = [Self::Completed, Self::Compensated, Self::Failed];

    /// Whether nothing leads back from it.
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Compensated | Self::Failed)
    }

    /// Whether somebody works on it, or should.
    pub const fn is_active(self) -> bool {
        matches!(self, Self::Running | Self::Compensating)
    }
}

/// An entry of the log that is to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The step's name.
    pub step: Box<str>,
    /// Whether it is done or undone.
    pub action: Action,
    /// How far it is.
    pub status: StepStatus,
    /// With it, an entry of the same action and status is stored once in a saga.
    pub step_id: Option<Box<str>>,
    /// Text of the engine's.
    pub details: Option<Box<str>>,
    /// JSON: `attempt`, `branch`, `result`, `error`.
    pub body: Option<Box<str>>,
}

impl Entry {
    /// Its share of `maxHistoryBytes`.
    pub fn bytes(&self) -> i64 {
        let optional = |text: &Option<Box<str>>| text.as_ref().map_or(0, |text| text.len());
        let bytes = self.step.len() + optional(&self.step_id) + optional(&self.details) + optional(&self.body);
        i64::try_from(bytes).unwrap_or(i64::MAX)
    }

    /// What makes it the only one of its kind in a saga; none without an id.
    pub fn key(&self) -> Option<(&str, Action, StepStatus)> {
        self.step_id.as_deref().map(|id| (id, self.action, self.status))
    }

    /// The same as one text.
    pub fn key_text(&self) -> Option<String> {
        self.key().map(|(id, action, status)| format!("{}\0{}\0{id}", action.name(), status.name()))
    }
}

/// An entry of the log, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logged {
    /// Its number in its saga, from 1.
    pub seq: i64,
    /// What it says.
    pub entry: Entry,
    /// When it was written.
    pub at: Millis,
}

impl Logged {
    /// As `ts/kinds/execution-json.ts` reads it.
    pub fn into_dynamic(self) -> Dynamic {
        let text = |text: Option<Box<str>>| text.map_or(Dynamic::Null, |text| Dynamic::Text(text.into()));
        let Entry { step, action, status, step_id, details, body } = self.entry;
        Dynamic::List(vec![
            Dynamic::Int(self.seq),
            Dynamic::Text(step.into()),
            action.name().into(),
            status.name().into(),
            text(step_id),
            text(details),
            text(body),
            Dynamic::Time(self.at),
        ])
    }
}

/// A page of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Entries, in the order that was asked for.
    pub entries: Vec<Logged>,
    /// Whether there are more behind it.
    pub more: bool,
}

impl Page {
    /// Takes entries until `limit` or `max_bytes` is reached; at least one.
    pub fn of(entries: impl IntoIterator<Item = Logged>, limit: u64, max_bytes: u64) -> Self {
        let (mut page, mut bytes) = (Self::default(), 0_u64);
        for logged in entries {
            let size = u64::try_from(logged.entry.bytes()).unwrap_or_default();
            bytes = bytes.saturating_add(size);
            let is_full = page.entries.len() as u64 == limit || (!page.entries.is_empty() && bytes > max_bytes);
            if is_full {
                page.more = true;
                break;
            }
            page.entries.push(logged);
        }
        page
    }

    /// As `ts/kinds/execution-json.ts` reads it.
    pub fn into_dynamic(self) -> Dynamic {
        let entries = self.entries.into_iter().map(Logged::into_dynamic).collect();
        Dynamic::map([("entries", Dynamic::List(entries)), ("more", Dynamic::Bool(self.more))])
    }
}

/// The last change that can be told apart from others, and its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastOperation {
    /// Its id.
    pub id: Box<str>,
    /// The version that it answered.
    pub version: i64,
    /// The number of its first entry; none without entries.
    pub first_seq: Option<i64>,
}

/// An execution, as it is stored, without its log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Execution {
    /// The saga id.
    pub id: Box<str>,
    /// The saga's name.
    pub name: Box<str>,
    /// How far it is.
    pub status: Status,
    /// The engine's own word for it.
    pub sub_status: Option<Box<str>>,
    /// JSON. None in lists.
    pub context: Option<Box<str>>,
    /// JSON.
    pub metadata: Option<Box<str>>,
    /// At most eight.
    pub tags: Vec<Box<str>>,
    /// Counts the changes.
    pub version: i64,
    /// The number of the last entry of its log: how many there are.
    pub seq: i64,
    /// The bytes of its log.
    pub log_bytes: i64,
    /// None: it was never leased. Empty: it was, and nobody has it now.
    pub token: Option<Box<str>>,
    /// Who has it.
    pub worker: Option<Box<str>>,
    /// When it may be claimed; none: not.
    pub due_at: Option<Millis>,
    /// How often it was claimed since it last made progress.
    pub attempts: i64,
    /// Why it failed last.
    pub last_error: Option<Box<str>>,
    /// The last change, for a repetition.
    pub last_operation: Option<LastOperation>,
    /// When it was made.
    pub created_at: Millis,
    /// When it was changed last.
    pub updated_at: Millis,
    /// When it ended.
    pub completed_at: Option<Millis>,
    /// When it was given up.
    pub parked_at: Option<Millis>,
    /// When it ceases to exist (`executionTtlMs`).
    pub expires_at: Option<Millis>,
}

/// Whether the token is among what is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shows {
    /// The context as well.
    Context,
    /// Context and token: to who has the lease.
    ContextAndToken,
    /// Neither: in lists.
    Neither,
}

impl Execution {
    /// Whether somebody has it.
    pub fn is_leased(&self) -> bool {
        self.token.as_deref().is_some_and(|token| !token.is_empty())
    }

    /// Whether it still exists.
    pub fn lives_at(&self, now: Millis) -> bool {
        self.expires_at.is_none_or(|at| at > now)
    }

    /// As `ts/kinds/execution-json.ts` reads it.
    pub fn into_dynamic(self, shows: Shows) -> Dynamic {
        let leased = self.is_leased();
        let text = |text: Option<Box<str>>| text.map_or(Dynamic::Null, |text| Dynamic::Text(text.into()));
        let time = |at: Option<Millis>| at.map_or(Dynamic::Null, Dynamic::Time);
        let mut properties = vec![
            ("sagaId", Dynamic::Text(self.id.into())),
            ("name", Dynamic::Text(self.name.into())),
            ("status", self.status.name().into()),
            ("subStatus", text(self.sub_status)),
            ("metadata", text(self.metadata)),
            ("tags", Dynamic::List(self.tags.into_iter().map(|tag| Dynamic::Text(tag.into())).collect())),
            ("version", Dynamic::Int(self.version)),
            ("entries", Dynamic::Int(self.seq)),
            ("bytes", Dynamic::Int(self.log_bytes)),
            ("attempts", Dynamic::Int(self.attempts)),
            ("workerId", text(self.worker)),
            ("dueAt", time(self.due_at)),
            ("leased", Dynamic::Bool(leased)),
            ("lastError", text(self.last_error)),
            ("createdAt", Dynamic::Time(self.created_at)),
            ("updatedAt", Dynamic::Time(self.updated_at)),
            ("completedAt", time(self.completed_at)),
            ("parkedAt", time(self.parked_at)),
        ];
        if shows != Shows::Neither {
            properties.push(("context", text(self.context)));
        }
        if shows == Shows::ContextAndToken {
            properties.push(("token", text(self.token)));
        }
        Dynamic::Map(properties.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }
}

/// What a change has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpointed {
    /// The version that is stored now.
    pub version: i64,
    /// The number of the first entry that was given; none without entries.
    pub first_seq: Option<i64>,
    /// Entries in the log now.
    pub entries: i64,
    /// Their bytes.
    pub bytes: i64,
}

impl Checkpointed {
    /// As `ts/kinds/executions.ts` reads it.
    pub fn into_dynamic(self) -> Dynamic {
        Dynamic::map([
            ("version", Dynamic::Int(self.version)),
            ("firstSeq", self.first_seq.map_or(Dynamic::Null, Dynamic::Int)),
            ("entries", Dynamic::Int(self.entries)),
            ("bytes", Dynamic::Int(self.bytes)),
        ])
    }
}

/// How many executions there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// In the order of [`Status::ALL`].
    pub by_status: [u64; 6],
    /// Those that are given up.
    pub parked: u64,
    /// Those that somebody has.
    pub leased: u64,
    /// The bytes of contexts and logs, about.
    pub bytes: u64,
    /// When the first of those that are due was due, or will be.
    pub oldest_due_at: Option<Millis>,
}

impl Counts {
    /// As `ts/kinds/executions.ts` reads it.
    pub fn into_dynamic(self) -> Dynamic {
        let count = |count: u64| Dynamic::Int(i64::try_from(count).unwrap_or(i64::MAX));
        let by_status = Status::ALL.iter().zip(self.by_status);
        Dynamic::map([
            ("total", count(self.by_status.iter().sum())),
            ("byStatus", Dynamic::Map(by_status.map(|(status, n)| (status.name().to_owned(), count(n))).collect())),
            ("parked", count(self.parked)),
            ("leased", count(self.leased)),
            ("bytes", count(self.bytes)),
            ("oldestDueAt", self.oldest_due_at.map_or(Dynamic::Null, Dynamic::Time)),
        ])
    }
}

/// `NOT_FOUND`: there is no such execution.
pub fn missing(id: &str) -> Error {
    Error::new(Kind::NotFound, "not found: no execution has this saga id").with_id(id)
}

/// `ALREADY_EXISTS`: there is one.
pub fn taken(id: &str) -> Error {
    Error::new(Kind::AlreadyExists, "an execution with this saga id already exists").with_id(id)
}

/// `LEASE_LOST`: somebody else has it, or the lease was given back.
pub fn lease_lost(id: &str, given: bool) -> Error {
    let message = if given {
        "the lease is lost: the execution has ended, was given back, or is another worker's"
    } else {
        "the execution has been leased: a change needs the token of its lease, or force: true"
    };
    Error::new(Kind::LeaseLost, message).with_id(id)
}

/// `INVALID_STATE`: it has ended.
pub fn ended(id: &str, status: Status) -> Error {
    let message = format!("the execution is {}, and nothing leads back from there (force: true does)", status.name());
    Error::new(Kind::InvalidState, message).with_id(id).with_detail("status", Detail::Text(status.name().to_owned()))
}

/// `CONCURRENCY_CONFLICT`: it has another version than was expected.
pub fn conflict(id: &str, expected: i64, actual: i64) -> Error {
    let message =
        format!("Optimistic concurrency conflict: version {expected} was expected, the execution has version {actual}");
    Error::new(Kind::ConcurrencyConflict, message)
        .with_id(id)
        .with_detail("sagaId", Detail::Text(id.to_owned()))
        .with_detail("expectedVersion", Detail::Number(expected))
        .with_detail("actualVersion", Detail::Number(actual))
}
