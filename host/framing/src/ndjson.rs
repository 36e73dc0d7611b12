//! The grammar of newline-delimited JSON: lines, ended by LF and by nothing else.
//!
//! JSON strings may hold U+2028 and other characters that Unicode counts as line ends, so only LF may cut. Not responsible
//! for whether a line is JSON.

use memchr::memchr;

use super::draft::{Data, Draft};

/// Where the parser is in the buffer.
#[derive(Debug, Default)]
pub(super) struct Scanner {
    /// Where the bytes of the unfinished event begin, including blank lines before it.
    start: usize,
    /// Where the current line begins.
    line: usize,
    /// How far the current line has been searched for its end.
    searched: usize,
}

impl Scanner {
    pub(super) fn next(&mut self, input: &[u8]) -> Option<Draft> {
        loop {
            let found = memchr(b'\n', &input[self.searched..]);
            let Some(end) = found.map(|offset| self.searched + offset) else {
                self.searched = input.len();
                return None;
            };
            let draft = self.line(input, end, end + 1);
            self.line = end + 1;
            self.searched = self.line;
            if draft.is_some() {
                return draft;
            }
        }
    }

    /// The event after the last LF, if that is not blank; then nothing is left to scan.
    pub(super) fn last(&mut self, input: &[u8]) -> Option<(Draft, &'static [u8])> {
        let draft = self.line(input, input.len(), input.len())?;
        Some((draft, b"\n"))
    }

    pub(super) fn pending(&self, input: &[u8]) -> usize {
        input.len() - self.start
    }

    pub(super) fn rebase(&mut self, by: usize) {
        self.start -= by;
        self.line -= by;
        self.searched -= by;
    }

    /// The event of the current line, whose text ends before `end`; the next line begins at `next`.
    fn line(&mut self, input: &[u8], end: usize, next: usize) -> Option<Draft> {
        let text = &input[self.line..end];
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        if text.trim_ascii().is_empty() {
            return None;
        }
        let data = Data::Line(self.line..self.line + text.len());
        let size = end - self.start;
        self.start = next;
        Some(Draft {
            name: 0..0,
            id: None,
            data,
            end: next,
            size,
        })
    }
}
