//! A text as it is written, and as a matcher sees it that folds characters.

use super::fold::{self, Escape, Fold};

/// Characters before a place that a match depends on: one, or an escape such as `\n`.
const CONTEXT: usize = 2;

/// The text as a matcher sees it that [folds](super::Matcher::folds): for the words that it looks for.
///
/// ```
/// use sluicegate_plugin::window::folded;
/// assert_eq!(folded("Ｂlue\u{ad}bird\u{a0}\\u0031 ①"), "Bluebird 1 ①");
/// ```
#[must_use]
pub fn folded(text: &str) -> String {
    let mut seen = Seen::default();
    seen.push(text, true);
    seen.complete();
    seen.text
}

/// The text of a window, in both forms.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    text: String,
    /// As it is written, while that differs.
    written: Option<Box<Written>>,
}

/// # Shape
/// `text[..read]` was read and is seen; the rest is the beginning of an escape. Outside of the spans every byte is seen as it is.
#[derive(Clone, Debug)]
struct Written {
    text: String,
    read: usize,
    spans: Vec<Span>,
    /// Where the beginning of an escape is seen and written that was read because the text was said to end.
    end: Option<(usize, usize)>,
}

/// Characters that are seen as others, all of one length, or not at all.
#[derive(Clone, Copy, Debug)]
struct Span {
    chars: usize,
    seen: usize,
    seen_length: usize,
    written: usize,
    written_length: usize,
}

impl Seen {
    /// A text that is seen as it is written.
    pub(super) fn plain(text: String) -> Self {
        Self {
            text,
            written: None,
        }
    }

    /// As the matcher sees it.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// As it is written.
    pub(super) fn written(&self) -> &str {
        match &self.written {
            Some(written) => &written.text,
            None => &self.text,
        }
    }

    /// How much of what is written is seen: all but the beginning of an escape.
    pub(super) fn read(&self) -> usize {
        match &self.written {
            Some(written) => written.read,
            None => self.text.len(),
        }
    }

    /// Takes the next chunk.
    pub(super) fn push(&mut self, chunk: &str, folds: bool) {
        if self.written.is_none() && !(folds && chunk.contains(is_special)) {
            return self.text.push_str(chunk);
        }
        let text = &mut self.text;
        let written = self.written.get_or_insert_with(|| {
            Box::new(Written {
                text: text.clone(),
                read: text.len(),
                spans: Vec::new(),
                end: None,
            })
        });
        written.text.push_str(chunk);
        written.end = None;
        written.see(text, false);
    }

    /// Sees the beginning of an escape as what it is: the text ends.
    pub(super) fn complete(&mut self) {
        if let Some(written) = &mut self.written {
            written.end = Some((self.text.len(), written.read));
            written.see(&mut self.text, true);
        }
    }

    /// Takes that back, unless it is seen before this place: the text may go on after all.
    pub(super) fn resume(&mut self, from: usize) {
        if let Some(written) = &mut self.written
            && let Some((seen, read)) = written.end.take()
            && from <= seen
        {
            // No span is in it: each character of it means itself.
            self.text.truncate(seen);
            written.read = read;
        }
    }

    /// Where the character is written that is seen here.
    pub(super) fn start(&self, at: usize) -> usize {
        let before = |span: &Span| span.seen < at || (span.seen == at && span.seen_length == 0);
        self.place(at, before)
    }

    /// Where the character ends that is seen before this place.
    pub(super) fn end(&self, at: usize) -> usize {
        self.place(at, |span| span.seen < at)
    }

    fn place(&self, at: usize, before: impl Fn(&Span) -> bool) -> usize {
        let Some(written) = &self.written else {
            return at;
        };
        let count = written.spans.partition_point(before);
        let span = count.checked_sub(1).map(|last| written.spans[last]);
        span.map_or(at, |span| span.place(at))
    }

    /// Drops what is before `from`, but for its context, and of what is written all that is not needed any more. Returns where
    /// `from` and `sent` are then.
    pub(super) fn forget(&mut self, from: usize, sent: usize) -> (usize, usize) {
        let chars = self.text[..from].char_indices().rev();
        let dropped = chars.take(CONTEXT).last().map_or(from, |(at, _)| at);
        let context = from - dropped;
        let cut = self.start(from).min(sent);
        if let Some(written) = &mut self.written {
            written.forget(&self.text[dropped..from], from, cut);
            if written.is_plain() {
                self.written = None;
            }
        }
        self.text.drain(..dropped);
        (context, sent - cut + context)
    }
}

impl Written {
    /// Reads on, as far as it is known what is meant.
    fn see(&mut self, seen: &mut String, last: bool) {
        loop {
            let rest = &self.text[self.read..];
            let plain = rest.find(is_special).unwrap_or(rest.len());
            seen.push_str(&rest[..plain]);
            let rest = &rest[plain..];
            self.read += plain;
            let (length, what) = match rest.chars().next() {
                None => return,
                Some('\\') => match fold::escape(rest, last) {
                    Escape::Cut => return,
                    Escape::Plain(length) => {
                        seen.push_str(&rest[..length]);
                        self.read += length;
                        continue;
                    }
                    Escape::Means(length, char) => (length, fold::folded_char(char)),
                },
                Some(char) => (char.len_utf8(), fold::folded_char(char)),
            };
            self.spans_push(seen.len(), what.map_or(0, char::len_utf8), length);
            seen.extend(what);
            self.read += length;
        }
    }

    /// Adds a character to the spans.
    fn spans_push(&mut self, seen: usize, seen_length: usize, written_length: usize) {
        if let Some(last) = self.spans.last_mut()
            && last.seen + last.seen_length == seen
            && last.written + last.written_length == self.read
            && last.seen_length == last.chars * seen_length
            && (last.written_length == last.chars * written_length)
        {
            last.chars += 1;
            last.seen_length += seen_length;
            last.written_length += written_length;
            return;
        }
        self.spans.push(Span {
            chars: 1,
            seen,
            seen_length,
            written: self.read,
            written_length,
        });
    }

    /// Puts `context`, which is as it is seen, in place of all that is written before `cut`; `from` is seen behind it.
    fn forget(&mut self, context: &str, from: usize, cut: usize) {
        let mut spans = Vec::new();
        for span in &self.spans {
            let Some(mut span) = span.behind(cut) else {
                continue;
            };
            span.seen = span.seen - from + context.len();
            span.written = span.written - cut + context.len();
            spans.push(span);
        }
        self.spans = spans;
        self.text.replace_range(..cut, context);
        self.read = self.read - cut + context.len();
    }

    fn is_plain(&self) -> bool {
        self.spans.is_empty() && self.read == self.text.len()
    }
}

impl Span {
    /// Where it is written what is seen here or behind it.
    fn place(&self, at: usize) -> usize {
        let within = at - self.seen;
        if within >= self.seen_length {
            return self.written + self.written_length + within - self.seen_length;
        }
        let chars = within * self.chars / self.seen_length;
        self.written + chars * (self.written_length / self.chars)
    }

    /// What is left of it behind a place between two characters of what is written.
    fn behind(&self, cut: usize) -> Option<Self> {
        let gone = cut.saturating_sub(self.written) * self.chars / self.written_length;
        let chars = self.chars.checked_sub(gone).filter(|it| *it > 0)?;
        let (seen, written) = (
            self.seen_length / self.chars,
            self.written_length / self.chars,
        );
        Some(Self {
            chars,
            seen: self.seen + gone * seen,
            seen_length: chars * seen,
            written: self.written + gone * written,
            written_length: chars * written,
        })
    }
}

/// Whether a character is seen as something else, or may be.
fn is_special(char: char) -> bool {
    char == '\\' || fold::fold(char) != Fold::Same
}
