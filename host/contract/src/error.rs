//! An error in the form that clients and stages see.

use serde::Serialize;

/// The error as a JSON document in the form that OpenAI clients parse.
///
/// # Shape
/// `{"error":{"message","type","param","code"}}`; all four members are always there, `param` may be null. `type` follows from
/// `status`.
///
/// # Source
/// OpenAI API reference, "Error codes" and the `Error` schema (document 2.3.0).
#[must_use]
pub fn error_body(status: u16, code: &str, message: &str, param: Option<&str>) -> String {
    #[derive(Serialize)]
    struct Body<'a> {
        error: Member<'a>,
    }
    #[derive(Serialize)]
    struct Member<'a> {
        message: &'a str,
        r#type: &'static str,
        param: Option<&'a str>,
        code: &'a str,
    }
    let body = Body {
        error: Member {
            message,
            r#type: error_type(status),
            param,
            code,
        },
    };
    serde_json::to_string(&body).expect("strings always serialise")
}

/// The `type` member that goes with a status.
const fn error_type(status: u16) -> &'static str {
    match status {
        403 => "permission_error",
        429 => "rate_limit_error",
        400..=499 => "invalid_request_error",
        _ => "server_error",
    }
}
