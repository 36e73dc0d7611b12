//! The web gateway's HTTP side: the rules that hold for every request, and which module handles it.

use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use tokio::sync::Semaphore;

use super::core::Core;
use super::response::{Body, error, text};
use super::wire::{Code, ErrorBody};
use super::{page, passthrough, rest, socket};
use sluicegate_config as config;
use sluicegate_serve::{self as server, Connections, Listener};
use sluicegate_telemetry::metrics::Exposition;

/// Bytes of a request head, and fields in it. Browsers send one or two kilobytes.
const HEAD_BYTES: u64 = 32 * 1024;
const FIELDS: usize = 64;
/// Connections beyond the sockets, for page files and the API.
const EXTRA: usize = 256;

/// Accepts connections until the gateway stops.
pub(crate) async fn serve(core: Arc<Core>, listener: Listener) {
    let most = core.settings.limits.connections.saturating_add(EXTRA);
    let connections = Connections {
        limits: Arc::new(ArcSwap::from_pointee(config::Limits {
            header_bytes: HEAD_BYTES,
            headers: FIELDS,
            ..config::Limits::default()
        })),
        permits: Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS))),
        idle: None,
        tasks: core.tracker.clone(),
        drain: core.stopping.clone(),
        cut: core.closed.clone(),
    };
    let handler = move |peer: server::Peer, request| {
        let core = Arc::clone(&core);
        async move { respond(&core, request, peer.address).await }
    };
    server::accept(listener, connections, handler).await;
}

/// Responds to one request.
async fn respond(core: &Arc<Core>, request: Request<Incoming>, peer: IpAddr) -> Response<Body> {
    let host = core
        .allow_list
        .host(request.headers())
        .map(|(host, secure)| (host.to_owned(), secure));
    let probe = matches!(request.uri().path(), "/healthz" | "/readyz");
    let mut response = match &host {
        // A page whose name was made to resolve to this machine gets nothing, not even our error format.
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
    peer: IpAddr,
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
        // What counts here is the peer itself, not the client that a proxy names.
        "/metrics" if get && peer.is_loopback() && local(&request) => metrics(core, &request),
        other => {
            let peer = core.allow_list.client(peer, request.headers());
            if let Some(file) = other.strip_prefix("/assets/").filter(|_| get) {
                core.pages.asset(file, request.headers())
            } else if other.starts_with("/api/v1/") {
                rest::respond(core, request, peer, secure).await
            } else if other.starts_with("/v1/") && core.settings.passthrough {
                passthrough::respond(core, request, peer).await
            } else {
                error(&ErrorBody::new(Code::NotFound, "no such path"))
            }
        }
    }
}

/// The figures of this gateway alone; with a proxy in the process they are on its admin interface too.
fn metrics(core: &Core, request: &Request<Incoming>) -> Response<Body> {
    let accept = request.headers().get_all(header::ACCEPT).iter();
    let exposition = Exposition::asked(accept.filter_map(|field| field.to_str().ok()));
    let mut response = text(StatusCode::OK, exposition.write(core.metrics()));
    let kind = HeaderValue::from_static(exposition.content_type());
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// Whether a request names this machine itself: behind a proxy on this machine, every client seems to come from loopback.
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
