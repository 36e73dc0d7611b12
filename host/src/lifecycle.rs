//! Starting and stopping: the one place that spawns tasks.
//!
//! A gateway serves until it is told to stop. Then it drains: no new connections, not ready, running exchanges go on to
//! their end or to the deadline; what is left is cut; observers get what has been accounted for; then it is gone.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::runtime::{self, Runtime};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admin::{self, Admin, MoreMetrics};
use crate::config::{Config, Problems};
use crate::exchange::{self, Core, Recent};
use crate::plugin::Engine;
use crate::server::{self, Connections, Listener};
use crate::snapshot;
use crate::telemetry::metrics::Metrics;
use crate::upstream::health;

/// How long observers get for what is left in their queues.
const FLUSH: Duration = Duration::from_secs(5);

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
    drain: CancellationToken,
    cut: CancellationToken,
    /// Accept loops, connections and their streams.
    serving: TaskTracker,
    /// Health checks; they end with `drain`.
    watching: TaskTracker,
    /// Observers; they end when nothing can reach their queues any more.
    observing: TaskTracker,
    aside: Aside,
}

impl Gateway {
    /// Loads the plugins, opens the listeners and serves.
    ///
    /// # Errors
    /// [`Error`] with everything that is wrong with the configuration, or the first listener that cannot be opened.
    pub async fn start(config: Config, engine: &Engine) -> Result<Self, Error> {
        let metrics = Metrics::new();
        let (snapshot, workers) = snapshot::build(&config, engine, &metrics)
            .await
            .map_err(Error::Configuration)?;
        let mut listeners = Vec::new();
        for listener in &config.listeners {
            listeners.push(Listener::open(listener).await?);
        }
        let admin_listener = match &config.admin {
            Some(admin) => {
                let listener = crate::config::Listener {
                    listen: admin.listen,
                    tls: None,
                    open: false,
                };
                Some(Listener::open(&listener).await?)
            }
            None => None,
        };

        let limits = Arc::new(config.server.limits.clone());
        let upstreams: Vec<_> = snapshot.upstreams.values().cloned().collect();
        let core = Arc::new(Core {
            snapshot: ArcSwap::from_pointee(snapshot),
            exchanges: Arc::new(Semaphore::new(limits.exchanges)),
            server: config.server.clone(),
            recent: Recent::default(),
        });
        let gateway = Self {
            addresses: listeners.iter().map(Listener::address).collect(),
            admin: admin_listener.as_ref().map(Listener::address),
            core: core.clone(),
            more_metrics: Arc::default(),
            drain_timeout: config.server.drain_timeout,
            drain: CancellationToken::new(),
            cut: CancellationToken::new(),
            serving: TaskTracker::new(),
            watching: TaskTracker::new(),
            observing: TaskTracker::new(),
            aside: Aside::start().map_err(Error::Thread)?,
        };
        for worker in workers {
            gateway.aside.spawn(&gateway.observing, worker);
        }
        for upstream in upstreams {
            let drain = gateway.drain.clone();
            gateway
                .watching
                .spawn(async move { drain.run_until_cancelled(health::watch(upstream)).await });
        }
        let connections = Connections {
            permits: Arc::new(Semaphore::new(limits.connections)),
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
                tasks: gateway.watching.clone(),
                drain: gateway.cut.clone(),
                ..connections
            };
            let handler = move |_, request| admin::serve(admin.clone(), request);
            gateway
                .watching
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

    /// A token that cuts running exchanges when it is cancelled, also in the middle of [`Gateway::shutdown`].
    #[must_use]
    pub fn cut(&self) -> CancellationToken {
        self.cut.clone()
    }

    /// Drains and stops: returns when all exchanges have ended, or were cut at the deadline, and observers have seen them.
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
                "cutting what is still running"
            );
        }
        self.cut.cancel();
        self.serving.wait().await;
        self.watching.close();
        self.watching.wait().await;
        // With the last reference to the routes go the entrances to the observers' queues.
        drop(self.core);
        self.observing.close();
        if tokio::time::timeout(FLUSH, self.observing.wait())
            .await
            .is_err()
        {
            tracing::warn!("observers did not finish in time");
        }
        tracing::info!("stopped");
    }
}

/// The thread of the observers. A call of theirs, or a log that is slow to take their lines, would hold up all exchanges of a
/// thread that serves.
struct Aside(Option<Runtime>);

impl Aside {
    fn start() -> std::io::Result<Self> {
        let runtime = runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("sluicegate-observers")
            .enable_all()
            .build()?;
        Ok(Self(Some(runtime)))
    }

    fn spawn(&self, tracker: &TaskTracker, worker: snapshot::Worker) {
        if let Some(runtime) = &self.0 {
            tracker.spawn_on(worker, runtime.handle());
        }
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        // Does not wait: what there was to wait for, `Gateway::shutdown` has waited for.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
