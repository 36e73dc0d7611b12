//! Maps a server's errors to OpenAI's: status, code and parameter.
//!
//! Servers agree on little: an error is an object, a text, or lies flat in the body; its `code` is a number or a word; its
//! status may be the one of the HTTP library. So known texts decide first ([`shape`]), then the server's own code, then the
//! status. The response may also come from a proxy before the server, with a page or JSON of its own. In that case only the
//! status decides.

use sluicegate_plugin::Fault;

pub mod http;
mod said;
mod shape;

pub use http::truncated;

use http::{clipped, unavailable};
use said::Said;

use crate::request::Endpoint;

/// The code of a path that the server does not know.
const UNKNOWN_PATH: &str = "upstream_configuration";

/// A response with a status of 300 or more.
pub fn of_response(endpoint: Option<Endpoint>, status: u16, body: &[u8]) -> Fault {
    if status < 400 {
        return http::redirected();
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

/// Whether a response of this status, which became this fault, says that the server does not know the path or its method.
pub(crate) fn is_unknown_path(status: u16, fault: &Fault) -> bool {
    matches!(status, 404 | 405 | 501) && fault.code == UNKNOWN_PATH
}

/// A server that gave the response up; another one may do better.
pub fn gave_up() -> Fault {
    unavailable("The model server stopped before its response was complete.")
}

/// An error without a word about its cause.
pub fn unexplained() -> Fault {
    http::failed("")
}

fn mapped(endpoint: Option<Endpoint>, status: u16, said: Said) -> Fault {
    if matches!(status, 401..=403 | 407) {
        return http::unauthorized();
    }
    if let Some(fault) = shape::fault(endpoint, status, &said) {
        return fault;
    }
    let text = clipped(&said.text);
    let fault = by_status(endpoint, status, &said, &text);
    let fault = match said.code {
        Some(code) if (400..500).contains(&status) && fault.status < 500 => fault.code(code),
        Some(_) | None => fault,
    };
    match said.param {
        Some(param) if fault.status < 500 && fault.param.is_none() => fault.param(param),
        Some(_) | None => fault,
    }
}

fn by_status(endpoint: Option<Endpoint>, status: u16, said: &Said, text: &str) -> Fault {
    let or = |default: &'static str| if text.is_empty() { default } else { text };
    match status {
        404 if said.is_own && said.is_about_a_model() => {
            Fault::not_found("model_not_found", or("The model does not exist.")).param("model")
        }
        404 | 405 | 501 => match endpoint {
            Some(endpoint @ (Endpoint::Completions | Endpoint::Embeddings)) => {
                unsupported(endpoint, status == 501)
            }
            Some(Endpoint::Chat) | None => Fault::upstream(
                UNKNOWN_PATH,
                "The model server does not know the path that it was asked. Check the upstream's address in the gateway's \
                 configuration, and the adapter's `prefix` if it has one.",
            ),
        },
        413 => http::too_large(text),
        429 => http::too_many(text),
        503 if said.is_own => Fault::new(503, "upstream_busy", or("The model server is busy.")),
        424 => http::unreachable(),
        _ if http::is_unreachable(status) => http::unreachable(),
        400..=499 => http::refused(text).code(said.kind_of_mistake()),
        _ => http::failed(text),
    }
}

fn unsupported(endpoint: Endpoint, by_model: bool) -> Fault {
    let what = match endpoint {
        Endpoint::Embeddings => "embeddings",
        Endpoint::Completions | Endpoint::Chat => "completions of a prompt",
    };
    if by_model {
        Fault::bad_request(format!("This model does not offer {what}."))
            .code("unsupported_value")
            .param("model")
    } else {
        Fault::not_found(
            "not_found",
            format!("The model server does not offer {what}."),
        )
    }
}
