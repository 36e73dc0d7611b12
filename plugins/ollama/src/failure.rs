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

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;
use sluicegate_plugin::{Fault, without_internals};
use sluicegate_plugin::{json, log};

mod said;
mod shape;

use said::Said;

/// The code for a refusal of the gateway's own key.
const UNAUTHORIZED: &str = "upstream_unauthorized";

/// A longer text is a page or a dump, not a message for a person.
const MESSAGE_BYTES: usize = 1000;

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
        return Fault::upstream(
            "upstream_configuration",
            "The model server responded with a redirect. Check the upstream's address in the gateway's configuration.",
        );
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

/// A stream that ended without Ollama's `done`.
pub fn truncated() -> Fault {
    Fault::upstream(
        "upstream_truncated",
        "The model server ended its response before it was complete.",
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
            UNAUTHORIZED,
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
    let or = |default: &str| {
        let text = if text.is_empty() { default } else { text };
        text.to_owned()
    };
    match status {
        // It is about the gateway's key, not the client's: a 401 would mislead the client.
        401 | 403 | 407 => Fault::upstream(
            UNAUTHORIZED,
            "The model server, or a proxy before it, does not accept the gateway's own key. Check `key` of the upstream in \
             the gateway's configuration.",
        ),
        404 | 405 => Fault::upstream(
            "upstream_configuration",
            "There is no Ollama at the upstream's address: it does not know Ollama's paths. Check the address in the \
             gateway's configuration; it has no path of its own unless a proxy before Ollama asks for one.",
        ),
        413 => Fault::new(
            413,
            "body_too_large",
            or("The request is larger than the model server, or a proxy before it, accepts."),
        ),
        429 => Fault::new(
            429,
            "rate_limit_exceeded",
            or("The model server, or a proxy before it, has too many requests."),
        ),
        // Cloudflare uses 520 to 530 for a server that it cannot reach.
        408 | 502..=504 | 520..=530 => Fault::new(
            503,
            "upstream_unavailable",
            "A proxy before the model server cannot reach it at the moment.",
        ),
        400..=499 => Fault::bad_request(or(
            "The model server, or a proxy before it, does not accept this request.",
        ))
        .code("invalid_request"),
        _ => Fault::upstream(
            "upstream_error",
            or("The model server failed, and did not say why."),
        ),
    }
}

/// Whether a 403 is about the model: a model of Ollama's cloud that is disabled there, or needs a subscription.
fn is_about_the_cloud(text: &str) -> bool {
    text.starts_with("ollama cloud is disabled") || text.contains("requires a subscription")
}

/// Makes a text for the client, who is not the operator.
fn clipped(text: &str) -> String {
    let text = &text[..text.floor_char_boundary(MESSAGE_BYTES)];
    match without_internals(text) {
        Cow::Borrowed(text) => text.to_owned(),
        Cow::Owned(without) => {
            log::warn("the client gets a shortened message of the model server")
                .field("said", text)
                .write();
            without
        }
    }
}
