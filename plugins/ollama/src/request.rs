//! Translates OpenAI's `POST /v1/chat/completions` to Ollama's `POST /api/chat`, and `POST /v1/completions` to
//! `POST /api/generate`.
//!
//! One pass over the body with borrowed values: texts go into Ollama's request as they are, with their escapes. What Ollama
//! cannot do is a 400 that names the parameter, or is left out and named in the response; it is never ignored silently.
//!
//! # Source
//! OpenAI API reference (document 2.3.0), "Create chat completion" and "Create completion"; Ollama source, `api/types.go` and `openai/openai.go`.

use serde_json::value::RawValue;
use sluicegate_openai_api::config::Streaming;
use sluicegate_openai_api::request::Endpoint;
use sluicegate_openai_api::request::dropped::Dropped;
use sluicegate_plugin::Fault;

use crate::config::{Overflow, Settings};

mod body;
mod check;
mod choice;
mod content;
mod forced;
mod message;
mod options;
mod parameters;
mod prompt;
mod thinking;
mod tools;
mod unmapped;
mod value;

use choice::Tools;
use parameters::Parameters;

use crate::response::Forced;

/// A request for Ollama, and what the response needs to know.
#[derive(Debug)]
pub struct Translated {
    /// The body.
    pub body: Vec<u8>,
    /// The model's name as JSON text.
    pub model: String,
    /// Whether the client asked for a stream.
    pub stream: bool,
    /// Whether Ollama was asked for a stream.
    pub upstream_stream: bool,
    /// Whether the client asked for usage in its stream.
    pub include_usage: bool,
    /// Whether the client does not want to see what the model thinks.
    pub hides_thoughts: bool,
    /// The call that the text becomes.
    pub forced: Option<Forced>,
    /// What comes before the text of a completion, as a JSON string.
    pub echo: Option<String>,
    /// Unknown parameters, which were left out.
    pub ignored: Vec<String>,
    /// Parameters that Ollama cannot do, which were left out.
    pub dropped: Dropped,
}

/// Translates a request.
///
/// # Errors
/// 400, which names the parameter.
pub fn translate(
    endpoint: Endpoint,
    body: &[u8],
    settings: &Settings,
) -> Result<Translated, Fault> {
    let body = body::read(body)?;
    let parameters = Parameters::read(endpoint, &body, settings)?;
    let is_chat = endpoint == Endpoint::Chat;
    let (text, is_there) = if is_chat {
        ("messages", body.messages.is_some())
    } else {
        ("prompt", parameters.prompt.is_given())
    };
    let Some(model) = parameters.model.filter(|_| is_there) else {
        return Err(missing(parameters.model, text));
    };
    let upstream_stream = parameters.stream || settings.stream == Streaming::Always;

    // Messages are most of a request; little is added.
    let mut out = String::with_capacity(body.length + 512);
    out.push_str("{\"model\":");
    out.push_str(model.get());
    // Always explicit: Ollama's default is the opposite of OpenAI's.
    out.push_str(if upstream_stream {
        ",\"stream\":true"
    } else {
        ",\"stream\":false"
    });
    if settings.overflow == Overflow::Error {
        out.push_str(",\"truncate\":false,\"shift\":false");
    }
    let forced = match &parameters.tools {
        Tools::Forced(forced) => Some(forced),
        Tools::None | Tools::Offered(_) => None,
    };
    match &body.messages {
        Some(messages) if is_chat => {
            out.push_str(",\"messages\":");
            let instruction = forced.map(|forced| &*forced.instruction);
            message::write_all(&mut out, messages, instruction)?;
        }
        Some(_) | None => parameters.prompt.write(&mut out),
    }
    parameters.write(&mut out, settings);
    out.push('}');

    Ok(Translated {
        body: out.into_bytes(),
        model: model.get().to_owned(),
        stream: parameters.stream,
        upstream_stream,
        include_usage: parameters.include_usage,
        hides_thoughts: parameters.thinking.is_hidden,
        forced: forced.map(|forced| forced.call.clone()),
        echo: parameters.prompt.echoed(),
        ignored: parameters.ignored,
        dropped: parameters.dropped,
    })
}

/// The fault of a request without a model's name, or without `text`.
fn missing(model: Option<&RawValue>, text: &str) -> Fault {
    let param = if model.is_some() { text } else { "model" };
    Fault::bad_request(format!(
        "Missing required parameter: `{param}`. `model` and `{text}` are required."
    ))
    .code("missing_required_parameter")
    .param(param)
}
