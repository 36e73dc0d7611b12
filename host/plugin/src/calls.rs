//! Where a plugin's calls run: on a thread that serves traffic, or aside.
//!
//! A call cannot be suspended, so a long one delays every exchange on its thread. The calls of a plugin that makes such calls
//! run on threads of their own, as many at a time as the processors can take, until enough calls in a row have been short.

use std::sync::atomic::{AtomicU32, Ordering};

/// Ticks after which a call has run too long: it holds up all exchanges of its thread.
pub(super) const LONG: u32 = 2;

/// Short calls in a row after which a plugin that ran long is trusted again. Arbitrary: a second or so of traffic.
const PROBATION: u32 = 1_000;

/// How long a plugin's calls have run lately.
#[derive(Debug, Default)]
pub(super) struct Calls {
    /// How many more short calls are needed; at 0, calls run on threads that serve traffic.
    probation: AtomicU32,
}

impl Calls {
    /// Whether the next call must run aside.
    pub(super) fn run_long(&self) -> bool {
        self.probation.load(Ordering::Relaxed) > 0
    }

    /// A call has run for long.
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
