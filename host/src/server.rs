//! HTTP towards clients: listeners, connections, TLS. What is done with a request is the caller's.

mod flush;
mod guard;
mod tls;

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;
use tokio_util::either::Either;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use self::flush::Flush;

use self::guard::{Activity, Guarded};
use crate::config;

/// The pause after an accept that failed, mostly for want of descriptors: time for some to come free.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Streams of one HTTP/2 connection. RFC 9113 asks for at least 100.
const STREAMS: u32 = 256;
/// Header fields that the parser takes, above the configured limit so that the gateway's own answer explains the limit.
const PARSED_FIELDS: usize = 512;

/// Why a listener cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address cannot be bound.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// The address as configured.
        address: SocketAddr,
        /// The system's reason.
        source: std::io::Error,
    },
    /// Certificate or key cannot be used.
    #[error("{0}")]
    Tls(#[from] tls::Error),
}

/// An open listener.
pub struct Listener {
    listener: TcpListener,
    address: SocketAddr,
    tls: Option<TlsAcceptor>,
}

impl Listener {
    /// Opens a listener. Port 0 takes a free one.
    ///
    /// # Errors
    /// [`Error`]; the message says what to mend.
    pub async fn open(config: &config::Listener) -> Result<Self, Error> {
        let tls = config.tls.as_ref().map(tls::acceptor).transpose()?;
        let failed = |source| Error::Bind {
            address: config.listen,
            source,
        };
        let listener = TcpListener::bind(config.listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self {
            listener,
            address,
            tls,
        })
    }

    /// The address, with the port that was taken.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Who sends a request, on which connection.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The client's address, or that of a proxy in front.
    pub address: IpAddr,
    /// What the connection has written.
    pub flush: Arc<Flush>,
}

/// What all connections of the program share.
#[derive(Clone)]
pub struct Connections {
    /// Limits and times.
    pub limits: Arc<config::Limits>,
    /// One permit for each connection.
    pub permits: Arc<Semaphore>,
    /// Where connections are tracked.
    pub tasks: TaskTracker,
    /// Cancelled when no more connections are taken and those that there are end after their exchange.
    pub drain: CancellationToken,
    /// Cancelled when connections end at once.
    pub cut: CancellationToken,
}

/// Takes connections until drained, and serves each in a task of its own.
pub async fn accept<H, F, B>(listener: Listener, connections: Connections, handler: H)
where
    H: Fn(Peer, Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: hyper::body::Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: std::error::Error + Send + Sync,
{
    loop {
        let next = async {
            let permit = connections.permits.clone().acquire_owned().await;
            (
                permit.expect("the semaphore is never closed"),
                listener.listener.accept().await,
            )
        };
        let (permit, accepted) = tokio::select! {
            biased;
            () = connections.drain.cancelled() => return,
            next = next => next,
        };
        match accepted {
            Ok((stream, peer)) => {
                let served = serve(
                    stream,
                    peer,
                    listener.tls.clone(),
                    connections.clone(),
                    handler.clone(),
                    permit,
                );
                connections.tasks.spawn(served);
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be taken");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// One connection, to its end.
async fn serve<H, F, B>(
    stream: TcpStream,
    peer: SocketAddr,
    tls: Option<TlsAcceptor>,
    connections: Connections,
    handler: H,
    _permit: OwnedSemaphorePermit,
) where
    H: Fn(Peer, Request<Incoming>) -> F + Send + Sync + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: hyper::body::Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: std::error::Error + Send + Sync,
{
    // Small writes, one for each event, must not wait for an acknowledgement.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%peer, %error, "TCP_NODELAY cannot be set");
    }
    let activity = Arc::new(Activity::default());
    let guarded = Guarded::new(stream, activity.clone(), &connections.limits);
    let stream = match tls {
        None => Either::Left(guarded),
        Some(acceptor) => match tokio::time::timeout(HANDSHAKE, acceptor.accept(guarded)).await {
            Ok(Ok(stream)) => Either::Right(stream),
            Ok(Err(error)) => return tracing::debug!(%peer, %error, "TLS handshake failed"),
            Err(_) => return tracing::debug!(%peer, "TLS handshake timed out"),
        },
    };
    let client = Peer {
        address: peer.ip().to_canonical(),
        flush: activity.flush(),
    };
    let service = service_fn(|request: Request<Incoming>| {
        let running = activity.begin(&request);
        let response = handler(client.clone(), request);
        async move {
            let response = response.await;
            Ok::<_, Infallible>(response.map(|body| running.until_end_of(body)))
        }
    });
    let builder = builder(&connections);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = connections.cut.cancelled() => return,
        () = connections.drain.cancelled() => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                result = connection => result,
                () = connections.cut.cancelled() => return,
            }
        }
    };
    if let Err(error) = result {
        tracing::debug!(%peer, error, "connection ended with an error");
    }
}

fn builder(connections: &Connections) -> auto::Builder<Tracked> {
    let mut builder = auto::Builder::new(Tracked(connections.tasks.clone()));
    let limits = &connections.limits;
    builder
        .http1()
        .timer(TokioTimer::new())
        // `Guarded` has the limits of the configuration; hyper's own 30 s would end idle connections before them.
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
        self.0.spawn(future);
    }
}
