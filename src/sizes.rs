//! How large payloads have lately been: how many to ask for at once follows from it.

use std::sync::atomic::{AtomicU64, Ordering};

/// A moving average, in bytes.
#[derive(Default)]
pub(crate) struct Sizes(AtomicU64);

impl Sizes {
    /// The average; 0 before the first answer.
    pub(crate) fn average(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Moves the average an eighth of the way towards what an answer has brought.
    pub(crate) fn note(&self, count: u64, bytes: u64) {
        if let Some(seen) = bytes.checked_div(count) {
            // A lost update of a concurrent reader does not matter.
            let before = self.average();
            let after = if before == 0 { seen } else { before - before / 8 + seen / 8 };
            self.0.store(after.max(1), Ordering::Relaxed);
        }
    }
}
