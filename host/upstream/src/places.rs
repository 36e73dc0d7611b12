//! The places of a target: how many attempts it has at a time, and who waits for one.
//!
//! # The rule
//! A place that becomes free goes to a tenant that waits; tenants take turns, whatever each of them has waiting, and within a
//! tenant the first comes first. So one that has sent a hundred requests delays another one's single request by one place, not
//! by a hundred. The queue is bounded: who finds it full is refused at once, and who has waited too long is refused too.
//! Dropping a wait makes room at once.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::oneshot;
use tokio::time::timeout;

use sluicegate_config as config;

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Too many wait already.
    Full,
    /// None became free in time.
    TimedOut,
    /// The target is no address of its name any more.
    Gone,
}

impl Refused {
    /// The metric label: a member of a closed set.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::TimedOut => "timeout",
            Self::Gone => "gone",
        }
    }
}

/// The places of one target.
#[derive(Debug, Default)]
pub(super) struct Places(Mutex<Inner>);

#[derive(Debug)]
struct Inner {
    taken: usize,
    /// The limit that applied last: a reload may change it.
    max: usize,
    /// Tenants that wait, the next one first; none of them is without a waiter.
    turns: VecDeque<Turn>,
    waiting: usize,
    next: u64,
}

#[derive(Debug)]
struct Turn {
    tenant: Arc<str>,
    waiters: VecDeque<Waiter>,
}

#[derive(Debug)]
struct Waiter {
    id: u64,
    granted: oneshot::Sender<()>,
}

impl Default for Inner {
    fn default() -> Self {
        Self {
            taken: 0,
            max: usize::MAX,
            turns: VecDeque::new(),
            waiting: 0,
            next: 0,
        }
    }
}

impl Places {
    /// How many are taken.
    pub(super) fn taken(&self) -> usize {
        self.lock().taken
    }

    /// How many attempts wait for one.
    pub(super) fn waiting(&self) -> usize {
        self.lock().waiting
    }

    /// Whether there is a place at once.
    pub(super) fn has_room(&self, limit: Option<&config::InFlight>) -> bool {
        let inner = self.lock();
        inner.waiting == 0 && limit.is_none_or(|limit| inner.taken < limit.max)
    }

    /// Whether an attempt would be refused at once.
    pub(super) fn is_full(&self, limit: Option<&config::InFlight>) -> bool {
        let inner = self.lock();
        limit.is_some_and(|limit| inner.taken >= limit.max && inner.waiting >= limit.queue)
    }

    /// Takes a place, if there is one at once.
    pub(super) fn try_enter(self: &Arc<Self>, limit: Option<&config::InFlight>) -> Option<Place> {
        let max = limit.map_or(usize::MAX, |limit| limit.max);
        let has_place = self.lock().take(max);
        has_place.then(|| Place(self.clone()))
    }

    /// Takes a place, and waits for one if there is none.
    ///
    /// # Errors
    /// [`Refused`].
    ///
    /// # Cancel safety
    /// Dropping the future gives up the wait, and the place if it has one by then.
    pub(super) async fn enter(
        self: &Arc<Self>,
        tenant: &str,
        limit: &config::InFlight,
    ) -> Result<Place, Refused> {
        let mut waiting = {
            let mut inner = self.lock();
            if inner.take(limit.max) {
                return Ok(Place(self.clone()));
            }
            if inner.waiting >= limit.queue {
                return Err(Refused::Full);
            }
            let (id, granted) = inner.wait(tenant);
            Waiting {
                places: self,
                id,
                granted,
                is_over: false,
            }
        };
        match timeout(limit.timeout, &mut waiting.granted).await {
            Ok(_) => {
                waiting.is_over = true;
                Ok(Place(self.clone()))
            }
            Err(_) => Err(Refused::TimedOut),
        }
    }

    fn leave(&self) {
        let mut inner = self.lock();
        inner.taken -= 1;
        inner.grant();
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().expect("no panic while the lock is held")
    }
}

impl Inner {
    /// Takes a place, if one is left by those who wait.
    fn take(&mut self, max: usize) -> bool {
        self.max = max;
        self.grant();
        let is_left = self.taken < self.max;
        self.taken += usize::from(is_left);
        is_left
    }

    /// Puts an attempt at the end of its tenant's waiters.
    fn wait(&mut self, tenant: &str) -> (u64, oneshot::Receiver<()>) {
        let id = self.next;
        self.next += 1;
        self.waiting += 1;
        let (granted, receiver) = oneshot::channel();
        let waiter = Waiter { id, granted };
        match self.turns.iter_mut().find(|turn| *turn.tenant == *tenant) {
            Some(turn) => turn.waiters.push_back(waiter),
            None => self.turns.push_back(Turn {
                tenant: tenant.into(),
                waiters: VecDeque::from([waiter]),
            }),
        }
        (id, receiver)
    }

    /// Gives free places to those who wait.
    fn grant(&mut self) {
        while self.taken < self.max {
            let Some(mut turn) = self.turns.pop_front() else {
                return;
            };
            let waiter = turn.waiters.pop_front();
            if !turn.waiters.is_empty() {
                self.turns.push_back(turn);
            }
            if let Some(waiter) = waiter {
                self.waiting -= 1;
                self.taken += 1;
                // If it is just being dropped, `Waiting` gives the place back.
                let _ = waiter.granted.send(());
            }
        }
    }

    /// Removes one that waits; false if it has a place by now.
    fn remove(&mut self, id: u64) -> bool {
        let is_it = |waiter: &Waiter| waiter.id == id;
        let place = self
            .turns
            .iter()
            .position(|turn| turn.waiters.iter().any(is_it));
        let Some(place) = place else {
            return false;
        };
        let turn = &mut self.turns[place];
        turn.waiters.retain(|waiter| !is_it(waiter));
        if turn.waiters.is_empty() {
            self.turns.remove(place);
        }
        self.waiting -= 1;
        true
    }
}

/// A wait for a place.
struct Waiting<'p> {
    places: &'p Places,
    id: u64,
    granted: oneshot::Receiver<()>,
    /// Whether it has its place.
    is_over: bool,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let was_waiting = self.places.lock().remove(self.id);
        if !was_waiting {
            // It was granted a place in the very moment.
            self.places.leave();
        }
    }
}

/// A place. Dropping it gives it to the next one.
#[derive(Debug)]
#[must_use]
pub struct Place(Arc<Places>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.leave();
    }
}

#[cfg(test)]
mod tests;
