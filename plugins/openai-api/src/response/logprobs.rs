//! Log probabilities. Model servers send them in OpenAI's shape, but omit what is empty while OpenAI requires every key.
//!
//! OpenAI's are those of the content. Ollama, vLLM and llama.cpp send those of everything that the model generated, in the
//! record in which it came: of its thoughts, of the marks around them and of its end, and, in records without a text, of
//! tokens that are held back because they may become such a mark. So the tokens of the content are found by comparing them
//! with its text.

use serde::Deserialize;
use serde_json::value::RawValue;
use sluicegate_plugin::json::{self, Text};

/// Tokens of records without a text that are kept for the next record. Arbitrary; a mark is a few tokens long.
const HELD: usize = 256;

/// The log probabilities of a response without content.
pub const NONE: &str = "{\"content\":[],\"refusal\":null}";

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
pub struct Logprobs {
    /// Tokens of records without a text, until it is known what they belong to.
    held: Vec<Shown>,
}

impl Logprobs {
    /// Whether there are tokens of which it is not known yet what they belong to.
    pub fn has_held(&self) -> bool {
        !self.held.is_empty()
    }

    /// The log probabilities of a record's content as `{"content":[…],"refusal":null}`; `None` if it has no content.
    ///
    /// `content` is the content as a raw JSON string, `thinks` whether the record has thoughts, and `tokens` the list of tokens.
    ///
    /// # Errors
    /// If `tokens` is not a list of tokens, or `content` not a string.
    pub fn of(
        &mut self,
        content: Option<&str>,
        thinks: bool,
        tokens: &RawValue,
    ) -> Result<Option<String>, serde_json::Error> {
        let tokens: Vec<Token<'_>> = serde_json::from_str(tokens.get())?;
        let mut all = std::mem::take(&mut self.held);
        let before = all.len();
        all.extend(tokens.iter().map(Shown::of));
        let Some(content) = content else {
            if !thinks {
                all.drain(..all.len().saturating_sub(HELD));
                self.held = all;
            }
            return Ok(None);
        };
        let Text(content) = serde_json::from_str(content)?;
        let of_content = match made_of(&all, &content) {
            Some(tokens) => tokens,
            None if !thinks => &all[before..],
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
