//! Durations as Go writes them (`"5m"`, `"1h30m"`, `"-1s"`), for `keep_alive`. Pure.

use std::time::Duration;

use serde_json::Value;

/// What a `keep_alive` value asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeepAlive {
    /// Stay in memory for this long after the last use; zero unloads at once.
    For(Duration),
    /// Stay until the server ends.
    Forever,
}

impl Default for KeepAlive {
    /// Ollama's default.
    fn default() -> Self {
        Self::For(Duration::from_mins(5))
    }
}

/// Reads a `keep_alive` value: a number is seconds, a string a Go duration, a negative one means for ever.
///
/// # Errors
/// The text that is not a duration.
pub(super) fn keep_alive(value: &Value) -> Result<KeepAlive, String> {
    match value {
        Value::Null => Ok(KeepAlive::default()),
        Value::Number(number) => {
            Ok(from_seconds(number.as_f64().expect(
                "without arbitrary precision every JSON number is an f64",
            )))
        }
        Value::String(text) => parse(text).map(from_seconds).ok_or_else(|| text.clone()),
        Value::Bool(_) | Value::Array(_) | Value::Object(_) => Err(value.to_string()),
    }
}

/// The seconds of a Go duration string.
fn parse(text: &str) -> Option<f64> {
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0.0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total = 0.0;
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let end = rest
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(rest.len());
        total += number * unit(&rest[..end])?;
        rest = &rest[end..];
    }
    Some(sign * total)
}

fn unit(name: &str) -> Option<f64> {
    match name {
        "ns" => Some(1e-9),
        "us" | "µs" | "μs" => Some(1e-6),
        "ms" => Some(1e-3),
        "s" => Some(1.0),
        "m" => Some(60.0),
        "h" => Some(3600.0),
        _ => None,
    }
}

fn from_seconds(seconds: f64) -> KeepAlive {
    if seconds < 0.0 {
        return KeepAlive::Forever;
    }
    Duration::try_from_secs_f64(seconds).map_or(KeepAlive::Forever, KeepAlive::For)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn seconds(n: u64) -> KeepAlive {
        KeepAlive::For(Duration::from_secs(n))
    }

    #[test]
    fn numbers_are_seconds_and_strings_are_go_durations() {
        assert_eq!(keep_alive(&json!(null)), Ok(seconds(300)));
        assert_eq!(keep_alive(&json!(90)), Ok(seconds(90)));
        assert_eq!(keep_alive(&json!(0)), Ok(seconds(0)));
        assert_eq!(keep_alive(&json!("0")), Ok(seconds(0)));
        assert_eq!(keep_alive(&json!("5m")), Ok(seconds(300)));
        assert_eq!(keep_alive(&json!("+1h30m10s")), Ok(seconds(5410)));
        assert_eq!(
            keep_alive(&json!("1.5ms")),
            Ok(KeepAlive::For(Duration::from_micros(1500)))
        );
        assert_eq!(
            keep_alive(&json!("2000000us1000000µs2000000000ns")),
            Ok(seconds(5))
        );
    }

    #[test]
    fn negative_or_endless_means_for_ever() {
        for value in [json!(-1), json!("-1s"), json!(1e300)] {
            assert_eq!(keep_alive(&value), Ok(KeepAlive::Forever), "{value}");
        }
    }

    #[test]
    fn anything_else_is_refused_with_its_text() {
        for text in ["", "-", "5", "5 m", "m", "1.2.3s", "5x"] {
            assert_eq!(keep_alive(&json!(text)), Err(text.to_owned()));
        }
        assert_eq!(keep_alive(&json!([1])), Err("[1]".to_owned()));
    }
}
