//! Reads single values from a JSON text without building a tree in memory.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// The JSON text at a JSON Pointer (RFC 6901); `None` if there is nothing there, or if the text is not JSON.
///
/// Of members with the same name the last one counts, as in most parsers. The work is linear in the text.
#[must_use]
pub fn at<'a>(text: &'a [u8], pointer: &str) -> Option<&'a str> {
    let text = crate::canonical::without_mark(text);
    let mut value: &'a RawValue = serde_json::from_slice(text).ok()?;
    let mut tokens = pointer.split('/');
    // A pointer is empty or begins with `/`.
    if tokens.next() != Some("") {
        return None;
    }
    for token in tokens {
        let token = token.replace("~1", "/").replace("~0", "~");
        value = child(value.get(), &token)?;
    }
    Some(value.get())
}

/// A member of an object or an item of an array.
fn child<'a>(text: &'a str, token: &str) -> Option<&'a RawValue> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    match text.as_bytes().first()? {
        b'{' => deserializer.deserialize_map(Member(token)).ok()?,
        b'[' => {
            // No signs and no leading zeros.
            let index: usize = token.parse().ok()?;
            if index.to_string() != token {
                return None;
            }
            deserializer.deserialize_seq(Item(index)).ok()?
        }
        _ => None,
    }
}

struct Member<'t>(&'t str);

impl<'de> Visitor<'de> for Member<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(same) = map.next_key_seed(Same(self.0))? {
            if same {
                found = Some(map.next_value()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

struct Item(usize);

impl<'de> Visitor<'de> for Item {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        for _ in 0..self.0 {
            if items.next_element::<IgnoredAny>()?.is_none() {
                return Ok(None);
            }
        }
        let found = items.next_element()?;
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(found)
    }
}

/// Whether a member's name is this one, without a copy of it.
pub(crate) struct Same<'t>(pub(crate) &'t str);

impl<'de> DeserializeSeed<'de> for Same<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Same<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<bool, E> {
        Ok(name == self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::at;

    #[test]
    fn a_pointer_finds_members_and_items() {
        let text = br#" {"a":{"b":[1, {"c" : "d"}, null]}, "x/y":2, "m~n":3, "":4, "twice":1, "twice":2} "#;
        for (pointer, found) in [
            ("/a/b/0", Some("1")),
            ("/a/b/1", Some(r#"{"c" : "d"}"#)),
            ("/a/b/1/c", Some("\"d\"")),
            ("/a/b/2", Some("null")),
            ("/a/b/3", None),
            ("/a/b/01", None),
            ("/a/b/-1", None),
            ("/a/b/+1", None),
            ("/a/b/-", None),
            ("/a/b/0/x", None),
            ("/x~1y", Some("2")),
            ("/m~0n", Some("3")),
            ("/", Some("4")),
            ("/twice", Some("2")),
            ("/none", None),
            ("a", None),
        ] {
            assert_eq!(at(text, pointer), found, "{pointer}");
        }
        assert_eq!(at(b" [1] ", ""), Some("[1]"));
    }

    #[test]
    fn what_is_not_json_has_nothing() {
        for text in ["", "{", r#"{"a":1"#, r#"{"a":1}x"#, "{'a':1}"] {
            assert_eq!(at(text.as_bytes(), "/a"), None, "{text}");
        }
        assert_eq!(at(b"{\"a\":\"\xff\"}", "/a"), None);
    }

    #[test]
    fn an_escaped_name_is_the_same_name() {
        assert_eq!(at(br#"{"\u0061":1}"#, "/a"), Some("1"));
    }
}
