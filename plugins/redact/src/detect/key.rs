//! Keys of APIs, by the beginnings that their services give them. A key ends where its alphabet ends: however long it is, all of
//! it is found.
//!
//! # Source
//! The documentation of the services on secret scanning and on their keys, November 2026.

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

/// The longest beginning with the longest least length is shorter.
pub(super) const LIMIT: usize = 48;

pub(super) fn find(range: Range<'_>) -> Seen {
    for start in range.from..range.to.min(range.text.len()) {
        let byte = range.bytes()[start];
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
        let open = range.is_cut(end).then_some(usize::from(*dots));
        found = Seen::Hit { start, end, open };
    }
    found
}

pub(super) fn follow(open: usize, text: &str) -> Follow {
    match length(text.as_bytes(), open == 1) {
        all if all == text.len() => Follow::On(open),
        bytes => Follow::Ended(bytes),
    }
}

fn length(bytes: &[u8], dots: bool) -> usize {
    let is_part = |byte: &&u8| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-') || (dots && **byte == b'.')
    };
    bytes.iter().take_while(is_part).count()
}
