//! What plugins keep in the memory of this process.

use std::collections::HashMap;
use std::fmt;
use std::future::ready;
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::Duration;

use bytes::Bytes;
use sluicegate_contract::capability::Error;
use sluicegate_contract::capability::kv::{Quota, Values};
use sluicegate_contract::capability::rate::{Budget, Counts, Limit, Verdict};
use tokio::time::MissedTickBehavior;

use super::{Entry, Pending, Shared, Space, SpendFile};

/// Milliseconds since some moment; never goes back.
type Clock = fn() -> u64;

/// How often changes of budgets are written. So one that was made is on disk within a second.
const SAVE: Duration = Duration::from_millis(500);

/// Keeps what plugins share in this process. It is gone when the process ends, and when no version of the plugin is left; only
/// budgets are kept on disk, if there is a file for them.
pub struct Memory {
    clock: Clock,
    spaces: Mutex<HashMap<String, Weak<MemorySpace>>>,
    file: Option<Arc<SpendFile>>,
    /// Those in use whose budgets are in the file, until what is spent of them is there.
    kept: Mutex<Vec<Arc<MemorySpace>>>,
}

impl Memory {
    /// Nothing yet; `clock` gives milliseconds since some moment, and never goes back.
    #[must_use]
    pub fn new(clock: fn() -> u64) -> Self {
        Self {
            clock,
            spaces: Mutex::default(),
            file: None,
            kept: Mutex::default(),
        }
    }

    /// The same, with budgets in this file.
    #[must_use]
    pub fn with_budgets(self, file: SpendFile) -> Self {
        Self {
            file: Some(Arc::new(file)),
            ..self
        }
    }

    /// Writes changes of budgets to the file from time to time, until it is dropped.
    pub async fn keep(self: Arc<Self>) {
        if self.file.is_none() {
            return;
        }
        let mut ticks = tokio::time::interval(SAVE);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let memory = self.clone();
            // It waits for the disk. A panic there has been reported, and the next one tries again.
            let _ = tokio::task::spawn_blocking(move || memory.save()).await;
        }
    }

    /// Writes changes of budgets to the file, if there is one. What cannot be written now is written the next time.
    ///
    /// # Panics
    /// Never: the locks are not held over anything that may panic.
    pub fn save(&self) {
        // One after the other, so that what is written last is what was spent last.
        let mut kept = self.kept.lock().expect(UNPOISONED);
        for space in &*kept {
            space.save();
        }
        kept.retain(|space| Arc::strong_count(space) > 1 || space.counts().has_changed());
    }

    fn in_use(&self) -> Vec<Arc<MemorySpace>> {
        let spaces = self.spaces.lock().expect(UNPOISONED);
        spaces.values().filter_map(Weak::upgrade).collect()
    }

    /// Forgets all that is kept in the spaces in use.
    ///
    /// # Panics
    /// Never: the locks are not held over anything that may panic.
    pub fn clear(&self) {
        for space in self.in_use() {
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
        let mut space = MemorySpace {
            plugin: plugin.to_owned(),
            clock: self.clock,
            values: Mutex::default(),
            counts: Mutex::default(),
            file: self.file.clone(),
        };
        space.load();
        let is_kept = space.file.is_some();
        let space = Arc::new(space);
        spaces.insert(plugin.to_owned(), Arc::downgrade(&space));
        drop(spaces);
        if is_kept {
            self.kept.lock().expect(UNPOISONED).push(space.clone());
        }
        space
    }

    fn budgets(&self) -> Pending<'_, Vec<(String, Budget)>> {
        let spaces = self.in_use();
        let budgets = spaces.iter().flat_map(|space| {
            let budgets = space.counts().budgets(space.now()).into_iter();
            budgets.map(|budget| (space.plugin.clone(), budget))
        });
        done(Ok(budgets.collect()))
    }
}

const UNPOISONED: &str = "no panic while the lock is held";

/// What one plugin keeps.
struct MemorySpace {
    plugin: String,
    clock: Clock,
    values: Mutex<Values>,
    counts: Mutex<Counts>,
    file: Option<Arc<SpendFile>>,
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

    /// Goes on with the budgets that are in the file. If they cannot be read, they are not overwritten either.
    fn load(&mut self) {
        let Some(file) = &self.file else { return };
        match file.load(&self.plugin) {
            Ok(budgets) => {
                let (now, mut counts) = (self.now(), self.counts());
                counts.tell_changes();
                for budget in budgets {
                    counts.restore(now, budget);
                }
            }
            Err(error) => {
                let plugin = &*self.plugin;
                tracing::error!(plugin, %error, "what was spent of budgets cannot be read: until the next start they begin anew, and are kept in memory only");
                self.file = None;
            }
        }
    }

    /// Writes what was spent since the last time.
    fn save(&self) {
        let Some(file) = &self.file else { return };
        let changed = self.counts().changed(self.now());
        if changed.is_empty() {
            return;
        }
        if let Err(error) = file.save(&self.plugin, &changed) {
            let plugin = &*self.plugin;
            tracing::error!(plugin, %error, "what was spent of budgets cannot be written; it is tried again");
            self.counts().tell_again(changed);
        }
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
        let mut counts = self.counts();
        done(counts.reserve(self.now(), pairs, limits))
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
    use sluicegate_contract::capability::rate::Period;

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
            period: Period::Held,
        }];
        let take = async || space.take(10, &limits).await.expect("room").granted;
        assert!(take().await && !take().await);
        space.give_back(limits.to_vec());
        assert!(take().await);
    }
}
