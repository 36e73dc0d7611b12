//! What is kept of a choice, and how it is written.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;
use sluicegate_plugin::Fault;
use sluicegate_plugin::json::{self, Kind};

use crate::failure;

/// A member of any name: its name, and its value as JSON text.
pub(super) type Member = (String, String);

/// A choice. Its texts are the insides of JSON strings.
#[derive(Debug, Default)]
pub(super) struct Collected {
    pub(super) index: u32,
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
    /// The insides of the two arrays of log probabilities.
    content_logprobs: Option<String>,
    refusal_logprobs: Option<String>,
}

/// A tool call. Its texts are the insides of JSON strings.
#[derive(Debug, Default)]
pub(super) struct Call {
    pub(super) index: u32,
    pub(super) id: String,
    pub(super) name: String,
    pub(super) arguments: String,
}

#[derive(Deserialize)]
struct Logprobs<'a> {
    #[serde(borrow)]
    content: Option<&'a RawValue>,
    #[serde(borrow)]
    refusal: Option<&'a RawValue>,
}

impl Collected {
    /// A choice that has nothing yet.
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

    /// Appends log probabilities and gives by how much that grew.
    pub(super) fn logprobs(&mut self, raw: &RawValue) -> Result<usize, Fault> {
        let found: Logprobs<'_> =
            serde_json::from_str(raw.get()).map_err(|_| failure::nonsense())?;
        let mut size = 0;
        for (kept, found) in [
            (&mut self.content_logprobs, found.content),
            (&mut self.refusal_logprobs, found.refusal),
        ] {
            let Some(raw) = found else { continue };
            let inner = raw
                .get()
                .strip_prefix('[')
                .and_then(|text| text.strip_suffix(']'));
            let inner = inner.ok_or_else(failure::nonsense)?.trim();
            let kept = kept.get_or_insert_default();
            if !kept.is_empty() && !inner.is_empty() {
                kept.push(',');
            }
            kept.push_str(inner);
            size += inner.len() + 1;
        }
        Ok(size)
    }

    /// Appends the choice as JSON.
    pub(super) fn write(&self, out: &mut String) {
        out.push_str("{\"index\":");
        json::push_u64(out, self.index.into());
        out.push_str(",\"message\":{\"role\":\"assistant\",\"content\":");
        let refused = self.refusal.as_deref().is_some_and(|text| !text.is_empty());
        let content = self.content.as_deref().unwrap_or("");
        // OpenAI's `null` says that there is something else to look at.
        if content.is_empty() && (refused || !self.calls.is_empty()) {
            out.push_str("null");
        } else {
            write_text(out, content);
        }
        out.push_str(",\"refusal\":");
        match self.refusal.as_deref() {
            Some(text) if refused => write_text(out, text),
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
        out.push_str("},\"logprobs\":");
        self.write_logprobs(out);
        out.push_str(",\"finish_reason\":");
        let called = if self.calls.is_empty() {
            "\"stop\""
        } else {
            "\"tool_calls\""
        };
        out.push_str(self.finish_reason.as_deref().unwrap_or(called));
        write_members(out, &self.extra);
        out.push('}');
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

    fn write_logprobs(&self, out: &mut String) {
        if self.content_logprobs.is_none() && self.refusal_logprobs.is_none() {
            out.push_str("null");
            return;
        }
        for (open, inner) in [
            ("{\"content\":", &self.content_logprobs),
            (",\"refusal\":", &self.refusal_logprobs),
        ] {
            out.push_str(open);
            match inner {
                Some(inner) => {
                    out.push('[');
                    out.push_str(inner);
                    out.push(']');
                }
                None => out.push_str("null"),
            }
        }
        out.push('}');
    }
}

/// Keeps a member under its name, the last one of several, and gives by how much that grew. `null` erases nothing.
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
