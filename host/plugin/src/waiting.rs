//! How many calls may wait for a capability at the same time: each holds a stack and what its exchange holds.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sluicegate_contract::Phase;
use sluicegate_contract::share::{fits, ordinary};

/// The most calls of a plugin that may wait at the same time, as in `wit/capabilities.wit`.
pub(super) const PER_PLUGIN: usize = 100;

/// The most calls of a plugin that may wait for its values and limits at the same time, as there. Such a wait is short: a second at
/// most, usually a small part of a millisecond.
pub(super) const FOR_STATE: usize = 400;

/// The most calls of all plugins that may wait before their exchange is admitted, in gates and request heads. The places for
/// those are few, and must not all be held by exchanges that wait.
pub const AT_THE_GATES: usize = 128;

/// For whom a call waits, and in which phase; neither outside an exchange.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Caller {
    pub(crate) client: Option<IpAddr>,
    pub(crate) phase: Option<Phase>,
}

/// A limit of calls that wait. One client may take nearly all of it.
#[derive(Debug)]
pub(super) struct Waiting {
    limit: usize,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    all: usize,
    clients: HashMap<Option<IpAddr>, usize>,
}

impl Waiting {
    /// For so many calls.
    pub(super) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            limit,
            held: Mutex::default(),
        })
    }

    /// A permit for one more call that waits, if there is one. `client` is for whom: the same for all that have none.
    pub(super) fn begin(self: &Arc<Self>, client: Option<IpAddr>) -> Option<Wait> {
        let mut held = self.lock();
        let own = held.clients.get(&client).copied().unwrap_or_default();
        if !fits(held.all, own, 1, ordinary(self.limit)) {
            return None;
        }
        held.all += 1;
        held.clients.insert(client, own + 1);
        Some(Wait {
            waiting: self.clone(),
            client,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        // Nothing can panic between two changes.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call that waits, until it is dropped.
#[derive(Debug)]
pub(super) struct Wait {
    waiting: Arc<Waiting>,
    client: Option<IpAddr>,
}

impl Drop for Wait {
    fn drop(&mut self) {
        let mut held = self.waiting.lock();
        held.all -= 1;
        if let Some(own) = held.clients.get_mut(&self.client) {
            *own -= 1;
            if *own == 0 {
                held.clients.remove(&self.client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_client_leaves_some_to_the_others_and_all_is_given_back() {
        let waiting = Waiting::new(PER_PLUGIN);
        let client = |last| Some(IpAddr::from([10, 0, 0, last]));
        let mut held: Vec<_> = std::iter::from_fn(|| waiting.begin(client(1))).collect();
        assert_eq!(held.len(), 89);
        held.extend(std::iter::from_fn(|| waiting.begin(client(2))));
        assert_eq!(held.len(), PER_PLUGIN);
        assert!(waiting.begin(client(3)).is_none());
        held.pop();
        assert!(waiting.begin(client(1)).is_none(), "it is not for this one");
        held.push(waiting.begin(None).expect("one is left"));
        drop(held);
        let held = waiting.lock();
        assert!(held.all == 0 && held.clients.is_empty());
    }
}
