//! What a call needs and gives: the connection, and why a call fails.

use std::pin::Pin;
use std::time::Duration;

use redis::RedisError;
use redis::aio::MultiplexedConnection;
use sluicegate_contract::capability::Error;

/// A connection, and who uses it.
#[derive(Clone)]
pub(super) struct Session {
    pub(super) connection: MultiplexedConnection,
    pub(super) gateway: String,
    pub(super) incarnation: u64,
    pub(super) lease_ms: u128,
}

/// Why a call gave nothing.
#[derive(Debug)]
pub(super) enum Failure {
    /// Redis has said so.
    Refused(Error),
    /// Nobody knows whether it happened: the connection is of no use any more.
    Broken(Broken),
}

impl From<RedisError> for Failure {
    fn from(error: RedisError) -> Self {
        Self::Broken(Broken::Redis(error))
    }
}

/// What is wrong with the connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    /// No reply.
    #[error("it did not respond within {0:?}")]
    Late(Duration),
    /// Anything else.
    #[error(transparent)]
    Redis(RedisError),
}

/// A call that is to be made.
pub(super) type Job =
    Box<dyn FnOnce(Session) -> Pin<Box<dyn Future<Output = Result<(), Broken>> + Send>> + Send>;
