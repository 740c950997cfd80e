//! Counts and latencies of operations since the store was opened.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::{Counter, Histogram};

use crate::contract::step::Reply;
use crate::error::{Kind, Result};

/// Latencies above an hour are counted as an hour.
const LONGEST_US: u64 = 3_600_000_000;

/// What is told of the last minutes is of so many of them, the one that is under way among them.
const RECENT: usize = 5;
/// Latencies above ten minutes are counted as ten minutes there.
const LONGEST_RECENT_US: u64 = 600_000_000;

/// Latencies of one kind of operation, from the call to the answer.
#[derive(Default)]
pub struct Meter {
    state: Mutex<Option<State>>,
}

struct State {
    began: Instant,
    micros: Histogram<u64>,
    errors: u64,
    minutes: [Option<Minute>; RECENT],
}

/// What has been done in one minute, counted from the first operation on.
struct Minute {
    number: u64,
    micros: Histogram<u32>,
    errors: u64,
}

/// Counts and percentiles; durations are in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Percentiles {
    /// Operations answered, failed ones included.
    pub count: u64,
    /// Operations that failed.
    pub errors: u64,
    /// The median.
    pub p50_ms: f64,
    /// The 95th percentile.
    pub p95_ms: f64,
    /// The 99th percentile.
    pub p99_ms: f64,
    /// The slowest.
    pub max_ms: f64,
}

/// A snapshot of a [`Meter`]: since the store was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Latency {
    /// Of all the time.
    pub all: Percentiles,
    /// Of the last minutes.
    pub recent: Percentiles,
}

impl Meter {
    /// Counts one operation. The histogram (some 60 KB) is made by the first one.
    pub fn record(&self, took: Duration, succeeded: bool) {
        self.record_at(Instant::now(), took, succeeded);
    }

    /// The same, at a time.
    fn record_at(&self, now: Instant, took: Duration, succeeded: bool) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(LONGEST_US);
        let mut guard = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if guard.is_none() {
            *guard = State::new(now);
        }
        if let Some(state) = guard.as_mut() {
            state.micros.saturating_record(micros);
            state.errors += u64::from(!succeeded);
            if let Some(minute) = state.minute(now) {
                minute.micros.saturating_record(micros);
                minute.errors += u64::from(!succeeded);
            }
        }
    }

    /// What has been counted so far; `None` before the first operation.
    pub fn latency(&self) -> Option<Latency> {
        self.latency_at(Instant::now())
    }

    fn latency_at(&self, now: Instant) -> Option<Latency> {
        let guard = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        guard.as_ref().map(|state| Latency { all: percentiles(&state.micros, state.errors), recent: state.recent(now) })
    }
}

impl State {
    fn new(now: Instant) -> Option<Self> {
        let micros = Histogram::new_with_bounds(1, LONGEST_US, 2).ok()?;
        Some(Self { began: now, micros, errors: 0, minutes: Default::default() })
    }

    fn number(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.began).as_secs() / 60
    }

    /// The minute that is under way. It takes the place of the one that is too old.
    fn minute(&mut self, now: Instant) -> Option<&mut Minute> {
        let number = self.number(now);
        // Less than RECENT.
        let at = usize::try_from(number % RECENT as u64).unwrap_or(0);
        let place = &mut self.minutes[at];
        match place {
            None => {
                let micros = Histogram::new_with_bounds(1, LONGEST_RECENT_US, 2).ok()?;
                *place = Some(Minute { number, micros, errors: 0 });
            }
            Some(minute) if minute.number != number => {
                minute.micros.reset();
                (minute.number, minute.errors) = (number, 0);
            }
            Some(_) => {}
        }
        place.as_mut()
    }

    fn recent(&self, now: Instant) -> Percentiles {
        let oldest = self.number(now).saturating_sub(RECENT as u64 - 1);
        let mut minutes = self.minutes.iter().flatten().filter(|minute| minute.number >= oldest);
        let Some(first) = minutes.next() else { return Percentiles::default() };
        let (mut micros, mut errors) = (first.micros.clone(), first.errors);
        for minute in minutes {
            // They have the same bounds: it cannot fail.
            if micros.add(&minute.micros).is_ok() {
                errors += minute.errors;
            }
        }
        percentiles(&micros, errors)
    }
}

fn percentiles<C: Counter>(micros: &Histogram<C>, errors: u64) -> Percentiles {
    #[allow(clippy::cast_precision_loss)]
    let millis = |micros: u64| micros as f64 / 1000.0;
    Percentiles {
        count: micros.len(),
        errors,
        p50_ms: millis(micros.value_at_quantile(0.50)),
        p95_ms: millis(micros.value_at_quantile(0.95)),
        p99_ms: millis(micros.value_at_quantile(0.99)),
        max_ms: millis(micros.max()),
    }
}

/// Whether it counts as a success: that there is none, or another one, is an answer.
pub(super) fn is_answer(result: &Result<Reply>) -> bool {
    const ANSWERS: [Kind; 3] = [Kind::NotFound, Kind::AlreadyExists, Kind::ConcurrencyConflict];
    !result.as_ref().is_err_and(|error| !ANSWERS.contains(&error.kind()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_percentiles() {
        let meter = Meter::default();
        assert_eq!(meter.latency(), None);
        for millis in 1..=100 {
            meter.record(Duration::from_millis(millis), millis != 100);
        }
        let latency = meter.latency().unwrap().all;
        assert_eq!((latency.count, latency.errors), (100, 1));
        assert!((latency.p50_ms - 50.0).abs() < 1.0, "{latency:?}");
        assert!(latency.max_ms >= 99.0);
    }

    #[test]
    fn the_last_minutes_forget_what_is_older() {
        let (meter, began) = (Meter::default(), Instant::now());
        let minutes = |count: u64| began + Duration::from_secs(60 * count);
        meter.record_at(began, Duration::from_millis(900), false);
        for minute in 1..4 {
            meter.record_at(minutes(minute), Duration::from_millis(1), true);
        }
        let first = meter.latency_at(minutes(4)).unwrap();
        assert_eq!((first.all.count, first.recent.count, first.recent.errors), (4, 4, 1));
        let later = meter.latency_at(minutes(5)).unwrap();
        assert_eq!((later.all.count, later.recent.count, later.recent.errors), (4, 3, 0));
        assert!(later.all.max_ms >= 900.0 && later.recent.max_ms < 2.0, "{later:?}");
        // It is in the place of the first one.
        meter.record_at(minutes(5), Duration::from_millis(1), true);
        assert_eq!(meter.latency_at(minutes(5)).unwrap().recent.count, 4);
        let idle = meter.latency_at(minutes(60)).unwrap();
        assert_eq!((idle.all.count, idle.recent), (5, Percentiles::default()));
    }
}
