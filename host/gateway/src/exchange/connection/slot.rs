//! The slot of an exchange: what it and its connection share.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Waker};
use std::time::Duration;

use bytes::Bytes;
use hyper::http::response::Parts;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::held::Held;
use crate::exchange::admission::Admitted;
use sluicegate_plugin_host::{Interruptible, Plugin};
use sluicegate_serve::Flush;

/// How often streams are checked that their connections do not poll. A limit is exceeded by no more than this.
pub(super) const CHECK_INTERVAL: Duration = Duration::from_millis(250);

/// Why an exchange is taken out of its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::exchange) enum Interrupt {
    /// The client has left, or has taken nothing for too long: nobody is there to get a response.
    Gone,
    /// The exchange has taken too long; the limit.
    Total(Duration),
    /// The gateway stops, and has waited long enough.
    Shutdown,
    /// A plugin version that it holds was replaced, and has had its time.
    Replaced,
}

/// A poisoned lock is still consistent: no lock is held over more than an assignment, and an exchange that panicked is not
/// polled again.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

type Drive = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What an exchange needs to know of its connection.
pub(in crate::exchange) struct Connection {
    /// Whether it is HTTP/2, where the response is one of several streams, with a window of its own.
    pub(in crate::exchange) multiplexed: bool,
    /// Tells how much has been written.
    pub(in crate::exchange) flush: Arc<Flush>,
    /// Resets the stream, over HTTP/2.
    pub(in crate::exchange) stream: Option<CancellationToken>,
}

impl Connection {
    pub(super) fn reset(&self) {
        if let Some(stream) = &self.stream {
            stream.cancel();
        }
    }
}

/// The slot of an exchange.
pub(super) struct Slot {
    pub(super) connection: Connection,
    pub(super) state: Mutex<State>,
    /// `None` once the exchange has ended or was taken out. Locked before `state`, never the other way round.
    pub(super) drive: Mutex<Option<Drive>>,
}

impl std::fmt::Debug for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Slot")
    }
}

/// What an exchange and its connection tell each other.
#[derive(Default)]
pub(super) struct State {
    pub(super) head: Option<Parts>,
    /// A response that is complete with its head.
    pub(super) whole: Option<Bytes>,
    /// The exchange's permit, until the client has taken the whole response.
    pub(super) admitted: Option<Admitted>,
    pub(super) chunk: Option<Bytes>,
    /// When the connection last took something; `None` while it waits for more.
    pub(super) unpolled_since: Option<Instant>,
    /// Bytes still to come, if known.
    pub(super) announced: Option<u64>,
    /// When the exchange must have ended, and the limit that says so.
    pub(super) deadline: Option<(Instant, Duration)>,
    pub(super) aborted: bool,
    /// Reported to the exchange once, except for [`Interrupt::Gone`].
    pub(super) interrupt: Option<Interrupt>,
    /// The exchange runs on a task of its own.
    pub(super) taken_out: bool,
    /// The exchange that was taken out has ended.
    pub(super) ended: bool,
    /// The plugin versions that it holds.
    pub(super) held: Held,
    /// The connection's task, once it has polled.
    pub(super) connection: Option<Waker>,
    /// An exchange that was taken out, while it waits for the connection.
    pub(super) exchange: Option<Waker>,
}

impl State {
    /// The interrupt that the exchange has not seen yet.
    pub(super) fn interrupted(&mut self) -> Option<Interrupt> {
        match self.interrupt {
            Some(Interrupt::Gone) => Some(Interrupt::Gone),
            Some(Interrupt::Total(_) | Interrupt::Shutdown | Interrupt::Replaced) => {
                self.interrupt.take()
            }
            None => None,
        }
    }

    /// The exchange that was taken out has ended: the connection may look again.
    pub(super) fn end(&mut self) {
        self.ended = true;
        // What the client has not taken by now, it never will. A client that takes nothing cannot see a proper end either.
        self.aborted |= self.chunk.take().is_some() || self.interrupt == Some(Interrupt::Gone);
        self.wake_connection();
    }

    /// The connection's task polls.
    pub(super) fn polled_by(&mut self, task: &Waker) {
        if !self
            .connection
            .as_ref()
            .is_some_and(|had| had.will_wake(task))
        {
            self.connection = Some(task.clone());
        }
    }

    /// Wakes the connection if the exchange was taken out, because it does not poll by itself then.
    pub(super) fn wake_connection(&self) {
        if let Some(connection) = self.connection.as_ref().filter(|_| self.taken_out) {
            connection.wake_by_ref();
        }
    }
}

impl Interruptible for Slot {
    fn is_interrupted(&self) -> bool {
        let state = self.state();
        state.taken_out || state.interrupt.is_some()
    }
}

impl Slot {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// The limit that is exceeded, if only [`Finishing`](super::Finishing) can see that.
    pub(super) fn overdue(&self, now: Instant, write_timeout: Duration) -> Option<Interrupt> {
        let state = self.state();
        if state.taken_out {
            return None;
        }
        let unpolled = now.duration_since(state.unpolled_since?);
        if let Some((deadline, limit)) = state.deadline
            && now >= deadline
            && unpolled >= CHECK_INTERVAL
        {
            return Some(Interrupt::Total(limit));
        }
        // An HTTP/1 connection notices by itself, and more exactly, that its client takes nothing.
        let late = self.connection.multiplexed && unpolled >= write_timeout;
        late.then_some(Interrupt::Gone)
    }

    /// Whether the exchange holds one of these plugin versions.
    pub(super) fn holds_any(&self, versions: &[Weak<Plugin>]) -> bool {
        !versions.is_empty() && self.state().held.any(versions)
    }

    /// Lets the exchange go on; false if it is not here any more.
    pub(super) fn poll(&self, cx: &mut Context<'_>) -> bool {
        let mut place = lock(&self.drive);
        let Some(mut drive) = place.take() else {
            return false;
        };
        // It is not put back if it panics.
        if drive.as_mut().poll(cx).is_pending() {
            *place = Some(drive);
        }
        place.is_some()
    }
}
