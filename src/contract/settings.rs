//! The options that every store has.

use std::time::Duration;

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
        })
    }
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
