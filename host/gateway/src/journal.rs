//! What happened to configurations and plugin versions, for whoever wants to follow it.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use sluicegate_telemetry::clock::unix_ms;
use tokio::sync::watch;

/// How many entries are kept. Arbitrary: hours of a gateway that is worked on.
pub const KEPT: usize = 256;

/// Something that happened.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its number: each is one more than the last.
    pub id: u64,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// What kind of thing: `config` or `plugin`.
    pub kind: &'static str,
    /// The rest, an object.
    pub data: Value,
}

/// The last things that happened. Nobody who follows it can hold anybody up: who is too slow misses entries, and is told so.
#[derive(Debug)]
pub struct Journal {
    entries: Mutex<VecDeque<Entry>>,
    last: watch::Sender<u64>,
}

impl Default for Journal {
    fn default() -> Self {
        Self {
            entries: Mutex::default(),
            // After a restart all numbers are above the old ones.
            last: watch::Sender::new(unix_ms()),
        }
    }
}

impl Journal {
    /// Adds an entry.
    pub fn add(&self, kind: &'static str, data: Value) {
        let mut entries = self.entries();
        let id = *self.last.borrow() + 1;
        if entries.len() == KEPT {
            entries.pop_front();
        }
        entries.push_back(Entry {
            id,
            at_ms: unix_ms(),
            kind,
            data,
        });
        // With the lock, so that numbers and entries belong together.
        self.last.send_replace(id);
    }

    /// The number of the last entry.
    #[must_use]
    pub fn last(&self) -> u64 {
        *self.last.borrow()
    }

    /// The entries after this one, and whether some of them are gone.
    #[must_use]
    pub fn after(&self, id: u64) -> (bool, Vec<Entry>) {
        let entries = self.entries();
        let last = *self.last.borrow();
        let first = entries.front().map_or(last + 1, |entry| entry.id);
        let after = entries.iter().filter(|entry| entry.id > id);
        (id + 1 < first, after.cloned().collect())
    }

    /// Waits until there is an entry after this one.
    ///
    /// # Cancel safety
    /// Can be dropped at any time.
    pub async fn beyond(&self, id: u64) {
        // The sender lives as long as this.
        let _ = self.last.subscribe().wait_for(|last| *last > id).await;
    }

    fn entries(&self) -> MutexGuard<'_, VecDeque<Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn who_is_too_slow_is_told_how_much_was_missed() {
        let journal = Journal::default();
        let start = journal.last();
        assert!(!journal.after(start).0);
        for number in 0..KEPT + 3 {
            journal.add("config", json!({"number": number}));
        }
        journal.beyond(start).await;
        let (lost, entries) = journal.after(start + 1);
        assert_eq!(
            (lost, entries.len(), entries[0].id),
            (true, KEPT, start + 4)
        );
        let last = journal.last();
        assert_eq!(last, start + KEPT as u64 + 3);
        let (lost, entries) = journal.after(last - 1);
        assert_eq!((lost, entries.len()), (false, 1));
        assert_eq!(journal.after(last).1.len(), 0);
        // Of another process, before this one.
        assert!(journal.after(start - 5).0);
    }
}
