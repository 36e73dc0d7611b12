//! Decodes the body of `/api/chat` to a checked request, with the errors of Go's JSON decoder. Pure.
//!
//! # Source
//! Ollama, `api/types.go` (`ChatRequest`) and Go's `encoding/json` error texts, read in 2026.

use serde_json::{Map, Value};

use super::go_duration::{self, KeepAlive};
use crate::conversation::{Message, Tool};

/// A decoded chat request; `decide` decides whether the model can serve it.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Request {
    pub(super) model: String,
    pub(super) messages: Vec<Message>,
    pub(super) stream: bool,
    pub(super) format: Value,
    pub(super) keep_alive: KeepAlive,
    pub(super) tools: Vec<Tool>,
    pub(super) options: Map<String, Value>,
    pub(super) think: Option<bool>,
    /// How many alternatives each token gets; `None` without `logprobs`.
    pub(super) logprobs: Option<usize>,
}

/// A body that Ollama answers with 400.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Error {
    #[error("missing request body")]
    Empty,
    #[error("unexpected EOF")]
    UnexpectedEnd,
    #[error("invalid character '{found}' looking for beginning of value")]
    Syntax { found: char },
    #[error("json: cannot unmarshal {found} into Go {place} of type {expected}")]
    Type {
        found: &'static str,
        place: String,
        expected: &'static str,
    },
    #[error("time: invalid duration \"{text}\"")]
    Duration { text: String },
    #[error("illegal base64 data at input byte {at}")]
    Image { at: usize },
    #[error(
        "invalid think value: \"{text}\" (must be \"high\", \"medium\", \"low\", \"max\", true, or false)"
    )]
    Think { text: String },
    #[error("top_logprobs must be between 0 and 20")]
    TopLogprobs,
}

impl Request {
    /// Decodes a body.
    ///
    /// # Errors
    /// See [`Error`]; the first problem found, in the order of the fields above.
    pub(super) fn parse(body: &[u8]) -> Result<Self, Error> {
        let fields = object(body)?;
        let top_logprobs = match fields.get("top_logprobs") {
            None | Some(Value::Null) => 0,
            Some(value) => value
                .as_f64()
                .ok_or_else(|| wrong(value, "top_logprobs", "int"))
                .and_then(in_top_range)?,
        };
        Ok(Self {
            model: string(&fields, "model")?,
            messages: list(&fields, "messages", "[]api.Message")?
                .iter()
                .map(message)
                .collect::<Result<_, _>>()?,
            stream: boolean(&fields, "stream")?.unwrap_or(true),
            format: fields.get("format").cloned().unwrap_or_default(),
            keep_alive: fields
                .get("keep_alive")
                .map_or(Ok(KeepAlive::default()), go_duration::keep_alive)
                .map_err(|text| Error::Duration { text })?,
            tools: list(&fields, "tools", "api.Tools")?
                .iter()
                .map(tool)
                .collect::<Result<_, _>>()?,
            options: match fields.get("options") {
                None | Some(Value::Null) => Map::new(),
                Some(Value::Object(options)) => options.clone(),
                Some(value) => return Err(wrong(value, "options", "map[string]interface {}")),
            },
            think: think(fields.get("think"))?,
            logprobs: boolean(&fields, "logprobs")?
                .unwrap_or(false)
                .then_some(top_logprobs),
        })
    }
}

/// Decodes a body that must be a JSON object; `null` counts as `{}`, as in Go.
pub(super) fn object(body: &[u8]) -> Result<Map<String, Value>, Error> {
    if body.is_empty() {
        return Err(Error::Empty);
    }
    match serde_json::from_slice(body) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(Value::Null) => Ok(Map::new()),
        Ok(value) => Err(Error::Type {
            found: kind(&value),
            place: "value".into(),
            expected: "api.ChatRequest",
        }),
        Err(error) if error.is_eof() => Err(Error::UnexpectedEnd),
        Err(error) => Err(Error::Syntax {
            found: character_at(body, error.line(), error.column()),
        }),
    }
}

fn character_at(body: &[u8], line: usize, column: usize) -> char {
    let text = String::from_utf8_lossy(body);
    text.lines()
        .nth(line.saturating_sub(1))
        .and_then(|line| line.chars().nth(column.saturating_sub(1)))
        .unwrap_or(char::REPLACEMENT_CHARACTER)
}

fn in_top_range(number: f64) -> Result<usize, Error> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the range is checked"
    )]
    (0.0..=20.0)
        .contains(&number)
        .then_some(number as usize)
        .ok_or(Error::TopLogprobs)
}

fn message(value: &Value) -> Result<Message, Error> {
    let Value::Object(fields) = value else {
        return Err(wrong(value, "messages", "api.Message"));
    };
    let images = list(fields, "images", "[]api.ImageData")?;
    for image in images {
        base64(image)?;
    }
    for call in list(fields, "tool_calls", "[]api.ToolCall")? {
        match call.pointer("/function/arguments") {
            None | Some(Value::Null | Value::Object(_)) => {}
            Some(value) => {
                let field = "messages.tool_calls.function.arguments";
                return Err(wrong(value, field, "map[string]interface {}"));
            }
        }
    }
    Ok(Message {
        role: string(fields, "role")?.to_lowercase(),
        content: string(fields, "content")?,
        images: images.len(),
        tool_name: string(fields, "tool_name")?,
    })
}

/// Checks one image: plain base64, without a `data:` prefix.
fn base64(value: &Value) -> Result<(), Error> {
    let Value::String(text) = value else {
        return Err(wrong(value, "messages.images", "api.ImageData"));
    };
    let payload = text.trim_end_matches('=');
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    match payload.bytes().position(|byte| !legal(byte)) {
        Some(at) => Err(Error::Image { at }),
        None if text.len() % 4 != 0 || text.len() - payload.len() > 2 => {
            Err(Error::Image { at: text.len() })
        }
        None => Ok(()),
    }
}

fn tool(value: &Value) -> Result<Tool, Error> {
    let Value::Object(fields) = value else {
        return Err(wrong(value, "tools", "api.Tool"));
    };
    let function = match fields.get("function") {
        Some(Value::Object(function)) => function.clone(),
        None | Some(Value::Null) => Map::new(),
        Some(value) => return Err(wrong(value, "tools.function", "api.ToolFunction")),
    };
    Ok(Tool {
        name: string(&function, "name")?,
        description: string(&function, "description")?,
        parameters: function.get("parameters").cloned().unwrap_or_default(),
    })
}

fn think(value: Option<&Value>) -> Result<Option<bool>, Error> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Bool(think)) => Ok(Some(*think)),
        Some(Value::String(text)) if matches!(text.as_str(), "high" | "medium" | "low" | "max") => {
            Ok(Some(true))
        }
        Some(Value::String(text)) => Err(Error::Think { text: text.clone() }),
        Some(value) => Err(Error::Think {
            text: value.to_string(),
        }),
    }
}

/// A string field; absent and `null` are "".
pub(super) fn string(fields: &Map<String, Value>, name: &str) -> Result<String, Error> {
    match fields.get(name) {
        None | Some(Value::Null) => Ok(String::new()),
        Some(Value::String(text)) => Ok(text.clone()),
        Some(value) => Err(wrong(value, name, "string")),
    }
}

fn boolean(fields: &Map<String, Value>, name: &str) -> Result<Option<bool>, Error> {
    match fields.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Bool(flag)) => Ok(Some(*flag)),
        Some(value) => Err(wrong(value, name, "bool")),
    }
}

fn list<'a>(
    fields: &'a Map<String, Value>,
    name: &str,
    expected: &'static str,
) -> Result<&'a [Value], Error> {
    match fields.get(name) {
        None | Some(Value::Null) => Ok(&[]),
        Some(Value::Array(items)) => Ok(items),
        Some(value) => Err(wrong(value, name, expected)),
    }
}

fn wrong(value: &Value, field: &str, expected: &'static str) -> Error {
    Error::Type {
        found: kind(value),
        place: format!("struct field ChatRequest.{field}"),
        expected,
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

#[cfg(test)]
mod tests;
