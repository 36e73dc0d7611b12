//! The choice between the three grammars.
//!
//! Everything here is in offsets into the decoder's buffer, which grows at its end and is cut at its beginning by whole
//! events: `rebase` follows the cut.

use sluicegate_contract::Framing;

use super::draft::Draft;
use super::{document, ndjson, sse};

/// One of the three grammars.
#[derive(Debug)]
pub(super) enum Scanner {
    Sse(sse::Scanner),
    Ndjson(ndjson::Scanner),
    Document(document::Scanner),
}

impl Scanner {
    pub(super) fn new(framing: Framing) -> Self {
        match framing {
            Framing::Sse => Self::Sse(sse::Scanner::default()),
            Framing::Ndjson => Self::Ndjson(ndjson::Scanner::default()),
            Framing::Document => Self::Document(document::Scanner),
        }
    }

    /// The next complete event.
    pub(super) fn next(&mut self, input: &[u8]) -> Option<Draft> {
        match self {
            Self::Sse(scanner) => scanner.next(input),
            Self::Ndjson(scanner) => scanner.next(input),
            Self::Document(_) => None,
        }
    }

    /// The event that the end of the input completes, and what its terminator lacks.
    pub(super) fn last(&mut self, input: &[u8]) -> Option<(Draft, &'static [u8])> {
        match self {
            Self::Sse(scanner) => scanner.last(input),
            Self::Ndjson(scanner) => scanner.last(input),
            Self::Document(scanner) => Some((scanner.last(input), b"")),
        }
    }

    /// The size so far of the event that is not complete.
    pub(super) fn pending(&self, input: &[u8]) -> usize {
        match self {
            Self::Sse(scanner) => scanner.pending(input),
            Self::Ndjson(scanner) => scanner.pending(input),
            Self::Document(_) => input.len(),
        }
    }

    /// The first `by` bytes of the buffer, which hold whole events, are gone.
    pub(super) fn rebase(&mut self, by: usize) {
        match self {
            Self::Sse(scanner) => scanner.rebase(by),
            Self::Ndjson(scanner) => scanner.rebase(by),
            Self::Document(_) => {}
        }
    }
}
