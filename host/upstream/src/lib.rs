//! Model servers: groups of targets, connections to them, their health, and which of them is asked next.
//!
//! What speaks against a target, each in a file without IO whose clock is an argument: [`breaker`] (attempts fail), [`load`] (it
//! is slow, wants to be spared, or has just come back), [`places`] (it has enough to do). [`choice`] picks one of those that are
//! left, by the rules of [`balance`]. [`budget`] limits how often a failed attempt leads to another one.
//!
//! Targets are configured one by one, or are the addresses of a name: [`names`].
//!
//! Knows nothing about plugins or the client. What an error means for the client is decided in `exchange`.

mod ask;
mod balance;
pub mod body;
mod breaker;
mod budget;
mod choice;
pub mod client;
mod error;
pub mod health;
mod load;
mod models;
pub mod names;
mod places;
mod server_info;
pub mod stall;
pub mod target;
pub mod vendor;
mod visit;
mod window;

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

pub use body::Body;
pub use breaker::Circuit;
pub use choice::Choice;
pub use client::{Response, ResponseBody};
pub use error::Error;
pub use models::ListedModel;
pub use names::Name;
pub use places::{Place, Refused};
pub use server_info::ServerInfo;
pub use target::{Standing, Target};
pub use vendor::Vendor;
pub use visit::Visit;

use hyper::header::HeaderValue;
use tokio::time::Instant;

use self::budget::Budget;
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
    /// The members with a place of their own in the configuration.
    fixed: Vec<Arc<Target>>,
    /// The names whose addresses are members.
    names: Vec<Arc<Name>>,
    /// The limits for an exchange with any of them.
    pub timeout: config::Timeout,
    /// Active health checks, if configured.
    pub health: Option<config::Health>,
    /// The `authorization` for its model servers.
    pub key: Option<HeaderValue>,
    /// The most model servers that are asked for one exchange, fallbacks included; at least 1.
    pub attempts: u32,
    /// Which exchanges should go to the same target.
    pub affinity: Option<config::Affinity>,
    /// How much one target is given at a time.
    pub in_flight: Option<config::InFlight>,
    budget: Budget,
    /// The part of all exchanges that the budget is.
    budget_percent: u32,
    breaker: config::Breaker,
    slow_start: Option<Duration>,
    turn: AtomicUsize,
}

impl Upstream {
    /// A group as configured. Targets and names of `previous` are reused, with their connections and what is known of them.
    ///
    /// # Errors
    /// If a target needs TLS and its host cannot be in a certificate, or if the key cannot be in a header field.
    pub fn new(
        upstream: &config::Upstream,
        vendor: Vendor,
        previous: Option<&Self>,
        metrics: &Metrics,
    ) -> Result<Self, target::Error> {
        let (mut fixed, mut names) = (Vec::new(), Vec::new());
        for target in &upstream.targets {
            if target.dns {
                let mut before = previous.iter().flat_map(|previous| &previous.names);
                names.push(match before.find(|before| before.is(target)) {
                    Some(before) => before.clone(),
                    None => Arc::new(Name::new(&upstream.name, target, metrics)?),
                });
            } else {
                let mut before = previous.iter().flat_map(|previous| &previous.fixed);
                fixed.push(match before.find(|before| before.is(target)) {
                    Some(before) => before.clone(),
                    None => Arc::new(Target::new(&upstream.name, target, metrics)?),
                });
            }
        }
        Ok(Self {
            name: upstream.name.as_str().into(),
            vendor,
            fixed,
            names,
            timeout: upstream.timeout.clone(),
            health: upstream.health.clone(),
            key: upstream.key.as_ref().map(bearer).transpose()?,
            attempts: upstream.attempts,
            affinity: upstream.affinity.clone(),
            in_flight: upstream.in_flight,
            budget: Budget::default(),
            budget_percent: upstream.budget,
            breaker: upstream.breaker,
            slow_start: upstream.slow_start,
            turn: AtomicUsize::new(0),
        })
    }

    /// The members at this time. None, if there are only names, of which no address is known.
    #[must_use]
    pub fn targets(&self) -> Cow<'_, [Arc<Target>]> {
        if self.names.is_empty() {
            return Cow::Borrowed(&self.fixed);
        }
        let mut targets = self.fixed.clone();
        for name in &self.names {
            targets.extend_from_slice(&name.targets.borrow());
        }
        Cow::Owned(targets)
    }

    /// The members that are there as long as the configuration is.
    #[must_use]
    pub fn fixed(&self) -> &[Arc<Target>] {
        &self.fixed
    }

    /// The names whose addresses are members.
    #[must_use]
    pub fn names(&self) -> &[Arc<Name>] {
        &self.names
    }

    /// An exchange begins to ask: from now on it counts for the budget of further attempts.
    pub fn count_exchange(&self) {
        self.budget.begin(Instant::now());
    }

    /// Takes one further attempt from the budget; false if none is left.
    #[must_use]
    pub fn may_ask_again(&self) -> bool {
        self.budget.take(Instant::now(), self.budget_percent)
    }

    /// Takes a place at one of its targets for an attempt, if there is one at once.
    #[must_use]
    pub fn visit(&self, target: &Arc<Target>) -> Option<Box<Visit>> {
        let limit = self.in_flight.as_ref();
        let place = target.places.try_enter(limit)?;
        if limit.is_some() {
            target.metrics.waited(Duration::ZERO);
        }
        Some(Visit::begin(target, self.breaker, place))
    }

    /// Takes a place at one of its targets for an attempt, and waits for one if there is none.
    ///
    /// # Errors
    /// [`Refused`]: too many wait, it took too long, or the target has left.
    ///
    /// # Cancel safety
    /// Dropping the future gives up the wait.
    pub async fn wait_for_visit(
        &self,
        target: &Arc<Target>,
        tenant: &str,
        limit: &config::InFlight,
    ) -> Result<Box<Visit>, Refused> {
        let began = Instant::now();
        let waiting = target.metrics.waits();
        let entered = tokio::select! {
            entered = target.places.enter(tenant, limit) => entered,
            () = target.gone.cancelled() => Err(Refused::Gone),
        };
        drop(waiting);
        match &entered {
            Ok(_) => target.metrics.waited(began.elapsed()),
            Err(refused) => target.metrics.refused(refused.label()),
        }
        Ok(Visit::begin(target, self.breaker, entered?))
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
