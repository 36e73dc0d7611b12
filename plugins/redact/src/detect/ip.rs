//! IP addresses, version 4 and 6.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::{At, Range};

/// `ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255`
const LONGEST: usize = 45;
/// With what follows.
pub(super) const LIMIT: usize = LONGEST + 1;

pub(super) fn begins(byte: u8) -> bool {
    byte.is_ascii_hexdigit() || byte == b':'
}

pub(super) fn at(range: &Range<'_>, start: usize) -> At {
    let before = range.before(start);
    if before.is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'.') {
        return At::No;
    }
    let most = (start + LIMIT).min(range.text.len());
    let run = range.bytes()[start..most].iter();
    let length = run
        .take_while(|&&byte| begins(byte) || byte == b'.')
        .count();
    if range.is_cut(start + length) && length <= LONGEST {
        return At::Maybe;
    }
    let is_word = |end: usize| range.byte(end).is_some_and(|it| it.is_ascii_alphanumeric());
    // A sentence may end with it.
    let run = range.text[start..start + length].trim_end_matches(['.', ':']);
    let end = start + run.len();
    let is_v6 = run.parse::<Ipv6Addr>().is_ok_and(|it| !it.is_unspecified());
    if !is_word(end) && (is_v6 || run.parse::<Ipv4Addr>().is_ok()) {
        return At::Hit(end);
    }
    // With a port.
    match run.split_once(':') {
        Some((v4, _)) if v4.parse::<Ipv4Addr>().is_ok() => At::Hit(start + v4.len()),
        Some(_) | None => At::No,
    }
}
