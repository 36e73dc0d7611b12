//! Translates Ollama's responses to OpenAI's: the lines of a stream, or one object.
//!
//! # Source
//! Ollama source, `api/types.go` (`ChatResponse`, `GenerateResponse`); OpenAI API reference (document 2.3.0), "Chat completion
//! object", "Chat completion chunk object" and "Completion object".

use sluicegate_openai_api::response::{Identity, Object};
use sluicegate_plugin::{Event, Fault};

mod completion;
mod delta;
mod forced;
mod frame;
mod line;
mod message;
mod stream;
mod text;
mod tools;

pub use forced::Forced;
pub use line::Ending;

/// What is shown of a response.
#[derive(Clone, Debug)]
pub struct Shown {
    /// The members that carry thoughts; none if they are left out.
    pub thoughts: &'static [&'static str],
    /// Whether thoughts may be in the content, between `<think>` and `</think>`.
    pub marks: bool,
    /// The call that the text becomes.
    pub forced: Option<Forced>,
    /// Whether a chunk with the usage is wanted in a stream.
    pub usage: bool,
    /// What comes before the text of a completion, as a JSON string.
    pub echo: Option<String>,
}

/// The state of one stream.
#[derive(Debug)]
pub enum Stream {
    /// Of a chat.
    Chat(Box<stream::Stream>),
    /// Of a completion.
    Text(Box<text::Stream>),
}

impl Stream {
    /// A stream at its beginning.
    pub fn new(identity: &Identity, shown: &Shown) -> Self {
        match identity.object {
            Object::Chat => Self::Chat(Box::new(stream::Stream::new(identity, shown))),
            Object::Text => Self::Text(Box::new(text::Stream::new(identity, shown))),
        }
    }

    /// Takes a line and appends its chunks.
    ///
    /// # Errors
    /// Ollama's own error in mid-stream, or 502 `upstream_invalid` for an invalid line.
    pub fn push(&mut self, data: &str, out: &mut Vec<Event>) -> Result<(), Fault> {
        match self {
            Self::Chat(stream) => stream.push(data, out),
            Self::Text(stream) => stream.push(data, out),
        }
    }

    /// How the response ended; `None` before its `done` line.
    pub fn ending(&self) -> Option<Ending> {
        match self {
            Self::Chat(stream) => stream.ending(),
            Self::Text(stream) => stream.ending(),
        }
    }

    /// The number of lines with text so far, about one per token.
    pub fn lines(&self) -> u64 {
        match self {
            Self::Chat(stream) => stream.lines(),
            Self::Text(stream) => stream.lines(),
        }
    }
}

/// Translates a whole response to a `chat.completion` or a `text_completion`.
///
/// # Errors
/// Ollama's own error, 502 `upstream_truncated` if the response is not complete, or 502 `upstream_invalid`.
pub fn complete(
    identity: &Identity,
    shown: &Shown,
    data: &[u8],
) -> Result<(Vec<u8>, Ending), Fault> {
    match identity.object {
        Object::Chat => completion::complete(identity, shown, data),
        Object::Text => text::complete(identity, shown, data),
    }
}
