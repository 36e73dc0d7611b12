//! One WebSocket: the upgrade and its rules, `hello`, then reading requests and writing what the outbox holds, side by side.
//!
//! A login is refused after the upgrade, with a frame and a close code: browsers hide the status of a failed upgrade.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, SplitSink, SplitStream};
use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::time::Instant;
use tokio::time::error::Elapsed;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::CapacityError;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::frame::{CloseFrame, Frame as WsFrame};
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{self, Message};

use super::auth::Login;
use super::caller::Caller;
use super::connections::{Admitted, Conn, PING, TICK};
use super::core::Core;
use super::origin::{AllowList, Origin};
use super::outbox::{Frame, Next};
use super::request;
use super::response::{self, Body};
use super::wire::event::Notice;
use super::wire::params::Hello;
use super::wire::{self, Close, Code, ErrorBody, SUBPROTOCOL};
use sluicegate_telemetry::clock;

/// How long a client may take to say hello.
const HELLO: Duration = Duration::from_secs(10);
/// Bytes of a hello.
const HELLO_BYTES: usize = 64 * 1024;
/// How long the client may take nothing before its socket is closed; the client resumes.
const STUCK: Duration = Duration::from_secs(30);
/// How long a closing socket waits for the client's close frame.
const FAREWELL: Duration = Duration::from_secs(1);
/// Requests of one socket that are handled at once. More wait in the socket.
const AT_ONCE: usize = 8;
/// Refused frames in a row before the socket is closed: such a client ignores errors.
const REFUSED: u32 = 200;
/// Bytes that the library gathers before it writes, and the most that it holds: it copies what it is given, and its buffer
/// never shrinks.
const WRITE: usize = 4 * 1024;
const WRITE_MOST: usize = 256 * 1024;
/// Longer messages are sent in fragments of this many bytes, one after another.
const FRAGMENT: usize = 16 * 1024;
/// Bytes of the library's read buffer; its default is 128 KiB per socket.
const READ: usize = 4 * 1024;

type Ws = WebSocketStream<TokioIo<Upgraded>>;

/// `GET /ws`.
pub(crate) fn upgrade(
    core: &Arc<Core>,
    mut request: Request<Incoming>,
    peer: IpAddr,
) -> Response<Body> {
    let key = match handshake(request.method(), request.headers()) {
        Ok(key) => key,
        Err(message) => return response::text(StatusCode::BAD_REQUEST, message),
    };
    let origin = core.allow_list.origin(request.headers());
    if origin == Origin::Foreign || AllowList::cross_site(request.headers()) {
        core.telemetry.figures.refused.inc();
        tracing::warn!(%peer, origin = ?request.headers().get(header::ORIGIN), "chat: a socket from another origin was refused");
        return response::error(&ErrorBody::new(
            Code::Forbidden,
            "this origin may not open a socket",
        ));
    }
    if core.is_stopping() {
        return response::error(&core.stopping_error());
    }
    let admitted = match core.connections.admit(peer) {
        Ok(admitted) => admitted,
        Err(mut error) => {
            error.code = Code::RateLimited;
            return response::error(&error);
        }
    };
    let headers = request.headers().clone();
    let upgraded = hyper::upgrade::on(&mut request);
    let visitor = Visitor {
        core: Arc::clone(core),
        headers,
        address: peer,
        page: origin == Origin::Ours,
    };
    core.tracker.spawn(visitor.serve(upgraded, admitted));
    let mut response = response::empty(StatusCode::SWITCHING_PROTOCOLS);
    let fields = response.headers_mut();
    fields.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    fields.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    fields.insert(
        header::SEC_WEBSOCKET_PROTOCOL,
        HeaderValue::from_static(SUBPROTOCOL),
    );
    if let Ok(accept) = HeaderValue::try_from(derive_accept_key(key.as_bytes())) {
        fields.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    }
    response
}

/// The key of a valid handshake.
fn handshake(method: &Method, headers: &HeaderMap) -> Result<HeaderValue, &'static str> {
    let has = |name: header::HeaderName, word: &str| {
        let mut parts = headers
            .get_all(name)
            .iter()
            .filter_map(|field| field.to_str().ok())
            .flat_map(|field| field.split(','));
        parts.any(|part| part.trim().eq_ignore_ascii_case(word))
    };
    if *method != Method::GET
        || !has(header::CONNECTION, "upgrade")
        || !has(header::UPGRADE, "websocket")
    {
        return Err("this address is for WebSockets");
    }
    if !has(header::SEC_WEBSOCKET_VERSION, "13") {
        return Err("WebSocket version 13 is needed");
    }
    if !has(header::SEC_WEBSOCKET_PROTOCOL, SUBPROTOCOL) {
        return Err("the subprotocol sluice.v1 is needed");
    }
    headers
        .get(header::SEC_WEBSOCKET_KEY)
        .cloned()
        .ok_or("the WebSocket key is missing")
}

/// A client that has not said hello yet.
struct Visitor {
    core: Arc<Core>,
    headers: HeaderMap,
    address: IpAddr,
    /// Whether the request came from our page: then only the cookie counts.
    page: bool,
}

impl Visitor {
    async fn serve(self, upgraded: OnUpgrade, admitted: Admitted) {
        let Ok(Ok(upgraded)) = tokio::time::timeout(HELLO, upgraded).await else {
            return;
        };
        let config = WebSocketConfig::default()
            .read_buffer_size(READ)
            .write_buffer_size(WRITE)
            .max_write_buffer_size(WRITE_MOST)
            .max_message_size(Some(self.core.settings.sockets.frame_bytes))
            .max_frame_size(Some(self.core.settings.sockets.frame_bytes));
        let mut ws =
            WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, Some(config))
                .await;
        let met = tokio::select! {
            met = tokio::time::timeout(HELLO, self.meet(&mut ws)) => met.unwrap_or(Err(Close::HelloTimeout)),
            () = self.core.stopping.cancelled() => Err(Close::ShuttingDown),
        };
        match met {
            Ok(conn) => {
                let core = Arc::clone(&self.core);
                drop(self);
                talk(&core, &conn, ws).await;
                core.connections.leave(&conn.outbox.conn);
            }
            Err(close) => {
                self.core.telemetry.figures.refused.inc();
                farewell(&mut ws, close).await;
            }
        }
        drop(admitted);
    }

    /// Waits for `hello` and checks who the client is.
    async fn meet(&self, ws: &mut Ws) -> Result<Arc<Conn>, Close> {
        let text = loop {
            match ws.next().await {
                Some(Ok(Message::Text(text))) => break text,
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(Message::Binary(_) | Message::Frame(_))) => return Err(Close::BadFrame),
                Some(Ok(Message::Close(_))) | None => return Err(Close::Forbidden),
                Some(Err(error)) => return Err(reason(&error)),
            }
        };
        if text.len() > HELLO_BYTES {
            return Err(Close::TooBig);
        }
        let frame: wire::Request<'_> = serde_json::from_str(&text).map_err(|_| Close::BadFrame)?;
        let hello: Hello = match (&*frame.kind, &*frame.method, frame.params) {
            ("req", "hello", Some(params)) => {
                serde_json::from_str(params.get()).map_err(|_| Close::BadFrame)?
            }
            _ => return Err(Close::BadFrame),
        };
        let (id, result) = (frame.id.clone().into_owned(), self.check(&hello).await);
        match result {
            Ok(login) => Ok(self.core.connect(login, hello.visible, &id)),
            Err(error) => {
                // The reason is sent as a frame, because browsers hide the status of a failed upgrade.
                drop(ws.send(Message::Text(wire::fail(&id, &error).into())).await);
                Err(refusal(error.code))
            }
        }
    }

    async fn check(&self, hello: &Hello) -> Result<Login, ErrorBody> {
        if !(hello.min..=hello.max).contains(&wire::VERSION) {
            let details = serde_json::json!({ "min": wire::VERSION, "max": wire::VERSION });
            return Err(
                ErrorBody::new(Code::UnsupportedVersion, "no common version").details(details),
            );
        }
        match &hello.token {
            // A page must not use tokens: a script in it could have stolen one.
            Some(_) if self.page => Err(ErrorBody::new(
                Code::Unauthenticated,
                "a page logs in with its cookie",
            )),
            Some(token) => self.core.auth.check_token(token, self.address).await,
            None => {
                self.core
                    .auth
                    .check(&self.headers, hello.bind.as_deref(), self.address)
                    .await
            }
        }
    }
}

/// Why a socket is closed after a hello with this error.
fn refusal(code: Code) -> Close {
    match code {
        Code::UnsupportedVersion => Close::BadFrame,
        Code::RateLimited => Close::Rate,
        Code::StoreUnavailable => Close::Internal,
        // All other errors of a hello are about the login.
        Code::BadFrame
        | Code::Unauthenticated
        | Code::Forbidden
        | Code::NotFound
        | Code::LeafChanged
        | Code::RunActive
        | Code::TooLarge
        | Code::QueueFull
        | Code::Overloaded
        | Code::ShuttingDown
        | Code::UpstreamUnreachable
        | Code::UpstreamTimeout
        | Code::UpstreamError
        | Code::UpstreamInvalid
        | Code::UpstreamUnauthorized
        | Code::UpstreamConfiguration
        | Code::RequestRefused
        | Code::ModelNotFound
        | Code::ContextOverflow
        | Code::CircuitOpen
        | Code::StreamTruncated
        | Code::Internal => Close::Unauthenticated,
    }
}

/// Reads and writes until one side ends.
async fn talk(core: &Arc<Core>, conn: &Arc<Conn>, ws: Ws) {
    let (sink, stream) = ws.split();
    let pulse = Pulse::default();
    let mut sink = sink;
    let close = {
        let reading = read(core, conn, stream, &pulse);
        let writing = write(conn, &mut sink, &pulse);
        tokio::select! {
            close = reading => close,
            close = writing => Some(close),
            () = core.closed.cancelled() => Some(Close::ShuttingDown),
        }
    };
    if let Some(close) = close {
        let frame = CloseFrame {
            code: close.code().into(),
            reason: close.reason().into(),
        };
        drop(tokio::time::timeout(FAREWELL, sink.send(Message::Close(Some(frame)))).await);
        tracing::debug!(
            conn = conn.outbox.conn,
            close = close.code(),
            "chat: a socket was closed"
        );
    }
}

/// What reader and writer tell each other about liveness.
#[derive(Debug, Default)]
struct Pulse {
    /// When the last unanswered ping was sent.
    sent: Mutex<Option<Instant>>,
    /// Pings without an answer.
    missed: AtomicU32,
}

/// Reads and handles requests. Returns why to close; `None` if the client has closed.
async fn read(
    core: &Arc<Core>,
    conn: &Arc<Conn>,
    mut stream: SplitStream<Ws>,
    pulse: &Pulse,
) -> Option<Close> {
    let mut working = FuturesUnordered::new();
    let mut refused = 0;
    loop {
        let message = tokio::select! {
            Some(()) = working.next(), if !working.is_empty() => continue,
            message = next_message(conn, &mut stream), if working.len() < AT_ONCE => message,
        };
        let text = match message {
            Some(Ok(Message::Text(text))) => text,
            Some(Ok(Message::Pong(_))) => {
                pulse.heard(conn);
                continue;
            }
            Some(Ok(Message::Ping(_))) => continue,
            Some(Ok(Message::Binary(_) | Message::Frame(_))) => return Some(Close::BadFrame),
            Some(Ok(Message::Close(_))) | None => return None,
            Some(Err(error)) => {
                return Some(reason(&error)).filter(|close| *close != Close::Internal);
            }
        };
        let frame = match serde_json::from_str::<wire::Request<'_>>(&text) {
            Ok(frame) if frame.kind == "req" && frame.id.len() <= 64 => frame,
            Ok(_) | Err(_) => return Some(Close::BadFrame),
        };
        if let Err(error) = core.connections.take_frame(conn) {
            refused += 1;
            if refused > REFUSED {
                return Some(Close::Rate);
            }
            conn.outbox.push(wire::fail(&frame.id, &error).into());
            continue;
        }
        refused = 0;
        let slow = request::is_slow(&frame.method);
        let work = respond(Arc::clone(core), Arc::clone(conn), text);
        if slow {
            working.push(work.boxed());
        } else {
            // In order: a stop after a send must find the run that the send started.
            work.await;
        }
    }
}

/// The next message. No more requests are read from a client that does not read the responses.
async fn next_message(
    conn: &Conn,
    stream: &mut SplitStream<Ws>,
) -> Option<Result<Message, tungstenite::Error>> {
    conn.outbox.has_room().await;
    stream.next().await
}

async fn respond(core: Arc<Core>, conn: Arc<Conn>, text: tungstenite::Utf8Bytes) {
    let Ok(frame) = serde_json::from_str::<wire::Request<'_>>(&text) else {
        return;
    };
    let caller = Caller {
        core: &core,
        login: &conn.login,
        conn: Some(&conn),
    };
    if let Some(response) = Box::pin(request::handle(&caller, &frame)).await {
        conn.outbox.push(response.into());
    }
}

/// Writes what the outbox holds, and pings.
async fn write(conn: &Conn, sink: &mut SplitSink<Ws, Message>, pulse: &Pulse) -> Close {
    let mut next_ping = Instant::now() + PING;
    let mut next_tick = Instant::now() + TICK;
    loop {
        let now = Instant::now();
        let sent = match conn.outbox.next(now) {
            Next::Send(frame) => {
                next_tick = now + TICK;
                tokio::select! {
                    biased;
                    () = conn.outbox.was_cut() => continue,
                    sent = feed(sink, &frame) => sent,
                }
            }
            Next::Close(close) => return close,
            Next::Wait(_) if now >= next_ping => {
                next_ping = now + PING;
                if !pulse.beat(now) {
                    return Close::Watchdog;
                }
                tokio::time::timeout(STUCK, sink.send(Message::Ping(tungstenite::Bytes::new())))
                    .await
            }
            Next::Wait(_) if now >= next_tick => {
                conn.outbox.push(Frame::from(wire::text(&Notice::Tick {
                    ts: clock::unix_ms(),
                })));
                continue;
            }
            Next::Wait(until) => match tokio::time::timeout(STUCK, sink.flush()).await {
                Ok(Ok(())) => {
                    let until = until.unwrap_or(next_tick).min(next_tick).min(next_ping);
                    tokio::select! {
                        () = conn.outbox.ready() => {}
                        () = tokio::time::sleep_until(until) => {}
                    }
                    continue;
                }
                failed => failed,
            },
        };
        match sent {
            Ok(Ok(())) => {}
            // The client is gone; nobody reads the reason.
            Ok(Err(_)) => return Close::Internal,
            Err(_) => return Close::Rate,
        }
    }
}

/// Hands a frame to the library, in fragments if it is long.
async fn feed(
    sink: &mut SplitSink<Ws, Message>,
    frame: &Frame,
) -> Result<Result<(), tungstenite::Error>, Elapsed> {
    if let Some(text) = frame.whole().filter(|text| text.len() <= FRAGMENT) {
        let message = Message::Text(text.clone());
        return tokio::time::timeout(STUCK, sink.feed(message)).await;
    }
    let mut fragments: Vec<tungstenite::Bytes> = Vec::new();
    for mut part in frame.parts() {
        while !part.is_empty() {
            fragments.push(part.split_to(part.len().min(FRAGMENT)));
        }
    }
    let last = fragments.len().saturating_sub(1);
    for (at, fragment) in fragments.into_iter().enumerate() {
        let kind = if at == 0 { Data::Text } else { Data::Continue };
        let fragment = Message::Frame(WsFrame::message(fragment, OpCode::Data(kind), at == last));
        let fed = tokio::time::timeout(STUCK, sink.feed(fragment)).await?;
        if fed.is_err() {
            return Ok(fed);
        }
    }
    Ok(Ok(()))
}

impl Pulse {
    /// A ping is about to be sent; returns `false` if two are unanswered.
    fn beat(&self, now: Instant) -> bool {
        *self.sent.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
        self.missed.fetch_add(1, Ordering::Relaxed) < 2
    }

    fn heard(&self, conn: &Conn) {
        self.missed.store(0, Ordering::Relaxed);
        if let Some(sent) = self
            .sent
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
        {
            let micros = u64::try_from(sent.elapsed().as_micros()).unwrap_or(u64::MAX);
            conn.rtt_us.store(micros.max(1), Ordering::Relaxed);
        }
    }
}

/// Why a read failed.
fn reason(error: &tungstenite::Error) -> Close {
    match error {
        tungstenite::Error::Capacity(CapacityError::MessageTooLong { .. }) => Close::TooBig,
        tungstenite::Error::Protocol(_) | tungstenite::Error::Utf8(_) => Close::BadFrame,
        // The connection broke; nobody is left to be told.
        _ => Close::Internal,
    }
}

async fn farewell(ws: &mut Ws, close: Close) {
    let frame = CloseFrame {
        code: close.code().into(),
        reason: close.reason().into(),
    };
    let part = async {
        drop(ws.close(Some(frame)).await);
        while let Some(Ok(_)) = ws.next().await {}
    };
    drop(tokio::time::timeout(FAREWELL, part).await);
}
