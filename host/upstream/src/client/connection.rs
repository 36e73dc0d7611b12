//! One connection to a model server.

use std::fmt;
use std::future::Future as _;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::BytesMut;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;

use super::error::Error;
use super::head::{self, Head};
use super::sending::Sending;
use sluicegate_telemetry::metrics::TargetMetrics;

/// How many bytes are read at a time at first; doubled up to [`READ_MAX`] while a server has more.
const READ_MIN: usize = 8 * 1024;
/// The most bytes that are read at a time.
const READ_MAX: usize = 64 * 1024;

/// A connection, with or without TLS.
pub(crate) type Stream = Either<TcpStream, TlsStream<TcpStream>>;

/// A connection, with the bytes that have been read but not taken.
pub(crate) struct Connection {
    stream: Stream,
    pub(super) buffer: BytesMut,
    /// How much is read next.
    read: usize,
    /// The request, until it is sent completely.
    pub(super) sending: Option<Sending>,
    /// Whether any response bytes have arrived, even interim ones: the server has the request, so it must not be sent again.
    pub(super) began: bool,
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
    pub(crate) fn new(stream: Stream, metrics: Arc<TargetMetrics>) -> Self {
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
    pub(crate) fn is_usable(&mut self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        self.buffer.is_empty() && self.poll_read(&mut cx).is_pending()
    }

    /// Appends the bytes that have arrived to the buffer; 0 bytes at the end.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<std::io::Result<usize>> {
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
    pub(super) fn poll_send(&mut self, cx: &mut Context<'_>) -> Result<(), Error> {
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
    pub(super) fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<Head, Error>> {
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

    /// Prepares the connection for reuse; `None` if the request was not sent completely.
    pub(super) fn into_idle(mut self) -> Option<Self> {
        if self.sending.is_some() || self.send_error.is_some() {
            return None;
        }
        self.buffer = BytesMut::new();
        self.read = READ_MIN;
        Some(self)
    }
}
