//! The server's clock beside ours.
//!
//! Expiries are points in time by the caller's clock; a TTL index judges them by the server's,
//! and so do stores on other machines. With a clock an hour behind the server's, a payload that
//! has half an hour to live would be removed at once. So where the clocks differ noticeably,
//! expiries are stored, and compared, in the server's time; otherwise as they are.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::time::{Millis, Moment};

/// The server's clock is asked again after this.
const LASTS: Duration = Duration::from_secs(30);
/// Clocks that differ by no more than this are the same, beside the error of measurement: less
/// than the minute by which a TTL index is late anyway.
const SAME_MS: i64 = 1_000;

/// What is known of the server's clock.
pub(super) struct Clock {
    state: Mutex<State>,
    /// The last number that was given to an event.
    last: AtomicI64,
}

#[derive(Default)]
struct State {
    /// By how much it is ahead of ours, and how wrong that may be.
    reading: Option<(i64, i64)>,
    read_at: Option<Moment>,
    /// When somebody was sent to read it.
    due_since: Option<Instant>,
}

impl State {
    /// The reading. Where our own clock has been set since, as a clock that nobody sets tells, that much is reckoned in.
    fn reading(&self) -> Option<(i64, i64)> {
        let jump = self.read_at.map_or(0, |read_at| read_at.jump());
        self.reading.map(|(ahead, error)| (ahead.saturating_sub(jump), error))
    }
}

impl Clock {
    /// Nothing is known yet.
    pub(super) fn new() -> Self {
        Self { state: Mutex::default(), last: AtomicI64::new(0) }
    }

    /// Numbers for so many events, the first of them: microseconds of the server's clock, and larger than all that were
    /// given before. They stay below 2^53, because clients of the application have no larger ones.
    pub(super) fn numbers(&self, count: i64) -> i64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let present = Millis::now();
        let ahead = self.there(present).0.saturating_sub(present.0).saturating_mul(1_000);
        let now = i64::try_from(now.as_micros()).unwrap_or(i64::MAX).saturating_add(ahead);
        let first = |last: i64| now.max(last.saturating_add(1));
        let next = |last: i64| Some(first(last).saturating_add(count - 1));
        let last = self.last.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        first(last.unwrap_or_else(|last| last))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The server said that it is `server`, between `before` and `after`.
    pub(super) fn read(&self, server: Millis, before: Millis, after: Millis) {
        let trip = (after.0 - before.0).max(0);
        let mut state = self.state();
        state.reading = Some((server.0 - (before.0 + trip / 2), trip / 2 + 1));
        state.read_at = Some(Moment::now());
        state.due_since = None;
    }

    /// By how many milliseconds the server is ahead of us, if it told the time.
    pub(super) fn ahead(&self) -> Option<i64> {
        self.state().reading().map(|(ahead, _)| ahead)
    }

    /// A time of ours by the server's clock.
    pub(super) fn there(&self, at: Millis) -> Millis {
        match self.state().reading() {
            Some((ahead, error)) if ahead.abs() > error + SAME_MS => Millis(at.0.saturating_add(ahead)),
            _ => at,
        }
    }

    /// A time of the server's clock by ours: what [`Self::there`] undoes.
    pub(super) fn here(&self, at: Millis) -> Millis {
        Millis(at.0.saturating_sub(self.there(Millis(0)).0))
    }

    /// Whether our clock has been set since the server's was read: it must be asked first. (What would be reckoned
    /// without that is wrong after the machine has slept.)
    pub(super) fn has_jumped(&self) -> bool {
        self.state().read_at.is_some_and(|read_at| read_at.jump() != 0)
    }

    /// Whether it is time to ask again; true for one caller only.
    pub(super) fn is_due(&self) -> bool {
        let mut state = self.state();
        let due = state.read_at.is_none_or(|read_at| read_at.age() >= LASTS)
            && state.due_since.is_none_or(|since| since.elapsed() >= LASTS);
        if due {
            state.due_since = Some(Instant::now());
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_differences_are_none() {
        let (clock, at) = (Clock::new(), Millis(5_000_000));
        assert_eq!(clock.there(at), at);
        for (server, expected) in
            [(1_000_100, 0), (1_000_900, 0), (999_200, 0), (4_600_050, 3_600_000), (-2_599_950, -3_600_000)]
        {
            clock.read(Millis(server), Millis(1_000_000), Millis(1_000_100));
            assert_eq!(clock.there(at), Millis(at.0 + expected), "{server}");
            assert_eq!(clock.here(clock.there(at)), at, "{server}");
        }
        assert_eq!(clock.ahead(), Some(-3_600_000));
    }

    #[test]
    fn numbers_grow_with_the_clock_of_the_server() {
        let clock = Clock::new();
        let first = clock.numbers(1_000);
        let second = clock.numbers(1);
        assert!(second >= first + 1_000);
        assert!((first / 1_000 - Millis::now().0).abs() < 60_000);
        let now = Millis::now();
        clock.read(now.plus(3_600_000), now, now);
        let ahead = clock.numbers(1);
        assert!(ahead - second > 3_500_000_000 && ahead < 1 << 53);
        // Set back, it goes on behind the last one.
        clock.read(now, now, now);
        assert_eq!(clock.numbers(5), ahead + 1);
    }

    #[test]
    fn one_caller_asks_again() {
        let clock = Clock::new();
        assert!(clock.is_due());
        assert!(!clock.is_due());
    }
}
