//! Going back to an earlier plugin version: by itself when faults rise after a swap, or because the operator wants it.
//!
//! Nothing but the plugin goes back: its version, and with it the section that it had. What else was changed meanwhile stays, such as a
//! key that was revoked. Only where an edit has added the plugin, and nothing else that matters, that edit is undone as a whole.

use std::sync::Arc;
use std::time::Duration;

use super::Control;
use super::in_force::{InForce, Proved, WayBack};
use crate::snapshot::{self, load_first, used_instead};
use crate::supply::off_the_workers;
use crate::versions::Rejection;
use sluicegate_config::{Config, Problem, Problems};
use sluicegate_plugin_host::Plugin;
use tokio::time::sleep;

/// How often the faults of versions on probation are looked at.
const LOOK: Duration = Duration::from_millis(250);

/// Why a plugin cannot be rolled back.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is not in force.
    #[error("no plugin of this name is in use")]
    Unknown,
    /// There is nothing to go back to.
    #[error("no earlier version of it is known that could be used with its configuration")]
    NoEarlier,
    /// It is not the version that was to be rolled back.
    #[error("another version of it has gone live meanwhile; look at it again")]
    Replaced,
    /// The earlier one does not fit the configuration.
    #[error("{0}")]
    Problems(Problems),
}

/// Looks after versions that have not proved themselves: rolls back those whose faults rise.
///
/// # Cancel safety
/// Can be dropped at any time.
pub async fn watch(control: Arc<Control>) {
    loop {
        let (window, settled) = {
            let in_force = control.in_force.lock().await;
            (in_force.config.swap.rollback, in_force.is_settled())
        };
        if settled {
            control.published.notified().await;
            continue;
        }
        control.judge(window).await;
        sleep(LOOK).await;
    }
}

impl Control {
    /// Rolls back the first version on probation that faults, and lets those prove themselves whose window has passed.
    async fn judge(self: &Arc<Self>, window: Option<Duration>) {
        let mut in_force = self.in_force.lock().await;
        let Some(culprit) = window.and_then(|_| in_force.culprit()) else {
            in_force.age(window.unwrap_or_default());
            let proved = in_force.take_unsaved();
            drop(in_force);
            self.save(proved).await;
            return;
        };
        let plugin = culprit.plugin;
        let rejection = Rejection::by_traffic(culprit.reason);
        let result = match in_force.way_back(&plugin) {
            WayBack::Version(before) => {
                let result = self.use_instead(&plugin, &before, &rejection, &mut in_force);
                result.await
            }
            WayBack::Without(before) => {
                let (config, plugins) = *before;
                let result = self.go_back_to(config, plugins, &plugin, &rejection, &mut in_force);
                result.await
            }
            WayBack::None => Err(Error::NoEarlier),
            WayBack::Component => {
                // To load one takes a while: others are looked after meanwhile.
                in_force.end_probation(plugin.name());
                let control = self.clone();
                self.spawn(async move {
                    let result = control.use_component(&plugin, &rejection).await;
                    control.rolled_back(&plugin, &rejection, result);
                });
                return;
            }
        };
        if result.is_err() {
            in_force.end_probation(plugin.name());
        }
        drop(in_force);
        self.rolled_back(&plugin, &rejection, result);
    }

    /// Says how an automatic rollback ended.
    fn rolled_back(&self, plugin: &Plugin, rejection: &Rejection, result: Result<(), Error>) {
        match result {
            Ok(()) => self.supply.metrics.plugin(plugin.name()).rolled_back(),
            Err(Error::Replaced | Error::Unknown) => {}
            Err(error @ (Error::NoEarlier | Error::Problems(_))) => self.note_kept(Problem {
                key: format!("plugin.{}", plugin.name()),
                line: None,
                message: format!(
                    "faults and cannot be rolled back: {}: {error}",
                    rejection.reason
                ),
                mend: "mend the plugin or its configuration".to_owned(),
            }),
        }
    }

    /// Remembers that these have proved themselves.
    async fn save(&self, proved: Vec<Proved>) {
        let versions = self.supply.versions.clone();
        off_the_workers(move || {
            for Proved {
                plugin,
                version,
                component,
            } in &proved
            {
                versions.prove(plugin, version, component);
            }
        })
        .await;
    }

    /// Rolls a plugin back to the version before the one in force, as the operator wants it.
    ///
    /// # Errors
    /// [`Error`]; nothing changes then.
    pub async fn roll_back(&self, name: &str) -> Result<(), Error> {
        let rejection = Rejection::by_operator();
        let mut in_force = self.in_force.lock().await;
        let current = in_force.plugins.get(name).cloned();
        let current = current.ok_or(Error::Unknown)?;
        if let WayBack::Version(before) = in_force.way_back(&current) {
            let result = self.use_instead(&current, &before, &rejection, &mut in_force);
            return result.await;
        }
        drop(in_force);
        self.use_component(&current, &rejection).await
    }

    /// Goes back to the last component that has proved good and is not that of this version, with the configuration in force.
    async fn use_component(
        &self,
        plugin: &Arc<Plugin>,
        rejection: &Rejection,
    ) -> Result<(), Error> {
        // Loading may take a while; nothing else is loaded meanwhile.
        let _turn = self.turn.lock().await;
        let versions = &self.supply.versions;
        let mut good = versions.good(plugin.name());
        good.retain(|hash| hash != plugin.component());
        let loaded = load_first(plugin.made_with(), &self.supply, good).await;
        let loaded = loaded.ok_or(Error::NoEarlier)?.plugin;
        let mut in_force = self.in_force.lock().await;
        let used = self.use_instead(plugin, &loaded, rejection, &mut in_force);
        if let Err(error) = used.await {
            versions.unused(loaded.name(), loaded.version());
            return Err(error);
        }
        in_force.trust(&loaded);
        drop(in_force);
        let versions = versions.clone();
        off_the_workers(move || versions.return_to(loaded.name(), loaded.component())).await;
        Ok(())
    }

    /// Puts `before` in the place of `plugin`, with the section that it was made with.
    async fn use_instead(
        &self,
        plugin: &Arc<Plugin>,
        before: &Arc<Plugin>,
        rejection: &Rejection,
        in_force: &mut InForce,
    ) -> Result<(), Error> {
        if !in_force.has(plugin) {
            return Err(Error::Replaced);
        }
        let name = plugin.name().to_owned();
        let (mut config, mut plugins) = (in_force.config.clone(), in_force.plugins.clone());
        config
            .plugins
            .insert(name.clone(), before.made_with().clone());
        plugins.insert(name, before.clone());
        self.replace(config, plugins, plugin, rejection, in_force)
            .await?;
        // A restart is to find it again.
        self.save(Proved::of(before).into_iter().collect()).await;
        let problem = rejection.problem(format!("plugin.{}.source", plugin.name()));
        self.note_rollback(used_instead(problem, before));
        Ok(())
    }

    /// Goes back to the configuration before the one that has added `plugin`.
    async fn go_back_to(
        &self,
        config: Config,
        plugins: super::in_force::Plugins,
        plugin: &Arc<Plugin>,
        rejection: &Rejection,
        in_force: &mut InForce,
    ) -> Result<(), Error> {
        self.replace(config, plugins, plugin, rejection, in_force)
            .await?;
        let problem = rejection.problem(format!("plugin.{}", plugin.name()));
        self.note_rollback(Problem {
            message: format!(
                "{}; the configuration before it is in force",
                problem.message
            ),
            ..problem
        });
        Ok(())
    }

    /// Puts these into force and rejects the version of `plugin`. Listeners stay as they are.
    async fn replace(
        &self,
        config: Config,
        plugins: super::in_force::Plugins,
        plugin: &Arc<Plugin>,
        rejection: &Rejection,
        in_force: &mut InForce,
    ) -> Result<(), Error> {
        let previous = self.core.snapshot.load_full();
        let prepared = snapshot::assemble(
            config.clone(),
            plugins,
            &self.supply,
            Some(&previous),
            Vec::new(),
        );
        let prepared = prepared.map_err(Error::Problems)?;
        // Before it is replaced: a reload that has prepared it already then sees that it must not.
        self.supply.reject(plugin, rejection.clone()).await;
        self.start(config, prepared, in_force);
        Ok(())
    }
}
