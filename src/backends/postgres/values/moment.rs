//! Points in time, dates and times of day. Without a time zone they are in UTC, like the
//! driver's sessions.

use jiff::Timestamp;
use jiff::civil::{DateTime, Time, date};

use crate::time::Millis;

/// 2000-01-01 in Unix milliseconds: where PostgreSQL's time starts.
const EPOCH: i64 = 946_684_800_000;
const DAY_MICROS: i64 = 86_400_000_000;
/// The first and the last that PostgreSQL can say, in microseconds: 4714-11-24 BC to 294276 AD.
const TIMESTAMPS: std::ops::Range<i64> = -211_813_488_000_000_000..9_223_371_331_200_000_000;
/// The farthest that JavaScript's `Date` goes, in milliseconds from 1970.
const FARTHEST: i64 = 8_640_000_000_000_000;

/// Microseconds since 2000, as `timestamp` and `timestamptz` have them.
pub(super) fn micros_of(at: Millis) -> Option<i64> {
    let micros = at.0.checked_sub(EPOCH)?.checked_mul(1_000)?;
    TIMESTAMPS.contains(&micros).then_some(micros)
}

/// The same, of ISO 8601 text or `infinity`. Text without an offset is in UTC.
pub(super) fn micros_of_text(text: &str) -> Option<i64> {
    let text = text.trim_ascii();
    if let Some(infinity) = infinity_of(text) {
        return Some(infinity);
    }
    let utc = text.strip_suffix(['Z', 'z']).unwrap_or(text);
    let nanos = match utc.parse::<Timestamp>() {
        Ok(at) => at.as_nanosecond() - i128::from(EPOCH) * 1_000_000,
        Err(_) => utc.parse::<DateTime>().ok()?.duration_since(date(2000, 1, 1).at(0, 0, 0, 0)).as_nanos(),
    };
    let micros = i64::try_from((nanos + 500).div_euclid(1_000)).ok()?;
    TIMESTAMPS.contains(&micros).then_some(micros)
}

fn infinity_of(text: &str) -> Option<i64> {
    match &*text.to_ascii_lowercase() {
        "infinity" => Some(i64::MAX),
        "-infinity" => Some(i64::MIN),
        _ => None,
    }
}

/// Days since 2000, as `date` has them: the date in UTC.
pub(super) fn days_of_micros(micros: i64) -> i32 {
    match micros {
        i64::MAX => i32::MAX,
        i64::MIN => i32::MIN,
        // The range of microseconds is some 108 million days.
        micros => i32::try_from(micros.div_euclid(DAY_MICROS)).unwrap_or(i32::MAX),
    }
}

/// Microseconds since midnight, as `time` has them.
pub(super) fn time_of(at: Millis) -> i64 {
    at.0.rem_euclid(DAY_MICROS / 1_000) * 1_000
}

/// The same, of `HH:MM[:SS[.fraction]]`.
pub(super) fn time_of_text(text: &str) -> Option<i64> {
    let text = text.trim_ascii();
    // PostgreSQL's end of the day, which jiff does not know.
    if let Some(zeros) = text.strip_prefix("24:00") {
        return zeros.bytes().all(|byte| b":0.".contains(&byte)).then_some(DAY_MICROS);
    }
    if !text.starts_with(|c: char| c.is_ascii_digit()) || text.find(':') != Some(2) {
        return None;
    }
    let time = text.parse::<Time>().ok()?;
    let nanos = time.duration_since(Time::midnight()).as_nanos();
    i64::try_from((nanos + 500).div_euclid(1_000)).ok()
}

/// What microseconds since 2000 stand for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Moment {
    /// An instant, cut to milliseconds.
    At(Millis),
    /// `infinity` or `-infinity`.
    Never(&'static str),
}

/// Reads microseconds since 2000; nothing where JavaScript has no `Date` for it.
pub(super) fn moment(micros: i64) -> Option<Moment> {
    match micros {
        i64::MAX => Some(Moment::Never("infinity")),
        i64::MIN => Some(Moment::Never("-infinity")),
        micros => {
            let at = micros.div_euclid(1_000) + EPOCH;
            (at.abs() <= FARTHEST).then_some(Moment::At(Millis(at)))
        }
    }
}

/// Reads days since 2000; nothing where JavaScript has no `Date` for it.
pub(super) fn moment_of_days(days: i32) -> Option<Moment> {
    match days {
        i32::MAX => moment(i64::MAX),
        i32::MIN => moment(i64::MIN),
        days => moment(i64::from(days).checked_mul(DAY_MICROS)?),
    }
}

/// Writes microseconds since midnight as PostgreSQL does.
pub(super) fn time_text(micros: i64) -> String {
    let (seconds, fraction) = (micros / 1_000_000, micros % 1_000_000);
    let mut text = format!("{:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60);
    if fraction > 0 {
        text.push_str(format!(".{fraction:06}").trim_end_matches('0'));
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn text_is_read_to_the_microsecond() {
        for (text, micros) in [
            ("2000-01-01T00:00:00Z", 0),
            ("2000-01-01", 0),
            ("2000-01-01 00:00:00.000001", 1),
            ("2000-01-01T01:00:00.1234565+01:00", 123_457),
            ("2000-01-01 01:00:00.5+01", 500_000),
            ("1999-12-31T23:59:59.999999Z", -1),
            ("2000-01-01T00:01", 60_000_000),
            ("Infinity", i64::MAX),
            ("-infinity", i64::MIN),
        ] {
            assert_eq!(micros_of_text(text), Some(micros), "{text}");
        }
        for text in ["", "now", "tomorrow", "12:30", "2000-13-01", "20 July 2026", "2000-01-01 25:00", "-009999-01-01"]
        {
            assert_eq!(micros_of_text(text), None, "{text}");
        }
    }

    #[test]
    fn dates_are_those_of_utc() {
        for (text, days) in [
            ("2000-01-02", 1),
            ("1999-12-31T23:00:00Z", -1),
            ("2000-01-01T00:30:00+02:00", -1),
            ("infinity", i32::MAX),
            ("-infinity", i32::MIN),
        ] {
            assert_eq!(days_of_micros(micros_of_text(text).unwrap()), days, "{text}");
        }
        assert_eq!(moment_of_days(-1), Some(Moment::At(Millis(EPOCH - 86_400_000))));
        assert_eq!(moment_of_days(i32::MIN), Some(Moment::Never("-infinity")));
        // The year 5874897, the last of `date`.
        assert_eq!(moment_of_days(2_145_031_948), None);
    }

    #[test]
    fn times_of_day_are_read_and_written() {
        for (text, micros, written) in [
            ("00:00", 0, "00:00:00"),
            ("13:47:18.120", 49_638_120_000, "13:47:18.12"),
            ("23:59:59.999999", DAY_MICROS - 1, "23:59:59.999999"),
            ("24:00:00", DAY_MICROS, "24:00:00"),
        ] {
            assert_eq!(time_of_text(text), Some(micros), "{text}");
            assert_eq!(time_text(micros), written);
        }
        for text in ["", "24:00:01", "25:00", "1", "2000-01-01", "noon", "T12:00"] {
            assert_eq!(time_of_text(text), None, "{text}");
        }
        assert_eq!(time_of(Millis(-1)), DAY_MICROS - 1_000);
    }

    #[test]
    fn what_does_not_fit_is_told() {
        assert_eq!(micros_of(Millis(-8_640_000_000_000_000)), None);
        assert!(micros_of(Millis(8_640_000_000_000_000)).is_some());
        assert_eq!(moment(TIMESTAMPS.end - 1), None);
    }

    proptest! {
        #[test]
        fn dates_of_javascript_come_back(at in -60_000_000_000_000_i64..FARTHEST) {
            prop_assert_eq!(moment(micros_of(Millis(at)).unwrap()), Some(Moment::At(Millis(at))));
        }

        #[test]
        fn iso_text_is_the_same_instant(at in 0_i64..253_402_300_799_999) {
            prop_assert_eq!(micros_of_text(&Millis(at).to_iso()), micros_of(Millis(at)));
        }
    }
}
