//! JSON for hot paths: writing text straight into a buffer, and looking at raw values without building a tree.
//!
//! Most of what a filter carries it does not need to understand. With `&RawValue` fields a piece of the input goes into
//! the output as it is, and a JSON string can be spliced into another without being unescaped: see [`string_inner`].
//! Where a stream repeats itself, even that look can be spared: [`span`] says what surrounds a text, [`strip_prefix`],
//! [`strip_suffix`] and [`as_string_inner`] find the text of the next record in the same surroundings.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// Appends `text` as a JSON string, quotes included.
pub fn push_str(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    push_escaped(out, text);
    out.push(b'"');
}

/// Appends `text` with the escapes of a JSON string, without the quotes.
pub fn push_escaped(out: &mut Vec<u8>, text: &str) {
    let bytes = text.as_bytes();
    out.reserve(bytes.len());
    let mut start = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.extend_from_slice(&bytes[start..at]);
        start = at + 1;
        push_escape(out, byte);
    }
    out.extend_from_slice(&bytes[start..]);
}

fn push_escape(out: &mut Vec<u8>, byte: u8) {
    let short = match byte {
        b'"' => b'"',
        b'\\' => b'\\',
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        control => {
            const HEX: &[u8; 16] = b"0123456789abcdef";
            out.extend_from_slice(b"\\u00");
            out.push(HEX[usize::from(control >> 4)]);
            out.push(HEX[usize::from(control & 15)]);
            return;
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}

/// Appends a whole number in decimal.
pub fn push_u64(out: &mut Vec<u8>, mut number: u64) {
    // 20 digits hold the largest u64.
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + u8::try_from(number % 10).expect("a digit");
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// What kind of JSON value a raw value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `null`
    Null,
    /// `true` or `false`
    Bool,
    /// A number.
    Number,
    /// A string.
    String,
    /// An array.
    Array,
    /// An object.
    Object,
}

impl Kind {
    /// The kind of `raw`, from its first character.
    pub fn of(raw: &RawValue) -> Self {
        match raw.get().as_bytes().first() {
            Some(b'"') => Self::String,
            Some(b'{') => Self::Object,
            Some(b'[') => Self::Array,
            Some(b't' | b'f') => Self::Bool,
            Some(b'n') | None => Self::Null,
            Some(_) => Self::Number,
        }
    }

    /// The kind with its article, for messages: `a string`, `an object`.
    pub fn with_article(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool => "a boolean",
            Self::Number => "a number",
            Self::String => "a string",
            Self::Array => "an array",
            Self::Object => "an object",
        }
    }
}

/// What stands between the quotes of a raw JSON string, escapes and all; `None` if `raw` is not a string.
///
/// Such pieces can be appended to each other and put between new quotes: the result is again a JSON string.
pub fn string_inner(raw: &RawValue) -> Option<&str> {
    raw.get().strip_prefix('"')?.strip_suffix('"')
}

/// The octets as the inside of a JSON string, escapes and all; `None` unless they are one: UTF-8 without a bare quote, a
/// control character, or an escape that JSON does not have.
///
/// Takes exactly what may stand between the quotes of a `RawValue`: half of a surrogate pair (`\ud800`) too.
pub fn as_string_inner(octets: &[u8]) -> Option<&str> {
    let mut at = 0;
    while let Some(&octet) = octets.get(at) {
        at += match octet {
            ..0x20 | b'"' => return None,
            b'\\' => escape_length(&octets[at..])?,
            _ => 1,
        };
    }
    std::str::from_utf8(octets).ok()
}

/// The length of the escape that `octets` begin with, from its backslash.
fn escape_length(octets: &[u8]) -> Option<usize> {
    match octets.get(1)? {
        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(2),
        b'u' => {
            let digits = octets.get(2..6)?;
            digits.iter().all(u8::is_ascii_hexdigit).then_some(6)
        }
        _ => None,
    }
}

/// What follows `prefix` in `octets`; `None` unless they begin with it.
///
/// Does what the slice's own method does, but in the sandbox that one compares octet by octet, this eight at a time.
pub fn strip_prefix<'a>(octets: &'a [u8], prefix: &[u8]) -> Option<&'a [u8]> {
    let (start, rest) = octets.split_at_checked(prefix.len())?;
    same(start, prefix).then_some(rest)
}

/// What is before `suffix` in `octets`; `None` unless they end with it. See [`strip_prefix`].
pub fn strip_suffix<'a>(octets: &'a [u8], suffix: &[u8]) -> Option<&'a [u8]> {
    let (rest, end) = octets.split_at_checked(octets.len().checked_sub(suffix.len())?)?;
    same(end, suffix).then_some(rest)
}

/// Whether two slices are the same.
fn same(a: &[u8], b: &[u8]) -> bool {
    let ((a_words, a_rest), (b_words, b_rest)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    let words = |words: &[u8; 8]| u64::from_ne_bytes(*words);
    a_words.iter().map(words).eq(b_words.iter().map(words)) && a_rest.iter().eq(b_rest)
}

/// Where in `text` a value stands that was borrowed from it; `None` for any other value.
pub fn span(text: &[u8], raw: &RawValue) -> Option<Range<usize>> {
    let value = raw.get().as_bytes();
    let start = value.as_ptr().addr().checked_sub(text.as_ptr().addr())?;
    let end = start.checked_add(value.len())?;
    (end <= text.len()).then_some(start..end)
}

/// The text of a raw JSON string, borrowed if it has no escapes; `None` if `raw` is not a string, or has an escape that is
/// no character (a lone surrogate).
pub fn text(raw: &RawValue) -> Option<Cow<'_, str>> {
    let inner = string_inner(raw)?;
    if inner.contains('\\') {
        serde_json::from_str(raw.get()).ok().map(Cow::Owned)
    } else {
        Some(Cow::Borrowed(inner))
    }
}

/// A string that borrows from the input where it can. (A bare `Cow` field copies unless it is marked
/// `#[serde(borrow)]`, and inside `Vec` or `Option` it always copies.)
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Text<'a>(#[serde(borrow)] pub Cow<'a, str>);

/// The members of a JSON object in their order, values untouched. A name that is there twice is in the list twice.
#[derive(Clone, Debug, Default)]
pub struct Members<'a>(pub Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;

        impl<'de> Visitor<'de> for Collect {
            type Value = Vec<(Cow<'de, str>, &'de RawValue)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                // A chat request rarely has more.
                let mut members = Vec::with_capacity(16);
                while let Some(Text(name)) = map.next_key()? {
                    members.push((name, map.next_value()?));
                }
                Ok(members)
            }
        }

        deserializer.deserialize_map(Collect).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> &RawValue {
        serde_json::from_str(text).expect("JSON")
    }

    #[test]
    fn escaped_text_reads_back_as_it_was() {
        let every: String = (0u8..=0x7f)
            .map(char::from)
            .chain("é漢😀\u{2028}".chars())
            .collect();
        let mut out = Vec::new();
        push_str(&mut out, &every);
        assert_eq!(serde_json::from_slice::<String>(&out).expect("JSON"), every);
    }

    #[test]
    fn numbers_are_decimal() {
        let mut out = Vec::new();
        for number in [0, 7, 10, 1_234_567_890, u64::MAX] {
            push_u64(&mut out, number);
            out.push(b' ');
        }
        assert_eq!(out, b"0 7 10 1234567890 18446744073709551615 ");
    }

    #[test]
    fn kind_is_told_by_the_first_character() {
        let cases = [
            ("null", Kind::Null),
            ("true", Kind::Bool),
            ("false", Kind::Bool),
            ("-1.5", Kind::Number),
            ("\"\"", Kind::String),
            ("[]", Kind::Array),
            ("{}", Kind::Object),
        ];
        for (text, kind) in cases {
            assert_eq!(Kind::of(raw(text)), kind, "{text}");
            assert!(!kind.with_article().is_empty());
        }
    }

    #[test]
    fn text_borrows_unless_there_are_escapes() {
        assert!(matches!(
            text(raw("\"plain\"")),
            Some(Cow::Borrowed("plain"))
        ));
        assert_eq!(text(raw(r#""a\n\"b\"""#)).as_deref(), Some("a\n\"b\""));
        assert_eq!(text(raw("1")), None);
        assert_eq!(text(raw(r#""\ud800""#)), None);
        assert_eq!(string_inner(raw(r#""a\n""#)), Some("a\\n"));
    }

    #[test]
    fn the_inside_of_a_string_is_what_a_raw_value_takes_between_quotes() {
        // Every sequence of up to four of these: a whole escape, its halves, controls, quotes, and UTF-8 whole and cut.
        let pieces: [&[u8]; 17] = [
            b"", b"a", b"\"", b"\\", b"\n", b"\x1f", b"\x7f", b"n", b"/", b"\\u", b"00", b"0",
            b"g", b"\\ud800", b"\xc3", b"\xa9", b" ",
        ];
        let mut taken = 0;
        for picks in 0..pieces.len().pow(4) {
            let mut inner = Vec::new();
            let mut rest = picks;
            while rest > 0 {
                inner.extend_from_slice(pieces[rest % pieces.len()]);
                rest /= pieces.len();
            }
            let quoted = [b"\"", inner.as_slice(), b"\""].concat();
            let raw = std::str::from_utf8(&quoted)
                .ok()
                .and_then(|text| serde_json::from_str::<&RawValue>(text).ok());
            let found = as_string_inner(&inner);
            assert_eq!(found, raw.and_then(string_inner), "{inner:?}");
            taken += usize::from(found.is_some());
        }
        assert!(taken > 1000, "{taken}");
    }

    #[test]
    fn both_ends_are_stripped_as_the_slices_methods_strip_them() {
        let text = b"0123456789abcdefghijklmnop";
        for length in 0..=text.len() {
            let (prefix, suffix) = (&text[..length], &text[text.len() - length..]);
            assert_eq!(strip_prefix(text, prefix), text.strip_prefix(prefix));
            assert_eq!(strip_suffix(text, suffix), text.strip_suffix(suffix));
            for at in 0..length {
                let (mut prefix, mut suffix) = (prefix.to_vec(), suffix.to_vec());
                prefix[at] ^= 1;
                suffix[at] ^= 0x80;
                assert_eq!(strip_prefix(text, &prefix), None);
                assert_eq!(strip_suffix(text, &suffix), None);
            }
        }
        assert_eq!(strip_prefix(&text[..9], text), None);
        assert_eq!(strip_suffix(&text[..9], text), None);
    }

    #[test]
    fn a_borrowed_value_is_found_in_its_text() {
        let text = r#" {"a": [1, "b"] } "#;
        let Members(members) = serde_json::from_str(text).expect("JSON");
        let span_of = |text: &str| span(text.as_bytes(), members[0].1);
        assert_eq!(span_of(text).map(|span| &text[span]), Some(r#"[1, "b"]"#));
        assert_eq!(span_of(&text[..8]), None);
        assert_eq!(span_of(&text[9..]), None);
    }

    #[test]
    fn members_keep_their_order_and_their_text() {
        let Members(members) =
            serde_json::from_str(r#" {"a": 1.50, "\u0062": [ 1 ], "a": null} "#).expect("JSON");
        let members: Vec<_> = members
            .iter()
            .map(|(name, raw)| (&**name, raw.get()))
            .collect();
        assert_eq!(members, [("a", "1.50"), ("b", "[ 1 ]"), ("a", "null")]);
        assert!(serde_json::from_str::<Members<'_>>("[]").is_err());
    }

    #[test]
    fn text_newtype_borrows() {
        let Text(cow) = serde_json::from_str("\"x\"").expect("JSON");
        assert!(matches!(cow, Cow::Borrowed("x")));
    }
}
