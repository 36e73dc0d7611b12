//! Keys of APIs, by the beginnings that their services give them. A key ends where its alphabet ends: however long it is, all of
//! it is found. Private keys in PEM are found with all their lines.
//!
//! # Source
//! The documentation of the services on secret scanning and on their keys, November 2026. RFC 7468, and RFC 9580, section 6.2, for PEM.

use sluicegate_plugin::window::Follow;

use super::{Range, Seen};

/// A beginning, the least length of what follows, and whether dots can be part of that.
struct Form(&'static str, usize, bool);

const FORMS: [Form; 30] = [
    // OpenAI, Anthropic, DeepSeek, Alibaba and many others.
    Form("sk-", 16, false),
    Form("sk_live_", 16, false),
    Form("sk_test_", 16, false),
    Form("rk_live_", 16, false),
    Form("rk_test_", 16, false),
    Form("pk_live_", 16, false),
    Form("whsec_", 16, false),
    Form("gsk_", 16, false),
    Form("xai-", 16, false),
    Form("hf_", 16, false),
    Form("r8_", 20, false),
    Form("pplx-", 16, false),
    Form("AIza", 30, false),
    Form("ya29.", 16, true),
    Form("AKIA", 16, false),
    Form("ASIA", 16, false),
    // Alibaba Cloud, Tencent Cloud.
    Form("LTAI", 12, false),
    Form("AKID", 28, false),
    Form("ghp_", 20, false),
    Form("gho_", 20, false),
    Form("ghu_", 20, false),
    Form("ghs_", 20, true),
    Form("ghr_", 20, false),
    Form("github_pat_", 20, false),
    Form("glpat-", 16, true),
    Form("npm_", 20, false),
    Form("pypi-", 32, false),
    Form("xoxb-", 10, false),
    Form("xoxp-", 10, false),
    // A JSON Web Token: an encoded object.
    Form("eyJ", 32, true),
];

/// The first line of a private key, but for its kind.
const BEGIN: &str = "-----BEGIN ";
/// The kinds end so, such as `RSA PRIVATE KEY`.
const PRIVATE: [&str; 2] = ["PRIVATE KEY", "PRIVATE KEY BLOCK"];
/// The longest kind that is known is `PGP PRIVATE KEY BLOCK`.
const KIND: usize = 32;
const DASHES: &str = "-----";
/// The first line of a private key, and what follows it. Everything else with its least length is shorter.
pub(super) const LIMIT: usize = BEGIN.len() + KIND + DASHES.len() + 1;

/// How an open key goes on, as numbers for [`Follow::On`].
const PLAIN: usize = 0;
const DOTTED: usize = 1;
/// In the lines of a private key, behind up to four dashes.
const LINES: usize = 2;
/// In the kind of its last line.
const LAST: usize = LINES + DASHES.len();
/// Behind that, and behind up to four dashes.
const ENDING: usize = LAST + 1;

pub(super) fn find(range: Range<'_>) -> Seen {
    for start in range.from..range.to.min(range.text.len()) {
        let byte = range.bytes()[start];
        if byte == b'-' {
            let seen = private(&range, start);
            if seen != Seen::No {
                return seen;
            }
            continue;
        }
        if !byte.is_ascii_alphabetic() {
            continue;
        }
        // `task-list` has no key in it.
        let before = range.before(start);
        if before.is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            continue;
        }
        let seen = at(&range, start);
        if seen != Seen::No {
            return seen;
        }
    }
    Seen::No
}

fn at(range: &Range<'_>, start: usize) -> Seen {
    let rest = &range.bytes()[start..];
    let mut found = Seen::No;
    for Form(begin, least, dots) in &FORMS {
        if rest[0] != begin.as_bytes()[0] {
            continue;
        }
        if rest.len() < begin.len() {
            if !range.last && begin.as_bytes().starts_with(rest) {
                return Seen::Maybe(start);
            }
            continue;
        }
        if !rest.starts_with(begin.as_bytes()) {
            continue;
        }
        let length = length(&rest[begin.len()..], *dots);
        let end = start + begin.len() + length;
        if length < *least {
            if range.is_cut(end) {
                return Seen::Maybe(start);
            }
            continue;
        }
        let open = range
            .is_cut(end)
            .then_some(if *dots { DOTTED } else { PLAIN });
        found = Seen::Hit { start, end, open };
    }
    found
}

/// A private key: its first line, and all that may follow it.
fn private(range: &Range<'_>, start: usize) -> Seen {
    let rest = &range.text[start..];
    let cut = if range.last {
        Seen::No
    } else {
        Seen::Maybe(start)
    };
    let Some(line) = rest.strip_prefix(BEGIN) else {
        return if BEGIN.starts_with(rest) {
            cut
        } else {
            Seen::No
        };
    };
    let is_kind = |byte: &u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || *byte == b' ';
    let kind = line.bytes().take(KIND + 1).take_while(is_kind).count();
    let (kind, dashes) = line.split_at(kind);
    if kind.len() > KIND {
        return Seen::No;
    }
    if !dashes.starts_with(DASHES) {
        return if DASHES.starts_with(dashes) {
            cut
        } else {
            Seen::No
        };
    }
    if !PRIVATE.iter().any(|it| kind.ends_with(it)) {
        return Seen::No;
    }
    let lines = start + BEGIN.len() + kind.len() + DASHES.len();
    let (end, open) = match lines_end(LINES, &range.text[lines..]) {
        Follow::On(open) => (range.text.len(), (!range.last).then_some(open)),
        Follow::Ended(bytes) => (lines + bytes, None),
    };
    Seen::Hit { start, end, open }
}

pub(super) fn follow(open: usize, text: &str) -> Follow {
    if open >= LINES {
        return lines_end(open, text);
    }
    match length(text.as_bytes(), open == DOTTED) {
        all if all == text.len() => Follow::On(open),
        bytes => Follow::Ended(bytes),
    }
}

/// Finds the end of a private key: its last line, or what cannot be part of one.
fn lines_end(mut open: usize, text: &str) -> Follow {
    for (at, byte) in text.bytes().enumerate() {
        open = match (open, byte) {
            (ENDING.., b'-') if open + 1 == ENDING + DASHES.len() => return Follow::Ended(at + 1),
            (LINES.., b'-') if open != LAST => open + 1,
            (LAST, b'-') => ENDING + 1,
            (LAST, b'A'..=b'Z' | b'0'..=b'9' | b' ') => LAST,
            (LINES..LAST, byte) if is_of_lines(byte) => LINES,
            _ => return Follow::Ended(at),
        };
    }
    Follow::On(open)
}

/// Base 64, and what is in the lines before it, such as `Proc-Type: 4,ENCRYPTED`; line ends may be written as `\n`.
fn is_of_lines(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"+/=\r\n\t\\ :,.()".contains(&byte)
}

fn length(bytes: &[u8], dots: bool) -> usize {
    let is_part = |byte: &&u8| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-') || (dots && **byte == b'.')
    };
    bytes.iter().take_while(is_part).count()
}
