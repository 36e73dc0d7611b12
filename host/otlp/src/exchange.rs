//! What is known of an exchange that is over.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::context::{AttemptSpan, TraceContext};

/// An exchange that is over.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// Its place in a trace.
    pub context: TraceContext,
    /// The request id.
    pub id: Arc<str>,
    /// The route's path as configured.
    pub route: Arc<str>,
    /// The request's method and path.
    pub method: String,
    /// See `method`.
    pub path: String,
    /// The client's address.
    pub client: IpAddr,
    /// When its request had come.
    pub began: SystemTime,
    /// How long it took.
    pub took: Duration,
    /// Until the first byte of the response body.
    pub first_byte: Option<Duration>,
    /// The status that the client got; 0 if it left before there was one.
    pub status: u16,
    /// The error code, or "".
    pub error: String,
    /// Bytes of the request's body and the response's.
    pub bytes: [u64; 2],
    /// Requests to model servers, in their order.
    pub attempts: Vec<Attempt>,
    /// Tokens, as the model server of the last attempt reports them.
    pub usage: Option<Usage>,
}

/// A request to a model server.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// Its span.
    pub span: AttemptSpan,
    /// Since the exchange began.
    pub began: Duration,
    /// See `began`; `None`: with the exchange.
    pub ended: Option<Duration>,
    /// The upstream's name.
    pub upstream: Arc<str>,
    /// The target's host and port.
    pub server: (Arc<str>, u16),
    /// What kind of server it is, such as `vllm`; "" if nobody says.
    pub vendor: Arc<str>,
    /// The model that was asked for; "" if there is none.
    pub model: Arc<str>,
    /// The status of its response, if there was one.
    pub status: Option<u16>,
    /// Why another one followed, or the error code of the exchange that it decided; "" for none.
    pub error: String,
}

/// Tokens of an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Of the prompt.
    pub input: u64,
    /// Of the response.
    pub output: u64,
}

/// The operation, as the conventions name it, of a path that the gateway's routes have; "" for others.
pub(super) fn operation(path: &str) -> &'static str {
    let ends = |suffix: &str| path.ends_with(suffix);
    if ends("/chat/completions") || ends("/responses") || ends("/messages") || ends("/api/chat") {
        "chat"
    } else if ends("/completions") || ends("/api/generate") {
        "text_completion"
    } else if ends("/embeddings") || ends("/api/embed") {
        "embeddings"
    } else {
        ""
    }
}
