//! What is known of one model: which attempts wait for it, whether one has hung up on it, and what the waiting ones must do.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::Instant;

/// One model of one target.
#[derive(Debug)]
pub(super) struct Model {
    /// The same for all names of the model.
    pub(super) key: String,
    /// The name in a request.
    pub(super) name: String,
    /// Whether a new event would clear a suspicion; otherwise events need not lock.
    suspected: AtomicBool,
    state: Mutex<State>,
    /// Changes only while `state` is locked.
    order: watch::Sender<Order>,
    /// Wakes the task that waits for the last attempt to step back.
    emptied: Notify,
}

#[derive(Debug)]
struct State {
    /// Attempts that wait for their first byte, and since when; the oldest first.
    waiting: BTreeMap<u64, Instant>,
    next: u64,
    /// Attempts in mid-stream.
    streaming: usize,
    /// Whether it has sent something since it was loaded, as far as is known.
    has_answered: bool,
    /// Whether the server has listed it as loaded, under this name.
    is_listed: bool,
    /// When we hung up, if it has sent nothing since.
    hang_up: Option<Instant>,
    /// When it was last used.
    used: Instant,
}

impl State {
    fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.streaming == 0
    }
}

/// What the waiting attempts must do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Wait for their first byte.
    Wait,
    /// Let go, and begin again when this is over; new ones do not begin.
    StepBack,
    /// Ask elsewhere, once they have waited long enough.
    GiveUp {
        /// Whether the stall is certain, so that an error is better than further waiting.
        is_certain: bool,
    },
}

impl Model {
    /// A model of which nothing is known.
    pub(super) fn new(key: &str, name: &str) -> Self {
        Self {
            key: key.to_owned(),
            name: name.to_owned(),
            suspected: AtomicBool::new(false),
            state: Mutex::new(State {
                waiting: BTreeMap::new(),
                next: 0,
                streaming: 0,
                has_answered: false,
                is_listed: false,
                hang_up: None,
                used: Instant::now(),
            }),
            order: watch::Sender::new(Order::Wait),
            emptied: Notify::new(),
        }
    }

    /// An attempt begins; `None` while the others must step back.
    pub(super) fn enter(&self) -> Option<(u64, Instant)> {
        let mut state = self.lock();
        if self.order() == Order::StepBack {
            return None;
        }
        let (id, now) = (state.next, Instant::now());
        state.next += 1;
        state.used = now;
        state.waiting.insert(id, now);
        Some((id, now))
    }

    /// Data arrived; returns whether that lifts a mark. `first` is the attempt whose first byte it is.
    pub(super) fn answered(&self, first: Option<u64>) -> bool {
        let mut state = self.lock();
        if let Some(id) = first {
            state.waiting.remove(&id);
            state.streaming += 1;
            self.tell_if_empty(&state);
        }
        state.has_answered = true;
        self.lift(&mut state)
    }

    /// An attempt is over; returns whether that was a hang-up that counts.
    pub(super) fn left(&self, id: u64, has_begun: bool, hung_up: bool) -> bool {
        let mut state = self.lock();
        state.used = Instant::now();
        if has_begun {
            state.streaming -= 1;
        } else {
            state.waiting.remove(&id);
            self.tell_if_empty(&state);
        }
        let had_a_slot = has_begun || state.streaming == 0;
        let counts = hung_up && had_a_slot && state.has_answered && self.order() == Order::Wait;
        if counts {
            state.hang_up.get_or_insert_with(Instant::now);
            self.suspected.store(true, Ordering::Relaxed);
        }
        counts
    }

    /// When it will count as stalled if it sends nothing; `None` if it is not suspected.
    pub(super) fn due(&self, stall: Duration) -> Option<Instant> {
        let state = self.lock();
        let oldest = *state.waiting.values().next()?;
        let hang_up = state.hang_up.filter(|_| self.order() == Order::Wait)?;
        Some(hang_up.max(oldest) + stall)
    }

    /// Tells the waiting attempts to step back; `None` if data has arrived meanwhile.
    pub(super) fn step_back(&self, stall: Duration) -> Option<SteppedBack<'_>> {
        if self.due(stall).is_none_or(|due| due > Instant::now()) {
            return None;
        }
        let mut state = self.lock();
        if state.hang_up.is_none() || self.order() != Order::Wait {
            return None;
        }
        state.hang_up = None;
        state.has_answered = false;
        self.suspected.store(false, Ordering::Relaxed);
        self.order.send_replace(Order::StepBack);
        Some(SteppedBack(self))
    }

    /// Returns when no attempt waits.
    pub(super) async fn emptied(&self) {
        loop {
            let emptied = self.emptied.notified();
            if self.lock().waiting.is_empty() {
                return;
            }
            emptied.await;
        }
    }

    /// Nothing more can be done: the waiting attempts must look for another target.
    pub(super) fn give_up(&self, is_certain: bool) {
        let mut state = self.lock();
        state.hang_up = None;
        self.suspected.store(true, Ordering::Relaxed);
        self.order.send_replace(Order::GiveUp { is_certain });
    }

    /// The server has listed the loaded models: whether this one is among them, or whether `nothing_is`. Returns whether that
    /// lifts a mark.
    pub(super) fn listed(&self, is_listed: bool, nothing_is: bool) -> bool {
        let mut state = self.lock();
        if is_listed {
            state.is_listed = true;
            return false;
        }
        // A model that was never listed may be listed under another name.
        if !(state.is_listed || nothing_is) {
            return false;
        }
        state.is_listed = false;
        state.has_answered = false;
        self.lift(&mut state)
    }

    /// The model is not loaded any more: what is known of it is out of date.
    pub(super) fn forget(&self) {
        let mut state = self.lock();
        state.has_answered = false;
        self.lift(&mut state);
    }

    /// Ends the suspicion; returns whether there was a mark.
    fn lift(&self, state: &mut State) -> bool {
        state.hang_up = None;
        self.suspected.store(false, Ordering::Relaxed);
        match self.order() {
            Order::Wait | Order::StepBack => false,
            Order::GiveUp { .. } => {
                self.order.send_replace(Order::Wait);
                true
            }
        }
    }

    /// Whether nothing of it need be remembered.
    pub(super) fn is_forgettable(&self) -> bool {
        let state = self.lock();
        let is_known = state.has_answered || state.hang_up.is_some();
        state.is_idle() && !is_known && self.order() == Order::Wait
    }

    /// When it was last used, if nobody uses it.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        let state = self.lock();
        state.is_idle().then_some(state.used)
    }

    /// Whether a new event would clear a suspicion.
    pub(super) fn is_suspected(&self) -> bool {
        self.suspected.load(Ordering::Relaxed)
    }

    /// What the waiting attempts must do, now and later.
    pub(super) fn orders(&self) -> watch::Receiver<Order> {
        self.order.subscribe()
    }

    fn order(&self) -> Order {
        *self.order.borrow()
    }

    fn tell_if_empty(&self, state: &State) {
        if state.waiting.is_empty() {
            self.emptied.notify_waiters();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic while the lock is held")
    }
}

/// A model whose attempts have been told to step back. Dropping this lets them go on.
#[derive(Debug)]
pub(super) struct SteppedBack<'m>(&'m Model);

impl SteppedBack<'_> {
    /// Lets them go on: for good, or only until their time is over if it did not help.
    pub(super) fn go_on(self, helped: bool) {
        if !helped {
            self.0.give_up(true);
        }
    }
}

impl Drop for SteppedBack<'_> {
    fn drop(&mut self) {
        let state = self.0.lock();
        if self.0.order() == Order::StepBack {
            self.0.order.send_replace(Order::Wait);
        }
        drop(state);
    }
}
