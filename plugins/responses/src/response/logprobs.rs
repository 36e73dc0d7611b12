//! Log probabilities of the text.
//!
//! The entries are those of the chat API, but here every one has the bytes of its token.

use serde::Deserialize;
use serde_json::value::RawValue;
use sluicegate_plugin::json::{Text, push_str, push_u64};

#[derive(Deserialize)]
struct Logprobs<'a> {
    #[serde(borrow)]
    content: Option<Vec<Entry<'a>>>,
}

#[derive(Deserialize)]
struct Entry<'a> {
    #[serde(borrow)]
    token: Text<'a>,
    #[serde(borrow)]
    logprob: Option<&'a RawValue>,
    bytes: Option<Vec<u8>>,
    #[serde(borrow)]
    top_logprobs: Option<Vec<Self>>,
}

/// The entries with commas between them; "" if there are none, or if they cannot be read: a text without them is better than
/// none.
pub(super) fn translate(raw: &RawValue) -> String {
    let mut out = String::new();
    let logprobs: Option<Logprobs<'_>> = serde_json::from_str(raw.get()).ok();
    let entries = logprobs.and_then(|it| it.content).unwrap_or_default();
    push_entries(&mut out, &entries, true);
    out
}

fn push_entries(out: &mut String, entries: &[Entry<'_>], has_top: bool) {
    for (at, entry) in entries.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        let Text(token) = &entry.token;
        out.push_str("{\"token\":");
        push_str(out, token);
        out.push_str(",\"logprob\":");
        out.push_str(entry.logprob.map_or("null", RawValue::get));
        out.push_str(",\"bytes\":[");
        let bytes = entry
            .bytes
            .as_deref()
            .map_or(token.as_bytes(), |bytes| bytes);
        for (at, &byte) in bytes.iter().enumerate() {
            if at > 0 {
                out.push(',');
            }
            push_u64(out, u64::from(byte));
        }
        out.push(']');
        if has_top {
            out.push_str(",\"top_logprobs\":[");
            push_entries(
                out,
                entry.top_logprobs.as_deref().unwrap_or_default(),
                false,
            );
            out.push(']');
        }
        out.push('}');
    }
}
