//! Reads chunks that are not quite as the reference has them.
//!
//! Servers that speak OpenAI's API send `index: null`, content in parts, reasoning as an object, counts with a decimal point.
//! Whatever can be understood is read; the rest is a [`Problem`], because it may be a part of the answer.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::chunk::{Choice, Content};
use crate::wire::message::Usage;

/// Parts that are nested more deeply are ignored.
const DEPTH: usize = 8;

/// Why a chunk cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum Problem {
    /// It is not JSON.
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    /// It is not an object.
    #[error("it is not an object")]
    NoObject,
    /// A member has an unknown form.
    #[error("`{0}` has an unknown form")]
    Form(&'static str),
    /// A part of the content is neither text nor reasoning.
    #[error("a part of the content has the unknown type `{0}`")]
    Part(String),
}

/// What a chunk says.
pub(super) fn read(data: &str) -> Result<Content<'static>, Problem> {
    let chunk = match serde_json::from_str(data)? {
        Value::Object(chunk) => chunk,
        Value::Null => return Ok(Content::default()),
        Value::Array(items) if items.is_empty() => return Ok(Content::default()),
        Value::Array(_) | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            return Err(Problem::NoObject);
        }
    };
    let mut read = Content {
        error: given(&chunk, "error").map(|error| Cow::Owned(error.to_string())),
        usage: given(&chunk, "usage").and_then(usage),
        choices: Vec::new(),
    };
    match given(&chunk, "choices") {
        None => {}
        Some(Value::Array(choices)) => {
            for choice in choices {
                let choice = choice.as_object().ok_or(Problem::Form("choices"))?;
                if given(choice, "index").and_then(count).unwrap_or(0) == 0 {
                    read.choices.push(read_choice(choice)?);
                }
            }
        }
        Some(_) => return Err(Problem::Form("choices")),
    }
    Ok(read)
}

fn read_choice(choice: &Map<String, Value>) -> Result<Choice<'static>, Problem> {
    let mut read = Choice {
        finish_reason: given(choice, "finish_reason").map(|reason| Cow::Owned(plain(reason))),
        ..Choice::default()
    };
    // A server that does not stream sends the whole message.
    let words = given(choice, "delta").or_else(|| given(choice, "message"));
    let words = match words {
        None => return Ok(read),
        Some(Value::Object(words)) => words,
        Some(_) => return Err(Problem::Form("delta")),
    };
    let mut reasoning = String::new();
    for name in ["reasoning", "reasoning_content"] {
        if reasoning.is_empty()
            && let Some(value) = given(words, name)
        {
            thoughts(value, &mut reasoning, 0);
        }
    }
    let mut text = String::new();
    for name in ["content", "refusal"] {
        if let Some(value) = given(words, name) {
            content(value, &mut text, &mut reasoning)?;
        }
    }
    read.reasoning = Some(reasoning)
        .filter(|text| !text.is_empty())
        .map(Cow::Owned);
    read.text.push(Cow::Owned(text));
    Ok(read)
}

/// Adds content to the text, and what is marked as reasoning to the reasoning.
fn content(value: &Value, text: &mut String, reasoning: &mut String) -> Result<(), Problem> {
    match value {
        Value::Array(parts) => {
            for part in parts {
                content_part(part, text, reasoning)?;
            }
            Ok(())
        }
        Value::Object(_) => content_part(value, text, reasoning),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            text.push_str(&plain(value));
            Ok(())
        }
    }
}

fn content_part(part: &Value, text: &mut String, reasoning: &mut String) -> Result<(), Problem> {
    let Value::Object(members) = part else {
        text.push_str(&plain(part));
        return Ok(());
    };
    let kind = members
        .get("type")
        .and_then(Value::as_str)
        .unwrap_or("text");
    if matches!(kind, "thinking" | "reasoning") {
        thoughts(part, reasoning, 0);
        return Ok(());
    }
    let words = ["text", "content", "refusal"]
        .into_iter()
        .find_map(|name| members.get(name)?.as_str());
    text.push_str(words.ok_or_else(|| Problem::Part(kind.to_owned()))?);
    Ok(())
}

/// Adds the words of reasoning, whatever they are wrapped in. Other members are about the reasoning and are skipped.
fn thoughts(value: &Value, reasoning: &mut String, depth: usize) {
    match value {
        Value::String(text) => reasoning.push_str(text),
        Value::Array(parts) if depth < DEPTH => {
            for part in parts {
                thoughts(part, reasoning, depth + 1);
            }
        }
        Value::Object(members) if depth < DEPTH => {
            let names = ["text", "content", "thinking", "reasoning", "summary"];
            if let Some(inner) = names.into_iter().find_map(|name| given(members, name)) {
                thoughts(inner, reasoning, depth + 1);
            }
        }
        Value::Array(_) | Value::Object(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// A member that exists and is not null.
fn given<'a>(members: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    members.get(name).filter(|value| !value.is_null())
}

fn usage(value: &Value) -> Option<Usage> {
    let counts = value.as_object()?;
    let tokens = |name| given(counts, name).and_then(count).unwrap_or(0);
    Some(Usage {
        input: tokens("prompt_tokens"),
        output: tokens("completion_tokens"),
    })
}

/// A whole number, however it is written.
fn count(value: &Value) -> Option<u64> {
    let text = plain(value);
    let whole = text
        .split_once('.')
        .map_or(text.as_str(), |(whole, _)| whole);
    whole.parse().ok()
}

/// A value as text: a string without its quotation marks.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}
