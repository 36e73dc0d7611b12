//! The fast path for most lines: those that differ from an earlier one only in their time and their text.
//!
//! A line of one token is thirty times as long as the token. What surrounds the time and the text was parsed once; if the
//! next line has the same bytes around another time and another text, parsing it would yield nothing new. A line that differs
//! anywhere else is parsed.

use std::ops::Range;

use sluicegate_plugin::json;

use super::line::{Line, Only};

/// What surrounds the time and the text of a line with nothing else. Both are JSON strings; their quotes belong to the frame.
#[derive(Debug)]
pub(super) struct Frame {
    before: String,
    between: String,
    after: String,
    /// The chunk of such a line, up to its text.
    head: String,
    /// The chunk from the end of its text.
    tail: &'static str,
}

impl Frame {
    /// The frame of a line that was read from `data`; `None` if it has more than a text, or another order than Ollama's.
    /// `chunk` makes the two ends of its chunk, if it becomes one.
    pub(super) fn of(
        data: &str,
        line: &Line<'_>,
        chunk: impl FnOnce(Only<'_>) -> Option<(String, &'static str)>,
    ) -> Option<Self> {
        if line.done || line.has_logprobs() {
            return None;
        }
        let only = line.message.as_ref()?.only_text()?;
        let (Only::Content(text) | Only::Thinking(text)) = only;
        let time = inside(data, json::span(data, line.created_at?)?)?;
        let text = inside(data, json::span(data, text)?)?;
        let between = data.get(time.end..text.start)?.to_owned();
        let (head, tail) = chunk(only)?;
        Some(Self {
            before: data[..time.start].to_owned(),
            between,
            after: data[text.end..].to_owned(),
            head,
            tail,
        })
    }

    /// The inside of the text, if `data` is this frame around a time and a text.
    pub(super) fn text<'a>(&self, data: &'a str) -> Option<&'a str> {
        let rest = json::strip_prefix(data, &self.before)?;
        let time = rest.bytes().position(|byte| !is_time(byte))?;
        let rest = json::strip_prefix(&rest[time..], &self.between)?;
        json::as_string_inner(json::strip_suffix(rest, &self.after)?)
    }

    /// The chunk of a line with this text.
    pub(super) fn chunk(&self, text: &str) -> String {
        // Exactly as large as needed, because a buffer with spare capacity is copied when it leaves the sandbox.
        let mut data = String::with_capacity(self.head.len() + text.len() + self.tail.len());
        data.push_str(&self.head);
        data.push_str(text);
        data.push_str(self.tail);
        data
    }
}

/// What is between the quotes of a string; `None` if it is not a string.
fn inside(data: &str, span: Range<usize>) -> Option<Range<usize>> {
    let inner = data[span.clone()].strip_prefix('"')?.strip_suffix('"')?;
    Some(span.start + 1..span.start + 1 + inner.len())
}

/// Whether a byte may be part of a time: digits, `-`, `:`, `.`, `+`, `T`, `Z` and the ASCII characters between these. No
/// quote, no backslash and no control character is among them.
fn is_time(byte: u8) -> bool {
    (b'+'..=b'Z').contains(&byte)
}
