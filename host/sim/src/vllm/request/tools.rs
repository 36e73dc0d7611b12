//! The tools of a chat and which of them must be called, as vLLM checks them. Pure.

use serde_json::Value;

use crate::openai;
use crate::vllm::fields::{Fields, printed};
use crate::vllm::refusal::Refusal;

#[derive(Debug, PartialEq, Eq)]
pub(in crate::vllm) enum ToolChoice {
    Auto,
    None,
    Required,
    Named(String),
}

/// Checks the tools.
///
/// # Errors
/// What vLLM would say.
pub(super) fn check(fields: &Fields) -> Result<(), Refusal> {
    let Some(tools) = fields.list("tools")? else {
        return Ok(());
    };
    if tools.is_empty() {
        let message = "`tools` must not be an empty array. Either provide at least one tool or omit the field entirely. \
                       (parameter=tools)";
        return Err(Refusal::bad(message, Some("tools")));
    }
    for (at, tool) in tools.iter().enumerate() {
        let kind = tool["type"].as_str().unwrap_or("function");
        if kind != "function" || !tool["function"].is_object() {
            let kind_place = format!(".tools.{at}.type");
            let place = format!(".tools.{at}.function");
            let value = printed(tool);
            return Err(Refusal::invalid(&[
                (
                    "literal_error",
                    &kind_place,
                    "Input should be 'function'",
                    kind,
                ),
                ("missing", &place, "Field required", &value),
            ]));
        }
    }
    Ok(())
}

/// Which tools must be called.
///
/// # Errors
/// What vLLM would say.
pub(super) fn choice(fields: &Fields) -> Result<ToolChoice, Refusal> {
    let tools = openai::list(fields.map(), "tools");
    let bad = |message: &str| Err(Refusal::bad(message, Some("tool_choice")));
    match fields.get("tool_choice") {
        None => Ok(ToolChoice::Auto),
        Some(Value::String(word)) => match word.as_str() {
            "none" => Ok(ToolChoice::None),
            _ if tools.is_empty() => {
                bad("When using `tool_choice`, `tools` must be set. (parameter=tool_choice)")
            }
            "auto" => Ok(ToolChoice::Auto),
            "required" => Ok(ToolChoice::Required),
            word => bad(&format!(
                "Invalid value for `tool_choice`: {word}! Only named tools, \"none\", \"auto\" or \"required\" are supported. \
                 (parameter=tool_choice)"
            )),
        },
        Some(choice) => {
            let name = choice["function"]["name"].as_str().unwrap_or_default();
            if tools.iter().any(|tool| tool["function"]["name"] == name) {
                Ok(ToolChoice::Named(name.to_owned()))
            } else {
                bad(
                    "The tool specified in `tool_choice` does not match any of the specified `tools` (parameter=tool_choice)",
                )
            }
        }
    }
}
