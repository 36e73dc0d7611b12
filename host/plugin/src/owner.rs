//! Whose sandbox it is: what its calls need of the plugin that it belongs to.

use std::sync::Arc;
use std::time::Duration;

use super::calls::Calls;
use super::error::Error;
use sluicegate_config::PluginLimits;
use sluicegate_telemetry::metrics::PluginMetrics;

/// What the host knows of a plugin before there is an image: its name in the configuration, its limits, its metrics.
pub(super) struct Owner {
    pub(super) name: String,
    pub(super) limits: PluginLimits,
    pub(super) metrics: Arc<PluginMetrics>,
    pub(super) calls: Calls,
}

impl Owner {
    pub(super) fn check_output(&self, size: usize) -> Result<(), Error> {
        let limit = self.limits.output;
        if size as u64 > limit {
            Err(Error::Output { size, limit })
        } else {
            Ok(())
        }
    }

    pub(super) fn record(&self, spent: Duration, error: Option<&Error>) {
        self.metrics.call(spent);
        if let Some(error) = error {
            self.metrics.fault(error.label());
        }
    }

    pub(super) fn count_dropped_line(&self) {
        self.metrics.log_line_dropped();
    }
}
