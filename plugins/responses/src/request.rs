//! The request: from the Responses API to the chat API.

use serde_json::value::RawValue;
use sluicegate_openai_api::request::Body;
use sluicegate_plugin::{Fault, random};

mod content;
mod echo;
mod input;
mod object;
mod parameters;
mod text;
mod tools;

pub use echo::Echo;

/// What the client asked for, as far as its response depends on it.
#[derive(Debug)]
pub struct Asked {
    /// Whether it wants a stream.
    pub stream: bool,
    /// The end of the response's id, and the beginning of those of its items.
    pub id: String,
    /// What the response repeats.
    pub echo: Echo,
    /// What it wants to see.
    pub shown: Shown,
}

/// What of a response a client wants to see, beside what all see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// Thoughts as a summary.
    pub summary: bool,
    /// Thoughts also in their opaque form.
    pub encrypted: bool,
    /// Log probabilities of the text.
    pub logprobs: bool,
}

/// Translates a request body. Values that both APIs share are left for the model server's adapter to check.
///
/// # Errors
/// 400 that names the parameter.
pub fn translate(body: &[u8]) -> Result<(String, Asked), Fault> {
    let body = Body::read(body)?;
    let mut chat = Chat::default();
    chat.member("model", parameters::model(&body)?.get());
    chat.member("messages", &input::messages(&body)?);
    let stream = parameters::boolean(&body, "stream")?.unwrap_or(false);
    if stream {
        chat.member("stream", "true");
        chat.member("stream_options", "{\"include_usage\":true}");
    }
    let shown = parameters::write(&mut chat, &body)?;
    tools::write(&mut chat, &body)?;
    text::write(&mut chat, &body)?;
    let asked = Asked {
        stream,
        // 120 bits.
        id: random::id(24),
        echo: echo::of(&body),
        shown,
    };
    Ok((chat.end(), asked))
}

/// A request of the chat API, as it is written.
#[derive(Debug, Default)]
struct Chat(String);

impl Chat {
    /// Appends a member.
    fn member(&mut self, name: &str, json: &str) {
        self.0.push(if self.0.is_empty() { '{' } else { ',' });
        self.0.push('"');
        self.0.push_str(name);
        self.0.push_str("\":");
        self.0.push_str(json);
    }

    /// Appends a member of the body under another name, if there is one.
    fn raw(&mut self, name: &str, raw: Option<&RawValue>) {
        if let Some(raw) = raw {
            self.member(name, raw.get());
        }
    }

    fn end(mut self) -> String {
        self.0.push('}');
        self.0
    }
}

#[cfg(test)]
mod tests;
