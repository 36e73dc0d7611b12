//! Connections on which nothing happens: the longest idle one makes room for a new one where there is no other room.

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
    /// Told when a connection comes to rest.
    rested: Notify,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    connections: BTreeMap<u64, CancellationToken>,
}

impl Idle {
    /// Ends connections, the longest idle first, until dropped: one now, and another one whenever one has come to rest.
    pub(super) async fn make_room(&self) -> Infallible {
        loop {
            let mut rested = pin!(self.rested.notified());
            // Before the look, so that what comes to rest behind it is not missed.
            rested.as_mut().enable();
            self.evict();
            rested.await;
        }
    }

    /// Ends the connection that has been idle for longest, if there is one.
    fn evict(&self) {
        if let Some((_, evicted)) = self.lock().connections.pop_first() {
            evicted.cancel();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in here can panic between two changes.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection's place among the idle ones.
#[derive(Debug)]
pub(super) struct Place {
    idle: Arc<Idle>,
    evicted: CancellationToken,
    /// Its number while it is idle.
    number: Mutex<Option<u64>>,
}

impl Place {
    /// For a connection that is idle from the start; `evicted` tells it to end.
    pub(super) fn new(idle: Arc<Idle>, evicted: CancellationToken) -> Self {
        let place = Self {
            idle,
            evicted,
            number: Mutex::default(),
        };
        place.rests();
        place
    }

    /// A request has come.
    pub(super) fn works(&self) {
        if let Some(number) = self.number().take() {
            self.idle.lock().connections.remove(&number);
        }
    }

    /// No request is served any more.
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
