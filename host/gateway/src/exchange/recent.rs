//! The last exchanges, for tracing a request id through the layers.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use crate::pipeline::observer::Summary;

/// Exchanges that are remembered. Arbitrary: some minutes of a busy gateway, about a megabyte.
const KEPT: usize = 1_000;

/// The last exchanges that have ended, newest last. Holds no bodies and no header fields.
#[derive(Debug, Default)]
pub struct Recent(Mutex<VecDeque<Arc<Summary>>>);

impl Recent {
    /// Remembers an exchange, and forgets the oldest beyond the limit.
    pub(super) fn add(&self, summary: Arc<Summary>) {
        let mut list = self.0.lock().expect("no panic while the lock is held");
        if list.len() == KEPT {
            list.pop_front();
        }
        list.push_back(summary);
    }

    /// The exchanges with this request id, newest first: a client may use an id more than once.
    #[must_use]
    pub fn find(&self, id: &str) -> Vec<Arc<Summary>> {
        let list = self.0.lock().expect("no panic while the lock is held");
        list.iter()
            .rev()
            .filter(|summary| &*summary.id == id)
            .cloned()
            .collect()
    }

    /// The last exchanges, newest first.
    #[must_use]
    pub fn last(&self, count: usize) -> Vec<Arc<Summary>> {
        let list = self.0.lock().expect("no panic while the lock is held");
        list.iter().rev().take(count).cloned().collect()
    }
}
