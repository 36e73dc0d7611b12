//! Events, batches of them, and the limits of both.

use bytes::Bytes;

/// What a decoder can refuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// One event, with the comments and blank lines before it, is longer than [`Limits::event_bytes`].
    #[error("an event is larger than {limit} bytes")]
    TooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
}

/// One record of a body, without its framing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Event {
    /// The SSE `event:` value, "" where there is none. Bytes that are not UTF-8 become U+FFFD.
    pub name: String,
    /// The SSE `data:` lines joined by LF, the NDJSON line without its end, or the document. Bytes as they came.
    pub data: Bytes,
    /// The SSE `id:` value of this very event, if it has one. Bytes that are not UTF-8 become U+FFFD.
    pub id: Option<String>,
}

impl Event {
    /// An event that has only data.
    #[must_use]
    pub fn data(data: Bytes) -> Self {
        Self {
            name: String::new(),
            data,
            id: None,
        }
    }
}

/// How much a decoder keeps and hands over at once.
///
/// # Units
/// Bytes and counts. 0 as a batch limit means one event a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The longest event, from the end of the one before it to its last byte before the blank line or line feed.
    pub event_bytes: usize,
    /// The most events in a batch.
    pub batch_events: usize,
    /// The most bytes of input behind a batch, unless a single event is longer.
    pub batch_bytes: usize,
}

impl Default for Limits {
    /// 8 MiB an event, as Ollama's own client reads; batches of 32 events or 64 KiB, as the plugin contract promises.
    fn default() -> Self {
        Self {
            event_bytes: 8 << 20,
            batch_events: 32,
            batch_bytes: 64 << 10,
        }
    }
}

/// Events that have arrived together.
///
/// # Shape
/// There is at least one event. `raw` begins where the batch before it ended, so comments and blank lines before an event
/// belong to it, and ends after the terminator of the last event. Two differences from the input: a byte order mark at the very
/// beginning is left out (it would be wrong anywhere else), and where the end of the input cut a terminator off, it is
/// completed, so that anything written after `raw` is read as a new event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// The events, in order.
    pub events: Vec<Event>,
    /// The bytes that they came from, for forwarding an unchanged batch as it is.
    pub raw: Bytes,
}
