//! What the gateway gives to plugins beside their sandboxes: what lies behind the capabilities.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};

use sluicegate_config::Grant;
use sluicegate_contract::Phase;
use sluicegate_contract::capability::Error;
use sluicegate_contract::capability::rate::Budget;
use sluicegate_outbound::{Client, Network, Outbound};
use sluicegate_state::shared::{Memory, Shared, Space};
use sluicegate_telemetry::metrics::PluginMetrics;

use super::outside::Outside;
use super::waiting::{AT_THE_GATES, Caller, FOR_STATE, PER_PLUGIN, Wait, Waiting};

/// What all plugins of a gateway share. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Services {
    shared: Arc<dyn Shared>,
    outbound: Arc<dyn Outbound>,
    /// The calls that wait, by plugin.
    waiting: Arc<Mutex<HashMap<String, Weak<Own>>>>,
    /// Those in gates and request heads, of all plugins.
    at_the_gates: Arc<Waiting>,
}

impl Default for Services {
    /// State in memory, and requests over the network.
    fn default() -> Self {
        Self::over(Arc::new(memory()))
    }
}

/// State in memory, with nothing in it.
#[must_use]
pub fn memory() -> Memory {
    Memory::new(|| Outside::System.monotonic_us() / 1000)
}

impl Services {
    /// Services with this state, and requests over the network.
    #[must_use]
    pub fn over(shared: Arc<dyn Shared>) -> Self {
        Self::new(shared, Arc::new(Network))
    }

    /// Services with this state, whose requests go out here.
    #[must_use]
    pub fn new(shared: Arc<dyn Shared>, outbound: Arc<dyn Outbound>) -> Self {
        Self {
            shared,
            outbound,
            waiting: Arc::default(),
            at_the_gates: Waiting::new(AT_THE_GATES),
        }
    }

    /// The budgets of all plugins in days and months that are not over, with the plugin's name.
    ///
    /// # Errors
    /// The state cannot be reached.
    pub async fn budgets(&self) -> Result<Vec<(String, Budget)>, Error> {
        self.shared.budgets().await
    }

    /// Those of the plugin of this name: the same for all its versions, as long as there are any.
    #[must_use]
    pub fn of(&self, plugin: &str, metrics: Arc<PluginMetrics>) -> PluginServices {
        let mut waiting = self
            .waiting
            .lock()
            .expect("no panic while the lock is held");
        let own = waiting.get(plugin).and_then(Weak::upgrade);
        let own = own.unwrap_or_else(|| {
            waiting.retain(|_, of_plugin| of_plugin.strong_count() > 0);
            let own = Arc::new(Own {
                any: Waiting::new(PER_PLUGIN),
                state: Waiting::new(FOR_STATE),
            });
            waiting.insert(plugin.to_owned(), Arc::downgrade(&own));
            own
        });
        PluginServices {
            metrics,
            space: self.shared.space(plugin),
            outbound: self.outbound.clone(),
            waiting: own,
            at_the_gates: self.at_the_gates.clone(),
        }
    }
}

/// The calls of one plugin that wait.
#[derive(Debug)]
struct Own {
    any: Arc<Waiting>,
    /// For values and limits.
    state: Arc<Waiting>,
}

/// What one plugin gets, whatever its version is.
#[derive(Clone, Debug)]
pub struct PluginServices {
    pub(super) metrics: Arc<PluginMetrics>,
    pub(super) space: Arc<dyn Space>,
    outbound: Arc<dyn Outbound>,
    waiting: Arc<Own>,
    at_the_gates: Arc<Waiting>,
}

impl PluginServices {
    /// The client for requests, if the grant has any.
    pub(super) fn client(&self, grant: &Grant) -> Option<Arc<dyn Client>> {
        let grant = grant.http.as_ref();
        grant.map(|grant| self.outbound.client(grant))
    }

    /// Permits for a call that has to wait, if there are any for this caller.
    pub(super) fn may_wait(&self, caller: Caller) -> Option<Waits> {
        self.may_wait_in(&self.waiting.any, caller)
    }

    /// As [`PluginServices::may_wait`], for a call that waits for values and limits.
    pub(super) fn may_wait_for_state(&self, caller: Caller) -> Option<Waits> {
        self.may_wait_in(&self.waiting.state, caller)
    }

    fn may_wait_in(&self, own: &Arc<Waiting>, caller: Caller) -> Option<Waits> {
        let Caller { client, phase } = caller;
        let at_the_gates = match phase {
            Some(Phase::Gate | Phase::RequestHead) => Some(self.at_the_gates.begin(client)?),
            _ => None,
        };
        Some(Waits {
            _own: own.begin(client)?,
            _at_the_gates: at_the_gates,
        })
    }
}

/// What a call that waits holds.
pub(super) struct Waits {
    _own: Wait,
    _at_the_gates: Option<Wait>,
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
