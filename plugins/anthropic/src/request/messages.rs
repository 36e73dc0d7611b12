//! The conversation: Anthropic has calls of tools and their results inside of the content, OpenAI's API beside it.

use serde::Deserialize;
use serde_json::value::RawValue;
use sluicegate_plugin::Fault;
use sluicegate_plugin::json::{self, Kind};

use super::check::{self, Path};
use super::content::{self, Block, Part};

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    role: Option<&'a RawValue>,
    #[serde(borrow)]
    content: Option<&'a RawValue>,
}

/// Before the result of a tool that failed: OpenAI's API has no member for that.
const FAILED: &str = "Error: ";

/// In place of a result that is only an image.
const ONLY_IMAGES: &str = "The image is in the next message.";

const PREFILL: &str = "a conversation must end with a user's message; continuing an assistant's message is not supported.";

const IN_SYSTEM: &str = "The system prompt has only `text` blocks.";
const IN_USER: &str = "A user's message has `text`, `image` and `tool_result` blocks.";
const IN_ASSISTANT: &str = "An assistant's message has `text`, `thinking` and `tool_use` blocks.";
const IN_RESULT: &str = "The result of a tool has `text` and `image` blocks.";

/// Appends all messages as an array, the system prompt first. Only if it `ends_freely`, the last one may be an assistant's.
pub(super) fn write(
    out: &mut String,
    system: Option<&RawValue>,
    messages: &RawValue,
    ends_freely: bool,
) -> Result<(), Fault> {
    let list = Path::of("messages");
    let messages = check::array(list, messages)?;
    if messages.is_empty() {
        return Err(check::invalid(list, "an array of at least one message"));
    }
    let last = messages.len() - 1;
    out.push('[');
    if let Some(raw) = system {
        let texts = content::texts(Path::of("system"), raw, IN_SYSTEM)?;
        if texts.iter().any(|text| !text.is_empty()) {
            self::system(out, texts);
        }
    }
    for (index, raw) in messages.into_iter().enumerate() {
        let at = list.index(index);
        let message: Message<'_> = check::object(at, raw)?;
        let content_at = at.member("content");
        let content = check::required(content_at, message.content)?;
        match &*check::text(at.member("role"), message.role)? {
            "user" => user(out, content_at, content)?,
            "assistant" => {
                assistant(out, content_at, content)?;
                if index == last && !ends_freely {
                    return Err(check::unsupported(at, PREFILL));
                }
            }
            "system" => self::system(out, content::texts(content_at, content, IN_SYSTEM)?),
            _ => return Err(check::invalid(at.member("role"), "`user` or `assistant`")),
        }
    }
    out.push(']');
    Ok(())
}

/// Opens a message, with a comma before it unless it is the first one.
fn open(out: &mut String, role: &str) {
    if !out.ends_with('[') {
        out.push(',');
    }
    out.push_str("{\"role\":\"");
    out.push_str(role);
    out.push('"');
}

fn system(out: &mut String, texts: Vec<&str>) {
    open(out, "system");
    out.push_str(",\"content\":");
    content::push_texts(out, "", texts);
    out.push('}');
}

/// A user's message. The results of tools in it become messages before the rest, as they must follow their calls.
fn user(out: &mut String, at: Path<'_>, raw: &RawValue) -> Result<(), Fault> {
    let mut parts = Vec::new();
    let mut has_results = false;
    if let Some(text) = json::string_inner(raw) {
        parts.push(Part::Text(text));
    } else {
        for (index, raw) in content::blocks(at, raw)?.into_iter().enumerate() {
            let at = at.index(index);
            let block: Block<'_> = check::object(at, raw)?;
            match &*check::text(at.member("type"), block.r#type)? {
                "text" => parts.push(Part::Text(check::inner(at.member("text"), block.text)?)),
                "image" => parts.push(content::image(at, block.source)?),
                "tool_result" => {
                    has_results = true;
                    result(out, at, &block, &mut parts)?;
                }
                other => return Err(content::refused(at, other, IN_USER)),
            }
        }
    }
    if !parts.is_empty() || !has_results {
        open(out, "user");
        out.push_str(",\"content\":");
        content::push_parts(out, &parts);
        out.push('}');
    }
    Ok(())
}

/// Appends the result of a tool as a message. OpenAI's API has no images there, so these go to the user's message behind it.
fn result<'a>(
    out: &mut String,
    at: Path<'_>,
    block: &Block<'a>,
    parts: &mut Vec<Part<'a>>,
) -> Result<(), Fault> {
    let id_at = at.member("tool_use_id");
    let id = check::required(id_at, block.tool_use_id)?;
    open(out, "tool");
    out.push_str(",\"tool_call_id\":");
    out.push_str(check::kind(id_at, id, Kind::String)?);
    let failed = match block.is_error {
        Some(raw) => check::boolean(at.member("is_error"), raw)?,
        None => false,
    };
    let (mut texts, mut has_images) = (Vec::new(), false);
    let at = at.member("content");
    match block.content {
        None => {}
        Some(raw) if Kind::of(raw) == Kind::String => texts.push(check::inner(at, Some(raw))?),
        Some(raw) => {
            for (index, raw) in content::blocks(at, raw)?.into_iter().enumerate() {
                let at = at.index(index);
                let block: Block<'a> = check::object(at, raw)?;
                match &*check::text(at.member("type"), block.r#type)? {
                    "text" => texts.push(check::inner(at.member("text"), block.text)?),
                    "image" => {
                        has_images = true;
                        parts.push(content::image(at, block.source)?);
                    }
                    other => return Err(content::refused(at, other, IN_RESULT)),
                }
            }
        }
    }
    if texts.is_empty() && has_images {
        texts.push(ONLY_IMAGES);
    }
    out.push_str(",\"content\":");
    content::push_texts(out, if failed { FAILED } else { "" }, texts);
    out.push('}');
    Ok(())
}

/// An assistant's message. Its texts are parts of one, so there is nothing between them.
fn assistant(out: &mut String, at: Path<'_>, raw: &RawValue) -> Result<(), Fault> {
    open(out, "assistant");
    if let Some(text) = json::string_inner(raw) {
        out.push_str(",\"content\":");
        content::push_texts(out, "", [text]);
        out.push('}');
        return Ok(());
    }
    let (mut texts, mut thoughts, mut calls) = (String::new(), String::new(), String::new());
    for (index, raw) in content::blocks(at, raw)?.into_iter().enumerate() {
        let at = at.index(index);
        let block: Block<'_> = check::object(at, raw)?;
        match &*check::text(at.member("type"), block.r#type)? {
            "text" => texts.push_str(check::inner(at.member("text"), block.text)?),
            "thinking" => {
                thoughts.push_str(check::inner(at.member("thinking"), block.thinking)?);
            }
            // Only Anthropic can read it.
            "redacted_thinking" => {}
            "tool_use" => call(&mut calls, at, &block)?,
            other => return Err(content::refused(at, other, IN_ASSISTANT)),
        }
    }
    out.push_str(",\"content\":");
    if texts.is_empty() && !calls.is_empty() {
        out.push_str("null");
    } else {
        content::push_texts(out, "", [&*texts]);
    }
    if !thoughts.is_empty() {
        out.push_str(",\"reasoning\":");
        content::push_texts(out, "", [&*thoughts]);
    }
    if !calls.is_empty() {
        out.push_str(",\"tool_calls\":[");
        out.push_str(&calls);
        out.push(']');
    }
    out.push('}');
    Ok(())
}

/// Appends a call of a tool, with a comma before it unless it is the first one.
fn call(out: &mut String, at: Path<'_>, block: &Block<'_>) -> Result<(), Fault> {
    if !out.is_empty() {
        out.push(',');
    }
    let string = |name: &str, raw| {
        let at = at.member(name);
        check::kind(at, check::required(at, raw)?, Kind::String)
    };
    out.push_str("{\"id\":");
    out.push_str(string("id", block.id)?);
    out.push_str(",\"type\":\"function\",\"function\":{\"name\":");
    out.push_str(string("name", block.name)?);
    out.push_str(",\"arguments\":");
    let input = match block.input {
        Some(raw) => check::kind(at.member("input"), raw, Kind::Object)?,
        None => "{}",
    };
    json::push_str(out, input);
    out.push_str("}}");
    Ok(())
}
