//! A response body that arrives in chunks.

use bytes::Bytes;

use crate::exchange::attempt::CHUNK;
use crate::pipeline::{Chunk, Data};

/// Where a response body is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Nowhere, but for the 64 KiB that are read at a time.
    Whole,
    /// Behind each byte.
    EachByte,
    /// Behind so many bytes. At its end: the end of the body then comes later than its last byte.
    Behind(usize),
}

/// What is still to come of a body.
pub(super) struct Arrival {
    rest: Bytes,
    cut: Cut,
    /// Bytes that have come.
    come: usize,
}

impl Arrival {
    pub(super) fn new(body: Bytes, cut: Cut) -> Self {
        Self {
            rest: body,
            cut,
            come: 0,
        }
    }

    /// The next chunk. Behind the last one there is nothing.
    pub(super) fn next(&mut self) -> Chunk {
        let most = match self.cut {
            Cut::Whole => CHUNK,
            Cut::EachByte => 1,
            Cut::Behind(at) if at > self.come => CHUNK.min(at - self.come),
            Cut::Behind(_) => CHUNK,
        };
        let bytes = self.rest.split_to(most.min(self.rest.len()));
        self.come += bytes.len();
        let end_is_late = self.cut == Cut::Behind(self.come) && !bytes.is_empty();
        let data = Data::Bytes(bytes);
        if self.rest.is_empty() && !end_is_late {
            Chunk::last(data)
        } else {
            Chunk::open(data)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::End;
    use sluicegate_framing::Framing;

    fn chunks(body: &'static str, cut: Cut) -> Vec<String> {
        let mut arrival = Arrival::new(body.into(), cut);
        let mut chunks = Vec::new();
        loop {
            let chunk = arrival.next();
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
        assert_eq!(chunks("abc", Cut::EachByte), ["a", "b", "c"]);
        assert_eq!(chunks("abc", Cut::Behind(1)), ["a", "bc"]);
        assert_eq!(chunks("abc", Cut::Behind(3)), ["abc", ""]);
        for cut in [Cut::Whole, Cut::EachByte, Cut::Behind(0)] {
            assert_eq!(chunks("", cut), [""]);
        }
    }
}
