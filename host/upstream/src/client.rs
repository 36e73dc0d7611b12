//! HTTP/1.1 to a model server, driven by the task of its exchange.
//!
//! A connection has no task of its own: whoever waits for the response also moves the bytes. So a burst is taken in one go
//! without a task switch, and dropping the exchange closes the connection at once, which is what stops the model. All transfer
//! chunks of one read become one [`Chunk`], without a buffer for each. That is why this is not a general HTTP library.

pub(super) mod connection;
mod content;
pub mod error;
mod head;
mod sending;

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hyper::Request;
use hyper::http::response::Parts;

pub use self::error::Error;

use self::connection::Connection;
use self::content::Content;
use self::head::Head;
use self::sending::Sending;
use super::body::Body;
use super::error as upstream;
use super::stall::Call;
use super::target::Target;

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
        chunk.map_err(|error| at(error, &self.target))
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
    fn release(&mut self, connection: Connection) {
        if self.keep_alive
            && let Some(connection) = connection.into_idle()
        {
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
                Some(_) | None => return Err(lost(at(broken, target))),
            },
        }
    }
    match target.connect(connect).await {
        Ok(connection) => exchange(target, connection, sending)
            .await
            .map_err(|error| lost(at(error, target))),
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

/// The error with its target, in the terms of `upstream`.
fn at(error: Error, target: &Target) -> upstream::Error {
    let target = target.label.to_string();
    match error {
        Error::RequestBody(cause) => upstream::Error::RequestBody(cause),
        Error::Head(_) | Error::Chunk(_) => upstream::Error::Invalid {
            target,
            source: error,
        },
        Error::Io(_) | Error::Closed | Error::Cut => upstream::Error::Broken {
            target,
            source: error,
        },
    }
}

#[cfg(test)]
mod properties;
