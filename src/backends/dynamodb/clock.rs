//! The server's clock beside ours.
//!
//! Expiries are points in time by the caller's clock, and TTL judges them by DynamoDB's: with a
//! clock that is behind, payloads would be removed before their time. So the `Date` of the answers
//! is looked at (it has a resolution of a second). If the clocks differ by more than the error of
//! that, expiries are stored in the server's time, and judged by it; then processes with different
//! clocks agree, too. Otherwise everything stays as it is.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_sdk_dynamodb::config::interceptors::BeforeDeserializationInterceptorContextRef;
use aws_sdk_dynamodb::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_dynamodb::error::BoxError;
use aws_sdk_dynamodb::primitives::{DateTime, DateTimeFormat};

use crate::time::{Millis, Moment};

/// Differences up to this are errors of measurement.
const TOLERANCE_MS: i64 = 2_000;
/// Looked at again after this.
const FRESH: Duration = Duration::from_secs(15);

/// How far the server's clock is ahead of ours.
#[derive(Debug, Default)]
pub(super) struct Clock(Mutex<State>, AtomicI64);

/// Of a place in the queue of events: what is left for numbers beside the milliseconds.
const PLACE_BITS: u32 = 21;

#[derive(Debug, Default)]
struct State {
    /// What is reckoned with; `None` before anything is known.
    shift: Option<i64>,
    /// Seen once. An answer that was read late looks the same, so the next one decides.
    candidate: Option<i64>,
    /// What the difference should be since our clock was set, until the server has told the time again.
    guess: Option<i64>,
    looked: Option<Moment>,
}

impl State {
    /// Our own clock has been set, as a clock that nobody sets tells: the server's has to be looked at anew.
    fn notice_jump(&mut self) {
        let jump = self.looked.map_or(0, |looked| looked.jump());
        if jump != 0 {
            let guess = self.shift.or(self.guess).map(|ahead| ahead.saturating_sub(jump));
            *self = Self { guess, ..Self::default() };
        }
    }
}

fn near(a: i64, b: i64) -> bool {
    a.abs_diff(b) <= TOLERANCE_MS.unsigned_abs()
}

impl Clock {
    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What the server's clock is ahead of ours, 0 if they agree; `None` if that is not known.
    pub(super) fn ahead(&self) -> Option<i64> {
        self.with(|state| {
            state.notice_jump();
            state.shift
        })
    }

    /// The present, as expiries are stored.
    pub(super) fn now(&self) -> Millis {
        self.stored(Millis::now())
    }

    /// A time by our clock, as it is stored.
    pub(super) fn stored(&self, at: Millis) -> Millis {
        Millis(at.0.saturating_add(self.shift()))
    }

    /// A stored time by our clock.
    pub(super) fn told(&self, at: Millis) -> Millis {
        Millis(at.0.saturating_sub(self.shift()))
    }

    fn shift(&self) -> i64 {
        self.ahead().or_else(|| self.with(|state| state.guess)).unwrap_or(0)
    }

    /// Gives up asking: what does not say its time is taken to have ours.
    pub(super) fn settle(&self) {
        self.with(|state| {
            let known = state.guess.unwrap_or(0);
            state.shift.get_or_insert(known);
        });
    }

    /// So many places in the queue of events, one after the other, behind all that this process has had: the first. Its
    /// beginning is the time; the rest is random, so that processes hardly ever have the same ones.
    pub(super) fn places(&self, count: i64) -> i64 {
        let random = fastrand::i64(0..1 << (PLACE_BITS - 1));
        let at_least = (self.now().0.clamp(0, i64::MAX >> PLACE_BITS) << PLACE_BITS) | random;
        let first = |last: i64| last.saturating_add(1).max(at_least);
        let next = |last| Some(first(last).saturating_add(count - 1));
        first(self.1.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).unwrap_or_default())
    }

    /// Whether an answer should be looked at.
    pub(super) fn is_due(&self) -> bool {
        self.with(|state| {
            state.notice_jump();
            state.candidate.is_some() || state.looked.is_none_or(|looked| looked.age() > FRESH)
        })
    }

    /// Looks at the `Date` of an answer that has just come.
    pub(super) fn read(&self, date: &str) {
        if let Ok(date) = DateTime::from_str(date, DateTimeFormat::HttpDate) {
            self.look(Millis(date.secs().saturating_mul(1_000)), Millis::now());
        }
    }

    /// An answer of the second `server` came at `now`.
    fn look(&self, server: Millis, now: Millis) {
        // Half a second, because a second is all that it tells.
        let seen = server.0 + 500 - now.0;
        self.with(|state| {
            let expected = state.shift.or(state.guess).unwrap_or(0);
            if near(seen, expected) {
                state.shift = Some(if near(expected, 0) { 0 } else { expected });
                state.candidate = None;
            } else if state.candidate.is_some_and(|candidate| near(candidate, seen)) {
                state.shift = Some(if near(seen, 0) { 0 } else { seen });
                state.candidate = None;
            } else {
                state.candidate = Some(seen);
            }
            state.looked = Some(Moment::now());
        });
    }
}

/// Looks at the answers as they come.
#[derive(Debug)]
pub(super) struct Observer(pub(super) Arc<Clock>);

impl Intercept for Observer {
    fn name(&self) -> &'static str {
        "sagastore::Clock"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if self.0.is_due()
            && let Some(date) = context.response().headers().get("date")
        {
            self.0.read(date);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = Millis(1_700_000_000_123);

    fn server(ahead: i64) -> Millis {
        Millis((NOW.0 + ahead).div_euclid(1_000) * 1_000)
    }

    #[test]
    fn clocks_that_agree_change_nothing() {
        let clock = Clock::default();
        assert_eq!(clock.ahead(), None);
        for ahead in [0, 900, -900, 1_400] {
            clock.look(server(ahead), NOW);
            assert_eq!(clock.ahead(), Some(0));
        }
        assert_eq!(clock.stored(NOW), NOW);
    }

    #[test]
    fn places_in_the_queue_grow() {
        let clock = Clock::default();
        let before = Millis::now().0;
        let (first, second, third) = (clock.places(3), clock.places(1), clock.places(1));
        assert!(second >= first + 3 && third > second);
        assert!(first >> PLACE_BITS >= before && third >> PLACE_BITS <= Millis::now().0 + 1);
    }

    #[test]
    fn a_difference_counts_when_it_is_seen_twice() {
        let clock = Clock::default();
        clock.look(server(3_600_000), NOW);
        assert!(clock.ahead().is_none() && clock.is_due());
        clock.look(server(3_600_700), NOW);
        assert!((clock.ahead().unwrap() - 3_600_000).abs() < 2_000);
        assert!(!clock.is_due());
        let before = clock.ahead();
        // Read late, once.
        clock.look(server(3_590_000), NOW);
        assert_eq!(clock.ahead(), before);
        clock.look(server(3_600_000), NOW);
        assert_eq!(clock.ahead(), before);
        // Set right.
        clock.look(server(0), NOW);
        clock.look(server(0), NOW);
        assert_eq!(clock.ahead(), Some(0));
    }
}
