//! A found event while it is still offsets into the decoder's buffer.

use std::ops::Range;

use bytes::Bytes;

use super::event::Event;

/// A found event as ranges of the buffer, whose bytes may not be frozen yet.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) name: Range<usize>,
    pub(super) id: Option<Range<usize>>,
    pub(super) data: Data,
    /// After the terminator.
    pub(super) end: usize,
    /// What counts against `event_bytes`; independent of how the input was cut.
    pub(super) size: usize,
}

impl Draft {
    pub(super) fn event(self, raw: &Bytes) -> Event {
        let text = |range| String::from_utf8_lossy(&raw[range]).into_owned();
        let name = if self.name.is_empty() {
            String::new()
        } else {
            text(self.name)
        };
        let id = self.id.map(text);
        let data = match self.data {
            Data::None => Bytes::new(),
            Data::Line(range) => raw.slice(range),
            Data::Joined(bytes) => Bytes::from(bytes),
        };
        Event { name, data, id }
    }

    pub(super) fn rebase(&mut self, by: usize) {
        shift(&mut self.name, by);
        if let Some(id) = &mut self.id {
            shift(id, by);
        }
        self.data.rebase(by);
        self.end -= by;
    }
}

/// The data of an unfinished event.
#[derive(Debug, Default)]
pub(super) enum Data {
    /// No data line so far.
    #[default]
    None,
    /// One range of the buffer.
    Line(Range<usize>),
    /// Several lines, which had to be copied together.
    Joined(Vec<u8>),
}

impl Data {
    pub(super) fn rebase(&mut self, by: usize) {
        match self {
            Self::None | Self::Joined(_) => {}
            Self::Line(range) => shift(range, by),
        }
    }
}

/// Moves a range to the left. A range before the cut is already empty.
pub(super) fn shift(range: &mut Range<usize>, by: usize) {
    range.start = range.start.saturating_sub(by);
    range.end = range.end.saturating_sub(by);
}
