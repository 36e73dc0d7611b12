//! Tools that a server would misread.

use serde_json::value::RawValue;
use sluicegate_plugin::Fault;
use sluicegate_plugin::json::Kind;

use super::{Body, elements};

/// Makes `tools` of the deprecated `functions`, which many servers ignore.
///
/// # Errors
/// 400 `invalid_type` if they are no array.
pub fn of_functions(body: &mut Body<'_>) -> Result<(), Fault> {
    let Some(raw) = body.get("functions").filter(|_| !body.has("tools")) else {
        return Ok(());
    };
    let tool = |function: &&RawValue| format!("{{\"type\":\"function\",\"function\":{function}}}");
    let tools: Vec<String> = elements("functions", raw)?.iter().map(tool).collect();
    if let Some(choice) = body.get("function_call") {
        let choice = match Kind::of(choice) {
            Kind::Object => format!("{{\"type\":\"function\",\"function\":{choice}}}"),
            Kind::Null | Kind::Bool | Kind::Number | Kind::String | Kind::Array => {
                choice.get().to_owned()
            }
        };
        body.set("tool_choice", choice);
    }
    body.set("tools", format!("[{}]", tools.join(",")));
    body.remove("functions");
    body.remove("function_call");
    Ok(())
}

/// Removes tools that are none, and tools that may not be called: with `tool_choice` `none` servers still show them to the
/// model, which then calls them as text.
pub fn without_idle(body: &mut Body<'_>) {
    let is_empty = |list: &str| list.trim_matches(['[', ']']).trim().is_empty();
    let has_tools = body.text("tools").is_some_and(|list| !is_empty(list));
    let choice = body.text("tool_choice");
    let is_free = matches!(choice, Some("\"auto\"" | "\"none\""));
    if !has_tools || choice == Some("\"none\"") {
        body.remove("tools");
        body.remove("parallel_tool_calls");
        if is_free {
            body.remove("tool_choice");
        }
    }
}
