//! Whether a target should be asked, as far as is known: from its health, its breaker, its queue and what it says of itself.

use std::time::Duration;

use tokio::time::Instant;

use super::Target;
use crate::breaker::Circuit;
use sluicegate_config as config;

/// Whether a target should be asked; the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nothing is against it.
    Fit,
    /// One of its models does nothing: another target is better.
    Stalled,
    /// It has failed too often, is to be spared for a while, or has a full queue: it is asked only if nothing else is left.
    LeftAlone,
    /// It could not be reached, or failed its health check: it is asked only if nothing else was.
    Down,
}

impl Target {
    /// Whether it should be asked, with this limit for its attempts.
    #[must_use]
    pub fn standing(&self, limit: Option<&config::InFlight>) -> Standing {
        let now = Instant::now();
        if self.is_down() {
            Standing::Down
        } else if !self.load.paused_for(now).is_zero()
            || !self.breaker.lets_through(now)
            || self.places.is_full(limit)
        {
            Standing::LeftAlone
        } else if self.stalls.is_passed_over() {
            Standing::Stalled
        } else {
            Standing::Fit
        }
    }

    /// Whether attempts go to it, as far as earlier ones show.
    #[must_use]
    pub fn circuit(&self) -> Circuit {
        self.breaker.circuit(Instant::now())
    }

    /// For how long it is left alone, because of its breaker or because it has asked for that.
    #[must_use]
    pub fn left_alone_for(&self) -> Duration {
        let now = Instant::now();
        self.breaker.open_for(now).max(self.load.paused_for(now))
    }

    /// How many attempts it has.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.places.taken()
    }

    /// How many attempts wait for it.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.places.waiting()
    }

    /// The health check passes, after it had failed or the connection had.
    pub(super) fn recovered(&self) {
        self.load.resume();
        self.load.came_back(Instant::now());
        self.breaker.recovered();
        self.show_circuit();
    }

    /// An attempt gets a response after others had failed.
    pub(crate) fn is_back(&self) {
        self.load.came_back(Instant::now());
        self.show_circuit();
        tracing::info!(target_address = %self.label, "model server is in use again");
    }

    /// Too many attempts have failed.
    pub(crate) fn is_left_alone(&self, wait: Duration) {
        self.show_circuit();
        tracing::warn!(
            target_address = %self.label,
            wait_ms = wait.as_millis(),
            "attempts at a model server fail: it is left alone for a while, as long as there is another one"
        );
    }

    /// Brings the metric up to date.
    pub(crate) fn show_circuit(&self) {
        self.metrics.breaker(self.circuit().label());
    }
}
