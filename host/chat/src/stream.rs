//! The connection without a WebSocket: one event stream down, requests up by POST, with the same frames and positions.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame as BodyFrame;
use hyper::header::{self, HeaderValue};
use hyper::{Response, StatusCode};
use tokio::time::Instant;

use super::auth::Login;
use super::caller::Caller;
use super::connections::{Admitted, Conn, TICK};
use super::core::Core;
use super::outbox::{Frame, Next};
use super::request;
use super::response::{self, Body};
use super::wire::event::Notice;
use super::wire::{self, Code, ErrorBody};
use sluicegate_telemetry::clock;

/// How long a request waits until its stream is read. The page itself gives up after 20 s.
const FULL: Duration = Duration::from_secs(15);

/// Longer frames are sent without being copied, in chunks.
const COPIED: usize = 16 * 1024;

/// `GET /api/v1/events`.
pub(crate) fn open(core: &Arc<Core>, login: Login, admitted: Admitted) -> Response<Body> {
    let conn = core.connect(login, true, "hello");
    let open = Open {
        core: Arc::clone(core),
        conn,
        next_tick: Instant::now() + TICK,
        _admitted: admitted,
    };
    let frames = stream::unfold(open, |mut open| async move {
        let frame = open.next().await?;
        Some((frame, open))
    });
    events_response(body(frames))
}

/// Frames as events.
pub(crate) fn body(frames: impl Stream<Item = Frame> + Send + 'static) -> Body {
    let chunks = frames.flat_map(|frame| {
        let parts: Vec<Bytes> = std::iter::once(Bytes::from_static(b"data: "))
            .chain(frame.parts())
            .chain([Bytes::from_static(b"\n\n")])
            .collect();
        stream::iter(match frame.len() {
            ..=COPIED => vec![Bytes::from(parts.concat())],
            _ => parts,
        })
    });
    StreamBody::new(chunks.map(|chunk| Ok(BodyFrame::data(chunk)))).boxed_unsync()
}

/// The head of an event stream.
pub(crate) fn events_response(body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    let fields = response.headers_mut();
    fields.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/event-stream; charset=utf-8"),
    );
    fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Proxies that buffer responses would hold the stream back.
    fields.insert(
        header::HeaderName::from_static("x-accel-buffering"),
        HeaderValue::from_static("no"),
    );
    response
}

/// An event stream under way.
struct Open {
    core: Arc<Core>,
    conn: Arc<Conn>,
    next_tick: Instant,
    _admitted: Admitted,
}

impl Open {
    /// The next frame; `None` at the end of the stream.
    async fn next(&mut self) -> Option<Frame> {
        loop {
            let now = Instant::now();
            match self.conn.outbox.next(now) {
                Next::Send(frame) => {
                    self.next_tick = now + TICK;
                    return Some(frame);
                }
                Next::Close(_) => return None,
                Next::Wait(_) if now >= self.next_tick => {
                    self.conn.outbox.push(
                        wire::text(&Notice::Tick {
                            ts: clock::unix_ms(),
                        })
                        .into(),
                    );
                }
                Next::Wait(until) => {
                    let until = until.unwrap_or(self.next_tick).min(self.next_tick);
                    tokio::select! {
                        () = self.conn.outbox.ready() => {}
                        () = tokio::time::sleep_until(until) => {}
                        () = self.core.closed.cancelled() => return None,
                    }
                }
            }
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.core.connections.leave(&self.conn.outbox.conn);
    }
}

/// `POST /api/v1/rpc`: with the id of an event stream the response is sent there, without one in the body.
pub(crate) async fn rpc(
    core: &Arc<Core>,
    login: &Login,
    conn: Option<&str>,
    body: &[u8],
) -> Response<Body> {
    let Ok(frame) = serde_json::from_slice::<wire::Request<'_>>(body) else {
        return response::error(&ErrorBody::new(
            Code::BadFrame,
            "the body is not a `req` frame",
        ));
    };
    if frame.kind != "req" || frame.id.len() > 64 {
        return response::error(&ErrorBody::new(
            Code::BadFrame,
            "the body is not a `req` frame",
        ));
    }
    let Some(conn) = conn else {
        let handled = request::handle(
            &Caller {
                core,
                login,
                conn: None,
            },
            &frame,
        )
        .await;
        return response::typed(
            StatusCode::OK,
            "application/json",
            handled.unwrap_or_default(),
        );
    };
    let Some(conn) = core.connections.find(conn, login) else {
        return response::error(&wire::not_found("connection"));
    };
    // While nobody reads the earlier responses, no more are made.
    let _late = tokio::time::timeout(FULL, conn.outbox.has_room()).await;
    match core.connections.take_frame(&conn) {
        Ok(()) => {
            let caller = Caller {
                core,
                login,
                conn: Some(&conn),
            };
            if let Some(response) = request::handle(&caller, &frame).await {
                conn.outbox.push(response.into());
            }
        }
        Err(error) => conn.outbox.push(wire::fail(&frame.id, &error).into()),
    }
    response::empty(StatusCode::ACCEPTED)
}
