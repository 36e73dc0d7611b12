//! A fault of Ollama, for tests: when a client leaves, a model's only slot can be lost.
//!
//! Each model has one slot, for which requests queue. A client that leaves between two lines frees it, but every n-th time it
//! stays taken, and all later requests for the model wait for ever. Version and lists still respond. An unload makes a new
//! slot, unless a request waits for the old one.
//!
//! # Source
//! Ollama issue 17131, and an observation on an Ollama of August 2026.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The slots of all models.
#[derive(Debug)]
pub(super) struct Slots {
    every: NonZeroU32,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    slots: HashMap<&'static str, Slot>,
    hang_ups: u32,
}

/// The slot of one model.
#[derive(Debug)]
struct Slot {
    free: Arc<Semaphore>,
    /// Requests that wait for it.
    waiting: usize,
    /// Whether a request holds it.
    in_use: bool,
}

impl Default for Slot {
    fn default() -> Self {
        Self {
            free: Arc::new(Semaphore::new(1)),
            waiting: 0,
            in_use: false,
        }
    }
}

/// A slot that a request holds, until this is dropped.
#[derive(Debug)]
pub(super) struct Held {
    slots: Arc<Slots>,
    model: &'static str,
    permit: Option<OwnedSemaphorePermit>,
    /// Whether the first line was sent.
    pub(super) has_begun: bool,
    /// Whether the last line was sent.
    pub(super) has_ended: bool,
}

impl Slots {
    /// Slots that are lost at every n-th hang-up between two lines; `every` is n.
    pub(super) fn new(every: NonZeroU32) -> Self {
        Self {
            every,
            state: Mutex::default(),
        }
    }

    /// Waits for the slot of a model.
    ///
    /// # Cancel safety
    /// Dropping the future gives up the place in the queue.
    pub(super) async fn take(self: &Arc<Self>, model: &'static str) -> Held {
        let free = {
            let mut state = self.lock();
            let slot = state.slots.entry(model).or_default();
            slot.waiting += 1;
            slot.free.clone()
        };
        let waiting = Waiting { slots: self, model };
        let permit = free.acquire_owned().await;
        drop(waiting);
        self.lock().slots.entry(model).or_default().in_use = true;
        Held {
            slots: self.clone(),
            model,
            // The semaphore is never closed.
            permit: permit.ok(),
            has_begun: false,
            has_ended: false,
        }
    }

    /// Unloads a model; `false` if requests hold it: then nothing changes.
    pub(super) fn unload(&self, model: &'static str) -> bool {
        let mut state = self.lock();
        let slot = state.slots.entry(model).or_default();
        if slot.waiting > 0 || slot.in_use {
            return false;
        }
        *slot = Slot::default();
        true
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .expect("no code panics while it holds this lock")
    }
}

/// A request that waits for a slot.
struct Waiting<'s> {
    slots: &'s Slots,
    model: &'static str,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(slot) = self.slots.lock().slots.get_mut(self.model) {
            slot.waiting -= 1;
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut state = self.slots.lock();
        if let Some(slot) = state.slots.get_mut(self.model) {
            slot.in_use = false;
        }
        if self.has_begun && !self.has_ended {
            state.hang_ups += 1;
            if state.hang_ups.is_multiple_of(self.slots.every.get())
                && let Some(permit) = self.permit.take()
            {
                // This is where the slot is lost.
                permit.forget();
            }
        }
    }
}
