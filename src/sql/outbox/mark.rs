//! From where claims look for events (PostgreSQL).
//!
//! What was claimed and acknowledged leaves rows behind that the server cannot remove while any transaction is older
//! than they are, and a look at the queue from its start reads them all. So a claim begins where the one before has
//! found its first event. From the start it looks once a second, and where it has found less than it wants, unless such
//! looks take much longer than others: then a tenth of the time goes into them at most. A claim that takes only some
//! events looks from the start.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Every so often a claim looks from the start.
const FROM_START: Duration = Duration::from_secs(1);

/// So many times as long as a costly look from the start took, no other one follows because a claim has found too little.
const PAUSE: u32 = 9;

/// A look from the start is costly that takes longer than this, and so many times as long as one from the mark.
const LONG: Duration = Duration::from_millis(20);
const LONGER: u32 = 4;

/// Where claims begin.
#[derive(Default)]
pub(super) struct Mark(Mutex<State>);

#[derive(Default)]
struct State {
    /// The number of the first event of the last claim.
    seq: i64,
    /// When the last look from the start ended.
    last: Option<Instant>,
    /// How long no other one follows because a claim has found too little.
    pause: Duration,
}

impl Mark {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where a claim begins: 0 is the start.
    pub(super) fn begin(&self) -> i64 {
        let state = self.lock();
        match state.last {
            Some(at) if at.elapsed() < FROM_START => state.seq,
            _ => 0,
        }
    }

    /// Whether one that has found too little may look from the start.
    pub(super) fn may_look_again(&self) -> bool {
        let state = self.lock();
        state.last.is_none_or(|at| at.elapsed() >= state.pause)
    }

    /// A claim has looked from the start.
    pub(super) fn looked(&self) {
        self.lock().last = Some(Instant::now());
    }

    /// How long a claim took that has looked from the mark and then from the start.
    pub(super) fn took(&self, from_mark: Duration, from_start: Duration) {
        let is_costly = from_start > LONG && from_start > from_mark * LONGER;
        self.lock().pause = if is_costly { from_start * PAUSE } else { Duration::ZERO };
    }

    /// The first event that a claim has given.
    pub(super) fn found(&self, seq: i64) {
        self.lock().seq = seq;
    }

    /// Something is free again that may stand before the mark: the next claim looks from the start.
    pub(super) fn reset(&self) {
        self.lock().last = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_begin_where_the_last_one_has_and_look_from_the_start_at_times() {
        let mark = Mark::default();
        assert_eq!(mark.begin(), 0);
        mark.found(7);
        assert_eq!(mark.begin(), 0);
        mark.looked();
        assert_eq!(mark.begin(), 7);
        mark.reset();
        assert_eq!(mark.begin(), 0);
        let long_ago = |ms| Instant::now().checked_sub(Duration::from_millis(ms)).unwrap();
        mark.lock().last = Some(long_ago(1_000));
        assert_eq!(mark.begin(), 0);
    }

    #[test]
    fn looks_from_the_start_that_take_long_are_rare() {
        let mark = Mark::default();
        assert!(mark.may_look_again());
        let ms = Duration::from_millis;
        for (mark_took, start_took, ended, may) in
            [(1, 100, 0, false), (1, 100, 899, false), (1, 100, 901, true), (30, 100, 0, true), (1, 19, 0, true)]
        {
            mark.took(ms(mark_took), ms(start_took));
            mark.lock().last = Some(Instant::now().checked_sub(ms(ended)).unwrap());
            assert_eq!(mark.may_look_again(), may, "{mark_took} {start_took} {ended}");
        }
    }
}
