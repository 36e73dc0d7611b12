//! The sub-protocol `sluice.v1`: every frame that crosses the WebSocket, as serde types.
//!
//! This module has the shapes only. What a frame does is decided in `socket`, `session` and `rest`.
//! A client sends `req` frames and gets exactly one `res` for each. The server also sends `event` frames with a position in a
//! session, `delta` frames with a position in a run, and a few notices about the current state (`system`, `sessions.changed`,
//! `position`, `tick`, `bye`).

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

pub(crate) mod debug;
pub(crate) mod event;
pub(crate) mod message;
pub(crate) mod params;
pub(crate) mod rest;
pub(crate) mod session;
pub(crate) mod user;

/// The name of this protocol in `Sec-WebSocket-Protocol`.
pub(crate) const SUBPROTOCOL: &str = "sluice.v1";

/// The only version of the protocol that this build speaks.
pub(crate) const VERSION: u32 = 1;

/// A frame from the client, before its parameters are read.
///
/// # Shape
/// `{"type":"req","id":"7","method":"chat.send","params":{…}}`. `id` is chosen by the client and returned in the response; it
/// has at most 64 bytes. `params` may be absent.
#[derive(Debug, Deserialize)]
pub(crate) struct Request<'a> {
    /// Always `req`.
    #[serde(rename = "type", borrow)]
    pub kind: Cow<'a, str>,
    /// The client's id of this request.
    #[serde(borrow)]
    pub id: Cow<'a, str>,
    /// One of the names in [`Method`].
    #[serde(borrow)]
    pub method: Cow<'a, str>,
    /// The parameters of that method, read once the method is known.
    #[serde(borrow, default)]
    pub params: Option<&'a RawValue>,
}

/// What a client can ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, Serialize)]
pub(crate) enum Method {
    /// Opens the connection; must be the first frame.
    #[serde(rename = "hello")]
    Hello,
    /// A probe with an immediate response.
    #[serde(rename = "ping")]
    Ping,
    /// Says whether the page is visible.
    #[serde(rename = "visible")]
    Visible,
    /// The list of sessions, or a search in them.
    #[serde(rename = "sessions.list")]
    SessionsList,
    /// One session's summary and settings.
    #[serde(rename = "sessions.get")]
    SessionsGet,
    /// Creates an empty session.
    #[serde(rename = "sessions.create")]
    SessionsCreate,
    /// Changes title, model, system prompt, pin or archive mark.
    #[serde(rename = "sessions.patch")]
    SessionsPatch,
    /// Soft delete.
    #[serde(rename = "sessions.delete")]
    SessionsDelete,
    /// Undoes a soft delete.
    #[serde(rename = "sessions.restore")]
    SessionsRestore,
    /// Marks the answers up to a position as seen.
    #[serde(rename = "sessions.read")]
    SessionsRead,
    /// Watches a session, from a position if one is given.
    #[serde(rename = "sub")]
    Sub,
    /// Stops watching.
    #[serde(rename = "unsub")]
    Unsub,
    /// Older messages of a branch.
    #[serde(rename = "messages.page")]
    MessagesPage,
    /// One message as it is stored, or with its text so far.
    #[serde(rename = "messages.get")]
    MessagesGet,
    /// A new message, a branch by edit, or a command such as `/debug`.
    #[serde(rename = "chat.send")]
    ChatSend,
    /// Another answer to the same question.
    #[serde(rename = "chat.regenerate")]
    ChatRegenerate,
    /// More of an answer that was cut off.
    #[serde(rename = "chat.continue")]
    ChatContinue,
    /// Stops a run.
    #[serde(rename = "chat.stop")]
    ChatStop,
    /// Removes a waiting message.
    #[serde(rename = "chat.queue.remove")]
    ChatQueueRemove,
    /// Moves a waiting message.
    #[serde(rename = "chat.queue.move")]
    ChatQueueMove,
    /// Shows another branch.
    #[serde(rename = "branch.select")]
    BranchSelect,
    /// Ranges of coloured code.
    #[serde(rename = "code.highlight")]
    CodeHighlight,
    /// The models that can be chosen.
    #[serde(rename = "models.list")]
    ModelsList,
    /// A command that is not stored: `debug`.
    #[serde(rename = "cmd")]
    Cmd,
}

impl Method {
    /// Finds the method with this name.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        Self::deserialize(serde::de::value::StrDeserializer::<serde::de::value::Error>::new(name))
            .ok()
    }
}

/// The response to a request.
///
/// # Shape
/// `{"type":"res","id":"7","ok":true,"payload":{…}}` or `{"type":"res","id":"7","ok":false,"error":{…}}`.
#[derive(Debug, Serialize)]
pub(crate) struct Response<'a, T> {
    #[serde(rename = "type")]
    kind: &'static str,
    id: &'a str,
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<T>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a ErrorBody>,
}

/// The text of a `res` frame that carries a payload.
pub(crate) fn ok<T: Serialize>(id: &str, payload: &T) -> String {
    text(&Response {
        kind: "res",
        id,
        ok: true,
        payload: Some(payload),
        error: None,
    })
}

/// The text of a `res` frame up to its payload, which is its last member.
pub(crate) fn ok_until_payload(id: &str) -> String {
    let id = text(&id);
    format!(r#"{{"type":"res","id":{id},"ok":true,"payload":"#)
}

/// The text of a `res` frame that carries an error.
pub(crate) fn fail(id: &str, error: &ErrorBody) -> String {
    text(&Response::<()> {
        kind: "res",
        id,
        ok: false,
        payload: None,
        error: Some(error),
    })
}

/// The JSON text of one of our frames.
pub(crate) fn text<T: Serialize>(frame: &T) -> String {
    serde_json::to_string(frame).expect("our own frames have string keys and no failing serializer")
}

/// The layer of the chain that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Layer {
    /// This web gateway.
    Gateway,
    /// The proxy in front of the model server.
    Proxy,
    /// The model server itself.
    Model,
}

/// Why a request or a run failed. The page chooses its text by this code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum Code {
    /// The frame or its parameters are invalid.
    BadFrame,
    /// No common protocol version.
    UnsupportedVersion,
    /// No valid login.
    Unauthenticated,
    /// Logged in, but not allowed.
    Forbidden,
    /// No such session, message or run for this user.
    NotFound,
    /// The session has changed meanwhile.
    LeafChanged,
    /// The session is busy and the client asked not to queue.
    RunActive,
    /// More text or bytes than allowed.
    TooLarge,
    /// Too many messages or requests; wait.
    RateLimited,
    /// Too many messages wait already.
    QueueFull,
    /// The gateway is at its limit.
    Overloaded,
    /// The gateway is stopping.
    ShuttingDown,
    /// The database does not answer.
    StoreUnavailable,
    /// No connection to the proxy, or from it to the model server.
    UpstreamUnreachable,
    /// Connected, but no response in time.
    UpstreamTimeout,
    /// The proxy or the model server responded with an error.
    UpstreamError,
    /// The response of the proxy or the model server is invalid.
    UpstreamInvalid,
    /// The proxy does not accept the gateway's key, or the model server does not accept the proxy's.
    UpstreamUnauthorized,
    /// The address of the proxy or of the model server is wrong, or requests under that address are refused.
    UpstreamConfiguration,
    /// The proxy or the model server refuses this request, and would refuse it again.
    RequestRefused,
    /// There is no such model.
    ModelNotFound,
    /// The conversation is longer than the model can read.
    ContextOverflow,
    /// The proxy has stopped calling the model server for a while.
    CircuitOpen,
    /// The answer broke off.
    StreamTruncated,
    /// A bug in the gateway.
    Internal,
}

/// Every error has this shape, in frames, in REST responses and in failed runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ErrorBody {
    /// What to tell the user.
    pub code: Code,
    /// Which layer failed.
    pub layer: Layer,
    /// A sentence for logs; the page has its own words.
    pub message: String,
    /// Whether the same request can succeed later.
    pub retryable: bool,
    /// How long to wait first, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// The request that the error is about, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// More, depending on the code; for example `{"leaf":"msg_…"}` with `LEAF_CHANGED`.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub details: serde_json::Value,
}

impl ErrorBody {
    /// An error of the gateway itself, retryable as its code says.
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            layer: Layer::Gateway,
            message: message.into(),
            retryable: code.retryable(),
            retry_after_ms: None,
            request_id: None,
            details: serde_json::Value::Null,
        }
    }

    /// The same error, blamed on another layer.
    pub(crate) fn layer(mut self, layer: Layer) -> Self {
        self.layer = layer;
        self
    }

    /// The same error with a waiting time.
    pub(crate) fn after(mut self, wait: std::time::Duration) -> Self {
        self.retry_after_ms = Some(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1));
        self
    }

    /// The same error with details.
    pub(crate) fn details(mut self, details: serde_json::Value) -> Self {
        self.details = details;
        self
    }

    /// The same error, about this request.
    pub(crate) fn request(mut self, id: &str) -> Self {
        self.request_id = Some(id.to_owned());
        self
    }
}

/// The error for something that does not exist, or belongs to another user.
pub(crate) fn not_found(what: &str) -> ErrorBody {
    ErrorBody::new(Code::NotFound, format!("no such {what}"))
}

/// The error for an invalid parameter.
pub(crate) fn bad_param(param: &str, message: &str) -> ErrorBody {
    ErrorBody::new(Code::BadFrame, message).details(serde_json::json!({ "param": param }))
}

impl Code {
    /// Whether trying again later can help.
    pub(crate) fn retryable(self) -> bool {
        match self {
            Self::BadFrame
            | Self::UnsupportedVersion
            | Self::Unauthenticated
            | Self::Forbidden
            | Self::NotFound
            | Self::LeafChanged
            | Self::TooLarge
            | Self::ModelNotFound
            | Self::ContextOverflow
            | Self::UpstreamUnauthorized
            | Self::UpstreamConfiguration
            | Self::RequestRefused => false,
            Self::RunActive
            | Self::RateLimited
            | Self::QueueFull
            | Self::Overloaded
            | Self::ShuttingDown
            | Self::StoreUnavailable
            | Self::UpstreamUnreachable
            | Self::UpstreamTimeout
            | Self::UpstreamError
            | Self::UpstreamInvalid
            | Self::CircuitOpen
            | Self::StreamTruncated
            | Self::Internal => true,
        }
    }

    /// The HTTP status of this error on the REST API.
    pub(crate) fn status(self) -> u16 {
        match self {
            Self::BadFrame
            | Self::UnsupportedVersion
            | Self::ContextOverflow
            | Self::RequestRefused => 400,
            Self::Unauthenticated => 401,
            Self::Forbidden => 403,
            Self::NotFound | Self::ModelNotFound => 404,
            Self::LeafChanged | Self::RunActive => 409,
            Self::TooLarge => 413,
            Self::RateLimited | Self::QueueFull => 429,
            Self::Internal => 500,
            Self::UpstreamUnreachable
            | Self::UpstreamError
            | Self::UpstreamInvalid
            | Self::UpstreamUnauthorized
            | Self::UpstreamConfiguration
            | Self::StreamTruncated => 502,
            Self::Overloaded | Self::ShuttingDown | Self::StoreUnavailable | Self::CircuitOpen => {
                503
            }
            Self::UpstreamTimeout => 504,
        }
    }
}

/// Why the server closes a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Close {
    /// Two pings were not answered.
    Watchdog,
    /// A frame that is not of this protocol. Do not retry.
    BadFrame,
    /// No valid login, or it was revoked.
    Unauthenticated,
    /// Not allowed. Do not retry.
    Forbidden,
    /// No `hello` in time.
    HelloTimeout,
    /// A frame beyond the limit. Do not retry.
    TooBig,
    /// Too many frames, or a reader that does not read. Resume.
    Rate,
    /// The gateway stops.
    ShuttingDown,
    /// A bug in the gateway.
    Internal,
}

impl Close {
    /// The WebSocket close code.
    pub(crate) fn code(self) -> u16 {
        match self {
            Self::Watchdog => 4000,
            Self::BadFrame => 4400,
            Self::Unauthenticated => 4401,
            Self::Forbidden => 4403,
            Self::HelloTimeout => 4408,
            Self::TooBig => 4413,
            Self::Rate => 4429,
            Self::ShuttingDown => 4503,
            Self::Internal => 1011,
        }
    }

    /// The reason that goes with the code.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Watchdog => "no answer to pings",
            Self::BadFrame => "bad frame",
            Self::Unauthenticated => "login needed",
            Self::Forbidden => "forbidden",
            Self::HelloTimeout => "no hello in time",
            Self::TooBig => "frame too big",
            Self::Rate => "too fast or too slow",
            Self::ShuttingDown => "shutting down",
            Self::Internal => "internal error",
        }
    }
}

#[cfg(test)]
mod tests;
