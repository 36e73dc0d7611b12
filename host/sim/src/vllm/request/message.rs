//! The messages of a chat, as vLLM checks them. Pure.

use serde_json::Value;

use crate::catalog::Model;
use crate::conversation::Message;
use crate::vllm::fields::printed;
use crate::vllm::refusal::Refusal;
use crate::{openai, text};

/// Checks the form of a message.
///
/// # Errors
/// What vLLM would say.
pub(super) fn check(at: usize, message: &Value) -> Result<(), Refusal> {
    let developer = format!(".messages.{at}.ChatCompletionDeveloperMessageParam");
    let user = format!(".messages.{at}.ChatCompletionUserMessageParam");
    let content = format!("{developer}.content");
    let role = format!("{developer}.role");
    let Value::Object(fields) = message else {
        let text = "Input should be a valid dictionary";
        let value = printed(message);
        return Err(Refusal::invalid(&[("dict_type", &developer, text, &value)]));
    };
    let Some(named) = fields.get("role").and_then(Value::as_str) else {
        let value = printed(message);
        let other = format!("{user}.role");
        return Err(Refusal::invalid(&[
            ("missing", &role, "Field required", &value),
            ("missing", &other, "Field required", &value),
        ]));
    };
    match fields.get("content") {
        Some(Value::String(_)) => {}
        Some(Value::Array(parts)) => check_parts(parts)?,
        None | Some(Value::Null) if named == "assistant" => {}
        None => {
            let value = printed(message);
            return Err(Refusal::invalid(&[(
                "missing",
                &content,
                "Field required",
                &value,
            )]));
        }
        Some(value) => {
            let value = printed(value);
            let expected = "Input should be 'developer'";
            return Err(Refusal::invalid(&[
                (
                    "string_type",
                    &content,
                    "Input should be a valid string",
                    &value,
                ),
                (
                    "iterable_type",
                    &content,
                    "Input should be iterable",
                    &value,
                ),
                ("literal_error", &role, expected, named),
            ]));
        }
    }
    for call in openai::list(fields, "tool_calls") {
        let arguments = &call["function"]["arguments"];
        if !arguments.is_string() {
            let function = ".0.ChatCompletionMessageFunctionToolCallParam.function";
            let custom = ".0.ChatCompletionMessageCustomToolCallParam.custom";
            return Err(Refusal::invalid(&[
                (
                    "string_type",
                    function,
                    "Input should be a valid string",
                    &printed(arguments),
                ),
                ("missing", custom, "Field required", &printed(call)),
            ]));
        }
    }
    Ok(())
}

fn check_parts(parts: &[Value]) -> Result<(), Refusal> {
    let known = ["text", "image_url", "input_text", "refusal", "thinking"];
    let odd = parts
        .iter()
        .filter_map(|part| part["type"].as_str())
        .find(|kind| !known.contains(kind));
    let Some(odd) = odd else {
        return Ok(());
    };
    let message = format!(
        "7 validation errors for ValidatorIterator\n0.ChatCompletionContentPartTextParam.type\n  Input should be 'text' \
         [type=literal_error, input_value='{odd}', input_type=str]"
    );
    Err(Refusal::bad(&message, None))
}

/// Checks that the messages fit into the context.
///
/// # Errors
/// What vLLM would say.
pub(super) fn check_length(messages: &[Message], model: &Model) -> Result<(), Refusal> {
    let tokens: usize = messages
        .iter()
        .map(|message| text::tokens(&message.content).len() + 4)
        .sum();
    let most = model.context_length;
    if (tokens as u64) < most {
        return Ok(());
    }
    let least = most + 1;
    let message = format!(
        "This model's maximum context length is {most} tokens. However, your prompt contains at least {least} input tokens, \
         which exceeds this limit even without any output tokens. Please reduce the length of the input prompt."
    );
    Err(Refusal::value(&message, "input_tokens", &least.to_string()))
}
