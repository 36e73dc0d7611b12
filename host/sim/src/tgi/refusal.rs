//! TGI's errors: some as JSON, some as text, some inside of a stream with status 200. Pure.

use serde_json::{Value, json};

/// An error before it is known where it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The web framework could not read the body; plain text, always with this status.
    Body { status: u16, text: String },
    /// An error of the router; `early` ones are JSON even where a stream was asked for.
    Router {
        status: u16,
        text: String,
        kind: &'static str,
        early: bool,
    },
}

impl Refusal {
    /// A body of another form.
    pub(super) fn form(text: &str, column: usize) -> Self {
        Self::Body {
            status: 422,
            text: format!(
                "Failed to deserialize the JSON body into the target type: {text} at line 1 column {column}"
            ),
        }
    }

    pub(super) fn syntax(text: &str) -> Self {
        Self::Body {
            status: 400,
            text: format!("Failed to parse the request body as JSON: {text}"),
        }
    }

    pub(super) fn content_type() -> Self {
        Self::Body {
            status: 415,
            text: "Expected request with `Content-Type: application/json`".to_owned(),
        }
    }

    pub(super) fn too_large() -> Self {
        Self::Body {
            status: 413,
            text: "Failed to buffer the request body: length limit exceeded".to_owned(),
        }
    }

    pub(super) fn validation(text: &str) -> Self {
        Self::Router {
            status: 422,
            text: format!("Input validation error: {text}"),
            kind: "validation",
            early: false,
        }
    }

    pub(super) fn tool(text: &str) -> Self {
        Self::Router {
            status: 422,
            text: format!("Tool error: {text}"),
            kind: "tool_error",
            early: true,
        }
    }

    /// The failure of the process that has the model.
    pub(super) fn shard() -> Self {
        Self::Router {
            status: 424,
            text: "Request failed during generation: Server error: simulated, as the message asked"
                .to_owned(),
            kind: "generation",
            early: false,
        }
    }

    /// The death of the process that has the model.
    pub(super) fn dead_shard() -> Self {
        Self::Router {
            status: 424,
            text: "Request failed during generation: Server error: error trying to connect: Connection refused (os error 111)"
                .to_owned(),
            kind: "generation",
            early: false,
        }
    }

    /// An error of this status, as a message asked for it.
    pub(super) fn asked(status: u16) -> Self {
        let (text, kind) = match status {
            401 => {
                return Self::Body {
                    status,
                    text: String::new(),
                };
            }
            422 => return Self::validation("simulated, as the message asked"),
            424 => return Self::shard(),
            429 => ("Model is overloaded".to_owned(), "overloaded"),
            500 => ("Incomplete generation".to_owned(), "incomplete_generation"),
            503 => ("unhealthy".to_owned(), "healthcheck"),
            _ => {
                let text = format!("simulated error {status}, as the message asked");
                return Self::Body { status, text };
            }
        };
        Self::Router {
            status,
            text,
            kind,
            early: status == 503,
        }
    }

    /// The JSON of the native API.
    pub(super) fn document(text: &str, kind: &str) -> Value {
        json!({"error": text, "error_type": kind})
    }

    /// The event of the routes that are like OpenAI's. Its code is that of a mistake whatever the cause.
    pub(super) fn event(text: &str) -> Value {
        json!({"error": {"message": text, "http_status_code": 422}})
    }
}
