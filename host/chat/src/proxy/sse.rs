//! Events out of bytes, however the bytes are cut.
//!
//! # Source
//! WHATWG HTML, "Server-sent events", parsing an event stream. Only `data` matters here; names, ids and comments are skipped.

use std::collections::VecDeque;

/// The longest line and the longest event. The longest deltas of model servers are some tens of kilobytes.
const LONGEST: usize = 4 << 20;

/// An incremental parser.
#[derive(Debug, Default)]
pub(super) struct Parser {
    line: Vec<u8>,
    data: Option<String>,
    ready: VecDeque<String>,
    /// The last byte was a carriage return: a line feed after it belongs to it.
    returned: bool,
    /// A line has ended: a byte order mark would be a part of what comes now.
    begun: bool,
}

/// An event or a line was too long.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLong;

impl Parser {
    /// Takes bytes.
    ///
    /// # Errors
    /// [`TooLong`]; the stream should be given up.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<(), TooLong> {
        for &byte in bytes {
            let returned = std::mem::replace(&mut self.returned, byte == b'\r');
            match byte {
                b'\n' if returned => {}
                b'\n' | b'\r' => self.end_line()?,
                other if self.line.len() < LONGEST => self.line.push(other),
                _ => return Err(TooLong),
            }
        }
        Ok(())
    }

    /// The data of the next whole event.
    pub(super) fn next(&mut self) -> Option<String> {
        self.ready.pop_front()
    }

    fn end_line(&mut self) -> Result<(), TooLong> {
        let line = std::mem::take(&mut self.line);
        let mut line = line.as_slice();
        if !std::mem::replace(&mut self.begun, true) {
            line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
        }
        if line.is_empty() {
            self.ready.extend(self.data.take());
            return Ok(());
        }
        let Some(value) = line
            .strip_prefix(b"data:")
            .or((line == b"data").then_some(b"".as_slice()))
        else {
            return Ok(());
        };
        let value = String::from_utf8_lossy(value.strip_prefix(b" ").unwrap_or(value));
        match &mut self.data {
            Some(data) if data.len() + value.len() >= LONGEST => return Err(TooLong),
            Some(data) => {
                data.push('\n');
                data.push_str(&value);
            }
            None => self.data = Some(value.into_owned()),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = ": ping\r\ndata: {\"a\":1}\r\n\r\nevent: x\ndata:line 1\ndata: line 你\n\n\n: x\rid: 3\rdata\r\rdata: open";

    fn events(pieces: &[&[u8]]) -> Vec<String> {
        let mut parser = Parser::default();
        for piece in pieces {
            parser.push(piece).expect("nothing is too long");
        }
        std::iter::from_fn(|| parser.next()).collect()
    }

    #[test]
    fn events_are_the_same_wherever_the_stream_is_cut() {
        let whole = events(&[STREAM.as_bytes()]);
        assert_eq!(whole, ["{\"a\":1}", "line 1\nline 你", ""]);
        for at in 0..STREAM.len() {
            let (a, b) = STREAM.as_bytes().split_at(at);
            assert_eq!(events(&[a, b]), whole, "cut at {at}");
        }
    }

    #[test]
    fn a_byte_order_mark_counts_only_at_the_beginning() {
        let mark = "\u{feff}";
        let stream = format!("{mark}data: a\n\ndata: {mark}b\n\n{mark}data: c\n\n");
        assert_eq!(
            events(&[stream.as_bytes()]),
            ["a".to_owned(), format!("{mark}b")]
        );
    }

    #[test]
    fn an_event_without_end_is_given_up() {
        let mut parser = Parser::default();
        parser.push(&vec![b'x'; LONGEST]).expect("just fits");
        assert_eq!(parser.push(b"x"), Err(TooLong));
        let mut parser = Parser::default();
        let line = [b"data:".as_slice(), &vec![b'x'; LONGEST / 2], b"\n"].concat();
        parser.push(&line).expect("the first half fits");
        assert_eq!(parser.push(&line), Err(TooLong));
    }
}
