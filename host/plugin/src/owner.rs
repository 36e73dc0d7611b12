//! Whose sandbox it is: what its calls need of the plugin that it belongs to.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sluicegate_contract::Phase;

use super::advice;
use super::called::CallFailure;
use super::calls::Calls;
use super::error::Error;
use super::services::PluginServices;
use super::toolchain::Toolchain;
use sluicegate_config::{Grant, PluginLimits};
use sluicegate_outbound::Client;
use sluicegate_telemetry::metrics::PluginMetrics;

/// What the host knows of a plugin before there is an image: its name in the configuration, its limits, its metrics.
pub(super) struct Owner {
    pub(super) name: String,
    pub(super) limits: PluginLimits,
    pub(super) metrics: Arc<PluginMetrics>,
    pub(super) calls: Calls,
    pub(super) counts: Counts,
    /// What its exchanges may use; nothing while it is loaded.
    pub(super) granted: Granted,
    toolchain: Toolchain,
    explained: Mutex<HashSet<FailedAt>>,
}

/// The capabilities of a plugin.
#[derive(Default)]
pub(super) struct Granted {
    pub(super) grant: Grant,
    /// What lies behind them.
    pub(super) services: Option<PluginServices>,
    /// Sends its requests.
    pub(super) client: Option<Arc<dyn Client>>,
}

impl Granted {
    pub(super) fn new(grant: &Grant, services: PluginServices) -> Self {
        Self {
            grant: grant.clone(),
            client: services.client(grant),
            services: Some(services),
        }
    }
}

/// Where a call failed: its phase, what went wrong, and for a trap the functions that were running.
type FailedAt = (&'static str, &'static str, Vec<String>);

/// Places of which a version's failures are explained. Arbitrary: whoever reads so many has seen what is wrong.
const EXPLAINED: usize = 32;

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
    /// A plugin of this name, which has done nothing yet.
    pub(super) fn new(
        name: String,
        limits: PluginLimits,
        metrics: Arc<PluginMetrics>,
        toolchain: Toolchain,
        granted: Granted,
    ) -> Self {
        Self {
            name,
            limits,
            metrics,
            calls: Calls::default(),
            counts: Counts::default(),
            granted,
            toolchain,
            explained: Mutex::default(),
        }
    }

    /// Explains a failed call in the log, once for each place: what was running, and what to do about it.
    pub(super) fn explain(&self, error: &Error, phase: Phase, req: &str) {
        if matches!(error, Error::Exhausted) {
            return;
        }
        let (phase, backtrace) = (
            phase.name(),
            match error {
                Error::Trap { backtrace, .. } => backtrace.clone(),
                _ => Vec::new(),
            },
        );
        let functions = backtrace.join(" < ");
        {
            let mut explained = self.explained.lock().expect("no panic while it is locked");
            if explained.len() == EXPLAINED || !explained.insert((phase, error.label(), backtrace))
            {
                return;
            }
        }
        let plugin = &*self.name;
        let mend = advice::on_failure(error, self.toolchain);
        tracing::warn!(
            target: "sluicegate::plugin::failure",
            plugin, phase, req, %error, backtrace = functions, mend,
            "a call of the plugin failed; more failures at this place are counted only"
        );
    }

    /// The same of a failed call for who keeps the calls.
    pub(super) fn failure(&self, error: &Error) -> CallFailure {
        CallFailure {
            reason: error.to_string(),
            is_limit: advice::is_limit(error),
            mend: advice::on_failure(error, self.toolchain),
        }
    }

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
