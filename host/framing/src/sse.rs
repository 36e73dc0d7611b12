//! The grammar of `text/event-stream`: lines, fields, and the blank line that ends an event.
//!
//! Applies the rules of the WHATWG parser to what has arrived so far. Each byte is searched once, however the input is cut. The
//! byte order mark, limits and batches are the decoder's.

use std::mem;
use std::ops::Range;

use memchr::{memchr, memchr2};

use super::draft::{Data, Draft, shift};

const CR: u8 = b'\r';
const LF: u8 = b'\n';

/// Where the parser is in the buffer.
#[derive(Debug, Default)]
pub(super) struct Scanner {
    /// Where the bytes of the unfinished event begin: after the terminator of the one before it.
    start: usize,
    /// Where the current line begins.
    line: usize,
    /// How far the current line has been searched for its end.
    searched: usize,
    /// The previous line ended with a CR that was the last byte available: an LF that follows belongs to it.
    after_cr: bool,
    name: Range<usize>,
    id: Option<Range<usize>>,
    data: Data,
}

impl Scanner {
    pub(super) fn next(&mut self, input: &[u8]) -> Option<Draft> {
        loop {
            self.skip_lf_of_cut_crlf(input);
            let found = memchr2(CR, LF, &input[self.searched..]);
            let Some(end) = found.map(|offset| self.searched + offset) else {
                self.searched = input.len();
                return None;
            };
            let next = self.after_line_end(input, end);
            let begin = mem::replace(&mut self.line, next);
            self.searched = next;
            if begin < end {
                self.field(input, begin..end);
            } else if let Some(draft) = self.dispatch(next, end) {
                return Some(draft);
            }
        }
    }

    /// The event that the end of the input completes, if data has arrived; then nothing is left to scan.
    pub(super) fn last(&mut self, input: &[u8]) -> Option<(Draft, &'static [u8])> {
        let mut end = self.line;
        if input[self.line..].starts_with(b"data:") {
            end = input.len();
            self.field(input, self.line..end);
        }
        let draft = self.dispatch(end, end)?;
        // If the line itself had ended, the second LF is an extra blank line, which does no harm. After a CR both are needed.
        Some((draft, b"\n\n"))
    }

    pub(super) fn pending(&self, input: &[u8]) -> usize {
        input.len() - self.start
    }

    pub(super) fn rebase(&mut self, by: usize) {
        self.start -= by;
        self.line -= by;
        self.searched -= by;
        shift(&mut self.name, by);
        if let Some(id) = &mut self.id {
            shift(id, by);
        }
        self.data.rebase(by);
    }

    /// The CR was enough to end its line (waiting for what follows could delay an event for ever); now the LF is here.
    fn skip_lf_of_cut_crlf(&mut self, input: &[u8]) {
        if !self.after_cr || input.len() == self.line {
            return;
        }
        self.after_cr = false;
        if input[self.line] == LF {
            // Between events it counts to the event before, as it would have if it had come together with the CR.
            if self.start == self.line {
                self.start += 1;
            }
            self.line += 1;
            self.searched = self.line;
        }
    }

    /// Where the next line begins, when the end of this one is at `end`.
    fn after_line_end(&mut self, input: &[u8], end: usize) -> usize {
        if input[end] == LF {
            return end + 1;
        }
        match input.get(end + 1) {
            Some(&LF) => end + 2,
            Some(_) => end + 1,
            None => {
                self.after_cr = true;
                end + 1
            }
        }
    }

    /// Takes one line that is not blank.
    fn field(&mut self, input: &[u8], line: Range<usize>) {
        let bytes = &input[line.clone()];
        let (name, value) = match memchr(b':', bytes) {
            Some(colon) => {
                let blank = usize::from(bytes.get(colon + 1) == Some(&b' '));
                (&bytes[..colon], line.start + colon + 1 + blank..line.end)
            }
            None => (bytes, line.end..line.end),
        };
        match name {
            b"data" => self.data.add_line(input, value),
            b"event" => self.name = value,
            b"id" => self.id = Some(value),
            // Comments, `retry` and unknown fields stay in the raw bytes.
            _ => {}
        }
    }

    /// The event that has just ended, unless it has no data. `end` is after its terminator, which begins at `terminator`.
    fn dispatch(&mut self, end: usize, terminator: usize) -> Option<Draft> {
        let name = mem::take(&mut self.name);
        let id = self.id.take();
        let data = mem::take(&mut self.data);
        if matches!(data, Data::None) {
            return None;
        }
        let start = mem::replace(&mut self.start, end);
        Some(Draft {
            name,
            id,
            data,
            end,
            size: terminator - start,
        })
    }
}

impl Data {
    /// Adds a `data` line; from the second on the lines are copied together.
    fn add_line(&mut self, input: &[u8], value: Range<usize>) {
        match self {
            Self::None => *self = Self::Line(value),
            Self::Line(first) => {
                let mut joined = input[first.clone()].to_vec();
                joined.push(LF);
                joined.extend_from_slice(&input[value]);
                *self = Self::Joined(joined);
            }
            Self::Joined(joined) => {
                joined.push(LF);
                joined.extend_from_slice(&input[value]);
            }
        }
    }
}
