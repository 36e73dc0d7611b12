//! What is in force, and which plugin versions have proved themselves.
//!
//! A version is on probation from when it goes live until the window for rollbacks has passed. Only then it is what a later one
//! rolls back to; until then the one before it is held, so that the way back takes no time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use sluicegate_config::Config;
use sluicegate_plugin_host::{Figures, Plugin};
use tokio::time::Instant;

/// Plugin versions by the plugin's name.
pub(super) type Plugins = BTreeMap<String, Arc<Plugin>>;

/// Fewer faults of a version never roll it back. Arbitrary: one can be a strange request, and a version whose every call fails
/// makes these in a moment.
const FAULTS: f64 = 5.0;

/// A version is rolled back only if its calls fail this many times as often as those of the version before.
const TIMES: f64 = 2.0;

/// And this many standard deviations more: it is looked at hundreds of times, and a constant rate of faults has its ups.
const DEVIATIONS: f64 = 3.0;

/// What is in force.
pub(super) struct InForce {
    pub(super) config: Config,
    pub(super) plugins: Plugins,
    /// Since when this configuration is.
    since: Instant,
    proved: Plugins,
    probation: BTreeMap<String, Probation>,
    /// What has proved itself and is not remembered yet.
    unsaved: Vec<Proved>,
}

/// A component that has proved itself. It holds no version, which would count as one in use.
pub(super) struct Proved {
    /// The plugin's name.
    pub(super) plugin: String,
    /// The version that it was in.
    pub(super) version: String,
    /// Its hash.
    pub(super) component: String,
}

impl Proved {
    /// `None` if the component does not come from a file: there is nothing to keep.
    pub(super) fn of(plugin: &Plugin) -> Option<Self> {
        plugin.comes_from_file().then(|| Self {
            plugin: plugin.name().to_owned(),
            version: plugin.version().to_owned(),
            component: plugin.component().to_owned(),
        })
    }
}

/// A version that has not proved itself yet.
struct Probation {
    since: Instant,
    /// What the version before it had done by then.
    before: Figures,
    /// What was in force before, if the plugin is a new one.
    without: Option<Box<(Config, Plugins)>>,
}

/// A version that faults.
pub(super) struct Culprit {
    pub(super) plugin: Arc<Plugin>,
    pub(super) reason: String,
}

/// Where a rollback leads.
pub(super) enum WayBack {
    /// To the version before, with the section that it had.
    Version(Arc<Plugin>),
    /// To the configuration without the plugin, which is a new one.
    Without(Box<(Config, Plugins)>),
    /// To a component of which the state folder may know.
    Component,
    /// There is none.
    None,
}

impl InForce {
    /// At the start. The `unproved` plugins have other components than those that are known to be good.
    pub(super) fn new(config: Config, plugins: Plugins, unproved: &[String]) -> Self {
        let now = Instant::now();
        let probation = unproved.iter().map(|name| {
            let probation = Probation {
                since: now,
                before: Figures::default(),
                without: None,
            };
            (name.clone(), probation)
        });
        Self {
            probation: probation.collect(),
            // As long as nothing better is known.
            proved: plugins.clone(),
            since: now,
            config,
            plugins,
            unsaved: Vec::new(),
        }
    }

    /// Other ones are in force now.
    pub(super) fn replace(&mut self, config: Config, plugins: Plugins) {
        let now = Instant::now();
        let is = |one: Option<&Arc<Plugin>>, other| one.is_some_and(|it| Arc::ptr_eq(it, other));
        let mut probation = BTreeMap::new();
        for (name, plugin) in &plugins {
            let goes_on = is(self.plugins.get(name), plugin);
            if let Some(old) = self.probation.remove(name).filter(|_| goes_on) {
                probation.insert(name.clone(), old);
            } else if !goes_on && !is(self.proved.get(name), plugin) {
                let before = self.proved.get(name);
                let without = (before.is_none() && !self.plugins.contains_key(name))
                    .then(|| Box::new((self.config.clone(), self.plugins.clone())));
                let new = Probation {
                    since: now,
                    before: before.map_or_else(Figures::default, |it| it.figures()),
                    without,
                };
                probation.insert(name.clone(), new);
            }
        }
        self.probation = probation;
        self.proved.retain(|name, _| plugins.contains_key(name));
        if self.config != config {
            self.since = now;
        }
        (self.config, self.plugins) = (config, plugins);
        if self.config.swap.rollback.is_none() {
            // Nothing is held for a rollback.
            self.age(Duration::ZERO);
        }
    }

    /// Whether this very version is in force.
    pub(super) fn has(&self, plugin: &Arc<Plugin>) -> bool {
        let now = self.plugins.get(plugin.name());
        now.is_some_and(|now| Arc::ptr_eq(now, plugin))
    }

    /// This version has proved itself.
    pub(super) fn trust(&mut self, plugin: &Arc<Plugin>) {
        self.probation.remove(plugin.name());
        self.proved.insert(plugin.name().to_owned(), plugin.clone());
    }

    /// The probation of a plugin ends without a result.
    pub(super) fn end_probation(&mut self, plugin: &str) {
        self.probation.remove(plugin);
    }

    /// Whether nothing is on probation.
    pub(super) fn is_settled(&self) -> bool {
        self.probation.is_empty() && self.unsaved.is_empty()
    }

    /// The components of the versions in force and of those that are held.
    pub(super) fn components(&self) -> BTreeSet<String> {
        let plugins = self.plugins.values().chain(self.proved.values());
        plugins
            .map(|plugin| plugin.component().to_owned())
            .collect()
    }

    /// What has been in force for this long has proved itself.
    pub(super) fn age(&mut self, window: Duration) {
        let over = self.probation.iter();
        let over = over.filter(|(_, probation)| probation.since.elapsed() >= window);
        let proved: Vec<_> = over
            .filter_map(|(name, _)| self.plugins.get(name).cloned())
            .collect();
        for plugin in proved {
            let before = self.proved.get(plugin.name());
            let before = before.filter(|it| !have_risen(it.figures(), Figures::default()));
            let before = before.and_then(|it| Proved::of(it));
            self.unsaved
                .extend(before.into_iter().chain(Proved::of(&plugin)));
            self.trust(&plugin);
        }
    }

    /// What has proved itself since the last call.
    pub(super) fn take_unsaved(&mut self) -> Vec<Proved> {
        std::mem::take(&mut self.unsaved)
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
    pub(super) fn way_back(&mut self, plugin: &Plugin) -> WayBack {
        if let Some(before) = self.proved.get(plugin.name()) {
            if before.version() != plugin.version() {
                return WayBack::Version(before.clone());
            }
            return WayBack::Component;
        }
        let Some(probation) = self.probation.get_mut(plugin.name()) else {
            return WayBack::Component;
        };
        let only_edit = probation.since == self.since;
        match probation.without.take() {
            Some(without) if only_edit && is_harmless(&without.0, &self.config, plugin.name()) => {
                WayBack::Without(without)
            }
            Some(_) | None => WayBack::None,
        }
    }
}

/// Whether going back from one configuration to the one before undoes nothing but routes, upstreams, models and one plugin: no key
/// that was revoked comes back, no listener, and no model to a tenant that has lost it.
fn is_harmless(before: &Config, now: &Config, plugin: &str) -> bool {
    let others = |config: &Config| {
        let mut plugins = config.plugins.clone();
        plugins.remove(plugin);
        plugins
    };
    let used_before = |name: &String| before.plugins.contains_key(name);
    let mut plugins = others(now);
    // A built-in plugin that a new route names is new as well.
    plugins.retain(|name, _| used_before(name));
    before.admin == now.admin
        && before.listeners == now.listeners
        && before.server == now.server
        && others(before) == plugins
        && is_for_the_same(before, now)
}

/// Whether the models are for the same tenants, where any are not for everybody.
fn is_for_the_same(before: &Config, now: &Config) -> bool {
    let all = |config: &Config| -> Vec<_> {
        let models = config.models.iter();
        models
            .map(|model| (model.name.clone(), model.tenants.clone()))
            .collect()
    };
    let (before, now) = (all(before), all(now));
    let are_all_open = |models: &[(_, Vec<_>)]| models.iter().all(|(_, it)| it.is_empty());
    before == now || are_all_open(&before) && are_all_open(&now)
}

fn have_risen(now: Figures, before: Figures) -> bool {
    #[expect(clippy::cast_precision_loss, reason = "counts of a minute are small")]
    let float = |count: u64| count as f64;
    let expected = if before.calls == 0 {
        0.0
    } else {
        float(now.calls) * float(before.faults) / float(before.calls)
    };
    float(now.faults) >= FAULTS + TIMES * expected + DEVIATIONS * expected.sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_have_risen_if_there_are_clearly_more_than_before() {
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
            ((1000, 1000), (1000, 500), false),
            // One in a hundred fails: 24 are expected, and many more are needed.
            ((2400, 60), (100_000, 1000), false),
            ((2400, 68), (100_000, 1000), true),
        ] {
            let (now, before) = (figures(now.0, now.1), figures(before.0, before.1));
            assert_eq!(have_risen(now, before), expected, "{now:?} {before:?}");
        }
    }
}
