//! The bytes that have arrived and are not yet part of a batch.
//!
//! Responsible for not copying where it can be avoided: a chunk that arrives on an empty buffer is kept as it is. Only a
//! chunk that continues an unfinished event is copied, behind that event, into a buffer that grows by doubling, so that a
//! long event in small chunks costs linear time.

use bytes::{Buf, Bytes, BytesMut};

/// Grows at its end and is consumed from its beginning.
#[derive(Debug)]
pub(super) enum Buffer {
    /// The caller's chunk, or what is left of it.
    Shared(Bytes),
    /// Several chunks; not empty.
    Joined(BytesMut),
}

impl Default for Buffer {
    fn default() -> Self {
        Self::Shared(Bytes::new())
    }
}

impl Buffer {
    pub(super) fn as_slice(&self) -> &[u8] {
        match self {
            Self::Shared(bytes) => bytes,
            Self::Joined(bytes) => bytes,
        }
    }

    pub(super) fn push(&mut self, chunk: Bytes) {
        match self {
            Self::Shared(rest) if rest.is_empty() => *self = Self::Shared(chunk),
            Self::Shared(rest) => {
                let mut joined = BytesMut::with_capacity(rest.len() + chunk.len());
                joined.extend_from_slice(rest);
                joined.extend_from_slice(&chunk);
                *self = Self::Joined(joined);
            }
            Self::Joined(joined) => joined.extend_from_slice(&chunk),
        }
    }

    /// Takes the first `count` bytes, which must be there.
    pub(super) fn take(&mut self, count: usize) -> Bytes {
        match self {
            Self::Shared(bytes) => bytes.split_to(count),
            Self::Joined(joined) => {
                let taken = joined.split_to(count).freeze();
                if !joined.has_remaining() {
                    *self = Self::default();
                }
                taken
            }
        }
    }
}
