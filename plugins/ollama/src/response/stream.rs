//! A stream of a chat: turns each line into the chunks that OpenAI's clients expect.
//!
//! The order is role, deltas, finish, usage if wanted, `[DONE]`. The end marker comes only after Ollama's `done` line. A
//! stream that ends without it has been cut, and only the missing marker tells the client so.
//!
//! The beginning of a chunk is the same for the whole stream and is made once. Texts go into a chunk as they are in the line,
//! so a line of content costs one scan and one copy; see also [`frame`](super::frame).

use sluicegate_openai_api::Logprobs;
use sluicegate_openai_api::response::Identity;
use sluicegate_plugin::{Event, Fault};

use super::frame::Frame;
use super::line::{Ending, Line, Message, Only};
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
    /// `{"reasoning":` or the like, as the first member of a delta; `None` if thoughts are left out.
    open_reasoning: Option<String>,
    usage: bool,
    opened: bool,
    calls: u64,
    lines: u64,
    logprobs: Logprobs,
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
            open_reasoning: shown.thoughts.map(|name| ["{\"", name, "\":"].concat()),
            usage: shown.usage,
            opened: false,
            calls: 0,
            lines: 0,
            logprobs: Logprobs::default(),
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
        if let Some(frame) = Frame::of(data, &line, |only| self.around(only)) {
            self.frame = Some(Box::new(frame));
        }
        let empty = Message::default();
        let message = line.message.as_ref().unwrap_or(&empty);
        let logprobs = line.logprobs(message, &mut self.logprobs)?;
        let (thinking, content) = (message.thinking(), message.content());
        self.lines += u64::from(thinking.is_some() || content.is_some());
        if let (Some(open), Some(thoughts)) = (&self.open_reasoning, thinking) {
            out.push(self.chunk(&[open, thoughts, END_DELTA]));
        }
        match (content, &logprobs) {
            (Some(text), Some(list)) => {
                out.push(self.chunk(&[OPEN_CONTENT, text, OPEN_LOGPROBS, list, END_CHOICE]));
            }
            (Some(text), None) => out.push(self.chunk(&[OPEN_CONTENT, text, END_DELTA])),
            (None, _) => {}
        }
        for call in tools::read(message.tool_calls)? {
            out.push(self.call(&call));
        }
        if line.done {
            self.finish(line.ending(self.calls > 0), out);
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

    fn call(&mut self, call: &tools::Call<'_>) -> Event {
        let mut delta = String::with_capacity(256);
        delta.push_str("{\"tool_calls\":[{\"index\":");
        sluicegate_plugin::json::push_u64(&mut delta, self.calls);
        delta.push(',');
        tools::write(&mut delta, call);
        delta.push_str("}]");
        self.calls += 1;
        self.chunk(&[&delta, END_DELTA])
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

    /// A chunk with only a text, without that text: its quotes and what is around them. `None` if the text is left out.
    fn around(&self, only: Only<'_>) -> Option<(String, &'static str)> {
        let open = match only {
            Only::Content(_) => OPEN_CONTENT,
            Only::Thinking(_) => self.open_reasoning.as_deref()?,
        };
        Some(([&self.prefix, open, "\""].concat(), END_TEXT))
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

#[cfg(test)]
mod tests;
