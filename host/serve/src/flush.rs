//! Whether a connection has written what it was given.
//!
//! A response body that fails makes hyper drop what it has not written yet: over HTTP/2 all that is queued for the stream, the
//! head included. So whoever wants to fail a body waits for this first.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::task::Waker;

use tokio::sync::Notify;

/// What a connection has written, as far as its socket tells.
#[derive(Debug)]
pub struct Flush {
    /// Flushes that were complete.
    flushes: AtomicU64,
    /// Reads that were tried behind a complete flush.
    rounds: AtomicU64,
    /// Whether the last that was done on the writing side, if anything, was a complete flush.
    is_flushed: AtomicBool,
    /// Told of each flush and round.
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
    /// The connection's task reads, and has got nothing.
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

    /// A write, or a flush that is not complete.
    pub(super) fn writes(&self) {
        self.is_flushed.store(false, Ordering::Release);
    }

    /// A flush is complete.
    pub(super) fn flushed(&self) {
        self.flushes.fetch_add(1, Ordering::AcqRel);
        self.is_flushed.store(true, Ordering::Release);
        self.changed.notify_waiters();
    }

    /// Whether all that was written is flushed.
    pub(super) fn is_flushed(&self) -> bool {
        self.is_flushed.load(Ordering::Acquire)
    }

    /// Waits until all that the connection was given before this call is written; over HTTP/2, as far as the client's window has
    /// room for it.
    ///
    /// HTTP/1 flushes behind all that it writes. HTTP/2 also flushes in the middle of what is queued, so one turn of its task
    /// must be over: it reads, writes what is queued, and flushes. The turn that is under way now may have looked at the queue
    /// before; the end of the next one shows when the one after it begins to read.
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
            // Before the look, so that what changes behind it is not missed.
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
        // Nothing in here can panic between two changes.
        self.connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
