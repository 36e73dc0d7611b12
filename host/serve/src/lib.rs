//! The HTTP server: listeners, connections, TLS, the timeouts of clients, and who they are behind proxies. What happens to a
//! request is up to the caller.

mod flush;
pub mod forwarded;
mod hosts;
mod idle;
mod proxy;
mod timeouts;
mod tls;

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::either::Either;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use self::flush::Flush;
pub use self::hosts::{Foreign, Hosts};
pub use self::idle::Idle;

use self::idle::Place;
use self::proxy::Proxies;
use self::timeouts::{Activity, Timed};
use sluicegate_config as config;

/// The pause after a failed accept. The usual reason is a lack of file descriptors: some may become free meanwhile.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long the rest of a partial request head may take once the gateway drains. Arbitrary: a head is usually one packet.
const HALF_A_HEAD: Duration = Duration::from_secs(1);
/// Streams of one HTTP/2 connection. RFC 9113 asks for at least 100.
const STREAMS: u32 = 256;
/// Header fields that the parser accepts. It is above the configured limit, so that the gateway's own response explains the
/// limit.
const PARSED_FIELDS: usize = 512;

/// Why a listener cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is not available.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// The address as configured.
        address: SocketAddr,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The certificate or the key cannot be used.
    #[error("{0}")]
    Tls(#[from] tls::Error),
}

/// What holds for the connections that a listener takes from now on. It can be replaced while the listener is open.
#[derive(Clone, Default)]
pub struct Terms {
    tls: Option<TlsAcceptor>,
    hosts: Option<Arc<Hosts>>,
    proxies: Option<Arc<Proxies>>,
}

impl Terms {
    /// Reads the certificate, if there is one. `hosts` is the rule for hosts and pages, which whoever handles requests applies.
    ///
    /// # Errors
    /// [`Error::Tls`] with the file that cannot be used.
    pub fn new(config: &config::Listener, hosts: Option<Hosts>) -> Result<Self, Error> {
        let tls = config.tls.as_ref().map(tls::acceptor).transpose()?;
        let proxies = config.proxies.as_deref().map(Proxies::new);
        Ok(Self {
            tls,
            hosts: hosts.map(Arc::new),
            proxies: proxies.map(Arc::new),
        })
    }
}

/// An open listener.
pub struct Listener {
    listener: TcpListener,
    address: SocketAddr,
    terms: Arc<ArcSwap<Terms>>,
    upgrades: bool,
}

impl Listener {
    /// Opens a listener. Port 0 takes a free one.
    ///
    /// # Errors
    /// [`Error`]; its message says what to change.
    pub async fn open(config: &config::Listener) -> Result<Self, Error> {
        Self::open_with(config, Terms::new(config, None)?).await
    }

    /// As [`Listener::open`], with terms that are ready already.
    ///
    /// # Errors
    /// [`Error::Bind`].
    pub async fn open_with(config: &config::Listener, terms: Terms) -> Result<Self, Error> {
        let failed = |source| Error::Bind {
            address: config.listen,
            source,
        };
        let listener = TcpListener::bind(config.listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self {
            listener,
            address,
            terms: Arc::new(ArcSwap::from_pointee(terms)),
            upgrades: false,
        })
    }

    /// Allows upgrades, for example to WebSockets. Upgrades need HTTP/1.1, so HTTP/2 is not offered, and the parser itself
    /// enforces the limits for heads.
    #[must_use]
    pub fn with_upgrades(self) -> Self {
        let terms = self.terms.load();
        let tls = terms.tls.as_ref().map(tls::without_http2);
        self.terms.store(Arc::new(Terms {
            tls,
            ..Terms::clone(&terms)
        }));
        Self {
            upgrades: true,
            ..self
        }
    }

    /// The terms, to be replaced while it is open.
    #[must_use]
    pub fn terms(&self) -> Arc<ArcSwap<Terms>> {
        self.terms.clone()
    }

    /// The address, with the port that was taken.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Who sends a request, and on which connection.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Where the connection comes from, as PROXY protocol tells it if that is spoken: the client's address, or that of a proxy in
    /// front, which [`forwarded::client`] looks behind.
    pub address: IpAddr,
    /// What the connection has written.
    pub flush: Arc<Flush>,
    /// The rule for host names and pages of its requests.
    pub hosts: Option<Arc<Hosts>>,
}

/// What all connections of the program share.
#[derive(Clone)]
pub struct Connections {
    /// Limits and times, for the connections that are taken from now on.
    pub limits: Arc<ArcSwap<config::Limits>>,
    /// One permit for each connection.
    pub permits: Arc<Semaphore>,
    /// If all permits are taken, the HTTP/1 connection in this list that has been idle for longest is closed to make room.
    /// `None`: new connections wait.
    pub idle: Option<Arc<Idle>>,
    /// Where connections are tracked.
    pub tasks: TaskTracker,
    /// Cancelled when the server drains: it accepts no more connections, and open ones close after their exchange.
    pub drain: CancellationToken,
    /// Cancelled when all connections must close at once.
    pub cut: CancellationToken,
}

impl Connections {
    /// Lets in more connections, or fewer: those beyond the new limit stay until they end.
    pub fn resize(&self, before: usize, now: usize) {
        if now >= before {
            self.permits.add_permits(now - before);
            return;
        }
        let (permits, surplus) = (self.permits.clone(), before - now);
        let drain = self.drain.clone();
        self.tasks.spawn(async move {
            // One at a time: a request for all at once would hold up everybody who comes after it.
            let shrink = async {
                for _ in 0..surplus {
                    if let Ok(permit) = permits.acquire().await {
                        permit.forget();
                    }
                }
            };
            drain.run_until_cancelled(shrink).await;
        });
    }
}

/// Accepts connections until drained, and serves each in a task of its own.
pub async fn accept<H, F, B>(listener: Listener, connections: Connections, handler: H)
where
    H: Fn(Peer, Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: hyper::body::Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: std::error::Error + Send + Sync,
{
    loop {
        let next = async {
            let accepted = listener.listener.accept().await;
            (accepted, permit(&connections).await)
        };
        let (accepted, permit) = tokio::select! {
            biased;
            () = connections.drain.cancelled() => return,
            next = next => next,
        };
        match accepted {
            Ok((stream, address)) => {
                let connection = Connection {
                    stream,
                    address,
                    terms: listener.terms.load_full(),
                    limits: connections.limits.load_full(),
                    upgrades: listener.upgrades,
                    _permit: permit,
                };
                let served = serve(connection, connections.clone(), handler.clone());
                connections.tasks.spawn(served);
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Waits until there is room for one more connection.
async fn permit(connections: &Connections) -> OwnedSemaphorePermit {
    let permits = connections.permits.clone();
    if let Ok(permit) = permits.clone().try_acquire_owned() {
        return permit;
    }
    let permit = permits.acquire_owned();
    let permit = match &connections.idle {
        None => permit.await,
        Some(idle) => tokio::select! {
            permit = permit => permit,
            never = idle.make_room() => match never {},
        },
    };
    permit.expect("the semaphore is never closed")
}

/// A connection that was accepted.
struct Connection {
    stream: TcpStream,
    address: SocketAddr,
    terms: Arc<Terms>,
    limits: Arc<config::Limits>,
    upgrades: bool,
    _permit: OwnedSemaphorePermit,
}

/// One connection, to its end.
async fn serve<H, F, B>(connection: Connection, connections: Connections, handler: H)
where
    H: Fn(Peer, Request<Incoming>) -> F + Send + Sync + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: hyper::body::Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: std::error::Error + Send + Sync,
{
    let Connection {
        mut stream,
        address: peer,
        terms,
        limits,
        upgrades,
        _permit,
    } = connection;
    // Small writes, one for each event, must not wait for an acknowledgement.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%peer, %error, "TCP_NODELAY cannot be set");
    }
    let evicted = CancellationToken::new();
    let place = |idle: &Arc<Idle>| Place::new(idle.clone(), evicted.clone());
    let activity = Arc::new(Activity::new(connections.idle.as_ref().map(place)));
    let address = match &terms.proxies {
        None => Some(peer.ip().to_canonical()),
        Some(proxies) => tokio::select! {
            // Boxed because it holds a whole header, which is not to stay for as long as the connection.
            client = Box::pin(proxies.client(&mut stream, peer, &limits)) => client,
            () = connections.drain.cancelled() => None,
            () = connections.cut.cancelled() => None,
            () = evicted.cancelled() => None,
        },
    };
    let Some(address) = address else {
        return;
    };
    let stream = Timed::new(stream, activity.clone(), &limits);
    let Some(stream) = secured(stream, terms.tls.as_ref(), peer).await else {
        return;
    };
    let client = Peer {
        address,
        flush: activity.flush(),
        hosts: terms.hosts.clone(),
    };
    let service = service_fn(|request: Request<Incoming>| {
        let upgrade = upgrades.then(|| activity.clone());
        let running = activity.begin(&request);
        let response = handler(client.clone(), request);
        async move {
            let response = response.await;
            if let Some(activity) = upgrade
                && response.status() == StatusCode::SWITCHING_PROTOCOLS
            {
                activity.upgrade();
            }
            Ok::<_, Infallible>(response.map(|body| running.until_end_of(body)))
        }
    });
    let io = TokioIo::new(stream);
    let driver = Driver {
        connections: &connections,
        activity: &activity,
        evicted: &evicted,
    };
    let result = if upgrades {
        let builder = http1_builder(&limits);
        let connection = builder.serve_connection(io, service).with_upgrades();
        let result = driver.drive(connection, |c| c.graceful_shutdown()).await;
        result.map(|result| result.map_err(Into::into))
    } else {
        let builder = builder(&connections, &limits);
        let connection = builder.serve_connection(io, service);
        driver.drive(connection, |c| c.graceful_shutdown()).await
    };
    if let Some(Err(error)) = result {
        tracing::debug!(%peer, error, "connection ended with an error");
    }
}

/// The stream, with TLS if there is an acceptor; `None` if the handshake failed.
async fn secured<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    acceptor: Option<&TlsAcceptor>,
    peer: SocketAddr,
) -> Option<Either<S, TlsStream<S>>> {
    let Some(acceptor) = acceptor else {
        return Some(Either::Left(stream));
    };
    match tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => return Some(Either::Right(stream)),
        Ok(Err(error)) => tracing::debug!(%peer, %error, "TLS handshake failed"),
        Err(_) => tracing::debug!(%peer, "TLS handshake timed out"),
    }
    None
}

/// What can end a connection before its time.
struct Driver<'a> {
    connections: &'a Connections,
    activity: &'a Activity,
    evicted: &'a CancellationToken,
}

impl Driver<'_> {
    /// Drives a connection until it ends. Returns `None` if it was cut or evicted, or if only a partial request head had
    /// arrived when the drain began.
    async fn drive<C: Future>(
        &self,
        connection: C,
        shut_down: impl Fn(Pin<&mut C>),
    ) -> Option<C::Output> {
        let mut connection = pin!(connection);
        tokio::select! {
            result = connection.as_mut() => Some(result),
            () = self.connections.cut.cancelled() => None,
            () = self.evicted.cancelled() => None,
            () = self.connections.drain.cancelled() => {
                shut_down(connection.as_mut());
                // A connection that still has only a partial request head will not get an exchange any more.
                let half_a_head = async {
                    loop {
                        tokio::time::sleep(HALF_A_HEAD).await;
                        if self.activity.is_in_a_head() {
                            break;
                        }
                    }
                };
                tokio::select! {
                    result = connection => Some(result),
                    () = self.connections.cut.cancelled() => None,
                    () = half_a_head => None,
                }
            }
        }
    }
}

/// Drives a connection that can be upgraded.
fn http1_builder(limits: &config::Limits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        // As below.
        .header_read_timeout(None)
        .max_buf_size(usize::try_from(limits.header_bytes).unwrap_or(usize::MAX))
        .max_headers(limits.headers);
    builder
}

fn builder(connections: &Connections, limits: &config::Limits) -> auto::Builder<Tracked> {
    let mut builder = auto::Builder::new(Tracked(connections.tasks.clone()));
    if connections.idle.is_some() {
        // Over HTTP/2 a client can keep a response open without taking it, and so is never idle.
        builder = builder.http1_only();
    }
    builder
        .http1()
        .timer(TokioTimer::new())
        // `Timed` has the configured timeouts; hyper's own 30 s would close idle connections earlier.
        .header_read_timeout(None)
        .max_headers(PARSED_FIELDS.max(limits.headers));
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(
            u32::try_from(limits.header_bytes)
                .unwrap_or(u32::MAX)
                .saturating_mul(2),
        )
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(20));
    builder
}

/// Runs the streams of HTTP/2 connections as tracked tasks.
#[derive(Clone)]
struct Tracked(TaskTracker);

impl<F> hyper::rt::Executor<F> for Tracked
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, future: F) {
        let token = CancellationToken::new();
        let cut = token.clone();
        let stream = async move { drop(cut.run_until_cancelled(future).await) };
        self.0.spawn(STREAM.scope(token, stream));
    }
}

tokio::task_local! {
    /// Resets the HTTP/2 stream that the task serves.
    static STREAM: CancellationToken;
}

/// In a task that serves an HTTP/2 stream: a token that resets the stream when it is cancelled, even with data still queued.
#[must_use]
pub fn current_stream() -> Option<CancellationToken> {
    STREAM.try_with(CancellationToken::clone).ok()
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "a test's own task ends with its runtime"
)]
mod tests;
