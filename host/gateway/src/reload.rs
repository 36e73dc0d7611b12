//! Hot reload: another configuration, and other plugin files, without a restart.
//!
//! The unit is the whole [`Snapshot`](snapshot::Snapshot): it is made from the configuration and everything that the
//! configuration refers to, and then replaced in one step. An exchange ends with the snapshot that it began with. What has not
//! changed is taken over: plugin versions, targets with their connections and their health, listeners. If anything is wrong,
//! nothing changes.
//!
//! [`Control::apply`] is that step. [`Control::reload`] reads the configuration again for it, because the operator asks for it or
//! because [`watch`] saw that a file has changed.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{Mutex as AsyncMutex, Notify};
use tokio::task::JoinHandle;

use crate::descriptors;
use crate::exchange::Core;
use crate::listeners::{Listeners, admin_terms};
use crate::snapshot::{self, Workers};
use sluicegate_config::{self as config, Config, Problem, Problems};
use sluicegate_plugin_host::{Builtins, Loader};
use sluicegate_serve::Terms;
use sluicegate_telemetry::clock::unix_ms;
use sluicegate_telemetry::log;
use sluicegate_telemetry::metrics::Metrics;

mod files;
pub mod watch;

use files::Contents;

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
    loader: Loader,
    builtins: Builtins,
    metrics: Arc<Metrics>,
    workers: Workers,
    /// What cannot change while the process runs.
    fixed: Fixed,
    /// Held while a configuration is put into force: each is made from the one before it.
    turn: AsyncMutex<Turn>,
    read: Option<Arc<Read>>,
    status: Mutex<Status>,
    applied: Notify,
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
        (loader, builtins): (Loader, Builtins),
        metrics: Arc<Metrics>,
        workers: Workers,
        (listeners, admin_terms): (Listeners, Option<Arc<ArcSwap<Terms>>>),
        origin: Origin,
    ) -> Self {
        let Origin { config, read, seen } = origin;
        metrics.reloaded(true, unix_ms());
        Self {
            core,
            loader,
            builtins,
            metrics,
            workers,
            fixed: Fixed::of(&config),
            turn: AsyncMutex::new(Turn { listeners, seen }),
            read,
            status: Mutex::new(Status {
                generation: 1,
                since_ms: unix_ms(),
                refused: None,
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
    pub async fn apply(&self, config: Config) -> Result<(), Problems> {
        let mut turn = self.turn.lock().await;
        let result = self.apply_in_turn(config, &mut turn.listeners).await;
        self.note(result)
    }

    /// Reads the configuration again and puts it into force, also if nothing seems to have changed. Returns when it is in force
    /// or refused.
    ///
    /// # Errors
    /// As [`Control::apply`], and where the gateway was not started from a file.
    pub async fn reload(self: &Arc<Self>) -> Result<(), Problems> {
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

    async fn reload_in_turn(&self, turn: &mut Turn) -> Result<(), Problems> {
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
            Ok(config) => self.apply_in_turn(config, &mut turn.listeners).await,
            Err(problems) => Err(problems),
        };
        self.note(result)
    }

    async fn apply_in_turn(
        &self,
        config: Config,
        listeners: &mut Listeners,
    ) -> Result<(), Problems> {
        let fixed = self.fixed.check(&config);
        if !fixed.is_empty() {
            return Err(Problems(fixed));
        }
        let previous = self.core.snapshot.load_full();
        let prepared = snapshot::prepare(
            config,
            &self.loader,
            self.builtins,
            &self.metrics,
            Some(&previous),
        )
        .await?;
        let config = prepared.config();
        let plan = listeners.plan(&config.listeners).await;
        let plan = plan.map_err(|(place, error)| {
            let mend = "choose a free address, or restart the gateway if it is its own; for `tls`, give files that can be used"
                .into();
            let listener = &config.listeners[place];
            Problems(vec![listener.position.problem(error.to_string(), mend)])
        })?;
        // It has no certificate, so that nothing can be wrong with it.
        let admin_terms = config.admin.as_ref().and_then(|it| admin_terms(it).ok());
        // A validated configuration has a level that can be used.
        if let Err(error) = log::set_level(&config.log.level) {
            tracing::warn!(%error, "the log keeps its level");
        }
        listeners.limit(descriptors::fit_to(
            descriptors::raise(),
            &config.server.limits,
        ));
        let snapshot = prepared.start(&self.workers, &self.metrics, Some(&previous));
        self.core.snapshot.store(Arc::new(snapshot));
        listeners.apply(plan);
        if let (Some(terms), Some(now)) = (&self.admin_terms, admin_terms) {
            terms.store(Arc::new(now));
        }
        Ok(())
    }

    /// Remembers how an attempt ended, and says so in log and metrics.
    fn note(&self, result: Result<(), Problems>) -> Result<(), Problems> {
        let now = unix_ms();
        self.metrics.reloaded(result.is_ok(), now);
        let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        match &result {
            Ok(()) => {
                *status = Status {
                    generation: status.generation + 1,
                    since_ms: now,
                    refused: None,
                };
                tracing::info!(
                    generation = status.generation,
                    "the configuration is in force"
                );
                self.applied.notify_one();
            }
            Err(problems) => {
                for Problem {
                    key,
                    message,
                    mend,
                    line,
                } in &problems.0
                {
                    tracing::error!(key, line, mend, "configuration refused: {key} {message}");
                }
                tracing::error!(
                    generation = status.generation,
                    "the current configuration remains in force"
                );
                status.refused = Some(Refused {
                    at_ms: now,
                    problems: problems.clone(),
                });
            }
        }
        result
    }
}

/// Runs work that waits for files on a thread that carries no traffic.
async fn off_the_workers<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let task = tokio::task::spawn_blocking(work).await;
    task.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}
