//! The handles of routes, plugins and targets, as long as they are in use.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, Weak};

/// The handles that are in use, by their labels. When the last user of a handle is gone, its metrics are removed, so that a
/// gateway that is reconfigured often does not show everything that it ever had.
#[derive(Debug)]
pub(super) struct Handles<K, T>(Arc<Mutex<HashMap<K, Weak<T>>>>);

impl<K, T> Clone for Handles<K, T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K, T> Default for Handles<K, T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<K: Eq + Hash + Clone, T> Handles<K, T> {
    fn lock(&self) -> MutexGuard<'_, HashMap<K, Weak<T>>> {
        self.0.lock().expect("no panic while the lock is held")
    }

    /// The handle in use, or a new one.
    pub(super) fn get_or_make(&self, key: &K, make: impl FnOnce() -> T) -> Arc<T> {
        let mut handles = self.lock();
        if let Some(handle) = handles.get(key).and_then(Weak::upgrade) {
            return handle;
        }
        let handle = Arc::new(make());
        handles.insert(key.clone(), Arc::downgrade(&handle));
        handle
    }

    /// The handles in use.
    pub(super) fn in_use(&self) -> Vec<Arc<T>> {
        self.lock().values().filter_map(Weak::upgrade).collect()
    }

    /// Removes the metrics of a dropped handle, unless a new handle uses them by now.
    pub(super) fn forget(&self, key: &K, forget: impl FnOnce()) {
        let mut handles = self.lock();
        if handles
            .get(key)
            .is_some_and(|handle| handle.strong_count() == 0)
        {
            handles.remove(key);
            forget();
        }
    }
}
