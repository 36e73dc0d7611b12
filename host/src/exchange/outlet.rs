//! The way from an exchange to the client: one head, then bytes, then an end.
//!
//! An exchange is one asynchronous function that hands its response over chunk by chunk. The connection polls it, first until
//! there is a head, then for each chunk of the body: so it goes on only as fast as the client takes what it gives. When the
//! client is gone, the exchange is told so and moves to a task of its own, where it lets go of the model server and comes to
//! its end.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::Response;
use hyper::body::{Frame, SizeHint};
use hyper::header::CONTENT_LENGTH;
use hyper::http::response::Parts;
use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;

/// The body ended before it was complete; the connection tells the client by not ending it properly.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the exchange failed in the middle of its response")]
pub struct Aborted;

/// The client has left.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gone;

/// Where exchanges come to their end that no connection polls any more.
#[derive(Clone, Debug)]
pub struct Finishing {
    tasks: TaskTracker,
    runtime: Handle,
}

impl Finishing {
    /// On the runtime that this is called in.
    ///
    /// # Panics
    /// Outside a runtime.
    #[must_use]
    pub fn new() -> Self {
        Self {
            tasks: TaskTracker::new(),
            runtime: Handle::current(),
        }
    }

    /// How many are on their way.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tasks.len()
    }

    /// Whether none is on its way.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// Waits until all have come to their end. Every wait of an exchange whose client has left ends, and every call of a
    /// plugin has a limit, so this does too.
    pub async fn wait(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Default for Finishing {
    fn default() -> Self {
        Self::new()
    }
}

/// Where an exchange puts its response.
#[derive(Clone)]
pub(super) struct Outlet(Arc<Mutex<Slot>>);

#[derive(Default)]
struct Slot {
    head: Option<Parts>,
    /// A response that is complete with its head.
    whole: Option<Bytes>,
    chunk: Option<Bytes>,
    /// Bytes still to come, where that is known.
    announced: Option<u64>,
    aborted: bool,
    /// Nobody takes anything any more.
    gone: bool,
}

impl Outlet {
    fn slot(&self) -> MutexGuard<'_, Slot> {
        self.0.lock().expect("no panic while the lock is held")
    }

    /// Gives the whole response at once.
    pub(super) fn respond(&self, head: Parts, body: Bytes) {
        let mut slot = self.slot();
        slot.head = Some(head);
        slot.whole = Some(body);
    }

    /// Gives the head; chunks follow. `announced` is the length of the body, where it is known.
    pub(super) fn head(&self, head: Parts, announced: Option<u64>) {
        let mut slot = self.slot();
        slot.head = Some(head);
        slot.announced = announced;
    }

    /// Gives a chunk and waits until the connection has taken it.
    ///
    /// # Errors
    /// [`Gone`] if it never will.
    pub(super) async fn send(&self, chunk: Bytes) -> Result<(), Gone> {
        self.slot().chunk = Some(chunk);
        // No waker: whoever polls this polls it again after it has taken the chunk.
        poll_fn(|_| {
            let slot = self.slot();
            match (&slot.chunk, slot.gone) {
                (None, _) => Poll::Ready(Ok(())),
                (Some(_), true) => Poll::Ready(Err(Gone)),
                (Some(_), false) => Poll::Pending,
            }
        })
        .await
    }

    /// Waits until the client has left.
    pub(super) async fn gone(&self) {
        // No waker: the exchange then moves to a task of its own, which polls it anew.
        poll_fn(|_| {
            if self.slot().gone {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }

    /// Ends the body as incomplete.
    pub(super) async fn abort(&self) {
        // One turn for the connection to write what it has taken: an error makes it drop what it has not.
        tokio::task::yield_now().await;
        self.slot().aborted = true;
    }
}

type Drive = Pin<Box<dyn Future<Output = ()> + Send>>;

/// An exchange that has not come to its end. Dropping it moves the exchange to a task of its own.
struct Running {
    /// `None` once it has ended.
    drive: Option<Drive>,
    outlet: Outlet,
    finishing: Finishing,
}

impl Running {
    /// Lets the exchange go on.
    fn poll(&mut self, cx: &mut Context<'_>) {
        if let Some(drive) = &mut self.drive
            && drive.as_mut().poll(cx).is_ready()
        {
            self.drive = None;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(drive) = self.drive.take() {
            self.outlet.slot().gone = true;
            let Finishing { tasks, runtime } = &self.finishing;
            tasks.spawn_on(drive, runtime);
        }
    }
}

/// Runs an exchange until it has a head; the rest runs as the body is taken.
pub(super) async fn run<F>(
    finishing: Finishing,
    exchange: impl FnOnce(Outlet) -> F,
) -> Response<Body>
where
    F: Future<Output = ()> + Send + 'static,
{
    let outlet = Outlet(Arc::default());
    let mut running = Running {
        drive: Some(Box::pin(exchange(outlet.clone()))),
        outlet,
        finishing,
    };
    let head = poll_fn(|cx| {
        running.poll(cx);
        match running.outlet.slot().head.take() {
            Some(head) => Poll::Ready(head),
            None if running.drive.is_none() => {
                unreachable!("an exchange gives a head before it ends")
            }
            None => Poll::Pending,
        }
    })
    .await;
    let whole = running.outlet.slot().whole.take();
    let body = match whole {
        Some(bytes) => Body::Whole(Some(bytes)),
        None => Body::Chunks(running),
    };
    Response::from_parts(head, body)
}

/// The response to HEAD: the same head, with the length that the body would have where that is known, and an end. HTTP/1.1
/// connections leave a body out by themselves, those of HTTP/2 do not.
pub(super) fn without_body(response: Response<Body>) -> Response<Body> {
    let (mut head, body) = response.into_parts();
    // None at all for an empty one: with 204 and 304 it would be wrong.
    if let Some(length @ 1..) = hyper::body::Body::size_hint(&body).exact() {
        head.headers.insert(CONTENT_LENGTH, length.into());
    }
    Response::from_parts(head, Body::Whole(None))
}

/// A response body.
pub enum Body {
    /// Complete from the start.
    Whole(Option<Bytes>),
    /// Given chunk by chunk by an exchange that is still running.
    #[expect(private_interfaces, reason = "only this module makes one")]
    Chunks(Running),
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Whole(_) => "Whole",
            Self::Chunks(_) => "Chunks",
        })
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = Aborted;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Aborted>>> {
        let running = match self.get_mut() {
            Self::Whole(bytes) => {
                return Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes))));
            }
            Self::Chunks(running) => running,
        };
        loop {
            let mut slot = running.outlet.slot();
            if let Some(chunk) = slot.chunk.take() {
                slot.announced = slot
                    .announced
                    .map(|left| left.saturating_sub(chunk.len() as u64));
                return Poll::Ready(Some(Ok(Frame::data(chunk))));
            }
            let aborted = slot.aborted;
            drop(slot);
            if running.drive.is_none() {
                return Poll::Ready(aborted.then_some(Err(Aborted)));
            }
            running.poll(cx);
            if running.drive.is_some() && running.outlet.slot().chunk.is_none() {
                return Poll::Pending;
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.as_ref().is_none_or(Bytes::is_empty),
            Self::Chunks(running) => {
                let slot = running.outlet.slot();
                running.drive.is_none() && slot.chunk.is_none() && !slot.aborted
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64))
            }
            Self::Chunks(running) => running
                .outlet
                .slot()
                .announced
                .map_or_else(SizeHint::default, SizeHint::with_exact),
        }
    }
}
