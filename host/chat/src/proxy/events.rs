//! The data of the events in a response's body.

use std::collections::VecDeque;

use bytes::Bytes;

use sluicegate_framing::{Decoder, Error, Framing, Limits};

/// The longest event. The longest deltas of model servers are some tens of kilobytes.
const LONGEST: usize = 4 << 20;

/// Takes the bytes of an event stream and gives the data of its events; names, ids and comments are skipped.
#[derive(Debug)]
pub(super) struct Events {
    decoder: Decoder,
    ready: VecDeque<Bytes>,
}

impl Default for Events {
    fn default() -> Self {
        let limits = Limits {
            event_bytes: LONGEST,
            ..Limits::default()
        };
        Self {
            decoder: Decoder::new(Framing::Sse, limits),
            ready: VecDeque::new(),
        }
    }
}

impl Events {
    /// Takes bytes.
    ///
    /// # Errors
    /// An event is too long; the stream cannot be read further.
    pub(super) fn push(&mut self, bytes: Bytes) -> Result<(), Error> {
        self.decoder.feed(bytes);
        while let Some(batch) = self.decoder.next_batch()? {
            self.ready
                .extend(batch.events.into_iter().map(|event| event.data));
        }
        Ok(())
    }

    /// The data of the next complete event.
    pub(super) fn next(&mut self) -> Option<String> {
        let data = self.ready.pop_front()?;
        Some(String::from_utf8_lossy(&data).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = ": ping\r\ndata: {\"a\":1}\r\n\r\nevent: x\ndata:line 1\ndata: line 你\n\n\n: x\rid: 3\rdata\r\rdata: open";

    fn read(chunks: &[&[u8]]) -> Vec<String> {
        let mut events = Events::default();
        for chunk in chunks {
            let chunk = Bytes::copy_from_slice(chunk);
            events.push(chunk).expect("nothing is too long");
        }
        std::iter::from_fn(|| events.next()).collect()
    }

    #[test]
    fn events_are_the_same_wherever_the_stream_is_cut() {
        let whole = read(&[STREAM.as_bytes()]);
        assert_eq!(whole, ["{\"a\":1}", "line 1\nline 你", ""]);
        for at in 0..STREAM.len() {
            let (a, b) = STREAM.as_bytes().split_at(at);
            assert_eq!(read(&[a, b]), whole, "cut at {at}");
        }
    }

    #[test]
    fn a_byte_order_mark_counts_only_at_the_beginning() {
        let mark = "\u{feff}";
        let stream = format!("{mark}data: a\n\ndata: {mark}b\n\n{mark}data: c\n\n");
        assert_eq!(
            read(&[stream.as_bytes()]),
            ["a".to_owned(), format!("{mark}b")]
        );
    }

    #[test]
    fn an_event_without_end_is_given_up() {
        let mut events = Events::default();
        let fits = Bytes::from(vec![b'x'; LONGEST]);
        events.push(fits).expect("just fits");
        assert!(events.push(Bytes::from_static(b"x")).is_err());
        let mut events = Events::default();
        let line = [b"data:".as_slice(), &vec![b'x'; LONGEST / 2], b"\n"].concat();
        let line = Bytes::from(line);
        events.push(line.clone()).expect("the first half fits");
        assert!(events.push(line).is_err());
    }
}
