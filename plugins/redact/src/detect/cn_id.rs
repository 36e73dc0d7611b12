//! Chinese resident identity numbers: a region, a date of birth, a number, and a check character.
//!
//! # Source
//! GB 11643-1999; the check character is that of ISO 7064, MOD 11-2.

use super::digits::{Digits, Next, is_first};
use super::{At, Range};

const WEIGHTS: [u32; 17] = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
/// 18 characters, a blank between the groups, and what follows.
pub(super) const LIMIT: usize = 21;

pub(super) fn begins(byte: u8) -> bool {
    (b'1'..=b'8').contains(&byte)
}

pub(super) fn at(range: &Range<'_>, start: usize) -> At {
    if !is_first(range, start) {
        return At::No;
    }
    let mut digits = Digits::new(range, start, b" ");
    let mut values = [0; 17];
    for count in 0..values.len() {
        match digits.next() {
            Next::Digit { is_apart, .. } if is_apart && !matches!(count, 6 | 14) => return At::No,
            Next::Digit { value: digit, .. } => values[count] = digit,
            Next::End => return At::No,
            Next::Cut => return At::Maybe,
        }
        // Known before the end, so that fewer texts are held back.
        if count == 13 && !is_date(&values[6..14]) {
            return At::No;
        }
    }
    let end = digits.at + 1;
    let Some(last) = range.byte(digits.at) else {
        return if range.last { At::No } else { At::Maybe };
    };
    let sum: u32 = values.iter().zip(WEIGHTS).map(|(a, b)| a * b).sum();
    let expected = b"10X98765432"[(sum % 11) as usize];
    if last.to_ascii_uppercase() != expected {
        return At::No;
    }
    if range.is_cut(end) {
        return At::Maybe;
    }
    match range.byte(end) {
        Some(byte) if byte.is_ascii_digit() => At::No,
        _ => At::Hit(end),
    }
}

/// Whether these digits are a year, a month and a day.
fn is_date(digits: &[u32]) -> bool {
    let number = |digits: &[u32]| digits.iter().fold(0, |number, digit| number * 10 + digit);
    let (year, month, day) = (
        number(&digits[..4]),
        number(&digits[4..6]),
        number(&digits[6..]),
    );
    (1850..2100).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day)
}
