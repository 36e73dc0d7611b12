//! Waits until a connection has written what it was given.
//!
//! When a response body fails, hyper drops what it has not written yet; over HTTP/2 that is everything queued for the stream,
//! including the head. So wait for this before failing a body.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::task::Waker;

use tokio::sync::Notify;

/// What a connection has written, as seen at its socket.
#[derive(Debug)]
pub struct Flush {
    /// The number of complete flushes.
    flushes: AtomicU64,
    /// The number of reads that were tried after a complete flush.
    rounds: AtomicU64,
    /// Whether the last operation on the writing side, if any, was a complete flush.
    is_flushed: AtomicBool,
    /// Notified of each flush and round.
    changed: Notify,
    /// The task of an HTTP/2 connection, which is not the one that writes the response.
    connection: Mutex<Option<Waker>>,
}

impl Default for Flush {
    fn default() -> Self {
        Self {
            flushes: AtomicU64::default(),
            rounds: AtomicU64::default(),
            is_flushed: AtomicBool::new(true),
            changed: Notify::default(),
            connection: Mutex::default(),
        }
    }
}

impl Flush {
    /// The connection's task tried to read and found nothing.
    pub(super) fn reads(&self, multiplexed: bool, task: &Waker) {
        if !multiplexed {
            return;
        }
        if self.is_flushed.load(Ordering::Acquire) {
            self.rounds.fetch_add(1, Ordering::AcqRel);
            self.changed.notify_waiters();
        }
        let mut connection = self.connection();
        if !connection.as_ref().is_some_and(|had| had.will_wake(task)) {
            *connection = Some(task.clone());
        }
    }

    /// There was a write, or an incomplete flush.
    pub(super) fn writes(&self) {
        self.is_flushed.store(false, Ordering::Release);
    }

    /// A flush was complete.
    pub(super) fn flushed(&self) {
        self.flushes.fetch_add(1, Ordering::AcqRel);
        self.is_flushed.store(true, Ordering::Release);
        self.changed.notify_waiters();
    }

    /// Whether everything that was written is flushed.
    pub(super) fn is_flushed(&self) -> bool {
        self.is_flushed.load(Ordering::Acquire)
    }

    /// Waits until everything that the connection was given before this call is written; over HTTP/2, as far as the client's
    /// window allows.
    ///
    /// HTTP/1 flushes after all its writes. HTTP/2 may flush while data is still queued, so one complete turn of its task
    /// must pass: read, write what is queued, flush. The current turn may have looked at the queue too early. The next one is
    /// known to be over when the turn after it starts to read.
    ///
    /// # Cancel safety
    /// Nothing is lost if the future is dropped.
    pub async fn wait(&self, multiplexed: bool) {
        let (done, more) = if multiplexed {
            (&self.rounds, 2)
        } else {
            (&self.flushes, 1)
        };
        let goal = done.load(Ordering::Acquire) + more;
        loop {
            let mut changed = pin!(self.changed.notified());
            // Registered before the check, so that no change after it is missed.
            changed.as_mut().enable();
            if done.load(Ordering::Acquire) >= goal {
                return;
            }
            let connection = self.connection().clone();
            if let Some(connection) = connection {
                connection.wake();
            }
            changed.await;
        }
    }

    fn connection(&self) -> std::sync::MutexGuard<'_, Option<Waker>> {
        // No code panics between two changes, so a poisoned lock still guards a consistent value.
        self.connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
