//! What a backend can do, as data: read by the code, by the tests and by the README's table.

use super::transaction::Isolation;

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
