//! Addresses of e-mail, in ASCII.
//!
//! # Source
//! RFC 5321, section 4.5.3.1: at most 64 characters before the `@`, and 255 behind it. RFC 1035: labels of a domain.

use super::{Range, Seen, is_escape};

const LOCAL: usize = 64;
const DOMAIN: usize = 255;
pub(super) const LIMIT: usize = LOCAL + 1 + DOMAIN;

pub(super) fn find(range: Range<'_>) -> Seen {
    let mut at = range.from;
    while at < range.to {
        let Some(byte) = range.byte(at) else {
            return Seen::No;
        };
        if !is_local(byte) {
            at += 1;
            continue;
        }
        // Only an `@` in reach of a place in the range counts.
        let reach = (range.to + LOCAL).min(range.text.len());
        let run = range.bytes()[at..reach].iter();
        let end = at + run.take_while(|&&byte| is_local(byte)).count();
        let mut start = at.max(end.saturating_sub(LOCAL));
        if is_escape(range.bytes()[start]) && range.byte(start.wrapping_sub(1)) == Some(b'\\') {
            // The `\n` of a text with escapes is not part of the address, and stays whole.
            start += 1;
        }
        if end == reach && range.is_cut(end) {
            return if start < range.to {
                Seen::Maybe(start)
            } else {
                Seen::No
            };
        }
        if range.byte(end) == Some(b'@') && start < range.to {
            match domain(&range, end + 1) {
                Domain::Cut => return Seen::Maybe(start),
                Domain::Ends(end) => {
                    return Seen::Hit {
                        start,
                        end,
                        open: None,
                    };
                }
                Domain::No => {}
            }
        }
        at = end + 1;
    }
    Seen::No
}

enum Domain {
    No,
    Cut,
    Ends(usize),
}

/// The longest domain at a place: labels with dots between them, of which the last one has letters only.
fn domain(range: &Range<'_>, start: usize) -> Domain {
    let most = (start + DOMAIN).min(range.text.len());
    let run = range.bytes()[start..most].iter();
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
    let length = run.take_while(|byte| is_part(byte)).count();
    if range.is_cut(start + length) && length < DOMAIN {
        return Domain::Cut;
    }
    let (mut end, mut at, mut labels) = (None, start, 0);
    for label in range.text[start..start + length].split('.') {
        if label.is_empty() || label.starts_with('-') {
            break;
        }
        labels += 1;
        let is_coded = label
            .get(..4)
            .is_some_and(|it| it.eq_ignore_ascii_case("xn--"));
        if labels > 1 && is_coded {
            end = Some(at + label.trim_end_matches('-').len());
        }
        let letters = label.bytes().take_while(u8::is_ascii_alphabetic).count();
        let is_last = letters == label.len() || label.as_bytes()[letters] == b'-';
        if labels > 1 && letters >= 2 && is_last && !is_coded {
            end = Some(at + letters);
        }
        at += label.len() + 1;
    }
    end.map_or(Domain::No, Domain::Ends)
}

fn is_local(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b".!#$%&'*+/=?^_`{|}~-".contains(&byte)
}
