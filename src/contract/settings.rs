//! The options that every store has.

use std::time::Duration;

use super::executions::Terms;
use super::outbox;
use crate::codec::compression::Compression;
use crate::error::Result;
use crate::options::OptionReader;

/// How often and how soon a failed operation is repeated (full jitter).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Attempts in all, the first included.
    pub attempts: u32,
    /// The longest pause before the second attempt; it doubles with each further one.
    pub base: Duration,
    /// The longest pause of all.
    pub max: Duration,
}

impl Retry {
    /// A random pause after `failed` failed attempts.
    pub fn pause(&self, failed: u32) -> Duration {
        let ceiling = self.base.saturating_mul(1_u32 << failed.saturating_sub(1).min(20)).min(self.max);
        ceiling.mul_f64(fastrand::f64())
    }
}

/// The options that every store has.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How long a payload that was already past its expiry at the put is kept.
    pub late_retention: Duration,
    /// The caller's own limit on a payload's bytes, as they are stored.
    pub max_payload_bytes: Option<u64>,
    /// Whether payloads are compressed.
    pub compression: Compression,
    /// The longest that a promise stays pending.
    pub operation_timeout: Duration,
    /// The longest that reaching the server may take.
    pub connect_timeout: Duration,
    /// Repeating what failed.
    pub retry: Retry,
    /// How long a saga that has ended is kept after its last change; none: as others are.
    pub completed_ttl: Option<Duration>,
    /// How long a saga is kept after its last change; none: until it is deleted.
    pub default_ttl: Option<Duration>,
    /// What holds for executions.
    pub executions: Terms,
    /// What holds for the outbox.
    pub outbox: outbox::Terms,
}

impl Settings {
    /// Takes the common options.
    pub fn read(options: &mut OptionReader) -> Result<Self> {
        Ok(Self {
            late_retention: options.millis("lateRetentionMs", 3_600_000, 0)?,
            max_payload_bytes: match options.number("maxPayloadBytes", u64::MAX, 0..=u64::MAX)? {
                u64::MAX => None,
                limit => Some(limit),
            },
            compression: Compression::read(options)?,
            operation_timeout: options.millis("operationTimeoutMs", 30_000, 1)?,
            connect_timeout: options.millis("connectTimeoutMs", 5_000, 1)?,
            retry: options.nested("retry", "retry.", |retry| {
                Ok(Retry {
                    attempts: u32::try_from(retry.number("attempts", 3, 1..=100)?).unwrap_or(1),
                    base: retry.millis("baseMs", 50, 0)?,
                    max: retry.millis("maxMs", 2_000, 0)?,
                })
            })?,
            completed_ttl: ttl(options, "completedTtlMs")?,
            default_ttl: ttl(options, "defaultTtlMs")?,
            executions: Terms {
                ttl_ms: Some(options.number("executionTtlMs", 0, 0..=MAX_MS)?).filter(|ttl| *ttl > 0),
                backoff_ms: options.number("recoveryBackoffMs", 1_000, 0..=MAX_MS)?,
                max_entries: signed(options.number("maxHistoryEntries", 10_000, 1..=MAX_MS)?),
                max_bytes: signed(options.number("maxHistoryBytes", 50 * 1024 * 1024, 1..=MAX_MS)?),
            },
            outbox: options.nested("outbox", "outbox.", read_outbox)?,
        })
    }
}

fn read_outbox(options: &mut OptionReader) -> Result<outbox::Terms> {
    Ok(outbox::Terms {
        max_retries: signed(options.number("maxRetries", 10, 0..=1_000_000)?),
        max_deliveries: signed(options.number("maxDeliveries", 20, 1..=1_000_000)?),
        backoff_ms: options.number("retryBackoffMs", 1_000, 0..=MAX_MS)?,
        skips_dead: options.choice("onDeadLetter", &["block", "skip"])? == "skip",
        retain_sent_ms: options.number("retainSentMs", 0, 0..=MAX_MS)?,
        retain_dead_ms: Some(options.number("retainDeadMs", 0, 0..=MAX_MS)?).filter(|ms| *ms > 0),
        notifies_in_transaction: options.choice("notify", &["commit", "transaction"])? == "transaction",
    })
}

/// As large as a number of the options may be: a thousand years in milliseconds.
const MAX_MS: u64 = 31_536_000_000_000;

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A time to live; 0 is for ever.
fn ttl(options: &mut OptionReader, name: &'static str) -> Result<Option<Duration>> {
    Ok(Some(options.millis(name, 0, 0)?).filter(|ttl| !ttl.is_zero()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_the_documented_ones() {
        let settings = Settings::read(&mut OptionReader::parse("{}").unwrap()).unwrap();
        assert_eq!(settings.late_retention, Duration::from_secs(3600));
        assert_eq!(settings.operation_timeout, Duration::from_secs(30));
        assert_eq!(settings.connect_timeout, Duration::from_secs(5));
        assert_eq!(settings.retry.attempts, 3);
    }

    #[test]
    fn pauses_have_full_jitter_under_a_doubling_ceiling() {
        let retry = Retry { attempts: 3, base: Duration::from_millis(50), max: Duration::from_millis(120) };
        for _ in 0..200 {
            assert!(retry.pause(1) <= Duration::from_millis(50));
            assert!(retry.pause(2) <= Duration::from_millis(100));
            assert!(retry.pause(30) <= Duration::from_millis(120));
        }
    }
}
