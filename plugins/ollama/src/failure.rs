//! Maps Ollama's errors to OpenAI's: status, code and parameter.
//!
//! Ollama's error is a text, and its status is not always right: a bad option is a 500, and the model runner's own error may
//! be a JSON document inside that text. So the text decides first ([`shape`]), then the status.
//!
//! The response may also come from a proxy before Ollama, with a page or JSON of its own. In that case only the status
//! decides.
//!
//! # Source
//! Ollama source, `server/routes.go`, `server/sched.go`, `api/types.go`, `llm/server.go`.

use serde::Deserialize;
use serde_json::value::RawValue;
pub use sluicegate_openai_api::failure::http::truncated;
use sluicegate_openai_api::failure::http::{self, clipped};
use sluicegate_plugin::{Fault, json};

mod said;
mod shape;

use said::Said;

/// The body of an error: Ollama's `error`, or the words of a proxy.
#[derive(Default, Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    #[serde(borrow)]
    detail: Option<&'a RawValue>,
    #[serde(borrow)]
    message: Option<&'a RawValue>,
}

/// A response with a status of 300 or more.
pub fn of_response(status: u16, body: &[u8]) -> Fault {
    if status < 400 {
        return http::redirected();
    }
    if status == 403 && body.trim_ascii().is_empty() {
        return Fault::upstream(
            "upstream_configuration",
            "Ollama refused the gateway itself with an empty 403: it does not accept the Host or Origin that it was sent. \
             Let the upstream's address be one that Ollama knows as its own (such as 127.0.0.1 or localhost), or widen \
             OLLAMA_HOST and OLLAMA_ORIGINS.",
        );
    }
    let body: Body<'_> = serde_json::from_slice(body).unwrap_or_default();
    if let Some(error) = body.error {
        return of_error(status, error);
    }
    let said = body.detail.or(body.message);
    let text = said.and_then(json::text).unwrap_or_default();
    let text = clipped(text.trim());
    shape::fault(&text, None).unwrap_or_else(|| by_proxy(status, &text))
}

/// Maps the value of a member `error`. `status` is the status of the response; 502 in mid-stream.
pub fn of_error(status: u16, error: &RawValue) -> Fault {
    let said = Said::of(error);
    let status = match said.status {
        Some(code) if (400..=599).contains(&code) => code,
        Some(_) | None => status,
    };
    let text = clipped(said.text.trim());
    if text.is_empty() {
        return by_proxy(status, &text);
    }
    shape::fault(&text, said.kind.as_deref()).unwrap_or_else(|| by_status(status, text))
}

/// An invalid response.
pub fn nonsense() -> Fault {
    Fault::upstream(
        "upstream_invalid",
        "The model server's response is not what Ollama sends.",
    )
}

/// A model that was only loaded, or unloaded: what Ollama does with a request without messages, which this adapter never sends.
pub fn nothing_asked() -> Fault {
    Fault::upstream(
        "upstream_error",
        "Ollama only loaded or unloaded the model and generated nothing, as it does with a request without messages. \
         Look for what removes the messages between the gateway and Ollama.",
    )
}

/// Maps an error in Ollama's words by its status.
fn by_status(status: u16, text: String) -> Fault {
    match status {
        400 | 422 => Fault::bad_request(text).code("invalid_request"),
        401 => Fault::upstream(
            http::UNAUTHORIZED,
            format!("The model server is not signed in to the service behind this model: {text}"),
        ),
        403 if is_about_the_cloud(&text) => {
            Fault::new(403, "model_not_available", text).param("model")
        }
        503 => Fault::new(503, "upstream_busy", text),
        504 => Fault::new(504, "upstream_timeout", text),
        403 | 404 | 405 | 407 | 413 | 429 => by_proxy(status, &text),
        _ => Fault::upstream("upstream_error", text),
    }
}

/// Maps a response that is not Ollama's by its status. `text` is the proxy's message, or "".
fn by_proxy(status: u16, text: &str) -> Fault {
    match status {
        401 | 403 | 407 => http::unauthorized(),
        404 | 405 => Fault::upstream(
            "upstream_configuration",
            "There is no Ollama at the upstream's address: it does not know Ollama's paths. Check the address in the \
             gateway's configuration; it has no path of its own unless a proxy before Ollama asks for one.",
        ),
        413 => http::too_large(text),
        429 => http::too_many(text),
        _ if http::is_unreachable(status) => http::unreachable(),
        400..=499 => http::refused(text),
        _ => http::failed(text),
    }
}

/// Whether a 403 is about the model: a model of Ollama's cloud that is disabled there, or needs a subscription.
fn is_about_the_cloud(text: &str) -> bool {
    text.starts_with("ollama cloud is disabled") || text.contains("requires a subscription")
}
