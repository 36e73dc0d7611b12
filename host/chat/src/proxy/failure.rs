//! What an error of the proxy means for the user: which layer broke, and whether waiting helps.

use std::time::Duration;

use hyper::HeaderMap;
use hyper::header;
use serde_json::Value;

use crate::wire::{Code, ErrorBody, Layer};

/// Longer messages of errors are cut: they are for logs.
const MESSAGE: usize = 500;

/// The media type without its parameters; empty if there is none.
pub(super) fn content_type(headers: &HeaderMap) -> &str {
    let value = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim()
}

/// The waiting time that a response asks for, if it is a number of seconds.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers
        .get(header::RETRY_AFTER)?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()
        .map(Duration::from_secs)
}

/// The error of a response with an error status.
pub(super) fn of_status(status: u16, body: &[u8], retry: Option<Duration>) -> ErrorBody {
    let (code, message) = read(body);
    let (kind, layer) = by_code(&code).unwrap_or_else(|| match status {
        // Other servers name the model in words, without this code.
        404 if message.to_ascii_lowercase().contains("model") => {
            (Code::ModelNotFound, Layer::Model)
        }
        _ => by_status(status, !message.is_empty()),
    });
    let message = if message.is_empty() {
        format!("the proxy responded with {status}")
    } else {
        message
    };
    build(kind, layer, &code, message, retry, status)
}

/// The error of an event in the middle of a stream; `error` is the value of that member.
pub(super) fn of_event(error: &str) -> ErrorBody {
    let (code, message) = read(format!("{{\"error\":{error}}}").as_bytes());
    let (kind, layer) = by_code(&code).unwrap_or((Code::UpstreamError, Layer::Model));
    let message = if message.is_empty() {
        "the answer ended with an error".to_owned()
    } else {
        message
    };
    build(kind, layer, &code, message, None, 0)
}

fn build(
    kind: Code,
    layer: Layer,
    code: &str,
    message: String,
    retry: Option<Duration>,
    status: u16,
) -> ErrorBody {
    let mut error = ErrorBody::new(kind, message).layer(layer);
    if kind.retryable() {
        error = match retry {
            Some(wait) => error.after(wait),
            None => error,
        };
    }
    // The same request would be refused again.
    if matches!(status, 300..=407 | 409..=424) || code == "plugin_fault" {
        error.retryable = false;
    }
    if !code.is_empty() {
        error = error.details(serde_json::json!({ "code": code }));
    }
    error
}

/// Code and message of an OpenAI error body, or of a similar one.
fn read(body: &[u8]) -> (String, String) {
    let Ok(json) = serde_json::from_slice::<Value>(body) else {
        return Default::default();
    };
    let error = &json["error"];
    let text = |value: &Value| {
        value
            .as_str()
            .map(|text| text.chars().take(MESSAGE).collect::<String>())
    };
    let message = text(error)
        .or_else(|| text(&error["message"]))
        .or_else(|| text(&json["message"]))
        .or_else(|| text(&json["detail"]))
        .unwrap_or_default();
    let code = text(&error["code"])
        .filter(|code| crate::id::plausible(code))
        .unwrap_or_default();
    (code, message)
}

/// Whether an error of the proxy with this code has a cause of its own on the page.
pub(crate) fn knows(code: &str) -> bool {
    by_code(code).is_some()
}

/// The proxy's codes and those of the plugins that ship with it: what failed, and in which layer.
fn by_code(code: &str) -> Option<(Code, Layer)> {
    Some(match code {
        "model_not_found" => (Code::ModelNotFound, Layer::Model),
        "context_length_exceeded" => (Code::ContextOverflow, Layer::Model),
        "circuit_open" | "breaker_open" => (Code::CircuitOpen, Layer::Proxy),
        "overloaded" | "shutting_down" | "version_drained" => (Code::Overloaded, Layer::Proxy),
        "upstream_busy" => (Code::Overloaded, Layer::Model),
        "rate_limit_exceeded" => (Code::RateLimited, Layer::Proxy),
        "body_too_large" => (Code::TooLarge, Layer::Proxy),
        "request_timeout" => (Code::UpstreamTimeout, Layer::Proxy),
        "upstream_unreachable" | "upstream_unavailable" => {
            (Code::UpstreamUnreachable, Layer::Model)
        }
        "upstream_timeout"
        | "upstream_connect_timeout"
        | "upstream_first_byte_timeout"
        | "upstream_idle_timeout"
        | "upstream_total_timeout"
        | "upstream_stalled" => (Code::UpstreamTimeout, Layer::Model),
        "upstream_broken" | "upstream_truncated" => (Code::StreamTruncated, Layer::Model),
        "upstream_invalid" => (Code::UpstreamInvalid, Layer::Model),
        "upstream_error" => (Code::UpstreamError, Layer::Model),
        "upstream_unauthorized" => (Code::UpstreamUnauthorized, Layer::Model),
        "upstream_configuration" => (Code::UpstreamConfiguration, Layer::Model),
        "invalid_api_key" => (Code::UpstreamUnauthorized, Layer::Proxy),
        "not_found" | "method_not_allowed" | "forbidden_host_or_origin" => {
            (Code::UpstreamConfiguration, Layer::Proxy)
        }
        "plugin_fault" | "internal" | "response_too_large" => (Code::UpstreamError, Layer::Proxy),
        "invalid_request"
        | "invalid_json"
        | "invalid_type"
        | "invalid_value"
        | "missing_required_parameter"
        | "unsupported_parameter"
        | "unsupported_value"
        | "model_not_available" => (Code::RequestRefused, Layer::Model),
        "refused" | "unsupported_coding" | "head_too_large" => (Code::RequestRefused, Layer::Proxy),
        _ => return None,
    })
}

/// The cause if the code is unknown: another server, or something in between. `told` says whether the response has a message:
/// then a server was reached.
fn by_status(status: u16, told: bool) -> (Code, Layer) {
    match status {
        300..=399 | 404 | 405 => (Code::UpstreamConfiguration, Layer::Proxy),
        401 | 403 | 407 => (Code::UpstreamUnauthorized, Layer::Proxy),
        408 => (Code::UpstreamTimeout, Layer::Proxy),
        413 => (Code::TooLarge, Layer::Proxy),
        429 => (Code::RateLimited, Layer::Proxy),
        400..=499 => (Code::RequestRefused, Layer::Model),
        502 if !told => (Code::UpstreamUnreachable, Layer::Model),
        503 => (Code::Overloaded, Layer::Model),
        504 => (Code::UpstreamTimeout, Layer::Model),
        500..=599 => (Code::UpstreamError, Layer::Model),
        _ => (Code::UpstreamInvalid, Layer::Proxy),
    }
}

#[cfg(test)]
mod tests;
