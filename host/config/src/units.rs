//! Durations and sizes as operators write them: a whole number and a unit.

use std::time::Duration;

/// The longest duration that is accepted: a year. With it no sum of a time and a duration can overflow.
const LONGEST: Duration = Duration::from_hours(365 * 24);

/// Reads `250ms`, `30s`, `5m` or `1h`.
///
/// # Units
/// From 0 to a year. The unit is required, except for a plain `0`.
pub fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = split(text)?;
    let milliseconds = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60 * 1000,
        "h" => 60 * 60 * 1000,
        "" if number == 0 => 1,
        _ => return None,
    };
    let duration = Duration::from_millis(number.checked_mul(milliseconds)?);
    (duration <= LONGEST).then_some(duration)
}

/// Reads `16MiB`, `64KiB`, `1GB` or `100B`, in any letter case.
///
/// # Units
/// Bytes. `KiB`, `MiB` and `GiB` are powers of 1024, `KB`, `MB` and `GB` of 1000. The unit is required.
pub fn size(text: &str) -> Option<u64> {
    let (number, unit) = split(text)?;
    let factor = match unit.to_ascii_lowercase().as_str() {
        "b" => 1,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        _ => return None,
    };
    number.checked_mul(factor)
}

/// Reads `20%`.
///
/// # Units
/// Percent, from 0 to 100. The sign is required.
pub fn percent(text: &str) -> Option<u32> {
    let (number, unit) = split(text)?;
    let percent = u32::try_from(number).ok().filter(|_| unit == "%")?;
    (percent <= 100).then_some(percent)
}

/// Splits a number and its unit, with or without a space between them.
fn split(text: &str) -> Option<(u64, &str)> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit());
    let (number, unit) = text.split_at(end.unwrap_or(text.len()));
    Some((number.parse().ok()?, unit.trim_start()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{duration, percent, size};

    #[test]
    fn duration_is_a_whole_number_with_a_unit() {
        let ms = |text| duration(text).map(|duration| duration.as_millis());
        assert_eq!(ms("250ms"), Some(250));
        assert_eq!(ms(" 30 s "), Some(30_000));
        assert_eq!(ms("5m"), Some(300_000));
        assert_eq!(ms("1h"), Some(3_600_000));
        assert_eq!(ms("0"), Some(0));
        assert_eq!(ms("0s"), Some(0));
        for bad in ["", "s", "30", "1.5s", "-1s", "1d", "1S", "1h30m", "٣s"] {
            assert_eq!(ms(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn duration_is_at_most_a_year() {
        assert_eq!(duration("8760h"), Some(Duration::from_hours(8760)));
        for long in ["8761h", "18446744073709551615h", "99999999999999999999ms"] {
            assert_eq!(duration(long), None, "{long:?}");
        }
    }

    #[test]
    fn size_knows_powers_of_1024_and_of_1000() {
        assert_eq!(size("16MiB"), Some(16 << 20));
        assert_eq!(size("64 kib"), Some(64 << 10));
        assert_eq!(size("2GiB"), Some(2 << 30));
        assert_eq!(size("1GB"), Some(1_000_000_000));
        assert_eq!(size("3MB"), Some(3_000_000));
        assert_eq!(size("4KB"), Some(4_000));
        assert_eq!(size("100B"), Some(100));
        for bad in [
            "",
            "MiB",
            "16",
            "16M",
            "1.5MiB",
            "-1B",
            "18446744073709551615KB",
        ] {
            assert_eq!(size(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn percent_has_its_sign_and_is_at_most_100() {
        assert_eq!(percent("20%"), Some(20));
        assert_eq!(percent("0 %"), Some(0));
        assert_eq!(percent("100%"), Some(100));
        for bad in ["", "%", "20", "101%", "-1%", "0.5%", "20%%", "4294967296%"] {
            assert_eq!(percent(bad), None, "{bad:?}");
        }
    }
}
