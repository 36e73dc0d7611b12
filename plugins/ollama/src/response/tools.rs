//! Tool calls: Ollama's arguments are an object, OpenAI's are a text that holds one.

use serde::Deserialize;
use serde_json::value::RawValue;
use sluicegate_plugin::json::{self, Kind};
use sluicegate_plugin::{Fault, random};

use crate::failure;

/// A call from Ollama: complete, never in fragments.
#[derive(Deserialize)]
pub(super) struct Call<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    function: Function<'a>,
}

#[derive(Deserialize)]
struct Function<'a> {
    #[serde(borrow)]
    name: &'a RawValue,
    #[serde(borrow)]
    arguments: Option<&'a RawValue>,
}

/// Reads the calls of a message; the list may be empty.
pub(super) fn read(raw: Option<&RawValue>) -> Result<Vec<Call<'_>>, Fault> {
    let Some(raw) = raw else {
        return Ok(Vec::new());
    };
    serde_json::from_str(raw.get()).map_err(|_| failure::nonsense())
}

/// Appends the members of a call, without braces around them: `"id":…,"type":"function","function":{…}`.
pub(super) fn write(out: &mut String, call: &Call<'_>) {
    out.push_str("\"id\":");
    match call.id {
        Some(id) if Kind::of(id) == Kind::String && id.get() != "\"\"" => {
            out.push_str(id.get());
        }
        // Older servers send no id, but the client needs one to refer to the call.
        Some(_) | None => {
            out.push_str("\"call_");
            out.push_str(&random::id(24));
            out.push('"');
        }
    }
    out.push_str(",\"type\":\"function\",\"function\":{\"name\":");
    out.push_str(call.function.name.get());
    out.push_str(",\"arguments\":");
    match call.function.arguments {
        // If a server sends text already, it stays text.
        Some(arguments) if Kind::of(arguments) == Kind::String => {
            out.push_str(arguments.get());
        }
        Some(arguments) => json::push_str(out, arguments.get()),
        None => out.push_str("\"{}\""),
    }
    out.push('}');
}
