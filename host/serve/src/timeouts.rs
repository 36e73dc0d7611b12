//! Timeouts of slow clients: for sending a request head, for silence between requests, and for reading the response. When one
//! has passed, the connection is closed.
//!
//! A slow request body is not handled here: the exchange reads it, and can send the client an error.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::Version;
use hyper::body::{Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use super::flush::Flush;
use super::idle::Place;
use sluicegate_config::Limits;
use sluicegate_io as vectored;

/// What a connection is doing, judged by its requests.
#[derive(Debug, Default)]
pub(super) struct Activity {
    running: AtomicUsize,
    /// Over HTTP/2 there are frames between requests, so incoming bytes need not begin a request head.
    multiplexed: AtomicBool,
    flush: Arc<Flush>,
    /// A part of a request head has arrived.
    in_a_head: AtomicBool,
    /// Its place among the idle connections, if idle connections can be evicted.
    place: Option<Place>,
}

impl Activity {
    pub(super) fn new(place: Option<Place>) -> Self {
        Self {
            place,
            ..Self::default()
        }
    }

    /// A request has begun.
    pub(super) fn begin<B>(self: &Arc<Self>, request: &hyper::Request<B>) -> Running {
        if request.version() == Version::HTTP_2 {
            self.multiplexed.store(true, Ordering::Relaxed);
        }
        if self.running.fetch_add(1, Ordering::Relaxed) == 0
            && let Some(place) = &self.place
        {
            place.works();
        }
        Running(self.clone())
    }

    /// The connection was upgraded: it stays busy until its end.
    pub(super) fn upgrade(&self) {
        self.running.fetch_add(1, Ordering::Relaxed);
    }

    /// What the connection has written.
    pub(super) fn flush(&self) -> Arc<Flush> {
        self.flush.clone()
    }

    fn is_running(&self) -> bool {
        self.running.load(Ordering::Relaxed) > 0
    }

    /// Whether a partial request head is all there is: no exchange runs and nothing is left to write.
    pub(super) fn is_in_a_head(&self) -> bool {
        self.in_a_head.load(Ordering::Relaxed) && !self.is_running() && self.flush.is_flushed()
    }

    fn is_multiplexed(&self) -> bool {
        self.multiplexed.load(Ordering::Relaxed)
    }
}

/// Marks a request as being served, until dropped.
pub(super) struct Running(Arc<Activity>);

impl Running {
    /// Keeps the mark until the response's body is sent.
    pub(super) fn until_end_of<B>(self, body: B) -> Watched<B> {
        Watched {
            body,
            _running: self,
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.0.running.fetch_sub(1, Ordering::Relaxed) == 1
            && let Some(place) = &self.0.place
        {
            place.rests();
        }
    }
}

/// A response body; its connection counts as busy until it is dropped.
pub(super) struct Watched<B> {
    body: B,
    _running: Running,
}

impl<B: hyper::body::Body<Data = Bytes> + Unpin> hyper::body::Body for Watched<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A connection with the timeouts above.
pub(super) struct Timed<S> {
    stream: S,
    activity: Arc<Activity>,
    head: Duration,
    idle: Duration,
    write: Duration,
    /// Since when the client has been silent between requests; `None` while one is served.
    silent_since: Option<Instant>,
    /// When the first byte of an incomplete request head arrived.
    head_since: Option<Instant>,
    /// Since when a write has been pending.
    blocked_since: Option<Instant>,
    /// One timer for all timeouts. A deadline that moves does not reset it: it checks again when it fires.
    timer: Option<Pin<Box<Sleep>>>,
}

impl<S> Timed<S> {
    pub(super) fn new(stream: S, activity: Arc<Activity>, limits: &Limits) -> Self {
        Self {
            stream,
            activity,
            head: limits.header_timeout,
            idle: limits.keep_alive,
            write: limits.write_timeout,
            silent_since: None,
            head_since: None,
            blocked_since: None,
            timer: None,
        }
    }

    /// Bytes have arrived.
    fn heard(&mut self) {
        if self.activity.is_running() {
            self.head_since = None;
        } else if !self.activity.is_multiplexed() {
            self.head_since.get_or_insert_with(Instant::now);
        }
        self.silent_since = None;
        self.tells_of_head();
    }

    /// A read found nothing.
    fn hears_nothing(&mut self) {
        if self.activity.is_running() {
            self.silent_since = None;
            self.head_since = None;
            self.tells_of_head();
        } else {
            self.silent_since.get_or_insert_with(Instant::now);
        }
    }

    fn tells_of_head(&self) {
        let in_a_head = self.head_since.is_some();
        self.activity.in_a_head.store(in_a_head, Ordering::Relaxed);
    }

    fn deadline(&self) -> Option<Instant> {
        let silent = match (self.head_since, self.silent_since) {
            (Some(since), _) => Some(since + self.head),
            (None, Some(since)) => Some(since + self.idle),
            (None, None) => None,
        };
        let blocked = self.blocked_since.map(|since| since + self.write);
        silent.into_iter().chain(blocked).min()
    }

    /// Fails if a deadline has passed; otherwise makes the task wake at the next one.
    fn check(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let Some(deadline) = self.deadline() else {
            return Ok(());
        };
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        // A timer that fires too early is set again below; one that would fire too late is moved here.
        if timer.deadline() > deadline {
            timer.as_mut().reset(deadline);
        }
        while timer.as_mut().poll(cx).is_ready() {
            if Instant::now() >= deadline {
                return Err(io::ErrorKind::TimedOut.into());
            }
            timer.as_mut().reset(deadline);
        }
        Ok(())
    }

    /// Watches the outcome of a write.
    fn wrote<T>(
        &mut self,
        cx: &mut Context<'_>,
        outcome: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        self.activity.flush.writes();
        if outcome.is_ready() {
            self.blocked_since = None;
            return outcome;
        }
        self.blocked_since.get_or_insert_with(Instant::now);
        match self.check(cx) {
            Ok(()) => Poll::Pending,
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Timed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_read(cx, buf);
        if outcome.is_ready() {
            self.heard();
            return outcome;
        }
        self.hears_nothing();
        let activity = &self.activity;
        activity.flush.reads(activity.is_multiplexed(), cx.waker());
        match self.check(cx) {
            Ok(()) => Poll::Pending,
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Timed<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.wrote(cx, outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = vectored::poll_write(&mut self.stream, cx, bytes);
        self.wrote(cx, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_flush(cx);
        match outcome {
            Poll::Ready(Ok(())) => self.activity.flush.flushed(),
            Poll::Ready(Err(_)) | Poll::Pending => {
                self.activity.flush.writes();
                return outcome;
            }
        }
        // The end of a response: hyper may have tried to read before this, and will not try again until bytes arrive.
        self.hears_nothing();
        Poll::Ready(self.check(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    fn limits() -> Limits {
        Limits {
            header_timeout: Duration::from_secs(10),
            keep_alive: Duration::from_secs(75),
            write_timeout: Duration::from_secs(30),
            ..Limits::default()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn silence_between_requests_ends_the_connection_after_the_keep_alive_time() {
        let (_client, server) = duplex(64);
        let mut stream = Timed::new(server, Arc::default(), &limits());
        let began = Instant::now();
        let error = stream.read_u8().await.expect_err("it ends");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(began.elapsed().as_secs(), 75);
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_comes_drop_by_drop_ends_after_its_own_time() {
        let (mut client, server) = duplex(64);
        let mut stream = Timed::new(server, Arc::default(), &limits());
        let began = Instant::now();
        let drip = async {
            loop {
                tokio::time::sleep(Duration::from_secs(3)).await;
                if client.write_u8(b'x').await.is_err() {
                    break;
                }
            }
        };
        let read = async {
            loop {
                if let Err(error) = stream.read_u8().await {
                    break error;
                }
            }
        };
        let error =
            tokio::select! { error = read => error, () = drip => panic!("the reader ends first") };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(began.elapsed().as_secs(), 13);
    }

    #[tokio::test(start_paused = true)]
    async fn a_served_request_may_be_silent_and_a_client_that_takes_nothing_may_not() {
        let (_client, server) = duplex(4);
        let activity = Arc::new(Activity::default());
        let mut stream = Timed::new(server, activity.clone(), &limits());
        let running = activity.begin(&hyper::Request::new(()));
        let quiet = tokio::time::timeout(Duration::from_secs(600), stream.read_u8()).await;
        assert!(quiet.is_err(), "a request that is served has no limit here");
        let began = Instant::now();
        let error = stream
            .write_all(b"more than four")
            .await
            .expect_err("it ends");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(began.elapsed().as_secs(), 30);
        drop(running);
    }
}
