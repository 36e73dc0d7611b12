//! Tool calls: Ollama's arguments are an object, OpenAI's are a text that holds one.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;
use sluicegate_openai_api::response::is_json;
use sluicegate_plugin::json::{self, Kind};
use sluicegate_plugin::{Fault, random};

use super::delta::Delta;
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
///
/// # Errors
/// 502 `upstream_invalid` for anything else than a list of calls, each with a name.
pub(super) fn read(raw: Option<&RawValue>) -> Result<Vec<Call<'_>>, Fault> {
    let Some(raw) = raw else {
        return Ok(Vec::new());
    };
    let calls: Vec<Call<'_>> = serde_json::from_str(raw.get()).map_err(|_| failure::nonsense())?;
    let is_named = |call: &Call<'_>| {
        let name = json::string_inner(call.function.name);
        name.is_some_and(|name| !name.is_empty())
    };
    if calls.iter().all(is_named) {
        Ok(calls)
    } else {
        Err(failure::nonsense())
    }
}

impl<'a> Call<'a> {
    /// The call as the client sees it.
    pub(super) fn delta(&self) -> Delta<'a> {
        Delta::Call {
            id: match self.id {
                Some(id) if Kind::of(id) == Kind::String && id.get() != "\"\"" => {
                    Cow::Borrowed(id.get())
                }
                // Older servers send no id, but the client needs one to refer to the call.
                Some(_) | None => Cow::Owned(new_id()),
            },
            name: Cow::Borrowed(self.function.name.get()),
            arguments: match self.function.arguments() {
                Some(arguments) => match json::string_inner(arguments) {
                    // If a server sends text already, it stays text.
                    Some(inner) => Cow::Borrowed(inner),
                    None => {
                        let mut out = String::with_capacity(arguments.get().len() + 16);
                        json::push_escaped(&mut out, arguments.get());
                        Cow::Owned(out)
                    }
                },
                None => Cow::Borrowed("{}"),
            },
        }
    }

    /// Whether the client can read the arguments: a text need not hold JSON.
    pub(super) fn is_readable(&self) -> bool {
        let text = self.function.arguments().and_then(json::string_inner);
        text.is_none_or(is_json)
    }
}

impl<'a> Function<'a> {
    /// The arguments; `None` if there are none, which may be said as `null` or as an empty text.
    fn arguments(&self) -> Option<&'a RawValue> {
        self.arguments.filter(|raw| raw.get() != "\"\"")
    }
}

/// A new id as a JSON string.
pub(super) fn new_id() -> String {
    format!("\"call_{}\"", random::id(24))
}

/// Appends the members of a call, without braces around them: `"id":…,"type":"function","function":{…}`.
pub(super) fn write(out: &mut String, id: &str, name: &str, arguments: &str) {
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
