//! Responses of TGI's own API as chunks and completions of OpenAI's, which are then read as any other server's.

use serde::Deserialize;
use serde_json::value::RawValue;
use sluicegate_openai_api::failure;
use sluicegate_plugin::Fault;
use sluicegate_plugin::json::{self, Kind};

/// A record of a stream, or a whole response.
#[derive(Deserialize)]
struct Record<'a> {
    #[serde(borrow)]
    token: Option<Token<'a>>,
    #[serde(borrow)]
    top_tokens: Option<&'a RawValue>,
    #[serde(borrow)]
    generated_text: Option<&'a RawValue>,
    #[serde(borrow)]
    details: Option<Details<'a>>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Details<'a> {
    #[serde(borrow)]
    finish_reason: Option<&'a RawValue>,
    generated_tokens: Option<u64>,
    input_length: Option<u64>,
    #[serde(borrow, default)]
    tokens: Vec<Token<'a>>,
    #[serde(borrow, default)]
    top_tokens: Vec<Vec<Token<'a>>>,
}

#[derive(Deserialize)]
struct Token<'a> {
    #[serde(borrow)]
    text: &'a RawValue,
    #[serde(borrow)]
    logprob: Option<&'a RawValue>,
    #[serde(default)]
    special: bool,
}

/// Translates a record with its log probabilities.
///
/// # Errors
/// 502 `upstream_invalid` if it is none.
pub(super) fn with_logprobs(text: &str) -> Result<String, Fault> {
    translated(text, true)
}

/// Translates a record without its log probabilities.
///
/// # Errors
/// 502 `upstream_invalid` if it is none.
pub(super) fn without_logprobs(text: &str) -> Result<String, Fault> {
    translated(text, false)
}

fn translated(text: &str, logprobs: bool) -> Result<String, Fault> {
    let record: Record<'_> = serde_json::from_str(text).map_err(|_| failure::nonsense())?;
    if record.error.is_some() {
        return Ok(text.to_owned());
    }
    let mut out = String::from("{\"choices\":[{\"index\":0,");
    match (&record.token, record.generated_text) {
        (Some(token), _) => {
            out.push_str("\"delta\":{\"content\":");
            // A token that only marks something is no text.
            out.push_str(if token.special {
                "null"
            } else {
                token.text.get()
            });
        }
        (None, Some(text)) if Kind::of(text) == Kind::String => {
            out.push_str("\"message\":{\"content\":");
            out.push_str(text.get());
        }
        (None, _) => return Err(failure::nonsense()),
    }
    out.push('}');
    if logprobs {
        record.write_logprobs(&mut out)?;
    }
    let reason = record
        .details
        .as_ref()
        .and_then(|details| details.finish_reason);
    // Without details, only the last record has the whole text.
    let ends = record
        .generated_text
        .is_some_and(|raw| Kind::of(raw) != Kind::Null);
    if let Some(reason) = reason {
        out.push_str(",\"finish_reason\":");
        out.push_str(reason.get());
    } else if ends {
        out.push_str(",\"finish_reason\":\"stop\"");
    }
    out.push_str("}]");
    if let Some(details) = &record.details {
        out.push_str(",\"usage\":{\"prompt_tokens\":");
        json::push_u64(&mut out, details.input_length.unwrap_or(0));
        out.push_str(",\"completion_tokens\":");
        json::push_u64(&mut out, details.generated_tokens.unwrap_or(0));
        out.push('}');
    }
    out.push('}');
    Ok(out)
}

impl Record<'_> {
    fn write_logprobs(&self, out: &mut String) -> Result<(), Fault> {
        out.push_str(",\"logprobs\":{\"content\":[");
        if let Some(token) = &self.token {
            let top: Vec<Token<'_>> = match self.top_tokens {
                Some(raw) => serde_json::from_str(raw.get()).map_err(|_| failure::nonsense())?,
                None => Vec::new(),
            };
            token.write_with(out, &top);
        } else if let Some(details) = &self.details {
            for (at, token) in details.tokens.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                token.write_with(out, details.top_tokens.get(at).map_or(&[], Vec::as_slice));
            }
        }
        out.push_str("]}");
        Ok(())
    }
}

impl Token<'_> {
    fn write_with(&self, out: &mut String, top: &[Self]) {
        self.write(out);
        out.push_str(",\"top_logprobs\":[");
        for (at, token) in top.iter().enumerate() {
            if at > 0 {
                out.push(',');
            }
            token.write(out);
            out.push('}');
        }
        out.push_str("]}");
    }

    /// Appends the token without its closing brace.
    fn write(&self, out: &mut String) {
        out.push_str("{\"token\":");
        out.push_str(self.text.get());
        out.push_str(",\"logprob\":");
        out.push_str(self.logprob.map_or("null", RawValue::get));
    }
}
