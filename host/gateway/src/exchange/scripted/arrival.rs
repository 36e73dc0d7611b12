//! A response body that arrives in chunks.

use bytes::Bytes;

use crate::exchange::attempt::CHUNK;
use crate::pipeline::{Chunk, Data};

/// Where a response body is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Nowhere, but for the 64 KiB that are read at a time.
    Whole,
    /// Behind so many bytes, again and again; 0 counts as 1.
    Every(usize),
    /// Behind so many bytes. At its end: the end of the body then comes later than its last byte.
    Behind(usize),
}

/// What is still to come of a body.
pub(super) struct Arrival {
    rest: Bytes,
    cut: Cut,
    /// Bytes that have come.
    come: usize,
    /// Whether the body is never completed.
    is_broken: bool,
}

impl Arrival {
    pub(super) fn new(body: Bytes, cut: Cut) -> Self {
        Self {
            rest: body,
            cut,
            come: 0,
            is_broken: false,
        }
    }

    /// The first so many bytes of a body, behind which nothing comes, not even an end.
    pub(super) fn broken(body: &Bytes, at: usize, cut: Cut) -> Self {
        Self {
            is_broken: true,
            ..Self::new(body.slice(..at.min(body.len())), cut)
        }
    }

    /// The next chunk; `None` where the body breaks off. Behind the last one there is nothing.
    pub(super) fn next(&mut self) -> Option<Chunk> {
        if self.is_broken && self.rest.is_empty() {
            return None;
        }
        let most = match self.cut {
            Cut::Whole => CHUNK,
            Cut::Every(bytes) => CHUNK.min(bytes.max(1)),
            Cut::Behind(at) if at > self.come => CHUNK.min(at - self.come),
            Cut::Behind(_) => CHUNK,
        };
        let bytes = self.rest.split_to(most.min(self.rest.len()));
        self.come += bytes.len();
        let end_is_late = self.cut == Cut::Behind(self.come) && !bytes.is_empty();
        let data = Data::Bytes(bytes);
        Some(if self.rest.is_empty() && !end_is_late && !self.is_broken {
            Chunk::last(data)
        } else {
            Chunk::open(data)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::End;
    use sluicegate_framing::Framing;

    fn chunks(body: &'static str, cut: Cut) -> Vec<String> {
        all(Arrival::new(body.into(), cut))
    }

    fn all(mut arrival: Arrival) -> Vec<String> {
        let mut chunks = Vec::new();
        loop {
            let Some(chunk) = arrival.next() else {
                return chunks;
            };
            let bytes = chunk.data.into_bytes(Framing::Document);
            chunks.push(String::from_utf8(bytes.to_vec()).expect("text"));
            if matches!(chunk.end, End::Last) {
                return chunks;
            }
        }
    }

    #[test]
    fn a_body_arrives_whole_in_two_or_byte_by_byte() {
        assert_eq!(chunks("abc", Cut::Whole), ["abc"]);
        assert_eq!(chunks("abc", Cut::Every(1)), ["a", "b", "c"]);
        assert_eq!(chunks("abcde", Cut::Every(2)), ["ab", "cd", "e"]);
        assert_eq!(chunks("abc", Cut::Behind(1)), ["a", "bc"]);
        assert_eq!(chunks("abc", Cut::Behind(3)), ["abc", ""]);
        for cut in [Cut::Whole, Cut::Every(1), Cut::Behind(0)] {
            assert_eq!(chunks("", cut), [""]);
        }
    }

    #[test]
    fn a_broken_body_has_no_last_chunk() {
        let broken = |at, cut| all(Arrival::broken(&"abc".into(), at, cut));
        assert_eq!(broken(2, Cut::Whole), ["ab"]);
        assert_eq!(broken(9, Cut::Every(2)), ["ab", "c"]);
        assert!(broken(0, Cut::Whole).is_empty());
    }
}
