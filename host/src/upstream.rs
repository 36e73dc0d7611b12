//! Model servers: groups of targets, connections to them, and whether they are there.
//!
//! Knows nothing of plugins or of the client. What an error means for the client is decided in `exchange`.

pub mod body;
pub mod client;
pub mod facts;
pub mod health;
pub mod target;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

pub use body::Body;
pub use client::{Answer, AnswerBody, Broken};
pub use target::Target;

use crate::config;
use crate::telemetry::metrics::Metrics;

/// Why a model server gave no answer, or broke off in the middle of one.
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
    /// The connection ended before the answer did.
    #[error("the connection to {target} broke")]
    Broken {
        /// The target as configured.
        target: String,
        /// How it ended.
        source: Broken,
    },
    /// What came is not an answer of HTTP/1.
    #[error("what {target} answers is not HTTP/1")]
    Invalid {
        /// The target as configured.
        target: String,
        /// What is wrong with it.
        source: Broken,
    },
    /// The client's body could not be read to its end while it was being sent on.
    #[error("the request body ended early")]
    RequestBody(#[source] body::Error),
    /// The request is not one that can be sent, such as a path that is none after a rewrite.
    #[error("the request for {target} is not legal HTTP")]
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

/// A named group of model servers.
#[derive(Debug)]
pub struct Upstream {
    /// The name in the configuration.
    pub name: Arc<str>,
    /// The members; at least one.
    pub targets: Vec<Arc<Target>>,
    /// The limits for an exchange with any of them.
    pub timeout: config::Timeout,
    /// Active health checks, if configured.
    pub health: Option<config::Health>,
    turn: AtomicUsize,
}

impl Upstream {
    /// A group as configured; nothing is connected yet.
    ///
    /// # Errors
    /// If a target needs TLS and the system's certificates cannot be read.
    pub fn new(upstream: &config::Upstream, metrics: &Metrics) -> Result<Self, target::Error> {
        let targets = upstream
            .targets
            .iter()
            .map(|target| Target::new(upstream, target, metrics).map(Arc::new))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            name: upstream.name.as_str().into(),
            targets,
            timeout: upstream.timeout.clone(),
            health: upstream.health.clone(),
            turn: AtomicUsize::new(0),
        })
    }

    /// The next target in turn, leaving out those that are known to be down unless all are.
    pub fn pick(&self) -> &Arc<Target> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let count = self.targets.len();
        (0..count)
            .map(|step| &self.targets[(turn + step) % count])
            .find(|target| !target.is_down())
            .unwrap_or(&self.targets[turn % count])
    }
}
