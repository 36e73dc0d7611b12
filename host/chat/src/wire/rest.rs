//! Bodies of the REST API that are not also payloads of the socket.

use serde::{Deserialize, Serialize};

use super::ErrorBody;
use super::message::Message;
use super::params::{Options, Sent};
use super::user::User;

/// Body of `POST /api/v1/login`: one of the two.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Login {
    /// The one-time code from the link.
    #[serde(default)]
    pub code: Option<String>,
    /// A token.
    #[serde(default)]
    pub token: Option<String>,
}

/// Response to `POST /api/v1/login`, beside the cookie.
#[derive(Debug, Serialize)]
pub(crate) struct LoggedIn {
    /// Who is logged in.
    pub user: User,
    /// The second secret, which the page keeps in `localStorage` and sends in `hello` and as `x-sluice-bind`.
    pub bind: String,
    /// Milliseconds since 1970; extended by use.
    pub expires_at: u64,
}

/// Response to `GET /api/v1/me`.
#[derive(Debug, Serialize)]
pub(crate) struct Me {
    /// Who is logged in.
    pub user: User,
    /// Hash of all page files.
    pub build: String,
}

/// Response to `POST /api/v1/login-codes`: a link for another browser.
#[derive(Debug, Serialize)]
pub(crate) struct LoginCode {
    /// The link with its one-time code.
    pub link: String,
    /// Milliseconds since 1970.
    pub expires_at: u64,
}

/// One login or token of the user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct TokenLine {
    /// `tok_…`, not the secret.
    pub id: String,
    /// `browser` or `program`.
    pub kind: String,
    /// What the user called it.
    pub label: String,
    /// Whether it is the one of this request.
    pub current: bool,
    /// Milliseconds since 1970.
    pub created_at: u64,
    /// Milliseconds since 1970.
    pub last_used_at: u64,
}

/// Response to `GET /api/v1/tokens`.
#[derive(Debug, Serialize)]
pub(crate) struct Tokens {
    /// Latest first.
    pub tokens: Vec<TokenLine>,
}

/// Body of `POST /api/v1/tokens`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewToken {
    /// What to call it, 1 to 64 characters.
    pub label: String,
}

/// Response to `POST /api/v1/tokens`. The secret is shown only here.
#[derive(Debug, Serialize)]
pub(crate) struct TokenMade {
    /// `tok_…`.
    pub id: String,
    /// For `Authorization: Bearer`.
    pub secret: String,
}

/// Body of `POST /api/v1/sessions/{id}/messages`, for programs.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PostMessage {
    /// The text of the message.
    pub text: String,
    /// Respond with a stream of the socket's frames (SSE) instead of one JSON document at the end.
    #[serde(default)]
    pub stream: bool,
    /// Another model for this answer only.
    #[serde(default)]
    pub model: Option<String>,
    /// The model's parameters.
    #[serde(default)]
    pub options: Options,
}

/// Response to `POST /api/v1/sessions/{id}/messages` without `stream`.
#[derive(Debug, Serialize)]
pub(crate) struct Answered {
    /// The ids.
    #[serde(flatten)]
    pub sent: Sent,
    /// The answer; absent when the message only waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<Message>,
}

/// Every REST error.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Failed {
    /// What went wrong.
    pub error: ErrorBody,
}

/// Response to `GET /api/v1/usage`.
#[derive(Debug, Serialize)]
pub(crate) struct UsageReport {
    /// One line per day and model, earliest first.
    pub days: Vec<UsageDay>,
}

/// The user's use of a model on one day.
#[derive(Debug, Serialize)]
pub(crate) struct UsageDay {
    /// `2026-07-31`, UTC.
    pub day: String,
    /// The model.
    pub model: String,
    /// Runs.
    pub runs: u64,
    /// Tokens read.
    #[serde(rename = "in")]
    pub input: u64,
    /// Tokens written.
    pub out: u64,
}
