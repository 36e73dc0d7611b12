//! Reads the events of one streamed completion: chunks, the end mark, errors, and reasoning that is mixed with the text.

use std::collections::VecDeque;

use super::chunk::{self, Choice, Content};
use super::surrogate::{self, Halves};
use super::think::Splitter;
use super::{failure, loose};
use crate::wire::event::Channel;
use crate::wire::message::{Finish, Usage};
use crate::wire::{Code, ErrorBody, Layer};

/// One item of a streamed completion.
#[derive(Debug, PartialEq)]
pub(crate) enum Item {
    /// Text of a channel, never empty.
    Text(Channel, String),
    /// The model ended.
    Finish(Finish),
    /// Tokens so far.
    Usage(Usage),
}

/// Reads the events of one stream.
#[derive(Debug)]
pub(super) struct Reader {
    items: VecDeque<Result<Item, ErrorBody>>,
    splitter: Splitter,
    /// Halves of characters at the ends of the text and of the reasoning.
    halves: (Halves, Halves),
    finished: bool,
    done: bool,
}

impl Reader {
    /// A reader. With `prefix` the completion continues an answer that was cut off, and has no reasoning at its start.
    pub(super) fn new(prefix: bool) -> Self {
        let splitter = if prefix {
            Splitter::off()
        } else {
            Splitter::default()
        };
        Self {
            items: VecDeque::new(),
            splitter,
            halves: <_>::default(),
            finished: false,
            done: false,
        }
    }

    /// The next item or the error that ended the stream.
    pub(super) fn take(&mut self) -> Option<Result<Item, ErrorBody>> {
        self.items.pop_front()
    }

    /// Whether nothing more can come, because of the regular end or an error.
    pub(super) fn done(&self) -> bool {
        self.done
    }

    /// Takes the data of one event. Data that cannot be read ends the completion: it may have been a part of the answer.
    pub(super) fn read(&mut self, data: &str) {
        if self.done {
            return;
        }
        match data.trim() {
            "[DONE]" => {
                self.flush();
                self.done = true;
                return;
            }
            // Some servers send this to keep the connection alive.
            "" => return,
            _ => {}
        }
        let mended = surrogate::mend(data);
        let data = mended.as_deref().unwrap_or(data);
        match chunk::read(data).map_or_else(|| loose::read(data), Ok) {
            Ok(content) => self.take_in(content, mended.is_some()),
            Err(problem) => {
                tracing::debug!(%problem, bytes = data.len(), "chat: a chunk cannot be read");
                let message = format!("a chunk of the answer cannot be read: {problem}");
                self.cut(ErrorBody::new(Code::UpstreamInvalid, message).layer(Layer::Model));
            }
        }
    }

    /// `mended`: it contains halves of characters.
    fn take_in(&mut self, content: Content<'_>, mended: bool) {
        if let Some(error) = content.error {
            self.cut(failure::of_event(&error));
            return;
        }
        for choice in content.choices {
            self.words(&choice, mended);
            if let Some(reason) = choice.finish_reason {
                self.flush();
                self.finished = true;
                self.items.push_back(Ok(Item::Finish(finish(&reason))));
            }
        }
        if let Some(usage) = content.usage {
            self.items.push_back(Ok(Item::Usage(usage)));
        }
    }

    /// The stream broke off: the items before that are taken first, then the error.
    pub(super) fn cut(&mut self, error: ErrorBody) {
        self.flush();
        self.items.push_back(Err(error));
        self.done = true;
    }

    /// The connection ended; `cut` is the error if the model had not finished.
    pub(super) fn end(&mut self, cut: ErrorBody) {
        // A few servers leave out the end mark; an answer with a finish reason is complete all the same.
        if self.finished {
            self.flush();
            self.done = true;
        } else {
            self.cut(cut);
        }
    }

    fn words(&mut self, choice: &Choice<'_>, mended: bool) {
        if let Some(reasoning) = &choice.reasoning {
            // The server separates reasoning and text: from now on a mark in the text is text.
            let held = std::mem::replace(&mut self.splitter, Splitter::off()).end();
            self.add(Channel::Reasoning, held.reasoning);
            self.add(Channel::Text, held.text);
            let whole = self.halves.1.join(reasoning, mended).into_owned();
            self.add(Channel::Reasoning, whole);
        }
        for text in &choice.text {
            let split = self.splitter.push(&self.halves.0.join(text, mended));
            self.add(Channel::Reasoning, split.reasoning);
            self.add(Channel::Text, split.text);
        }
    }

    fn flush(&mut self) {
        let left = self.halves.1.end();
        self.add(Channel::Reasoning, left);
        let left = self.splitter.push(&self.halves.0.end());
        self.add(Channel::Reasoning, left.reasoning);
        self.add(Channel::Text, left.text);
        let held = self.splitter.end();
        self.add(Channel::Reasoning, held.reasoning);
        self.add(Channel::Text, held.text);
    }

    fn add(&mut self, channel: Channel, text: String) {
        if !text.is_empty() {
            self.items.push_back(Ok(Item::Text(channel, text)));
        }
    }
}

fn finish(reason: &str) -> Finish {
    match reason {
        "length" => Finish::Length,
        "content_filter" => Finish::ContentFilter,
        "tool_calls" | "function_call" => Finish::ToolCalls,
        // Servers have words of their own; in any case the model has ended.
        _ => Finish::Stop,
    }
}

#[cfg(test)]
mod tests;
