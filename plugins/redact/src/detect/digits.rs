//! Digits in groups, with one separator between two of them, or with a parenthesis and another one.

use super::Range;

/// Walks over digits with separators between them.
pub(super) struct Digits<'r, 'a> {
    range: &'r Range<'a>,
    /// Behind the last digit.
    pub(super) at: usize,
    separators: &'static [u8],
}

/// The next digit.
pub(super) enum Next {
    Digit {
        value: u32,
        /// Whether a separator stands before it.
        is_apart: bool,
    },
    /// There is none.
    End,
    /// The text ends, but may go on.
    Cut,
}

impl<'r, 'a> Digits<'r, 'a> {
    pub(super) fn new(range: &'r Range<'a>, at: usize, separators: &'static [u8]) -> Self {
        Self {
            range,
            at,
            separators,
        }
    }

    pub(super) fn next(&mut self) -> Next {
        let mut at = self.at;
        let mut has_parenthesis = false;
        while let Some(byte) = self.range.byte(at)
            && self.separators.contains(&byte)
        {
            has_parenthesis |= matches!(byte, b'(' | b')');
            at += 1;
            if at - self.at > 1 + usize::from(has_parenthesis) {
                return Next::End;
            }
        }
        match self.range.byte(at) {
            Some(byte @ b'0'..=b'9') => {
                let is_apart = at > self.at;
                self.at = at + 1;
                Next::Digit {
                    value: u32::from(byte - b'0'),
                    is_apart,
                }
            }
            Some(_) => Next::End,
            None if self.range.last => Next::End,
            None => Next::Cut,
        }
    }
}

/// Whether the digits at a place are the first ones of their group.
pub(super) fn is_first(range: &Range<'_>, at: usize) -> bool {
    !range.before(at).is_some_and(|byte| byte.is_ascii_digit())
}
