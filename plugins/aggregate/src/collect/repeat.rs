//! The quick way for the chunk that nearly every chunk is: the same as the one before, but for its piece of content.
//!
//! A chunk of one token is ten times as long as the token. What surrounds the content was parsed once; if the next chunk has
//! the very same octets around a plain string, parsing it again would say nothing new.

use serde_json::value::RawValue;

use crate::chunk::{Chunk, Delta};

/// What surrounds the content of a chunk that says nothing else.
#[derive(Debug)]
pub(super) struct Frame {
    before: String,
    after: String,
    /// The choice that the content belongs to.
    pub(super) index: u32,
}

impl Frame {
    /// The frame of a chunk, or `None` if taking it twice would do more than append its content twice. `text` is what the
    /// chunk was parsed from.
    pub(super) fn of(text: &str, chunk: &Chunk<'_>) -> Option<Self> {
        let [choice] = chunk.choices.as_slice() else {
            return None;
        };
        if choice.finish_reason.is_some() || choice.logprobs.is_some() {
            return None;
        }
        let Some(Delta {
            content: Some(content),
            refusal: None,
            tool_calls: None,
            extra,
        }) = &choice.delta
        else {
            return None;
        };
        if !extra.is_empty() {
            return None;
        }
        let start = offset(text, content)?;
        let end = start + content.get().len();
        Some(Self {
            before: text.get(..start)?.to_owned(),
            after: text.get(end..)?.to_owned(),
            index: choice.index,
        })
    }

    /// The inside of the content, if `data` is this frame around a string without escapes.
    pub(super) fn content<'a>(&self, data: &'a [u8]) -> Option<&'a str> {
        let rest = data.strip_prefix(self.before.as_bytes())?;
        let string = rest.strip_suffix(self.after.as_bytes())?;
        let inner = string.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
        if inner.iter().any(|&b| b < 0x20 || b == b'"' || b == b'\\') {
            return None;
        }
        std::str::from_utf8(inner).ok()
    }
}

/// Where a value that was borrowed from `text` begins in it.
fn offset(text: &str, value: &RawValue) -> Option<usize> {
    (value.get().as_ptr() as usize).checked_sub(text.as_ptr() as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(text: &str) -> Option<Frame> {
        Frame::of(text, &serde_json::from_str(text).expect("a chunk"))
    }

    const CHUNK: &str =
        r#"{"id":"a","choices":[{"index":2,"delta":{"content":"x"},"finish_reason":null}],"k":1}"#;

    #[test]
    fn only_a_plain_string_in_the_same_frame_is_taken() {
        let frame = frame(CHUNK).expect("a frame");
        assert_eq!(frame.index, 2);
        let with = |content: &str| CHUNK.replace("\"x\"", content);
        for plain in ["", "y", "漢 😀", "}]:,{"] {
            let data = with(&format!("\"{plain}\""));
            assert_eq!(frame.content(data.as_bytes()), Some(plain));
        }
        for other in [
            "null",
            "\"a\\n\"",
            "\"",
            "\"\"\"",
            "\"a\",\"b\":\"\"",
            "\"a\u{1}\"",
            "5",
            "",
        ] {
            assert_eq!(frame.content(with(other).as_bytes()), None, "{other}");
        }
        assert_eq!(
            frame.content(CHUNK.replace("\"a\"", "\"b\"").as_bytes()),
            None
        );
        assert_eq!(frame.content(CHUNK.replace(":1}", ":2}").as_bytes()), None);
        let cut = with("\"\u{e9}\"").replace('\u{e9}', "z").into_bytes();
        let bad: Vec<u8> = cut
            .iter()
            .map(|&b| if b == b'z' { 0xff } else { b })
            .collect();
        assert_eq!(frame.content(&bad), None);
    }

    #[test]
    fn a_chunk_that_says_more_makes_no_frame() {
        for delta in [
            r#"{"content":"x","reasoning":"r"}"#,
            r#"{"content":"x","refusal":"r"}"#,
            r#"{"content":"x","tool_calls":[]}"#,
            r#"{"content":null}"#,
            "{}",
            "null",
        ] {
            let text = CHUNK.replace(r#"{"content":"x"}"#, delta);
            assert!(frame(&text).is_none(), "{delta}");
        }
        assert!(frame(&CHUNK.replace("null", "\"stop\"")).is_none());
        assert!(frame(&CHUNK.replace("\"index\"", "\"logprobs\":{},\"index\"")).is_none());
        assert!(frame(r#"{"choices":[]}"#).is_none());
        assert!(
            frame(r#"{"choices":[{"delta":{"content":"x"}},{"delta":{"content":"x"}}]}"#).is_none()
        );
    }
}
