//! What a backend tells of itself.

use crate::error::Detail;

/// What a backend's probe tells.
#[derive(Clone, Debug, Default)]
pub struct Probe {
    /// The server's version, as it names it.
    pub server_version: Option<String>,
    /// Something that limits the store although the server answers, such as a missing table.
    pub degraded: Option<String>,
    /// Facts worth showing beside it.
    pub details: Vec<(&'static str, Detail)>,
}

impl Probe {
    /// Adds something that limits the store.
    pub fn complain(&mut self, of: impl IntoIterator<Item = String>) {
        for one in of {
            self.degraded = Some(self.degraded.take().map_or(one.clone(), |known| format!("{known}; {one}")));
        }
    }
}

/// What a backend counts of its payloads, and the state of its connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Payloads stored, expired ones that have not been removed yet included.
    pub payloads: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Those of them that have expired.
    pub expired: u64,
}

/// A pool's connections at this moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pool {
    /// Connections open.
    pub open: u64,
    /// Open and not in use.
    pub idle: u64,
}
