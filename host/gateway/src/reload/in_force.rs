//! What is in force, and what has proved itself: the last configuration and the last plugin versions that served for a while.
//!
//! A version is on probation from when it goes live until the window for rollbacks has passed. Only then it is what a later one
//! rolls back to; until then the one before it is held, so that the way back takes no time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use sluicegate_config::Config;
use sluicegate_plugin_host::{Figures, Plugin};
use tokio::time::Instant;

/// Plugin versions by the plugin's name.
pub(super) type Plugins = BTreeMap<String, Arc<Plugin>>;

/// Fewer faults of a version never roll it back. Arbitrary: one can be a strange request, and a version whose every call fails
/// makes these in a moment.
pub(super) const FAULTS: u64 = 5;

/// A version is rolled back only if a call of it fails this many times as often as one of the version before.
const TIMES: u64 = 2;

/// What is in force.
pub(super) struct InForce {
    pub(super) config: Config,
    pub(super) plugins: Plugins,
    /// Since when this configuration is.
    since: Instant,
    proved: (Config, Plugins),
    probation: BTreeMap<String, Probation>,
}

/// A version that has not proved itself yet.
struct Probation {
    since: Instant,
    /// What the version before it had done by then.
    before: Figures,
}

/// A version that faults.
pub(super) struct Culprit {
    pub(super) plugin: Arc<Plugin>,
    pub(super) reason: String,
}

/// Where a rollback leads.
pub(super) enum WayBack {
    /// To the version before: only the component's file has changed since.
    Plugin(Arc<Plugin>),
    /// To the configuration before, as a whole.
    Configuration(Box<(Config, Plugins)>),
    /// To a component of which a state folder knows, if there is one.
    Component,
}

impl InForce {
    /// At the start. The `unproved` plugins have other components than those that are known to be good.
    pub(super) fn new(config: Config, plugins: Plugins, unproved: &[String]) -> Self {
        let now = Instant::now();
        let mut proved = plugins.clone();
        let probation = unproved.iter().filter_map(|name| {
            proved.remove(name)?;
            let before = Figures::default();
            Some((name.clone(), Probation { since: now, before }))
        });
        Self {
            probation: probation.collect(),
            proved: (config.clone(), proved),
            since: now,
            config,
            plugins,
        }
    }

    /// Other ones are in force now.
    pub(super) fn replace(&mut self, config: Config, plugins: Plugins) {
        let now = Instant::now();
        for (name, plugin) in &plugins {
            let is = |other: Option<&Arc<Plugin>>| other.is_some_and(|it| Arc::ptr_eq(it, plugin));
            if is(self.proved.1.get(name)) {
                self.probation.remove(name);
            } else if !is(self.plugins.get(name)) {
                let before = self.proved.1.get(name);
                let before = before.map_or_else(Figures::default, |it| it.figures());
                let probation = Probation { since: now, before };
                self.probation.insert(name.clone(), probation);
            }
        }
        self.probation.retain(|name, _| plugins.contains_key(name));
        if self.config != config {
            self.since = now;
        }
        (self.config, self.plugins) = (config, plugins);
    }

    /// This version is as good as proved.
    pub(super) fn trust(&mut self, plugin: &Arc<Plugin>) {
        let name = plugin.name();
        self.probation.remove(name);
        self.proved.1.insert(name.to_owned(), plugin.clone());
    }

    /// Whether all of it has proved itself.
    pub(super) fn is_settled(&self) -> bool {
        self.probation.is_empty() && self.config == self.proved.0
    }

    /// What has been in force for this long has proved itself. Returns the plugins that have done so now.
    pub(super) fn age(&mut self, window: Duration) -> Vec<Arc<Plugin>> {
        if self.since.elapsed() >= window && self.config != self.proved.0 {
            self.proved.0 = self.config.clone();
            let plugins = &self.plugins;
            self.proved.1.retain(|name, _| plugins.contains_key(name));
        }
        let mut proved = Vec::new();
        for (name, probation) in &self.probation {
            let same_section = self.is_configured_as_proved(name);
            if probation.since.elapsed() >= window && same_section {
                proved.extend(self.plugins.get(name).cloned());
            }
        }
        for plugin in &proved {
            self.trust(plugin);
        }
        proved
    }

    /// The first version on probation whose faults have risen.
    pub(super) fn culprit(&self) -> Option<Culprit> {
        self.probation.iter().find_map(|(name, probation)| {
            let plugin = self.plugins.get(name)?;
            let now = plugin.figures();
            let reason = format!(
                "{} of its {} calls failed within {:.1?} after it went live",
                now.faults,
                now.calls,
                probation.since.elapsed()
            );
            have_risen(now, probation.before).then(|| Culprit {
                plugin: plugin.clone(),
                reason,
            })
        })
    }

    /// Where a rollback of this plugin leads.
    pub(super) fn way_back(&self, plugin: &Plugin) -> WayBack {
        let (config, plugins) = &self.proved;
        match plugins.get(plugin.name()) {
            Some(before)
                if before.version() != plugin.version()
                    && self.is_configured_as_proved(plugin.name()) =>
            {
                WayBack::Plugin(before.clone())
            }
            Some(_) | None if *config != self.config => {
                WayBack::Configuration(Box::new(self.proved.clone()))
            }
            Some(_) | None => WayBack::Component,
        }
    }

    fn is_configured_as_proved(&self, plugin: &str) -> bool {
        self.proved.0.plugins.get(plugin) == self.config.plugins.get(plugin)
    }
}

fn have_risen(now: Figures, before: Figures) -> bool {
    // As fractions of calls, without dividing.
    let more = u128::from(now.faults) * u128::from(before.calls.max(1));
    let less = u128::from(before.faults) * u128::from(now.calls.max(1));
    now.faults >= FAULTS && more > less * u128::from(TIMES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_have_risen_if_there_are_some_and_the_share_is_more_than_twice_that_of_before() {
        let figures = |calls, faults| Figures {
            calls,
            faults,
            ..Figures::default()
        };
        for (now, before, expected) in [
            ((4, 4), (0, 0), false),
            ((5, 5), (0, 0), true),
            ((1_000_000, 5), (1_000_000, 0), true),
            ((10, 5), (10, 5), false),
            ((10, 10), (10, 5), false),
            ((10, 10), (1000, 499), true),
        ] {
            let (now, before) = (figures(now.0, now.1), figures(before.0, before.1));
            assert_eq!(have_risen(now, before), expected, "{now:?} {before:?}");
        }
    }
}
