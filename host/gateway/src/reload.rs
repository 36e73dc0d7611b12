//! Hot reload: another configuration, and other plugin files, without a restart.
//!
//! The unit is the whole [`Snapshot`](snapshot::Snapshot): it is made from the configuration and everything that the
//! configuration refers to, and then replaced in one step. An exchange ends with the snapshot that it began with. What has not
//! changed is taken over: plugin versions, targets with their connections and their health, listeners. If anything is wrong,
//! nothing changes.
//!
//! [`Control::apply`] is that step. [`Control::reload`] reads the configuration again for it, because the operator asks for it or
//! because [`watch`] saw that a file has changed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{Mutex as AsyncMutex, Notify};
use tokio::task::JoinHandle;

use crate::descriptors;
use crate::exchange::Core;
use crate::listeners::{Listeners, admin_terms};
use crate::snapshot::{self, Prepared, Workers};
use crate::supply::{Supply, off_the_workers};
use sluicegate_config::{self as config, Config, Problem, Problems};
use sluicegate_plugin_host::Plugin;
use sluicegate_serve::Terms;
use sluicegate_telemetry::clock::unix_ms;
use sluicegate_telemetry::log;

mod files;
mod fixed;
mod in_force;
pub mod rollback;
mod status;
pub mod watch;

use files::Contents;
use fixed::Fixed;
use in_force::InForce;
pub use status::{Refused, Status, problems};

/// Reads the configuration, and names the files that the result depends on.
pub type Read = dyn Fn() -> (Result<Config, Problems>, BTreeSet<PathBuf>) + Send + Sync;

/// A configuration, and where it comes from.
pub struct Origin {
    pub(crate) config: Config,
    read: Option<Arc<Read>>,
    seen: Contents,
}

impl Origin {
    /// A configuration that cannot be read again.
    #[must_use]
    pub fn fixed(config: Config) -> Self {
        Self {
            config,
            read: None,
            seen: Contents::default(),
        }
    }

    /// Reads a configuration for the first time.
    ///
    /// # Errors
    /// Those of `read`.
    pub fn read(read: Arc<Read>) -> Result<Self, Problems> {
        let (config, seen) = files::read(&*read, &BTreeSet::new());
        Ok(Self {
            config: config?,
            read: Some(read),
            seen,
        })
    }

    /// The configuration.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }
}

/// Puts configurations into force, one after the other.
pub struct Control {
    core: Arc<Core>,
    supply: Supply,
    workers: Workers,
    /// What cannot change while the process runs.
    fixed: Fixed,
    /// Held while a configuration is put into force: each is made from the one before it.
    turn: AsyncMutex<Turn>,
    /// Held while a snapshot is replaced, which takes no time: a rollback does not wait for a plugin that is compiled.
    in_force: AsyncMutex<InForce>,
    read: Option<Arc<Read>>,
    status: Mutex<Status>,
    applied: Notify,
    /// A snapshot was published: something may be on probation now.
    published: Notify,
    /// Whether a requested reload waits for its turn.
    requested: AtomicBool,
    /// The terms of the admin listener, if there is one.
    admin_terms: Option<Arc<ArcSwap<Terms>>>,
}

/// What changes with each configuration, beside the snapshot.
struct Turn {
    listeners: Listeners,
    /// What was in the files when the configuration was last read, whether it was refused or not.
    seen: Contents,
}

impl Control {
    /// For a gateway whose first configuration is in force already.
    pub(crate) fn new(
        core: Arc<Core>,
        supply: Supply,
        workers: Workers,
        (listeners, admin_terms): (Listeners, Option<Arc<ArcSwap<Terms>>>),
        origin: Origin,
        kept: Vec<Problem>,
    ) -> Self {
        let Origin { config, read, seen } = origin;
        supply.metrics.reloaded(kept.is_empty(), unix_ms());
        let plugins = core.snapshot.load().plugins.clone();
        supply.versions.in_force(plugins.values(), 1);
        let unproved = unproved(&plugins, &supply);
        Self {
            in_force: AsyncMutex::new(InForce::new(config.clone(), plugins, &unproved)),
            published: Notify::new(),
            core,
            supply,
            workers,
            fixed: Fixed::of(&config),
            turn: AsyncMutex::new(Turn { listeners, seen }),
            read,
            status: Mutex::new(Status {
                generation: 1,
                since_ms: unix_ms(),
                refused: None,
                kept,
            }),
            applied: Notify::new(),
            requested: AtomicBool::new(false),
            admin_terms,
        }
    }

    /// Puts another configuration into force: exchanges that have begun end with the one that they began with, later ones
    /// begin with the new one. What has not changed goes on: plugin versions, targets with their connections, health checks,
    /// observers and listeners. New listeners are open before, those that are gone drain.
    ///
    /// # Errors
    /// All problems of the configuration; the one in force stays.
    ///
    /// Returns why plugins keep an earlier version although everything else is in force.
    pub async fn apply(&self, config: Config) -> Result<Vec<Problem>, Problems> {
        let mut turn = self.turn.lock().await;
        let result = self.apply_in_turn(config, &mut turn.listeners).await;
        result.map_err(|problems| self.refused(problems))
    }

    /// Reads the configuration again and puts it into force, also if nothing seems to have changed. Returns when it is in force
    /// or refused.
    ///
    /// # Errors
    /// As [`Control::apply`], and where the gateway was not started from a file.
    pub async fn reload(self: &Arc<Self>) -> Result<Vec<Problem>, Problems> {
        // On a task of its own: whoever asked may leave before it is done.
        let control = self.clone();
        let task = self.spawn(async move {
            let mut turn = control.turn.lock().await;
            control.reload_in_turn(&mut turn).await
        });
        let result = task.await;
        let result = result.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
        result.unwrap_or_else(|| {
            Err(Problems(vec![Problem {
                key: String::new(),
                line: None,
                message: "the gateway stops, so that nothing is read any more".into(),
                mend: "start it again".into(),
            }]))
        })
    }

    /// As [`Control::reload`], without waiting for it; the log says how it ended. A request while another one waits changes nothing:
    /// that one will read what is there then.
    pub fn request_reload(self: &Arc<Self>) {
        if self.requested.swap(true, Ordering::AcqRel) {
            return;
        }
        let control = self.clone();
        self.spawn(async move {
            let mut turn = control.turn.lock().await;
            control.requested.store(false, Ordering::Release);
            // It is logged, counted and shown.
            let _ = control.reload_in_turn(&mut turn).await;
        });
    }

    /// Runs something that is given up when the gateway drains.
    fn spawn<F>(&self, work: F) -> JoinHandle<Option<F::Output>>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        let drain = self.workers.drain.clone();
        let tasks = &self.workers.watching;
        tasks.spawn(async move { drain.run_until_cancelled(work).await })
    }

    /// As [`Control::reload`], if there is something else in the files than when they were last read.
    async fn reload_if_changed(&self) {
        let mut turn = self.turn.lock().await;
        let seen = turn.seen.clone();
        let changed = off_the_workers(move || seen.again() != seen).await;
        if changed {
            // It is logged, counted and shown.
            let _ = self.reload_in_turn(&mut turn).await;
        }
    }

    /// How often files are looked at; `None`: never.
    fn interval(&self) -> Option<Duration> {
        self.core.snapshot.load().server.reload
    }

    /// Waits until another configuration is in force.
    async fn applied(&self) {
        self.applied.notified().await;
    }

    /// The files that the configuration depends on.
    async fn files(&self) -> BTreeSet<PathBuf> {
        self.turn.lock().await.seen.paths()
    }

    async fn reload_in_turn(&self, turn: &mut Turn) -> Result<Vec<Problem>, Problems> {
        let Some(read) = self.read.clone() else {
            return Err(Problems(vec![Problem {
                key: String::new(),
                line: None,
                message:
                    "the gateway runs without a configuration file: there is nothing to read again"
                        .into(),
                mend: "start it with `--config FILE`".into(),
            }]));
        };
        let known = turn.seen.paths();
        if let Some(pipe) = known.iter().find(|path| files::is_pipe(path)) {
            // To read it could block for ever.
            let problem = Problem {
                key: pipe.display().to_string(),
                line: None,
                message: "is not a file".into(),
                mend: "put a file in its place".into(),
            };
            turn.seen = turn.seen.again();
            return Err(self.refused(Problems(vec![problem])));
        }
        let (config, seen) = off_the_workers(move || files::read(&*read, &known)).await;
        turn.seen = seen;
        let result = match config {
            Ok(config) => Box::pin(self.apply_in_turn(config, &mut turn.listeners)).await,
            Err(problems) => Err(problems),
        };
        result.map_err(|problems| self.refused(problems))
    }

    /// Prepares and publishes. A version that is rejected while another one is loaded is not brought back.
    async fn apply_in_turn(
        &self,
        config: Config,
        listeners: &mut Listeners,
    ) -> Result<Vec<Problem>, Problems> {
        let fixed = self.fixed.check(&config);
        if !fixed.is_empty() {
            return Err(Problems(fixed));
        }
        loop {
            let previous = self.core.snapshot.load_full();
            let prepared = snapshot::prepare(config.clone(), &self.supply, Some(&previous)).await?;
            let kept = prepared.kept().to_vec();
            let plugins = prepared.plugins().clone();
            keep(&self.supply, &prepared).await;
            prepared.look_up_names(&self.supply).await;
            let mut in_force = self.in_force.lock().await;
            let versions = &self.supply.versions;
            let is_rejected = |(name, plugin): (&String, &Arc<Plugin>)| {
                versions.rejection(name, plugin.version()).is_some()
            };
            if prepared.plugins().iter().any(is_rejected) {
                continue;
            }
            let published = self.publish(config, prepared, &mut in_force, listeners);
            if let Err(problems) = published.await {
                for (name, plugin) in &plugins {
                    versions.unused(name, plugin.version());
                }
                return Err(problems);
            }
            // Before a rollback can have its say.
            self.note_applied(&kept);
            drop(in_force);
            self.tidy().await;
            return Ok(kept);
        }
    }

    /// Forgets what nobody can go back to. Nothing may be loaded meanwhile.
    pub(crate) async fn tidy(&self) {
        let (names, used) = {
            let in_force = self.in_force.lock().await;
            let names = in_force.plugins.keys().cloned().collect();
            (names, in_force.components())
        };
        let versions = self.supply.versions.clone();
        off_the_workers(move || versions.tidy(&names, used)).await;
    }

    /// Puts what is prepared into force, with its listeners.
    async fn publish(
        &self,
        config: Config,
        prepared: Prepared,
        in_force: &mut InForce,
        listeners: &mut Listeners,
    ) -> Result<(), Problems> {
        let now = prepared.config();
        let plan = listeners.plan(&now.listeners).await;
        let plan = plan.map_err(|(place, error)| {
            let mend = "choose a free address, or restart the gateway if it is its own; for `tls`, give files that can be used"
                .into();
            let listener = &now.listeners[place];
            Problems(vec![listener.position.problem(error.to_string(), mend)])
        })?;
        // It has no certificate, so that nothing can be wrong with it.
        let admin_terms = now.admin.as_ref().and_then(|it| admin_terms(it).ok());
        // A validated configuration has a level that can be used.
        if let Err(error) = log::set_level(&now.log.level) {
            tracing::warn!(%error, "the log keeps its level");
        }
        listeners.limit(descriptors::fit_to(
            descriptors::raise(),
            &now.server.limits,
        ));
        self.start(config, prepared, in_force);
        listeners.apply(plan);
        if let (Some(terms), Some(now)) = (&self.admin_terms, admin_terms) {
            terms.store(Arc::new(now));
        }
        Ok(())
    }

    /// Replaces the snapshot.
    fn start(&self, config: Config, prepared: Prepared, in_force: &mut InForce) {
        let previous = self.core.snapshot.load_full();
        let drain = config.swap.drain;
        let snapshot = prepared.start(&self.workers, &self.supply, Some(&previous));
        let snapshot = Arc::new(snapshot);
        self.core.snapshot.store(snapshot.clone());
        let (before, after) = (&previous.plugins, &snapshot.plugins);
        self.core.finishing.replace(before, after, drain);
        let generation = self.current().generation + 1;
        let versions = &self.supply.versions;
        versions.in_force(after.values(), generation);
        in_force.replace(config, after.clone());
        self.published.notify_one();
    }

    /// Everything that was rejected of a plugin may be tried again; then reads the configuration again.
    ///
    /// # Errors
    /// As [`Control::reload`].
    pub async fn activate(self: &Arc<Self>, plugin: &str) -> Result<Vec<Problem>, Problems> {
        let (versions, name) = (self.supply.versions.clone(), plugin.to_owned());
        off_the_workers(move || versions.absolve(&name)).await;
        self.reload().await
    }

    /// The plugin folder of the configuration in force.
    pub async fn plugin_folder(&self) -> Option<PathBuf> {
        self.in_force.lock().await.config.folders.plugins.clone()
    }

    /// Whether there is a configuration that can be read again.
    #[must_use]
    pub fn can_reload(&self) -> bool {
        self.read.is_some()
    }

    /// Whether this name has a section whose source is not this file.
    pub async fn has_other_source(&self, plugin: &str, file: &Path) -> bool {
        let in_force = self.in_force.lock().await;
        let config = &in_force.config;
        let source = config.plugins.get(plugin).map(|it| &it.source);
        let is_this = matches!(source, Some(config::Source::File(source)) if source == file);
        config.plugin_sections.contains(plugin) && !is_this
    }

    /// What would be wrong if this plugin was in force in place of the one of its name. Nothing, if there is none.
    ///
    /// # Errors
    /// All problems.
    pub async fn fits(&self, plugin: &Arc<Plugin>) -> Result<(), Problems> {
        let (config, mut plugins) = {
            let in_force = self.in_force.lock().await;
            (in_force.config.clone(), in_force.plugins.clone())
        };
        let name = plugin.name().to_owned();
        if plugins.insert(name, plugin.clone()).is_none() {
            return Ok(());
        }
        let previous = self.core.snapshot.load_full();
        let problems = Vec::new();
        snapshot::assemble(config, plugins, &self.supply, Some(&previous), problems).map(drop)
    }

    /// How a plugin is configured, or would be if it was used.
    ///
    /// # Errors
    /// What is wrong with the file beside its component.
    pub async fn configured(&self, plugin: &str) -> Result<config::Plugin, Problems> {
        let (folder, configured) = {
            let in_force = self.in_force.lock().await;
            let config = &in_force.config;
            let configured = config.plugins.get(plugin).cloned();
            (
                config.folders.plugins.clone().unwrap_or_default(),
                configured,
            )
        };
        match configured {
            Some(configured) if matches!(configured.source, config::Source::File(_)) => {
                Ok(configured)
            }
            Some(_) | None => {
                let name = plugin.to_owned();
                let environment = |name: &str| std::env::var(name).ok();
                off_the_workers(move || config::in_folder(&folder, &name, &environment)).await
            }
        }
    }

    /// What is known of plugin versions, and what it takes to make one.
    #[must_use]
    pub fn supply(&self) -> &Supply {
        &self.supply
    }
}

/// Keeps the components of plugins that were not in use before: their files may be other ones when they prove good.
pub(crate) async fn keep(supply: &Supply, prepared: &Prepared) {
    let components = prepared.components().values();
    let components: Vec<_> = components
        .map(|it| (it.hash.clone(), it.bytes.clone()))
        .collect();
    let versions = supply.versions.clone();
    off_the_workers(move || {
        for (hash, bytes) in &components {
            versions.keep(hash, bytes);
        }
    })
    .await;
}

/// The plugins whose components are other ones than the last that proved good.
fn unproved(plugins: &BTreeMap<String, Arc<Plugin>>, supply: &Supply) -> Vec<String> {
    let is_unproved = |(name, plugin): &(&String, &Arc<Plugin>)| {
        let good = supply.versions.good(name);
        plugin.comes_from_file() && good.first().is_none_or(|good| good != plugin.component())
    };
    let unproved = plugins.iter().filter(is_unproved);
    unproved.map(|(name, _)| name.clone()).collect()
}
