//! The operator's regular expressions, as automata that read a text once, byte by byte.
//!
//! An automaton says after each byte whether a match is complete, can still become complete, or is impossible. The syntax is that
//! of the crate `regex`, with two differences: `\d`, `\w`, `\s` and `\b` are those of ASCII (in Chinese text a digit behind a
//! character begins a number), and `\p{…}` is not there.

use std::cell::Cell;
use std::fmt;

use regex_automata::dfa::dense::{self, DFA};
use regex_automata::dfa::{Automaton, StartKind};
use regex_automata::nfa::thompson;
use regex_automata::util::primitives::StateID;
use regex_automata::util::start;
use regex_automata::{Anchored, MatchKind};
use regex_syntax::ast::parse::Parser;
use regex_syntax::hir::translate::TranslatorBuilder;
use sluicegate_plugin::window::Follow;

use crate::detect::{Range, Seen};

mod ascii;

/// The most characters for which a match can be incomplete. A text that could still be a match after so many counts as one, and
/// ends where it no longer could be.
pub(crate) const LIMIT: usize = 256;
/// Larger automata are refused: each is part of the memory of every exchange.
const AUTOMATON: usize = 1 << 20;
/// Bytes before a match on which `^` and `\b` depend, one of each kind.
const BEFORE: [Option<u8>; 5] = [None, Some(b'\n'), Some(b'\r'), Some(b'a'), Some(b' ')];

/// A regular expression.
pub(crate) struct Pattern {
    dfa: DFA<Vec<u32>>,
    /// The bytes with which a match can begin.
    begins: Box<[bool; 256]>,
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pattern").finish_non_exhaustive()
    }
}

impl Pattern {
    /// # Errors
    /// A sentence for the operator.
    pub(crate) fn new(regex: &str, ignores_case: bool) -> Result<Self, String> {
        let mut ast = Parser::new()
            .parse(regex)
            .map_err(|error| format!("the regular expression cannot be read: {error}"))?;
        ascii::apply(&mut ast)?;
        let hir = TranslatorBuilder::new()
            .case_insensitive(ignores_case)
            .build()
            .translate(regex, &ast)
            .map_err(|error| format!("the regular expression cannot be read: {error}"))?;
        if hir
            .properties()
            .minimum_len()
            .is_none_or(|length| length == 0)
        {
            return Err("the regular expression must not match an empty text".into());
        }
        let too_large = |_| {
            "the regular expression is too large: use smaller repetitions, or several rules"
                .to_owned()
        };
        let nfa = thompson::Compiler::new()
            .configure(thompson::Config::new().nfa_size_limit(Some(4 * AUTOMATON)))
            .build_from_hir(&hir)
            .map_err(|error| too_large(error.to_string()))?;
        let config = dense::Config::new()
            .start_kind(StartKind::Anchored)
            .match_kind(MatchKind::LeftmostFirst)
            .dfa_size_limit(Some(AUTOMATON))
            .determinize_size_limit(Some(4 * AUTOMATON));
        let dfa = dense::Builder::new()
            .configure(config)
            .build_from_nfa(&nfa)
            .map_err(|error| too_large(error.to_string()))?;
        let mut pattern = Self {
            dfa,
            begins: Box::new([false; 256]),
        };
        for before in BEFORE {
            let start = pattern.start(before);
            for byte in 0..=u8::MAX {
                let next = pattern.dfa.next_state(start, byte);
                pattern.begins[usize::from(byte)] |= !pattern.dfa.is_dead_state(next);
            }
        }
        Ok(pattern)
    }

    /// Finds the first match, and adds to `steps` what that took.
    pub(crate) fn find(&self, range: Range<'_>, steps: &Cell<u64>) -> Seen {
        let bytes = range.text.as_bytes();
        let places = bytes.iter().enumerate().take(range.to).skip(range.from);
        for (start, &byte) in places {
            if !self.begins[usize::from(byte)] || !range.text.is_char_boundary(start) {
                continue;
            }
            let seen = self.at(range, start, steps);
            if seen != Seen::No {
                return seen;
            }
        }
        Seen::No
    }

    fn at(&self, range: Range<'_>, start: usize, steps: &Cell<u64>) -> Seen {
        let bytes = range.text.as_bytes();
        let (mut state, mut found, mut chars) = (self.start(range.before(start)), None, 0);
        let hit = |end, open| Seen::Hit { start, end, open };
        for (at, &byte) in bytes.iter().enumerate().skip(start) {
            if range.text.is_char_boundary(at) {
                if chars == LIMIT {
                    return hit(at, Some(state.as_usize()));
                }
                chars += 1;
                steps.set(steps.get() + 1);
            }
            state = self.dfa.next_state(state, byte);
            if self.dfa.is_match_state(state) {
                // Matches show one byte later.
                found = Some(at);
            } else if self.dfa.is_dead_state(state) {
                return found.map_or(Seen::No, |end| hit(end, None));
            }
        }
        if !range.last {
            return Seen::Maybe(start);
        }
        if self.dfa.is_match_state(self.dfa.next_eoi_state(state)) {
            found = Some(bytes.len());
        }
        found.map_or(Seen::No, |end| hit(end, None))
    }

    /// Finds the end of an open match.
    pub(crate) fn follow(&self, open: usize, text: &str) -> Follow {
        let Ok(mut state) = StateID::new(open) else {
            return Follow::Ended(0);
        };
        for (at, char) in text.char_indices() {
            for byte in char.encode_utf8(&mut [0; 4]).bytes() {
                state = self.dfa.next_state(state, byte);
            }
            // What ends a match shows one character later.
            if self.dfa.is_dead_state(state) || self.is_last(state) {
                return Follow::Ended(at);
            }
        }
        Follow::On(state.as_usize())
    }

    /// Whether a match has ended and cannot go on.
    fn is_last(&self, state: StateID) -> bool {
        let is_dead = |byte| self.dfa.is_dead_state(self.dfa.next_state(state, byte));
        self.dfa.is_match_state(state) && (0..=u8::MAX).all(is_dead)
    }

    fn start(&self, before: Option<u8>) -> StateID {
        let config = start::Config::new()
            .anchored(Anchored::Yes)
            .look_behind(before);
        let start = self.dfa.start_state(&config);
        // Without word boundaries of Unicode no byte makes the automaton give up.
        start.expect("the automaton has anchored starts")
    }
}

#[cfg(test)]
mod tests;
