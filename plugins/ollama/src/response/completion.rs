//! The whole response of a chat, if Ollama was not asked to stream.

use sluicegate_openai_api::NO_LOGPROBS;
use sluicegate_openai_api::response::Identity;
use sluicegate_plugin::Fault;

use super::delta::Delta;
use super::line::{Ending, Line};
use super::message::Reader;
use super::{Shown, tools};

/// The message so far, as JSON.
#[derive(Default)]
struct Message {
    thoughts: Option<String>,
    content: Option<String>,
    logprobs: Option<String>,
    /// Id, name and the inside of the arguments of each.
    calls: Vec<[String; 3]>,
}

impl Message {
    fn take(&mut self, delta: Delta<'_>) {
        match delta {
            Delta::Thoughts(text) => append(&mut self.thoughts, &text),
            Delta::Content(text, logprobs) => {
                append(&mut self.content, &text);
                self.logprobs = logprobs;
            }
            Delta::Call {
                id,
                name,
                arguments,
            } => {
                let call = [id, name, arguments];
                self.calls.push(call.map(std::borrow::Cow::into_owned));
            }
            Delta::Arguments(at, text) => {
                let call = usize::try_from(at)
                    .ok()
                    .and_then(|at| self.calls.get_mut(at));
                if let Some([_, _, arguments]) = call {
                    arguments.push_str(&text);
                }
            }
        }
    }
}

/// Appends a JSON string to another.
fn append(to: &mut Option<String>, text: &str) {
    match to {
        Some(known) => {
            known.pop();
            known.push_str(&text[1..]);
        }
        None => *to = Some(text.to_owned()),
    }
}

/// Translates a response to a `chat.completion`.
///
/// # Errors
/// Ollama's own error, 502 `upstream_truncated` if the response is not complete, or 502 `upstream_invalid`.
pub(super) fn complete(
    identity: &Identity,
    shown: &Shown,
    data: &[u8],
) -> Result<(Vec<u8>, Ending), Fault> {
    let line = Line::read_whole(data)?;
    let mut reader = Reader::new(shown);
    let mut message = Message::default();
    for delta in reader.take(&line)? {
        message.take(delta);
    }
    let ending = reader.ending(&line);

    let mut out = String::with_capacity(data.len() + 384);
    identity.write_head(&mut out, false);
    out.push_str("{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":");
    let shows_thoughts = !shown.thoughts.is_empty() && message.thoughts.is_some();
    let says_something_else = shows_thoughts || !message.calls.is_empty();
    let without = if says_something_else { "null" } else { "\"\"" };
    out.push_str(message.content.as_deref().unwrap_or(without));
    out.push_str(",\"refusal\":null");
    for name in shown.thoughts {
        if let Some(thoughts) = &message.thoughts {
            out.push_str(",\"");
            out.push_str(name);
            out.push_str("\":");
            out.push_str(thoughts);
        }
    }
    for (at, [id, name, arguments]) in message.calls.iter().enumerate() {
        out.push_str(if at == 0 { ",\"tool_calls\":[{" } else { ",{" });
        tools::write(&mut out, id, name, arguments);
        out.push('}');
    }
    if !message.calls.is_empty() {
        out.push(']');
    }
    // If log probabilities were asked for, a message without content has an empty list.
    let none = if line.has_logprobs() {
        NO_LOGPROBS
    } else {
        "null"
    };
    out.push_str("},\"logprobs\":");
    out.push_str(message.logprobs.as_deref().unwrap_or(none));
    out.push_str(",\"finish_reason\":\"");
    out.push_str(ending.finish);
    out.push_str("\"}],\"usage\":");
    out.push_str(&ending.usage());
    out.push('}');
    Ok((out.into_bytes(), ending))
}
