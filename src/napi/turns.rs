//! When the event loop has to turn. Answers that are given on the caller's own thread settle their promises at once,
//! and a loop that awaits them never lets the event loop turn: no timer, no signal, no I/O.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// After this long the event loop is asked for a sign of turning (an immediate of ours), and after as long without
/// one the next answer waits for `setImmediate`. To ask at each answer would take more than most answers do.
const BUDGET: Duration = Duration::from_micros(500);

/// What is known of the event loop's turns, while answers are given on its thread.
#[derive(Default)]
pub(super) struct Turns {
    /// The first answer since it has turned; while it is asked, the one that asked.
    since: Cell<Option<Instant>>,
    is_asked: Cell<bool>,
}

impl Turns {
    /// Whether an answer that could be given now has to wait for the next turn. `ask` has `setImmediate` call
    /// [`Turns::turned`], if it can.
    pub(super) fn makes_way(&self, ask: impl FnOnce() -> bool) -> bool {
        let now = Instant::now();
        let Some(since) = self.since.get() else {
            self.since.set(Some(now));
            return false;
        };
        if now.duration_since(since) < BUDGET {
            return false;
        }
        if self.is_asked.get() {
            return true;
        }
        if ask() {
            self.is_asked.set(true);
            self.since.set(Some(now));
        }
        false
    }

    /// The same, without an answer that counts.
    pub(super) fn is_overdue(&self) -> bool {
        self.is_asked.get() && self.since.get().is_some_and(|since| since.elapsed() >= BUDGET)
    }

    /// The event loop has turned.
    pub(super) fn turned(&self) {
        self.is_asked.set(false);
        self.since.set(None);
    }
}
