//! Tools that are offered to the model, and calls that it made earlier in the conversation.

use serde::Deserialize;
use serde_json::value::RawValue;
use sluicegate_openai_api::request::history::object;
use sluicegate_plugin::Fault;
use sluicegate_plugin::json::{self, Kind};

use super::check::{self, Path, unsupported};

/// A tool that is offered.
#[derive(Debug)]
pub(super) struct Tool<'a> {
    /// The whole tool.
    pub(super) raw: &'a RawValue,
    pub(super) function: &'a RawValue,
    /// A JSON string.
    pub(super) name: &'a RawValue,
    /// An object.
    pub(super) parameters: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct RawTool<'a> {
    #[serde(borrow)]
    r#type: Option<&'a RawValue>,
    #[serde(borrow)]
    function: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Function<'a> {
    #[serde(borrow)]
    name: Option<&'a RawValue>,
    #[serde(borrow)]
    parameters: Option<&'a RawValue>,
}

/// Checks `tools`.
pub(super) fn offered(raw: &RawValue) -> Result<Vec<Tool<'_>>, Fault> {
    let list = Path::of("tools");
    let tools = check::array(list, raw)?;
    let tools = tools.iter().enumerate();
    tools.map(|(at, raw)| tool(list.index(at), raw)).collect()
}

fn tool<'a>(at: Path<'_>, raw: &'a RawValue) -> Result<Tool<'a>, Fault> {
    let tool: RawTool<'_> = check::object(at, raw)?;
    let kind = tool
        .r#type
        .ok_or_else(|| check::missing(at.member("type")))?;
    let kind = check::text(at.member("type"), kind)?;
    if kind != "function" {
        let message = format!("Ollama knows only tools of the type `function`, not `{kind}`.");
        return Err(unsupported(at.member("type"), &message));
    }
    let raw_function = tool
        .function
        .ok_or_else(|| check::missing(at.member("function")))?;
    let at = at.member("function");
    let function: Function<'_> = check::object(at, raw_function)?;
    let name = function
        .name
        .ok_or_else(|| check::missing(at.member("name")))?;
    check::kind(at.member("name"), name, Kind::String)?;
    if let Some(parameters) = function.parameters {
        check::kind(at.member("parameters"), parameters, Kind::Object)?;
    }
    Ok(Tool {
        raw,
        function: raw_function,
        name,
        parameters: function.parameters,
    })
}

/// A call in an assistant message.
#[derive(Deserialize)]
struct Call<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    r#type: Option<&'a RawValue>,
    #[serde(borrow)]
    function: Option<&'a RawValue>,
}

/// A called function in an assistant message.
#[derive(Deserialize)]
struct Called<'a> {
    #[serde(borrow)]
    name: Option<&'a RawValue>,
    #[serde(borrow)]
    arguments: Option<&'a RawValue>,
}

/// The calls of the conversation so far, to find the tool's name for each tool message.
#[derive(Debug, Default)]
pub(super) struct Calls<'a>(Vec<(&'a RawValue, &'a RawValue)>);

impl<'a> Calls<'a> {
    /// The name in the latest call with this id.
    pub(super) fn name_of(&self, id: &RawValue) -> Option<&'a RawValue> {
        let (_, name) = self
            .0
            .iter()
            .rev()
            .find(|(known, _)| known.get() == id.get())?;
        Some(name)
    }

    /// Appends the member `tool_calls` of an assistant message, a comma before it; nothing if there are none. `list` is their
    /// place.
    pub(super) fn write(
        &mut self,
        out: &mut String,
        list: Path<'_>,
        raw: &'a RawValue,
    ) -> Result<(), Fault> {
        let calls = check::array(list, raw)?;
        for (index, call) in calls.iter().enumerate() {
            let at = list.index(index);
            let call: Call<'_> = check::object(at, call)?;
            if let Some(kind) = call.r#type
                && check::text(at.member("type"), kind)? != "function"
            {
                return Err(unsupported(
                    at.member("type"),
                    "Ollama knows only calls of the type `function`.",
                ));
            }
            let function = call
                .function
                .ok_or_else(|| check::missing(at.member("function")))?;
            out.push_str(if index == 0 {
                ",\"tool_calls\":[{"
            } else {
                ",{"
            });
            if let Some(id) = call.id {
                check::kind(at.member("id"), id, Kind::String)?;
                out.push_str("\"id\":");
                out.push_str(id.get());
                out.push(',');
            }
            let name = write_function(out, index, function, at.member("function"))?;
            if let Some(id) = call.id {
                self.0.push((id, name));
            }
        }
        if !calls.is_empty() {
            out.push(']');
        }
        Ok(())
    }
}

/// Appends the deprecated `function_call` of an assistant message as its one tool call.
pub(super) fn write_function_call(
    out: &mut String,
    at: Path<'_>,
    raw: &RawValue,
) -> Result<(), Fault> {
    out.push_str(",\"tool_calls\":[{");
    write_function(out, 0, raw, at)?;
    out.push(']');
    Ok(())
}

/// Appends `"function":{…}}` and gives the function's name.
fn write_function<'a>(
    out: &mut String,
    index: usize,
    raw: &'a RawValue,
    at: Path<'_>,
) -> Result<&'a RawValue, Fault> {
    let function: Called<'a> = check::object(at, raw)?;
    let name = function
        .name
        .ok_or_else(|| check::missing(at.member("name")))?;
    check::kind(at.member("name"), name, Kind::String)?;
    out.push_str("\"function\":{\"index\":");
    json::push_u64(out, index as u64);
    out.push_str(",\"name\":");
    out.push_str(name.get());
    out.push_str(",\"arguments\":");
    match function.arguments {
        // Ollama accepts nothing else.
        Some(arguments) => out.push_str(&object(arguments)),
        None => out.push_str("{}"),
    }
    out.push_str("}}");
    Ok(name)
}
