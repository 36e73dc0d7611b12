//! Numbers of payment cards: 13 to 19 digits with Luhn's check digit, alone or in groups with a blank or `-` between them.
//!
//! # Source
//! ISO/IEC 7812-1: the check digit, and the first digits of payment cards (2 to 6).

use super::digits::{Digits, Next, is_first};
use super::{At, Range};

const LEAST: usize = 13;
const MOST: usize = 19;
/// The digits, a separator between each two of them and behind them.
pub(super) const LIMIT: usize = 2 * MOST;

pub(super) fn begins(byte: u8) -> bool {
    (b'2'..=b'6').contains(&byte)
}

pub(super) fn at(range: &Range<'_>, start: usize) -> At {
    if !is_first(range, start) {
        return At::No;
    }
    let mut digits = Digits::new(range, start, b" -");
    let mut sums = Sums::default();
    let mut found = None;
    for count in 0..=MOST {
        let end = digits.at;
        match digits.next() {
            Next::Cut => return At::Maybe,
            // A group ends before: a card number may end with it.
            Next::End | Next::Digit { is_apart: true, .. } if count >= LEAST && sums.is_valid() => {
                found = Some(end);
            }
            Next::End | Next::Digit { .. } => {}
        }
        match range.byte(digits.at.wrapping_sub(1)) {
            Some(byte) if digits.at > end => sums.add(u32::from(byte - b'0')),
            _ => break,
        }
    }
    found.map_or(At::No, At::Hit)
}

/// The check sums of a number so far, for an odd and for an even number of digits.
#[derive(Default)]
struct Sums {
    current: u32,
    other: u32,
}

impl Sums {
    /// Every digit that follows swaps which ones are doubled.
    fn add(&mut self, digit: u32) {
        let doubled = if digit > 4 { 2 * digit - 9 } else { 2 * digit };
        (self.current, self.other) = (self.other + digit, self.current + doubled);
    }

    fn is_valid(&self) -> bool {
        self.current.is_multiple_of(10)
    }
}
