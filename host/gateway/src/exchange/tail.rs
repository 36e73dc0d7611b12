//! Finds where events end in a stream that no stage looks at.

/// The last bytes of a stream, enough to tell whether an event has ended.
#[derive(Debug, Default)]
pub(super) struct Tail([u8; 4]);

impl Tail {
    /// Adds bytes; returns whether the stream so far ends with an empty line, as events do.
    pub(super) fn ends_an_event(&mut self, bytes: &[u8]) -> bool {
        let last = bytes.len().saturating_sub(self.0.len());
        for byte in &bytes[last..] {
            self.0.rotate_left(1);
            self.0[3] = *byte;
        }
        [&b"\n\n"[..], b"\r\n\r\n", b"\r\r"]
            .iter()
            .any(|end| self.0.ends_with(end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_line_ends_an_event_however_it_is_cut() {
        for stream in ["data: a\n\n", "data: a\r\n\r\n", "data: a\r\r"] {
            for cut in 0..=stream.len() {
                let (first, second) = stream.as_bytes().split_at(cut);
                let mut tail = Tail::default();
                assert_eq!(tail.ends_an_event(first), cut == stream.len());
                assert!(tail.ends_an_event(second), "{stream:?} cut at {cut}");
            }
        }
    }

    #[test]
    fn a_line_end_alone_does_not_end_an_event() {
        let mut tail = Tail::default();
        for chunk in ["data: a\n", "data: b", "\r\n", "x", "\n"] {
            assert!(!tail.ends_an_event(chunk.as_bytes()), "{chunk:?}");
        }
    }
}
