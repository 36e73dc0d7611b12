//! Decides how a request that was decoded is answered, with Ollama's checks. Pure.

use serde_json::Value;

use super::catalog;
use super::options;
use super::request::{self, Request};
use super::stream::Form;
use crate::answer::{self, Asked, Choice, Chunk, Decision, Format};
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
    #[error("\"{name}\" does not support {what}")]
    NoText { name: String, what: &'static str },
    #[error("registry.ollama.ai/library/{name} does not support insert")]
    NoInsert { name: String },
    #[error("logprobs is not supported with tools + stream")]
    LogprobsOfTools,
    #[error(transparent)]
    Request(#[from] request::Error),
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
            Self::ModelRequired
            | Self::NoThinking { .. }
            | Self::NoText { .. }
            | Self::NoInsert { .. }
            | Self::LogprobsOfTools
            | Self::Request(_) => 400,
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
pub(super) fn decide(
    request: &Request,
    model: &Model,
    form: Form,
    seed: u64,
) -> Result<Decided, Error> {
    if !model.can("completion") {
        let name = request.model.clone();
        let what = match form {
            Form::Chat => "chat",
            Form::Completion { .. } => "generate",
        };
        return Err(Error::NoText { name, what });
    }
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
    if request.logprobs.is_some() && !request.tools.is_empty() {
        return Err(Error::LogprobsOfTools);
    }
    let has_both = !request.tools.is_empty() && !matches!(format, Format::Free);
    let mut decision = answer::answer(&Asked {
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
    if let Decision::Text(generation) = &mut decision {
        if has_both {
            // The form is one of a call, so that nothing of it is a content.
            generation
                .chunks
                .retain(|chunk| !matches!(chunk, Chunk::Content(_)));
        }
        if form != Form::Chat {
            with_thoughts_inside(&mut generation.chunks);
        }
    }
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

/// Makes thoughts a part of the content, between their tags.
fn with_thoughts_inside(chunks: &mut Vec<Chunk>) {
    let mut thinks = false;
    let mut inside = Vec::with_capacity(chunks.len() + 2);
    for chunk in chunks.drain(..) {
        let is_thought = matches!(chunk, Chunk::Thinking(_));
        if is_thought != thinks {
            let tag = if is_thought {
                "<think>\n"
            } else {
                "\n</think>\n\n"
            };
            inside.push(Chunk::Content(tag.to_owned()));
            thinks = is_thought;
        }
        inside.push(match chunk {
            Chunk::Thinking(text) => Chunk::Content(text),
            other @ (Chunk::Content(_) | Chunk::Calls(_) | Chunk::Broken { .. }) => other,
        });
    }
    *chunks = inside;
}

#[cfg(test)]
mod tests;
