//! A chunk of a streamed response, to read and to change.

use std::borrow::Cow;
use std::ops::Range;

use crate::json::{Document, Edits, Kind, Node};

/// A chunk of a chat, to read and to change. Whatever is not changed stays as it is written, members that nobody knows included.
///
/// A text is only what one chunk has of it: to look for words or patterns, use [`Deltas`](super::Deltas). To read without
/// changing anything, [`Streamed`](super::Streamed) is faster.
///
/// ```
/// use sluicegate_plugin::chat::Chunk;
/// let data = r#"{"id":"1","x":1.50,"choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":null}]}"#;
/// let mut chunk = Chunk::read(data).unwrap();
/// let choice = chunk.choices().next().unwrap();
/// let content = choice.text("content").unwrap();
/// assert_eq!((choice.index(), &*content.text, choice.finish_reason()), (0, "Hi", None));
/// chunk.set_text(&content, "HI");
/// assert_eq!(chunk.into_data().as_deref(), Some(data.replace("Hi", "HI").as_str()));
/// ```
#[derive(Clone, Debug)]
pub struct Chunk<'a> {
    document: Document<'a>,
    edits: Edits,
}

/// A choice of a chunk.
#[derive(Clone, Copy, Debug)]
pub struct ChunkChoice<'c, 'a> {
    document: &'c Document<'a>,
    node: &'c Node,
}

/// A text of a delta, and where it stands.
#[derive(Clone, Debug)]
pub struct ChunkText<'a> {
    /// The text.
    pub text: Cow<'a, str>,
    span: Range<usize>,
}

impl<'a> Chunk<'a> {
    /// Reads the data of an event; `None` if it is no chunk: an error, `[DONE]`, or something unknown.
    #[must_use]
    pub fn read(data: &'a str) -> Option<Self> {
        let document = Document::read(data)?;
        let root = document.root();
        let is_object = root.kind() == Kind::Object;
        let choices = is_object.then(|| document.member(root, "choices"))??;
        let error = document.member(root, "error");
        let is_error = error.is_some_and(|it| it.kind() != Kind::Null);
        (choices.kind() == Kind::Array && !is_error).then(|| Self {
            document,
            edits: Edits::default(),
        })
    }

    /// The choices; none in the chunk that has only the usage.
    pub fn choices(&self) -> impl Iterator<Item = ChunkChoice<'_, 'a>> {
        let document = &self.document;
        let choices = document.member(document.root(), "choices");
        let choices = choices.into_iter().flat_map(|it| document.children(it));
        let objects = choices.filter(|it| it.kind() == Kind::Object);
        objects.map(move |node| ChunkChoice { document, node })
    }

    /// A member as JSON text, such as `usage`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&'a str> {
        let value = self.document.member(self.document.root(), name)?;
        Some(self.document.raw(value))
    }

    /// Sets a member to JSON text.
    pub fn set(&mut self, name: &str, json: &str) {
        self.edits
            .set(&self.document, self.document.root(), name, json);
    }

    /// Replaces a text.
    pub fn set_text(&mut self, place: &ChunkText<'_>, text: &str) {
        self.edits.text(place.span.clone(), text);
    }

    /// The document, for what is not here, and its changes so far.
    pub fn parts(&mut self) -> (&Document<'a>, &mut Edits) {
        (&self.document, &mut self.edits)
    }

    /// The new data; `None` if nothing changes.
    #[must_use]
    pub fn into_data(self) -> Option<String> {
        self.edits.apply(self.document.source())
    }
}

impl<'c, 'a> ChunkChoice<'c, 'a> {
    /// Its number, from 0.
    #[must_use]
    pub fn index(&self) -> u32 {
        let index = self.document.member(self.node, "index");
        let index = index.and_then(|it| self.document.raw(it).parse().ok());
        index.unwrap_or(0)
    }

    /// Why it ends.
    #[must_use]
    pub fn finish_reason(&self) -> Option<Cow<'a, str>> {
        let reason = self.document.member(self.node, "finish_reason")?;
        self.document.text(reason)
    }

    /// A text of its delta, such as `content`, `reasoning` or `refusal`.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<ChunkText<'a>> {
        let delta = self.document.member(self.node, "delta")?;
        self.text_of(self.document.member(delta, name)?)
    }

    /// What it has of the arguments of tool calls, each with the number of its call.
    #[must_use]
    pub fn arguments(&self) -> Vec<(u32, ChunkText<'a>)> {
        let document = self.document;
        let delta = document.member(self.node, "delta");
        let calls = delta.and_then(|delta| document.member(delta, "tool_calls"));
        let calls = calls.into_iter().flat_map(|it| document.children(it));
        let arguments = |call: &Node| {
            let index = document.member(call, "index");
            let index = index.and_then(|it| document.raw(it).parse().ok());
            let function = document.member(call, "function")?;
            let text = self.text_of(document.member(function, "arguments")?)?;
            Some((index.unwrap_or(0), text))
        };
        calls.filter_map(arguments).collect()
    }

    /// Where it stands in the document.
    #[must_use]
    pub fn node(&self) -> &'c Node {
        self.node
    }

    fn text_of(&self, node: &Node) -> Option<ChunkText<'a>> {
        Some(ChunkText {
            text: self.document.text(node)?,
            span: node.span(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_is_read_and_changed_in_place() {
        let data = r#"{"choices":[{"index":2,"delta":{"reasoning":"r","tool_calls":[{"index":1,"function":{"arguments":"{\"a\""}}]},
            "finish_reason":"stop","x":[1]}],"usage":{"total_tokens":3}}"#;
        let mut chunk = Chunk::read(data).expect("a chunk");
        let choice = chunk.choices().next().expect("a choice");
        assert_eq!(
            (choice.index(), choice.finish_reason().as_deref()),
            (2, Some("stop"))
        );
        assert!(choice.text("content").is_none());
        let reasoning = choice.text("reasoning").expect("a text");
        let arguments = choice.arguments();
        assert_eq!((arguments[0].0, &*arguments[0].1.text), (1, "{\"a\""));
        assert_eq!(chunk.get("usage"), Some(r#"{"total_tokens":3}"#));
        chunk.set_text(&reasoning, "R");
        chunk.set_text(&arguments[0].1, "{\"b\"");
        chunk.set("usage", "null");
        let expected = data
            .replace("\"r\"", "\"R\"")
            .replace("\\\"a\\\"", "\\\"b\\\"")
            .replace("{\"total_tokens\":3}", "null");
        assert_eq!(chunk.into_data(), Some(expected));
    }

    #[test]
    fn other_events_are_no_chunks() {
        for data in [
            "[DONE]",
            "",
            "{}",
            "[]",
            r#"{"choices":null}"#,
            r#"{"choices":[],"error":{}}"#,
        ] {
            assert!(Chunk::read(data).is_none(), "{data}");
        }
        let chunk = Chunk::read(r#"{"choices":[],"error":null}"#).expect("a chunk");
        assert_eq!(chunk.choices().count(), 0);
        assert_eq!(chunk.into_data(), None);
    }
}
