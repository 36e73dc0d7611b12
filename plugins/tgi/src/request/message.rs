//! Messages and tools in the form that TGI takes.

use serde_json::value::RawValue;
use sluicegate_openai_api::request::history::replaced;
use sluicegate_plugin::json::{self, Kind, Members};

/// The parameters of a function without any.
const NO_PARAMETERS: &str = "{\"type\":\"object\",\"properties\":{}}";

/// Appends a message: OpenAI's newer role as the one that templates know, a content always, and next to calls none, because
/// TGI would lose the calls. What is no message is for TGI to refuse.
pub(super) fn write(out: &mut String, raw: &RawValue) {
    let Ok(Members(members)) = serde_json::from_str::<Members<'_>>(raw.get()) else {
        out.push_str(raw.get());
        return;
    };
    let is_list = |raw: &RawValue| {
        Kind::of(raw) == Kind::Array && raw.get().trim_matches(['[', ']']).trim() != ""
    };
    let calls = members.iter().rev().find(|(name, _)| name == "tool_calls");
    let has_calls = calls.is_some_and(|(_, raw)| is_list(raw));
    let content = members.iter().rev().find(|(name, _)| name == "content");
    out.push_str("{\"content\":");
    match content.map(|(_, raw)| *raw) {
        _ if has_calls => out.push_str("null"),
        Some(raw) if Kind::of(raw) == Kind::Array => write_parts(out, raw),
        Some(raw) if Kind::of(raw) != Kind::Null => out.push_str(raw.get()),
        Some(_) | None => out.push_str("\"\""),
    }
    for (name, raw) in &members {
        let is_written = match &**name {
            "content" => false,
            "tool_calls" => has_calls,
            _ => Kind::of(raw) != Kind::Null,
        };
        if is_written {
            out.push(',');
            json::push_str(out, name);
            out.push(':');
            let is_developer = name == "role" && raw.get() == "\"developer\"";
            out.push_str(if is_developer {
                "\"system\""
            } else {
                raw.get()
            });
        }
    }
    out.push('}');
}

/// Appends parts. Texts that follow each other become one, as in TGI, which puts nothing between them: what they say together
/// must be known here.
fn write_parts(out: &mut String, raw: &RawValue) {
    let parts: Vec<&RawValue> = serde_json::from_str(raw.get()).unwrap_or_default();
    let mut text: Option<String> = None;
    let mut first = true;
    let mut part = |out: &mut String, json: &str| {
        out.push(if std::mem::take(&mut first) { '[' } else { ',' });
        out.push_str(json);
    };
    let whole = |text: String| {
        let mut json = String::from("{\"type\":\"text\",\"text\":");
        json::push_str(&mut json, &text);
        json.push('}');
        json
    };
    for raw in parts {
        if let Some(more) = text_of(raw) {
            text.get_or_insert_default().push_str(&more);
            continue;
        }
        if let Some(text) = text.take() {
            part(out, &whole(text));
        }
        part(out, raw.get());
    }
    if let Some(text) = text {
        part(out, &whole(text));
    }
    if first {
        out.push('[');
    }
    out.push(']');
}

/// The text of a part that is one.
fn text_of(raw: &RawValue) -> Option<String> {
    let Members(members) = serde_json::from_str(raw.get()).ok()?;
    let get = |wanted: &str| {
        members
            .iter()
            .rev()
            .find(|(name, _)| name == wanted)
            .map(|(_, raw)| *raw)
    };
    (get("type")?.get() == "\"text\"").then_some(())?;
    Some(json::text(get("text")?)?.into_owned())
}

/// A tool whose function has parameters; `None` if it has.
pub(super) fn with_parameters(tool: &RawValue) -> Option<String> {
    replaced(tool, "function", |function| {
        let Members(members) = serde_json::from_str(function.get()).ok()?;
        let parameters = members.iter().find(|(name, _)| name == "parameters");
        match parameters {
            Some((_, raw)) if Kind::of(raw) != Kind::Null => None,
            Some(_) => replaced(function, "parameters", |_| Some(NO_PARAMETERS.to_owned())),
            None => {
                let rest = function.get().strip_prefix('{')?;
                let comma = if members.is_empty() { "" } else { "," };
                Some(["{\"parameters\":", NO_PARAMETERS, comma, rest].concat())
            }
        }
    })
}
