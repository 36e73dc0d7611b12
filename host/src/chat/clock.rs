//! The wall clock, read in one place.

use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970. A clock before 1970 reads as 0.
pub(crate) fn now_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| {
            u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
        })
}

/// A duration in whole milliseconds, for the wire.
pub(crate) fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The day of a time, as `2026-07-31` in UTC.
///
/// # Source
/// Days to civil date after Howard Hinnant's published derivation for the proleptic Gregorian calendar.
pub(crate) fn day(ms: u64) -> String {
    let (year, month, day) = civil(ms);
    format!("{year:04}-{month:02}-{day:02}")
}

/// A time as `2026-07-31 23:59:59 UTC`.
pub(crate) fn stamp(ms: u64) -> String {
    let seconds = ms / 1000 % 86_400;
    format!(
        "{} {:02}:{:02}:{:02} UTC",
        day(ms),
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    )
}

/// The first millisecond of a day written as `2026-07-31`; `None` if it is not a date.
pub(crate) fn day_start(text: &str) -> Option<u64> {
    let mut parts = text.splitn(3, '-');
    let year: i64 = parts.next()?.parse().ok()?;
    let month: i64 = parts.next()?.parse().ok()?;
    let day: i64 = parts.next()?.parse().ok()?;
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Years start in March here, so that the leap day is the last of a year.
    let shifted = if month <= 2 { year - 1 } else { year };
    let era = shifted.div_euclid(400);
    let of_era = shifted.rem_euclid(400);
    let of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    // A day that its month does not have would silently be one of the next month.
    u64::try_from(days)
        .ok()?
        .checked_mul(86_400_000)
        .filter(|ms| self::day(*ms) == text)
}

fn civil(ms: u64) -> (u64, u64, u64) {
    let days = ms / 86_400_000 + 719_468;
    let era = days / 146_097;
    let of_era = days % 146_097;
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_days_are_named_and_found_again() {
        for (ms, name) in [
            (0, "1970-01-01"),
            (951_782_400_000, "2000-02-29"),
            (1_785_456_000_000, "2026-07-31"),
        ] {
            assert_eq!(day(ms), name);
            assert_eq!(day_start(name), Some(ms));
        }
        assert_eq!(stamp(86_399_999), "1970-01-01 23:59:59 UTC");
    }

    #[test]
    fn what_is_no_date_is_refused() {
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
        ] {
            assert_eq!(day_start(text), None, "{text}");
        }
    }
}
