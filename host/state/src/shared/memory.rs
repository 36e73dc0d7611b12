//! What plugins keep in the memory of this process.

use std::collections::HashMap;
use std::fmt;
use std::future::ready;
use std::sync::{Arc, Mutex, MutexGuard, Weak};

use bytes::Bytes;
use sluicegate_contract::capability::Error;
use sluicegate_contract::capability::kv::{Quota, Values};
use sluicegate_contract::capability::rate::{Counts, Limit, Verdict};

use super::{Entry, Pending, Shared, Space};

/// Milliseconds since some moment; never goes back.
type Clock = fn() -> u64;

/// Keeps what plugins share in this process. It is gone when the process ends, and when no version of the plugin is left.
pub struct Memory {
    clock: Clock,
    spaces: Mutex<HashMap<String, Weak<MemorySpace>>>,
}

impl Memory {
    /// Nothing yet; `clock` gives milliseconds since some moment, and never goes back.
    #[must_use]
    pub fn new(clock: fn() -> u64) -> Self {
        Self {
            clock,
            spaces: Mutex::default(),
        }
    }
}

impl Memory {
    /// Forgets all that is kept in the spaces in use.
    ///
    /// # Panics
    /// Never: the locks are not held over anything that may panic.
    pub fn clear(&self) {
        let spaces = self.spaces.lock().expect(UNPOISONED);
        for space in spaces.values().filter_map(Weak::upgrade) {
            *space.values() = Values::default();
            *space.counts() = Counts::default();
        }
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Memory")
    }
}

impl Shared for Memory {
    fn space(&self, plugin: &str) -> Arc<dyn Space> {
        let mut spaces = self.spaces.lock().expect(UNPOISONED);
        if let Some(space) = spaces.get(plugin).and_then(Weak::upgrade) {
            return space;
        }
        spaces.retain(|_, space| space.strong_count() > 0);
        let space = Arc::new(MemorySpace {
            clock: self.clock,
            values: Mutex::default(),
            counts: Mutex::default(),
        });
        spaces.insert(plugin.to_owned(), Arc::downgrade(&space));
        space
    }
}

const UNPOISONED: &str = "no panic while the lock is held";

/// What one plugin keeps.
struct MemorySpace {
    clock: Clock,
    values: Mutex<Values>,
    counts: Mutex<Counts>,
}

impl fmt::Debug for MemorySpace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MemorySpace")
    }
}

impl MemorySpace {
    fn now(&self) -> u64 {
        (self.clock)()
    }

    fn values(&self) -> MutexGuard<'_, Values> {
        self.values.lock().expect(UNPOISONED)
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().expect(UNPOISONED)
    }
}

fn done<'a, T: Send + 'a>(result: Result<T, Error>) -> Pending<'a, T> {
    Box::pin(ready(result))
}

impl Space for MemorySpace {
    fn get(&self, key: String) -> Pending<'_, Option<Bytes>> {
        done(self.values().get(self.now(), &key))
    }

    fn set(&self, quota: Quota, entry: Entry) -> Pending<'_, bool> {
        let Entry {
            key,
            value,
            ttl_ms,
            only_new,
        } = entry;
        let now = self.now();
        done(self.values().set(now, quota, &key, value, ttl_ms, only_new))
    }

    fn add(&self, quota: Quota, key: String, by: i64, ttl_ms: Option<u64>) -> Pending<'_, i64> {
        done(self.values().add(self.now(), quota, &key, by, ttl_ms))
    }

    fn delete(&self, key: String) -> Pending<'_, ()> {
        done(self.values().delete(self.now(), &key))
    }

    fn take<'a>(&'a self, pairs: usize, limits: &'a [Limit]) -> Pending<'a, Verdict> {
        let mut counts = self.counts();
        // With the lock held, so that time does not go back from one call to the next.
        done(counts.take(self.now(), pairs, limits))
    }

    fn reserve<'a>(&'a self, pairs: usize, limits: &'a [Limit]) -> Pending<'a, Verdict> {
        self.take(pairs, limits)
    }

    fn settle<'a>(&'a self, limit: &'a Limit, used: u64) -> Pending<'a, ()> {
        let mut counts = self.counts();
        counts.settle(self.now(), limit, used);
        done(Ok(()))
    }

    fn give_back(&self, limits: Vec<Limit>) {
        let mut counts = self.counts();
        for limit in limits {
            counts.settle(self.now(), &limit, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory() -> Memory {
        Memory::new(|| 0)
    }

    async fn has(space: &dyn Space, key: &str) -> bool {
        space.get(key.into()).await.expect("a legal key").is_some()
    }

    async fn set(space: &dyn Space, key: &str) {
        let entry = Entry {
            key: key.into(),
            value: Bytes::from_static(b"v"),
            ttl_ms: None,
            only_new: false,
        };
        space.set(Quota::default(), entry).await.expect("room");
    }

    #[tokio::test]
    async fn a_space_is_the_plugins_own_and_lives_as_long_as_somebody_holds_it() {
        let memory = memory();
        let first = memory.space("a");
        set(&*first, "k").await;
        assert!(has(&*memory.space("a"), "k").await);
        assert!(!has(&*memory.space("b"), "k").await);
        drop(first);
        assert!(!has(&*memory.space("a"), "k").await);
        let third = memory.space("c");
        set(&*third, "k").await;
        memory.clear();
        assert!(!has(&*third, "k").await);
        let spaces = memory.spaces.lock().expect(UNPOISONED);
        assert_eq!(spaces.len(), 1, "spaces that nobody holds are forgotten");
    }

    #[tokio::test]
    async fn what_is_given_back_can_be_taken_again() {
        let memory = memory();
        let space = memory.space("a");
        let limits = [Limit {
            name: "c".into(),
            subject: "s".into(),
            amount: 2,
            capacity: 2,
            per_ms: 0,
        }];
        let take = async || space.take(10, &limits).await.expect("room").granted;
        assert!(take().await && !take().await);
        space.give_back(limits.to_vec());
        assert!(take().await);
    }
}
