//! Model servers: groups of targets, connections to them, and their health.
//!
//! Knows nothing about plugins or the client. What an error means for the client is decided in `exchange`.

mod ask;
pub mod body;
pub mod client;
mod error;
pub mod health;
mod models;
mod server_info;
pub mod stall;
pub mod target;
pub mod vendor;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

pub use body::Body;
pub use client::{Response, ResponseBody};
pub use error::Error;
pub use models::ListedModel;
pub use server_info::ServerInfo;
pub use target::Target;
pub use vendor::Vendor;

use hyper::header::HeaderValue;

use self::stall::{Call, Ticket};
use sluicegate_config as config;
use sluicegate_telemetry::metrics::Metrics;

/// Longer names are not names of models, and are not remembered.
const MODEL_NAME_BYTES: usize = 512;

/// A named group of model servers.
#[derive(Debug)]
pub struct Upstream {
    /// The name in the configuration.
    pub name: Arc<str>,
    /// The kind of its servers.
    pub vendor: Vendor,
    /// The members; at least one.
    pub targets: Vec<Arc<Target>>,
    /// The limits for an exchange with any of them.
    pub timeout: config::Timeout,
    /// Active health checks, if configured.
    pub health: Option<config::Health>,
    /// The `authorization` for its model servers.
    pub key: Option<HeaderValue>,
    /// The most model servers that are asked for one exchange, fallbacks included; at least 1.
    pub attempts: u32,
    turn: AtomicUsize,
}

impl Upstream {
    /// A group as configured. Targets of `previous` are reused, with their connections and what is known of them.
    ///
    /// # Errors
    /// If a target needs TLS and its host cannot be in a certificate, or if the key cannot be in a header field.
    pub fn new(
        upstream: &config::Upstream,
        vendor: Vendor,
        previous: Option<&Self>,
        metrics: &Metrics,
    ) -> Result<Self, target::Error> {
        let targets = upstream
            .targets
            .iter()
            .map(|target| {
                let before = previous.iter().flat_map(|previous| &previous.targets);
                match before.into_iter().find(|before| before.is(target)) {
                    Some(before) => Ok(before.clone()),
                    None => Target::new(&upstream.name, target, metrics).map(Arc::new),
                }
            })
            .collect::<Result<_, _>>()?;
        Ok(Self {
            name: upstream.name.as_str().into(),
            vendor,
            targets,
            timeout: upstream.timeout.clone(),
            health: upstream.health.clone(),
            key: upstream.key.as_ref().map(bearer).transpose()?,
            attempts: upstream.attempts,
            turn: AtomicUsize::new(0),
        })
    }

    /// The index in the list of targets at which the next exchange begins.
    pub fn next_turn(&self) -> usize {
        self.turn.fetch_add(1, Ordering::Relaxed)
    }

    /// The target whose turn it is, whatever is known of it.
    #[must_use]
    pub fn in_turn(&self, turn: usize) -> Arc<Target> {
        self.targets[turn % self.targets.len()].clone()
    }

    /// The next target in turn that is not among the `tried` ones and not known to be down. With `stalled`, it may be a stalled
    /// one.
    #[must_use]
    pub fn pick(&self, turn: usize, tried: &[Arc<Target>], stalled: bool) -> Option<Arc<Target>> {
        let count = self.targets.len();
        let is_new = |target: &Arc<Target>| !tried.iter().any(|it| Arc::ptr_eq(it, target));
        (0..count)
            .map(|step| &self.targets[(turn + step) % count])
            .find(|target| {
                !target.is_down() && (stalled || !target.stalls.is_passed_over()) && is_new(target)
            })
            .cloned()
    }

    /// Begins to watch an attempt at one of its targets, for a model under the name that the target knows. `None` if that is
    /// switched off, or if the name is too long for a model's.
    ///
    /// # Cancel safety
    /// Nothing has begun if the future is dropped.
    pub async fn begin_call(&self, target: &Target, model: &str) -> Option<(Call, Ticket)> {
        let stall = self
            .timeout
            .stall
            .filter(|_| model.len() <= MODEL_NAME_BYTES)?;
        let key = self.vendor.model_key(model);
        Some(target.stalls.begin(&key, model, stall).await)
    }
}

/// `authorization` with a key.
fn bearer(key: &config::Secret) -> Result<HeaderValue, target::Error> {
    let mut value = HeaderValue::from_str(&format!("Bearer {}", key.expose()))
        .map_err(|_| target::Error::Key)?;
    value.set_sensitive(true);
    Ok(value)
}
