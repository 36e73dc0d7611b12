//! Embeddings, by Ollama's own API and by the one that is like OpenAI's. Pure.

use serde_json::{Map, Value, json};

use super::{catalog, request};
use crate::text;
use crate::vector;

/// An error response.
#[derive(Debug, PartialEq)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) body: Value,
}

/// What is asked.
struct Asked {
    /// As the client wrote it.
    model: String,
    vectors: Vec<Vec<f32>>,
    tokens: usize,
}

/// The response of `/api/embed`.
///
/// # Errors
/// What Ollama would say.
pub(super) fn native(body: &[u8]) -> Result<Value, Refusal> {
    let error = |status: u16, text: &str| Refusal {
        status,
        body: json!({"error": text}),
    };
    let fields = request::object(body).map_err(|problem| error(400, &problem.to_string()))?;
    let asked = read(&fields).map_err(|(status, text)| error(status, &text))?;
    let mut response = json!({"model": asked.model, "embeddings": asked.vectors});
    if !asked.vectors.is_empty() {
        response["total_duration"] = json!(2_000_000);
        response["load_duration"] = json!(1_000_000);
        response["prompt_eval_count"] = json!(asked.tokens);
    }
    Ok(response)
}

/// The response of `/v1/embeddings`.
///
/// # Errors
/// What Ollama would say.
pub(super) fn openai(body: &[u8]) -> Result<Value, Refusal> {
    let error = |status: u16, text: &str| {
        let kind = match status {
            400 => "invalid_request_error",
            404 => "not_found_error",
            _ => "api_error",
        };
        Refusal {
            status,
            body: json!({"error": {"message": text, "type": kind, "param": null, "code": null}}),
        }
    };
    let fields = request::object(body).map_err(|problem| error(400, &problem.to_string()))?;
    let has_input = match fields.get("input") {
        Some(Value::Array(items)) => !items.is_empty(),
        Some(value) => !value.is_null(),
        None => false,
    };
    if !has_input {
        return Err(error(400, "invalid input"));
    }
    let is_base64 = match fields.get("encoding_format").and_then(Value::as_str) {
        None | Some("" | "float") => false,
        Some("base64") => true,
        Some(other) => {
            let text = format!(
                "Invalid value for 'encoding_format' = {other}. Supported values: [\"float\", \"base64\"]."
            );
            return Err(error(400, &text));
        }
    };
    let asked = read(&fields).map_err(|(status, text)| error(status, &text))?;
    let data: Vec<Value> = asked
        .vectors
        .iter()
        .enumerate()
        .map(|(index, vector)| {
            let embedding = if is_base64 {
                json!(vector::base64(vector))
            } else {
                json!(vector)
            };
            json!({"object": "embedding", "embedding": embedding, "index": index})
        })
        .collect();
    Ok(json!({"object": "list", "data": data, "model": asked.model,
        "usage": {"prompt_tokens": asked.tokens, "total_tokens": asked.tokens}}))
}

/// The vectors, or a status and a text. An empty input has none, which is no error.
fn read(fields: &Map<String, Value>) -> Result<Asked, (u16, String)> {
    let bad = |problem: request::Error| (400, problem.to_string());
    let name = request::string(fields, "model").map_err(bad)?;
    let inputs: Vec<&str> = match fields.get("input") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::String(text)) if text.is_empty() => Vec::new(),
        Some(Value::String(text)) => vec![text],
        Some(Value::Array(items)) => items
            .iter()
            .map(Value::as_str)
            .collect::<Option<_>>()
            .ok_or_else(|| (400, "invalid input type".to_owned()))?,
        Some(Value::Bool(_) | Value::Number(_) | Value::Object(_)) => {
            return Err((400, "invalid input type".to_owned()));
        }
    };
    let model = catalog::find(&name).ok_or_else(|| {
        (
            404,
            format!("model \"{name}\" not found, try pulling it first"),
        )
    })?;
    if !model.can("embedding") {
        let text = "This server does not support embeddings. Start it with `--embeddings`";
        return Err((501, text.to_owned()));
    }
    let tokens: usize = inputs.iter().map(|input| text::tokens(input).len()).sum();
    let truncates = fields.get("truncate") != Some(&Value::Bool(false));
    if !truncates && tokens as u64 > model.context_length {
        let text = "the input length exceeds the context length";
        return Err((400, text.to_owned()));
    }
    let most = usize::try_from(model.embedding_length).unwrap_or(usize::MAX);
    let dimensions = fields.get("dimensions").and_then(Value::as_u64);
    let dimensions = dimensions
        .and_then(|dimensions| usize::try_from(dimensions).ok())
        .filter(|&dimensions| dimensions > 0)
        .map_or(most, |dimensions| dimensions.min(most));
    let vectors = inputs.iter().map(|input| vector::of(input, dimensions));
    Ok(Asked {
        model: name,
        vectors: vectors.collect(),
        tokens,
    })
}
