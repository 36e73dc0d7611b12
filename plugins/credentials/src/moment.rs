//! Days and moments as operators write them: `2026-12-31`, or as RFC 3339 has them.

/// Milliseconds of a day.
const DAY: i64 = 86_400_000;

/// The moment at which something ends, in milliseconds since 1970-01-01 UTC: a day ends when the next one begins in UTC.
///
/// # Errors
/// What is wrong, as the rest of a sentence.
pub fn end(text: &str) -> Result<u64, &'static str> {
    const FORM: &str =
        "must be a day such as 2026-12-31, or a moment with an offset such as 2026-12-31T18:00:00Z";
    let (date, rest) = text.split_at_checked(10).ok_or(FORM)?;
    let day = day(date).ok_or(FORM)?;
    let ms = if rest.is_empty() {
        (day + 1) * DAY
    } else {
        day * DAY + of_day(rest).ok_or(FORM)?
    };
    u64::try_from(ms).map_err(|_| "must not be before 1970")
}

/// Days since 1970-01-01 of `2026-12-31`.
fn day(text: &str) -> Option<i64> {
    let mut parts = text.split('-');
    let mut next = |digits| number(parts.next()?, digits);
    let (year, month, day) = (next(4)?, next(2)?, next(2)?);
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let last = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if is_leap => 29,
        2 => 28,
        _ => return None,
    };
    if !(1..=last).contains(&day) || parts.next().is_some() {
        return None;
    }
    // Years begin in March here, so that the leap day is the last day of a year.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    // Days before each month of such a year: 31, 30, 31, 30, 31 and again. 719468 days lie between 0000-03-01 and 1970-01-01.
    Some(year * 365 + leap_days + (153 * month + 2) / 5 + day - 1 - 719_468)
}

/// Milliseconds since the day began in UTC, of `T18:00:00.5+02:00`.
fn of_day(text: &str) -> Option<i64> {
    let text = text.strip_prefix(['T', 't', ' '])?;
    let (clock, offset) = text.split_at(text.find(['Z', 'z', '+', '-'])?);
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let is_fraction = !fraction.is_empty() && fraction.bytes().all(|b| b.is_ascii_digit());
    let mut parts = clock.split(':');
    let mut next = |below| number(parts.next()?, 2).filter(|number| *number < below);
    // A leap second counts as the one before.
    let (hour, minute, second) = (next(24)?, next(60)?, next(61)?);
    if !is_fraction || parts.next().is_some() {
        return None;
    }
    let offset = match offset.split_at(1) {
        ("Z" | "z", "") => 0,
        (sign @ ("+" | "-"), clock) => {
            let (hours, minutes) = clock.split_once(':')?;
            let hours = number(hours, 2).filter(|hours| *hours < 24)?;
            let minutes = hours * 60 + number(minutes, 2).filter(|minutes| *minutes < 60)?;
            if sign == "-" { -minutes } else { minutes }
        }
        _ => return None,
    };
    let seconds = (hour * 60 + minute - offset) * 60 + second.min(59);
    Some(seconds * 1000)
}

/// A number of exactly so many digits.
fn number(text: &str, digits: usize) -> Option<i64> {
    let is_number = text.len() == digits && text.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_ends_in_utc_and_a_moment_is_itself() {
        for (text, seconds) in [
            ("1970-01-01", 86_400),
            ("2026-12-31", 1_798_761_600),
            ("2024-02-29", 1_709_251_200),
            ("2000-02-28", 951_782_400),
            ("2026-08-01T10:00:00Z", 1_785_578_400),
            ("2026-08-01 10:00:00.999z", 1_785_578_400),
            ("2026-08-01t12:30:00+02:30", 1_785_578_400),
            ("2026-07-31T22:00:00-12:00", 1_785_578_400),
            ("2016-12-31T23:59:60Z", 1_483_228_799),
        ] {
            assert_eq!(end(text), Ok(seconds * 1000), "{text}");
        }
    }

    #[test]
    fn what_is_no_moment_is_refused() {
        for text in [
            "",
            "soon",
            "2026",
            "2026-13-01",
            "2026-00-10",
            "2026-02-29",
            "2026-04-31",
            "2026-1-1-01",
            "+026-01-01",
            "2026-12-31T18:00:00",
            "2026-12-31T18:00Z",
            "2026-12-31T24:00:00Z",
            "2026-12-31T18:00:00.Z",
            "2026-12-31T18:00:00+2:00",
            "2026-12-31T18:00:00Z ",
            "2026-12-31x",
            "１２３４５６７８９",
        ] {
            assert!(end(text).is_err(), "{text}");
        }
        assert_eq!(end("1969-12-30"), Err("must not be before 1970"));
    }
}
