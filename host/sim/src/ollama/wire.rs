//! The documents and lines of Ollama's native API, encoded as Go does. Pure.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use serde_json::{Map, Value};

use crate::probability;
use crate::tools::Call;

/// A line of a stream, or the whole response without a stream.
#[derive(Debug, Serialize)]
pub(super) struct Line<'a> {
    pub(super) model: &'a str,
    pub(super) created_at: String,
    #[serde(flatten)]
    pub(super) said: Said<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) logprobs: Vec<Logprob<'a>>,
    pub(super) done: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) done_reason: Option<&'static str>,
    /// The tokens of the conversation, which a completion ends with.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub(super) context: &'static [u32],
    #[serde(flatten)]
    pub(super) metrics: Metrics,
}

/// What the model says, as a chat or as a completion has it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Said<'a> {
    Message(Message<'a>),
    Response(&'a str),
}

#[derive(Debug, Serialize)]
pub(super) struct Message<'a> {
    pub(super) role: &'static str,
    /// Always present, even if empty.
    pub(super) content: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(super) thinking: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) tool_calls: Vec<ToolCall<'a>>,
}

#[derive(Debug, Serialize)]
pub(super) struct ToolCall<'a> {
    id: String,
    function: Function<'a>,
}

#[derive(Debug, Serialize)]
struct Function<'a> {
    index: usize,
    name: &'a str,
    arguments: &'a Map<String, Value>,
}

/// The figures of the last line. As in Ollama, zeros are left out.
///
/// # Units
/// Durations in nanoseconds, counts in tokens.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct Metrics {
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) total_duration: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) load_duration: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) prompt_eval_count: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) prompt_eval_duration: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) eval_count: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) eval_duration: u64,
}

#[derive(Debug, Serialize)]
#[expect(
    clippy::struct_field_names,
    reason = "the names are those of the protocol"
)]
pub(super) struct Logprob<'a> {
    token: &'a str,
    logprob: f64,
    bytes: &'a [u8],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    top_logprobs: Vec<Alternative<'a>>,
}

#[derive(Debug, Serialize)]
struct Alternative<'a> {
    token: &'a str,
    logprob: f64,
    bytes: &'a [u8],
}

impl<'a> Message<'a> {
    /// What the assistant says.
    pub(super) fn new(content: &'a str, thinking: &'a str, calls: &'a [Call]) -> Self {
        let tool_calls = calls
            .iter()
            .enumerate()
            .map(|(index, call)| ToolCall {
                id: id(call.number),
                function: Function {
                    index,
                    name: &call.name,
                    arguments: &call.arguments,
                },
            })
            .collect();
        Self {
            role: "assistant",
            content,
            thinking,
            tool_calls,
        }
    }
}

impl<'a> Logprob<'a> {
    /// A made-up probability for a token, with `alternatives`; the first one is the token itself.
    pub(super) fn of(token: &'a str, alternatives: usize) -> Self {
        let (logprob, all) = probability::of(token, alternatives);
        let top_logprobs = all
            .into_iter()
            .map(|(token, logprob)| Alternative {
                token,
                logprob,
                bytes: token.as_bytes(),
            })
            .collect();
        Self {
            token,
            logprob,
            bytes: token.as_bytes(),
            top_logprobs,
        }
    }
}

/// `call_` and eight characters, as Ollama makes them.
fn id(number: u64) -> String {
    const ALPHABET: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
    let mut rest = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mut id = String::from("call_");
    for _ in 0..8 {
        let digit = usize::try_from(rest % 36).unwrap_or_default();
        id.push(char::from(ALPHABET[digit]));
        rest /= 36;
    }
    id
}

/// JSON as Go's encoder writes it by default: `<`, `>`, `&` and the two line separators escaped.
pub(super) fn go_json(value: &impl Serialize) -> String {
    let json = serde_json::to_string(value)
        .expect("these types have string keys and no fallible serializer");
    // All five can only occur inside strings.
    json.replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .replace('&', "\\u0026")
        .replace('\u{2028}', "\\u2028")
        .replace('\u{2029}', "\\u2029")
}

/// The body of every error.
pub(super) fn error(message: &str) -> String {
    go_json(&serde_json::json!({ "error": message }))
}

/// RFC 3339 in UTC with nanoseconds, without trailing zeros as Go writes it.
pub(super) fn timestamp(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let seconds = since.as_secs();
    let (year, month, day) = date(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    let mut text = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}");
    let nanoseconds = since.subsec_nanos();
    if nanoseconds > 0 {
        text.push_str(format!(".{nanoseconds:09}").trim_end_matches('0'));
    }
    text.push('Z');
    text
}

/// Year, month and day of a day counted from 1970-01-01.
fn date(days: u64) -> (u64, u64, u64) {
    // Count from 0000-03-01, so that the leap day ends a year, and in eras of 400 years, which are all alike.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // Months from March on have 30.6 days on average, in a pattern of five.
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    (era * 400 + year_of_era + carry, month, day)
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde calls it with a reference"
)]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(seconds: u64, nanoseconds: u32) -> String {
        timestamp(UNIX_EPOCH + Duration::new(seconds, nanoseconds))
    }

    #[test]
    fn timestamps_are_rfc_3339_without_trailing_zeros() {
        assert_eq!(at(0, 0), "1970-01-01T00:00:00Z");
        assert_eq!(at(951_827_696, 500_000_000), "2000-02-29T12:34:56.5Z");
        assert_eq!(
            at(1_785_578_400, 123_456_789),
            "2026-08-01T10:00:00.123456789Z"
        );
        assert_eq!(at(4_107_542_400, 0), "2100-03-01T00:00:00Z");
        assert_eq!(at(1_767_225_599, 0), "2025-12-31T23:59:59Z");
        assert_eq!(
            timestamp(UNIX_EPOCH - Duration::from_secs(1)),
            "1970-01-01T00:00:00Z"
        );
    }

    #[test]
    fn lines_leave_out_what_ollama_leaves_out() {
        let line = Line {
            model: "m",
            created_at: "t".into(),
            context: &[],
            said: Said::Message(Message::new("a<b>&\u{2028}\u{2029}", "", &[])),
            logprobs: Vec::new(),
            done: false,
            done_reason: None,
            metrics: Metrics::default(),
        };
        assert_eq!(
            go_json(&line),
            r#"{"model":"m","created_at":"t","message":{"role":"assistant","content":"a\u003cb\u003e\u0026\u2028\u2029"},"done":false}"#
        );
        assert_eq!(error("x"), r#"{"error":"x"}"#);
    }

    #[test]
    fn a_full_line_has_everything() {
        let calls = [Call {
            number: 1,
            name: "f".into(),
            arguments: Map::new(),
        }];
        let line = Line {
            model: "m",
            created_at: "t".into(),
            context: &[],
            said: Said::Message(Message::new("", "hm", &calls)),
            logprobs: vec![Logprob::of("é", 2)],
            done: true,
            done_reason: Some("stop"),
            metrics: Metrics {
                eval_count: 3,
                ..Metrics::default()
            },
        };
        let value: Value = serde_json::from_str(&go_json(&line)).expect("JSON");
        assert_eq!(
            value["message"],
            json!({"role": "assistant", "content": "", "thinking": "hm",
                "tool_calls": [{"id": id(1), "function": {"index": 0, "name": "f", "arguments": {}}}]})
        );
        assert_eq!(value["eval_count"], 3);
        assert_eq!(value["done_reason"], "stop");
        assert_eq!(value.get("prompt_eval_count"), None);
        assert_eq!(value["logprobs"][0]["bytes"], json!([195, 169]));
        assert_eq!(value["logprobs"][0]["top_logprobs"][0]["token"], "é");
        assert_eq!(Logprob::of("a", 20).top_logprobs.len(), 20);
        assert!(Logprob::of("a", 0).top_logprobs.is_empty());
    }

    #[test]
    fn ids_of_calls_are_those_of_ollama() {
        assert_eq!(id(7).len(), 13);
        assert!(id(7).starts_with("call_"));
        assert_ne!(id(7), id(8));
    }
}
