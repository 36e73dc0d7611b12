//! The way from an exchange to the client: one head, then octets, then an end.
//!
//! An exchange is one asynchronous function that hands its response over piece by piece. It has no task of its own: the
//! connection polls it, first until there is a head, then for each piece of the body. So the exchange goes on only as fast
//! as the client takes what it gives, and when the client is gone it is dropped, with all it holds.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::Response;
use hyper::body::{Frame, SizeHint};
use hyper::header::CONTENT_LENGTH;
use hyper::http::response::Parts;

/// The body ended before it was complete; the connection tells the client by not ending it properly.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the exchange failed in the middle of its response")]
pub struct Aborted;

/// Where an exchange puts its response.
#[derive(Clone)]
pub(super) struct Outlet(Arc<Mutex<Slot>>);

#[derive(Default)]
struct Slot {
    head: Option<Parts>,
    /// A response that is complete with its head.
    whole: Option<Bytes>,
    piece: Option<Bytes>,
    /// Octets still to come, where that is known.
    announced: Option<u64>,
    aborted: bool,
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

    /// Gives the head; pieces follow. `announced` is the length of the body, where it is known.
    pub(super) fn head(&self, head: Parts, announced: Option<u64>) {
        let mut slot = self.slot();
        slot.head = Some(head);
        slot.announced = announced;
    }

    /// Gives a piece and waits until the connection has taken it.
    pub(super) async fn send(&self, piece: Bytes) {
        self.slot().piece = Some(piece);
        // No waker: the connection polls this again by itself after it has taken the piece.
        poll_fn(|_| {
            if self.slot().piece.is_none() {
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

/// Runs an exchange until it has a head; the rest runs as the body is taken.
pub(super) async fn run<F>(exchange: impl FnOnce(Outlet) -> F) -> Response<Body>
where
    F: Future<Output = ()> + Send + 'static,
{
    let outlet = Outlet(Arc::default());
    let mut drive: Drive = Box::pin(exchange(outlet.clone()));
    let mut done = false;
    let head = poll_fn(|cx| {
        done = drive.as_mut().poll(cx).is_ready();
        match outlet.slot().head.take() {
            Some(head) => Poll::Ready(head),
            None if done => unreachable!("an exchange gives a head before it ends"),
            None => Poll::Pending,
        }
    })
    .await;
    let whole = outlet.slot().whole.take();
    let body = match whole {
        Some(bytes) => Body::Whole(Some(bytes)),
        None => Body::Pieces {
            drive: (!done).then_some(drive),
            outlet,
        },
    };
    Response::from_parts(head, body)
}

/// The answer to HEAD: the same head, with the length that the body would have where that is known, and an end. HTTP/1.1
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
    /// Given piece by piece by an exchange that is still running.
    #[expect(private_interfaces, reason = "only this module makes one")]
    Pieces {
        /// The exchange; `None` once it has ended.
        drive: Option<Drive>,
        /// Where it puts the pieces.
        outlet: Outlet,
    },
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Whole(_) => "Whole",
            Self::Pieces { .. } => "Pieces",
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
        let (drive, outlet) = match self.get_mut() {
            Self::Whole(bytes) => {
                return Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes))));
            }
            Self::Pieces { drive, outlet } => (drive, outlet),
        };
        loop {
            let mut slot = outlet.slot();
            if let Some(piece) = slot.piece.take() {
                slot.announced = slot
                    .announced
                    .map(|left| left.saturating_sub(piece.len() as u64));
                return Poll::Ready(Some(Ok(Frame::data(piece))));
            }
            let aborted = slot.aborted;
            drop(slot);
            let Some(running) = drive else {
                return Poll::Ready(aborted.then_some(Err(Aborted)));
            };
            if running.as_mut().poll(cx).is_ready() {
                *drive = None;
            } else if outlet.slot().piece.is_none() {
                return Poll::Pending;
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.as_ref().is_none_or(Bytes::is_empty),
            Self::Pieces { drive, outlet } => {
                let slot = outlet.slot();
                drive.is_none() && slot.piece.is_none() && !slot.aborted
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64))
            }
            Self::Pieces { outlet, .. } => outlet
                .slot()
                .announced
                .map_or_else(SizeHint::default, SizeHint::with_exact),
        }
    }
}
