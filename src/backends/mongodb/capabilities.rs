//! What a server can do, as far as is known of it.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::document;
use crate::contract::capability::{Capabilities, Expiry, Transactions};

pub(super) const fn capabilities(transactions: Transactions, expiry: Expiry) -> Capabilities {
    Capabilities {
        transactions,
        isolation: &[],
        expiry,
        // Under the shortest id.
        max_payload_bytes: document::max_payload_bytes(1),
        durable: true,
        shared: true,
        consistent_reads: true,
    }
}

/// By what is known of the server: 1 for no transactions, 2 for no TTL indexes. Before
/// `initialize` it is taken for a replica set.
pub(super) static CAPABILITIES: [Capabilities; 4] = [
    capabilities(Transactions::Interactive, Expiry::Server),
    capabilities(Transactions::None, Expiry::Server),
    capabilities(Transactions::Interactive, Expiry::Cleanup),
    capabilities(Transactions::None, Expiry::Cleanup),
];

/// The place in [`CAPABILITIES`].
#[derive(Default)]
pub(super) struct Lacks(AtomicUsize);

impl Lacks {
    pub(super) fn learn(&self, has_transactions: bool, has_ttl: bool) {
        self.0.store(usize::from(!has_transactions) + 2 * usize::from(!has_ttl), Ordering::Relaxed);
    }

    pub(super) fn capabilities(&self) -> &'static Capabilities {
        &CAPABILITIES[self.0.load(Ordering::Relaxed) % CAPABILITIES.len()]
    }
}
