//! Makes OpenAI's responses of a server's: the records of a stream, or one document.
//!
//! Both go through [`Choice`], which says what the client may see as [`Piece`]s; [`Stream`] writes them as chunks, and
//! [`complete`] as one object.

use std::borrow::Cow;

use serde_json::value::RawValue;

mod calls;
mod choice;
mod completion;
mod finish;
mod logprobs;
mod part;
mod split;
mod stream;
mod usage;

pub use completion::complete;
pub use logprobs::{Logprobs, NONE as NO_LOGPROBS};
pub use stream::Stream;

use choice::Choice;
use part::Extra;

/// The most choices. OpenAI has at most 128.
const MOST_CHOICES: u64 = 128;

/// What a response is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Object {
    /// A `chat.completion`.
    Chat,
    /// A `text_completion`.
    Text,
}

/// What all responses of one exchange share.
#[derive(Clone, Debug)]
pub struct Identity {
    /// What the response is.
    pub object: Object,
    /// The request id.
    pub id: String,
    /// When the exchange began, in milliseconds since 1970.
    pub received_ms: u64,
    /// The model's name as JSON text, as the client wrote it.
    pub model: String,
}

/// What is shown of a response, and how.
#[derive(Clone, Debug)]
pub struct Shown {
    /// The members that carry thoughts; none if they are left out.
    pub thoughts: &'static [&'static str],
    /// Whether thoughts may be in the content, between `<think>` and `</think>`.
    pub marks: bool,
    /// Whether a whole message may have the text of a tool call in its content, because the call is incomplete.
    pub calls: bool,
    /// Whether the client asked with the deprecated `functions`, so that a call is a `function_call`.
    pub functions: bool,
    /// Members that are never shown.
    pub hidden: &'static [&'static str],
}

/// How a response ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// The finish reason of the first choice.
    pub finish: &'static str,
    /// The usage as JSON; `None` if the server gave none.
    pub usage: Option<String>,
}

/// A part of a choice as the client sees it.
#[derive(Debug)]
enum Piece<'a> {
    /// A JSON string.
    Thoughts(Cow<'a, str>),
    /// A JSON string, with its log probabilities.
    Content(Cow<'a, str>, Option<String>),
    /// The text of a `text_completion`, a JSON string.
    Text(Cow<'a, str>, Option<&'a RawValue>),
    /// The beginning of a call, or a whole one. `id` and `name` are JSON strings, `arguments` the inside of one.
    Call {
        at: usize,
        id: String,
        name: Cow<'a, str>,
        arguments: Cow<'a, str>,
    },
    /// More arguments of a call: the inside of a JSON string.
    Arguments { at: usize, arguments: Cow<'a, str> },
    /// A call, or a fragment of one, for a client that asked with `functions`. `name` is a JSON string, `arguments` the inside
    /// of one.
    Function {
        name: Option<Cow<'a, str>>,
        arguments: Cow<'a, str>,
    },
    /// Any other member of the message.
    Member(Cow<'a, str>, &'a RawValue),
    /// The last piece.
    Finish(&'static str),
}

impl Identity {
    /// Appends the members that come before `choices`, and `"choices":[`.
    fn write_head(&self, out: &mut String, is_chunk: bool) {
        use sluicegate_plugin::json;

        let (prefix, object) = match (self.object, is_chunk) {
            (Object::Chat, true) => ("chatcmpl-", "chat.completion.chunk"),
            (Object::Chat, false) => ("chatcmpl-", "chat.completion"),
            (Object::Text, _) => ("cmpl-", "text_completion"),
        };
        out.push_str("{\"id\":\"");
        out.push_str(prefix);
        json::push_escaped(out, self.id.strip_prefix("req_").unwrap_or(&self.id));
        out.push_str("\",\"object\":\"");
        out.push_str(object);
        out.push_str("\",\"created\":");
        json::push_u64(out, self.received_ms / 1000);
        out.push_str(",\"model\":");
        out.push_str(&self.model);
        out.push_str(",\"choices\":[");
    }
}

impl Shown {
    /// Appends members, a comma before each.
    fn write_extra(&self, out: &mut String, extra: &Extra<'_>) {
        for (name, raw) in extra {
            if !self.hidden.contains(&&**name) {
                out.push(',');
                write_member(out, name, raw.get());
            }
        }
    }

    /// Appends thoughts as members, a comma between them.
    fn write_thoughts(&self, out: &mut String, thoughts: &str) {
        for (at, name) in self.thoughts.iter().enumerate() {
            if at > 0 {
                out.push(',');
            }
            write_member(out, name, thoughts);
        }
    }
}

fn write_member(out: &mut String, name: &str, json: &str) {
    sluicegate_plugin::json::push_str(out, name);
    out.push(':');
    out.push_str(json);
}

/// Appends a call without its braces.
fn write_call(out: &mut String, id: &str, name: &str, arguments: &str) {
    for text in [
        "\"id\":",
        id,
        ",\"type\":\"function\",\"function\":{\"name\":",
        name,
        ",\"arguments\":\"",
        arguments,
        "\"}",
    ] {
        out.push_str(text);
    }
}

/// Appends the member `function_call`.
fn write_function(out: &mut String, name: Option<&str>, arguments: &str) {
    out.push_str("\"function_call\":{");
    if let Some(name) = name {
        out.push_str("\"name\":");
        out.push_str(name);
        out.push(',');
    }
    out.push_str("\"arguments\":\"");
    out.push_str(arguments);
    out.push_str("\"}");
}
