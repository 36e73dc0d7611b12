//! The link between an exchange and its connection: one head, then bytes, then an end.
//!
//! An exchange is one asynchronous function that hands over its response chunk by chunk. The connection polls it, first until
//! there is a head, then for each chunk of the body, so that it runs only as fast as the client takes the chunks.
//!
//! A connection may stop polling: the client has left, or an HTTP/2 stream has no window. So the exchange lies in a slot that
//! the connection shares with [`Finishing`]. In these cases, when the gateway stops, and when a plugin version that the exchange
//! holds has had its time, [`Finishing`] takes it out of the slot and interrupts it; it then ends on a task of its own, where every wait has a limit.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, Weak};
use std::task::Poll;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hyper::Response;
use hyper::header::CONTENT_LENGTH;
use hyper::http::response::Parts;
use tokio::time::Instant;

pub use self::body::{Aborted, Body};
pub use self::finishing::Finishing;
pub(super) use self::held::Held;
pub(super) use self::slot::{Connection, Interrupt};

use self::body::SLICE;
use self::handle::ExchangeHandle;
use self::slot::{Slot, State};
use super::admission::Admitted;
use sluicegate_plugin_host::{Interruptible, Plugin};

mod body;
mod finishing;
mod handle;
mod held;
mod retired;
mod slot;

/// How long the last event of an exchange that was taken out may wait for a client that takes nothing.
const LAST_EVENT_TIMEOUT: Duration = Duration::from_secs(1);

/// An exchange's end of its connection.
#[derive(Clone)]
pub(super) struct ConnectionHandle(Weak<Slot>);

impl ConnectionHandle {
    /// Uses the state; `None` if the connection is gone.
    fn with<T>(&self, use_it: impl FnOnce(&mut State) -> T) -> Option<T> {
        let slot = self.0.upgrade()?;
        let mut state = slot.state();
        Some(use_it(&mut state))
    }

    /// Keeps the permit until the client has taken the whole response.
    pub(super) fn hold(&self, admitted: Admitted) {
        self.with(|state| state.admitted = Some(admitted));
    }

    /// Tells stages that wait when the exchange is to end.
    pub(super) fn interruptible(&self) -> Weak<dyn Interruptible> {
        self.0.clone()
    }

    /// Tells which plugin versions the exchange holds, so that it can be ended when one of them must go.
    pub(super) fn set_held(&self, held: Held) {
        self.with(|state| state.held = held);
    }

    /// The exchange needs only these adapters from now on.
    pub(super) fn keep_adapters(&self, adapters: Vec<Weak<Plugin>>) {
        self.with(|state| state.held.keep(adapters));
    }

    /// Sends the whole response at once.
    pub(super) fn respond(&self, head: Parts, body: Bytes) {
        self.with(|state| {
            if let Some(admitted) = &state.admitted {
                // These bytes were held before, by a stage or on the model server's side, so they must go out even if they do
                // not fit.
                let _ = admitted.set_bytes(body.len());
            }
            state.head = Some(head);
            state.whole = Some(body);
            state.wake_connection();
        });
    }

    /// Sends the head; chunks follow. `announced` is the length of the body, if known; `deadline` is when the exchange must
    /// have ended, with its limit.
    pub(super) fn head(
        &self,
        head: Parts,
        announced: Option<u64>,
        deadline: Option<(Instant, Duration)>,
    ) {
        self.with(|state| {
            state.head = Some(head);
            state.announced = announced;
            state.deadline = deadline;
            state.wake_connection();
        });
    }

    /// Sends a chunk and waits until the connection has taken it. An exchange that was taken out waits at most [`LAST_EVENT_TIMEOUT`].
    ///
    /// # Errors
    /// [`Interrupt`]; the chunk is still to be taken then.
    pub(super) async fn send(&self, chunk: Bytes) -> Result<(), Interrupt> {
        let taken_out = self.with(|state| {
            state.chunk = Some(match state.chunk.take() {
                None => chunk,
                // The one before was interrupted: the connection takes both.
                Some(before) => {
                    let mut both = BytesMut::from(before);
                    both.extend_from_slice(&chunk);
                    both.freeze()
                }
            });
            state.wake_connection();
            state.taken_out
        });
        let taken = poll_fn(|cx| {
            let looked = self.with(|state| {
                if state.chunk.is_none() {
                    return Poll::Ready(Ok(()));
                }
                if let Some(why) = state.interrupted() {
                    return Poll::Ready(Err(why));
                }
                if state.taken_out {
                    state.exchange = Some(cx.waker().clone());
                }
                // Otherwise no waker is needed: the connection polls again after it has taken the chunk.
                Poll::Pending
            });
            looked.unwrap_or(Poll::Ready(Err(Interrupt::Gone)))
        });
        if taken_out != Some(true) {
            return taken.await;
        }
        match tokio::time::timeout(LAST_EVENT_TIMEOUT, taken).await {
            Ok(result) => result,
            Err(_) => Err(Interrupt::Gone),
        }
    }

    /// Whether the connection, or the stream, is gone. False for an exchange that was taken out of one that is still there.
    pub(super) fn is_dropped(&self) -> bool {
        self.with(|state| state.interrupt == Some(Interrupt::Gone) && !state.taken_out)
            .unwrap_or(true)
    }

    /// Waits until the exchange is taken out of its connection.
    pub(super) async fn interrupted(&self) -> Interrupt {
        // No waker is needed: an exchange that is taken out is polled again.
        poll_fn(|_| match self.with(State::interrupted) {
            Some(None) => Poll::Pending,
            Some(Some(why)) => Poll::Ready(why),
            None => Poll::Ready(Interrupt::Gone),
        })
        .await
    }

    /// Cuts the body off, behind everything that was sent.
    pub(super) async fn abort(&self) {
        let Some(slot) = self.0.upgrade() else {
            return;
        };
        let (flush, multiplexed) = (slot.connection.flush.clone(), slot.connection.multiplexed);
        let taken_out = slot.state().taken_out;
        drop(slot);
        let written = async {
            if taken_out {
                // Otherwise the connection's own limit for a client that takes nothing ends this.
                let _ = tokio::time::timeout(LAST_EVENT_TIMEOUT, flush.wait(multiplexed)).await;
            } else {
                flush.wait(multiplexed).await;
            }
        };
        tokio::select! {
            biased;
            _ = self.interrupted() => {}
            () = written => {}
        }
        self.with(|state| state.aborted = true);
    }
}

/// Runs an exchange until it has a head; the rest runs as the body is taken.
pub(super) async fn run<F>(
    finishing: Finishing,
    connection: Connection,
    exchange: impl FnOnce(ConnectionHandle) -> F,
) -> Response<Body>
where
    F: Future<Output = ()> + Send + 'static,
{
    let slot = Arc::new_cyclic(|slot: &Weak<Slot>| Slot {
        connection,
        state: Mutex::default(),
        drive: Mutex::new(Some(Box::pin(exchange(ConnectionHandle(slot.clone()))))),
    });
    let number = finishing.register(&slot);
    let exchange = ExchangeHandle {
        slot,
        finishing,
        number,
    };
    let head = poll_fn(|cx| {
        // Before it is polled: it may be taken out at any time, and must then know whom to wake.
        exchange.slot.state().polled_by(cx.waker());
        let goes_on = exchange.slot.poll(cx);
        let mut state = exchange.slot.state();
        match state.head.take() {
            Some(head) => Poll::Ready(head),
            None if goes_on => Poll::Pending,
            None if state.taken_out && !state.ended => Poll::Pending,
            None => unreachable!("an exchange gives a head before it ends"),
        }
    })
    .await;
    let mut state = exchange.slot.state();
    let body = match state.whole.take() {
        Some(bytes) if bytes.len() <= SLICE => Body::Whole(Some(bytes)),
        large => {
            state.unpolled_since = Some(Instant::now());
            if let Some(bytes) = large {
                state.announced = Some(bytes.len() as u64);
                state.chunk = Some(bytes);
            }
            drop(state);
            return Response::from_parts(head, Body::Chunks(exchange));
        }
    };
    drop(state);
    Response::from_parts(head, body)
}

/// The response to HEAD: the same head, with the length of the body if known, and no body. HTTP/1.1 connections leave the body
/// out by themselves, HTTP/2 connections do not.
pub(super) fn without_body(response: Response<Body>) -> Response<Body> {
    let (mut head, body) = response.into_parts();
    // No length for an empty body: with 204 and 304 it would be wrong.
    if let Some(length @ 1..) = hyper::body::Body::size_hint(&body).exact() {
        head.headers.insert(CONTENT_LENGTH, length.into());
    }
    Response::from_parts(head, Body::Whole(None))
}
