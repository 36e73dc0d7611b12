//! Days and months in UTC, in which budgets are counted.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _, Unit as Round};

/// What a budget is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A day.
    Day,
    /// A month.
    Month,
}

/// A day or a month in UTC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// Which one: `2026-11-27`, or `2026-11`.
    pub label: String,
    /// In how many milliseconds it was over when somebody asked.
    pub left_ms: u64,
}

impl Window {
    /// The one that has this time, in milliseconds since 1970. A time that no calendar has counts as 1970.
    #[must_use]
    pub fn at(unit: Unit, unix_ms: u64) -> Self {
        let time = i64::try_from(unix_ms).ok();
        let time = time.and_then(|ms| Timestamp::from_millisecond(ms).ok());
        let time = time.unwrap_or(Timestamp::UNIX_EPOCH);
        let now = TimeZone::UTC.to_datetime(time);
        let (label, begins, length) = match unit {
            Unit::Day => (now.strftime("%Y-%m-%d"), now.date(), 1.day()),
            Unit::Month => (
                now.strftime("%Y-%m"),
                now.date().first_of_month(),
                1.month(),
            ),
        };
        let begins = DateTime::from(begins);
        // The last day of the last year has no end: whoever sees it may begin it again and again.
        let ends = begins.checked_add(length).unwrap_or(now);
        let left = now.until((Round::Millisecond, ends));
        let left = left.map_or(0, |left| left.get_milliseconds());
        Self {
            label: label.to_string(),
            left_ms: u64::try_from(left).unwrap_or(0).max(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(unit: Unit, time: &str) -> (String, u64) {
        let time: Timestamp = time.parse().expect("a time");
        let unix = u64::try_from(time.as_millisecond()).expect("after 1970");
        let Window { label, left_ms } = Window::at(unit, unix);
        (label, left_ms)
    }

    #[test]
    fn a_window_is_over_at_midnight_in_utc() {
        const HOUR: u64 = 60 * 60 * 1000;
        for (unit, time, label, left) in [
            (Unit::Day, "2026-11-27T00:00:00Z", "2026-11-27", 24 * HOUR),
            (Unit::Day, "2026-11-27T23:59:59.999Z", "2026-11-27", 1),
            (Unit::Day, "2028-02-29T12:00:00Z", "2028-02-29", 12 * HOUR),
            (
                Unit::Month,
                "2026-11-27T00:00:00Z",
                "2026-11",
                4 * 24 * HOUR,
            ),
            (Unit::Month, "2026-12-31T23:00:00Z", "2026-12", HOUR),
            (
                Unit::Month,
                "2028-02-01T00:00:00Z",
                "2028-02",
                29 * 24 * HOUR,
            ),
        ] {
            assert_eq!(at(unit, time), (label.to_owned(), left), "{time}");
        }
    }

    #[test]
    fn no_time_is_too_late() {
        for unit in [Unit::Day, Unit::Month] {
            for time in [0, 253_402_207_199_000, 253_402_300_799_999, u64::MAX] {
                assert!(Window::at(unit, time).left_ms > 0, "{time}");
            }
        }
    }
}
