//! The fast path for most chunks: those that differ from the previous one only in their text.
//!
//! A chunk of one token is ten times as long as the token. What surrounds the text was parsed once; if the next chunk has the
//! same bytes around another string, parsing it again would yield nothing new.

use serde_json::value::RawValue;
use sluicegate_plugin::json::{self, Kind};

use crate::chunk::{Chunk, Delta, Extra};

/// What surrounds the text of a chunk with nothing else. The quotes of the text belong to the frame.
#[derive(Debug)]
pub(super) struct Frame {
    before: String,
    after: String,
    /// The choice that the text belongs to.
    pub(super) index: u32,
    /// The member of the text, if it is not the content: thoughts, under any of their names.
    pub(super) name: Option<String>,
}

impl Frame {
    /// The frame of a chunk, or `None` if repeating the chunk would do more than append its text again. `data` is the chunk's
    /// JSON.
    pub(super) fn of(data: &str, chunk: &Chunk<'_>) -> Option<Self> {
        let [choice] = chunk.choices.as_slice() else {
            return None;
        };
        if choice.finish_reason.is_some() || choice.logprobs.is_some() || chunk.usage.is_some() {
            return None;
        }
        // `null` adds nothing.
        if choice.text.is_some()
            || choice
                .token_ids
                .is_some_and(|raw| Kind::of(raw) != Kind::Null)
        {
            return None;
        }
        if has_twins(&chunk.extra) || has_twins(&choice.extra) {
            return None;
        }
        let (name, text) = only_text(choice.delta.as_ref()?)?;
        let span = json::span(data, text)?;
        json::string_inner(text)?;
        Some(Self {
            before: data[..=span.start].to_owned(),
            after: data[span.end - 1..].to_owned(),
            index: choice.index,
            name: name.map(str::to_owned),
        })
    }

    /// The inside of the text, if `data` is this frame around a text.
    pub(super) fn text<'a>(&self, data: &'a str) -> Option<&'a str> {
        let rest = json::strip_prefix(data, &self.before)?;
        json::as_string_inner(json::strip_suffix(rest, &self.after)?)
    }
}

/// The value of a delta with only one, and its name if it is not the content.
fn only_text<'c>(delta: &'c Delta<'_>) -> Option<(Option<&'c str>, &'c RawValue)> {
    if delta.refusal.is_some() || delta.tool_calls.is_some() {
        return None;
    }
    match (delta.content, delta.extra.as_slice()) {
        (Some(content), []) => Some((None, content)),
        // Some servers send an empty content with the thoughts.
        (None, [(name, text)]) => Some((Some(name), text)),
        (Some(content), [(name, text)]) if content.get() == "\"\"" => Some((Some(name), text)),
        (_, _) => None,
    }
}

/// Whether a name occurs twice: the two would replace each other each time.
fn has_twins(members: &Extra<'_>) -> bool {
    let mut rest = members.as_slice();
    while let [(name, _), after @ ..] = rest {
        if after.iter().any(|(other, _)| other == name) {
            return true;
        }
        rest = after;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(text: &str) -> Option<Frame> {
        let chunk = serde_json::from_str(text).expect("a chunk");
        Frame::of(text, &chunk)
    }

    const CHUNK: &str =
        r#"{"id":"a","choices":[{"index":2,"delta":{"content":"x"},"finish_reason":null}],"k":1}"#;

    #[test]
    fn only_a_string_in_the_same_frame_is_taken() {
        let frame = frame(CHUNK).expect("a frame");
        assert_eq!((frame.index, &frame.name), (2, &None));
        let with = |content: &str| CHUNK.replace("\"x\"", content);
        for text in ["", "y", "漢 😀", "}]:,{", r#"\"\\\n\u003c"#] {
            let data = with(&format!("\"{text}\""));
            assert_eq!(frame.text(&data), Some(text));
        }
        for other in [
            "null",
            "\"",
            "\"\"\"",
            r#""a","b":"""#,
            "\"a\u{1}\"",
            "5",
            "",
        ] {
            assert_eq!(frame.text(&with(other)), None, "{other}");
        }
        for other in [CHUNK.replace("\"a\"", "\"b\""), CHUNK.replace(":1}", ":2}")] {
            assert_eq!(frame.text(&other), None, "{other}");
        }
    }

    #[test]
    fn thoughts_have_a_frame_under_their_name() {
        for delta in [
            r#"{"reasoning":"x"}"#,
            r#"{"role":"assistant","reasoning":"x","content":null}"#,
            r#"{"content":"","reasoning":"x"}"#,
        ] {
            let text = CHUNK.replace(r#"{"content":"x"}"#, delta);
            let frame = frame(&text).expect("a frame");
            assert_eq!(frame.name.as_deref(), Some("reasoning"));
            let next = text.replace("\"x\"", "\"y\"");
            assert_eq!(frame.text(&next), Some("y"));
        }
    }

    #[test]
    fn a_chunk_that_says_more_makes_no_frame() {
        for delta in [
            r#"{"content":"x","reasoning":"r"}"#,
            r#"{"content":"x","refusal":"r"}"#,
            r#"{"content":"x","tool_calls":[]}"#,
            r#"{"content":null}"#,
            r#"{"content":{}}"#,
            r#"{"a":"x","b":"y"}"#,
            r#"{"a":1}"#,
            "{}",
            "null",
        ] {
            let text = CHUNK.replace(r#"{"content":"x"}"#, delta);
            assert!(frame(&text).is_none(), "{delta}");
        }
        for (part, more) in [
            ("null", "\"stop\""),
            ("\"index\"", "\"token_ids\":[1],\"index\""),
            ("\"index\"", "\"text\":\"t\",\"index\""),
            ("\"index\"", "\"logprobs\":{},\"index\""),
            ("\"k\":1", "\"usage\":{}"),
            ("\"k\":1", "\"k\":1,\"k\":2"),
            ("\"index\"", "\"k\":1,\"k\":2,\"index\""),
        ] {
            assert!(frame(&CHUNK.replace(part, more)).is_none(), "{more}");
        }
        assert!(frame(r#"{"choices":[]}"#).is_none());
        assert!(
            frame(r#"{"choices":[{"delta":{"content":"x"}},{"delta":{"content":"x"}}]}"#).is_none()
        );
    }
}
