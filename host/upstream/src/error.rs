//! Why a model server gave no response, as the rest of the gateway sees it.

use std::time::Duration;

use super::body;
use super::client::error as connection;

/// Why a model server gave no response, or only a part of one.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No connection: refused, no route, name not found.
    #[error("cannot connect to {target}")]
    Unreachable {
        /// The target as configured.
        target: String,
        /// The system's reason.
        source: std::io::Error,
    },
    /// No connection within the time.
    #[error("connecting to {target} took longer than {limit:?}")]
    ConnectTimeout {
        /// The target as configured.
        target: String,
        /// The limit that was exceeded.
        limit: Duration,
    },
    /// The connection ended before the response did.
    #[error("the connection to {target} broke")]
    Broken {
        /// The target as configured.
        target: String,
        /// How it ended.
        source: connection::Error,
    },
    /// What came is not an HTTP/1 response.
    #[error("the response of {target} is not HTTP/1")]
    Invalid {
        /// The target as configured.
        target: String,
        /// What is wrong with it.
        source: connection::Error,
    },
    /// The client's body could not be read to its end while it was being sent on.
    #[error("the request body ended early")]
    RequestBody(#[source] body::Error),
    /// The request cannot be sent, for example because of an invalid path after a rewrite.
    #[error("the request for {target} is not valid HTTP")]
    Request {
        /// The target as configured.
        target: String,
        /// What the HTTP library says.
        source: hyper::http::Error,
    },
}

impl Error {
    /// The metric label: a member of a closed set.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => "unreachable",
            Self::ConnectTimeout { .. } => "connect_timeout",
            Self::Broken { .. } => "broken",
            Self::Invalid { .. } => "invalid",
            Self::RequestBody(_) => "request_body",
            Self::Request { .. } => "request",
        }
    }
}

/// An error with its cause in one line.
pub(super) fn describe(error: &Error) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}
