//! JSON for hot paths: writing text straight into a buffer, and looking at raw values without building a tree.
//!
//! Most of what a filter carries it does not need to understand. With `&RawValue` fields a piece of the input goes into
//! the output as it is, and a JSON string can be spliced into another without being unescaped: see [`string_inner`].

use std::borrow::Cow;
use std::fmt;

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
