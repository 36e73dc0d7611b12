//! Going back to an earlier plugin version: by itself when faults rise after a swap, or because the operator wants it.

use std::sync::Arc;
use std::time::Duration;

use super::Control;
use super::in_force::WayBack;
use crate::snapshot::{self, load_good};
use crate::supply::off_the_workers;
use crate::versions::Rejection;
use sluicegate_config::{Problem, Problems};
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
    async fn judge(&self, window: Option<Duration>) {
        let (proved, culprit) = {
            let mut in_force = self.in_force.lock().await;
            let culprit = window.and_then(|_| in_force.culprit());
            match culprit {
                Some(culprit) => (Vec::new(), Some(culprit)),
                None => (in_force.age(window.unwrap_or_default()), None),
            }
        };
        self.prove(proved).await;
        if let Some(culprit) = culprit {
            let rejection = Rejection::by_traffic(culprit.reason);
            let plugin = culprit.plugin;
            match self.go_back(&plugin, rejection.clone()).await {
                Ok(()) => self.supply.metrics.plugin(plugin.name()).rolled_back(),
                Err(error) => {
                    let plugin_name = plugin.name();
                    let reason = rejection.reason;
                    tracing::error!(plugin = plugin_name, %error, "a plugin faults and cannot be rolled back: {reason}");
                    self.in_force.lock().await.trust(&plugin);
                }
            }
        }
    }

    /// Keeps the components of versions that have proved themselves.
    async fn prove(&self, plugins: Vec<Arc<Plugin>>) {
        if plugins.is_empty() {
            return;
        }
        let in_force = self.in_force.lock().await.plugins.clone();
        let versions = self.supply.versions.clone();
        off_the_workers(move || {
            let component = |it: &Plugin| versions.component_of(it.name(), it.version());
            for plugin in plugins.iter().filter(|it| it.comes_from_file()) {
                let component = component(plugin);
                if !component.is_empty() {
                    versions.prove(plugin.name(), &component);
                }
            }
            let names = in_force.keys().map(String::as_str).collect();
            let pending = in_force.values().map(|it| component(it)).collect();
            versions.forget_others(&names, &pending);
        })
        .await;
    }

    /// Rolls a plugin back to the version before the one in force, as the operator wants it.
    ///
    /// # Errors
    /// [`Error`]; nothing changes then.
    pub async fn roll_back(&self, name: &str) -> Result<(), Error> {
        let current = self.in_force.lock().await.plugins.get(name).cloned();
        let current = current.ok_or(Error::Unknown)?;
        let way = self.in_force.lock().await.way_back(&current);
        match way {
            WayBack::Plugin(before) => {
                self.use_instead(&current, &before, Rejection::by_operator())
                    .await
            }
            WayBack::Configuration(_) | WayBack::Component => {
                self.use_component(&current, Rejection::by_operator()).await
            }
        }
    }

    async fn go_back(&self, plugin: &Arc<Plugin>, rejection: Rejection) -> Result<(), Error> {
        let way = self.in_force.lock().await.way_back(plugin);
        match way {
            WayBack::Plugin(before) => self.use_instead(plugin, &before, rejection).await,
            WayBack::Component => self.use_component(plugin, rejection).await,
            WayBack::Configuration(before) => {
                let (config, plugins) = *before;
                let mut turn = self.turn.lock().await;
                let previous = self.core.snapshot.load_full();
                let prepared = snapshot::assemble(
                    config.clone(),
                    plugins,
                    &self.supply,
                    Some(&previous),
                    Vec::new(),
                );
                let prepared = prepared.map_err(Error::Problems)?;
                self.reject(plugin, rejection.clone()).await;
                let mut in_force = self.in_force.lock().await;
                self.publish(config, prepared, &mut in_force, &mut turn.listeners)
                    .await
                    .map_err(Error::Problems)?;
                let problem = rejection.problem(format!("plugin.{}", plugin.name()));
                self.note_rollback(Err(problem));
                Ok(())
            }
        }
    }

    /// Uses the last component that has proved good, with the configuration in force.
    async fn use_component(&self, plugin: &Arc<Plugin>, rejection: Rejection) -> Result<(), Error> {
        // Loading may take a while; nothing else is loaded meanwhile.
        let _turn = self.turn.lock().await;
        let config = self.in_force.lock().await.config.clone();
        let configured = config.plugins.get(plugin.name()).ok_or(Error::Unknown)?;
        let but = self
            .supply
            .versions
            .component_of(plugin.name(), plugin.version());
        let loaded = load_good(configured, &self.supply, Some(&but)).await;
        let loaded = loaded.ok_or(Error::NoEarlier)?;
        let component = loaded.component.map(|component| component.hash);
        self.use_instead(plugin, &loaded.plugin, rejection).await?;
        let (versions, name) = (self.supply.versions.clone(), plugin.name().to_owned());
        off_the_workers(move || versions.return_to(&name, &component.unwrap_or_default())).await;
        self.in_force.lock().await.trust(&loaded.plugin);
        Ok(())
    }

    /// Puts `before` in the place of `plugin`, with the configuration in force.
    async fn use_instead(
        &self,
        plugin: &Arc<Plugin>,
        before: &Arc<Plugin>,
        rejection: Rejection,
    ) -> Result<(), Error> {
        let mut in_force = self.in_force.lock().await;
        let mut plugins = in_force.plugins.clone();
        if !plugins
            .get(plugin.name())
            .is_some_and(|it| Arc::ptr_eq(it, plugin))
        {
            // Another one has taken its place meanwhile.
            return Ok(());
        }
        plugins.insert(plugin.name().to_owned(), before.clone());
        let previous = self.core.snapshot.load_full();
        let config = in_force.config.clone();
        let prepared = snapshot::assemble(
            config.clone(),
            plugins,
            &self.supply,
            Some(&previous),
            Vec::new(),
        );
        let prepared = prepared.map_err(Error::Problems)?;
        self.reject(plugin, rejection.clone()).await;
        self.start(config, prepared, &mut in_force);
        let problem = rejection.problem(format!("plugin.{}.source", plugin.name()));
        let version = &before.version()[..12];
        self.note_rollback(Ok(Problem {
            message: format!("{}; version {version} is used instead", problem.message),
            ..problem
        }));
        Ok(())
    }

    async fn reject(&self, plugin: &Arc<Plugin>, rejection: Rejection) {
        let (versions, plugin) = (self.supply.versions.clone(), plugin.clone());
        off_the_workers(move || {
            let component = versions.component_of(plugin.name(), plugin.version());
            versions.reject(plugin.name(), plugin.version(), &component, rejection);
        })
        .await;
    }
}
