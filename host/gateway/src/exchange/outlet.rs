//! The link between an exchange and its connection: one head, then bytes, then an end.
//!
//! An exchange is one asynchronous function that hands over its response chunk by chunk. The connection polls it, first until
//! there is a head, then for each chunk of the body, so that it runs only as fast as the client takes the chunks.
//!
//! A connection may stop polling: the client has left, or an HTTP/2 stream has no window. So the exchange lies in a slot that
//! the connection shares with [`Finishing`]. In these cases, and when the gateway stops, [`Finishing`] takes it out of the slot
//! and interrupts it; it then ends on a task of its own, where every wait has a limit.

use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hyper::Response;
use hyper::header::CONTENT_LENGTH;
use hyper::http::response::Parts;
use tokio::runtime::Handle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use self::body::Body;

use super::admission::Admitted;
use sluicegate_serve::Flush;

mod body;

/// How often streams are checked that their connections do not poll. A limit is exceeded by no more than this.
const LOOK: Duration = Duration::from_millis(250);

/// How much of a body the connection takes at a time. The rest counts for the exchange until it is taken.
const SLICE: usize = 64 << 10;

/// How long the last event of an exchange that was taken out may wait for a client that takes nothing.
const LAST: Duration = Duration::from_secs(1);

/// The body ended before it was complete; the connection shows this to the client by not ending it properly.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the exchange failed in the middle of its response")]
pub struct Aborted;

/// Why an exchange is taken out of its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Interrupt {
    /// The client has left, or has taken nothing for too long: nobody is there to get a response.
    Gone,
    /// The exchange has taken too long; the limit.
    Total(Duration),
    /// The gateway stops, and has waited long enough.
    Shutdown,
}

/// Finds exchanges that no connection polls any more, and runs them to their end.
#[derive(Clone, Debug)]
pub struct Finishing {
    tasks: TaskTracker,
    runtime: Handle,
    exchanges: Arc<Mutex<Live>>,
    /// Whether all exchanges must end now.
    stopping: Arc<AtomicBool>,
    /// Cancelled when there is nothing left to find.
    over: CancellationToken,
}

/// The exchanges that are in a slot, by number.
#[derive(Debug, Default)]
struct Live {
    next: u64,
    slots: HashMap<u64, Weak<Slot>>,
}

impl Finishing {
    /// Starts on the current runtime. A client may take nothing for at most `write_timeout`.
    ///
    /// # Panics
    /// Outside a runtime.
    #[must_use]
    pub fn start(write_timeout: Duration) -> Self {
        let finishing = Self {
            tasks: TaskTracker::new(),
            runtime: Handle::current(),
            exchanges: Arc::default(),
            stopping: Arc::default(),
            over: CancellationToken::new(),
        };
        let (keeper, over) = (finishing.clone(), finishing.over.clone());
        let keep = async move { keeper.keep(write_timeout).await };
        finishing
            .tasks
            .spawn(async move { over.run_until_cancelled(keep).await });
        finishing
    }

    /// Waits until all exchanges have ended. Every wait of an exchange that was taken out and every call of a plugin has a
    /// limit, so this ends too.
    pub async fn wait(&self) {
        self.over.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Ends all exchanges, those that begin later too: each tells its client so, which takes a moment.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        for slot in self.live() {
            self.take_out(&slot, Interrupt::Shutdown);
        }
    }

    /// Checks periodically for exchanges that exceed a limit while nobody polls them, and for those that must stop but were
    /// being polled.
    async fn keep(&self, write_timeout: Duration) {
        let mut ticks = tokio::time::interval(LOOK);
        loop {
            ticks.tick().await;
            let (now, stops) = (Instant::now(), self.stopping.load(Ordering::Acquire));
            let stop = stops.then_some(Interrupt::Shutdown);
            for slot in self.live() {
                if let Some(why) = slot.overdue(now, write_timeout).or(stop) {
                    self.take_out(&slot, why);
                }
            }
        }
    }

    fn live(&self) -> Vec<Arc<Slot>> {
        let exchanges = self.lock();
        let slots = exchanges.slots.values();
        slots.filter_map(Weak::upgrade).collect()
    }

    /// Takes an exchange out of its slot. One that is being polled or has ended is left alone.
    fn take_out(&self, slot: &Arc<Slot>, why: Interrupt) {
        let Ok(mut place) = slot.drive.try_lock() else {
            return;
        };
        let Some(drive) = place.take() else {
            // It has ended, but its client does not take the rest.
            if why == Interrupt::Gone {
                slot.connection.reset();
            }
            return;
        };
        // Before the slot is unlocked: an exchange that is neither there nor marked as taken out counts as ended.
        let mut state = slot.state();
        if state.interrupt != Some(Interrupt::Gone) {
            state.interrupt = Some(why);
        }
        state.taken_out = true;
        drop(state);
        drop(place);
        let ended = Ended(slot.clone());
        let finish = async move {
            drive.await;
            drop(ended);
        };
        self.tasks.spawn_on(finish, &self.runtime);
    }

    fn register(&self, slot: &Arc<Slot>) -> u64 {
        let mut exchanges = self.lock();
        exchanges.next += 1;
        let number = exchanges.next;
        exchanges.slots.insert(number, Arc::downgrade(slot));
        number
    }

    fn lock(&self) -> MutexGuard<'_, Live> {
        lock(&self.exchanges)
    }
}

/// Tells the connection that an exchange that was taken out is over, even if it panicked.
struct Ended(Arc<Slot>);

impl Drop for Ended {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.end();
        let aborted = state.aborted;
        drop(state);
        if aborted {
            // Over HTTP/2 nothing else ends a stream from which the client takes nothing.
            self.0.connection.reset();
        }
    }
}

/// A poisoned lock is still consistent: no lock is held over more than an assignment, and an exchange that panicked is not
/// polled again.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

type Drive = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What an exchange needs to know of its connection.
pub(super) struct Connection {
    /// Whether it is HTTP/2, where the response is one of several streams, with a window of its own.
    pub(super) multiplexed: bool,
    /// Tells how much has been written.
    pub(super) flush: Arc<Flush>,
    /// Resets the stream, over HTTP/2.
    pub(super) stream: Option<CancellationToken>,
}

impl Connection {
    fn reset(&self) {
        if let Some(stream) = &self.stream {
            stream.cancel();
        }
    }
}

/// The slot of an exchange.
struct Slot {
    connection: Connection,
    state: Mutex<State>,
    /// `None` once the exchange has ended or was taken out. Locked before `state`, never the other way round.
    drive: Mutex<Option<Drive>>,
}

impl std::fmt::Debug for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Slot")
    }
}

/// What an exchange and its connection tell each other.
#[derive(Default)]
struct State {
    head: Option<Parts>,
    /// A response that is complete with its head.
    whole: Option<Bytes>,
    /// The exchange's permit, until the client has taken the whole response.
    admitted: Option<Admitted>,
    chunk: Option<Bytes>,
    /// When the connection last took something; `None` while it waits for more.
    unpolled_since: Option<Instant>,
    /// Bytes still to come, if known.
    announced: Option<u64>,
    /// When the exchange must have ended, and the limit that says so.
    deadline: Option<(Instant, Duration)>,
    aborted: bool,
    /// Reported to the exchange once, except for [`Interrupt::Gone`].
    interrupt: Option<Interrupt>,
    /// The exchange runs on a task of its own.
    taken_out: bool,
    /// The exchange that was taken out has ended.
    ended: bool,
    /// The connection's task, once it has polled.
    connection: Option<Waker>,
    /// An exchange that was taken out, while it waits for the connection.
    exchange: Option<Waker>,
}

impl State {
    /// The interrupt that the exchange has not seen yet.
    fn interrupted(&mut self) -> Option<Interrupt> {
        match self.interrupt {
            Some(Interrupt::Gone) => Some(Interrupt::Gone),
            Some(Interrupt::Total(_) | Interrupt::Shutdown) => self.interrupt.take(),
            None => None,
        }
    }

    /// The exchange that was taken out has ended: the connection may look again.
    fn end(&mut self) {
        self.ended = true;
        // What the client has not taken by now, it never will. A client that takes nothing cannot see a proper end either.
        self.aborted |= self.chunk.take().is_some() || self.interrupt == Some(Interrupt::Gone);
        self.wake_connection();
    }

    /// The connection's task polls.
    fn polled_by(&mut self, task: &Waker) {
        if !self
            .connection
            .as_ref()
            .is_some_and(|had| had.will_wake(task))
        {
            self.connection = Some(task.clone());
        }
    }

    /// Wakes the connection if the exchange was taken out, because it does not poll by itself then.
    fn wake_connection(&self) {
        if let Some(connection) = self.connection.as_ref().filter(|_| self.taken_out) {
            connection.wake_by_ref();
        }
    }
}

impl Slot {
    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// The limit that is exceeded, if only [`Finishing`] can see that.
    fn overdue(&self, now: Instant, write_timeout: Duration) -> Option<Interrupt> {
        let state = self.state();
        if state.taken_out {
            return None;
        }
        let unpolled = now.duration_since(state.unpolled_since?);
        if let Some((deadline, limit)) = state.deadline
            && now >= deadline
            && unpolled >= LOOK
        {
            return Some(Interrupt::Total(limit));
        }
        // An HTTP/1 connection notices by itself, and more exactly, that its client takes nothing.
        let late = self.connection.multiplexed && unpolled >= write_timeout;
        late.then_some(Interrupt::Gone)
    }

    /// Lets the exchange go on; false if it is not here any more.
    fn poll(&self, cx: &mut Context<'_>) -> bool {
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

    /// Sends a chunk and waits until the connection has taken it. An exchange that was taken out waits at most [`LAST`].
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
        match tokio::time::timeout(LAST, taken).await {
            Ok(result) => result,
            Err(_) => Err(Interrupt::Gone),
        }
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
                let _ = tokio::time::timeout(LAST, flush.wait(multiplexed)).await;
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

/// The connection's end of an exchange. Dropping it tells the exchange that the client has left, if it has not ended.
struct ExchangeHandle {
    slot: Arc<Slot>,
    finishing: Finishing,
    /// Its number in [`Live`].
    number: u64,
}

impl Drop for ExchangeHandle {
    fn drop(&mut self) {
        self.finishing.lock().slots.remove(&self.number);
        let drive = lock(&self.slot.drive).take();
        let mut state = self.slot.state();
        state.interrupt = Some(Interrupt::Gone);
        // An exchange that was taken out may be waiting for this connection.
        if let Some(exchange) = state.exchange.take() {
            exchange.wake();
        }
        drop(state);
        if let Some(drive) = drive {
            let Finishing { tasks, runtime, .. } = &self.finishing;
            tasks.spawn_on(drive, runtime);
        }
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
