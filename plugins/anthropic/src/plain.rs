//! Responses that are no messages: the number of a request's tokens, and models.

use serde::Deserialize;
use serde_json::value::RawValue;
use sluicegate_plugin::Fault;
use sluicegate_plugin::json::{self, Kind, Text};

use crate::failure;

#[derive(Deserialize)]
struct Count<'a> {
    #[serde(borrow)]
    input_tokens: &'a RawValue,
}

#[derive(Deserialize)]
struct List<'a> {
    #[serde(borrow)]
    data: Vec<Model<'a>>,
}

#[derive(Deserialize)]
struct Model<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    #[serde(default)]
    created: Option<f64>,
}

/// The number of a request's tokens.
///
/// # Errors
/// 502 `upstream_invalid` if it is none.
pub fn count(json: &str) -> Result<String, Fault> {
    let Count { input_tokens } = serde_json::from_str(json).map_err(|_| failure::nonsense())?;
    if Kind::of(input_tokens) != Kind::Number {
        return Err(failure::nonsense());
    }
    Ok(["{\"input_tokens\":", input_tokens.get(), "}"].concat())
}

/// The list of models, always complete.
///
/// # Errors
/// 502 `upstream_invalid` if it is none.
pub fn models(json: &str) -> Result<String, Fault> {
    let List { data } = serde_json::from_str(json).map_err(|_| failure::nonsense())?;
    let mut out = String::from("{\"data\":[");
    for (at, model) in data.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        model.write(&mut out);
    }
    out.push_str("],\"has_more\":false");
    for (name, model) in [("first_id", data.first()), ("last_id", data.last())] {
        out.push_str(",\"");
        out.push_str(name);
        out.push_str("\":");
        match model {
            Some(Model { id: Text(id), .. }) => json::push_str(&mut out, id),
            None => out.push_str("null"),
        }
    }
    out.push('}');
    Ok(out)
}

/// One model.
///
/// # Errors
/// 502 `upstream_invalid` if it is none.
pub fn model(json: &str) -> Result<String, Fault> {
    let model: Model<'_> = serde_json::from_str(json).map_err(|_| failure::nonsense())?;
    let mut out = String::new();
    model.write(&mut out);
    Ok(out)
}

impl Model<'_> {
    fn write(&self, out: &mut String) {
        let Text(id) = &self.id;
        out.push_str("{\"type\":\"model\",\"id\":");
        json::push_str(out, id);
        out.push_str(",\"display_name\":");
        json::push_str(out, id);
        out.push_str(",\"created_at\":\"");
        out.push_str(&time(self.created.unwrap_or_default()));
        out.push_str("\"}");
    }
}

/// Seconds since 1970 as RFC 3339, in UTC; the beginning for what is out of range.
///
/// # Source
/// Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`: years begin in March, so that a leap
/// day is the last day of its year.
fn time(seconds: f64) -> String {
    // The last second of the year 9999.
    const LAST: f64 = 253_402_300_799.0;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the range is checked"
    )]
    let seconds = if (0.0..=LAST).contains(&seconds) {
        seconds as u64
    } else {
        0
    };
    let (days, second) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_calendar() {
        for (seconds, expected) in [
            (0.0, "1970-01-01T00:00:00Z"),
            (951_782_399.0, "2000-02-28T23:59:59Z"),
            (951_782_400.0, "2000-02-29T00:00:00Z"),
            (951_868_800.0, "2000-03-01T00:00:00Z"),
            (1_767_225_599.0, "2025-12-31T23:59:59Z"),
            (1_767_225_600.9, "2026-01-01T00:00:00Z"),
            (4_107_542_400.0, "2100-03-01T00:00:00Z"),
            (-1.0, "1970-01-01T00:00:00Z"),
            (f64::MAX, "1970-01-01T00:00:00Z"),
        ] {
            assert_eq!(time(seconds), expected);
        }
    }

    #[test]
    fn models_and_counts_are_read_or_refused() {
        let list = r#"{"object":"list","data":[{"id":"a\"b","object":"model","created":1767225600,"owned_by":"x"},{"id":"c"}]}"#;
        let expected = concat!(
            r#"{"data":[{"type":"model","id":"a\"b","display_name":"a\"b","created_at":"2026-01-01T00:00:00Z"},"#,
            r#"{"type":"model","id":"c","display_name":"c","created_at":"1970-01-01T00:00:00Z"}],"#,
            r#""has_more":false,"first_id":"a\"b","last_id":"c"}"#
        );
        assert_eq!(models(list).as_deref(), Ok(expected));
        let empty = r#"{"data":[],"has_more":false,"first_id":null,"last_id":null}"#;
        assert_eq!(models(r#"{"data":[]}"#).as_deref(), Ok(empty));
        let one =
            r#"{"type":"model","id":"c","display_name":"c","created_at":"1970-01-01T00:00:00Z"}"#;
        assert_eq!(model(r#"{"id":"c","created":null}"#).as_deref(), Ok(one));
        let counted = count(r#"{"object":"x","input_tokens":42}"#);
        assert_eq!(counted.as_deref(), Ok(r#"{"input_tokens":42}"#));
        for nonsense in [
            "",
            "[]",
            "{}",
            r#"{"data":[{}]}"#,
            r#"{"input_tokens":"4"}"#,
        ] {
            assert_eq!(models(nonsense).map_err(|it| it.status), Err(502));
            assert_eq!(model(nonsense).map_err(|it| it.status), Err(502));
            assert_eq!(count(nonsense).map_err(|it| it.status), Err(502));
        }
    }
}
