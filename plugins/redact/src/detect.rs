//! The detectors that are built in. Each is plain code: a fixed form, and a check where there is one.
//!
//! A detector finds the first match that begins in a range of the text. It may look at all of the text, one character before the
//! range included. If the text may go on, it also finds where a match may begin that is not complete yet: its length is bounded.

mod card;
mod cn_id;
mod digits;
mod email;
mod ip;
mod key;
mod phone;

use std::cell::Cell;

use serde::Deserialize;
use sluicegate_plugin::window::Follow;

/// Steps of a place at which a number or an address may begin: how far it has to be looked at, on average of the worst texts.
const PLACE: u64 = 16;

/// A detector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Detector {
    Email,
    Key,
    CnId,
    Card,
    Phone,
    Ip,
}

/// A text, and where matches may begin.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Range<'a> {
    pub(crate) text: &'a str,
    pub(crate) from: usize,
    pub(crate) to: usize,
    /// Whether the text ends here.
    pub(crate) last: bool,
}

/// What was found first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// No match begins in the range.
    No,
    /// A match may begin here, depending on what follows the text.
    Maybe(usize),
    /// A match. With `open` it may go on behind the end of the text.
    Hit {
        start: usize,
        end: usize,
        open: Option<usize>,
    },
}

/// What begins at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    No,
    Maybe,
    Hit(usize),
}

impl Detector {
    /// Those that are used unless the configuration says otherwise, in the order in which they count.
    pub(crate) const USUAL: [Self; 5] =
        [Self::Email, Self::Key, Self::CnId, Self::Card, Self::Phone];

    /// The name in the configuration.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Key => "key",
            Self::CnId => "cn-id",
            Self::Card => "card",
            Self::Phone => "phone",
            Self::Ip => "ip",
        }
    }

    /// The most characters for which a match can be incomplete.
    pub(crate) const fn limit(self) -> usize {
        match self {
            Self::Email => email::LIMIT,
            Self::Key => key::LIMIT,
            Self::CnId => cn_id::LIMIT,
            Self::Card => card::LIMIT,
            Self::Phone => phone::LIMIT,
            Self::Ip => ip::LIMIT,
        }
    }

    /// Finds the first match, and adds to `steps` what the places took that may begin one.
    pub(crate) fn find(self, range: Range<'_>, steps: &Cell<u64>) -> Seen {
        match self {
            Self::Email => email::find(range),
            Self::Key => key::find(range),
            Self::CnId => range.each(cn_id::begins, cn_id::at, steps),
            Self::Card => range.each(card::begins, card::at, steps),
            Self::Phone => range.each(phone::begins, phone::at, steps),
            Self::Ip => range.each(ip::begins, ip::at, steps),
        }
    }

    /// Finds the end of an open match.
    pub(crate) fn follow(self, open: usize, text: &str) -> Follow {
        match self {
            Self::Key => key::follow(open, text),
            Self::Email | Self::CnId | Self::Card | Self::Phone | Self::Ip => Follow::Ended(0),
        }
    }
}

impl<'a> Range<'a> {
    fn bytes(&self) -> &'a [u8] {
        self.text.as_bytes()
    }

    fn byte(&self, at: usize) -> Option<u8> {
        self.bytes().get(at).copied()
    }

    /// The byte before a place. That of an escape such as `\n` is a control character: no part of what follows.
    pub(crate) fn before(&self, at: usize) -> Option<u8> {
        let before = self.byte(at.wrapping_sub(1))?;
        let is_escape = is_escape(before) && self.byte(at.wrapping_sub(2)) == Some(b'\\');
        Some(if is_escape { b'\n' } else { before })
    }

    /// Whether the text ends here but may go on.
    fn is_cut(&self, at: usize) -> bool {
        !self.last && at == self.text.len()
    }

    /// Tries each place where a byte may begin a match.
    fn each(self, begins: fn(u8) -> bool, at: fn(&Self, usize) -> At, steps: &Cell<u64>) -> Seen {
        for start in self.from..self.to.min(self.text.len()) {
            if !begins(self.bytes()[start]) {
                continue;
            }
            steps.set(steps.get() + PLACE);
            match at(&self, start) {
                At::No => {}
                At::Maybe => return Seen::Maybe(start),
                At::Hit(end) => {
                    return Seen::Hit {
                        start,
                        end,
                        open: None,
                    };
                }
            }
        }
        Seen::No
    }
}

/// Whether a letter behind a backslash may stand for a control character.
fn is_escape(byte: u8) -> bool {
    matches!(byte, b'b' | b'f' | b'n' | b'r' | b't')
}

#[cfg(test)]
mod tests;
