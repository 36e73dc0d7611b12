//! How a plugin's calls are made: on the caller's stack, or on one of their own.
//!
//! A call on the caller's stack (a *direct* one) is cheaper, and a sandbox between such calls holds no stack. But it cannot be
//! suspended, so one that computes for long holds up every exchange of its thread. A plugin that does so gets a stack for its
//! calls until enough of them in a row were short.

use std::sync::atomic::{AtomicU32, Ordering};

/// Short calls in a row after which a plugin that ran long is trusted again. Arbitrary: a second or so of traffic.
const PROBATION: u32 = 1_000;

/// Whether a plugin's calls may be direct.
#[derive(Debug, Default)]
pub(super) struct Calls {
    /// Short calls that are still to be seen; 0 where calls may be direct.
    probation: AtomicU32,
}

impl Calls {
    /// Whether the next call may be made directly.
    pub(super) fn may_be_direct(&self) -> bool {
        self.probation.load(Ordering::Relaxed) == 0
    }

    /// A direct call has run past what counts as long.
    pub(super) fn ran_long(&self) {
        self.probation.store(PROBATION, Ordering::Relaxed);
    }

    /// A call with a stack of its own has returned.
    pub(super) fn returned(&self, short: bool) {
        if short {
            let step = |left: u32| left.checked_sub(1);
            // At zero there is nothing to count down.
            let _ = self
                .probation
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, step);
        } else {
            self.ran_long();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plugin_that_ran_long_is_trusted_again_after_a_row_of_short_calls() {
        let calls = Calls::default();
        assert!(calls.may_be_direct());
        calls.ran_long();
        for _ in 0..PROBATION - 1 {
            calls.returned(true);
            assert!(!calls.may_be_direct());
        }
        calls.returned(false);
        for _ in 0..PROBATION {
            assert!(!calls.may_be_direct());
            calls.returned(true);
        }
        assert!(calls.may_be_direct());
        calls.returned(true);
        assert!(calls.may_be_direct());
    }
}
