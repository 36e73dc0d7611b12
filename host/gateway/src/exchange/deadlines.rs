//! The deadlines of one exchange: when to send a heartbeat, when to give up.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

use sluicegate_config::Timeout;

/// What has expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expired {
    /// Nothing was sent to the client for a while.
    Heartbeat,
    /// The model server has sent no part of a response body for too long; the limit.
    FirstByte(Duration),
    /// The model server has sent nothing more for too long; the limit.
    Idle(Duration),
    /// The exchange has taken too long; the limit.
    Total(Duration),
    /// The exchange has gone on without its client for as long as it may.
    Abandoned,
}

/// One timer for all deadlines of an exchange. Noting that something was received or sent costs no timer operation: the timer
/// looks at the notes when it fires. There is no timer before the first attempt.
pub(super) struct Deadlines {
    sleep: Option<Pin<Box<Sleep>>>,
    /// How long the model server may be silent.
    silence: Duration,
    /// Whether any part of a response body has arrived.
    began: bool,
    received: Instant,
    heartbeat: Option<Duration>,
    sent: Instant,
    total: Option<(Instant, Duration)>,
    /// When an exchange without its client must end.
    abandoned: Option<Instant>,
}

impl Deadlines {
    /// No deadlines yet.
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self {
            sleep: None,
            silence: Duration::MAX,
            began: false,
            received: now,
            heartbeat: None,
            sent: now,
            total: None,
            abandoned: None,
        }
    }

    /// The client has left. The exchange may go on for so long, and has nobody to send heartbeats to.
    pub(super) fn abandon(&mut self, timeout: Duration) {
        self.heartbeat = None;
        self.abandoned = Some(Instant::now() + timeout);
        self.reset();
    }

    /// An attempt begins. The limit for the whole exchange is that of the `first` one's upstream.
    pub(super) fn begin_attempt(
        &mut self,
        timeout: &Timeout,
        heartbeat: Option<Duration>,
        first: bool,
    ) {
        let now = Instant::now();
        self.silence = timeout.first_byte;
        self.began = false;
        self.received = now;
        self.heartbeat = heartbeat;
        if first {
            self.sent = now;
            self.total = timeout.total.map(|limit| (now + limit, limit));
        }
        self.reset();
    }

    /// From now on, the model server may be silent for so long before the first byte.
    pub(super) fn allow_silence(&mut self, silence: Duration) {
        self.silence = silence;
        self.received = Instant::now();
        self.reset();
    }

    /// When the exchange must have ended, and the limit that says so.
    pub(super) fn total(&self) -> Option<(Instant, Duration)> {
        self.total
    }

    /// A part of a response body arrived from the model server, which may now be silent for `idle`.
    pub(super) fn received(&mut self, idle: Duration) {
        self.received = Instant::now();
        if !self.began {
            self.began = true;
            self.silence = idle;
            self.reset();
        }
    }

    /// The limit for the whole exchange, if it was exceeded when data last arrived.
    pub(super) fn exceeded_total(&self) -> Option<Duration> {
        let (deadline, limit) = self.total?;
        (self.received >= deadline).then_some(limit)
    }

    /// Whether an exchange without its client had gone on for too long when data last arrived.
    pub(super) fn exceeded_abandoned(&self) -> bool {
        self.abandoned
            .is_some_and(|deadline| self.received >= deadline)
    }

    /// Starts to wait for the model server: time lost by a slow client does not count against it.
    pub(super) fn wait_from_now(&mut self) {
        if self.began {
            self.received = Instant::now();
        }
    }

    /// Something went to the client.
    pub(super) fn sent(&mut self) {
        self.sent = Instant::now();
    }

    /// Changes the interval of heartbeats; `None` stops them.
    pub(super) fn set_heartbeat(&mut self, heartbeat: Option<Duration>) {
        if self.heartbeat != heartbeat && self.abandoned.is_none() {
            self.heartbeat = heartbeat;
            // The timer may have been set while there were no heartbeats.
            self.reset();
        }
    }

    fn reset(&mut self) {
        let next = self.due_at();
        match &mut self.sleep {
            Some(sleep) => sleep.as_mut().reset(next),
            None => self.sleep = Some(Box::pin(sleep_until(next))),
        }
    }

    fn due_at(&self) -> Instant {
        let mut next = self.received + self.silence;
        if let Some(heartbeat) = self.heartbeat {
            next = next.min(self.sent + heartbeat);
        }
        for deadline in [self.total.map(|(total, _)| total), self.abandoned] {
            next = deadline.map_or(next, |deadline| next.min(deadline));
        }
        next
    }

    fn due(&self, now: Instant) -> Option<Expired> {
        if let Some((deadline, limit)) = self.total
            && now >= deadline
        {
            return Some(Expired::Total(limit));
        }
        if self.abandoned.is_some_and(|deadline| now >= deadline) {
            return Some(Expired::Abandoned);
        }
        if now >= self.received + self.silence {
            return Some(if self.began {
                Expired::Idle(self.silence)
            } else {
                Expired::FirstByte(self.silence)
            });
        }
        self.heartbeat
            .filter(|heartbeat| now >= self.sent + *heartbeat)
            .map(|_| Expired::Heartbeat)
    }

    /// Waits for the next deadline.
    ///
    /// # Cancel safety
    /// Nothing is lost if the future is dropped.
    pub(super) async fn next(&mut self) -> Expired {
        poll_fn(|cx| {
            loop {
                let Some(sleep) = &mut self.sleep else {
                    return Poll::Pending;
                };
                std::task::ready!(sleep.as_mut().poll(cx));
                if let Some(expired) = self.due(Instant::now()) {
                    return Poll::Ready(expired);
                }
                self.reset();
            }
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn deadlines(heartbeat: Option<Duration>, total: Option<Duration>) -> Deadlines {
        let timeout = Timeout {
            first_byte: 10 * SECOND,
            total,
            ..Timeout::default()
        };
        let mut deadlines = Deadlines::new();
        deadlines.begin_attempt(&timeout, heartbeat, true);
        deadlines
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_sent_and_received_puts_the_deadlines_off() {
        let mut deadlines = deadlines(Some(4 * SECOND), None);
        let began = Instant::now();
        assert_eq!(deadlines.next().await, Expired::Heartbeat);
        assert_eq!(began.elapsed().as_secs(), 4);
        deadlines.sent();
        assert_eq!(deadlines.next().await, Expired::Heartbeat);
        assert_eq!(began.elapsed().as_secs(), 8);
        deadlines.sent();
        deadlines.received(5 * SECOND);
        deadlines.set_heartbeat(None);
        assert_eq!(deadlines.next().await, Expired::Idle(5 * SECOND));
        assert_eq!(began.elapsed().as_secs(), 13);
    }

    #[tokio::test(start_paused = true)]
    async fn until_something_of_the_body_comes_the_first_byte_is_waited_for() {
        let mut deadlines = deadlines(None, None);
        let began = Instant::now();
        assert_eq!(deadlines.next().await, Expired::FirstByte(10 * SECOND));
        assert_eq!(began.elapsed().as_secs(), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn heartbeats_that_are_asked_for_later_come_in_time() {
        let mut deadlines = deadlines(None, None);
        let began = Instant::now();
        deadlines.set_heartbeat(Some(4 * SECOND));
        assert_eq!(deadlines.next().await, Expired::Heartbeat);
        assert_eq!(began.elapsed().as_secs(), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn the_total_ends_an_exchange_that_is_never_silent() {
        let mut deadlines = deadlines(None, Some(15 * SECOND));
        let began = Instant::now();
        for _ in 0..3 {
            let quiet = tokio::time::timeout(4 * SECOND, deadlines.next()).await;
            assert!(quiet.is_err());
            deadlines.received(10 * SECOND);
        }
        assert_eq!(deadlines.next().await, Expired::Total(15 * SECOND));
        assert_eq!(began.elapsed().as_secs(), 15);
    }

    #[tokio::test(start_paused = true)]
    async fn the_next_attempt_has_its_own_first_byte_and_the_same_total() {
        let mut deadlines = deadlines(None, Some(15 * SECOND));
        let began = Instant::now();
        tokio::time::sleep(8 * SECOND).await;
        deadlines.begin_attempt(&Timeout::default(), None, false);
        assert_eq!(deadlines.next().await, Expired::Total(15 * SECOND));
        assert_eq!(began.elapsed().as_secs(), 15);
    }
}
