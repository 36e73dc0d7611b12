//! What the chunks of an OpenAI chat stream say.
//!
//! # Source
//! OpenAI API reference, "The chat completion chunk object"; `reasoning` as Ollama and vLLM name it, `reasoning_content` as older
//! vLLM and DeepSeek do.

use std::borrow::Cow;
use std::collections::VecDeque;

use serde::Deserialize;

use super::surrogate::{self, Halves};
use super::think::Splitter;
use super::{failure, loose};
use crate::wire::event::Channel;
use crate::wire::message::{Finish, Usage};
use crate::wire::{Code, ErrorBody, Layer};

/// Something that a stream brought.
#[derive(Debug, PartialEq)]
pub(crate) enum Piece {
    /// Text of a channel, never empty.
    Text(Channel, String),
    /// The model ended.
    Finish(Finish),
    /// Tokens so far.
    Usage(Usage),
}

/// What a chunk says.
#[derive(Default)]
pub(super) struct Said<'a> {
    pub(super) choices: Vec<Choice<'a>>,
    pub(super) usage: Option<Usage>,
    /// The JSON of an error.
    pub(super) error: Option<Cow<'a, str>>,
}

/// One of the answers; there is one, as there was one question.
#[derive(Default)]
pub(super) struct Choice<'a> {
    pub(super) text: Vec<Cow<'a, str>>,
    pub(super) reasoning: Option<Cow<'a, str>>,
    pub(super) finish_reason: Option<Cow<'a, str>>,
}

/// A chunk as the reference has it; [`loose`] reads what comes near.
#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(borrow, default)]
    choices: Vec<Exact<'a>>,
    #[serde(default)]
    usage: Option<Counts>,
    #[serde(borrow, default)]
    error: Option<&'a serde_json::value::RawValue>,
}

#[derive(Deserialize)]
struct Exact<'a> {
    #[serde(default)]
    index: u32,
    #[serde(borrow, default)]
    delta: Option<Words<'a>>,
    #[serde(borrow, default)]
    finish_reason: Option<Cow<'a, str>>,
    /// In place of `delta`: a server that does not stream.
    #[serde(default)]
    message: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct Words<'a> {
    #[serde(borrow, default)]
    content: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    refusal: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    reasoning: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    reasoning_content: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Counts {
    #[serde(default)]
    prompt_tokens: u64,
    #[serde(default)]
    completion_tokens: u64,
}

/// What a chunk says, if it is one by the letter.
fn exact(data: &str) -> Option<Said<'_>> {
    let chunk: Chunk<'_> = serde_json::from_str(data).ok()?;
    let mut said = Said {
        choices: Vec::new(),
        usage: chunk.usage.map(|counts| Usage {
            input: counts.prompt_tokens,
            output: counts.completion_tokens,
        }),
        error: chunk.error.map(|error| Cow::Borrowed(error.get())),
    };
    for choice in chunk.choices.into_iter().filter(|choice| choice.index == 0) {
        if choice.message.is_some() {
            return None;
        }
        let mut answer = Choice {
            finish_reason: choice.finish_reason,
            ..Choice::default()
        };
        if let Some(words) = choice.delta {
            // Some servers send both names, with the same text or one of them empty.
            answer.reasoning = [words.reasoning, words.reasoning_content]
                .into_iter()
                .flatten()
                .find(|text| !text.is_empty());
            answer.text = [words.content, words.refusal]
                .into_iter()
                .flatten()
                .collect();
        }
        said.choices.push(answer);
    }
    Some(said)
}

/// Reads the events of one stream.
#[derive(Debug)]
pub(super) struct Reader {
    pieces: VecDeque<Result<Piece, ErrorBody>>,
    splitter: Splitter,
    /// Characters of the text and of the reasoning that came half.
    halves: (Halves, Halves),
    finished: bool,
    done: bool,
}

impl Reader {
    /// A reader. With `prefix` the answer goes on from one that was cut, and has no reasoning at its start.
    pub(super) fn new(prefix: bool) -> Self {
        let splitter = if prefix {
            Splitter::off()
        } else {
            Splitter::default()
        };
        Self {
            pieces: VecDeque::new(),
            splitter,
            halves: <_>::default(),
            finished: false,
            done: false,
        }
    }

    /// The next piece or the error that ended the stream.
    pub(super) fn take(&mut self) -> Option<Result<Piece, ErrorBody>> {
        self.pieces.pop_front()
    }

    /// Whether nothing more can come: the regular end came, or an error.
    pub(super) fn done(&self) -> bool {
        self.done
    }

    /// Takes the data of one event. What cannot be read ends the answer: it may have been a part of it.
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
            // Some servers keep the line alive so.
            "" => return,
            _ => {}
        }
        let mended = surrogate::mend(data);
        let data = mended.as_deref().unwrap_or(data);
        match exact(data).map_or_else(|| loose::read(data), Ok) {
            Ok(said) => self.take_in(said, mended.is_some()),
            Err(problem) => {
                tracing::debug!(%problem, bytes = data.len(), "chat: a chunk that cannot be read");
                let message = format!("a chunk of the answer cannot be read: {problem}");
                self.cut(ErrorBody::new(Code::UpstreamInvalid, message).layer(Layer::Model));
            }
        }
    }

    /// `mended`: there are halves of characters in it.
    fn take_in(&mut self, said: Said<'_>, mended: bool) {
        if let Some(error) = said.error {
            self.cut(failure::of_event(&error));
            return;
        }
        for choice in said.choices {
            self.words(&choice, mended);
            if let Some(reason) = choice.finish_reason {
                self.flush();
                self.finished = true;
                self.pieces.push_back(Ok(Piece::Finish(finish(&reason))));
            }
        }
        if let Some(usage) = said.usage {
            self.pieces.push_back(Ok(Piece::Usage(usage)));
        }
    }

    /// The stream broke off: what came before is still to be taken, then the error.
    pub(super) fn cut(&mut self, error: ErrorBody) {
        self.flush();
        self.pieces.push_back(Err(error));
        self.done = true;
    }

    /// The connection ended; `cut` is the error if the model had not.
    pub(super) fn end(&mut self, cut: ErrorBody) {
        // A few servers leave out the end marker; an answer whose reason to end came is whole all the same.
        if self.finished {
            self.flush();
            self.done = true;
        } else {
            self.cut(cut);
        }
    }

    fn words(&mut self, choice: &Choice<'_>, mended: bool) {
        if let Some(reasoning) = &choice.reasoning {
            // The server tells them apart: from now on a mark in the text is text.
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
            self.pieces.push_back(Ok(Piece::Text(channel, text)));
        }
    }
}

fn finish(reason: &str) -> Finish {
    match reason {
        "length" => Finish::Length,
        "content_filter" => Finish::ContentFilter,
        "tool_calls" | "function_call" => Finish::ToolCalls,
        // Servers have words of their own; whatever it was, the model ended.
        _ => Finish::Stop,
    }
}

#[cfg(test)]
mod tests;
