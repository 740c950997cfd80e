//! The one error type. Drivers' errors are classified where the driver is known
//! (`backends/<name>/error.rs`) and kept as the source, never flattened to text.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

/// What went wrong, as the caller sees it in `error.code`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// No record has this id.
    NotFound,
    /// A record with this id, or another id that must be unique, is there already.
    AlreadyExists,
    /// The record has another version than was expected.
    ConcurrencyConflict,
    /// The payload is larger than the backend or `maxPayloadBytes` allows.
    PayloadTooLarge,
    /// `expiresAt` has passed and `lateRetentionMs` is 0.
    AlreadyExpired,
    /// The caller's input is wrong.
    InvalidArgument,
    /// The server cannot be reached, or the connection broke.
    Connection,
    /// No answer within `operationTimeoutMs`; a write may or may not have happened.
    Timeout,
    /// A stored record cannot be read.
    CorruptData,
    /// The backend cannot do this.
    Unsupported,
    /// Somebody else has the lease, or nobody any more.
    LeaseLost,
    /// Nothing leads back from the status of the record.
    InvalidState,
    /// The store has been closed.
    Closed,
    /// Anything else that the backend reported.
    Backend,
}

impl Kind {
    /// The code as it appears in TypeScript.
    pub const fn code(self) -> &'static str {
        match self {
            Self::NotFound => "NOT_FOUND",
            Self::AlreadyExists => "ALREADY_EXISTS",
            Self::ConcurrencyConflict => "CONCURRENCY_CONFLICT",
            Self::PayloadTooLarge => "PAYLOAD_TOO_LARGE",
            Self::AlreadyExpired => "ALREADY_EXPIRED",
            Self::InvalidArgument => "INVALID_ARGUMENT",
            Self::Connection => "CONNECTION",
            Self::Timeout => "TIMEOUT",
            Self::CorruptData => "CORRUPT_DATA",
            Self::Unsupported => "UNSUPPORTED",
            Self::LeaseLost => "LEASE_LOST",
            Self::InvalidState => "INVALID_STATE",
            Self::Closed => "CLOSED",
            Self::Backend => "BACKEND",
        }
    }
}

/// A value that a kind of error carries beside its message (a size, a limit).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Detail {
    /// A whole number: bytes, milliseconds, a count.
    Number(i64),
    /// Text.
    Text(String),
}

/// An error of any operation on any backend.
#[derive(Clone)]
pub struct Error(Box<Inner>);

#[derive(Clone)]
struct Inner {
    kind: Kind,
    message: String,
    retryable: bool,
    unsent: bool,
    throttled: bool,
    backend: Option<&'static str>,
    operation: Option<&'static str>,
    id: Option<String>,
    details: Vec<(&'static str, Detail)>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

/// The result of any operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Detail {
    /// A count or a size.
    pub fn count(count: u64) -> Self {
        Self::Number(i64::try_from(count).unwrap_or(i64::MAX))
    }
}

impl Error {
    /// An error of `kind`; connection errors and timeouts are retryable unless said otherwise.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            message: message.into(),
            retryable: matches!(kind, Kind::Connection | Kind::Timeout),
            unsent: false,
            throttled: false,
            backend: None,
            operation: None,
            id: None,
            details: Vec::new(),
            source: None,
        }))
    }

    /// A payload, or what it comes with, is larger than `limit`; both in bytes.
    pub fn too_large(message: impl Into<String>, size: u64, limit: u64) -> Self {
        Self::new(Kind::PayloadTooLarge, message)
            .with_detail("size", Detail::count(size))
            .with_detail("limit", Detail::count(limit))
    }

    /// `INVALID_ARGUMENT`.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(Kind::InvalidArgument, message)
    }

    /// `CLOSED`.
    pub fn closed() -> Self {
        Self::new(Kind::Closed, "the store is closed")
    }

    /// Keeps the driver's error as the cause.
    #[must_use]
    pub fn with_source(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.0.source = Some(Arc::new(source));
        self
    }

    /// Adds to the message: where it was, or what may help.
    #[must_use]
    pub fn saying(mut self, more: &str) -> Self {
        self.0.message.push_str(more);
        self
    }

    /// Says whether the same call may succeed later.
    #[must_use]
    pub fn retryable(mut self, retryable: bool) -> Self {
        self.0.retryable = retryable;
        self
    }

    /// Marks that the request never left: repeating it cannot do the work twice.
    #[must_use]
    pub fn unsent(mut self) -> Self {
        self.0.unsent = true;
        self
    }

    /// Marks that the server has not even tried, and asks to be given time: repeated in growing
    /// pauses until the operation's own time is over, however few attempts it has.
    #[must_use]
    pub fn throttled(mut self) -> Self {
        self.0.throttled = true;
        self.retryable(true).unsent()
    }

    /// Names the record.
    #[must_use]
    pub fn with_id(mut self, id: &str) -> Self {
        // What is about several records has no id: the names of such operations begin so.
        if id.starts_with('\0') {
            return self;
        }
        self.0.id.get_or_insert_with(|| id.to_owned());
        self
    }

    /// Names backend and operation, where they are not named yet.
    #[must_use]
    pub fn at(mut self, backend: &'static str, operation: &'static str) -> Self {
        self.0.backend.get_or_insert(backend);
        self.0.operation.get_or_insert(operation);
        self
    }

    /// Adds a value that becomes a property of the JavaScript error.
    #[must_use]
    pub fn with_detail(mut self, name: &'static str, value: Detail) -> Self {
        self.0.details.push((name, value));
        self
    }

    /// Says after how many attempts, if there was more than one.
    #[must_use]
    pub fn after(self, attempts: u32) -> Self {
        if attempts < 2 { self } else { self.with_detail("attempts", Detail::Number(attempts.into())) }
    }

    /// What went wrong.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// The message, without its causes.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        self.0.retryable
    }

    /// Whether the request never left this process.
    pub fn is_unsent(&self) -> bool {
        self.0.unsent
    }

    /// Whether the server asks to be given time.
    pub fn is_throttled(&self) -> bool {
        self.0.throttled
    }

    /// The backend's name, once known.
    pub fn backend(&self) -> Option<&'static str> {
        self.0.backend
    }

    /// The operation's name, once known.
    pub fn operation(&self) -> Option<&'static str> {
        self.0.operation
    }

    /// The record's id, where there is one.
    pub fn id(&self) -> Option<&str> {
        self.0.id.as_deref()
    }

    /// Values beside the message.
    pub fn details(&self) -> &[(&'static str, Detail)] {
        &self.0.details
    }

    /// The causes' messages, the nearest first; one that says the same as the one before it
    /// is left out (many drivers repeat themselves).
    pub fn causes(&self) -> Vec<String> {
        let mut causes: Vec<String> = Vec::new();
        let mut next: Option<&dyn StdError> = self.source();
        while let Some(error) = next {
            let text = error.to_string();
            if !causes.last().is_some_and(|last| last.contains(&text) || text.contains(last.as_str())) {
                causes.push(text);
            }
            next = error.source();
        }
        causes
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("code", &self.0.kind.code())
            .field("message", &self.0.message)
            .field("backend", &self.0.backend)
            .field("operation", &self.0.operation)
            .field("id", &self.0.id)
            .field("retryable", &self.0.retryable)
            .field("causes", &self.causes())
            .finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}
