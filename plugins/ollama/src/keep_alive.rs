//! How long a model stays loaded: a number of seconds, or a duration as Go writes it.
//!
//! # Source
//! Ollama source, `api/types.go` (`Duration.UnmarshalJSON`); Go, `time.ParseDuration`.

/// The expected form, for error messages.
pub const EXPECTED: &str =
    "seconds as a number, or a text with units such as \"10m\" or \"1h30m\" (negative: for ever)";

/// The units, each with its nanoseconds. Both the micro sign and the Greek letter are accepted.
const UNITS: [(&str, u64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("\u{b5}s", 1_000),
    ("\u{3bc}s", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Whether Go accepts the text as a duration: an optional sign, then numbers with units, at most 292 years.
pub fn is_duration(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if unsigned == "0" {
        return true;
    }
    let mut rest = unsigned;
    let mut total = 0.0_f64;
    while !rest.is_empty() {
        let Some((nanoseconds, after)) = part(rest) else {
            return false;
        };
        total += nanoseconds;
        rest = after;
    }
    // The largest duration of Go's is the largest `i64` in nanoseconds: 2 to the power of 63.
    !unsigned.is_empty() && total < 9_223_372_036_854_775_808.0
}

/// The nanoseconds of a number with its unit, and what follows.
fn part(text: &str) -> Option<(f64, &str)> {
    let is_digit = |c: char| c.is_ascii_digit() || c == '.';
    let digits = text.find(|c| !is_digit(c))?;
    let (number, rest) = text.split_at(digits);
    let unit = rest.find(is_digit).unwrap_or(rest.len());
    let (unit, rest) = rest.split_at(unit);
    // With these characters Rust accepts what Go accepts: a lone point is not a number for either.
    let number: f64 = number.parse().ok()?;
    let (_, nanoseconds) = UNITS.iter().find(|(name, _)| *name == unit)?;
    #[expect(clippy::cast_precision_loss, reason = "all of them are exact")]
    let nanoseconds = number * *nanoseconds as f64;
    Some((nanoseconds, rest))
}

#[cfg(test)]
mod tests {
    use super::is_duration;

    #[test]
    fn go_durations_pass() {
        for text in [
            "0",
            "-0",
            "+0",
            "5m",
            "-1s",
            "24h",
            "+1h30m10s",
            "1.5h",
            ".5s",
            "1.s",
            "3\u{b5}s",
            "3\u{3bc}s",
            "3us",
            "1h1ns",
            "2562047h",
        ] {
            assert!(is_duration(text), "{text}");
        }
    }

    #[test]
    fn what_go_does_not_read_is_none() {
        for text in [
            "",
            "-",
            "+",
            "-1",
            "24",
            "forever",
            "5 m",
            " 5m",
            "5m ",
            "m",
            ".",
            ".s",
            "1.2.3s",
            "5M",
            "5x",
            "1e3s",
            "--5m",
            "5m-3s",
            "inf",
            "infs",
            "\u{ff15}m",
            "2562048h",
            "1d",
        ] {
            assert!(!is_duration(text), "{text}");
        }
    }
}
