//! Errors: in Anthropic's form, and those of this front.

use sluicegate_plugin::Fault;
use sluicegate_plugin::chat::Failure;
use sluicegate_plugin::json;

/// An error in Anthropic's form, with the status that goes with it. `body` is the canonical error.
#[must_use]
pub fn render(status: u16, body: &str, id: &str) -> (u16, String) {
    let (status, kind) = kind(status);
    let failure = Failure::read(body);
    let message = failure.as_ref().map_or("", |failure| &*failure.message);
    let message = match message {
        "" => "The request failed.",
        message => message,
    };
    let mut out = String::with_capacity(message.len() + id.len() + 96);
    out.push_str("{\"type\":\"error\",\"error\":{\"type\":\"");
    out.push_str(kind);
    out.push_str("\",\"message\":");
    json::push_str(&mut out, message);
    out.push_str("},\"request_id\":");
    json::push_str(&mut out, id);
    out.push('}');
    (status, out)
}

/// The type of an error, and its status. Clients know an overload by 529.
fn kind(status: u16) -> (u16, &'static str) {
    let kind = match status {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        408 | 504 => "timeout_error",
        503 | 529 => return (529, "overloaded_error"),
        500.. => "api_error",
        _ => "invalid_request_error",
    };
    (status, kind)
}

/// 502 `upstream_invalid`.
pub(crate) fn nonsense() -> Fault {
    let message = "The model server's response is not one of OpenAI's API.";
    Fault::upstream("upstream_invalid", message)
}

/// 502 `upstream_invalid`: a call that cannot be read.
pub(crate) fn broken_call() -> Fault {
    let message = "The model wrote a tool call whose arguments are not a JSON object.";
    Fault::upstream("upstream_invalid", message).field("x-should-retry", "false")
}

/// An error as an event of a stream that has no adapter before it: the gateway has no status for it.
pub(crate) fn of_stream(error: &Failure<'_>) -> Fault {
    let message = match &*error.message {
        "" => "The model server failed.",
        message => message,
    };
    Fault::upstream("upstream_error", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_its_type() {
        for (given, status, kind) in [
            (400, 400, "invalid_request_error"),
            (401, 401, "authentication_error"),
            (402, 402, "billing_error"),
            (403, 403, "permission_error"),
            (404, 404, "not_found_error"),
            (405, 405, "invalid_request_error"),
            (408, 408, "timeout_error"),
            (413, 413, "request_too_large"),
            (415, 415, "invalid_request_error"),
            (422, 422, "invalid_request_error"),
            (429, 429, "rate_limit_error"),
            (431, 431, "invalid_request_error"),
            (500, 500, "api_error"),
            (502, 502, "api_error"),
            (503, 529, "overloaded_error"),
            (504, 504, "timeout_error"),
            (529, 529, "overloaded_error"),
        ] {
            let body = r#"{"error":{"message":"No \"x\".","type":"t","param":null,"code":"c"}}"#;
            let expected = format!(
                r#"{{"type":"error","error":{{"type":"{kind}","message":"No \"x\"."}},"request_id":"req_1"}}"#
            );
            assert_eq!(render(given, body, "req_1"), (status, expected));
        }
    }

    #[test]
    fn what_is_no_canonical_error_is_not_shown() {
        for body in ["", "<p>Oh", "{}", r#"{"error":{"message":null}}"#] {
            let (_, error) = render(502, body, "r");
            assert!(error.contains("\"The request failed.\""), "{error}");
        }
    }
}
