//! Which entries of the cache are in use: they are not thrown out to make room.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

/// A key of an entry.
type Key = [u8; 32];

/// The entries that are in use, and how often.
#[derive(Clone, Debug, Default)]
pub(super) struct Pins {
    counts: Arc<Mutex<HashMap<Key, usize>>>,
}

impl Pins {
    /// Keeps an entry, whether it is there already or not.
    pub(super) fn pin(&self, key: Key) -> Pin {
        *self.counts().entry(key).or_default() += 1;
        Pin {
            pins: self.clone(),
            key,
        }
    }

    /// Whether an entry is in use.
    pub(super) fn has(&self, key: &Key) -> bool {
        self.counts().contains_key(key)
    }

    /// Whether nothing is in use.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.counts().is_empty()
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<Key, usize>> {
        self.counts.lock().expect("no panic while the lock is held")
    }
}

/// Keeps an entry from being thrown out to make room.
#[derive(Debug)]
pub(super) struct Pin {
    pins: Pins,
    key: Key,
}

impl Drop for Pin {
    fn drop(&mut self) {
        let mut counts = self.pins.counts();
        if let Some(count) = counts.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.key);
            }
        }
    }
}
