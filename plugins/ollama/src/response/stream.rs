//! A stream of a chat: turns each line into the chunks that OpenAI's clients expect.
//!
//! The order is role, deltas, finish, usage if wanted, `[DONE]`. The end marker comes only after Ollama's `done` line. A
//! stream that ends without it has been cut, and only the missing marker tells the client so.
//!
//! The beginning of a chunk is the same for the whole stream and is made once. Texts go into a chunk as they are in the line,
//! so a line of content costs one scan and one copy; see also [`frame`](super::frame).

use sluicegate_openai_api::response::Identity;
use sluicegate_plugin::{Event, Fault};

use super::delta::Delta;
use super::frame::Frame;
use super::line::{Ending, Line, Only};
use super::message::Reader;
use super::{Shown, tools};

const OPEN_CHOICE: &str = "{\"index\":0,\"delta\":";
const OPEN_CONTENT: &str = "{\"content\":";
const END_DELTA: &str = "},\"finish_reason\":null}]}";
/// Between a delta and its log probabilities, if it has some.
const OPEN_LOGPROBS: &str = "},\"logprobs\":";
const END_CHOICE: &str = ",\"finish_reason\":null}]}";
/// [`END_DELTA`] after the quote that ends a text.
const END_TEXT: &str = "\"},\"finish_reason\":null}]}";

/// The state of a chat's stream.
#[derive(Debug)]
pub struct Stream {
    /// Everything up to the delta's value.
    prefix: String,
    /// The members that carry thoughts; none if they are left out.
    thoughts: &'static [&'static str],
    usage: bool,
    opened: bool,
    reader: Reader,
    lines: u64,
    ending: Option<Ending>,
    /// The frame of the last plain line that was parsed.
    frame: Option<Box<Frame>>,
}

impl Stream {
    /// A stream at its beginning.
    pub fn new(identity: &Identity, shown: &Shown) -> Self {
        let mut prefix = String::with_capacity(192);
        identity.write_head(&mut prefix, true);
        prefix.push_str(OPEN_CHOICE);
        Self {
            prefix,
            thoughts: shown.thoughts,
            usage: shown.usage,
            opened: false,
            reader: Reader::new(shown),
            lines: 0,
            ending: None,
            frame: None,
        }
    }

    /// Takes a line and appends its chunks.
    ///
    /// # Errors
    /// Ollama's own error in mid-stream, or 502 `upstream_invalid` for an invalid line.
    pub fn push(&mut self, data: &str, out: &mut Vec<Event>) -> Result<(), Fault> {
        if self.ending.is_some() {
            return Ok(());
        }
        if let Some(frame) = &self.frame
            && let Some(text) = frame.text(data)
        {
            // Most lines end here. An empty text makes no chunk.
            if !text.is_empty() {
                out.push(Event::data(frame.chunk(text)));
                self.lines += 1;
            }
            return Ok(());
        }
        self.parse(data, out)
    }

    /// Takes a line that has no known frame.
    fn parse(&mut self, data: &str, out: &mut Vec<Event>) -> Result<(), Fault> {
        if data.trim_ascii().is_empty() {
            return Ok(());
        }
        let line = Line::read(data)?;
        self.open(out);
        let mut calls = self.reader.calls();
        let deltas = self.reader.take(&line)?;
        if self.reader.is_plain()
            && let Some(frame) = Frame::of(data, &line, |only| self.around(only))
        {
            self.frame = Some(Box::new(frame));
        }
        self.lines += u64::from(line.has_text());
        for delta in deltas {
            out.extend(self.delta(delta, &mut calls));
        }
        if line.done {
            self.finish(self.reader.ending(&line), out);
        }
        Ok(())
    }

    /// How the response ended; `None` before its `done` line.
    pub fn ending(&self) -> Option<Ending> {
        self.ending
    }

    /// The number of lines with text so far, about one per token.
    pub fn lines(&self) -> u64 {
        self.lines
    }

    fn open(&mut self, out: &mut Vec<Event>) {
        if !self.opened {
            self.opened = true;
            let role = "{\"role\":\"assistant\",\"content\":\"\"";
            out.push(self.chunk(&[role, END_DELTA]));
        }
    }

    /// The chunk of a delta; `None` if it is left out. `calls` counts the calls.
    fn delta(&self, delta: Delta<'_>, calls: &mut u64) -> Option<Event> {
        let mut members = String::new();
        match delta {
            Delta::Content(text, Some(list)) => {
                let parts = [OPEN_CONTENT, &text, OPEN_LOGPROBS, &list, END_CHOICE];
                return Some(self.chunk(&parts));
            }
            Delta::Content(text, None) => {
                return Some(self.chunk(&[OPEN_CONTENT, &text, END_DELTA]));
            }
            Delta::Thoughts(_) if self.thoughts.is_empty() => return None,
            Delta::Thoughts(text) => {
                for name in self.thoughts {
                    members.push_str(if members.is_empty() { "{\"" } else { ",\"" });
                    members.push_str(name);
                    members.push_str("\":");
                    members.push_str(&text);
                }
            }
            Delta::Call {
                id,
                name,
                arguments,
            } => {
                open_call(&mut members, *calls);
                *calls += 1;
                tools::write(&mut members, &id, &name, &arguments);
                members.push_str("}]");
            }
            Delta::Arguments(at, text) => {
                open_call(&mut members, at);
                members.push_str("\"function\":{\"arguments\":\"");
                members.push_str(&text);
                members.push_str("\"}}]");
            }
        }
        Some(self.chunk(&[&members, END_DELTA]))
    }

    fn finish(&mut self, ending: Ending, out: &mut Vec<Event>) {
        self.ending = Some(ending);
        out.push(self.chunk(&["{},\"finish_reason\":\"", ending.finish, "\"}]}"]));
        if self.usage {
            let head = &self.prefix[..self.prefix.len() - OPEN_CHOICE.len()];
            let usage = ending.usage();
            out.push(Event::data([head, "],\"usage\":", &usage, "}"].concat()));
        }
        out.push(Event::data("[DONE]"));
    }

    /// A chunk with only a text, without that text: its quotes and what is around them. `None` if the text is left out, or is in
    /// it twice.
    fn around(&self, only: Only<'_>) -> Option<(String, &'static str)> {
        let open = match (only, self.thoughts) {
            (Only::Content(_), _) => OPEN_CONTENT.to_owned(),
            (Only::Thinking(_), [name]) => ["{\"", name, "\":"].concat(),
            (Only::Thinking(_), _) => return None,
        };
        Some(([&self.prefix, &*open, "\""].concat(), END_TEXT))
    }

    /// A chunk from the parts of its delta and what follows.
    fn chunk(&self, parts: &[&str]) -> Event {
        // Exactly as large as needed, for a buffer with room to spare is copied when it leaves the sandbox.
        let length = parts
            .iter()
            .fold(self.prefix.len(), |sum, part| sum + part.len());
        let mut data = String::with_capacity(length);
        data.push_str(&self.prefix);
        for part in parts {
            data.push_str(part);
        }
        Event::data(data)
    }
}

/// Appends a delta up to the members of this call.
fn open_call(out: &mut String, at: u64) {
    out.push_str("{\"tool_calls\":[{\"index\":");
    sluicegate_plugin::json::push_u64(out, at);
    out.push(',');
}

#[cfg(test)]
mod tests;
