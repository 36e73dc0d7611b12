//! Removes a model server's internals from messages: addresses, paths and keys that clients must not see.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

/// The beginnings of keys, of model servers and hosted providers.
const KEYS: [&str; 4] = ["sk-", "hf_", "gsk_", "xai-"];

/// A shorter word is no key.
const KEY_LENGTH: usize = 12;

/// A message without the addresses and the paths of files in it, such as those in `dial tcp 10.0.0.7:11434: connection refused`
/// and in `open /root/.ollama/models/blobs/sha256-1: no such file`, and without keys, which some servers repeat. Everything else is
/// left as it is.
#[must_use]
pub fn without_internals(text: &str) -> Cow<'_, str> {
    let mut out = String::new();
    let mut copied = 0;
    let mut before = "";
    for (start, word) in words(text) {
        let is_key = before.eq_ignore_ascii_case("bearer") && word.len() >= KEY_LENGTH;
        before = word;
        let instead = if is_key { Some("[key]") } else { instead(word) };
        let Some(instead) = instead else {
            continue;
        };
        out.push_str(&text[copied..start]);
        out.push_str(instead);
        copied = start + word.len();
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    out.push_str(&text[copied..]);
    Cow::Owned(out)
}

/// The words with their positions, without the punctuation around them.
fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let ends = |c: char| c.is_whitespace() || "\"'`(){}<>,;=".contains(c);
    text.split(ends).filter_map(move |word| {
        let start = word.as_ptr().addr() - text.as_ptr().addr();
        let word = word.trim_end_matches([':', '.', '!', '?']);
        (!word.is_empty()).then_some((start, word))
    })
}

fn instead(word: &str) -> Option<&'static str> {
    if word.contains("://") || is_address(word) {
        return Some("[address]");
    }
    if word.len() >= KEY_LENGTH && KEYS.iter().any(|begin| word.starts_with(begin)) {
        return Some("[key]");
    }
    let drive = word.as_bytes().get(1..3) == Some(b":\\");
    let absolute = word.len() > 1 && word.starts_with('/');
    (drive || absolute).then_some("[path]")
}

fn is_address(word: &str) -> bool {
    if word.parse::<SocketAddr>().is_ok() || word.parse::<IpAddr>().is_ok() {
        return true;
    }
    // A name with a port. The tag of a model does not consist of that many digits.
    let Some((host, port)) = word.rsplit_once(':') else {
        return false;
    };
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'-';
    let port_like = (4..=5).contains(&port.len()) && port.bytes().all(|byte| byte.is_ascii_digit());
    port_like && !host.is_empty() && host.bytes().all(legal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_paths_are_taken_out() {
        for (text, without) in [
            (
                "dial tcp 10.0.0.7:11434: connect: connection refused",
                "dial tcp [address]: connect: connection refused",
            ),
            (
                "Post \"http://127.0.0.1:41723/completion\": EOF",
                "Post \"[address]\": EOF",
            ),
            (
                "open /root/.ollama/models/blobs/sha256-1: no such file or directory",
                "open [path]: no such file or directory",
            ),
            (
                "lookup gpu-7.internal:8000 failed",
                "lookup [address] failed",
            ),
            (
                "at [::1]:8080, and fe80::1.",
                "at [address], and [address].",
            ),
            ("C:\\Users\\me\\model is missing", "[path] is missing"),
            ("模型 /data/模型 不存在", "模型 [path] 不存在"),
            (
                "bad header authorization: Bearer abcdef-123456, sorry",
                "bad header authorization: Bearer [key], sorry",
            ),
            (
                "Incorrect API key provided: sk-upstream-secret.",
                "Incorrect API key provided: [key].",
            ),
        ] {
            assert_eq!(without_internals(text), without);
        }
    }

    #[test]
    fn everything_else_is_left_as_it_is() {
        for text in [
            "model 'qwen3:32b' not found, try pulling it first",
            "model requires more system memory (12.5 GiB) than is available (7.9 GiB)",
            "the temperature must be between 0 and/or 2",
            "hf.co/Qwen/Qwen3-32B:Q4_K_M does not support tools",
            "at 12:30 version 0.13.0 / 7",
            "the bearer of sk-1 is unknown",
            "",
        ] {
            assert!(matches!(without_internals(text), Cow::Borrowed(same) if same == text));
        }
    }
}
