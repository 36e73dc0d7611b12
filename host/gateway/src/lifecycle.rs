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
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admin::{self, Admin, MoreMetrics};
use crate::descriptors::{self, fit_to};
use crate::exchange::{Admission, Capacity, Core, Finishing, Recent};
use crate::listeners::{Change, Listeners, admin_terms};
use crate::reload::{self, Control, Origin, rollback, watch};
use crate::snapshot::{self, Workers};
use crate::supply::{Supply, off_the_workers};
use sluicegate_config::{self as config, Config, Problems};
use sluicegate_otlp::Otlp;
use sluicegate_plugin_host::{Builtins, Loader};
use sluicegate_serve::{self as server, Connections, Listener};
use sluicegate_state::shared::redis::{BadUrl, Redis, Settings};
use sluicegate_telemetry::metrics::Metrics;

/// How long observers get for what is left in their queues.
const FLUSH: Duration = Duration::from_secs(5);

/// How long exchanges that are ended at the deadline may take to tell their clients so. Arbitrary.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Connections that the admin listener takes at a time. Arbitrary: it has few clients.
const ADMIN_CONNECTIONS: usize = 64;

/// How many of them may follow events at a time. Arbitrary.
const FOLLOWERS: usize = 16;

/// Why a gateway does not start. Nothing is left running.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration cannot be put into force.
    #[error("{0}")]
    Configuration(Problems),
    /// A listener cannot be opened.
    #[error(transparent)]
    Listener(#[from] server::Error),
    /// Traces and metrics cannot be sent.
    #[error(transparent)]
    Otlp(#[from] sluicegate_otlp::Error),
    /// The URL of the shared state cannot be read.
    #[error("`state.url`: {0}")]
    State(BadUrl),
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
    control: Arc<Control>,
    /// Where health checks, which end with `drain`, and observers run, which end when nothing can reach their queues any more.
    workers: Workers,
    drain: CancellationToken,
    cut: CancellationToken,
    /// Accept loops, connections and their streams.
    serving: TaskTracker,
    /// The same for the admin listener, which end with `cut`, and the file watcher.
    administering: TaskTracker,
    _observers: ObserverRuntime,
    /// Keeps the connection to the shared state, or writes budgets to disk. Ends with the gateway, after the last exchange has settled.
    _sharing: JoinSet<()>,
}

impl Gateway {
    /// Loads the plugins, opens the listeners and serves.
    ///
    /// # Errors
    /// [`Error`] with everything that is wrong with the configuration, or the first listener that cannot be opened.
    pub async fn start(origin: Origin, loader: &Loader, builtins: Builtins) -> Result<Self, Error> {
        let state = origin.config().folders.state.as_deref();
        let supply = Supply::new(loader, builtins, state);
        Self::start_with(origin, supply).await
    }

    /// As [`Gateway::start`], with what snapshots are made with.
    ///
    /// # Errors
    /// As [`Gateway::start`].
    pub async fn start_with(origin: Origin, supply: Supply) -> Result<Self, Error> {
        let config = origin.config().clone();
        let (supply, sharing) = share(&config, supply).await?;
        let metrics = &supply.metrics;
        let prepared = Box::pin(snapshot::prepare(config, &supply, None))
            .await
            .map_err(Error::Configuration)?;
        let kept = prepared.kept().to_vec();
        reload::keep(&supply, &prepared).await;
        prepared.look_up_names(&supply).await;
        let config = prepared.config().clone();
        let opened = Change::first(&config.listeners).await;
        let opened = opened.map_err(|(_, error)| Error::Listener(error))?;
        let admin_listener = match &config.admin {
            Some(admin) => Some(open_admin(admin).await?),
            None => None,
        };
        let descriptors = descriptors::raise();
        let limits = fit_to(descriptors, &config.server.limits);
        let (drain, cut) = (CancellationToken::new(), CancellationToken::new());
        let observers = ObserverRuntime::start().map_err(Error::Thread)?;
        let workers = Workers {
            drain: drain.clone(),
            cut: cut.clone(),
            watching: TaskTracker::new(),
            observing: TaskTracker::new(),
            observers: observers.handle(),
        };
        let snapshot = prepared.start(&workers, &supply, None);
        let capacity = Capacity {
            exchanges: descriptors::most_exchanges(descriptors),
            sandboxes: supply.loader.engine().sandboxes(),
        };
        let otlp = match &config.otlp {
            Some(otlp) => Some(start_otlp(otlp, metrics)?),
            None => None,
        };
        let core = Arc::new(Core {
            otlp,
            snapshot: ArcSwap::from_pointee(snapshot),
            admission: Admission::new(capacity, metrics.admission()),
            recent: Recent::default(),
            finishing: Finishing::start(limits.write_timeout),
        });
        let serving = TaskTracker::new();
        let connections = Connections {
            permits: Arc::new(Semaphore::new(limits.connections)),
            idle: None,
            limits: Arc::new(ArcSwap::from_pointee(limits)),
            tasks: serving.clone(),
            drain: drain.clone(),
            cut: cut.clone(),
        };
        let mut listeners = Listeners::new(core.clone(), connections.clone());
        listeners.apply(opened);
        let addresses = listeners.addresses();
        let control = Arc::new(Control::new(
            core.clone(),
            supply,
            workers.clone(),
            (listeners, admin_listener.as_ref().map(Listener::terms)),
            origin,
            kept,
        ));
        // What the last process has left.
        control.tidy().await;
        let gateway = Self {
            addresses,
            admin: admin_listener.as_ref().map(Listener::address),
            core,
            control,
            more_metrics: Arc::default(),
            workers,
            drain,
            cut,
            serving,
            administering: TaskTracker::new(),
            _observers: observers,
            _sharing: sharing,
        };
        if let Some(listener) = admin_listener {
            gateway.administer(listener, connections);
        }
        gateway.watch();
        Ok(gateway)
    }

    /// Serves the admin interface, during the drain too, so that a probe sees "not ready" and not a refused connection.
    fn administer(&self, listener: Listener, connections: Connections) {
        let admin = Arc::new(Admin {
            core: self.core.clone(),
            control: self.control.clone(),
            more_metrics: self.more_metrics.clone(),
            drain: self.drain.clone(),
            uploads: Arc::new(Semaphore::new(1)),
            followers: Arc::new(Semaphore::new(FOLLOWERS)),
        });
        let connections = Connections {
            permits: Arc::new(Semaphore::new(ADMIN_CONNECTIONS)),
            idle: Some(Arc::default()),
            tasks: self.administering.clone(),
            drain: self.cut.clone(),
            ..connections
        };
        let handler = move |peer, request| admin::serve(admin.clone(), peer, request);
        self.administering
            .spawn(server::accept(listener, connections, handler));
    }

    /// Reloads when a file changes, until the gateway drains.
    fn watch(&self) {
        let (control, drain) = (self.control.clone(), self.drain.clone());
        let looking = rollback::watch(control.clone());
        let until = drain.clone();
        self.administering
            .spawn(async move { until.run_until_cancelled(looking).await });
        self.administering
            .spawn(async move { drain.run_until_cancelled(watch::run(control)).await });
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

    /// What puts other configurations into force.
    #[must_use]
    pub fn control(&self) -> &Arc<Control> {
        &self.control
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
        let timeout = self.core.snapshot.load().server.drain_timeout;
        tracing::info!(connections = waiting, ?timeout, "draining");
        let ended = async {
            self.serving.wait().await;
            // Those that go on without their clients.
            self.core.finishing.wait().await;
        };
        let drained = tokio::select! {
            () = ended => true,
            () = tokio::time::sleep(timeout) => false,
            () = self.cut.cancelled() => false,
        };
        if !drained {
            tracing::warn!(
                connections = self.serving.len(),
                "ending what is still running"
            );
        }
        if !drained {
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
        if let Some(otlp) = &self.core.otlp {
            otlp.stop().await;
        }
        let memory = self.control.supply().memory.clone();
        off_the_workers(move || memory.save()).await;
        // With the last reference to the routes go the entrances to the observers' queues.
        drop((self.control, self.core));
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

/// Begins to send traces and metrics.
fn start_otlp(config: &config::Otlp, metrics: &Metrics) -> Result<Otlp, sluicegate_otlp::Error> {
    let dropped = Arc::new(metrics.spans_dropped());
    Otlp::start(config, env!("CARGO_PKG_VERSION"), dropped)
}

/// Puts what plugins share where the configuration says. A server that cannot be reached now is not an error: it may come back.
async fn share(config: &Config, supply: Supply) -> Result<(Supply, JoinSet<()>), Error> {
    let mut sharing = JoinSet::new();
    let Some(url) = &config.folders.shared else {
        sharing.spawn(supply.memory.clone().keep());
        return Ok((supply, sharing));
    };
    let redis = Redis::new(url.expose(), Settings::default()).map_err(Error::State)?;
    let running = redis.clone();
    sharing.spawn(async move { running.run().await });
    redis.attempted().await;
    Ok((supply.sharing(redis), sharing))
}

/// Opens the listener of the admin interface.
async fn open_admin(admin: &config::Admin) -> Result<Listener, server::Error> {
    let listener = config::Listener::at(admin.listen);
    Listener::open_with(&listener, admin_terms(admin)?).await
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
