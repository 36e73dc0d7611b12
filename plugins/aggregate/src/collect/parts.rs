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

    /// Appends log probabilities and answers by how much that grew.
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
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"index\":");
        json::push_u64(out, self.index.into());
        out.extend_from_slice(b",\"message\":{\"role\":\"assistant\",\"content\":");
        let refused = self.refusal.as_deref().is_some_and(|text| !text.is_empty());
        let content = self.content.as_deref().unwrap_or("");
        // OpenAI's `null` says that there is something else to look at.
        if content.is_empty() && (refused || !self.calls.is_empty()) {
            out.extend_from_slice(b"null");
        } else {
            write_text(out, content);
        }
        out.extend_from_slice(b",\"refusal\":");
        match self.refusal.as_deref() {
            Some(text) if refused => write_text(out, text),
            Some(_) | None => out.extend_from_slice(b"null"),
        }
        for (name, text) in &self.texts {
            out.push(b',');
            json::push_str(out, name);
            out.push(b':');
            write_text(out, text);
        }
        write_members(out, &self.members);
        self.write_calls(out);
        out.extend_from_slice(b"},\"logprobs\":");
        self.write_logprobs(out);
        out.extend_from_slice(b",\"finish_reason\":");
        let called = if self.calls.is_empty() {
            "\"stop\""
        } else {
            "\"tool_calls\""
        };
        out.extend_from_slice(self.finish_reason.as_deref().unwrap_or(called).as_bytes());
        write_members(out, &self.extra);
        out.push(b'}');
    }

    fn write_calls(&self, out: &mut Vec<u8>) {
        let mut calls: Vec<&Call> = self.calls.iter().collect();
        calls.sort_by_key(|call| call.index);
        for (at, call) in calls.iter().enumerate() {
            out.extend_from_slice(if at == 0 { b",\"tool_calls\":[" } else { b"," });
            out.extend_from_slice(b"{\"id\":");
            write_text(out, &call.id);
            out.extend_from_slice(b",\"type\":\"function\",\"function\":{\"name\":");
            write_text(out, &call.name);
            out.extend_from_slice(b",\"arguments\":");
            write_text(out, &call.arguments);
            out.extend_from_slice(b"}}");
        }
        if !calls.is_empty() {
            out.push(b']');
        }
    }

    fn write_logprobs(&self, out: &mut Vec<u8>) {
        if self.content_logprobs.is_none() && self.refusal_logprobs.is_none() {
            out.extend_from_slice(b"null");
            return;
        }
        for (open, inner) in [
            (b"{\"content\":".as_slice(), &self.content_logprobs),
            (b",\"refusal\":", &self.refusal_logprobs),
        ] {
            out.extend_from_slice(open);
            match inner {
                Some(inner) => {
                    out.push(b'[');
                    out.extend_from_slice(inner.as_bytes());
                    out.push(b']');
                }
                None => out.extend_from_slice(b"null"),
            }
        }
        out.push(b'}');
    }
}

/// Keeps a member under its name, the last one of several, and answers by how much that grew. `null` erases nothing.
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
pub(super) fn write_members(out: &mut Vec<u8>, members: &[Member]) {
    for (name, value) in members {
        out.push(b',');
        json::push_str(out, name);
        out.push(b':');
        out.extend_from_slice(value.as_bytes());
    }
}

/// Puts quotes around the inside of a JSON string.
fn write_text(out: &mut Vec<u8>, inner: &str) {
    out.push(b'"');
    out.extend_from_slice(inner.as_bytes());
    out.push(b'"');
}
