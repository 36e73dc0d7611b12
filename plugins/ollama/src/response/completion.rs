//! The whole answer at once, where Ollama was not asked to stream.

use sluicegate_plugin::Fault;

use super::line::{Ending, Line, Message};
use super::{Identity, logprobs, tools};
use crate::failure;

/// Translates an answer to a `chat.completion`.
///
/// # Errors
/// Ollama's own error, 502 `upstream_truncated` if the answer is not complete, or 502 `upstream_invalid`.
pub fn complete(identity: &Identity, data: &[u8]) -> Result<(Vec<u8>, Ending), Fault> {
    let line = Line::read(data)?;
    if !line.done {
        return Err(failure::truncated());
    }
    let empty = Message::default();
    let message = line.message.as_ref().unwrap_or(&empty);
    let calls = tools::read(message.tool_calls)?;
    let ending = line.ending(!calls.is_empty());

    let mut out = Vec::with_capacity(data.len() + 384);
    identity.write_head(&mut out, "chat.completion");
    out.extend_from_slice(b"{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":");
    let without = if calls.is_empty() { "\"\"" } else { "null" };
    out.extend_from_slice(message.content().unwrap_or(without).as_bytes());
    out.extend_from_slice(b",\"refusal\":null");
    if let Some(thoughts) = message.thinking() {
        out.extend_from_slice(b",\"");
        out.extend_from_slice(identity.reasoning.as_bytes());
        out.extend_from_slice(b"\":");
        out.extend_from_slice(thoughts.as_bytes());
    }
    for (at, call) in calls.iter().enumerate() {
        out.extend_from_slice(if at == 0 {
            b",\"tool_calls\":[{"
        } else {
            b",{"
        });
        tools::write(&mut out, call);
        out.push(b'}');
    }
    if !calls.is_empty() {
        out.push(b']');
    }
    out.extend_from_slice(b"},\"logprobs\":");
    match line.logprobs {
        Some(raw) => logprobs::write(&mut out, raw)?,
        None => out.extend_from_slice(b"null"),
    }
    out.extend_from_slice(b",\"finish_reason\":\"");
    out.extend_from_slice(ending.finish.as_bytes());
    out.extend_from_slice(b"\"}],\"usage\":");
    out.extend_from_slice(ending.usage().as_bytes());
    out.push(b'}');
    Ok((out, ending))
}
