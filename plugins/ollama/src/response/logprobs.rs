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
pub(super) fn write(out: &mut String, raw: &RawValue) -> Result<(), Fault> {
    let tokens: Vec<Token<'_>> =
        serde_json::from_str(raw.get()).map_err(|_| failure::nonsense())?;
    out.push_str("{\"content\":[");
    for (at, token) in tokens.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        write_token(out, token);
        out.push_str(",\"top_logprobs\":[");
        for (at, top) in token.top_logprobs.iter().flatten().enumerate() {
            if at > 0 {
                out.push(',');
            }
            write_token(out, top);
            out.push('}');
        }
        out.push_str("]}");
    }
    out.push_str("],\"refusal\":null}");
    Ok(())
}

/// Appends a token without its closing brace.
fn write_token(out: &mut String, token: &Token<'_>) {
    out.push_str("{\"token\":");
    out.push_str(token.token.get());
    out.push_str(",\"logprob\":");
    out.push_str(token.logprob.get());
    out.push_str(",\"bytes\":");
    out.push_str(token.bytes.map_or("null", RawValue::get));
}
