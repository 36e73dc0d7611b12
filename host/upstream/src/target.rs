//! One model server: how to connect to it, connections kept for reuse, and its state.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use hyper::header::HeaderValue;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::{InvalidDnsNameError, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tokio_util::either::Either;
use tokio_util::sync::CancellationToken;

use super::breaker::Breaker;
use super::client::connection::{Connection, Stream};
use super::error::{self, describe};
use super::load::Load;
use super::models::ListedModel;
use super::places::Places;
use super::server_info::ServerInfo;
use super::stall::Stalls;
use sluicegate_config as config;
use sluicegate_telemetry::metrics::{Metrics, TargetMetrics};

mod standing;

pub use standing::Standing;

/// How long an unused connection is kept. Below the 60 s after which common servers and balancers close it themselves.
const IDLE: Duration = Duration::from_secs(45);

/// The most unused connections kept for one target; more are closed after use. Arbitrary; a burst of this size need not
/// reconnect.
const KEPT: usize = 1_024;

/// Why a target cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The host of an `https` target is not a name that a certificate can have.
    #[error("`{host}` cannot be verified by a certificate")]
    ServerName {
        /// The host as configured.
        host: String,
        /// The library's reason.
        source: InvalidDnsNameError,
    },
    /// The authority cannot be in a `host` field.
    #[error("`{0}` is not a host")]
    Authority(String),
    /// The key cannot be in an `authorization` field.
    #[error("the key has characters that no header field can have")]
    Key,
}

/// The state of a target, as far as is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing is known yet.
    Unknown,
    /// The last check or exchange reached it.
    Up,
    /// It is up, but a model does nothing, for this reason.
    Stalled(String),
    /// The last check or connection failed, with this reason.
    Down(String),
}

/// How long a target that could not be reached is left alone without a health check. Arbitrary; longer than the usual interval
/// of health checks.
const DOWN: Duration = Duration::from_secs(10);

/// How many health checks in a row must fail before attempts that wait for their first byte are given up. A server that computes
/// may miss one.
const LOST: u32 = 2;

/// What is known of a target.
#[derive(Debug)]
struct Known {
    state: State,
    /// When that became known.
    since: Instant,
    /// Whether a response, or a missing one, showed that: then a mere connection proves nothing.
    beyond_connection: bool,
}

/// One model server.
#[derive(Debug)]
pub struct Target {
    /// The address, for logs: `http://127.0.0.1:11434`.
    pub label: Arc<str>,
    /// What is sent as `host`.
    pub authority: HeaderValue,
    /// The prefix of every path; "" for none.
    pub base: String,
    /// What is known of stalled models.
    pub stalls: Arc<Stalls>,
    pub(super) breaker: Breaker,
    pub(super) load: Load,
    pub(super) places: Arc<Places>,
    plan: Plan,
    address: Option<IpAddr>,
    /// Cancelled when it is no address of its name any more.
    pub(super) gone: CancellationToken,
    idle: Mutex<Vec<(Instant, Connection)>>,
    state: Mutex<Known>,
    server_info: Mutex<ServerInfo>,
    info: Mutex<Option<Bytes>>,
    models: Mutex<Option<Arc<[ListedModel]>>>,
    /// Learns of each health check that found the server up.
    pub(super) checks: watch::Sender<()>,
    /// How many health checks in a row have failed.
    failed_checks: watch::Sender<u32>,
    pub(super) metrics: Arc<TargetMetrics>,
}

/// How to connect to a target, or to each of those that are addresses of one name.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    config: config::Target,
    authority: HeaderValue,
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
}

impl Plan {
    /// # Errors
    /// [`Error`] for a host that cannot be used.
    pub(super) fn new(target: &config::Target) -> Result<Self, Error> {
        let host = host_of(target).to_owned();
        let tls = if target.tls {
            let name = ServerName::try_from(host.clone()).map_err(|source| Error::ServerName {
                host: host.clone(),
                source,
            })?;
            Some((tls_settings(), name))
        } else {
            None
        };
        Ok(Self {
            authority: HeaderValue::from_str(&target.authority)
                .map_err(|_| Error::Authority(target.authority.clone()))?,
            config: target.clone(),
            tls,
        })
    }

    pub(super) fn host(&self) -> &str {
        host_of(&self.config)
    }

    /// Whether it was made for this address of a configuration.
    pub(super) fn is_for(&self, target: &config::Target) -> bool {
        self.config == *target
    }

    /// A target; nothing is connected yet. `address` is that of a name's targets.
    pub(super) fn target(
        &self,
        upstream: &str,
        address: Option<IpAddr>,
        metrics: &Metrics,
    ) -> Target {
        let config = &self.config;
        let label = match address {
            None => config.to_string(),
            Some(address) => {
                let (scheme, usual) = if config.tls {
                    ("https", 443)
                } else {
                    ("http", 80)
                };
                let host = match address {
                    IpAddr::V4(address) => address.to_string(),
                    IpAddr::V6(address) => format!("[{address}]"),
                };
                let port = match config.port {
                    port if port == usual => String::new(),
                    port => format!(":{port}"),
                };
                format!("{scheme}://{host}{port}{}", config.base)
            }
        };
        Target {
            metrics: metrics.target(upstream, &label),
            label: label.into(),
            authority: self.authority.clone(),
            base: config.base.clone(),
            stalls: Arc::default(),
            breaker: Breaker::default(),
            load: Load::default(),
            places: Arc::default(),
            plan: self.clone(),
            address,
            gone: CancellationToken::new(),
            idle: Mutex::default(),
            state: Mutex::new(Known {
                state: State::Unknown,
                since: Instant::now(),
                beyond_connection: false,
            }),
            server_info: Mutex::default(),
            info: Mutex::default(),
            models: Mutex::default(),
            checks: watch::Sender::new(()),
            failed_checks: watch::Sender::new(0),
        }
    }
}

impl Target {
    /// A target as configured; nothing is connected yet.
    ///
    /// # Errors
    /// [`Error`] for a host that cannot be used.
    pub fn new(upstream: &str, target: &config::Target, metrics: &Metrics) -> Result<Self, Error> {
        Ok(Plan::new(target)?.target(upstream, None, metrics))
    }

    /// Where it listens: a name or an address without brackets, and the port.
    #[must_use]
    pub fn host_and_port(&self) -> (Arc<str>, u16) {
        (self.plan.host().into(), self.plan.config.port)
    }

    /// Whether a configuration means this target: address, TLS and base path are the same.
    #[must_use]
    pub fn is(&self, target: &config::Target) -> bool {
        self.plan.is_for(target)
    }

    /// The address that it is, if it is one of those of a name.
    pub(super) fn address(&self) -> Option<IpAddr> {
        self.address
    }

    /// It joins others at this time: at first they are asked more often.
    pub(super) fn joins(&self, now: Instant) {
        self.load.came_back(now);
    }

    /// A connection that was used before and is still open, if there is one.
    pub(super) fn reuse(&self) -> Option<Connection> {
        let now = Instant::now();
        loop {
            let (since, mut connection) = self.lock_idle().pop()?;
            // Newest first: if this one is too old, so are the others.
            if now.duration_since(since) > IDLE {
                self.lock_idle().clear();
                return None;
            }
            if connection.is_usable() {
                return Some(connection);
            }
        }
    }

    /// Keeps a connection for the next exchange.
    pub(super) fn keep(&self, connection: Connection) {
        let mut idle = self.lock_idle();
        if idle.len() < KEPT {
            idle.push((Instant::now(), connection));
        }
    }

    /// A new connection.
    ///
    /// # Errors
    /// [`error::Error::Unreachable`] or [`error::Error::ConnectTimeout`]; the target counts as down then, until a check or
    /// another exchange reaches it.
    pub(super) async fn connect(&self, limit: Duration) -> Result<Connection, error::Error> {
        let unreachable = |source| error::Error::Unreachable {
            target: self.label.to_string(),
            source,
        };
        let result = match tokio::time::timeout(limit, self.open()).await {
            Ok(result) => result.map_err(unreachable),
            Err(_) => Err(error::Error::ConnectTimeout {
                target: self.label.to_string(),
                limit,
            }),
        };
        match result {
            Ok(stream) => {
                self.set_state(State::Up, false);
                Ok(Connection::new(stream, self.metrics.clone()))
            }
            Err(error) => {
                self.set_state(State::Down(describe(&error)), false);
                if let error::Error::Unreachable { .. } = error {
                    self.stalls.forget();
                }
                Err(error)
            }
        }
    }

    async fn open(&self) -> std::io::Result<Stream> {
        let port = self.plan.config.port;
        let stream = match self.address {
            Some(address) => TcpStream::connect((address, port)).await?,
            None => TcpStream::connect((self.plan.host(), port)).await?,
        };
        stream.set_nodelay(true)?;
        Ok(match &self.plan.tls {
            None => Either::Left(stream),
            Some((settings, name)) => {
                let connector = TlsConnector::from(settings.clone());
                Either::Right(connector.connect(name.clone(), stream).await?)
            }
        })
    }

    /// The state of the target, as far as is known.
    #[must_use]
    pub fn state(&self) -> State {
        let state = self.lock_state().state.clone();
        match (state, self.stalls.reason()) {
            (State::Unknown | State::Up, Some(reason)) => State::Stalled(reason),
            (state, _) => state,
        }
    }

    /// Whether the target is known to be down. That expires: without a health check it is tried again.
    #[must_use]
    pub fn is_down(&self) -> bool {
        let state = self.lock_state();
        matches!(state.state, State::Down(_)) && state.since.elapsed() < DOWN
    }

    /// Notes a state, and logs a change. `beyond_connection` says that this is known from a response, and not from a connection
    /// alone.
    pub(super) fn set_state(&self, new: State, beyond_connection: bool) {
        let mut known = self.lock_state();
        let stays_down = known.beyond_connection && matches!(known.state, State::Down(_));
        if stays_down && !beyond_connection && new == State::Up {
            return;
        }
        let is_recovery = matches!((&known.state, &new), (State::Down(_), State::Up));
        if std::mem::discriminant(&known.state) != std::mem::discriminant(&new) {
            match &new {
                State::Unknown | State::Stalled(_) => {}
                State::Up => {
                    tracing::info!(target_address = %self.label, "model server is reachable")
                }
                State::Down(reason) => tracing::warn!(
                    target_address = %self.label,
                    reason,
                    "model server cannot be used: is it running, and is this its address?"
                ),
            }
        }
        *known = Known {
            state: new,
            since: Instant::now(),
            beyond_connection,
        };
        drop(known);
        if is_recovery {
            self.recovered();
        }
    }

    /// What the server said of itself in the last health check; nothing unless it is up.
    #[must_use]
    pub fn server_info(&self) -> ServerInfo {
        match self.state() {
            State::Up | State::Stalled(_) => self.lock_server_info().clone(),
            State::Unknown | State::Down(_) => ServerInfo::default(),
        }
    }

    /// What the server last said at its adapter's `info` path.
    #[must_use]
    pub fn info(&self) -> Option<Bytes> {
        self.lock_info().clone()
    }

    /// Waits for health checks that find the server up.
    #[must_use]
    pub fn checks(&self) -> watch::Receiver<()> {
        self.checks.subscribe()
    }

    /// Notes whether a health check has passed.
    pub(super) fn checked(&self, has_passed: bool) {
        if has_passed {
            self.checks.send_replace(());
            self.failed_checks.send_replace(0);
        } else {
            self.failed_checks
                .send_modify(|count| *count = count.saturating_add(1));
        }
    }

    /// Waits until health checks show that the target is lost: one fails after this call, and it is not the first in a row.
    pub fn lost(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut failed = self.failed_checks.subscribe();
        async move {
            // The sender lives as long as the target.
            while failed.changed().await.is_ok() && *failed.borrow_and_update() < LOST {}
        }
    }

    /// An attempt has failed that another one might mend. What comes next is `retried`, `nothing_left` or `over_budget`.
    pub fn count_failure(&self, next: &'static str) {
        self.metrics.retry(next);
    }

    /// The models that it listed beside the last health check; `None` if that is not known, or if it is down.
    #[must_use]
    pub fn models(&self) -> Option<Arc<[ListedModel]>> {
        if self.is_down() {
            return None;
        }
        self.lock_models().clone()
    }

    /// Notes the models that it lists now.
    pub fn set_models(&self, new: Option<Arc<[ListedModel]>>) {
        *self.lock_models() = new;
    }

    pub(super) fn set_info(&self, new: Option<Bytes>) {
        *self.lock_info() = new;
    }

    pub(super) fn set_server_info(&self, new: ServerInfo) {
        *self.lock_server_info() = new;
    }

    fn lock_idle(&self) -> MutexGuard<'_, Vec<(Instant, Connection)>> {
        self.idle.lock().expect("no panic while the lock is held")
    }

    fn lock_info(&self) -> MutexGuard<'_, Option<Bytes>> {
        self.info.lock().expect("no panic while the lock is held")
    }

    fn lock_models(&self) -> MutexGuard<'_, Option<Arc<[ListedModel]>>> {
        self.models.lock().expect("no panic while the lock is held")
    }

    fn lock_server_info(&self) -> MutexGuard<'_, ServerInfo> {
        self.server_info
            .lock()
            .expect("no panic while the lock is held")
    }

    fn lock_state(&self) -> MutexGuard<'_, Known> {
        self.state.lock().expect("no panic while the lock is held")
    }
}

fn host_of(target: &config::Target) -> &str {
    target.host.trim_matches(['[', ']'])
}

/// TLS with the system's certificates. Unreadable ones are left out, as in other programs.
fn tls_settings() -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    Arc::new(
        ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth(),
    )
}
