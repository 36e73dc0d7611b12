//! Moments as dates and times of day, in UTC. Pure: reading a clock is the caller's business.
//!
//! The one place that knows the calendar; the logs and the web gateway write times with it.

use std::fmt;

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// Days from 0000-03-01, where a period of 400 years begins, to 1970-01-01.
const TO_1970: u64 = 719_468;

/// Days of 400 years, after which the Gregorian calendar repeats.
const PERIOD: u64 = 146_097;

/// A day.
///
/// # Shape
/// Displays as `2026-07-31`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Date {
    year: u64,
    month: u64,
    day: u64,
}

/// A moment.
///
/// # Shape
/// Displays as RFC 3339 has it, with milliseconds: `2026-07-31T23:59:59.123Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// The day.
    pub date: Date,
    /// Milliseconds since its midnight.
    ms: u64,
}

impl Date {
    /// The day so many days after 1970-01-01.
    ///
    /// # Source
    /// Within a year that begins in March the leap day is the last one, and the months' lengths follow 153 days to 5 months.
    const fn from_days(days: u64) -> Self {
        let days = days + TO_1970;
        let period = days / PERIOD;
        let in_period = days % PERIOD;
        // Leap days of 4, 100 and 400 years (in days) are taken out before dividing into years of 365.
        let year = (in_period - in_period / 1460 + in_period / 36_524 - in_period / 146_096) / 365;
        let in_year = in_period - (365 * year + year / 4 - year / 100);
        let from_march = (5 * in_year + 2) / 153;
        let day = in_year - (153 * from_march + 2) / 5 + 1;
        let (month, of_next_year) = if from_march < 10 {
            (from_march + 3, 0)
        } else {
            (from_march - 9, 1)
        };
        let year = period * 400 + year + of_next_year;
        Self { year, month, day }
    }

    /// Reads a day from 1970 on, written exactly as it is displayed.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, '-').map(|part| part.parse().ok());
        let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
        if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day)
        {
            return None;
        }
        let date = Self { year, month, day };
        // A day that its month does not have would silently be one of the next month, and `2026-7-31` is written otherwise.
        (Self::from_days(date.days()).to_string() == text).then_some(date)
    }

    /// Days since 1970-01-01; the date is not before it.
    const fn days(self) -> u64 {
        // The same years that begin in March as above.
        let (year, from_march) = if self.month > 2 {
            (self.year, self.month - 3)
        } else {
            (self.year - 1, self.month + 9)
        };
        let in_year = (153 * from_march + 2) / 5 + self.day - 1;
        year * 365 + year / 4 - year / 100 + year / 400 + in_year - TO_1970
    }

    /// Its first millisecond, counted from 1970.
    pub const fn start_ms(self) -> u64 {
        self.days() * DAY_MS
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

impl Moment {
    /// The moment so many milliseconds after the beginning of 1970.
    pub const fn from_ms(ms: u64) -> Self {
        Self {
            date: Date::from_days(ms / DAY_MS),
            ms: ms % DAY_MS,
        }
    }

    /// The time of day in whole seconds, as `23:59:59`.
    pub fn time(&self) -> impl fmt::Display {
        let seconds = self.ms / 1000;
        fmt::from_fn(move |f| {
            let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
            write!(f, "{hour:02}:{minute:02}:{second:02}")
        })
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}T{}.{:03}Z", self.date, self.time(), self.ms % 1000)
    }
}

#[cfg(test)]
mod tests {
    use super::{DAY_MS, Date, Moment};

    #[test]
    fn known_moments_are_right() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_785_578_400_123, "2026-08-01T10:00:00.123Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(Moment::from_ms(ms).to_string(), text);
        }
        assert_eq!(Moment::from_ms(86_399_999).time().to_string(), "23:59:59");
    }

    #[test]
    fn each_day_follows_the_one_before_and_is_found_again() {
        let is_leap = |year: u64| {
            year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
        };
        let mut expected = (1970, 1, 1);
        for days in 0..200_000 {
            let date = Date::from_days(days);
            assert_eq!((date.year, date.month, date.day), expected);
            assert_eq!(date.start_ms(), days * DAY_MS);
            assert_eq!(Date::parse(&date.to_string()), Some(date));
            let (year, month, of_month) = expected;
            let last = match month {
                2 if is_leap(year) => 29,
                2 => 28,
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            expected = match (of_month == last, month) {
                (false, _) => (year, month, of_month + 1),
                (true, 12) => (year + 1, 1, 1),
                (true, _) => (year, month + 1, 1),
            };
        }
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
            "2026-01-01-1",
            "+2026-01-01",
        ] {
            assert_eq!(Date::parse(text), None, "{text}");
        }
    }
}
