//! Points in time are Unix milliseconds, always passed as parameters: one clock
//! (the caller's), deterministic tests, no `now()` in any statement.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use jiff::civil::{DateTime, date};
use jiff::{SignedDuration, Timestamp};

/// Unix time in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Millis(pub i64);

/// 2001-01-01T00:00:00Z. Until the year 32971 the seconds of the present, taken for milliseconds, are an earlier time.
const SECONDS_UNTIL: Millis = Millis(978_307_200_000);

/// The last instant that a four-digit year can say: 9999-12-31T23:59:59.999Z.
/// Later ones would break the text order of ISO 8601 that SQLite's index relies on.
const LAST_FOUR_DIGIT_YEAR: i64 = 253_402_300_799_999;

/// 0000-01-01T00:00:00.000Z.
const YEAR_0: i64 = -62_167_219_200_000;

impl Millis {
    /// The present, by this process's clock.
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    /// Whether it must be seconds that were taken for milliseconds.
    pub fn is_seconds(self) -> bool {
        self < SECONDS_UNTIL
    }

    /// This instant and `millis` more.
    #[must_use]
    pub fn plus(self, millis: u64) -> Self {
        Self(self.0.saturating_add(i64::try_from(millis).unwrap_or(i64::MAX)))
    }

    /// This instant and `millis` less.
    #[must_use]
    pub fn minus(self, millis: u64) -> Self {
        Self(self.0.saturating_sub(i64::try_from(millis).unwrap_or(i64::MAX)))
    }

    /// ISO 8601 in UTC with milliseconds, as JavaScript's `Date.toISOString()` writes it.
    /// Years after 9999 are written as the end of 9999, so that text order stays time order.
    pub fn to_iso(self) -> String {
        let since = SignedDuration::from_millis(self.0.clamp(0, LAST_FOUR_DIGIT_YEAR));
        // Civil time, because jiff's `Timestamp` ends a day before the year 9999 does.
        epoch().saturating_add(since).strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
    }

    /// ISO 8601 in UTC with milliseconds, exactly; nothing for years that four digits do not say.
    pub fn iso(self) -> Option<String> {
        let at = epoch().checked_add(SignedDuration::from_millis(self.0)).ok()?;
        (at.year() >= 0).then(|| at.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string())
    }

    /// Reads ISO 8601 as any program may have written it: with `T` or a space, with or
    /// without a fraction, with `Z`, an offset or neither (then it is UTC).
    pub fn from_iso(text: &str) -> Option<Self> {
        let text = text.trim();
        // JavaScript's years of six digits: as far as four say.
        match text.as_bytes() {
            [b'+', b'0'..=b'9', ..] => return Some(Self(LAST_FOUR_DIGIT_YEAR)),
            [b'-', b'0'..=b'9', ..] => return Some(Self(YEAR_0)),
            _ => {}
        }
        let utc = text.strip_suffix(['Z', 'z']).unwrap_or(text);
        // As we write it ourselves there is no offset to look for.
        let has_no_offset = utc.len() < text.len() && utc.get(10..).is_some_and(|time| !time.contains(['+', '-', '[']));
        if !has_no_offset && let Ok(at) = utc.parse::<Timestamp>() {
            return Some(Self(at.as_millisecond()));
        }
        let since = utc.parse::<DateTime>().ok()?.duration_since(epoch());
        i64::try_from(since.as_millis()).ok().map(Self)
    }
}

/// A clock that is set right by slewing, and a thread that is interrupted between two looks, account for so much.
const UNSET_MS: i64 = 100;

/// When something was found out about a clock: by the wall clock, and by one that nobody sets.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    wall: Millis,
    at: Instant,
}

impl Moment {
    /// The present.
    pub fn now() -> Self {
        Self { wall: Millis::now(), at: Instant::now() }
    }

    /// How long ago it was, whatever the wall clock says.
    pub fn age(&self) -> Duration {
        self.at.elapsed()
    }

    /// By how many milliseconds the wall clock has been set forward since, below 0 if it was set back. The time in
    /// which the machine slept may count as such.
    pub fn jump(&self) -> i64 {
        self.jump_at(Millis::now(), self.age())
    }

    fn jump_at(&self, now: Millis, age: Duration) -> i64 {
        let passed = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
        let jump = now.0.saturating_sub(self.wall.0).saturating_sub(passed);
        if jump.abs() <= UNSET_MS.saturating_add(passed / 1_000) { 0 } else { jump }
    }
}

fn epoch() -> DateTime {
    date(1970, 1, 1).at(0, 0, 0, 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_clock_that_is_set_is_noticed() {
        let moment = Moment { wall: Millis(1_000_000), at: Instant::now() };
        let after = |wall: i64, passed: u64| moment.jump_at(Millis(1_000_000 + wall), Duration::from_millis(passed));
        for (wall, passed) in [(0, 0), (30_000, 30_000), (30_100, 30_000), (29_880, 30_000), (60, 0)] {
            assert_eq!(after(wall, passed), 0, "{wall} {passed}");
        }
        assert_eq!(after(-3_600_000, 0), -3_600_000);
        assert_eq!(after(3_610_000, 10_000), 3_600_000);
        assert_eq!(after(1_000, 500), 500);
        assert_eq!(Moment::now().jump(), 0);
    }

    #[test]
    fn reads_what_other_programs_write() {
        let expected = Some(Millis(1_784_555_238_120));
        for text in [
            "2026-07-20T13:47:18.120Z",
            "2026-07-20 13:47:18.120",
            "2026-07-20T13:47:18.12+00:00",
            "2026-07-20T15:47:18.120+02:00",
            "2026-07-20 13:47:18.120Z",
        ] {
            assert_eq!(Millis::from_iso(text), expected, "{text}");
        }
        assert_eq!(Millis::from_iso("9999-12-31T23:59:59.999Z"), Some(Millis(LAST_FOUR_DIGIT_YEAR)));
        assert_eq!(Millis::from_iso("+275760-09-13T00:00:00.000Z"), Some(Millis(LAST_FOUR_DIGIT_YEAR)));
        assert_eq!(Millis::from_iso("-000001-01-01T00:00:00.000Z"), Some(Millis(YEAR_0)));
        assert_eq!(Millis::from_iso("soon"), None);
        assert_eq!(Millis::from_iso(""), None);
    }

    #[test]
    fn what_iso_says_is_exact_or_not_said() {
        for (at, text) in [
            (-1, "1969-12-31T23:59:59.999Z"),
            (-62_167_219_200_000, "0000-01-01T00:00:00.000Z"),
            (LAST_FOUR_DIGIT_YEAR, "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(Millis(at).iso().as_deref(), Some(text));
        }
        for at in [LAST_FOUR_DIGIT_YEAR + 1, -62_167_219_200_001, i64::MAX, i64::MIN] {
            assert_eq!(Millis(at).iso(), None);
        }
    }

    #[test]
    fn years_after_9999_keep_the_text_order() {
        assert_eq!(Millis(8_640_000_000_000_000).to_iso(), "9999-12-31T23:59:59.999Z");
    }

    proptest! {
        #[test]
        fn iso_round_trips_and_sorts(a in 0..LAST_FOUR_DIGIT_YEAR, b in 0..LAST_FOUR_DIGIT_YEAR) {
            prop_assert_eq!(Millis::from_iso(&Millis(a).to_iso()), Some(Millis(a)));
            prop_assert_eq!(Millis(a).to_iso().cmp(&Millis(b).to_iso()), a.cmp(&b));
        }
    }
}
