//! A call on a stack of its own takes turns with others when it computes for long: as many at a time as the processors can take.
//! The others are suspended meanwhile, so exchanges that compute little go on between them.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use super::calls::LONG;

/// The turn of one sandbox's calls.
pub(super) struct Turn {
    /// One permit for each call that computes for long.
    computing: Arc<Semaphore>,
    /// The permit of this one.
    held: Arc<Mutex<Option<OwnedSemaphorePermit>>>,
    /// Ticks since the call began or has waited.
    ran: u32,
}

impl Turn {
    /// Of a sandbox that does nothing yet.
    pub(super) fn new(computing: Arc<Semaphore>) -> Self {
        Self {
            computing,
            held: Arc::default(),
            ran: 0,
        }
    }

    /// The call begins, or waits, or is over.
    pub(super) fn end(&mut self) {
        self.ran = 0;
        self.held().take();
    }

    /// A tick has passed while the guest was running. If it has to wait for its turn now, gives what to wait for, which is over at
    /// the deadline at the latest.
    pub(super) fn tick(
        &mut self,
        deadline: Instant,
    ) -> Option<Pin<Box<dyn Future<Output = ()> + Send>>> {
        self.ran += 1;
        if self.ran < LONG || self.held().is_some() {
            return None;
        }
        if let Ok(permit) = self.computing.clone().try_acquire_owned() {
            *self.held() = Some(permit);
            return None;
        }
        let (computing, held) = (self.computing.clone(), self.held.clone());
        Some(Box::pin(async move {
            if let Ok(Ok(permit)) = timeout_at(deadline, computing.acquire_owned()).await {
                *held.lock().unwrap_or_else(PoisonError::into_inner) = Some(permit);
            }
        }))
    }

    /// Whether it has waited for its turn and did not get it.
    pub(super) fn was_denied(&self) -> bool {
        self.ran >= LONG && self.held().is_none()
    }

    fn held(&self) -> MutexGuard<'_, Option<OwnedSemaphorePermit>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Ticks until it has to wait or has its turn.
    fn compute(turn: &mut Turn) -> Option<Pin<Box<dyn Future<Output = ()> + Send>>> {
        let deadline = Instant::now() + Duration::from_secs(5);
        let mut waits = None;
        for _ in 0..LONG {
            waits = turn.tick(deadline);
        }
        waits
    }

    #[tokio::test(start_paused = true)]
    async fn only_so_many_compute_for_long_and_the_next_one_gets_its_turn() {
        let computing = Arc::new(Semaphore::new(1));
        let [mut first, mut second] = [0, 1].map(|_| Turn::new(computing.clone()));
        assert!(compute(&mut first).is_none() && compute(&mut first).is_none());
        let waits = compute(&mut second).expect("it has to wait");
        let ends = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            first.end();
        };
        let began = Instant::now();
        tokio::join!(waits, ends);
        assert_eq!(began.elapsed(), Duration::from_secs(1));
        assert!(second.held().is_some() && compute(&mut second).is_none());
        let waits = compute(&mut first).expect("it has given its turn away");
        let began = Instant::now();
        waits.await;
        assert_eq!(began.elapsed(), Duration::from_secs(5), "at the deadline");
        assert!(first.was_denied());
        drop(second);
        assert!(compute(&mut first).is_none());
    }
}
