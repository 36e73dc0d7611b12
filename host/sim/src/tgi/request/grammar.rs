//! What the model must write: a call of a tool, or an instance of a schema. Pure.

use serde_json::Value;

use crate::tgi::form::Body;
use crate::tgi::refusal::Refusal;

#[derive(Debug, PartialEq, Eq)]
pub(super) enum ToolChoice {
    Auto,
    Required,
    Named(String),
}

/// Which tools are called; a word that is none of OpenAI's is the name of one.
///
/// # Errors
/// There is no such tool.
pub(super) fn choice(
    word: Option<&Value>,
    tools: &[Value],
    guided: bool,
) -> Result<ToolChoice, Refusal> {
    let name = match word {
        _ if !guided => return Ok(ToolChoice::Auto),
        None | Some(Value::Null) => return Ok(ToolChoice::Auto),
        Some(Value::String(word)) => match word.as_str() {
            "auto" => return Ok(ToolChoice::Auto),
            "required" => return Ok(ToolChoice::Required),
            name => name,
        },
        Some(choice) => choice["function"]["name"].as_str().unwrap_or_default(),
    };
    if tools.iter().any(|tool| tool["function"]["name"] == name) {
        Ok(ToolChoice::Named(name.to_owned()))
    } else {
        Err(Refusal::tool(&format!("Tool with name {name} not found")))
    }
}

/// The `response_format`, in TGI's shape.
///
/// # Errors
/// It has another shape.
pub(super) fn format(body: &Body) -> Result<Value, Refusal> {
    let Some(format) = body.fields.get("response_format") else {
        return Ok(Value::Null);
    };
    if format.is_null() {
        return Ok(Value::Null);
    }
    let kind = format["type"].as_str().unwrap_or_default();
    if !["json", "json_object", "regex", "json_schema"].contains(&kind) {
        let text = format!(
            "response_format.type: unknown variant `{kind}`, expected one of `json`, `json_object`, `regex`, `json_schema`"
        );
        return Err(body.refuse(&text));
    }
    if format.get("value").is_none() {
        return Err(body.refuse("response_format: missing field `value`"));
    }
    Ok(format.clone())
}

/// Checks a grammar.
///
/// # Errors
/// A schema without properties.
pub(super) fn check(format: &Value) -> Result<(), Refusal> {
    let schema = match format["type"].as_str() {
        Some("json_schema") => &format["value"]["schema"],
        Some("regex") | None => return Ok(()),
        Some(_) => &format["value"],
    };
    if schema.get("properties").is_some() {
        return Ok(());
    }
    let text = "grammar is not valid: Grammar must have a 'properties' field";
    Err(Refusal::validation(text))
}
