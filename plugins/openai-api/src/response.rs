//! Makes OpenAI's responses of a server's: the records of a stream, or one document.
//!
//! Both go through [`Choice`], which says what the client may see as [`Delta`]s; [`Stream`] writes them as chunks, and
//! [`complete`] as one object.

use std::borrow::Cow;

use serde_json::value::RawValue;
use sluicegate_plugin::Fault;

mod calls;
mod choice;
mod completion;
mod finish;
mod logprobs;
mod part;
pub mod split;
mod stops;
mod stream;
mod usage;

pub use calls::is_json;
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
    /// What the server does otherwise than others in responses to this request.
    pub habits: Habits,
}

/// Makes a chunk or a completion of OpenAI's API.
pub type Translate = fn(&str) -> Result<String, Fault>;

/// What a server does otherwise than others in its response to a request.
#[derive(Clone, Debug, Default)]
pub struct Habits {
    /// The paths of its own API that it is asked at, for one object and for a stream, if it is not asked at OpenAI's path.
    pub paths: Option<[&'static str; 2]>,
    /// Makes a chunk or a completion of OpenAI's API of what the server sends, if it is not asked at OpenAI's path.
    pub translate: Option<Translate>,
    /// Makes a completion of OpenAI's API of an error with status 422 that holds what the model wrote. Other errors stay.
    pub recover: Option<Translate>,
    /// Stop sequences that it leaves in the text.
    pub stops: Vec<String>,
    /// The most tokens of a stream, if it may send more: each record is one.
    pub most_tokens: Option<u64>,
    /// The most tokens of a whole response, if its finish reason does not tell that they were all used.
    pub full_at: Option<u64>,
    /// Whether its ids of calls are the same in every response.
    pub repeats_ids: bool,
    /// Whether the last text of a streamed `text_completion` is the mark of the end.
    pub shows_end: bool,
    /// The header fields with the tokens of the prompt and of the response, if the usage in a whole response may be wrong.
    pub counters: Option<[&'static str; 2]>,
    /// What these fields say.
    pub counted: Option<(u64, u64)>,
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
enum Delta<'a> {
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
    /// The last delta.
    Finish(&'static str),
}

impl Identity {
    /// Appends the members that come before `choices`, and `"choices":[`.
    pub fn write_head(&self, out: &mut String, is_chunk: bool) {
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

impl Habits {
    fn translated<'a>(&self, text: &'a str) -> Result<Cow<'a, str>, Fault> {
        match self.translate {
            Some(translate) => translate(text).map(Cow::Owned),
            None => Ok(Cow::Borrowed(text)),
        }
    }

    /// Whether a whole response has as many tokens as it may have.
    fn is_full(&self) -> bool {
        let counted = self.counted.zip(self.full_at);
        counted.is_some_and(|((_, completion), most)| completion >= most)
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

    /// The usage of a response; `None` if the server gives none.
    fn usage(&self, raw: Option<&RawValue>) -> Option<String> {
        match self.habits.counted {
            Some((prompt, completion)) => Some(usage::of(prompt, completion)),
            None => raw.and_then(usage::normal),
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
