//! What vLLM and TGI read from a request in OpenAI's form, once its own checks have passed. Pure.

use serde_json::{Map, Value};

use super::conversation::{Message, Tool};

/// The messages of a conversation. `name_of` names the tool whose result a message is.
pub(super) fn messages(list: &[Value], name_of: impl Fn(&Value) -> String) -> Vec<Message> {
    let message = |message: &Value| {
        let (content, images) = content(&message["content"]);
        let role = text(&message["role"]).to_lowercase();
        let tool_name = if role == "tool" {
            name_of(message)
        } else {
            String::new()
        };
        Message {
            role,
            content,
            images,
            tool_name,
        }
    };
    list.iter().map(message).collect()
}

/// The text of a content, and its images.
fn content(content: &Value) -> (String, usize) {
    let parts = match content {
        Value::Array(parts) => parts,
        Value::String(text) => return (text.clone(), 0),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => {
            return (String::new(), 0);
        }
    };
    let text = parts.iter().filter_map(|part| part["text"].as_str());
    let images = parts.iter().filter(|part| part["type"] == "image_url");
    (text.collect(), images.count())
}

/// The calls in a conversation: their ids and the names of their tools.
pub(super) fn calls(list: &[Value]) -> Vec<(&str, &str)> {
    let calls = list
        .iter()
        .filter_map(|message| message["tool_calls"].as_array());
    calls
        .flatten()
        .map(|call| (text(&call["id"]), text(&call["function"]["name"])))
        .collect()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// The tools that a request offers.
pub(super) fn tools(list: &[Value]) -> Vec<Tool> {
    let tool = |tool: &Value| {
        let function = &tool["function"];
        Tool {
            name: text(&function["name"]).to_owned(),
            description: text(&function["description"]).to_owned(),
            parameters: function["parameters"].clone(),
        }
    };
    list.iter().map(tool).collect()
}

/// A list; nothing where there is none.
pub(super) fn list<'a>(fields: &'a Map<String, Value>, name: &str) -> &'a [Value] {
    fields
        .get(name)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// The question in a prompt. If a template was applied to a conversation, it is the last command in it.
pub(super) fn question(prompt: &str) -> Message {
    let command = prompt.lines().rev().find(|line| line.starts_with('/'));
    Message {
        role: "user".to_owned(),
        content: command.unwrap_or(prompt).to_owned(),
        ..Message::default()
    }
}
