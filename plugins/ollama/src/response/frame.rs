//! The quick way for the line that nearly every line is: the same as one before, but for its time and its piece of text.
//!
//! A line of one token is thirty times as long as the token. What surrounds the time and the text was parsed once; if the
//! next line has the very same octets around another time and another text, parsing it would say nothing new. A line that
//! differs anywhere else is parsed.

use std::ops::Range;

use sluicegate_plugin::json;

use super::line::{Line, Only};

/// What surrounds the time and the text of a line that says nothing else. Both are JSON strings; their quotes belong to the
/// frame.
#[derive(Debug)]
pub(super) struct Frame {
    before: Vec<u8>,
    between: Vec<u8>,
    after: Vec<u8>,
    /// The chunk that such a line becomes, up to where its text begins.
    head: Vec<u8>,
    /// The chunk from the end of its text.
    tail: &'static [u8],
}

impl Frame {
    /// The frame of a line that was read from `data`; `None` if it says more than a piece of text, or not in Ollama's order.
    /// `chunk` makes the two ends of its chunk.
    pub(super) fn of(
        data: &[u8],
        line: &Line<'_>,
        chunk: impl FnOnce(Only<'_>) -> (Vec<u8>, &'static [u8]),
    ) -> Option<Self> {
        if line.done || line.logprobs.is_some() {
            return None;
        }
        let only = line.message.as_ref()?.only_text()?;
        let (Only::Content(text) | Only::Thinking(text)) = only;
        let time = inside(data, json::span(data, line.created_at?)?)?;
        let text = inside(data, json::span(data, text)?)?;
        let between = data.get(time.end..text.start)?.to_vec();
        let (head, tail) = chunk(only);
        Some(Self {
            before: data[..time.start].to_vec(),
            between,
            after: data[text.end..].to_vec(),
            head,
            tail,
        })
    }

    /// The inside of the text, if `data` is this frame around a time and a text.
    pub(super) fn text<'a>(&self, data: &'a [u8]) -> Option<&'a str> {
        let rest = json::strip_prefix(data, &self.before)?;
        let time = rest.iter().position(|&b| !is_time(b))?;
        let rest = json::strip_prefix(&rest[time..], &self.between)?;
        json::as_string_inner(json::strip_suffix(rest, &self.after)?)
    }

    /// The chunk of a line with this text.
    pub(super) fn chunk(&self, text: &str) -> Vec<u8> {
        // Exactly as large as needed, for a buffer with room to spare is copied when it leaves the sandbox.
        let mut data = Vec::with_capacity(self.head.len() + text.len() + self.tail.len());
        data.extend_from_slice(&self.head);
        data.extend_from_slice(text.as_bytes());
        data.extend_from_slice(self.tail);
        data
    }
}

/// What is between the quotes of a string; `None` if it is none.
fn inside(data: &[u8], span: Range<usize>) -> Option<Range<usize>> {
    let inner = data[span.clone()]
        .strip_prefix(b"\"")?
        .strip_suffix(b"\"")?;
    Some(span.start + 1..span.start + 1 + inner.len())
}

/// Whether an octet may be part of a time: digits, `-`, `:`, `.`, `+`, `T`, `Z` and what ASCII has between these. No quote, no
/// backslash and no control character is among them.
fn is_time(octet: u8) -> bool {
    (b'+'..=b'Z').contains(&octet)
}
