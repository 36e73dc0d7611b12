//! The grammar of a body that is not a stream: the whole body is one event, given at its end.

use super::draft::{Data, Draft};

/// There is nothing to find before the end.
#[derive(Debug)]
pub(super) struct Scanner;

impl Scanner {
    /// The whole body, empty or not.
    pub(super) fn last(&self, input: &[u8]) -> Draft {
        Draft {
            name: 0..0,
            id: None,
            data: Data::Line(0..input.len()),
            end: input.len(),
            size: input.len(),
        }
    }
}
