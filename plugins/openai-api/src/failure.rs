//! Maps a server's errors to OpenAI's: status, code and parameter.
//!
//! Servers agree on little: an error is an object, a text, or lies flat in the body; its `code` is a number or a word; its
//! status may be the one of the HTTP library. So known texts decide first ([`shape`]), then the server's own code, then the
//! status. The response may also come from a proxy before the server, with a page or JSON of its own. In that case only the
//! status decides.

use std::borrow::Cow;

use sluicegate_plugin::{Fault, log, without_internals};

mod said;
mod shape;

use said::Said;

use crate::request::Endpoint;

/// The code for a refusal of the gateway's own key.
const UNAUTHORIZED: &str = "upstream_unauthorized";

/// A longer text is a page or a dump, not a message for a person.
const MESSAGE_BYTES: usize = 1000;

/// A response with a status of 300 or more.
pub fn of_response(endpoint: Option<Endpoint>, status: u16, body: &[u8]) -> Fault {
    if status < 400 {
        return Fault::upstream(
            "upstream_configuration",
            "The model server responded with a redirect. Check the upstream's address in the gateway's configuration.",
        );
    }
    mapped(
        endpoint,
        status,
        Said::of(status, &String::from_utf8_lossy(body)),
    )
}

/// An error in mid-stream, the data of an event.
pub fn of_event(data: &str) -> Fault {
    let said = Said::of(500, data);
    mapped(None, said.status_of_event(), said)
}

/// An invalid response.
pub fn nonsense() -> Fault {
    Fault::upstream(
        "upstream_invalid",
        "The model server's response is not what OpenAI's API defines.",
    )
}

/// A response that ended too early.
pub fn truncated() -> Fault {
    Fault::upstream(
        "upstream_truncated",
        "The model server ended its response before it was complete.",
    )
}

/// A server that gave the response up; another one may do better.
pub fn gave_up() -> Fault {
    unavailable("The model server stopped before its response was complete.")
}

/// An error without a word about its cause.
pub fn unexplained() -> Fault {
    Fault::upstream(
        "upstream_error",
        "The model server failed, and did not say why.",
    )
}

fn unavailable(message: &str) -> Fault {
    Fault::new(503, "upstream_unavailable", message)
}

fn mapped(endpoint: Option<Endpoint>, status: u16, said: Said) -> Fault {
    // It is about the gateway's key, not the client's: a 401 would mislead the client.
    if matches!(status, 401..=403 | 407) {
        return Fault::upstream(
            UNAUTHORIZED,
            "The model server, or a proxy before it, does not accept the gateway's own key. Check `key` of the upstream in \
             the gateway's configuration.",
        );
    }
    if let Some(fault) = shape::fault(endpoint, status, &said) {
        return fault;
    }
    let text = clipped(&said.text);
    let fault = by_status(endpoint, status, &said, text);
    let fault = match said.code {
        Some(code) if (400..500).contains(&status) && fault.status < 500 => fault.code(code),
        Some(_) | None => fault,
    };
    match said.param {
        Some(param) if fault.status < 500 && fault.param.is_none() => fault.param(param),
        Some(_) | None => fault,
    }
}

fn by_status(endpoint: Option<Endpoint>, status: u16, said: &Said, text: String) -> Fault {
    let is_silent = text.is_empty();
    let or = |default: &str| if is_silent { default.to_owned() } else { text };
    match status {
        404 if said.is_own && said.is_about_a_model() => {
            Fault::not_found("model_not_found", or("The model does not exist.")).param("model")
        }
        404 | 405 | 501 => match endpoint {
            Some(endpoint @ (Endpoint::Completions | Endpoint::Embeddings)) => {
                unsupported(endpoint, status == 501)
            }
            Some(Endpoint::Chat) | None => Fault::upstream(
                "upstream_configuration",
                "The model server does not know the path that it was asked. Check the upstream's address in the gateway's \
                 configuration, and the adapter's `prefix` if it has one.",
            ),
        },
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
        503 if said.is_own => Fault::new(503, "upstream_busy", or("The model server is busy.")),
        // Cloudflare uses 520 to 530 for a server that it cannot reach.
        408 | 424 | 502..=504 | 520..=530 => {
            unavailable("A proxy before the model server cannot reach it at the moment.")
        }
        400..=499 => Fault::bad_request(or(
            "The model server, or a proxy before it, does not accept this request.",
        ))
        .code(said.kind_of_mistake()),
        _ => Fault::upstream(
            "upstream_error",
            or("The model server failed, and did not say why."),
        ),
    }
}

fn unsupported(endpoint: Endpoint, by_model: bool) -> Fault {
    let what = match endpoint {
        Endpoint::Embeddings => "embeddings",
        Endpoint::Completions | Endpoint::Chat => "completions of a prompt",
    };
    let who = if by_model {
        "This model"
    } else {
        "The model server"
    };
    Fault::bad_request(format!("{who} does not offer {what}."))
        .code("unsupported_value")
        .param("model")
}

/// Makes a text for the client, who is not the operator.
fn clipped(text: &str) -> String {
    let text = text[..text.floor_char_boundary(MESSAGE_BYTES)].trim();
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
