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
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{Mutex as AsyncMutex, Notify};
use tokio::task::JoinHandle;

use crate::descriptors;
use crate::exchange::Core;
use crate::listeners::{Listeners, admin_terms};
use crate::snapshot::{self, Prepared, Workers};
use crate::supply::{Supply, off_the_workers};
use serde_json::{Value, json};
use sluicegate_config::{self as config, Config, Problem, Problems};
use sluicegate_plugin_host::Plugin;
use sluicegate_serve::Terms;
use sluicegate_telemetry::clock::unix_ms;
use sluicegate_telemetry::log;

mod files;
mod in_force;
pub mod rollback;
pub mod watch;

use files::Contents;
use in_force::InForce;

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

/// What is known about the configuration in force, and about the last attempt to replace it.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// How many configurations have been put into force; the one at the start is the first.
    pub generation: u64,
    /// Since when the one in force is, in milliseconds since 1970.
    pub since_ms: u64,
    /// The last attempt that was refused, if none has succeeded since.
    pub refused: Option<Refused>,
    /// Why plugins have another version than the one that is configured.
    pub kept: Vec<Problem>,
}

/// A configuration that was not put into force.
#[derive(Clone, Debug)]
pub struct Refused {
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// Why.
    pub problems: Problems,
}

/// The parts of a configuration that need a restart.
#[derive(PartialEq)]
struct Fixed {
    admin: Option<std::net::SocketAddr>,
    chat: Option<config::Chat>,
    format: config::LogFormat,
    folders: config::Folders,
}

impl Fixed {
    fn of(config: &Config) -> Self {
        Self {
            admin: config.admin.as_ref().map(|admin| admin.listen),
            chat: config.chat.clone(),
            format: config.log.format,
            folders: config.folders.clone(),
        }
    }

    /// What of a configuration would need a restart.
    fn check(&self, config: &Config) -> Vec<Problem> {
        let other = Self::of(config);
        let changed = [
            ("admin.listen", self.admin != other.admin),
            ("chat", self.chat != other.chat),
            ("log.format", self.format != other.format),
            ("plugins.cache", self.folders.cache != other.folders.cache),
            ("state.dir", self.folders.state != other.folders.state),
        ];
        changed
            .into_iter()
            .filter(|(_, changed)| *changed)
            .map(|(key, _)| Problem {
                key: key.into(),
                line: None,
                message: "has changed, which needs a restart".into(),
                mend: "restart the gateway, or undo this change so that the others can be applied"
                    .into(),
            })
            .collect()
    }
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
        supply.versions.in_force(plugins.values());
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

    /// What is in force, and what was refused.
    #[must_use]
    pub fn status(&self) -> Status {
        self.status
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
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
        self.note(result)
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
            return self.note(Err(Problems(vec![problem])));
        }
        let (config, seen) = off_the_workers(move || files::read(&*read, &known)).await;
        turn.seen = seen;
        let result = match config {
            Ok(config) => Box::pin(self.apply_in_turn(config, &mut turn.listeners)).await,
            Err(problems) => Err(problems),
        };
        self.note(result)
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
            return Ok(kept);
        }
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
        let snapshot = prepared.start(&self.workers, &self.supply.metrics, Some(&previous));
        let snapshot = Arc::new(snapshot);
        self.core.snapshot.store(snapshot.clone());
        let (before, after) = (&previous.plugins, &snapshot.plugins);
        self.core.finishing.replace(before, after, drain);
        self.supply.versions.in_force(after.values());
        in_force.replace(config, after.clone());
        self.published.notify_one();
    }

    /// Remembers how an attempt ended, and says so in log, metrics and journal.
    fn note(&self, result: Result<Vec<Problem>, Problems>) -> Result<Vec<Problem>, Problems> {
        let now = unix_ms();
        let whole = result.as_ref().is_ok_and(Vec::is_empty);
        self.supply.metrics.reloaded(whole, now);
        let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        match &result {
            Ok(kept) => {
                *status = Status {
                    generation: status.generation + 1,
                    since_ms: now,
                    refused: None,
                    kept: kept.clone(),
                };
                let generation = status.generation;
                for problem in kept {
                    complain(problem);
                }
                tracing::info!(generation, "the configuration is in force");
                self.applied.notify_one();
                self.tell(
                    json!({"state": "in_force", "generation": generation, "kept": problems(kept)}),
                );
            }
            Err(all) => {
                for problem in &all.0 {
                    complain(problem);
                }
                let generation = status.generation;
                tracing::error!(generation, "the current configuration remains in force");
                status.refused = Some(Refused {
                    at_ms: now,
                    problems: all.clone(),
                });
                self.tell(json!({"state": "refused", "generation": generation, "problems": problems(&all.0)}));
            }
        }
        result
    }

    /// Remembers a rollback: of a plugin, which has another version than the configured one now, or of the whole configuration.
    fn note_rollback(&self, result: Result<Problem, Problem>) {
        let now = unix_ms();
        self.supply.metrics.reloaded(false, now);
        let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        status.generation += 1;
        status.since_ms = now;
        let generation = status.generation;
        let (Ok(problem) | Err(problem)) = &result;
        complain(problem);
        tracing::warn!(generation, "rolled back");
        self.tell(json!({
            "state": "rolled_back",
            "generation": generation,
            "problems": problems(std::slice::from_ref(problem)),
        }));
        match result {
            Ok(problem) => {
                status.kept.retain(|it| it.key != problem.key);
                status.kept.push(problem);
            }
            Err(problem) => {
                status.refused = Some(Refused {
                    at_ms: now,
                    problems: Problems(vec![problem]),
                });
            }
        }
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

    /// Whether this name means something else than this file.
    pub async fn has_other_source(&self, plugin: &str, file: &Path) -> bool {
        let in_force = self.in_force.lock().await;
        let configured = in_force.config.plugins.get(plugin);
        // What is built in gives way to a file.
        configured.is_some_and(|it| match &it.source {
            config::Source::File(source) => source != file,
            config::Source::Builtin(name) => name != plugin,
        })
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

    fn tell(&self, data: Value) {
        self.supply.versions.journal().add("config", data);
    }

    /// What is known of plugin versions, and what it takes to make one.
    #[must_use]
    pub fn supply(&self) -> &Supply {
        &self.supply
    }
}

/// Problems as the admin interface shows them.
#[must_use]
pub fn problems(problems: &[Problem]) -> Value {
    let problem = |problem: &Problem| json!({"key": problem.key, "line": problem.line, "message": problem.message, "mend": problem.mend});
    problems.iter().map(problem).collect()
}

fn complain(problem: &Problem) {
    let Problem {
        key,
        message,
        mend,
        line,
    } = problem;
    tracing::error!(key, line, mend, "configuration refused: {key} {message}");
}

/// Keeps the components of plugins that were not in use before: their files may be other ones when they prove good. Where none is known to be good yet, this one is.
pub(crate) async fn keep(supply: &Supply, prepared: &Prepared) {
    let components = prepared.components().iter();
    let components: Vec<_> = components
        .map(|(name, it)| (name.clone(), it.hash.clone(), it.bytes.clone()))
        .collect();
    let versions = supply.versions.clone();
    off_the_workers(move || {
        for (name, hash, bytes) in &components {
            versions.keep(hash, bytes);
            if versions.good(name).is_empty() {
                versions.prove(name, hash);
            }
        }
    })
    .await;
}

/// The plugins whose components are other ones than the last that proved good.
fn unproved(plugins: &BTreeMap<String, Arc<Plugin>>, supply: &Supply) -> Vec<String> {
    let versions = &supply.versions;
    let is_unproved = |(name, plugin): &(&String, &Arc<Plugin>)| {
        let component = versions.component_of(name, plugin.version());
        let good = versions.good(name);
        plugin.comes_from_file() && good.first().is_some_and(|good| *good != component)
    };
    let unproved = plugins.iter().filter(is_unproved);
    unproved.map(|(name, _)| name.clone()).collect()
}
