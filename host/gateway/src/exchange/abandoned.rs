//! An exchange that goes on without its client, because its route wants to know the usage.
//!
//! Nothing is written any more, and no other model server is asked: the response of the one that is being asked is read to its
//! end, through the adapter and the stages. That takes no longer than the route allows, and no more exchanges of the route do it
//! than it allows.

use std::sync::Arc;

use super::Exchange;
use super::connection::Interrupt;
use super::halt::Halt;
use sluicegate_config::OnDisconnect;
use sluicegate_telemetry::metrics::RouteMetrics;

/// Counts such an exchange until it is dropped.
pub(super) struct Abandoned {
    metrics: Arc<RouteMetrics>,
    is_whole: bool,
}

impl Abandoned {
    /// The response was read to its end.
    pub(super) fn finish(&mut self) {
        self.is_whole = true;
    }
}

impl Drop for Abandoned {
    fn drop(&mut self) {
        let end = if self.is_whole { "whole" } else { "cut" };
        self.metrics.end_abandoned(end);
    }
}

impl Exchange {
    /// The exchange is interrupted. It goes on if it was its client who left, and the route says so.
    ///
    /// # Errors
    /// Why it does not.
    pub(super) fn interrupted(&mut self, why: Interrupt) -> Result<(), Halt> {
        let OnDisconnect::DrainForUsage { timeout, max } = self.record.route.on_disconnect else {
            return Err(why.into());
        };
        let left = why == Interrupt::Gone && self.client.is_disconnected();
        let stopping = self.core.finishing.stopping();
        let metrics = self.record.route.metrics.clone();
        if !left || !self.is_at_work || stopping.is_cancelled() || !metrics.abandon(max) {
            return Err(why.into());
        }
        self.record.client_left();
        self.client.leave(stopping);
        self.deadlines.abandon(timeout);
        self.abandoned = Some(Abandoned {
            metrics,
            is_whole: false,
        });
        Ok(())
    }
}
