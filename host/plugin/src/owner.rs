//! Whose sandbox it is: what its calls need of the plugin that it belongs to.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
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
    pub(super) counts: Counts,
}

/// What one version of a plugin has done.
#[derive(Debug, Default)]
pub(super) struct Counts {
    calls: AtomicU64,
    micros: AtomicU64,
    pub(super) faults: AtomicU64,
    /// Instances that exchanges hold.
    pub(super) instances: AtomicU64,
}

impl Counts {
    fn call(&self, spent: Duration) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let micros = u64::try_from(spent.as_micros()).unwrap_or(u64::MAX);
        self.micros.fetch_add(micros, Ordering::Relaxed);
    }

    pub(super) fn read(&self) -> Figures {
        Figures {
            calls: self.calls.load(Ordering::Relaxed),
            time: Duration::from_micros(self.micros.load(Ordering::Relaxed)),
            faults: self.faults.load(Ordering::Relaxed),
            instances: self.instances.load(Ordering::Relaxed),
        }
    }
}

/// What one version of a plugin has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Calls, from the trial on.
    pub calls: u64,
    /// The time that they took.
    pub time: Duration,
    /// Faults: see [`Plugin::count_fault`](super::Plugin::count_fault).
    pub faults: u64,
    /// Instances that exchanges hold now.
    pub instances: u64,
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
        self.counts.call(spent);
        if let Some(error) = error {
            self.metrics.fault(error.label());
        }
    }

    pub(super) fn count_dropped_line(&self) {
        self.metrics.log_line_dropped();
    }
}
