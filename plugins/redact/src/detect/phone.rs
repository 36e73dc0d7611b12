//! Phone numbers: international ones that begin with `+`, and Chinese mobile numbers with and without 86.
//!
//! # Source
//! ITU-T E.164: at most 15 digits. MIIT's numbering plan: mobile numbers have 11 digits and begin with 13 to 19.

use super::digits::{Digits, Next, is_first};
use super::{At, Range};

const LEAST: usize = 7;
const MOST: usize = 15;
const MOBILE: usize = 11;
/// The sign, and up to two separators behind each digit.
pub(super) const LIMIT: usize = 1 + 3 * MOST + 2;

pub(super) fn begins(byte: u8) -> bool {
    matches!(byte, b'+' | b'1' | b'8' | b'0')
}

pub(super) fn at(range: &Range<'_>, start: usize) -> At {
    if !is_first(range, start) {
        return At::No;
    }
    match range.byte(start) {
        Some(b'+') => international(range, start),
        Some(b'1') => mobile(range, start),
        Some(b'8') => behind(range, start, b"86"),
        Some(b'0') => behind(range, start, b"0086"),
        Some(_) | None => At::No,
    }
}

fn international(range: &Range<'_>, start: usize) -> At {
    let mut digits = Digits::new(range, start + 1, b" -.()");
    let mut end = None;
    for count in 0..=MOST {
        let before = digits.at;
        match digits.next() {
            Next::Cut => return At::Maybe,
            Next::Digit { value: 0, .. } if count == 0 => return At::No,
            Next::Digit { is_apart, .. } => {
                if is_apart && count >= LEAST {
                    end = Some(before);
                }
            }
            Next::End => {
                if count >= LEAST {
                    end = Some(before);
                }
                break;
            }
        }
    }
    end.map_or(At::No, At::Hit)
}

/// A mobile number behind a prefix.
fn behind(range: &Range<'_>, start: usize, prefix: &[u8]) -> At {
    let rest = &range.bytes()[start..];
    if rest.len() < prefix.len() {
        let maybe = !range.last && prefix.starts_with(rest);
        return if maybe { At::Maybe } else { At::No };
    }
    if !rest.starts_with(prefix) {
        return At::No;
    }
    let mut at = start + prefix.len();
    if matches!(range.byte(at), Some(b' ' | b'-')) {
        at += 1;
    }
    match range.byte(at) {
        Some(b'1') => mobile(range, at),
        None if !range.last => At::Maybe,
        Some(_) | None => At::No,
    }
}

fn mobile(range: &Range<'_>, start: usize) -> At {
    let mut digits = Digits::new(range, start, b" -");
    for count in 0..MOBILE {
        match digits.next() {
            Next::Cut => return At::Maybe,
            Next::End => return At::No,
            Next::Digit { is_apart, .. } if is_apart && !matches!(count, 3 | 7) => return At::No,
            Next::Digit { value: ..3, .. } if count == 1 => return At::No,
            Next::Digit { .. } => {}
        }
    }
    let end = digits.at;
    if range.is_cut(end) {
        return At::Maybe;
    }
    match range.byte(end) {
        Some(byte) if byte.is_ascii_digit() => At::No,
        _ => At::Hit(end),
    }
}
