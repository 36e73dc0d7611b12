//! What an error of the proxy means for the user: which layer broke, and whether waiting helps.

use std::time::Duration;

use hyper::HeaderMap;
use hyper::header;
use serde_json::Value;

use crate::chat::wire::{Code, ErrorBody, Layer};

/// A message in an error is cut here: it is for logs.
const MESSAGE: usize = 500;

/// The media type without its parameters; empty if there is none.
pub(super) fn content_type(headers: &HeaderMap) -> &str {
    let value = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim()
}

/// The waiting time that an answer asks for, if it is a number of seconds.
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

/// An answer with an error status.
pub(super) fn of_status(status: u16, body: &[u8], retry: Option<Duration>) -> ErrorBody {
    let (code, message) = read(body);
    let (kind, layer) = by_code(&code).unwrap_or_else(|| by_status(status));
    let message = if message.is_empty() {
        format!("the proxy answered {status}")
    } else {
        message
    };
    build(kind, layer, &code, message, retry, status)
}

/// An error event in the middle of a stream: the value of its `error`.
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
    if matches!(status, 400..=407 | 409..=424) || code == "plugin_fault" {
        error.retryable = false;
    }
    if !code.is_empty() {
        error = error.details(serde_json::json!({ "code": code }));
    }
    error
}

/// Code and message of an OpenAI error body, or of one of its relatives.
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
        .unwrap_or_default();
    let code = text(&error["code"])
        .filter(|code| crate::chat::id::plausible(code))
        .unwrap_or_default();
    (code, message)
}

/// The proxy's codes, and those of OpenAI that adapters produce.
fn by_code(code: &str) -> Option<(Code, Layer)> {
    Some(match code {
        "model_not_found" => (Code::ModelNotFound, Layer::Model),
        "context_length_exceeded" => (Code::ContextOverflow, Layer::Model),
        "circuit_open" | "breaker_open" => (Code::CircuitOpen, Layer::Proxy),
        "overloaded" => (Code::Overloaded, Layer::Proxy),
        "upstream_unreachable" => (Code::UpstreamUnreachable, Layer::Model),
        "upstream_connect_timeout"
        | "upstream_first_byte_timeout"
        | "upstream_idle_timeout"
        | "upstream_total_timeout" => (Code::UpstreamTimeout, Layer::Model),
        "upstream_broken" | "upstream_truncated" => (Code::StreamTruncated, Layer::Model),
        "upstream_invalid" => (Code::UpstreamError, Layer::Model),
        "plugin_fault" | "internal" | "not_found" | "method_not_allowed" | "invalid_api_key" => {
            (Code::UpstreamError, Layer::Proxy)
        }
        "body_too_large" => (Code::TooLarge, Layer::Proxy),
        "rate_limit_exceeded" => (Code::RateLimited, Layer::Proxy),
        _ => return None,
    })
}

fn by_status(status: u16) -> (Code, Layer) {
    match status {
        404 => (Code::ModelNotFound, Layer::Model),
        413 => (Code::TooLarge, Layer::Proxy),
        429 => (Code::RateLimited, Layer::Proxy),
        503 => (Code::Overloaded, Layer::Model),
        502 => (Code::UpstreamUnreachable, Layer::Model),
        504 => (Code::UpstreamTimeout, Layer::Model),
        400 | 422 | 500..=599 => (Code::UpstreamError, Layer::Model),
        _ => (Code::UpstreamError, Layer::Proxy),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_is_blamed_on_its_layer() {
        let cases = [
            (
                404,
                r#"{"error":{"message":"m","code":"model_not_found"}}"#,
                Code::ModelNotFound,
                Layer::Model,
                false,
            ),
            (
                400,
                r#"{"error":{"code":"context_length_exceeded"}}"#,
                Code::ContextOverflow,
                Layer::Model,
                false,
            ),
            (
                400,
                r#"{"error":{"message":"bad","code":null}}"#,
                Code::UpstreamError,
                Layer::Model,
                false,
            ),
            (
                401,
                r#"{"error":"Unauthorized"}"#,
                Code::UpstreamError,
                Layer::Proxy,
                false,
            ),
            (
                401,
                r#"{"error":{"code":"invalid_api_key"}}"#,
                Code::UpstreamError,
                Layer::Proxy,
                false,
            ),
            (302, "", Code::UpstreamError, Layer::Proxy, true),
            (413, "", Code::TooLarge, Layer::Proxy, false),
            (429, "", Code::RateLimited, Layer::Proxy, true),
            (500, "<html>", Code::UpstreamError, Layer::Model, true),
            (
                502,
                r#"{"error":{"code":"upstream_unreachable"}}"#,
                Code::UpstreamUnreachable,
                Layer::Model,
                true,
            ),
            (
                502,
                r#"{"error":{"code":"plugin_fault"}}"#,
                Code::UpstreamError,
                Layer::Proxy,
                false,
            ),
            (502, "", Code::UpstreamUnreachable, Layer::Model, true),
            (
                503,
                r#"{"error":{"code":"circuit_open"}}"#,
                Code::CircuitOpen,
                Layer::Proxy,
                true,
            ),
            (
                503,
                r#"{"error":{"code":"overloaded"}}"#,
                Code::Overloaded,
                Layer::Proxy,
                true,
            ),
            (503, "", Code::Overloaded, Layer::Model, true),
            (
                504,
                r#"{"error":{"code":"upstream_idle_timeout"}}"#,
                Code::UpstreamTimeout,
                Layer::Model,
                true,
            ),
            (504, "", Code::UpstreamTimeout, Layer::Model, true),
        ];
        for (status, body, code, layer, retryable) in cases {
            let error = of_status(status, body.as_bytes(), None);
            assert_eq!(
                (error.code, error.layer, error.retryable),
                (code, layer, retryable),
                "{status} {body}"
            );
        }
    }

    #[test]
    fn the_waiting_time_is_passed_on() {
        let mut headers = HeaderMap::new();
        headers.insert(
            header::RETRY_AFTER,
            hyper::header::HeaderValue::from_static("8"),
        );
        let error = of_status(503, b"{}", retry_after(&headers));
        assert_eq!(error.retry_after_ms, Some(8_000));
        headers.insert(
            header::RETRY_AFTER,
            hyper::header::HeaderValue::from_static("Fri, 31 Dec 1999 23:59:59 GMT"),
        );
        assert_eq!(retry_after(&headers), None);
    }

    #[test]
    fn media_types_lose_their_parameters() {
        let mut headers = HeaderMap::new();
        assert_eq!(content_type(&headers), "");
        headers.insert(
            header::CONTENT_TYPE,
            hyper::header::HeaderValue::from_static("text/event-stream; charset=utf-8"),
        );
        assert_eq!(content_type(&headers), "text/event-stream");
    }
}
