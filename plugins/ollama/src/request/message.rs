//! Messages: maps OpenAI's six roles to Ollama's four.

use serde_json::value::RawValue;
use sluicegate_plugin::Fault;
use sluicegate_plugin::json::{self, Kind};

use super::body::Message;
use super::check::{self, Path};
use super::content::{self, Absent};
use super::tools::{self, Calls};

/// What a system message begins with.
const SYSTEM: &str = "{\"role\":\"system\",\"content\":\"";

/// Appends all messages as an array. An `instruction` comes first, in the system message; some templates take only one.
///
/// # Errors
/// 400 with the path of the wrong value, such as `messages[2].content[0].image_url`.
pub(super) fn write_all(
    out: &mut String,
    messages: &[Message<'_>],
    instruction: Option<&str>,
) -> Result<(), Fault> {
    if messages.is_empty() {
        return Err(check::invalid(
            Path::of("messages"),
            "an array of at least one message",
        ));
    }
    let list = Path::of("messages");
    let mut calls = Calls::default();
    out.push('[');
    let start = out.len();
    for (index, message) in messages.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        write(out, list.index(index), message, &mut calls)?;
        out.push('}');
    }
    out.push(']');
    if let Some(instruction) = instruction {
        let mut text = String::with_capacity(instruction.len() + 64);
        if out[start..].starts_with(SYSTEM) {
            json::push_escaped(&mut text, instruction);
            text.push_str("\\n\\n");
            out.insert_str(start + SYSTEM.len(), &text);
        } else {
            text.push_str(SYSTEM);
            json::push_escaped(&mut text, instruction);
            text.push_str("\"},");
            out.insert_str(start, &text);
        }
    }
    Ok(())
}

fn write<'a>(
    out: &mut String,
    at: Path<'_>,
    message: &Message<'a>,
    calls: &mut Calls<'a>,
) -> Result<(), Fault> {
    let role = message
        .role
        .ok_or_else(|| check::missing(at.member("role")))?;
    match &*check::text(at.member("role"), role)? {
        // Templates do not know `developer`; it is the newer name of the same role.
        "system" | "developer" => {
            out.push_str("{\"role\":\"system\"");
            content::write(out, at.member("content"), message.content, Absent::Fails)
        }
        "user" => {
            out.push_str("{\"role\":\"user\"");
            content::write(out, at.member("content"), message.content, Absent::Fails)
        }
        "assistant" => assistant(out, at, message, calls),
        "tool" => {
            let id = message
                .tool_call_id
                .ok_or_else(|| check::missing(at.member("tool_call_id")))?;
            check::kind(at.member("tool_call_id"), id, Kind::String)?;
            let name = calls.name_of(id).or(message.name);
            tool(out, at, message.content, Some(id), name)
        }
        "function" => {
            let name = message
                .name
                .ok_or_else(|| check::missing(at.member("name")))?;
            tool(out, at, message.content, None, Some(name))
        }
        _ => Err(check::invalid(
            at.member("role"),
            "`developer`, `system`, `user`, `assistant`, `tool` or `function`",
        )),
    }
}

fn assistant<'a>(
    out: &mut String,
    at: Path<'_>,
    message: &Message<'a>,
    calls: &mut Calls<'a>,
) -> Result<(), Fault> {
    out.push_str("{\"role\":\"assistant\"");
    // A refusal is the assistant's text under another name.
    let content = message.content.or(message.refusal);
    content::write(out, at.member("content"), content, Absent::IsEmpty)?;
    if let Some(thoughts) = message.reasoning.or(message.reasoning_content)
        && let Some(inner) = json::string_inner(thoughts)
        && !inner.is_empty()
    {
        out.push_str(",\"thinking\":");
        out.push_str(thoughts.get());
    }
    match (message.tool_calls, message.function_call) {
        (Some(raw), _) => calls.write(out, at.member("tool_calls"), raw),
        (None, Some(raw)) => tools::write_function_call(out, at.member("function_call"), raw),
        (None, None) => Ok(()),
    }
}

fn tool(
    out: &mut String,
    at: Path<'_>,
    content: Option<&RawValue>,
    id: Option<&RawValue>,
    name: Option<&RawValue>,
) -> Result<(), Fault> {
    out.push_str("{\"role\":\"tool\"");
    content::write(out, at.member("content"), content, Absent::Fails)?;
    if let Some(name) = name {
        check::kind(at.member("name"), name, Kind::String)?;
        out.push_str(",\"tool_name\":");
        out.push_str(name.get());
    }
    if let Some(id) = id {
        out.push_str(",\"tool_call_id\":");
        out.push_str(id.get());
    }
    Ok(())
}
