//! Tool calls: Ollama's arguments are an object, OpenAI's a text that holds one.

use serde::Deserialize;
use serde_json::value::RawValue;
use sluicegate_plugin::json::{self, Kind};
use sluicegate_plugin::{Fault, random};

use crate::failure;

/// A call as Ollama sends it: complete, never in fragments.
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

/// Reads the calls of a message; none if there are none.
pub(super) fn read(raw: Option<&RawValue>) -> Result<Vec<Call<'_>>, Fault> {
    let Some(raw) = raw else {
        return Ok(Vec::new());
    };
    serde_json::from_str(raw.get()).map_err(|_| failure::nonsense())
}

/// Appends the members of a call, without braces around them: `"id":…,"type":"function","function":{…}`.
pub(super) fn write(out: &mut Vec<u8>, call: &Call<'_>) {
    out.extend_from_slice(b"\"id\":");
    match call.id {
        Some(id) if Kind::of(id) == Kind::String && id.get() != "\"\"" => {
            out.extend_from_slice(id.get().as_bytes());
        }
        // Older servers give none, but the client needs one to answer the call.
        Some(_) | None => {
            out.extend_from_slice(b"\"call_");
            out.extend_from_slice(random::id(24).as_bytes());
            out.push(b'"');
        }
    }
    out.extend_from_slice(b",\"type\":\"function\",\"function\":{\"name\":");
    out.extend_from_slice(call.function.name.get().as_bytes());
    out.extend_from_slice(b",\"arguments\":");
    match call.function.arguments {
        // Should a server send text already, it stays text.
        Some(arguments) if Kind::of(arguments) == Kind::String => {
            out.extend_from_slice(arguments.get().as_bytes());
        }
        Some(arguments) => json::push_str(out, arguments.get()),
        None => out.extend_from_slice(b"\"{}\""),
    }
    out.push(b'}');
}
