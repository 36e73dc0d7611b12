//! The rules in force: what is hidden, in which direction, and what stands in its place.

use std::cell::Cell;
use std::collections::BTreeMap;

use sluicegate_plugin::window::{Follow, Found, Hit, Input, Matched, Matcher, Window, Words};

use crate::detect::{Detector, Range, Seen};
use crate::pattern::{self, Pattern};
use crate::tally::Tally;

/// The places that are searched by all rules before any rule goes on: few at first, so that a text with many matches is not read
/// again behind each of them, then more.
const BLOCK: usize = 16;
const BLOCK_MOST: usize = 4096;
/// Steps of a call: bytes that a rule looks at, and characters that a regular expression does. With the CPU time that the manifest
/// suggests, even the slowest kind of step takes less.
pub(crate) const STEPS: u64 = 100_000_000;
/// The number of the rule that puts back what was hidden.
const RESTORE: usize = usize::MAX;

/// A rule.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) in_request: bool,
    pub(crate) in_response: bool,
    pub(crate) replacement: String,
    /// What its placeholders begin with, such as `EMAIL`.
    pub(crate) label: String,
    /// Whether what it hides in the request is put back in the response.
    pub(crate) restores: bool,
}

/// What a rule hides.
#[derive(Debug)]
pub(crate) enum Kind {
    Detector(Detector),
    Words(Words),
    Pattern(Box<Pattern>),
}

/// A direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Request,
    Response,
}

/// The rules with the tally of an exchange, in one direction.
pub(crate) struct Pass<'a> {
    pub(crate) rules: &'a [Rule],
    pub(crate) side: Side,
    pub(crate) tally: &'a mut Tally,
    /// Only what is built in: in names, which words of the operator must not change.
    pub(crate) is_name: bool,
    /// In a stream: the texts besides its deltas, by their places.
    pub(crate) loose: Option<&'a mut Loose>,
    /// What was done so far.
    steps: Cell<u64>,
}

/// Windows over texts that may go on from event to event.
pub(crate) type Loose = BTreeMap<String, Window>;

impl Kind {
    fn find(&self, range: Range<'_>, steps: &Cell<u64>) -> Seen {
        match self {
            Self::Detector(detector) => detector.find(range, steps),
            Self::Pattern(pattern) => pattern.find(range, steps),
            Self::Words(words) => {
                let input = Input {
                    text: range.text,
                    from: range.from,
                    last: range.last,
                };
                match words.find_before(input, range.to) {
                    Found::Nothing => Seen::No,
                    Found::Maybe { start, .. } => Seen::Maybe(start),
                    Found::Match(hit) => Seen::Hit {
                        start: hit.start,
                        end: hit.end,
                        open: hit.open,
                    },
                }
            }
        }
    }

    fn limit(&self) -> usize {
        match self {
            Self::Detector(detector) => detector.limit(),
            Self::Words(words) => words.longest(),
            Self::Pattern(_) => pattern::LIMIT,
        }
    }

    fn follow(&self, open: usize, text: &str) -> Follow {
        match self {
            Self::Detector(detector) => detector.follow(open, text),
            Self::Words(_) => Follow::Ended(0),
            Self::Pattern(pattern) => pattern.follow(open, text),
        }
    }

    fn is_built_in(&self) -> bool {
        match self {
            Self::Detector(_) => true,
            Self::Words(_) | Self::Pattern(_) => false,
        }
    }
}

impl Rule {
    pub(crate) fn is_for(&self, side: Side) -> bool {
        match side {
            Side::Request => self.in_request,
            Side::Response => self.in_response,
        }
    }
}

impl<'a> Pass<'a> {
    pub(crate) fn new(rules: &'a [Rule], side: Side, tally: &'a mut Tally) -> Self {
        Self {
            rules,
            side,
            tally,
            is_name: false,
            loose: None,
            steps: Cell::new(0),
        }
    }

    /// Whether so much was done that the search has stopped: what comes out must not be used.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.steps.get() > STEPS
    }

    fn active(&self) -> impl Iterator<Item = (usize, &Rule)> {
        let rules = self.rules.iter().enumerate();
        rules.filter(|(_, rule)| {
            rule.is_for(self.side) && (!self.is_name || rule.kind.is_built_in())
        })
    }

    /// Whether anything is hidden or put back.
    pub(crate) fn is_idle(&self) -> bool {
        let restores = self.side == Side::Response && !self.tally.vault.is_empty();
        !restores && self.active().next().is_none()
    }

    /// Finds the first match that begins before `to`; of several at one place, the longest.
    fn find_before(&self, input: Input<'_>, to: usize) -> Found {
        let Input { text, from, last } = input;
        let mut best = match self.side {
            Side::Response => self.tally.vault.find(input, to, RESTORE),
            Side::Request => Found::Nothing,
        };
        for (rule, it) in self.active() {
            // Only what begins as early can be better.
            let to = start(&best).map_or(to, |start| start + 1);
            let range = Range {
                text,
                from,
                to: boundary(text, to),
                last,
            };
            let steps = (range.to - from) as u64;
            self.steps.set(self.steps.get() + steps);
            let found = match it.kind.find(range, &self.steps) {
                Seen::No => continue,
                Seen::Maybe(start) => Found::Maybe { start, rule },
                Seen::Hit { start, end, open } => Found::Match(Hit {
                    start,
                    end,
                    rule,
                    open,
                }),
            };
            if rank(&found) < rank(&best) {
                best = found;
            }
        }
        best
    }
}

/// Where it begins.
fn start(found: &Found) -> Option<usize> {
    match found {
        Found::Nothing => None,
        Found::Maybe { start, .. } => Some(*start),
        Found::Match(hit) => Some(hit.start),
    }
}

/// The lowest is the best: what begins first; then what has to be waited for, what goes on, what is longest.
fn rank(found: &Found) -> (usize, usize) {
    match found {
        Found::Nothing => (usize::MAX, usize::MAX),
        Found::Maybe { start, .. } => (*start, 0),
        Found::Match(hit) if hit.open.is_some() => (hit.start, 1),
        Found::Match(hit) => (hit.start, usize::MAX - hit.end),
    }
}

/// The first boundary of characters at a place or behind it.
fn boundary(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at += 1;
    }
    at
}

impl Matcher for Pass<'_> {
    fn limit(&self) -> usize {
        let rules = self.active().map(|(_, rule)| rule.kind.limit());
        rules.chain([self.tally.vault.limit()]).max().unwrap_or(0)
    }

    fn folds(&self) -> bool {
        true
    }

    fn find(&self, mut input: Input<'_>) -> Found {
        let mut block = BLOCK;
        while input.from < input.text.len() && !self.is_exhausted() {
            let to = boundary(input.text, input.from + block);
            block = BLOCK_MOST.min(2 * block);
            match self.find_before(input, to) {
                Found::Nothing => input.from = to,
                found @ (Found::Maybe { .. } | Found::Match(_)) => return found,
            }
        }
        Found::Nothing
    }

    fn follow(&self, rule: usize, open: usize, text: &str) -> Follow {
        match self.rules.get(rule) {
            Some(rule) => rule.kind.follow(open, text),
            None => Follow::Ended(0),
        }
    }

    fn replace(&mut self, number: usize, matched: Matched<'_>, out: &mut String) {
        let Some(rule) = self.rules.get(number) else {
            self.tally.restore(matched, out);
            return;
        };
        self.tally.count(self.side, &rule.name);
        if self.side == Side::Request && rule.restores {
            self.tally.vault.put(number, &rule.label, matched.text, out);
        } else {
            out.push_str(&rule.replacement);
        }
    }
}
