//! What the gateway gives to plugins beside their sandboxes: what lies behind the capabilities.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};

use sluicegate_config::Grant;
use sluicegate_outbound::{Client, Network, Outbound};
use sluicegate_state::shared::{Memory, Shared, Space};
use sluicegate_telemetry::metrics::PluginMetrics;
use tokio::sync::Semaphore;

use super::outside::Outside;

/// The most calls of a plugin that may wait at the same time, as in `wit/capabilities.wit`. Each holds a stack and what its
/// exchange holds. A call that would be one more gets `unavailable`.
pub(super) const WAITING: usize = 100;

/// What all plugins of a gateway share. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Services {
    shared: Arc<dyn Shared>,
    outbound: Arc<dyn Outbound>,
    /// One permit for each call that waits, by plugin.
    waiting: Arc<Mutex<HashMap<String, Weak<Semaphore>>>>,
}

impl Default for Services {
    /// State in memory, and requests over the network.
    fn default() -> Self {
        let memory = Memory::new(|| Outside::System.monotonic_us() / 1000);
        Self::new(Arc::new(memory), Arc::new(Network))
    }
}

impl Services {
    /// Services with this state, whose requests go out here.
    #[must_use]
    pub fn new(shared: Arc<dyn Shared>, outbound: Arc<dyn Outbound>) -> Self {
        Self {
            shared,
            outbound,
            waiting: Arc::default(),
        }
    }

    /// Those of the plugin of this name: the same for all its versions, as long as there are any.
    #[must_use]
    pub fn of(&self, plugin: &str, metrics: Arc<PluginMetrics>) -> PluginServices {
        let mut waiting = self
            .waiting
            .lock()
            .expect("no panic while the lock is held");
        let permits = waiting.get(plugin).and_then(Weak::upgrade);
        let permits = permits.unwrap_or_else(|| {
            waiting.retain(|_, permits| permits.strong_count() > 0);
            let permits = Arc::new(Semaphore::new(WAITING));
            waiting.insert(plugin.to_owned(), Arc::downgrade(&permits));
            permits
        });
        PluginServices {
            metrics,
            space: self.shared.space(plugin),
            outbound: self.outbound.clone(),
            waiting: permits,
        }
    }
}

/// What one plugin gets, whatever its version is.
#[derive(Clone, Debug)]
pub struct PluginServices {
    pub(super) metrics: Arc<PluginMetrics>,
    pub(super) space: Arc<dyn Space>,
    outbound: Arc<dyn Outbound>,
    pub(super) waiting: Arc<Semaphore>,
}

impl PluginServices {
    /// The client for requests, if the grant has any.
    pub(super) fn client(&self, grant: &Grant) -> Option<Arc<dyn Client>> {
        let grant = grant.http.as_ref();
        grant.map(|grant| self.outbound.client(grant))
    }
}

impl From<Arc<PluginMetrics>> for PluginServices {
    /// The services of a plugin that shares nothing with others.
    fn from(metrics: Arc<PluginMetrics>) -> Self {
        Services::default().of("", metrics)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_a_plugin_share_and_plugins_do_not() {
        let services = Services::default();
        let of = |name| services.of(name, Arc::default());
        let (first, second, other) = (of("a"), of("a"), of("b"));
        assert!(Arc::ptr_eq(&first.waiting, &second.waiting));
        assert!(Arc::ptr_eq(&first.space, &second.space));
        assert!(!Arc::ptr_eq(&first.waiting, &other.waiting));
        assert!(!Arc::ptr_eq(&first.space, &other.space));
        drop((first, second, other));
        of("c");
        assert_eq!(services.waiting.lock().expect("free").len(), 1);
    }
}
