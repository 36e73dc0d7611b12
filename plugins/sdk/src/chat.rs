//! Canonical chats, for stages that read and change them.
//!
//! - [`Request`] and [`Chunk`] are read and changed in place: what a stage does not change stays as it is written, members that
//!   nobody knows included. [`Deltas`] rewrites the texts of a whole stream, so that a word that is cut in two is one word.
//! - [`Streamed`], [`Completion`] and [`Failure`] only read, with borrowed texts: the chunks of a stream, a whole completion, an
//!   error. Members that they do not name are ignored.
//!
//! # Source
//! OpenAI API reference (document 2.3.0), "Chat completion chunk object", "Chat completion object".

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::json::Text;

mod chunk;
mod deltas;
mod request;

pub use chunk::{Chunk, ChunkChoice, ChunkText};
pub use deltas::{Deltas, Rewrite};
pub use request::{Request, RequestMessage, RequestText, Tool};

/// One event of a canonical stream.
#[derive(Debug)]
pub enum Streamed<'a> {
    /// A chunk.
    Chunk(Completion<'a>),
    /// The error that ends the stream.
    Error(Failure<'a>),
    /// The end, `[DONE]`.
    Done,
}

impl<'a> Streamed<'a> {
    /// Reads the data of an event; `None` if it is nothing of a canonical stream.
    #[must_use]
    pub fn read(data: &'a str) -> Option<Self> {
        if data.trim_ascii() == "[DONE]" {
            return Some(Self::Done);
        }
        match Completion::read(data) {
            // Nearly every event: it is parsed once.
            Some(chunk) if chunk.error.is_none() => Some(Self::Chunk(chunk)),
            other => match Failure::read(data) {
                Some(failure) => Some(Self::Error(failure)),
                None => other.map(Self::Chunk),
            },
        }
    }
}

/// A completion, or a chunk of one.
#[derive(Debug, Deserialize)]
pub struct Completion<'a> {
    /// The id of the completion, in every chunk of it.
    #[serde(borrow)]
    pub id: Option<Text<'a>>,
    /// The model, as the client called it.
    #[serde(borrow)]
    pub model: Option<Text<'a>>,
    /// When it was made, in seconds since 1970.
    pub created: Option<f64>,
    /// The choices; none in the chunk that has only the usage.
    #[serde(borrow)]
    pub choices: Vec<Choice<'a>>,
    /// The tokens, at the end.
    pub usage: Option<Usage>,
    /// What makes it an error in place of a chunk.
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

impl<'a> Completion<'a> {
    /// Reads a completion or a chunk; `None` if it is neither.
    #[must_use]
    pub fn read(json: &'a str) -> Option<Self> {
        serde_json::from_str(json).ok()
    }
}

/// One choice.
#[derive(Debug, Deserialize)]
pub struct Choice<'a> {
    /// Its number, from 0.
    #[serde(default, deserialize_with = "or_default")]
    pub index: u32,
    /// What was said: all of it in a completion, some of it in a chunk.
    #[serde(borrow, default, alias = "delta", deserialize_with = "or_default")]
    pub message: Message<'a>,
    /// Why it ended: `stop`, `length`, `tool_calls` or `content_filter`.
    #[serde(borrow)]
    pub finish_reason: Option<Text<'a>>,
    /// The probabilities of its tokens.
    #[serde(borrow)]
    pub logprobs: Option<&'a RawValue>,
}

/// A message, or some of one.
#[derive(Debug, Default, Deserialize)]
pub struct Message<'a> {
    /// The text.
    #[serde(borrow)]
    pub content: Option<Text<'a>>,
    /// Why the model refuses.
    #[serde(borrow)]
    pub refusal: Option<Text<'a>>,
    #[serde(borrow)]
    reasoning: Option<Text<'a>>,
    #[serde(borrow)]
    reasoning_content: Option<Text<'a>>,
    /// The calls of tools.
    #[serde(borrow, default, deserialize_with = "or_default")]
    pub tool_calls: Vec<Call<'a>>,
}

impl Message<'_> {
    /// What the model thinks, under either name that the adapters use.
    #[must_use]
    pub fn reasoning(&self) -> Option<&str> {
        let Text(text) = self
            .reasoning
            .as_ref()
            .or(self.reasoning_content.as_ref())?;
        Some(text)
    }
}

/// A call of a tool, or some of one: the first part has id and name, further ones only more of the arguments.
#[derive(Debug, Deserialize)]
pub struct Call<'a> {
    /// Its number in the message, from 0; only in chunks.
    #[serde(default, deserialize_with = "or_default")]
    pub index: u32,
    /// Its id.
    #[serde(borrow)]
    pub id: Option<Text<'a>>,
    /// The function.
    #[serde(borrow, default, deserialize_with = "or_default")]
    pub function: Function<'a>,
}

/// The function of a call.
#[derive(Debug, Default, Deserialize)]
pub struct Function<'a> {
    /// Its name.
    #[serde(borrow)]
    pub name: Option<Text<'a>>,
    /// Its arguments, as JSON text; a part of that in a chunk.
    #[serde(borrow)]
    pub arguments: Option<Text<'a>>,
}

/// Tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Usage {
    /// Of the prompt, those from a cache included.
    #[serde(default, deserialize_with = "or_default")]
    pub prompt_tokens: u64,
    /// Of the response, those of the thinking included.
    #[serde(default, deserialize_with = "or_default")]
    pub completion_tokens: u64,
    #[serde(default, deserialize_with = "or_default")]
    prompt_tokens_details: PromptDetails,
    #[serde(default, deserialize_with = "or_default")]
    completion_tokens_details: CompletionDetails,
}

impl Usage {
    /// Of the prompt, those that came from a cache.
    #[must_use]
    pub fn cached_tokens(&self) -> u64 {
        self.prompt_tokens_details.cached_tokens
    }

    /// Of the response, those of the thinking, where the model server counts them.
    #[must_use]
    pub fn reasoning_tokens(&self) -> u64 {
        self.completion_tokens_details.reasoning_tokens
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
struct PromptDetails {
    #[serde(default, deserialize_with = "or_default")]
    cached_tokens: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
struct CompletionDetails {
    #[serde(default, deserialize_with = "or_default")]
    reasoning_tokens: u64,
}

/// A canonical error: the body of a response, or the last event of a stream.
#[derive(Debug, Deserialize)]
pub struct Failure<'a> {
    /// A sentence for the person behind the client.
    #[serde(borrow, default, deserialize_with = "text")]
    pub message: Cow<'a, str>,
    /// The kind of error, such as `invalid_request_error`.
    #[serde(borrow, default, rename = "type", deserialize_with = "text")]
    pub kind: Cow<'a, str>,
    /// A stable word for programs, such as `model_not_found`.
    #[serde(borrow, default, deserialize_with = "text")]
    pub code: Cow<'a, str>,
    /// The request parameter that caused it.
    #[serde(borrow)]
    pub param: Option<Text<'a>>,
}

impl<'a> Failure<'a> {
    /// Reads an error; `None` if it is none.
    #[must_use]
    pub fn read(json: &'a str) -> Option<Self> {
        #[derive(Deserialize)]
        struct Document<'a> {
            #[serde(borrow)]
            error: Failure<'a>,
        }
        let document: Document<'_> = serde_json::from_str(json).ok()?;
        Some(document.error)
    }
}

/// A value, or its default if it is `null`.
fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    let value: Option<T> = Option::deserialize(deserializer)?;
    Ok(value.unwrap_or_default())
}

/// A text, or "" if it is `null`.
fn text<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Cow<'a, str>, D::Error> {
    let text: Option<Text<'de>> = Option::deserialize(deserializer)?;
    Ok(text.map(|Text(text)| text).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_is_read_with_what_it_has() {
        let data = r#"{"id":"c1","created":7,"model":"m","x":1,"choices":[{"index":0,"delta":{"role":"assistant","content":"a\"b",
            "reasoning":"r","tool_calls":[{"index":1,"id":"t","type":"function","function":{"name":"f","arguments":"{"}}]},
            "finish_reason":null,"logprobs":null}],"usage":null}"#;
        let Some(Streamed::Chunk(chunk)) = Streamed::read(data) else {
            panic!("a chunk");
        };
        let choice = &chunk.choices[0];
        let text = |text: &Option<Text<'_>>| text.as_ref().map(|Text(text)| text.to_string());
        assert_eq!(text(&choice.message.content).as_deref(), Some("a\"b"));
        assert_eq!(choice.message.reasoning(), Some("r"));
        let call = &choice.message.tool_calls[0];
        assert_eq!((call.index, text(&call.id).as_deref()), (1, Some("t")));
        assert_eq!(text(&call.function.arguments).as_deref(), Some("{"));
        assert_eq!((choice.finish_reason.is_none(), chunk.usage), (true, None));
    }

    #[test]
    fn both_names_of_reasoning_may_come_at_once() {
        for (data, reasoning) in [
            (r#"{"reasoning":"a","reasoning_content":"a"}"#, Some("a")),
            (r#"{"reasoning_content":"b"}"#, Some("b")),
            (
                r#"{"reasoning":null,"content":null,"tool_calls":null}"#,
                None,
            ),
        ] {
            let json = format!(r#"{{"choices":[{{"message":{data}}}]}}"#);
            let completion = Completion::read(&json).expect("a completion");
            assert_eq!(completion.choices[0].message.reasoning(), reasoning);
        }
    }

    #[test]
    fn usage_counts_what_a_server_counts() {
        let json = r#"{"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":7,"total_tokens":12,
            "prompt_tokens_details":{"cached_tokens":3},"completion_tokens_details":null}}"#;
        let usage = Completion::read(json)
            .and_then(|it| it.usage)
            .expect("a usage");
        let counts = (usage.prompt_tokens, usage.completion_tokens);
        assert_eq!(
            (counts, usage.cached_tokens(), usage.reasoning_tokens()),
            ((5, 7), 3, 0)
        );
    }

    #[test]
    fn an_error_is_no_chunk_and_the_end_neither() {
        let error = r#"{"error":{"message":"No.","type":"t","param":null,"code":null}}"#;
        let Some(Streamed::Error(failure)) = Streamed::read(error) else {
            panic!("an error");
        };
        let found = (&*failure.message, &*failure.kind, &*failure.code);
        assert_eq!((found, failure.param.is_none()), (("No.", "t", ""), true));
        assert!(matches!(Streamed::read("[DONE]"), Some(Streamed::Done)));
        let both = r#"{"choices":[],"error":{"message":"No."}}"#;
        assert!(matches!(Streamed::read(both), Some(Streamed::Error(_))));
        for chunk in [
            r#"{"choices":[],"error":null}"#,
            r#"{"choices":[],"error":"x"}"#,
        ] {
            assert!(matches!(Streamed::read(chunk), Some(Streamed::Chunk(_))));
        }
        for nothing in [
            "",
            "{}",
            "null",
            "x",
            r#"{"object":"list"}"#,
            r#"{"choices":null}"#,
        ] {
            assert!(Streamed::read(nothing).is_none(), "{nothing}");
        }
    }
}
