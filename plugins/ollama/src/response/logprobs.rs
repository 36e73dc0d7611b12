//! Log probabilities. They have the same shape as OpenAI's, but Ollama omits what is empty while OpenAI requires every key.
//!
//! OpenAI's are those of the content. Ollama sends those of everything that the model generated, in the line in which it
//! came: of its thoughts, of the marks around them, and, on lines without a text, of tokens that are held back because they
//! may become such a mark. So the tokens of the content are found by comparing them with its text.

use serde::Deserialize;
use serde_json::value::RawValue;
use sluicegate_plugin::Fault;
use sluicegate_plugin::json::{self, Text};

use super::line::Message;
use crate::failure;

/// Tokens of lines without a text that are kept for the next line. Arbitrary; a mark is a few tokens long.
const HELD: usize = 256;

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

/// A token in the response.
#[derive(Debug)]
struct Shown {
    text: String,
    json: String,
}

/// The log probabilities of one response.
#[derive(Debug, Default)]
pub(super) struct Logprobs {
    /// Tokens of lines without a text, until it is known what they belong to.
    held: Vec<Shown>,
}

impl Logprobs {
    /// The log probabilities of a message's content as `{"content":[…],"refusal":null}`; `None` if there are none.
    ///
    /// # Errors
    /// 502 `upstream_invalid` if it is not a list of tokens.
    pub(super) fn of(
        &mut self,
        message: &Message<'_>,
        raw: Option<&RawValue>,
    ) -> Result<Option<String>, Fault> {
        let Some(raw) = raw else {
            return Ok(None);
        };
        let tokens: Vec<Token<'_>> =
            serde_json::from_str(raw.get()).map_err(|_| failure::nonsense())?;
        let mut all = std::mem::take(&mut self.held);
        let before = all.len();
        all.extend(tokens.iter().map(Shown::of));
        let Some(content) = message.content() else {
            if message.thinking().is_none() {
                all.drain(..all.len().saturating_sub(HELD));
                self.held = all;
            }
            return Ok(None);
        };
        let Text(content) = serde_json::from_str(content).map_err(|_| failure::nonsense())?;
        let of_content = match made_of(&all, &content) {
            Some(tokens) => tokens,
            None if message.thinking().is_none() => &all[before..],
            None => &[],
        };
        Ok(Some(list(of_content)))
    }
}

/// The last tokens that make up the content, or all of them if they are only a part of it; `None` if the texts do not match.
fn made_of<'t>(tokens: &'t [Shown], content: &str) -> Option<&'t [Shown]> {
    let joined: String = tokens.iter().map(|token| &*token.text).collect();
    let Some(start) = joined.rfind(content) else {
        return content.contains(&joined).then_some(tokens);
    };
    let end = start + content.len();
    let mut at = 0;
    let mut first = None;
    let mut last = 0;
    for (index, token) in tokens.iter().enumerate() {
        let next = at + token.text.len();
        if at < end && next > start {
            first = first.or(Some(index));
            last = index + 1;
        }
        at = next;
    }
    Some(&tokens[first?..last])
}

fn list(tokens: &[Shown]) -> String {
    let length = tokens.iter().map(|token| token.json.len() + 1);
    let mut out = String::with_capacity(length.sum::<usize>() + 32);
    out.push_str("{\"content\":[");
    for (at, token) in tokens.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        out.push_str(&token.json);
    }
    out.push_str("],\"refusal\":null}");
    out
}

impl Shown {
    fn of(token: &Token<'_>) -> Self {
        let mut json = String::with_capacity(128);
        write_token(&mut json, token);
        json.push_str(",\"top_logprobs\":[");
        for (at, top) in token.top_logprobs.iter().flatten().enumerate() {
            if at > 0 {
                json.push(',');
            }
            write_token(&mut json, top);
            json.push('}');
        }
        json.push_str("]}");
        Self {
            text: json::text(token.token).unwrap_or_default().into_owned(),
            json,
        }
    }
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
