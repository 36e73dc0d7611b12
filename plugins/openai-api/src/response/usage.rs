//! The usage in OpenAI's form.

use serde_json::value::RawValue;
use sluicegate_plugin::json::{self, Kind, Members};

/// A server's usage with all three numbers and without members that are `null`; `None` if it is no usage.
pub(super) fn normal(raw: &RawValue) -> Option<String> {
    let Members(members) = serde_json::from_str(raw.get()).ok()?;
    let number = |name: &str| {
        let (_, raw) = members.iter().rev().find(|(known, _)| known == name)?;
        raw.get().parse::<u64>().ok()
    };
    let prompt = number("prompt_tokens").unwrap_or(0);
    let completion = number("completion_tokens").unwrap_or(0);
    let mut out = String::with_capacity(128);
    write(&mut out, prompt, completion);
    for (name, raw) in &members {
        let is_number = matches!(
            &**name,
            "prompt_tokens" | "completion_tokens" | "total_tokens"
        );
        if !is_number && Kind::of(raw) != Kind::Null {
            out.push(',');
            json::push_str(&mut out, name);
            out.push(':');
            out.push_str(raw.get());
        }
    }
    out.push('}');
    Some(out)
}

/// A usage of these numbers.
pub(super) fn of(prompt: u64, completion: u64) -> String {
    let mut out = String::with_capacity(96);
    write(&mut out, prompt, completion);
    out.push('}');
    out
}

/// The usage of a stream that was cut before the server counted: about one token for each record with text.
pub(super) fn partial(records: u64) -> String {
    let mut out = String::with_capacity(96);
    write(&mut out, 0, records);
    out.push_str(",\"partial\":true}");
    out
}

/// Appends the three numbers, without a closing brace.
fn write(out: &mut String, prompt: u64, completion: u64) {
    out.push_str("{\"prompt_tokens\":");
    json::push_u64(out, prompt);
    out.push_str(",\"completion_tokens\":");
    json::push_u64(out, completion);
    out.push_str(",\"total_tokens\":");
    json::push_u64(out, prompt.saturating_add(completion));
}
