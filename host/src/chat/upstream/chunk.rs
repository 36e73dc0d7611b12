//! What the chunks of an OpenAI chat stream say.
//!
//! # Source
//! OpenAI API reference, "The chat completion chunk object"; `reasoning` as Ollama and vLLM name it, `reasoning_content` as older
//! vLLM and DeepSeek do.

use std::borrow::Cow;
use std::collections::VecDeque;

use serde::Deserialize;

use super::{failure, think::Splitter};
use crate::chat::wire::ErrorBody;
use crate::chat::wire::event::Channel;
use crate::chat::wire::message::{Finish, Usage};

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

#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(borrow, default)]
    choices: Vec<Choice<'a>>,
    #[serde(default)]
    usage: Option<Counts>,
    #[serde(borrow, default)]
    error: Option<&'a serde_json::value::RawValue>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(default)]
    index: u32,
    #[serde(borrow, default)]
    delta: Option<Words<'a>>,
    #[serde(borrow, default)]
    finish_reason: Option<Cow<'a, str>>,
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

/// Reads the events of one stream.
#[derive(Debug)]
pub(super) struct Reader {
    pieces: VecDeque<Result<Piece, ErrorBody>>,
    splitter: Splitter,
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

    /// Takes the data of one event. What is no chunk is skipped, as clients of OpenAI do.
    pub(super) fn read(&mut self, data: &str) {
        if self.done {
            return;
        }
        if data.trim() == "[DONE]" {
            self.flush();
            self.done = true;
            return;
        }
        let Ok(chunk) = serde_json::from_str::<Chunk<'_>>(data) else {
            tracing::debug!(bytes = data.len(), "chat: an event that is no chunk");
            return;
        };
        if let Some(error) = chunk.error {
            self.cut(failure::of_event(error.get()));
            return;
        }
        for choice in chunk.choices.into_iter().filter(|choice| choice.index == 0) {
            if let Some(words) = choice.delta {
                self.words(&words);
            }
            if let Some(reason) = choice.finish_reason {
                self.flush();
                self.finished = true;
                self.pieces.push_back(Ok(Piece::Finish(finish(&reason))));
            }
        }
        if let Some(counts) = chunk.usage {
            let usage = Usage {
                input: counts.prompt_tokens,
                output: counts.completion_tokens,
            };
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

    fn words(&mut self, words: &Words<'_>) {
        // Some servers send both names, with the same text or one of them empty.
        let mut names = [&words.reasoning, &words.reasoning_content]
            .into_iter()
            .flatten();
        if let Some(reasoning) = names.find(|text| !text.is_empty()) {
            // The server tells them apart: from now on a mark in the text is text.
            let held = std::mem::replace(&mut self.splitter, Splitter::off()).end();
            self.add(Channel::Reasoning, held.reasoning);
            self.add(Channel::Text, held.text);
            self.add(Channel::Reasoning, reasoning.clone().into_owned());
        }
        for text in [&words.content, &words.refusal].into_iter().flatten() {
            let split = self.splitter.push(text);
            self.add(Channel::Reasoning, split.reasoning);
            self.add(Channel::Text, split.text);
        }
    }

    fn flush(&mut self) {
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
mod tests {
    use super::*;
    use crate::chat::wire::Code;

    type Pieces = Vec<Result<Piece, ErrorBody>>;

    fn taken(reader: &mut Reader) -> Pieces {
        std::iter::from_fn(|| reader.take()).collect()
    }

    fn broken() -> ErrorBody {
        ErrorBody::new(Code::StreamTruncated, "cut")
    }

    /// What the events bring, and what the end of the connection brings after that.
    fn read(events: &[&str]) -> (Pieces, Pieces) {
        let mut reader = Reader::new(false);
        for event in events {
            reader.read(event);
        }
        let pieces = taken(&mut reader);
        if !reader.done() {
            reader.end(broken());
        }
        assert!(reader.done());
        (pieces, taken(&mut reader))
    }

    fn text(channel: Channel, text: &str) -> Result<Piece, ErrorBody> {
        Ok(Piece::Text(channel, text.to_owned()))
    }

    #[test]
    fn a_whole_stream_is_read() {
        let (pieces, end) = read(&[
            r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}"#,
            r#"{"choices":[{"index":0,"delta":{"reasoning":"hm"}}]}"#,
            r#"{"choices":[{"index":0,"delta":{"content":"a\"b"}}]}"#,
            r#"{"choices":[{"index":1,"delta":{"content":"another choice"}}]}"#,
            r#"{"choices":[{"index":0,"delta":{},"finish_reason":"length"}]}"#,
            r#"{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":5,"total_tokens":8}}"#,
            "[DONE]",
            r#"{"choices":[{"index":0,"delta":{"content":"too late"}}]}"#,
        ]);
        let expected = [
            text(Channel::Reasoning, "hm"),
            text(Channel::Text, "a\"b"),
            Ok(Piece::Finish(Finish::Length)),
            Ok(Piece::Usage(Usage {
                input: 3,
                output: 5,
            })),
        ];
        assert_eq!(pieces, expected);
        assert_eq!(end, []);
    }

    #[test]
    fn an_end_without_a_reason_is_a_cut() {
        let first = r#"{"choices":[{"delta":{"content":"a"}}]}"#;
        assert_eq!(read(&[first]).1, [Err(broken())]);
        let last = r#"{"choices":[{"delta":{"content":"a"},"finish_reason":"stop"}]}"#;
        assert_eq!(read(&[last]).1, [], "vLLM puts both in one chunk");
    }

    #[test]
    fn what_was_held_back_comes_before_the_error() {
        let (pieces, end) = read(&[r#"{"choices":[{"delta":{"content":"<think>a</th"}}]}"#]);
        assert_eq!(pieces, [text(Channel::Reasoning, "a")]);
        assert_eq!(end, [text(Channel::Reasoning, "</th"), Err(broken())]);
        let (pieces, _) = read(&[
            r#"{"choices":[{"delta":{"content":"<th"}}]}"#,
            r#"{"error":{"message":"boom"}}"#,
        ]);
        assert_eq!(pieces[0], text(Channel::Text, "<th"));
        assert!(pieces[1].is_err() && pieces.len() == 2);
    }

    #[test]
    fn what_was_held_back_is_kept_when_the_server_begins_to_tell_reasoning_apart() {
        let (pieces, _) = read(&[
            r#"{"choices":[{"delta":{"content":"<think>a</th"}}]}"#,
            r#"{"choices":[{"delta":{"reasoning":"b"}}]}"#,
            r#"{"choices":[{"delta":{"reasoning":"","reasoning_content":"c"}}]}"#,
        ]);
        let reasoning = ["a", "</th", "b", "c"].map(|part| text(Channel::Reasoning, part));
        assert_eq!(pieces, reasoning);
    }

    #[test]
    fn an_error_event_ends_the_stream() {
        let (pieces, _) = read(&[
            r#"{"error":{"message":"boom","type":"api_error","code":"upstream_broken"}}"#,
            "[DONE]",
        ]);
        let [Err(error)] = pieces.as_slice() else {
            panic!("one error, got {pieces:?}")
        };
        assert_eq!(error.code, Code::StreamTruncated);
    }

    #[test]
    fn what_is_no_chunk_is_skipped() {
        let (pieces, _) = read(&[
            "",
            "null",
            "[]",
            "{",
            r#"{"choices":null}"#,
            r#"{"object":"x"}"#,
        ]);
        assert_eq!(pieces, []);
    }

    #[test]
    fn both_names_of_reasoning_and_a_mark_in_the_text_are_understood() {
        let (pieces, _) =
            read(&[r#"{"choices":[{"delta":{"reasoning_content":"r","content":"<think>t"}}]}"#]);
        assert_eq!(
            pieces,
            [
                text(Channel::Reasoning, "r"),
                text(Channel::Text, "<think>t")
            ]
        );
        let (pieces, _) = read(&[
            r#"{"choices":[{"delta":{"content":"<think>r</think>t"}}]}"#,
            r#"{"choices":[{"delta":{"refusal":" no"}}]}"#,
        ]);
        assert_eq!(
            pieces,
            [
                text(Channel::Reasoning, "r"),
                text(Channel::Text, "t"),
                text(Channel::Text, " no")
            ]
        );
        let (pieces, _) =
            read(&[r#"{"choices":[{"delta":{"content":"<thi"},"finish_reason":"weird"}]}"#]);
        assert_eq!(
            pieces,
            [text(Channel::Text, "<thi"), Ok(Piece::Finish(Finish::Stop))]
        );
    }
}
