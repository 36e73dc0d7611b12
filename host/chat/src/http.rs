//! The web gateway's HTTP side: accepting connections, the rules that hold for every request, and which module answers it.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::core::Core;
use super::response::{Body, error, text};
use super::wire::{Code, ErrorBody};
use super::{page, passthrough, rest, socket};

/// How long a client may take for the head of a request, and for TLS.
const HEAD: Duration = Duration::from_secs(10);
/// Bytes of a head, and fields in it. Browsers send one or two kilobytes.
const HEAD_BYTES: usize = 32 * 1024;
const FIELDS: usize = 64;
/// Connections beyond the sockets, for page files and the API.
const EXTRA: usize = 256;
/// The media type of metrics.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Accepts connections until the gateway stops.
pub(crate) async fn serve(core: Arc<Core>, listener: TcpListener, tls: Option<TlsAcceptor>) {
    let most = core.settings.limits.connections.saturating_add(EXTRA);
    let permits = Arc::new(tokio::sync::Semaphore::new(
        most.min(tokio::sync::Semaphore::MAX_PERMITS),
    ));
    loop {
        // The permit comes first: what cannot be served waits in the system's queue.
        let permit = tokio::select! {
            () = core.stopping.cancelled() => return,
            permit = Arc::clone(&permits).acquire_owned() => permit,
        };
        let accepted = tokio::select! {
            () = core.stopping.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((tcp, peer)) => {
                let work = connection(Arc::clone(&core), tcp, peer, tls.clone());
                core.tracker.spawn(async move {
                    work.await;
                    drop(permit);
                });
            }
            Err(error) => {
                // Out of descriptors, or a client that was gone already. Neither ends the gateway.
                tracing::warn!(%error, "chat: a connection was not accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn connection(core: Arc<Core>, tcp: TcpStream, peer: SocketAddr, tls: Option<TlsAcceptor>) {
    if let Err(error) = tcp.set_nodelay(true) {
        tracing::debug!(%error, "chat: the connection is gone");
        return;
    }
    match tls {
        None => speak(core, TokioIo::new(tcp), peer).await,
        Some(tls) => match tokio::time::timeout(HEAD, tls.accept(tcp)).await {
            Ok(Ok(stream)) => speak(core, TokioIo::new(stream), peer).await,
            Ok(Err(error)) => tracing::debug!(%error, %peer, "chat: no TLS"),
            Err(_) => tracing::debug!(%peer, "chat: TLS took too long"),
        },
    }
}

async fn speak<S>(core: Arc<Core>, io: TokioIo<S>, peer: SocketAddr)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
{
    let service_core = Arc::clone(&core);
    let service = service_fn(move |request| {
        let core = Arc::clone(&service_core);
        async move { Ok::<_, Infallible>(answer(&core, request, peer).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(HEAD_BYTES)
        .max_headers(FIELDS)
        .serve_connection(io, service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = core.stopping.cancelled() => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                ended = connection => ended,
                () = core.closed.cancelled() => return,
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, %peer, "chat: a connection ended");
    }
}

/// Answers one request.
async fn answer(core: &Arc<Core>, request: Request<Incoming>, peer: SocketAddr) -> Response<Body> {
    let host = core
        .allow_list
        .host(request.headers())
        .map(|(host, secure)| (host.to_owned(), secure));
    let probe = matches!(request.uri().path(), "/healthz" | "/readyz");
    let mut response = match &host {
        // A page that made its name resolve to this machine gets nothing, not even our error format.
        None if !probe => text(
            StatusCode::MISDIRECTED_REQUEST,
            "this host name is not served here",
        ),
        None => route(core, request, peer, false).await,
        Some((_, secure)) => route(core, request, peer, *secure).await,
    };
    page::protect(
        response.headers_mut(),
        host.as_ref().map(|(host, _)| host.as_str()),
    );
    response
}

async fn route(
    core: &Arc<Core>,
    request: Request<Incoming>,
    peer: SocketAddr,
    secure: bool,
) -> Response<Body> {
    let path = request.uri().path().to_owned();
    let get = matches!(*request.method(), Method::GET | Method::HEAD);
    match path.as_str() {
        "/ws" => {
            let peer = core.allow_list.client(peer, request.headers());
            socket::upgrade(core, request, peer)
        }
        "/" if get => core.pages.index(request.headers()),
        "/healthz" if get => text(StatusCode::OK, "ok"),
        "/readyz" if get => rest::ready(core).await,
        // Here it counts who is at the other end of the line, not for whom.
        "/metrics" if get && peer.ip().is_loopback() && local(&request) => metrics(core),
        other => {
            let peer = core.allow_list.client(peer, request.headers());
            if let Some(file) = other.strip_prefix("/assets/").filter(|_| get) {
                core.pages.asset(file, request.headers())
            } else if other.starts_with("/api/v1/") {
                rest::answer(core, request, peer, secure).await
            } else if other.starts_with("/v1/") && core.settings.passthrough {
                passthrough::answer(core, request, peer).await
            } else {
                error(&ErrorBody::new(Code::NotFound, "no such path"))
            }
        }
    }
}

/// The figures of this gateway alone; with a proxy in the process they are on its admin interface too.
fn metrics(core: &Core) -> Response<Body> {
    let mut response = text(StatusCode::OK, core.metrics() + "# EOF\n");
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(OPEN_METRICS));
    response
}

/// Whether a request names this machine itself: through a proxy in front of us everybody seems to come from loopback.
fn local(request: &Request<Incoming>) -> bool {
    let host = request
        .headers()
        .get(header::HOST)
        .and_then(|host| host.to_str().ok())
        .unwrap_or_default();
    ["127.0.0.1:", "localhost:", "[::1]:"]
        .iter()
        .any(|own| host.starts_with(own))
}
