//! HTTP/1.1 to a model server, driven by the task of its exchange.
//!
//! A connection has no task of its own: whoever waits for an answer also moves the octets. So a burst of chunks is
//! taken in one go without a switch of tasks, and dropping the exchange closes the connection at once, which is what stops
//! the model.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::http::response::Parts;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;

use super::{Body, Error, Target, body};
use crate::telemetry::metrics::TargetMetrics;

/// A connection's octets, with or without TLS.
pub(super) type Stream = Either<TcpStream, TlsStream<TcpStream>>;

/// What moves a connection's octets.
type Driver = http1::Connection<TokioIo<Stream>, Body>;

/// A connection together with what moves its octets.
pub(super) struct Connection {
    sender: SendRequest<Body>,
    /// `None` once the connection has ended.
    driver: Option<Pin<Box<Driver>>>,
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
    pub(super) fn new(
        sender: SendRequest<Body>,
        driver: Driver,
        metrics: Arc<TargetMetrics>,
    ) -> Self {
        metrics.connected();
        Self {
            sender,
            driver: Some(Box::pin(driver)),
            metrics,
        }
    }

    /// Whether the server has kept the connection open since its last use.
    pub(super) fn is_usable(&mut self) -> bool {
        self.drive(&mut Context::from_waker(Waker::noop()));
        self.driver.is_some() && self.sender.is_ready()
    }

    /// Moves what can be moved. An error of the connection also reaches the answer or its body, so it is not lost here.
    fn drive(&mut self, cx: &mut Context<'_>) {
        if let Some(driver) = &mut self.driver
            && driver.as_mut().poll(cx).is_ready()
        {
            self.driver = None;
        }
    }

    async fn send(
        &mut self,
        request: Request<Body>,
    ) -> Result<Response<Incoming>, TrySendError<Request<Body>>> {
        let mut answer = pin!(self.sender.try_send_request(request));
        poll_fn(|cx| {
            if let Some(driver) = &mut self.driver
                && driver.as_mut().poll(cx).is_ready()
            {
                self.driver = None;
            }
            answer.as_mut().poll(cx)
        })
        .await
    }
}

/// The head of an answer, with the body still to come.
#[derive(Debug)]
pub struct Answer {
    /// Status and fields.
    pub head: Parts,
    /// The body.
    pub body: AnswerBody,
}

/// What has arrived of a body.
#[derive(Debug, PartialEq, Eq)]
pub struct Piece {
    /// Octets; empty only at the end.
    pub bytes: Bytes,
    /// Whether these were the last.
    pub last: bool,
}

/// The body of an answer. Dropping it before the end closes the connection.
#[derive(Debug)]
pub struct AnswerBody {
    incoming: Incoming,
    connection: Option<Connection>,
    target: Arc<Target>,
    /// An error that came behind octets which had to be handed over first.
    failed: Option<hyper::Error>,
}

impl AnswerBody {
    /// Octets that the server has announced, if it has.
    #[must_use]
    pub fn announced(&self) -> Option<u64> {
        self.incoming.size_hint().exact()
    }

    /// All octets that have arrived, waiting only if there are none; at most about `limit` in one piece.
    ///
    /// # Errors
    /// [`Error::Broken`] if the connection ended before the body did.
    ///
    /// # Cancel safety
    /// Nothing is lost if the future is dropped before it is ready.
    pub async fn next(&mut self, limit: usize) -> Result<Piece, Error> {
        let piece = poll_fn(|cx| self.poll_next(cx, limit)).await;
        piece.map_err(|source| Error::Broken {
            target: self.target.label.to_string(),
            source,
        })
    }

    fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        limit: usize,
    ) -> Poll<Result<Piece, hyper::Error>> {
        if let Some(error) = self.failed.take() {
            return Poll::Ready(Err(error));
        }
        let mut taken = Taken::Nothing;
        let mut driven = false;
        loop {
            match Pin::new(&mut self.incoming).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    driven = false;
                    if let Ok(data) = frame.into_data() {
                        taken.add(data);
                    }
                    if taken.len() >= limit {
                        return Poll::Ready(Ok(Piece {
                            bytes: taken.freeze(),
                            last: false,
                        }));
                    }
                }
                Poll::Ready(Some(Err(error))) => {
                    if taken.len() == 0 {
                        return Poll::Ready(Err(error));
                    }
                    self.failed = Some(error);
                    return Poll::Ready(Ok(Piece {
                        bytes: taken.freeze(),
                        last: false,
                    }));
                }
                Poll::Ready(None) => {
                    self.release();
                    return Poll::Ready(Ok(Piece {
                        bytes: taken.freeze(),
                        last: true,
                    }));
                }
                // The octets may wait one layer below: move them up, then look once more.
                Poll::Pending if !driven => {
                    driven = true;
                    if let Some(connection) = &mut self.connection {
                        connection.drive(cx);
                    }
                }
                Poll::Pending if taken.len() == 0 => return Poll::Pending,
                Poll::Pending => {
                    return Poll::Ready(Ok(Piece {
                        bytes: taken.freeze(),
                        last: false,
                    }));
                }
            }
        }
    }

    /// Gives the connection back for reuse, if it can be used again.
    fn release(&mut self) {
        if let Some(mut connection) = self.connection.take()
            && connection.is_usable()
        {
            self.target.keep(connection);
        }
    }
}

/// Octets taken so far: one piece stays what it is, several are joined.
enum Taken {
    Nothing,
    One(Bytes),
    Many(BytesMut),
}

impl Taken {
    fn len(&self) -> usize {
        match self {
            Self::Nothing => 0,
            Self::One(bytes) => bytes.len(),
            Self::Many(bytes) => bytes.len(),
        }
    }

    fn add(&mut self, more: Bytes) {
        match self {
            Self::Nothing => *self = Self::One(more),
            Self::One(first) => {
                let mut joined = BytesMut::with_capacity(4096.max(first.len() + more.len()));
                joined.extend_from_slice(first);
                joined.extend_from_slice(&more);
                *self = Self::Many(joined);
            }
            Self::Many(joined) => joined.extend_from_slice(&more),
        }
    }

    fn freeze(self) -> Bytes {
        match self {
            Self::Nothing => Bytes::new(),
            Self::One(bytes) => bytes,
            Self::Many(bytes) => bytes.freeze(),
        }
    }
}

/// Sends a request to a target and waits for the head of its answer.
///
/// The path of `request` gets the target's base in front, and `host` is the target's unless it is set.
///
/// # Errors
/// [`Error`], all before a single octet of an answer.
///
/// # Cancel safety
/// Dropping the future closes the connection.
pub async fn send(target: &Arc<Target>, request: Request<Body>) -> Result<Answer, Error> {
    let answer = send_uncounted(target, request).await;
    target
        .metrics
        .request(answer.as_ref().map_or_else(Error::label, |_| "ok"));
    answer
}

async fn send_uncounted(target: &Arc<Target>, mut request: Request<Body>) -> Result<Answer, Error> {
    if let Some(connection) = target.reuse() {
        let again = copy(&request);
        match exchange(target, connection, request).await {
            Ok(answer) => return Ok(answer),
            // The server closed a connection that it had kept open, in the moment in which it was to be used again. It has
            // sent nothing, so the request goes out once more, if its body is still at hand.
            Err((error, unsent)) => {
                let stale = unsent.or(if is_stale(&error) { again } else { None });
                let Some(stale) = stale else {
                    return Err(error);
                };
                request = stale;
            }
        }
    }
    let connection = target.connect().await?;
    exchange(target, connection, request)
        .await
        .map_err(|(error, _)| error)
}

/// The request once more, if its body is complete.
fn copy(request: &Request<Body>) -> Option<Request<Body>> {
    let Body::Full(bytes) = request.body() else {
        return None;
    };
    let mut copy = Request::new(Body::Full(bytes.clone()));
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    Some(copy)
}

fn is_stale(error: &Error) -> bool {
    matches!(error, Error::Broken { source, .. } if source.is_incomplete_message() || source.is_closed() || source.is_canceled() || is_reset(source))
}

fn is_reset(error: &hyper::Error) -> bool {
    std::error::Error::source(error)
        .and_then(|source| source.downcast_ref::<std::io::Error>())
        .is_some_and(|error| {
            matches!(
                error.kind(),
                std::io::ErrorKind::ConnectionReset | std::io::ErrorKind::BrokenPipe
            )
        })
}

/// One request on one connection. On an error that left the request unsent, gives it back.
async fn exchange(
    target: &Arc<Target>,
    mut connection: Connection,
    request: Request<Body>,
) -> Result<Answer, (Error, Option<Request<Body>>)> {
    match connection.send(request).await {
        Ok(response) => {
            let (head, incoming) = response.into_parts();
            let body = AnswerBody {
                incoming,
                connection: Some(connection),
                target: target.clone(),
                failed: None,
            };
            Ok(Answer { head, body })
        }
        Err(mut error) => {
            let unsent = error.take_message();
            let source = error.into_error();
            let cause = std::error::Error::source(&source)
                .and_then(|cause| cause.downcast_ref::<body::Error>());
            let error = match cause {
                Some(cause) => Error::RequestBody(*cause),
                None => Error::Broken {
                    target: target.label.to_string(),
                    source,
                },
            };
            Err((error, unsent))
        }
    }
}
