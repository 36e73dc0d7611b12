//! HTTP/1.1 to a model server, driven by the task of its exchange.
//!
//! A connection has no task of its own: whoever waits for the response also moves the bytes. So a burst is taken in one go
//! without a task switch, and dropping the exchange closes the connection at once, which is what stops the model. All transfer
//! chunks of one read become one [`Chunk`], without a buffer for each. That is why this is not a general HTTP library.

mod content;
mod head;
mod sending;

use std::fmt;
use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hyper::Request;
use hyper::http::response::Parts;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;

use self::content::Content;
use self::head::Head;
use self::sending::Sending;
use super::stall::Call;
use super::{Body, Target, body};
use crate as upstream;
use sluicegate_telemetry::metrics::TargetMetrics;

/// How many bytes are read at a time at first; doubled up to [`READ_MAX`] while a server has more.
const READ_MIN: usize = 8 * 1024;
/// The most bytes that are read at a time.
const READ_MAX: usize = 64 * 1024;

/// A connection, with or without TLS.
pub(super) type Stream = Either<TcpStream, TlsStream<TcpStream>>;

/// Why a connection gives no response, or only a part of one.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The connection failed.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The server closed the connection before it sent anything.
    #[error("the server closed the connection before it responded")]
    Closed,
    /// The server closed the connection in the middle of its response.
    #[error("the server closed the connection in the middle of its response")]
    Cut,
    /// What came is not a response head, or not one that can be accepted.
    #[error("the response head cannot be read: {0}")]
    Head(&'static str),
    /// The transfer chunks of a body are invalid.
    #[error("a chunk of its response cannot be read: {0}")]
    Chunk(&'static str),
    /// The client's body could not be read to its end while it was being sent on.
    #[error("the request body ended early")]
    RequestBody(#[source] body::Error),
}

impl Error {
    /// The error with its target, in the terms of `upstream`.
    fn at(self, target: &Target) -> upstream::Error {
        let target = target.label.to_string();
        match self {
            Self::RequestBody(cause) => upstream::Error::RequestBody(cause),
            Self::Head(_) | Self::Chunk(_) => upstream::Error::Invalid {
                target,
                source: self,
            },
            Self::Io(_) | Self::Closed | Self::Cut => upstream::Error::Broken {
                target,
                source: self,
            },
        }
    }

    /// Whether the server may have closed the connection before the request reached it.
    fn is_stale(&self) -> bool {
        match self {
            Self::Closed => true,
            Self::Io(error) => matches!(
                error.kind(),
                std::io::ErrorKind::ConnectionReset
                    | std::io::ErrorKind::ConnectionAborted
                    | std::io::ErrorKind::BrokenPipe
            ),
            Self::Cut | Self::Head(_) | Self::Chunk(_) | Self::RequestBody(_) => false,
        }
    }
}

/// A connection, with the bytes that have been read but not taken.
pub(super) struct Connection {
    stream: Stream,
    buffer: BytesMut,
    /// How much is read next.
    read: usize,
    /// The request, until it is sent completely.
    sending: Option<Sending>,
    /// Whether any response bytes have arrived, even interim ones: the server has the request, so it must not be sent again.
    began: bool,
    /// Why the request could not be sent completely. The server may have responded all the same, so this counts only if it has
    /// not.
    send_error: Option<std::io::Error>,
    metrics: Arc<TargetMetrics>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.metrics.disconnected();
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connection")
    }
}

impl Connection {
    pub(super) fn new(stream: Stream, metrics: Arc<TargetMetrics>) -> Self {
        metrics.connected();
        Self {
            stream,
            buffer: BytesMut::new(),
            read: READ_MIN,
            sending: None,
            began: false,
            send_error: None,
            metrics,
        }
    }

    /// Whether the server has kept the connection open since its last use, and has sent nothing unrequested.
    pub(super) fn is_usable(&mut self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        self.buffer.is_empty() && self.poll_read(&mut cx).is_pending()
    }

    /// Appends the bytes that have arrived to the buffer; 0 bytes at the end.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<std::io::Result<usize>> {
        self.buffer.reserve(self.read);
        let room = self.buffer.capacity() - self.buffer.len();
        let read = pin!(self.stream.read_buf(&mut self.buffer)).poll(cx)?;
        if let Poll::Ready(size) = read
            && size == room
        {
            self.read = (self.read * 2).min(READ_MAX);
        }
        read.map(Ok)
    }

    /// Sends as much of the request as the server takes.
    ///
    /// # Errors
    /// [`Error::RequestBody`]; an error of the connection is kept for later.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Result<(), Error> {
        let Some(sending) = &mut self.sending else {
            return Ok(());
        };
        match sending.poll(&mut self.stream, cx) {
            Poll::Pending => return Ok(()),
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(Error::Io(error))) => self.send_error = Some(error),
            Poll::Ready(Err(error)) => return Err(error),
        }
        self.sending = None;
        Ok(())
    }

    /// Sends the request and waits for the response head, at the same time: a server may respond before it has read everything.
    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<Head, Error>> {
        self.poll_send(cx)?;
        loop {
            if let Some(head) = head::take(&mut self.buffer)? {
                return Poll::Ready(Ok(head));
            }
            let lost = match std::task::ready!(self.poll_read(cx)) {
                Ok(1..) => {
                    self.began = true;
                    continue;
                }
                // Whichever way it broke off.
                Ok(0) | Err(_) if self.began => return Poll::Ready(Err(Error::Cut)),
                Ok(0) => Error::Closed,
                Err(error) => error.into(),
            };
            return Poll::Ready(Err(self.send_error.take().map_or(lost, Error::Io)));
        }
    }
}

/// The head of a response, with the body still to come.
#[derive(Debug)]
pub struct Response {
    /// Status and fields.
    pub head: Parts,
    /// The body.
    pub body: ResponseBody,
}

/// Some of a body.
#[derive(Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Bytes; empty only at the end.
    pub bytes: Bytes,
    /// Whether these were the last.
    pub last: bool,
}

/// The body of a response. Dropping it before the end closes the connection.
#[derive(Debug)]
pub struct ResponseBody {
    content: Content,
    /// Whether the connection may be used again.
    keep_alive: bool,
    /// `None` after the end. Its buffer holds bytes of the body that have not been handed over yet.
    connection: Option<Connection>,
    target: Arc<Target>,
    /// Why the body breaks off, once the bytes before that are handed over.
    failed: Option<Error>,
    /// Learns when data arrives and when the body is over.
    call: Option<Call>,
}

impl ResponseBody {
    /// The body behind a head; some of it may be in the buffer already.
    fn new(head: &Head, mut connection: Connection, target: Arc<Target>) -> Self {
        let mut body = Self {
            content: head.content,
            keep_alive: head.keep_alive,
            connection: None,
            target,
            failed: None,
            call: None,
        };
        body.failed = body.take(&mut connection.buffer, 0).err();
        body.connection = Some(connection);
        body
    }

    /// Attaches the call: dropping the body before its end is a hang-up then.
    #[must_use]
    pub fn of_call(mut self, call: Option<Call>) -> Self {
        self.call = call;
        self
    }

    /// Ends the call: dropping the body is not a hang-up any more.
    pub fn call_is_over(&mut self) {
        if let Some(mut call) = self.call.take() {
            call.over();
        }
    }

    /// Bytes still to come, if the server has announced the length.
    #[must_use]
    pub fn announced(&self) -> Option<u64> {
        let there = self
            .connection
            .as_ref()
            .map_or(0, |connection| connection.buffer.len() as u64);
        match self.content {
            Content::Length(left) => Some(left + there),
            Content::Chunked(_) | Content::ToEnd => None,
        }
    }

    /// All bytes that have arrived, in a chunk of at most about `limit`. Waits only if there are none.
    ///
    /// # Errors
    /// [`upstream::Error::Broken`] if the connection ended before the body did, [`upstream::Error::Invalid`] if its transfer
    /// chunks are invalid.
    ///
    /// # Cancel safety
    /// Nothing is lost if the future is dropped before it is ready.
    pub async fn next(&mut self, limit: usize) -> Result<Chunk, upstream::Error> {
        let chunk = poll_fn(|cx| self.poll_next(cx, limit)).await;
        match (&chunk, &mut self.call) {
            (Ok(chunk), Some(call)) if !chunk.bytes.is_empty() => call.received(),
            (_, _) => {}
        }
        if chunk.as_ref().map_or(true, |chunk| chunk.last) {
            self.call_is_over();
        }
        chunk.map_err(|broken| broken.at(&self.target))
    }

    fn poll_next(&mut self, cx: &mut Context<'_>, limit: usize) -> Poll<Result<Chunk, Error>> {
        let Some(mut connection) = self.connection.take() else {
            return Poll::Ready(match self.failed.take() {
                Some(error) => Err(error),
                None => Ok(Chunk {
                    bytes: Bytes::new(),
                    last: true,
                }),
            });
        };
        if let Err(error) = connection.poll_send(cx) {
            self.failed.get_or_insert(error);
        }
        while self.failed.is_none()
            && !self.content.is_complete()
            && connection.buffer.len() < limit
        {
            let before = connection.buffer.len();
            match connection.poll_read(cx) {
                Poll::Pending if before == 0 => {
                    self.connection = Some(connection);
                    return Poll::Pending;
                }
                Poll::Pending => break,
                Poll::Ready(Ok(0)) if self.content == Content::ToEnd => {
                    return Poll::Ready(Ok(Chunk {
                        bytes: connection.buffer.split().freeze(),
                        last: true,
                    }));
                }
                Poll::Ready(Ok(0)) => self.failed = Some(Error::Cut),
                Poll::Ready(Ok(_)) => {
                    self.failed = self.take(&mut connection.buffer, before).err();
                }
                Poll::Ready(Err(error)) => self.failed = Some(error.into()),
            }
        }
        let bytes = connection.buffer.split().freeze();
        let last = self.failed.is_none() && self.content.is_complete();
        if last {
            self.release(connection);
        } else if let Some(error) = self.failed.take_if(|_| bytes.is_empty()) {
            return Poll::Ready(Err(error));
        } else if self.failed.is_none() {
            self.connection = Some(connection);
        }
        Poll::Ready(Ok(Chunk { bytes, last }))
    }

    /// Leaves only the body's own bytes of those behind `before` in the buffer.
    fn take(&mut self, buffer: &mut BytesMut, before: usize) -> Result<(), Error> {
        let taken = self.content.take(&mut buffer[before..]);
        // Bytes behind the end belong to no request: the next response on this connection would be a wrong one.
        self.keep_alive &= before + taken.consumed == buffer.len();
        buffer.truncate(before + taken.kept);
        taken.error.map_or(Ok(()), Err)
    }

    /// Gives the connection back for reuse, if it can be used again.
    fn release(&mut self, mut connection: Connection) {
        let sent = connection.sending.is_none() && connection.send_error.is_none();
        if self.keep_alive && sent {
            connection.buffer = BytesMut::new();
            connection.read = READ_MIN;
            self.target.keep(connection);
        }
    }
}

/// A request that got no response.
#[derive(Debug)]
pub struct SendError {
    /// Why not.
    pub error: upstream::Error,
    /// The body, if nothing of it was sent: then it can be sent elsewhere.
    pub body: Option<Body>,
}

/// Sends a request to a target and waits for the head of the response.
///
/// `request` has the path for the server, its base included, and `host`. `connect` is how long a new connection may take.
///
/// # Errors
/// [`SendError`], always before the first byte of a response body.
///
/// # Cancel safety
/// Dropping the future closes the connection.
pub async fn send(
    target: &Arc<Target>,
    connect: Duration,
    request: Request<Body>,
) -> Result<Response, SendError> {
    let result = send_uncounted(target, connect, request).await;
    let label = match &result {
        Ok(_) => "ok",
        Err(error) => error.error.label(),
    };
    target.metrics.request(label);
    result
}

async fn send_uncounted(
    target: &Arc<Target>,
    connect: Duration,
    request: Request<Body>,
) -> Result<Response, SendError> {
    let lost = |error| SendError { error, body: None };
    let (head, body) = request.into_parts();
    let mut sending = Sending::new(&head, body);
    if let Some(connection) = target.reuse() {
        let replay = sending.replay();
        match exchange(target, connection, sending).await {
            Ok(response) => return Ok(response),
            // The server closed an idle connection just when it was reused. It has sent nothing, so the request is sent again,
            // if its body is still available.
            Err(broken) => match replay {
                Some(replay) if broken.is_stale() => sending = replay,
                Some(_) | None => return Err(lost(broken.at(target))),
            },
        }
    }
    match target.connect(connect).await {
        Ok(connection) => exchange(target, connection, sending)
            .await
            .map_err(|broken| lost(broken.at(target))),
        Err(error) => Err(SendError {
            error,
            body: sending.into_unsent(),
        }),
    }
}

/// One request on one connection.
async fn exchange(
    target: &Arc<Target>,
    mut connection: Connection,
    sending: Sending,
) -> Result<Response, Error> {
    connection.sending = Some(sending);
    connection.began = false;
    let head = poll_fn(|cx| connection.poll_head(cx)).await?;
    let body = ResponseBody::new(&head, connection, target.clone());
    Ok(Response {
        head: head.parts,
        body,
    })
}

#[cfg(test)]
mod properties;
