//! Idle connections. When all places are taken, the one that has been idle for longest is closed to make room for a new one.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// The idle connections of one listener, the longest idle first.
#[derive(Debug, Default)]
pub struct Idle {
    state: Mutex<State>,
    /// Notified when a connection becomes idle.
    rested: Notify,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    connections: BTreeMap<u64, CancellationToken>,
}

impl Idle {
    /// Closes connections, the longest idle first, until dropped: one now, and one more whenever a connection becomes idle.
    pub(super) async fn make_room(&self) -> Infallible {
        loop {
            let mut rested = pin!(self.rested.notified());
            // Registered before the check, so that no connection that becomes idle after it is missed.
            rested.as_mut().enable();
            self.evict();
            rested.await;
        }
    }

    /// Closes the connection that has been idle for longest, if there is one.
    fn evict(&self) {
        if let Some((_, evicted)) = self.lock().connections.pop_first() {
            evicted.cancel();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code panics between two changes, so a poisoned lock still guards a consistent value.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection's place in the list of idle ones.
#[derive(Debug)]
pub(super) struct Place {
    idle: Arc<Idle>,
    evicted: CancellationToken,
    /// Its number while it is idle.
    number: Mutex<Option<u64>>,
}

impl Place {
    /// For a connection that is idle at its start; `evicted` is cancelled when it must close.
    pub(super) fn new(idle: Arc<Idle>, evicted: CancellationToken) -> Self {
        let place = Self {
            idle,
            evicted,
            number: Mutex::default(),
        };
        place.rests();
        place
    }

    /// A request has arrived.
    pub(super) fn works(&self) {
        if let Some(number) = self.number().take() {
            self.idle.lock().connections.remove(&number);
        }
    }

    /// The last request is finished.
    pub(super) fn rests(&self) {
        let mut state = self.idle.lock();
        state.next += 1;
        let number = state.next;
        state.connections.insert(number, self.evicted.clone());
        drop(state);
        *self.number() = Some(number);
        self.idle.rested.notify_waiters();
    }

    fn number(&self) -> MutexGuard<'_, Option<u64>> {
        self.number.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.works();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_idle_connection_is_evicted_and_no_busy_one() {
        let idle = Arc::new(Idle::default());
        let tokens: Vec<_> = (0..4).map(|_| CancellationToken::new()).collect();
        let mut places: Vec<_> = tokens
            .iter()
            .map(|token| Place::new(idle.clone(), token.clone()))
            .collect();
        places[0].works();
        places[1].works();
        places[1].rests();
        drop(places.remove(2));
        let evicted =
            || -> Vec<bool> { tokens.iter().map(CancellationToken::is_cancelled).collect() };
        idle.evict();
        assert_eq!(evicted(), [false, false, false, true]);
        idle.evict();
        assert_eq!(evicted(), [false, true, false, true]);
        idle.evict();
        assert_eq!(
            evicted(),
            [false, true, false, true],
            "one is busy, one gone"
        );
    }
}
