//! Why a connection gives no response, or only a part of one.

use crate::body;

/// Why a connection gives no response, or only a part of one.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The connection failed.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The server closed the connection before it sent anything.
    #[error("the server closed the connection before it responded")]
    Closed,
    /// The server closed the connection in the middle of its response.
    #[error("the server closed the connection in the middle of its response")]
    Cut,
    /// What came is not a response head, or not one that can be accepted.
    #[error("the response head cannot be read: {0}")]
    Head(&'static str),
    /// The transfer chunks of a body are invalid.
    #[error("a chunk of its response cannot be read: {0}")]
    Chunk(&'static str),
    /// The client's body could not be read to its end while it was being sent on.
    #[error("the request body ended early")]
    RequestBody(#[source] body::Error),
}

impl Error {
    /// Whether the server may have closed the connection before the request reached it.
    pub(super) fn is_stale(&self) -> bool {
        match self {
            Self::Closed => true,
            Self::Io(error) => matches!(
                error.kind(),
                std::io::ErrorKind::ConnectionReset
                    | std::io::ErrorKind::ConnectionAborted
                    | std::io::ErrorKind::BrokenPipe
            ),
            Self::Cut | Self::Head(_) | Self::Chunk(_) | Self::RequestBody(_) => false,
        }
    }
}
