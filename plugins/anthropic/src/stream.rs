//! The events of a message, from canonical chunks.
//!
//! The order is `message_start`, `ping`, the blocks one after the other, `message_delta`, `message_stop`. A block of thoughts
//! ends with a signature. The calls of tools come in their order, though their parts may arrive mixed: a part of a later call
//! waits until the one before it is complete. Text behind calls comes after them.
//!
//! `message_start` has no tokens yet; `message_delta` has all, as both official clients take them from there.

use sluicegate_plugin::chat::{Completion, Usage};
use sluicegate_plugin::json::{self, Text};
use sluicegate_plugin::{Event, Fault};

mod calls;

use crate::ending::{Ending, Reason};
use crate::message::{self, Identity, SIGNATURE};
use crate::wire;
use calls::Calls;

/// The state of one stream.
#[derive(Debug, Default)]
pub struct Stream {
    has_begun: bool,
    shows_thoughts: bool,
    blocks: Blocks,
    calls: Calls,
    /// What came behind the first call.
    late: Vec<(Said, String)>,
    refuses: bool,
    ending: Option<Ending>,
    usage: Usage,
    /// Nothing may follow: `message_stop` or an error is out.
    is_ended: bool,
}

/// A kind of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    Text,
    Thoughts,
}

/// The block that is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Open {
    Said(Said),
    Call,
}

/// The blocks that the client gets, one open at a time.
#[derive(Debug, Default)]
struct Blocks {
    open: Option<Open>,
    /// The index of the open block, or else of the next one.
    index: u64,
}

impl Stream {
    /// Whether nothing may follow.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        self.is_ended
    }

    /// Takes note of an error that the client gets.
    pub fn fail(&mut self) {
        self.is_ended = true;
    }

    /// Begins the message with its first chunk, unless that has been done.
    pub fn open(
        &mut self,
        chunk: &Completion<'_>,
        shows_thoughts: bool,
        identity: impl Fn() -> Identity,
        out: &mut Vec<Event>,
    ) {
        if self.has_begun {
            return;
        }
        self.has_begun = true;
        self.shows_thoughts = shows_thoughts;
        let mut start = String::from(",\"message\":");
        let id = message::open(&mut start, chunk, identity);
        self.calls = Calls::of(id);
        start.push_str("],\"stop_reason\":null,\"stop_sequence\":null,\"usage\":");
        wire::push_usage(&mut start, Usage::default());
        start.push('}');
        out.push(wire::event("message_start", &[&start]));
        out.push(wire::event("ping", &[]));
    }

    /// Takes a chunk of a message that has begun. `data` is its JSON.
    ///
    /// # Errors
    /// 502 `upstream_invalid` for a call that no client could read.
    pub fn chunk(
        &mut self,
        chunk: &Completion<'_>,
        data: &str,
        out: &mut Vec<Event>,
    ) -> Result<(), Fault> {
        self.usage = chunk.usage.unwrap_or(self.usage);
        let Some(choice) = chunk.choices.first().filter(|choice| choice.index == 0) else {
            return Ok(());
        };
        let message = &choice.message;
        if let Some(thoughts) = message.reasoning().filter(|_| self.shows_thoughts) {
            self.say(Said::Thoughts, thoughts, out);
        }
        if let Some(Text(text)) = &message.content {
            self.say(Said::Text, text, out);
        }
        if let Some(Text(text)) = message.refusal.as_ref().filter(|Text(it)| !it.is_empty()) {
            self.refuses = true;
            self.say(Said::Text, text, out);
        }
        for call in &message.tool_calls {
            self.calls.take(call, &mut self.blocks, out);
        }
        if let Some(ending) = Ending::of(choice, data) {
            let is_whole = ending.is_whole;
            self.ending = Some(ending);
            if is_whole {
                // The model server did not stream although it was asked to: no end marker follows.
                return self.finish(out);
            }
        }
        Ok(())
    }

    /// Ends the message.
    ///
    /// # Errors
    /// 502 `upstream_invalid` for a call that no client could read, or if the message has not begun.
    pub fn finish(&mut self, out: &mut Vec<Event>) -> Result<(), Fault> {
        if !self.has_begun {
            return Err(crate::failure::nonsense());
        }
        let ending = self.ending.take().unwrap_or_default();
        let is_cut = ending.reason == Reason::Length;
        self.calls.finish(is_cut, &mut self.blocks, out)?;
        for (said, text) in std::mem::take(&mut self.late) {
            self.blocks.say(said, &text, out);
        }
        self.blocks.close(out);
        let mut delta = String::from(",\"delta\":{");
        ending.write(&mut delta, !self.calls.is_empty(), self.refuses);
        delta.push_str("},\"usage\":");
        wire::push_usage(&mut delta, self.usage);
        out.push(wire::event("message_delta", &[&delta]));
        out.push(wire::event("message_stop", &[]));
        self.is_ended = true;
        Ok(())
    }

    fn say(&mut self, said: Said, text: &str, out: &mut Vec<Event>) {
        if text.is_empty() {
            return;
        }
        if self.calls.is_empty() {
            self.blocks.say(said, text, out);
            return;
        }
        match self.late.last_mut() {
            Some((known, late)) if *known == said => late.push_str(text),
            // Some models end their calls with a blank line.
            _ if text.trim().is_empty() => {}
            _ => self.late.push((said, text.to_owned())),
        }
    }
}

impl Blocks {
    /// Opens a block, and closes the one before it.
    fn begin(&mut self, open: Open, block: &str, out: &mut Vec<Event>) {
        self.close(out);
        self.open = Some(open);
        let index = self.index();
        let members = [&index, ",\"content_block\":{", block, "}"];
        out.push(wire::event("content_block_start", &members));
    }

    fn say(&mut self, said: Said, text: &str, out: &mut Vec<Event>) {
        if self.open != Some(Open::Said(said)) {
            let block = match said {
                Said::Text => r#""type":"text","text":"""#,
                Said::Thoughts => r#""type":"thinking","thinking":"","signature":"""#,
            };
            self.begin(Open::Said(said), block, out);
        }
        match said {
            Said::Text => self.delta("text_delta", "text", text, out),
            Said::Thoughts => self.delta("thinking_delta", "thinking", text, out),
        }
    }

    fn delta(&self, kind: &str, member: &str, text: &str, out: &mut Vec<Event>) {
        let mut escaped = String::with_capacity(text.len() + 8);
        json::push_str(&mut escaped, text);
        let members = [
            &self.index(),
            ",\"delta\":{\"type\":\"",
            kind,
            "\",\"",
            member,
            "\":",
            &escaped,
            "}",
        ];
        out.push(wire::event("content_block_delta", &members));
    }

    /// Closes the open block, if there is one.
    fn close(&mut self, out: &mut Vec<Event>) {
        let Some(open) = self.open.take() else {
            return;
        };
        if open == Open::Said(Said::Thoughts) {
            self.delta("signature_delta", "signature", SIGNATURE, out);
        }
        out.push(wire::event("content_block_stop", &[&self.index()]));
        self.index += 1;
    }

    fn index(&self) -> String {
        let mut index = String::with_capacity(12);
        index.push_str(",\"index\":");
        json::push_u64(&mut index, self.index);
        index
    }
}
