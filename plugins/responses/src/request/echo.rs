//! What of a request a response repeats.

use std::ops::Range;

use serde_json::value::RawValue;
use sluicegate_openai_api::request::{Body, members};
use sluicegate_plugin::json::push_str;

/// Parameters that are repeated, with what stands in their place if they are absent. What the model server does by default is
/// not known here.
const REPEATED: [(&str, &str); 14] = [
    ("model", "null"),
    ("instructions", "null"),
    ("max_output_tokens", "null"),
    ("metadata", "{}"),
    ("parallel_tool_calls", "true"),
    ("prompt_cache_key", "null"),
    ("safety_identifier", "null"),
    ("temperature", "null"),
    ("tool_choice", "\"auto\""),
    ("tools", "[]"),
    ("top_logprobs", "0"),
    ("top_p", "null"),
    ("truncation", "\"disabled\""),
    ("user", "null"),
];

/// A value is repeated up to this length: the client has it already, and a stream repeats it in several events.
const MOST_BYTES: usize = 256 * 1024;

/// What is the same in every response.
const FIXED: &str = r#","background":false,"max_tool_calls":null,"previous_response_id":null,"service_tier":"default","store":false"#;

/// The members of a response that repeat the request.
#[derive(Debug, Default)]
pub struct Echo {
    /// As JSON, with a comma before each.
    pub json: String,
    /// Where the value of `instructions` is.
    pub instructions: Range<usize>,
}

/// The members of a response to this request.
pub(super) fn of(body: &Body<'_>) -> Echo {
    let mut out = FIXED.to_owned();
    let get = |name| {
        let raw = body.get(name);
        raw.filter(|raw| raw.get().len() <= MOST_BYTES)
    };
    let mut instructions = 0..0;
    for (name, absent) in REPEATED {
        push_name(&mut out, name);
        let begin = out.len();
        match get(name) {
            Some(raw) => push_compact(&mut out, raw),
            None => out.push_str(absent),
        }
        if name == "instructions" {
            instructions = begin..out.len();
        }
    }
    push_name(&mut out, "reasoning");
    push_object(
        &mut out,
        get("reasoning"),
        &[("effort", "null"), ("summary", "null")],
    );
    push_name(&mut out, "text");
    let format = [("format", r#"{"type":"text"}"#)];
    push_object(&mut out, get("text"), &format);
    Echo {
        json: out,
        instructions,
    }
}

/// Appends an object, with some members where they are absent. It has been read before, so it is one.
fn push_object(out: &mut String, raw: Option<&RawValue>, defaults: &[(&str, &str)]) {
    let given = raw
        .and_then(|raw| members("", raw).ok())
        .unwrap_or_default();
    let begin = out.len();
    for (name, raw) in &given {
        push_name(out, name);
        push_compact(out, raw);
    }
    for (name, absent) in defaults {
        if !given.iter().any(|(known, _)| known == name) {
            push_name(out, name);
            out.push_str(absent);
        }
    }
    // The first comma becomes the brace.
    if out.len() > begin {
        out.replace_range(begin..=begin, "{");
    } else {
        out.push('{');
    }
    out.push('}');
}

fn push_name(out: &mut String, name: &str) {
    out.push(',');
    push_str(out, name);
    out.push(':');
}

/// Appends a value without the blanks between its parts: a line end in the data of an event would make two lines of it.
fn push_compact(out: &mut String, raw: &RawValue) {
    let text = raw.get();
    let (mut start, mut is_text, mut is_escaped) = (0, false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = is_text,
            b'"' => is_text = !is_text,
            b' ' | b'\t' | b'\n' | b'\r' if !is_text => {
                out.push_str(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    out.push_str(&text[start..]);
}
