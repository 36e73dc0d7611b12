//! Starting and stopping: the one place that spawns tasks.
//!
//! A gateway serves until it is told to stop. Then it drains: no new connections, not ready, running exchanges go on to
//! their end or to the deadline; what is left ends with an error; observers get what has been accounted for; then it is gone.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::runtime::{self, Handle, Runtime};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admin::{self, Admin, MoreMetrics};
use crate::descriptors;
use crate::exchange::{self, Admission, Capacity, Core, Finishing, Recent};
use crate::snapshot::{self, Workers};
use sluicegate_config::{Config, Limits, Problems};
use sluicegate_plugin_host::{Builtins, Engine};
use sluicegate_serve::{self as server, Connections, Hosts, Listener};
use sluicegate_telemetry::metrics::Metrics;

/// How long observers get for what is left in their queues.
const FLUSH: Duration = Duration::from_secs(5);

/// How long exchanges that are ended at the deadline may take to tell their clients so. Arbitrary.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Connections that the admin listener takes at a time. Arbitrary: it has few clients.
const ADMIN_CONNECTIONS: usize = 64;

/// Why a gateway does not start. Nothing is left running.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration cannot be put into force.
    #[error("{0}")]
    Configuration(Problems),
    /// A listener cannot be opened.
    #[error(transparent)]
    Listener(#[from] server::Error),
    /// The system gives no thread for the observers.
    #[error("a thread cannot be started: {0}")]
    Thread(std::io::Error),
}

/// A running gateway.
pub struct Gateway {
    addresses: Vec<SocketAddr>,
    admin: Option<SocketAddr>,
    core: Arc<Core>,
    more_metrics: Arc<OnceLock<MoreMetrics>>,
    drain_timeout: Duration,
    engine: Engine,
    builtins: Builtins,
    swapping: tokio::sync::Mutex<()>,
    metrics: Arc<Metrics>,
    /// Where health checks, which end with `drain`, and observers run, which end when nothing can reach their queues any more.
    workers: Workers,
    drain: CancellationToken,
    cut: CancellationToken,
    /// Accept loops, connections and their streams.
    serving: TaskTracker,
    /// The same of the admin listener; they end with `cut`.
    administering: TaskTracker,
    _observers: ObserverRuntime,
}

/// Opens the listeners of the proxy, and that of the admin interface if there is one.
async fn open(config: &Config) -> Result<(Vec<Listener>, Option<Listener>), server::Error> {
    let mut listeners = Vec::new();
    for listener in &config.listeners {
        let hosts = listener.hosts.as_deref();
        let hosts = hosts.map(|names| Hosts::new(names, "`hosts` of the `[[listener]]`"));
        listeners.push(Listener::open(listener).await?.with_hosts(hosts));
    }
    let Some(admin) = &config.admin else {
        return Ok((listeners, None));
    };
    let listener = sluicegate_config::Listener::at(admin.listen);
    let hosts = admin.hosts.as_deref();
    let hosts = hosts.map(|names| Hosts::new(names, "`hosts` of `[admin]`"));
    let admin = Listener::open(&listener).await?.with_hosts(hosts);
    Ok((listeners, Some(admin)))
}

impl Gateway {
    /// Loads the plugins, opens the listeners and serves.
    ///
    /// # Errors
    /// [`Error`] with everything that is wrong with the configuration, or the first listener that cannot be opened.
    pub async fn start(config: Config, engine: &Engine, builtins: Builtins) -> Result<Self, Error> {
        let metrics = Arc::new(Metrics::new());
        let prepared = snapshot::prepare(config.clone(), engine, builtins, &metrics, None)
            .await
            .map_err(Error::Configuration)?;
        let (listeners, admin_listener) = open(prepared.config()).await?;
        let descriptors = descriptors::raise();
        let limits = Arc::new(fit_to(descriptors, &config.server.limits));
        let (drain, cut) = (CancellationToken::new(), CancellationToken::new());
        let observers = ObserverRuntime::start().map_err(Error::Thread)?;
        let workers = Workers {
            drain: drain.clone(),
            cut: cut.clone(),
            watching: TaskTracker::new(),
            observing: TaskTracker::new(),
            observers: observers.handle(),
        };
        let snapshot = prepared.start(&workers, &metrics, None);
        let capacity = Capacity {
            exchanges: descriptors::most_exchanges(descriptors),
            sandboxes: engine.sandboxes(),
        };
        let core = Arc::new(Core {
            snapshot: ArcSwap::from_pointee(snapshot),
            admission: Admission::new(capacity, metrics.admission()),
            recent: Recent::default(),
            finishing: Finishing::start(limits.write_timeout),
        });
        let gateway = Self {
            addresses: listeners.iter().map(Listener::address).collect(),
            admin: admin_listener.as_ref().map(Listener::address),
            core: core.clone(),
            more_metrics: Arc::default(),
            drain_timeout: config.server.drain_timeout,
            engine: engine.clone(),
            builtins,
            swapping: tokio::sync::Mutex::default(),
            metrics: metrics.clone(),
            workers,
            drain,
            cut,
            serving: TaskTracker::new(),
            administering: TaskTracker::new(),
            _observers: observers,
        };
        let connections = Connections {
            permits: Arc::new(Semaphore::new(limits.connections)),
            idle: None,
            limits,
            tasks: gateway.serving.clone(),
            drain: gateway.drain.clone(),
            cut: gateway.cut.clone(),
        };
        for listener in listeners {
            let core = core.clone();
            let handler = move |client, request| exchange::serve(core.clone(), client, request);
            gateway
                .serving
                .spawn(server::accept(listener, connections.clone(), handler));
        }
        if let Some(listener) = admin_listener {
            let admin = Arc::new(Admin {
                core,
                metrics,
                more_metrics: gateway.more_metrics.clone(),
                token: config.admin.and_then(|admin| admin.token),
                drain: gateway.drain.clone(),
            });
            // Answers during the drain too, so that a probe sees "not ready" and not a refused connection.
            let connections = Connections {
                permits: Arc::new(Semaphore::new(ADMIN_CONNECTIONS)),
                idle: Some(Arc::default()),
                tasks: gateway.administering.clone(),
                drain: gateway.cut.clone(),
                ..connections
            };
            let handler = move |peer, request| admin::serve(admin.clone(), peer, request);
            gateway
                .administering
                .spawn(server::accept(listener, connections, handler));
        }
        Ok(gateway)
    }

    /// The addresses of the listeners, in the order of the configuration, with the ports that were taken.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The address of the admin listener.
    #[must_use]
    pub fn admin(&self) -> Option<SocketAddr> {
        self.admin
    }

    /// What exchanges share; for tests and for what runs beside the gateway.
    #[must_use]
    pub fn core(&self) -> &Arc<Core> {
        &self.core
    }

    /// Shows more figures on the admin interface: of the first who asks for it.
    ///
    /// # Shape
    /// What `metrics` gives is OpenMetrics text without its end mark, with names that the gateway does not have.
    pub fn show_metrics(&self, metrics: impl Fn() -> String + Send + Sync + 'static) {
        // There is one web gateway in a process.
        let _ = self.more_metrics.set(Box::new(metrics));
    }

    /// Puts another configuration into force: exchanges that have begun end with the one that they began with, later ones
    /// begin with the new one. What has not changed goes on: plugin versions, targets with their connections, health checks and
    /// observers. Listeners, the admin interface and what belongs to the whole process stay as they are.
    ///
    /// # Errors
    /// All problems of the configuration; the one in force stays.
    pub async fn swap(&self, config: Config) -> Result<(), Problems> {
        // One after the other: each is made from the one before it.
        let _turn = self.swapping.lock().await;
        let previous = self.core.snapshot.load_full();
        let prepared = snapshot::prepare(
            config,
            &self.engine,
            self.builtins,
            &self.metrics,
            Some(&previous),
        )
        .await?;
        let snapshot = prepared.start(&self.workers, &self.metrics, Some(&previous));
        self.core.snapshot.store(Arc::new(snapshot));
        Ok(())
    }

    /// How many tasks run for snapshots: health checks, what looks after stalled models, and observers.
    #[must_use]
    pub fn tasks(&self) -> usize {
        self.workers.watching.len() + self.workers.observing.len()
    }

    /// A token that cuts running exchanges when it is cancelled, also in the middle of [`Gateway::shutdown`].
    #[must_use]
    pub fn cut(&self) -> CancellationToken {
        self.cut.clone()
    }

    /// Drains and stops: returns when all exchanges have ended, by themselves or at the deadline, and observers have seen them.
    pub async fn shutdown(self) {
        self.drain.cancel();
        self.serving.close();
        let waiting = self.serving.len();
        tracing::info!(connections = waiting, timeout = ?self.drain_timeout, "draining");
        let drained = tokio::select! {
            () = self.serving.wait() => true,
            () = tokio::time::sleep(self.drain_timeout) => false,
            () = self.cut.cancelled() => false,
        };
        if !drained {
            tracing::warn!(
                connections = self.serving.len(),
                "ending what is still running"
            );
        }
        if !drained && !self.cut.is_cancelled() {
            self.core.finishing.stop();
            tokio::select! {
                () = self.serving.wait() => {}
                () = tokio::time::sleep(LAST_WORDS) => {}
                () = self.cut.cancelled() => {}
            }
        }
        self.cut.cancel();
        self.serving.wait().await;
        self.core.finishing.wait().await;
        for tasks in [&self.administering, &self.workers.watching] {
            tasks.close();
            tasks.wait().await;
        }
        // With the last reference to the routes go the entrances to the observers' queues.
        drop(self.core);
        self.workers.observing.close();
        if tokio::time::timeout(FLUSH, self.workers.observing.wait())
            .await
            .is_err()
        {
            tracing::warn!("observers did not finish in time");
        }
        tracing::info!("stopped");
    }
}

/// The limits as far as the process's descriptors go.
fn fit_to(descriptors: u64, limits: &Limits) -> Limits {
    let fitted = descriptors::fit(limits, descriptors);
    let (connections, exchanges) = (fitted.connections, fitted.exchanges);
    if exchanges < limits.exchanges {
        tracing::warn!(
            descriptors,
            connections,
            exchanges,
            "there are too few file descriptors for the configured limits: raise the system's (`ulimit -n`, `LimitNOFILE`)"
        );
    } else if connections < limits.connections {
        tracing::info!(
            descriptors,
            connections,
            "the file descriptors suffice for fewer idle connections than are configured"
        );
    }
    fitted
}

/// The thread of the observers. A call of theirs, or a log that is slow to take their lines, would hold up all exchanges of a
/// thread that serves.
struct ObserverRuntime(Option<Runtime>);

impl ObserverRuntime {
    fn start() -> std::io::Result<Self> {
        let runtime = runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("sluicegate-observers")
            .enable_all()
            .build()?;
        Ok(Self(Some(runtime)))
    }

    fn handle(&self) -> Handle {
        let runtime = self.0.as_ref().expect("it is there until it is dropped");
        runtime.handle().clone()
    }
}

impl Drop for ObserverRuntime {
    fn drop(&mut self) {
        // Does not wait: what there was to wait for, `Gateway::shutdown` has waited for.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
