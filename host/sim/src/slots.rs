//! A fault of Ollama's, for tests: a client that leaves can take a model's only slot with it.
//!
//! Each model has one slot, for which requests wait in turn. A client that leaves between two lines frees it, but every so
//! often it stays taken, and every later request for the model waits for ever. Version and lists go on answering. An unload
//! makes a new slot, unless a request waits for the old one.
//!
//! # Source
//! Ollama issue 17131, and a real Ollama of August 2026 that was seen to do so.

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
    /// Whether a request has it.
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

/// A slot that a request has, until this is dropped.
#[derive(Debug)]
pub(super) struct Held {
    slots: Arc<Slots>,
    model: &'static str,
    permit: Option<OwnedSemaphorePermit>,
    /// Whether the first line is out.
    pub(super) has_begun: bool,
    /// Whether the last line is out.
    pub(super) has_ended: bool,
}

impl Slots {
    /// Slots of which `every` so many hang-ups between two lines take one for good.
    pub(super) fn new(every: NonZeroU32) -> Self {
        Self {
            every,
            state: Mutex::default(),
        }
    }

    /// Waits for the slot of a model.
    ///
    /// # Cancel safety
    /// Dropping the future gives the place in the queue up.
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

    /// Unloads a model; `false` if requests hold it, which then goes on as it is.
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
                // Here it is lost.
                permit.forget();
            }
        }
    }
}
