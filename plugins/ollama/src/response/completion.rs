//! The whole response of a chat, if Ollama was not asked to stream.

use sluicegate_openai_api::response::Identity;
use sluicegate_openai_api::{Logprobs, NO_LOGPROBS};
use sluicegate_plugin::Fault;

use super::line::{Ending, Line, Message};
use super::{Shown, tools};

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
    let empty = Message::default();
    let message = line.message.as_ref().unwrap_or(&empty);
    let logprobs = match line.logprobs(message, &mut Logprobs::default())? {
        // Log probabilities were asked for, and there is no content.
        None if line.has_logprobs() => Some(NO_LOGPROBS.to_owned()),
        logprobs => logprobs,
    };
    let calls = tools::read(message.tool_calls)?;
    let ending = line.ending(!calls.is_empty());

    let mut out = String::with_capacity(data.len() + 384);
    identity.write_head(&mut out, false);
    out.push_str("{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":");
    let thoughts = shown.thoughts.zip(message.thinking());
    let says_something_else = thoughts.is_some() || !calls.is_empty();
    let without = if says_something_else { "null" } else { "\"\"" };
    out.push_str(message.content().unwrap_or(without));
    out.push_str(",\"refusal\":null");
    if let Some((name, thoughts)) = thoughts {
        out.push_str(",\"");
        out.push_str(name);
        out.push_str("\":");
        out.push_str(thoughts);
    }
    for (at, call) in calls.iter().enumerate() {
        out.push_str(if at == 0 { ",\"tool_calls\":[{" } else { ",{" });
        tools::write(&mut out, call);
        out.push('}');
    }
    if !calls.is_empty() {
        out.push(']');
    }
    out.push_str("},\"logprobs\":");
    out.push_str(logprobs.as_deref().unwrap_or("null"));
    out.push_str(",\"finish_reason\":\"");
    out.push_str(ending.finish);
    out.push_str("\"}],\"usage\":");
    out.push_str(&ending.usage());
    out.push('}');
    Ok((out.into_bytes(), ending))
}
