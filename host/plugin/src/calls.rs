//! Where a plugin's calls run: on a thread that serves, or aside.
//!
//! A call cannot be suspended: one that computes for long holds up every exchange of its thread. A plugin that does so gets
//! threads aside for its calls, as many at a time as there is processor for them, until enough of them in a row were short.

use std::sync::atomic::{AtomicU32, Ordering};

/// Short calls in a row after which a plugin that ran long is trusted again. Arbitrary: a second or so of traffic.
const PROBATION: u32 = 1_000;

/// What is known of how long a plugin's calls run.
#[derive(Debug, Default)]
pub(super) struct Calls {
    /// Short calls that are still to be seen; 0 where calls may run on a thread that serves.
    probation: AtomicU32,
}

impl Calls {
    /// Whether the next call is to run aside.
    pub(super) fn run_long(&self) -> bool {
        self.probation.load(Ordering::Relaxed) > 0
    }

    /// A call has run past what counts as long.
    pub(super) fn ran_long(&self) {
        self.probation.store(PROBATION, Ordering::Relaxed);
    }

    /// A call that ran aside has returned, and was short.
    pub(super) fn ran_short(&self) {
        let step = |left: u32| left.checked_sub(1);
        // At zero there is nothing to count down.
        let _ = self
            .probation
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, step);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plugin_that_ran_long_is_trusted_again_after_a_row_of_short_calls() {
        let calls = Calls::default();
        assert!(!calls.run_long());
        calls.ran_long();
        for _ in 0..PROBATION - 1 {
            calls.ran_short();
            assert!(calls.run_long());
        }
        calls.ran_long();
        for _ in 0..PROBATION {
            assert!(calls.run_long());
            calls.ran_short();
        }
        assert!(!calls.run_long());
        calls.ran_short();
        assert!(!calls.run_long());
    }
}
