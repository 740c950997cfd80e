//! What a backend can do, as data: read by the code, by the tests and by the README's table.

use crate::error::{Error, Result};

/// How a backend runs several operations as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transactions {
    /// Reads and writes in the middle of it, then commit or roll back.
    Interactive,
    /// Writes collected and sent at the end, all or nothing.
    Buffered,
    /// None: each operation stands for itself.
    None,
}

/// How far a transaction is kept apart from others (SQL).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// Each statement sees what has been committed before it.
    ReadCommitted,
    /// All statements see one state.
    RepeatableRead,
    /// As if transactions ran one after the other.
    Serializable,
}

impl Isolation {
    /// Their names, as SQL has them.
    pub const NAMES: [&'static str; 3] = ["read committed", "repeatable read", "serializable"];

    /// The level of this name.
    pub fn named(name: &str) -> Result<Self> {
        match name {
            "read committed" => Ok(Self::ReadCommitted),
            "repeatable read" => Ok(Self::RepeatableRead),
            "serializable" => Ok(Self::Serializable),
            _ => Err(Error::invalid(format!("option 'isolation' must be one of '{}'", Self::NAMES.join("', '")))),
        }
    }

    /// As SQL has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ReadCommitted => "read committed",
            Self::RepeatableRead => "repeatable read",
            Self::Serializable => "serializable",
        }
    }
}

/// Who removes a payload whose time is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// The server does, by itself.
    Server,
    /// `cleanup()` does.
    Cleanup,
}

/// What one backend can do.
#[derive(Clone, Copy, Debug)]
pub struct Capabilities {
    /// Transactions that the backend offers.
    pub transactions: Transactions,
    /// Isolation levels that its transactions can be asked for.
    pub isolation: &'static [Isolation],
    /// Who removes expired payloads.
    pub expiry: Expiry,
    /// The largest payload, in bytes, that the backend can hold.
    pub max_payload_bytes: u64,
    /// Whether data survives the end of the process.
    pub durable: bool,
    /// Whether several processes can share the data.
    pub shared: bool,
    /// Whether a read that follows a write sees it, whichever server answers.
    pub consistent_reads: bool,
}
