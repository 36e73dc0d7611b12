//! How many bytes may wait for all connections of one user together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What one user's connections may hold.
#[derive(Debug)]
pub(crate) struct Share {
    taken: AtomicUsize,
    most: usize,
}

/// Bytes that are held until this is dropped.
#[derive(Debug)]
pub(crate) struct Charge {
    share: Arc<Share>,
    bytes: usize,
}

impl Share {
    /// A share of `most` bytes.
    pub(crate) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            taken: AtomicUsize::new(0),
            most,
        })
    }

    /// Takes bytes; `None` if the user would hold too much.
    pub(super) fn take(self: &Arc<Self>, bytes: usize) -> Option<Charge> {
        let taken = self
            .taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |taken| {
                taken.checked_add(bytes).filter(|sum| *sum <= self.most)
            });
        taken.ok().map(|_| Charge {
            share: Arc::clone(self),
            bytes,
        })
    }

    /// How many bytes are held now.
    #[cfg(test)]
    pub(crate) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.share.taken.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
