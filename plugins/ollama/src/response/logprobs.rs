//! Log probabilities: the same shape as OpenAI's, but Ollama leaves out what is empty where OpenAI requires every key.

use serde::Deserialize;
use serde_json::value::RawValue;
use sluicegate_plugin::Fault;

use crate::failure;

#[derive(Deserialize)]
struct Token<'a> {
    #[serde(borrow)]
    token: &'a RawValue,
    #[serde(borrow)]
    logprob: &'a RawValue,
    #[serde(borrow)]
    bytes: Option<&'a RawValue>,
    #[serde(borrow, default)]
    top_logprobs: Option<Vec<Self>>,
}

/// Appends `{"content":[…],"refusal":null}`.
pub(super) fn write(out: &mut Vec<u8>, raw: &RawValue) -> Result<(), Fault> {
    let tokens: Vec<Token<'_>> =
        serde_json::from_str(raw.get()).map_err(|_| failure::nonsense())?;
    out.extend_from_slice(b"{\"content\":[");
    for (at, token) in tokens.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write_token(out, token);
        out.extend_from_slice(b",\"top_logprobs\":[");
        for (at, top) in token.top_logprobs.iter().flatten().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            write_token(out, top);
            out.push(b'}');
        }
        out.extend_from_slice(b"]}");
    }
    out.extend_from_slice(b"],\"refusal\":null}");
    Ok(())
}

/// Appends a token without its closing brace.
fn write_token(out: &mut Vec<u8>, token: &Token<'_>) {
    out.extend_from_slice(b"{\"token\":");
    out.extend_from_slice(token.token.get().as_bytes());
    out.extend_from_slice(b",\"logprob\":");
    out.extend_from_slice(token.logprob.get().as_bytes());
    out.extend_from_slice(b",\"bytes\":");
    out.extend_from_slice(token.bytes.map_or("null", RawValue::get).as_bytes());
}
