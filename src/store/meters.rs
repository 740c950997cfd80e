//! Counts and latencies of operations since the store was opened.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::contract::step::Reply;
use crate::error::{Kind, Result};

/// Latencies above an hour are counted as an hour.
const LONGEST_US: u64 = 3_600_000_000;

/// Latencies of one kind of operation, from the call to the answer.
pub struct Meter {
    state: Mutex<Option<State>>,
}

struct State {
    micros: Histogram<u64>,
    errors: u64,
}

/// A snapshot of a [`Meter`]; durations are in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Latency {
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

impl Default for Meter {
    fn default() -> Self {
        Self { state: Mutex::new(None) }
    }
}

impl Meter {
    /// Counts one operation. The histogram (some 60 KB) is made by the first one.
    pub fn record(&self, took: Duration, succeeded: bool) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(LONGEST_US);
        let mut guard = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if guard.is_none() {
            *guard = Histogram::new_with_bounds(1, LONGEST_US, 2).ok().map(|micros| State { micros, errors: 0 });
        }
        if let Some(state) = guard.as_mut() {
            state.micros.saturating_record(micros);
            state.errors += u64::from(!succeeded);
        }
    }

    /// What has been counted so far; `None` before the first operation.
    pub fn latency(&self) -> Option<Latency> {
        let guard = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        #[allow(clippy::cast_precision_loss)]
        let millis = |micros: u64| micros as f64 / 1000.0;
        guard.as_ref().map(|state| Latency {
            count: state.micros.len(),
            errors: state.errors,
            p50_ms: millis(state.micros.value_at_quantile(0.50)),
            p95_ms: millis(state.micros.value_at_quantile(0.95)),
            p99_ms: millis(state.micros.value_at_quantile(0.99)),
            max_ms: millis(state.micros.max()),
        })
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
        let latency = meter.latency().unwrap();
        assert_eq!((latency.count, latency.errors), (100, 1));
        assert!((latency.p50_ms - 50.0).abs() < 1.0, "{latency:?}");
        assert!(latency.max_ms >= 99.0);
    }
}
