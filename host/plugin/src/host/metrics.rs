//! `metrics`: a plugin's own metrics. The rules are in the crate `contract`, the metrics in the crate `telemetry`.

use sluicegate_contract::capability as rules;
use sluicegate_telemetry::metrics::PluginMetrics;

use super::capability::Given;
use crate::bindings::sluicegate::plugin::metrics::Host;
use crate::store::State;

impl State {
    fn measure(
        &mut self,
        measure: impl FnOnce(&PluginMetrics) -> Result<(), rules::Error>,
    ) -> Given<()> {
        let granted = self.granted(|grant| grant.metrics.then_some(()));
        let measured = granted.and_then(|((), services)| measure(&services.metrics));
        Ok(measured.map_err(Into::into))
    }
}

impl Host for State {
    fn count(&mut self, name: String, by: u64, labels: Vec<(String, String)>) -> Given<()> {
        self.measure(|metrics| metrics.count(&name, by, labels))
    }

    fn observe(&mut self, name: String, value: f64, labels: Vec<(String, String)>) -> Given<()> {
        self.measure(|metrics| metrics.observe(&name, value, labels))
    }
}
