//! Requests that plugins send to other servers.
//!
//! Responsible for where a request may go, for the connection, and for how much of a response is taken. Not responsible for how
//! long it may take: whoever waits drops the future, which closes the connection. It knows nothing of plugins.
//!
//! A name is resolved once for each connection, and each address is checked before it is connected to: nobody can show the check
//! one address and the connection another one.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use hyper::{Request, Response};
use sluicegate_config::{HttpGrant, Origin};

mod connection;
mod network;
mod tls;

pub use self::network::Network;

/// The most bytes of a response's body, as in `wit/capabilities.wit`.
pub const RESPONSE_MAX: usize = 1 << 20;

/// A response that is on its way.
pub type Answer<'a> = Pin<Box<dyn Future<Output = Result<Response<Bytes>, Error>> + Send + 'a>>;

/// Where requests of plugins go.
pub trait Outbound: fmt::Debug + Send + Sync {
    /// A client for a plugin with this grant.
    fn client(&self, grant: &HttpGrant) -> Arc<dyn Client>;
}

/// Sends the requests of one plugin.
pub trait Client: fmt::Debug + Send + Sync {
    /// Sends a request, with its URI in origin form, and gives the whole response, whatever its status is.
    ///
    /// # Errors
    /// [`Error`]. A request that failed may have been sent, except with [`Error::Origin`] and [`Error::Address`].
    ///
    /// # Cancel safety
    /// Dropping the future closes the connection.
    fn send(&self, origin: Origin, request: Request<Bytes>) -> Answer<'_>;
}

/// Why there is no response.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The grant does not list it.
    #[error("its `grant.http` does not list {0}")]
    Origin(Origin),
    /// The name has only addresses that the grant does not list.
    #[error(
        "{origin} has no public address and none in the `networks` of its `grant.http`: {addresses}"
    )]
    Address {
        /// Where the request was to go.
        origin: Origin,
        /// The addresses of its host.
        addresses: String,
    },
    /// There is no connection.
    #[error("there is no connection to {origin}: {source}")]
    Connect {
        /// Where the request was to go.
        origin: Origin,
        /// What the system says, or the other side's certificate.
        source: io::Error,
    },
    /// The connection broke off, or the response is not HTTP.
    #[error("no response from {origin}: {reason}")]
    Broken {
        /// Where the request went.
        origin: Origin,
        /// What the connection says.
        reason: String,
    },
    /// The response is too large.
    #[error("the response of {0} has more than 1 MiB, or more than 64 KiB of fields")]
    TooLarge(Origin),
}
