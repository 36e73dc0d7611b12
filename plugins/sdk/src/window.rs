//! A window over text that arrives in chunks: what a stream cuts in two is still found.
//!
//! A [`Matcher`] says what to look for. A [`Window`] takes the chunks of one text and gives back what can be sent: it holds back
//! the end of the text as long as a match could begin there, at most [`Matcher::limit`] characters, and nothing else. What comes
//! out does not depend on how the text was divided.
//!
//! [`Words`] is the matcher for lists of words. [`JsonWindow`] is a window over JSON text, such as the arguments of a tool call:
//! it looks into strings as they are meant, without their escapes, and leaves the text valid. [`TextWindow`] is one or the other.
//! [`chat::Deltas`](crate::chat::Deltas) applies windows to a stream of chunks.
//!
//! ```
//! use sluicegate_plugin::window::{Window, Words};
//! let words = Words::new(["tiger"], "cat").unwrap();
//! let (mut window, mut out) = (Window::default(), String::new());
//! window.feed(&words, "A ti", &mut out);
//! assert_eq!(out, "A ");
//! window.feed(&words, "ger and a ti", &mut out);
//! assert_eq!(out, "A cat and a ");
//! window.pause(&words, &mut out);
//! assert_eq!(out, "A cat and a ti");
//! ```

mod fold;
mod json;
mod seen;
mod text;
mod words;

pub use fold::folded_char;
pub use json::JsonWindow;
pub use seen::folded;
pub use text::TextWindow;
pub use words::Words;

use seen::Seen;

/// Bytes that may be held back. A text can have any number of invisible characters in it, and of backslashes.
const HELD: usize = 64 << 10;

/// Text to search.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// The text. What precedes `from` is context: matches begin at `from` or later.
    pub text: &'a str,
    /// Where to begin: a boundary of characters.
    pub from: usize,
    /// Whether the text ends here.
    pub last: bool,
}

impl Input<'_> {
    /// The character before a position. If it is that of an escape such as `\n`, the control character: it is no part of a word
    /// that follows.
    #[must_use]
    pub fn before(&self, at: usize) -> Option<char> {
        let mut chars = self.text.get(..at)?.chars().rev();
        let before = chars.next()?;
        let is_escape = matches!(before, 'b' | 'f' | 'n' | 'r' | 't') && chars.next() == Some('\\');
        Some(if is_escape { '\n' } else { before })
    }
}

/// What a matcher found first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// No match begins in this text, whatever follows.
    Nothing,
    /// A match may begin at `start`, depending on what follows; none begins before. Never if the text ends here.
    Maybe {
        /// Where it may begin.
        start: usize,
        /// Which of the matcher's rules it may be.
        rule: usize,
    },
    /// A match; none begins before, whatever follows.
    Match(Hit),
}

/// A match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hit {
    /// Where it begins.
    pub start: usize,
    /// Where it ends.
    pub end: usize,
    /// Which of the matcher's rules it is.
    pub rule: usize,
    /// If the match may go on behind the end of the text: what [`Matcher::follow`] needs to know. So a match can be longer than
    /// the limit: it is replaced as soon as it is certain, and the rest of it is left out.
    pub open: Option<usize>,
}

/// How a match goes on that was open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Follow {
    /// All of this text belongs to it, and it is still open.
    On(usize),
    /// This many bytes of the text belong to it.
    Ended(usize),
}

/// The text of a match.
#[derive(Clone, Copy, Debug)]
pub struct Matched<'a> {
    /// What was found.
    pub text: &'a str,
    /// How much of it was sent already, in bytes. 0 unless something else came between two parts of one text, see
    /// [`Window::pause`].
    pub sent: usize,
}

/// What a window looks for, and what it puts in its place.
///
/// # Shape
/// The result of `find` for a given position must not depend on where the text ends, except for [`Found::Maybe`]: then what comes
/// out does not depend on how the text is divided.
pub trait Matcher {
    /// The most characters that [`Found::Maybe`] may hold back. If more are held back, all of them count as a match.
    fn limit(&self) -> usize;

    /// Whether it sees characters as others that mean the same: wide letters and digits as those of ASCII, every blank as a blank, a
    /// JSON escape such as `\u0061` or `\/` as its character, and what is invisible not at all. What is found is replaced as it is
    /// written. Words to look for have to be [`folded`] then.
    fn folds(&self) -> bool {
        false
    }

    /// Finds the first match.
    fn find(&self, input: Input<'_>) -> Found;

    /// Finds the end of a match that was open, in the text behind it.
    fn follow(&self, rule: usize, open: usize, text: &str) -> Follow {
        let _ = (rule, open, text);
        Follow::Ended(0)
    }

    /// Appends what stands in place of a match.
    fn replace(&mut self, rule: usize, matched: Matched<'_>, out: &mut String);
}

impl<M: Matcher + ?Sized> Matcher for &mut M {
    fn limit(&self) -> usize {
        (**self).limit()
    }
    fn folds(&self) -> bool {
        (**self).folds()
    }
    fn find(&self, input: Input<'_>) -> Found {
        (**self).find(input)
    }
    fn follow(&self, rule: usize, open: usize, text: &str) -> Follow {
        (**self).follow(rule, open, text)
    }
    fn replace(&mut self, rule: usize, matched: Matched<'_>, out: &mut String) {
        (**self).replace(rule, matched, out);
    }
}

/// Replaces matches in a complete text; `None` if there are none.
pub fn replaced(mut matcher: impl Matcher, text: &str) -> Option<String> {
    let mut window = Window::default();
    window.text.push(text, matcher.folds());
    window.text.complete();
    let found = matcher.find(Input {
        text: window.text.text(),
        from: 0,
        last: true,
    });
    if found == Found::Nothing {
        return None;
    }
    let mut out = String::with_capacity(text.len());
    window.run(&mut matcher, true, &mut out);
    Some(out)
}

/// The end of a text that arrives in chunks.
///
/// # Shape
/// Of what is written `sent` bytes were sent, the rest is held back. Of what is seen matches begin at `from` or later; that was sent
/// only after a pause. Some characters before `from` are kept as context.
#[derive(Clone, Debug, Default)]
pub struct Window {
    text: Seen,
    from: usize,
    sent: usize,
    open: Option<(usize, usize)>,
}

impl Window {
    /// A window over a text of which this was sent already.
    fn behind(text: String) -> Self {
        Self {
            sent: text.len(),
            text: Seen::plain(text),
            ..Self::default()
        }
    }

    /// What is held back.
    #[must_use]
    pub fn held(&self) -> &str {
        &self.text.written()[self.sent..]
    }

    /// Takes the next chunk of the text, and appends what can be sent.
    pub fn feed(&mut self, mut matcher: impl Matcher, chunk: &str, out: &mut String) {
        self.text.push(chunk, matcher.folds());
        self.run(&mut matcher, false, out);
        self.forget();
    }

    /// Appends all that is held back, as if the text ended here.
    ///
    /// The text may go on: if a match then turns out to have begun before the pause, the rest of it is replaced.
    pub fn pause(&mut self, mut matcher: impl Matcher, out: &mut String) {
        self.text.complete();
        self.run(&mut matcher, true, out);
        self.forget();
    }

    /// Takes the last chunk of the text, and appends all that is left. The window is then as new.
    pub fn finish(&mut self, mut matcher: impl Matcher, chunk: &str, out: &mut String) {
        self.text.push(chunk, matcher.folds());
        self.text.complete();
        self.run(&mut matcher, true, out);
        *self = Self::default();
    }

    fn run(&mut self, matcher: &mut impl Matcher, last: bool, out: &mut String) {
        if self.is_open(matcher) {
            return;
        }
        loop {
            let (text, from) = (self.text.text(), self.from);
            match matcher.find(Input { text, from, last }) {
                Found::Nothing => {
                    self.send(self.text.read(), out);
                    self.text.resume(from);
                    self.from = self.resumed_from(matcher, last);
                    return;
                }
                Found::Maybe { start, .. } if !last && self.is_short(start, matcher.limit()) => {
                    self.send(self.text.start(start), out);
                    self.from = start;
                    return;
                }
                Found::Maybe { start, rule } => {
                    let end = text.len();
                    self.replace(matcher, (start, end, rule), out);
                }
                Found::Match(hit) => {
                    self.replace(matcher, (hit.start, hit.end, hit.rule), out);
                    self.open = hit.open.map(|open| (hit.rule, open));
                    if self.is_open(matcher) {
                        return;
                    }
                }
            }
        }
    }

    /// Leaves out what belongs to an open match, and says whether that is all of the text.
    fn is_open(&mut self, matcher: &impl Matcher) -> bool {
        let Some((rule, open)) = self.open else {
            return false;
        };
        match matcher.follow(rule, open, &self.text.text()[self.from..]) {
            Follow::On(open) => {
                self.open = Some((rule, open));
                self.from = self.text.text().len();
                self.sent = self.sent.max(self.text.read());
            }
            Follow::Ended(bytes) => {
                self.open = None;
                self.skip(self.from + bytes);
            }
        }
        self.open.is_some()
    }

    /// Where a match may begin if a text goes on that has been said to end.
    fn resumed_from(&self, matcher: &impl Matcher, last: bool) -> usize {
        let (text, from) = (self.text.text(), self.from);
        let resumed = Input {
            text,
            from,
            last: false,
        };
        match last.then(|| matcher.find(resumed)) {
            Some(Found::Maybe { start, .. }) if self.is_short(start, matcher.limit()) => start,
            Some(Found::Maybe { .. } | Found::Nothing | Found::Match(_)) | None => text.len(),
        }
    }

    fn is_short(&self, start: usize, limit: usize) -> bool {
        let held = &self.text.text()[start..];
        let is_short = held.len() <= limit || held.chars().count() <= limit;
        is_short && self.text.read() - self.text.start(start) <= HELD
    }

    fn replace(
        &mut self,
        matcher: &mut impl Matcher,
        (start, end, rule): (usize, usize, usize),
        out: &mut String,
    ) {
        let written = self.text.start(start)..self.text.end(end);
        self.send(written.start, out);
        if written.end > self.sent {
            let sent = self.sent - written.start;
            let text = &self.text.written()[written];
            matcher.replace(rule, Matched { text, sent }, out);
        }
        // An empty match would be found for ever.
        let next = |at: usize| {
            self.text.text()[at..]
                .chars()
                .next()
                .map_or(at, |c| at + c.len_utf8())
        };
        let end = if end > start { end } else { next(end) };
        self.skip(end);
    }

    /// Sends what is written before a place.
    fn send(&mut self, to: usize, out: &mut String) {
        if to > self.sent {
            out.push_str(&self.text.written()[self.sent..to]);
            self.sent = to;
        }
    }

    fn skip(&mut self, to: usize) {
        self.from = to;
        self.sent = self.sent.max(self.text.end(to));
    }

    /// Drops what is no longer needed.
    fn forget(&mut self) {
        (self.from, self.sent) = self.text.forget(self.from, self.sent);
    }
}

#[cfg(test)]
mod tests;
