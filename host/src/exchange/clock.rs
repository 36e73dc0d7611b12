//! The clocks of one exchange: when to send a heartbeat, when to give up.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// What a [`Clock`] says when it strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Strike {
    /// Nothing was sent to the client for a while.
    Heartbeat,
    /// The model server has sent nothing for too long; the limit.
    Patience(Duration),
    /// The exchange has taken too long; the limit.
    Total(Duration),
}

/// One timer for all deadlines. Noting that something was received or sent costs no timer operation: the timer looks at the
/// notes when it fires.
pub(super) struct Clock {
    sleep: Pin<Box<Sleep>>,
    patience: Duration,
    received: Instant,
    heartbeat: Option<Duration>,
    sent: Instant,
    total: Option<(Instant, Duration)>,
}

impl Clock {
    /// A clock that starts now.
    pub(super) fn new(
        patience: Duration,
        heartbeat: Option<Duration>,
        total: Option<Duration>,
    ) -> Self {
        let now = Instant::now();
        let total = total.map(|limit| (now + limit, limit));
        let mut clock = Self {
            sleep: Box::pin(sleep_until(now)),
            patience,
            received: now,
            heartbeat,
            sent: now,
            total,
        };
        clock.sleep = Box::pin(sleep_until(clock.next()));
        clock
    }

    /// Something came from the model server.
    pub(super) fn received(&mut self) {
        self.received = Instant::now();
    }

    /// Something went to the client.
    pub(super) fn sent(&mut self) {
        self.sent = Instant::now();
    }

    /// From now on the model server may be silent for this long.
    pub(super) fn set_patience(&mut self, patience: Duration) {
        self.patience = patience;
        self.received = Instant::now();
        let next = self.next();
        self.sleep.as_mut().reset(next);
    }

    /// From now on no heartbeats, or these.
    pub(super) fn set_heartbeat(&mut self, heartbeat: Option<Duration>) {
        self.heartbeat = heartbeat;
        // The timer may have been set when there was none to come.
        let next = self.next();
        if next < self.sleep.deadline() {
            self.sleep.as_mut().reset(next);
        }
    }

    fn next(&self) -> Instant {
        let mut next = self.received + self.patience;
        if let Some(heartbeat) = self.heartbeat {
            next = next.min(self.sent + heartbeat);
        }
        if let Some((total, _)) = self.total {
            next = next.min(total);
        }
        next
    }

    fn due(&self, now: Instant) -> Option<Strike> {
        if let Some((deadline, limit)) = self.total
            && now >= deadline
        {
            return Some(Strike::Total(limit));
        }
        if now >= self.received + self.patience {
            return Some(Strike::Patience(self.patience));
        }
        self.heartbeat
            .filter(|heartbeat| now >= self.sent + *heartbeat)
            .map(|_| Strike::Heartbeat)
    }

    /// Waits for the next strike.
    ///
    /// # Cancel safety
    /// Nothing is lost if the future is dropped.
    pub(super) async fn strike(&mut self) -> Strike {
        poll_fn(|cx| {
            loop {
                std::task::ready!(self.sleep.as_mut().poll(cx));
                if let Some(strike) = self.due(Instant::now()) {
                    return Poll::Ready(strike);
                }
                let next = self.next();
                self.sleep.as_mut().reset(next);
            }
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn what_is_sent_and_received_puts_the_strikes_off() {
        let mut clock = Clock::new(10 * SECOND, Some(4 * SECOND), None);
        let began = Instant::now();
        assert_eq!(clock.strike().await, Strike::Heartbeat);
        assert_eq!(began.elapsed().as_secs(), 4);
        clock.sent();
        assert_eq!(clock.strike().await, Strike::Heartbeat);
        assert_eq!(began.elapsed().as_secs(), 8);
        clock.sent();
        clock.received();
        clock.set_heartbeat(None);
        assert_eq!(clock.strike().await, Strike::Patience(10 * SECOND));
        assert_eq!(began.elapsed().as_secs(), 18);
    }

    #[tokio::test(start_paused = true)]
    async fn heartbeats_that_are_asked_for_later_come_in_time() {
        let mut clock = Clock::new(10 * SECOND, None, None);
        let began = Instant::now();
        clock.set_heartbeat(Some(4 * SECOND));
        assert_eq!(clock.strike().await, Strike::Heartbeat);
        assert_eq!(began.elapsed().as_secs(), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn the_total_ends_an_exchange_that_is_never_silent() {
        let mut clock = Clock::new(10 * SECOND, None, Some(15 * SECOND));
        let began = Instant::now();
        for _ in 0..3 {
            let quiet = tokio::time::timeout(4 * SECOND, clock.strike()).await;
            assert!(quiet.is_err());
            clock.received();
        }
        assert_eq!(clock.strike().await, Strike::Total(15 * SECOND));
        assert_eq!(began.elapsed().as_secs(), 15);
    }
}
