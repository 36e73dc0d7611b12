//! Decides how a request that was decoded is answered, with Ollama's checks. Pure.

use serde_json::Value;

use super::catalog;
use super::options;
use super::request::Request;
use crate::answer::{self, Asked, Choice, Decision, Format};
use crate::catalog::Model;

/// What the server does with a request.
#[derive(Debug, PartialEq)]
pub(super) enum Decided {
    /// No messages: only load the model, or unload it with `keep_alive: 0`. Never a stream.
    Load { num_ctx: Option<u64> },
    /// As the model and the message say; the context that was asked for.
    Chat {
        decision: Decision,
        num_ctx: Option<u64>,
    },
}

/// Why Ollama refuses a request after decoding it.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Error {
    #[error("model is required")]
    ModelRequired,
    #[error("model '{name}' not found")]
    ModelNotFound { name: String },
    #[error("\"{name}\" does not support thinking")]
    NoThinking { name: String },
    #[error("this model is missing data required for image input")]
    NoVision,
    #[error("invalid format: {format:?}; expected \"json\" or a valid JSON Schema object")]
    Format { format: String },
    #[error(transparent)]
    Options(#[from] options::Error),
}

impl Error {
    /// The HTTP status. As with Ollama, a mistake of the client is not always a 4xx.
    pub(super) fn status(&self) -> u16 {
        match self {
            Self::ModelRequired | Self::NoThinking { .. } => 400,
            Self::ModelNotFound { .. } => 404,
            Self::NoVision | Self::Format { .. } | Self::Options(_) => 500,
        }
    }
}

/// The model that a request names.
///
/// # Errors
/// `ModelRequired`, `ModelNotFound`.
pub(super) fn model(name: &str) -> Result<&'static Model, Error> {
    if name.is_empty() {
        return Err(Error::ModelRequired);
    }
    catalog::find(name).ok_or_else(|| Error::ModelNotFound {
        name: name.to_owned(),
    })
}

/// Decides what to answer; `seed` makes the ids of tool calls.
///
/// # Errors
/// See [`Error`], in the order in which Ollama checks.
pub(super) fn decide(request: &Request, model: &Model, seed: u64) -> Result<Decided, Error> {
    if request.think == Some(true) && !model.can("thinking") {
        let name = request.model.clone();
        return Err(Error::NoThinking { name });
    }
    let options = options::read(&request.options)?;
    let num_ctx = options.num_ctx;
    if request.messages.is_empty() {
        return Ok(Decided::Load { num_ctx });
    }
    let format = format(&request.format)?;
    let images = request.messages.last().map_or(0, |message| message.images);
    if images > 0 && !model.can("vision") {
        return Err(Error::NoVision);
    }
    let decision = answer::answer(&Asked {
        messages: &request.messages,
        tools: &request.tools,
        choice: Choice::Auto,
        thinks: model.can("thinking") && request.think != Some(false),
        format,
        limit: options.num_predict,
        stop: &options.stop,
        keeps_stop: false,
        seed,
    });
    Ok(Decided::Chat { decision, num_ctx })
}

/// What the request's `format` asks for.
fn format(value: &Value) -> Result<Format<'_>, Error> {
    match value {
        Value::Null => Ok(Format::Free),
        Value::String(name) if name.is_empty() => Ok(Format::Free),
        Value::String(name) if name == "json" => Ok(Format::Json),
        Value::Object(_) => Ok(Format::Schema(value)),
        Value::String(_) | Value::Bool(_) | Value::Number(_) | Value::Array(_) => {
            let format = value.to_string();
            Err(Error::Format { format })
        }
    }
}

#[cfg(test)]
mod tests;
