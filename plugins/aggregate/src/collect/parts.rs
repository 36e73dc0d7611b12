//! The collected parts of a choice, and how they are written.

use std::borrow::Cow;

use serde_json::value::RawValue;
use sluicegate_plugin::json::{self, Kind};

use super::logprobs::{List, Logprobs};

/// A member of any name: its name, and its value as JSON text.
pub(super) type Member = (String, String);

/// The kind of response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Object {
    /// A `chat.completion`.
    #[default]
    Chat,
    /// A `text_completion`.
    Text,
}

impl Object {
    /// The member `object`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Chat => "chat.completion",
            Self::Text => "text_completion",
        }
    }

    /// The prefix of an id.
    pub(super) fn id_prefix(self) -> &'static str {
        match self {
            Self::Chat => "chatcmpl",
            Self::Text => "cmpl",
        }
    }
}

/// A choice. Its texts are the insides of JSON strings.
#[derive(Debug, Default)]
pub(super) struct Collected {
    pub(super) index: u32,
    /// In a completion, the text.
    pub(super) content: Option<String>,
    pub(super) refusal: Option<String>,
    pub(super) calls: Vec<Call>,
    /// Other texts of the message by name.
    pub(super) texts: Vec<Member>,
    /// Other members of the message.
    pub(super) members: Vec<Member>,
    /// As JSON text.
    pub(super) finish_reason: Option<String>,
    /// Other members of the choice.
    pub(super) extra: Vec<Member>,
    pub(super) logprobs: Logprobs,
    /// The log probabilities, if the server sends them.
    pub(super) token_ids: Option<List>,
}

/// A tool call. Its texts are the insides of JSON strings.
#[derive(Debug, Default)]
pub(super) struct Call {
    pub(super) index: u32,
    pub(super) id: String,
    pub(super) name: String,
    pub(super) arguments: String,
}

impl Collected {
    /// An empty choice.
    pub(super) fn new(index: u32) -> Self {
        Self {
            index,
            ..Self::default()
        }
    }

    /// The other text of this name.
    pub(super) fn text_mut(&mut self, name: &str) -> Option<&mut String> {
        let (_, text) = self.texts.iter_mut().find(|(known, _)| known == name)?;
        Some(text)
    }

    /// The call that a fragment belongs to, by its index. Some servers give all calls the same index, and begin each with its
    /// own id and name.
    pub(super) fn call_of(
        &self,
        index: u32,
        id: Option<&RawValue>,
        has_name: bool,
    ) -> Option<usize> {
        let id = id.and_then(json::string_inner).filter(|id| !id.is_empty());
        let is_its = |call: &Call| call.index == index && id == Some(&*call.id);
        if let Some(at) = self.calls.iter().position(is_its) {
            return Some(at);
        }
        let at = self.calls.iter().rposition(|call| call.index == index)?;
        let is_another = id.is_some() && has_name && !self.calls[at].id.is_empty();
        (!is_another).then_some(at)
    }

    /// Appends the choice as JSON.
    pub(super) fn write(&self, out: &mut String, object: Object) {
        out.push_str("{\"index\":");
        json::push_u64(out, self.index.into());
        let default = match object {
            Object::Chat => {
                self.write_message(out);
                if self.calls.is_empty() {
                    "\"stop\""
                } else {
                    "\"tool_calls\""
                }
            }
            Object::Text => {
                out.push_str(",\"text\":");
                write_text(out, self.content.as_deref().unwrap_or(""));
                "\"stop\""
            }
        };
        out.push_str(",\"logprobs\":");
        self.logprobs.write(out, object);
        out.push_str(",\"finish_reason\":");
        out.push_str(self.finish_reason.as_deref().unwrap_or(default));
        if let Some(ids) = &self.token_ids {
            out.push_str(",\"token_ids\":");
            ids.write(out);
        }
        write_members(out, &self.extra);
        out.push('}');
    }

    fn write_message(&self, out: &mut String) {
        out.push_str(",\"message\":{\"role\":\"assistant\",\"content\":");
        let content = self.content.as_deref().unwrap_or("");
        // OpenAI's `null` says that the message has something else.
        if content.is_empty() && self.says_something_else() {
            out.push_str("null");
        } else {
            write_text(out, content);
        }
        out.push_str(",\"refusal\":");
        match self.refusal.as_deref() {
            Some(text) if !text.is_empty() => write_text(out, text),
            Some(_) | None => out.push_str("null"),
        }
        for (name, text) in &self.texts {
            out.push(',');
            json::push_str(out, name);
            out.push(':');
            write_text(out, text);
        }
        write_members(out, &self.members);
        self.write_calls(out);
        out.push('}');
    }

    fn says_something_else(&self) -> bool {
        let mut texts = self.texts.iter().map(|(_, text)| text);
        !self.calls.is_empty()
            || !self.members.is_empty()
            || self.refusal.as_deref().is_some_and(|text| !text.is_empty())
            || texts.any(|text| !text.is_empty())
    }

    fn write_calls(&self, out: &mut String) {
        let mut calls: Vec<&Call> = self.calls.iter().collect();
        calls.sort_by_key(|call| call.index);
        for (at, call) in calls.iter().enumerate() {
            out.push_str(if at == 0 { ",\"tool_calls\":[" } else { "," });
            out.push_str("{\"id\":");
            write_text(out, &call.id);
            out.push_str(",\"type\":\"function\",\"function\":{\"name\":");
            write_text(out, &call.name);
            out.push_str(",\"arguments\":");
            write_text(out, &call.arguments);
            out.push_str("}}");
        }
        if !calls.is_empty() {
            out.push(']');
        }
    }
}

/// Keeps a member under its name and returns by how much the list grew. The last value counts, but `null` replaces nothing.
pub(super) fn keep(members: &mut Vec<Member>, name: Cow<'_, str>, raw: &RawValue) -> usize {
    let value = raw.get();
    match members.iter_mut().find(|(known, _)| *known == name) {
        Some(_) if Kind::of(raw) == Kind::Null => 0,
        Some((_, kept)) if kept == value => 0,
        Some((_, kept)) => {
            value.clone_into(kept);
            value.len()
        }
        None => {
            let size = name.len() + value.len();
            members.push((name.into_owned(), value.to_owned()));
            size
        }
    }
}

/// Appends members, a comma before each.
pub(super) fn write_members(out: &mut String, members: &[Member]) {
    for (name, value) in members {
        out.push(',');
        json::push_str(out, name);
        out.push(':');
        out.push_str(value);
    }
}

/// Puts quotes around the inside of a JSON string.
fn write_text(out: &mut String, inner: &str) {
    out.push('"');
    out.push_str(inner);
    out.push('"');
}
