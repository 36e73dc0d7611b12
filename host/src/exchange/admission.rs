//! Admission: how many exchanges run at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The exchanges that run. The limit is the one in force when an exchange asks, so that it can change while others run.
#[derive(Clone, Debug)]
pub struct Exchanges(Arc<Places>);

#[derive(Debug)]
struct Places {
    running: AtomicUsize,
    /// What the process can hold, whatever the configuration says.
    most: usize,
}

impl Exchanges {
    /// No exchange yet; never more than `most`, whatever limit is in force.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self(Arc::new(Places {
            running: AtomicUsize::new(0),
            most,
        }))
    }

    /// A place for one more exchange; `None` if there are `limit` already.
    pub(super) fn admit(&self, limit: usize) -> Option<Admitted> {
        let before = self.0.running.fetch_add(1, Ordering::Relaxed);
        // Counted first, so that two that ask at the same time cannot both get the last place.
        let admitted = Admitted(self.clone());
        (before < limit.min(self.0.most)).then_some(admitted)
    }

    /// How many run.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.running.load(Ordering::Relaxed)
    }
}

/// The place of one exchange; dropping it gives the place back.
#[derive(Debug)]
pub(super) struct Admitted(Exchanges);

impl Drop for Admitted {
    fn drop(&mut self) {
        self.0.0.running.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_given_up_to_the_limit_in_force_and_given_back() {
        let exchanges = Exchanges::new(10);
        let first = exchanges.admit(2).expect("a place");
        let second = exchanges.admit(2).expect("a place");
        assert!(exchanges.admit(2).is_none());
        assert_eq!(exchanges.count(), 2, "one that is refused takes no place");
        let third = exchanges.admit(3).expect("a higher limit");
        drop((first, second));
        assert!(exchanges.admit(1).is_none(), "a lower limit");
        drop(third);
        assert!(exchanges.admit(1).is_some());
    }

    #[test]
    fn what_the_process_can_hold_is_a_limit_too() {
        let exchanges = Exchanges::new(1);
        let first = exchanges.admit(100).expect("a place");
        assert!(exchanges.admit(100).is_none());
        drop(first);
        assert!(exchanges.admit(100).is_some());
    }
}
