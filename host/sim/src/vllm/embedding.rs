//! Embeddings of the model that makes them. Pure.

use serde_json::{Value, json};

use super::fields::Fields;
use super::refusal::Refusal;
use super::request;
use crate::text;
use crate::vector;

/// The response to a request.
///
/// # Errors
/// What vLLM would say. The route does not exist for a model that generates.
pub(super) fn respond(body: &[u8], id: &str, created: u64) -> Result<Value, Refusal> {
    let fields = Fields::read(body)?;
    let model = request::model(&fields)?;
    if !model.can("embedding") {
        return Err(Refusal::detail(404, "Not Found"));
    }
    let inputs: Vec<String> = match fields.get("input") {
        Some(Value::String(text)) => vec![text.clone()],
        Some(Value::Array(items)) if items.iter().all(Value::is_number) && !items.is_empty() => {
            vec![Value::Array(items.clone()).to_string()]
        }
        Some(Value::Array(items)) => items
            .iter()
            .map(|item| {
                item.as_str()
                    .map_or_else(|| item.to_string(), str::to_owned)
            })
            .collect(),
        None | Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) => {
            return Err(Refusal::invalid(&[(
                "missing",
                ".input",
                "Field required",
                "<dict>",
            )]));
        }
    };
    if inputs.is_empty() {
        return Err(Refusal::bad("input cannot be empty.", Some("input")));
    }
    let most = model.embedding_length;
    let dimensions = fields
        .integer("dimensions")?
        .unwrap_or_else(|| most.cast_signed());
    let dimensions = usize::try_from(dimensions)
        .ok()
        .filter(|&dimensions| dimensions > 0 && dimensions as u64 <= most)
        .ok_or_else(|| {
            let message = format!("dimensions must be in [1, {most}], got {dimensions}.");
            Refusal::bad(&message, Some("dimensions"))
        })?;
    let is_base64 = match fields.get("encoding_format") {
        None => false,
        Some(Value::String(word)) if word == "float" => false,
        Some(Value::String(word)) if word == "base64" => true,
        Some(value) => {
            let text = "Input should be 'float', 'base64' or 'bytes'";
            let value = super::fields::printed(value);
            let place = ".encoding_format";
            return Err(Refusal::invalid(&[("literal_error", place, text, &value)]));
        }
    };
    let data: Vec<Value> = inputs
        .iter()
        .enumerate()
        .map(|(index, input)| {
            let vector = vector::of(input, dimensions);
            let embedding = if is_base64 {
                json!(vector::base64(&vector))
            } else {
                json!(vector)
            };
            json!({"index": index, "object": "embedding", "embedding": embedding})
        })
        .collect();
    let tokens: usize = inputs
        .iter()
        .map(|input| text::tokens(input).len() + 2)
        .sum();
    Ok(
        json!({"id": format!("embd-{id}"), "object": "list", "created": created, "model": model.name, "data": data,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens, "completion_tokens": 0, "prompt_tokens_details": null}}),
    )
}
