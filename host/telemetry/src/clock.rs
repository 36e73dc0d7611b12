//! The time of day: read from the system's clock, formatted as dates in UTC, and parsed from them.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

/// Now, in milliseconds since 1970.
///
/// The system's clock may be set back: for durations use an `Instant`.
#[must_use]
pub fn unix_ms() -> u64 {
    since_1970(SystemTime::now())
}

/// Milliseconds since 1970; 0 for earlier times.
#[must_use]
pub fn since_1970(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).map_or(0, millis)
}

/// A duration in whole milliseconds.
#[must_use]
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A time in the form of RFC 3339, with milliseconds: `2026-07-31T23:59:59.123Z`.
///
/// # Units
/// Milliseconds since 1970. The last year that can be formatted is 9999.
pub fn rfc3339(ms: u64) -> impl fmt::Display {
    let at = timestamp(ms);
    fmt::from_fn(move |f| write!(f, "{at:.3}"))
}

/// A time for people: `2026-07-31 23:59:59 UTC`.
///
/// # Units
/// As [`rfc3339`].
pub fn date_and_time(ms: u64) -> impl fmt::Display {
    timestamp(ms).strftime("%Y-%m-%d %H:%M:%S UTC")
}

/// The first millisecond of a day from 1970 on, written exactly as `2026-07-31`.
#[must_use]
pub fn start_of_day(date: &str) -> Option<u64> {
    let day: Date = date.parse().ok()?;
    // The parser accepts more than is documented, such as a time after the date.
    if day.to_string() != date {
        return None;
    }
    let midnight = TimeZone::UTC.to_timestamp(day.at(0, 0, 0, 0)).ok()?;
    u64::try_from(midnight.as_millisecond()).ok()
}

fn timestamp(ms: u64) -> Timestamp {
    let ms = i64::try_from(ms).unwrap_or(i64::MAX);
    Timestamp::from_millisecond(ms).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_moments_are_right() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_785_578_400_123, "2026-08-01T10:00:00.123Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(rfc3339(ms).to_string(), text);
        }
        assert_eq!(
            date_and_time(86_399_999).to_string(),
            "1970-01-01 23:59:59 UTC"
        );
        assert!(rfc3339(u64::MAX).to_string().starts_with("9999-12-"));
    }

    #[test]
    fn a_day_begins_at_its_midnight() {
        assert_eq!(start_of_day("1970-01-01"), Some(0));
        assert_eq!(start_of_day("2000-02-29"), Some(951_782_400_000));
        assert_eq!(start_of_day("2100-03-01"), Some(4_107_542_400_000));
    }

    #[test]
    fn what_is_not_a_date_is_refused() {
        for text in [
            "",
            "2026",
            "2026-13-01",
            "2026-00-10",
            "x-1-1",
            "1969-01-01",
            "2026-01-32",
            "2026-02-30",
            "2026-1-1",
            "2026-01-01-1",
            "+2026-01-01",
            "2026-01-01T00:00:00",
        ] {
            assert_eq!(start_of_day(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_before_1970_is_its_beginning() {
        let before = UNIX_EPOCH - Duration::from_secs(1);
        assert_eq!(since_1970(before), 0);
    }
}
