//! Canonical requests: what the gateway itself reads from a request in OpenAI's form.

use std::fmt;
use std::ops::Range;

use http::Method;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Members at the top level of a canonical request.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Top {
    /// `model` as JSON text, if it is a string.
    pub model: Option<String>,
    /// Where it is in the body.
    pub model_at: Range<usize>,
    /// Whether `stream` is `true`.
    pub stream: bool,
}

/// A member appears twice at the top level: two readers might take different values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Duplicate(pub &'static str);

/// The paths of requests in OpenAI's form, with `model` at their top level.
pub const PATHS: [&str; 4] = [
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/embeddings",
    "/v1/chat/completions/input_tokens",
];

/// Whether a request is in OpenAI's form, with `model` at its top level.
#[must_use]
pub fn is_canonical(method: &Method, path: &str) -> bool {
    *method == Method::POST && PATHS.contains(&path)
}

/// Whether a request can be answered with a stream of events.
#[must_use]
pub fn can_stream(method: &Method, path: &str) -> bool {
    *method == Method::POST && matches!(path, "/v1/chat/completions" | "/v1/completions")
}

/// Whether a body counts as JSON: it begins with `{` and its content type is not a form's. Otherwise the content type does not
/// matter, since many clients send none, or a wrong one.
#[must_use]
pub fn is_json(content_type: Option<&[u8]>, begin: &[u8]) -> bool {
    let form = content_type.is_some_and(|value| {
        value
            .trim_ascii_start()
            .get(..10)
            .is_some_and(|begin| begin.eq_ignore_ascii_case(b"multipart/"))
    });
    !form && without_mark(begin).trim_ascii_start().first() == Some(&b'{')
}

/// A body without the byte order mark that some clients put before it.
pub(crate) fn without_mark(body: &[u8]) -> &[u8] {
    body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body)
}

/// Reads the top level of a body; `None` if it is not a JSON object.
///
/// # Errors
/// [`Duplicate`] if `model` or `stream` appears twice.
pub fn top(body: &[u8]) -> Result<Option<Top>, Duplicate> {
    let mut duplicate = None;
    let begin = body.as_ptr().addr();
    let mut deserializer = serde_json::Deserializer::from_slice(without_mark(body));
    let seed = TopSeed {
        duplicate: &mut duplicate,
        begin,
    };
    let top = seed
        .deserialize(&mut deserializer)
        .and_then(|top| deserializer.end().map(|()| top));
    match (duplicate, top) {
        (Some(name), Ok(_)) => Err(Duplicate(name)),
        (_, top) => Ok(top.ok()),
    }
}

/// A body with another model, given as JSON text; `None` if it is not a JSON object with a `model` that is a string.
///
/// Nothing else of it changes.
#[must_use]
pub fn with_model(body: &[u8], model: &str) -> Option<Vec<u8>> {
    let top = top(body).ok()??;
    top.model?;
    let (before, rest) = body.split_at_checked(top.model_at.start)?;
    let after = rest.get(top.model_at.len()..)?;
    Some([before, model.as_bytes(), after].concat())
}

struct TopSeed<'d> {
    duplicate: &'d mut Option<&'static str>,
    /// The address of the body's first byte.
    begin: usize,
}

impl<'de> DeserializeSeed<'de> for TopSeed<'_> {
    type Value = Top;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Top, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for TopSeed<'_> {
    type Value = Top;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Top, A::Error> {
        let mut top = Top::default();
        let (mut models, mut streams) = (0, 0);
        while let Some(name) = map.next_key_seed(NameSeed)? {
            match name {
                Name::Model => {
                    let value: &RawValue = map.next_value()?;
                    models += 1;
                    // What is raw is a part of the body itself.
                    let start = value.get().as_ptr().addr() - self.begin;
                    top.model_at = start..start + value.get().len();
                    top.model = value.get().starts_with('"').then(|| value.get().to_owned());
                }
                Name::Stream => {
                    let value: &RawValue = map.next_value()?;
                    streams += 1;
                    top.stream = value.get() == "true";
                }
                Name::Other => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        if models > 1 {
            *self.duplicate = Some("model");
        } else if streams > 1 {
            *self.duplicate = Some("stream");
        }
        Ok(top)
    }
}

enum Name {
    Model,
    Stream,
    Other,
}

struct NameSeed;

impl<'de> DeserializeSeed<'de> for NameSeed {
    type Value = Name;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Name, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for NameSeed {
    type Value = Name;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Name, E> {
        Ok(match name {
            "model" => Name::Model,
            "stream" => Name::Stream,
            _ => Name::Other,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<Top> {
        top(text.as_bytes()).expect("no duplicate")
    }

    #[test]
    fn model_and_stream_are_read_from_the_top_level_alone() {
        let text = r#"{"messages":[{"model":"no","stream":true}],"model":"a\"b","stream":false}"#;
        let top = read(text).expect("an object");
        assert_eq!(
            (top.model.as_deref(), top.stream),
            (Some(r#""a\"b""#), false)
        );
        assert_eq!(&text[top.model_at], r#""a\"b""#);
        let top = read(r#"{"stream":true}"#).expect("an object");
        assert_eq!((top.model, top.stream), (None, true));
        let marked = read("\u{feff}{\"stream\":true}").expect("an object");
        assert!(marked.stream);
        let odd = read(r#"{"model":7,"stream":"true"}"#).expect("an object");
        assert_eq!((odd.model, odd.stream), (None, false));
    }

    #[test]
    fn a_model_is_replaced_where_it_is_and_nothing_else_changes() {
        let with = |body: &str, model| with_model(body.as_bytes(), model);
        let body = "\u{feff} {\"a\":{\"model\":\"x\"}, \"mo\\u0064el\" : \"你好\" ,\"n\":1.0}\n";
        let expected = body.replace("\"你好\"", "\"qwen3:32b\"");
        assert_eq!(with(body, "\"qwen3:32b\""), Some(expected.into_bytes()));
        for body in [
            "{}",
            "[]",
            "",
            "{\"model\":7}",
            "{\"model\":\"a\",\"model\":\"b\"}",
        ] {
            assert_eq!(with(body, "\"m\""), None, "{body}");
        }
    }

    #[test]
    fn what_is_no_object_has_no_top_level() {
        for text in ["", "[]", "{", r#"{"model":"m"} x"#, "null"] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn a_duplicate_is_named_in_whatever_spelling() {
        assert_eq!(
            top(br#"{"model":"a","mo\u0064el":"b"}"#),
            Err(Duplicate("model"))
        );
        assert_eq!(
            top(br#"{"stream":true,"stream":false}"#),
            Err(Duplicate("stream"))
        );
        assert_eq!(read(r#"{"model":"a","model":"b""#), None, "not JSON at all");
    }

    #[test]
    fn a_body_is_json_by_its_first_byte_unless_it_is_a_form() {
        assert!(is_json(None, b" \r\n\t{\"a\":1}"));
        assert!(is_json(Some(b"text/plain"), b"{"));
        assert!(!is_json(Some(b"Multipart/Form-Data; boundary=x"), b"{"));
        assert!(!is_json(Some(b"application/json"), b"[1]"));
        assert!(!is_json(None, b""));
        assert!(is_json(None, b"\xef\xbb\xbf {"));
    }
}
