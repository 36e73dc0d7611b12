//! vLLM's errors, in their several shapes. Pure.

use serde_json::{Value, json};

/// An error response.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

impl Refusal {
    fn of(status: u16, kind: &str, message: &str, param: Option<&str>) -> Self {
        Self {
            status,
            body: json!({"error": {"message": message, "type": kind, "param": param, "code": status}}),
        }
    }

    /// A value that a check of vLLM's own refuses.
    pub(super) fn bad(message: &str, param: Option<&str>) -> Self {
        Self::of(400, "BadRequestError", message, param)
    }

    /// A value that a check of vLLM's own refuses, which names parameter and value in the text too.
    pub(super) fn value(message: &str, param: &str, value: &str) -> Self {
        let message = format!("{message} (parameter={param}, value={value})");
        Self::bad(&message, Some(param))
    }

    /// A body that is not of the expected form: one complaint, or one for each form that was tried.
    ///
    /// # Shape
    /// Each complaint is its kind, the rest of its place behind `body`, its text, and the value as vLLM prints it.
    pub(super) fn invalid(complaints: &[(&str, &str, &str, &str)]) -> Self {
        let count = complaints.len();
        let plural = if count == 1 { "" } else { "s" };
        let mut message = format!("{count} validation error{plural}:");
        for (kind, place, text, input) in complaints {
            let text = if text.contains('\'') {
                format!("\"{text}\"")
            } else {
                format!("'{text}'")
            };
            message.push_str(&format!(
                "\n  {{'type': '{kind}', 'loc': 'body{place}', 'msg': {text}, 'input': '{input}'}}"
            ));
        }
        let place = complaints.first().map_or("", |(_, place, ..)| place);
        Self::of(400, "Bad Request", &message, Some(&format!("body{place}")))
    }

    /// A body without `application/json`.
    pub(super) fn content_type() -> Self {
        let message =
            "1 validation error:\n  Unsupported Media Type: Only 'application/json' is allowed";
        Self::of(400, "Bad Request", message, None)
    }

    pub(super) fn no_model(name: &str) -> Self {
        let message = format!("The model `{name}` does not exist.");
        Self::of(404, "NotFoundError", &message, Some("model"))
    }

    /// The web framework's own form.
    pub(super) fn detail(status: u16, text: &str) -> Self {
        Self {
            status,
            body: json!({"detail": text}),
        }
    }

    pub(super) fn unauthorized() -> Self {
        Self {
            status: 401,
            body: json!({"error": "Unauthorized"}),
        }
    }

    /// The failure of the engine, before or in the middle of an answer.
    pub(super) fn engine() -> Self {
        let message =
            "EngineCore encountered an issue. See stack trace (above) for the root cause.";
        Self::of(500, "InternalServerError", message, None)
    }

    /// An error of this status, as a message asked for it.
    pub(super) fn asked(status: u16) -> Self {
        match status {
            401 => Self::unauthorized(),
            405 => Self::detail(405, "Method Not Allowed"),
            500 => Self::engine(),
            503 => {
                let message = "The engine is currently busy and cannot accept new requests. Please try again later or on a \
                               different instance.";
                Self::of(503, "Service Unavailable", message, None)
            }
            _ => {
                let message = format!("simulated error {status}, as the message asked");
                let kind = if status < 500 {
                    "BadRequestError"
                } else {
                    "InternalServerError"
                };
                Self::of(status, kind, &message, None)
            }
        }
    }
}
