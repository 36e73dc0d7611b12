//! The decoder: from chunks of a body to batches of events.
//!
//! Does what the grammars share: the byte order mark, the size limit, what goes into one batch, and the end. The grammars
//! themselves are in `sse`, `ndjson` and `document`.

use bytes::Bytes;
use sluicegate_contract::Framing;

use super::buffer::Buffer;
use super::draft::Draft;
use super::event::{Batch, Error, Limits};
use super::scanner::Scanner;

/// Cuts a body that arrives in chunks into batches of events.
///
/// Give it a chunk with [`feed`](Self::feed), then take batches with [`next_batch`](Self::next_batch) until it returns `None`.
/// At the end of the body, call [`finish`](Self::finish) until it returns `None`. How the input is cut into chunks decides the
/// batches, but never the events. Memory is bounded by `event_bytes` plus the largest chunk, as long as the batches are taken
/// before the next chunk is given.
///
/// # Shape
/// SSE follows the WHATWG parser (HTML Living Standard, "Server-sent events", read August 2026) with one exception: an event
/// whose `data` has arrived when the input ends without a blank line is an event. Dropping it silently would lose the last
/// record of a sloppy producer; whoever needs to know that a stream is complete checks for its end marker anyway. Of a last
/// line without an end only `data:` counts. `retry` is kept in `raw` only.
///
/// NDJSON is split at LF and nothing else; a CR before it goes, and blank lines are skipped. A last line without LF is an event.
///
/// A document is one event, given by `finish`, even when it is empty.
#[derive(Debug)]
pub struct Decoder {
    limits: Limits,
    pub(super) buffer: Buffer,
    scanner: Scanner,
    /// The input has not been checked for a byte order mark yet.
    at_start: bool,
    /// An event that no longer fitted into the last batch.
    held: Option<Draft>,
    /// The events of the batch in progress; a field only to reuse the allocation.
    drafts: Vec<Draft>,
    failure: Option<Error>,
    finished: bool,
}

impl Decoder {
    /// A decoder at the beginning of a body.
    #[must_use]
    pub fn new(framing: Framing, limits: Limits) -> Self {
        Self {
            limits,
            buffer: Buffer::default(),
            scanner: Scanner::new(framing),
            at_start: framing != Framing::Document,
            held: None,
            drafts: Vec::new(),
            failure: None,
            finished: false,
        }
    }

    /// Takes the next chunk of the body.
    ///
    /// The chunk is kept without a copy when the one before it ended with an event, as is usual; events are then slices of
    /// it. After an error or after `finish` it is dropped.
    pub fn feed(&mut self, bytes: Bytes) {
        if self.failure.is_none() && !self.finished {
            self.buffer.push(bytes);
        }
    }

    /// Bytes that are not part of a complete event yet.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.buffer.as_slice().len()
    }

    /// The next events that are complete, or `None` until more is fed.
    ///
    /// # Errors
    /// [`Error::TooLarge`], after the events before it have been handed out. It repeats: the decoder cannot be used further.
    pub fn next_batch(&mut self) -> Result<Option<Batch>, Error> {
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        if self.finished || (self.at_start && !self.skip_byte_order_mark()) {
            return Ok(None);
        }
        self.collect();
        let batch = self.drafts.last().map(|last| last.end);
        let batch = batch.map(|end| self.cut(end, b""));
        if self.failure.is_some() {
            self.buffer = Buffer::default();
        }
        match (batch, self.failure) {
            (None, Some(failure)) => Err(failure),
            (batch, _) => Ok(batch),
        }
    }

    /// Like [`next_batch`](Self::next_batch) when no more will be fed; call it until it gives `None`.
    ///
    /// Comments and blank lines after the last event are dropped.
    ///
    /// # Errors
    /// As `next_batch`.
    pub fn finish(&mut self) -> Result<Option<Batch>, Error> {
        if let Some(batch) = self.next_batch()? {
            return Ok(Some(batch));
        }
        if self.finished {
            return Ok(None);
        }
        self.finished = true;
        let last = self.scanner.last(self.buffer.as_slice());
        let batch = last.map(|(draft, missing)| {
            let end = draft.end;
            self.drafts.push(draft);
            self.cut(end, missing)
        });
        self.buffer = Buffer::default();
        Ok(batch)
    }

    /// Drops a byte order mark at the beginning; false if more bytes are needed to tell.
    fn skip_byte_order_mark(&mut self) -> bool {
        const MARK: &[u8] = b"\xef\xbb\xbf";
        let input = self.buffer.as_slice();
        if input.len() < MARK.len() && MARK.starts_with(input) {
            return false;
        }
        if input.starts_with(MARK) {
            drop(self.buffer.take(MARK.len()));
        }
        self.at_start = false;
        true
    }

    /// Fills `drafts` with the complete events at hand, up to the limits of a batch.
    fn collect(&mut self) {
        let input = self.buffer.as_slice();
        while self.drafts.len() < self.limits.batch_events.max(1) {
            let found = self.held.take().or_else(|| self.scanner.next(input));
            let size = found
                .as_ref()
                .map_or_else(|| self.scanner.pending(input), |draft| draft.size);
            if size > self.limits.event_bytes {
                self.failure = Some(Error::TooLarge {
                    limit: self.limits.event_bytes,
                });
                return;
            }
            let Some(draft) = found else { return };
            if !self.drafts.is_empty() && draft.end > self.limits.batch_bytes {
                self.held = Some(draft);
                return;
            }
            self.drafts.push(draft);
        }
    }

    /// Makes the batch of `drafts`, which end at `end`; `missing` is what the end of the input left out of its terminator.
    fn cut(&mut self, end: usize, missing: &[u8]) -> Batch {
        let raw = self.buffer.take(end);
        if !self.finished {
            self.scanner.rebase(end);
        }
        if let Some(held) = &mut self.held {
            held.rebase(end);
        }
        let events = self.drafts.drain(..).map(|draft| draft.event(&raw));
        let events = events.collect();
        let raw = if missing.is_empty() {
            raw
        } else {
            Bytes::from([&raw, missing].concat())
        };
        Batch { events, raw }
    }
}
