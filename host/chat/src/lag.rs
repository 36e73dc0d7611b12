//! How late timers fire: the load of the traffic threads as users feel it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Time between two samples.
const EVERY: Duration = Duration::from_millis(250);
/// Samples that are remembered: the last half minute.
const KEPT: usize = 120;

/// The last samples.
#[derive(Debug, Default)]
pub(crate) struct Lag {
    samples: Mutex<VecDeque<Duration>>,
}

impl Lag {
    /// Measures until `closed` is cancelled.
    pub(crate) async fn measure(self: Arc<Self>, closed: CancellationToken) {
        while !closed.is_cancelled() {
            let started = Instant::now();
            tokio::select! {
                () = closed.cancelled() => return,
                () = tokio::time::sleep(EVERY) => {}
            }
            self.add(started.elapsed().saturating_sub(EVERY));
        }
    }

    fn add(&self, late: Duration) {
        let mut samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        samples.push_back(late);
        if samples.len() > KEPT {
            samples.pop_front();
        }
    }

    /// The 95th percentile.
    pub(crate) fn p95(&self) -> Duration {
        let samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        let mut sorted: Vec<_> = samples.iter().copied().collect();
        sorted.sort_unstable();
        sorted
            .get(sorted.len() * 95 / 100)
            .copied()
            .unwrap_or_default()
    }
}
