//! A JSON text as a list of its values, for stages that look at every text in it, and changes of it.

use std::borrow::Cow;
use std::ops::Range;

use serde_json::value::RawValue;

use super::Kind;

/// Deeper ones are not read: a stage that walks down could run out of its stack.
const DEPTH: usize = 128;
/// More are not read: a text of 32 MiB could have millions, which no sandbox holds. They take 20 MiB there.
const VALUES: usize = 500_000;

/// A JSON text and its values in the order of the text, each before those in it. Numbers and literals in arrays are not listed:
/// vectors and lists of tokens can be long.
///
/// With [`Edits`](super::Edits) values are replaced, and everything else stays as it is written: members that a stage does not know, their
/// order, the digits of numbers.
///
/// ```
/// use sluicegate_plugin::json::{Document, Edits};
/// let source = r#"{"model": "a", "n": 1.50, "messages": [{"content": "Hi"}]}"#;
/// let document = Document::read(source).unwrap();
/// let mut edits = Edits::default();
/// for value in document.values() {
///     if document.name(value).as_deref() == Some("content") {
///         edits.text(value.span(), "Hello");
///     }
/// }
/// assert_eq!(
///     edits.apply(source).as_deref(),
///     Some(r#"{"model": "a", "n": 1.50, "messages": [{"content": "Hello"}]}"#)
/// );
/// ```
#[derive(Clone, Debug)]
pub struct Document<'a> {
    source: &'a str,
    values: Vec<Node>,
}

/// A value of a [`Document`].
#[derive(Clone, Debug)]
pub struct Node {
    number: usize,
    parent: usize,
    kind: Kind,
    start: usize,
    end: usize,
    /// Its name with the quotes; empty in an array.
    name: (usize, usize),
    /// Its position in its parent.
    position: usize,
    /// For an array: whether there are numbers in it.
    has_numbers: bool,
}

impl Node {
    /// Its number in the list.
    #[must_use]
    pub fn number(&self) -> usize {
        self.number
    }

    /// The kind of value.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Where it stands in the text, a string with its quotes.
    #[must_use]
    pub fn span(&self) -> Range<usize> {
        self.start..self.end
    }

    /// Where its name stands, with the quotes; `None` in an array.
    #[must_use]
    pub fn name_span(&self) -> Option<Range<usize>> {
        (self.name.0 < self.name.1).then_some(self.name.0..self.name.1)
    }

    /// Its position in its array or object, from 0.
    #[must_use]
    pub fn position(&self) -> usize {
        self.position
    }

    /// Whether it is an array with numbers in it.
    #[must_use]
    pub fn has_numbers(&self) -> bool {
        self.has_numbers
    }
}

impl<'a> Document<'a> {
    /// Reads a text; `None` if it is not JSON, nested deeper than 128 levels, or of more than 500,000 values.
    #[must_use]
    pub fn read(source: &'a str) -> Option<Self> {
        serde_json::from_str::<&RawValue>(source).ok()?;
        let mut scan = Scan {
            bytes: source.as_bytes(),
            values: Vec::with_capacity(32),
            open: Vec::new(),
        };
        scan.run()?;
        Some(Self {
            source,
            values: scan.values,
        })
    }

    /// The text.
    #[must_use]
    pub fn source(&self) -> &'a str {
        self.source
    }

    /// The outermost value.
    #[must_use]
    pub fn root(&self) -> &Node {
        self.values.first().expect("a JSON text has a value")
    }

    /// All values.
    #[must_use]
    pub fn values(&self) -> &[Node] {
        &self.values
    }

    /// A value as it is written.
    #[must_use]
    pub fn raw(&self, value: &Node) -> &'a str {
        &self.source[value.span()]
    }

    /// The text of a string; `None` for another kind, and for an escape that is no character (a lone surrogate).
    #[must_use]
    pub fn text(&self, value: &Node) -> Option<Cow<'a, str>> {
        unquoted(self.raw(value))
    }

    /// The name of a member; `None` for an element of an array, and for an escape that is no character.
    #[must_use]
    pub fn name(&self, value: &Node) -> Option<Cow<'a, str>> {
        unquoted(&self.source[value.name_span()?])
    }

    /// The object or array that a value is in.
    #[must_use]
    pub fn parent(&self, value: &Node) -> Option<&Node> {
        (value.number > 0).then(|| &self.values[value.parent])
    }

    /// All values in a value, at any depth.
    #[must_use]
    pub fn within(&self, value: &Node) -> &[Node] {
        let rest = &self.values[value.number + 1..];
        &rest[..rest.partition_point(|it| it.start < value.end)]
    }

    /// The values directly in an object or array.
    pub fn children(&self, value: &Node) -> impl Iterator<Item = &Node> {
        let number = value.number;
        let within = self.within(value).iter();
        within.filter(move |it| it.parent == number)
    }

    /// The last member of an object with this name, which is the one that counts.
    #[must_use]
    pub fn member(&self, object: &Node, name: &str) -> Option<&Node> {
        let named = self
            .children(object)
            .filter(|it| self.name(it).as_deref() == Some(name));
        named.last()
    }
}

fn unquoted(raw: &str) -> Option<Cow<'_, str>> {
    let inner = raw.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') {
        serde_json::from_str(raw).ok().map(Cow::Owned)
    } else {
        Some(Cow::Borrowed(inner))
    }
}

/// Lists the values of a text that is JSON.
struct Scan<'a> {
    bytes: &'a [u8],
    values: Vec<Node>,
    open: Vec<Open>,
}

/// An object or array that has begun.
struct Open {
    number: usize,
    is_object: bool,
    count: usize,
    name: Option<(usize, usize)>,
}

impl Scan<'_> {
    fn run(&mut self) -> Option<()> {
        let mut at = 0;
        while let Some(&byte) = self.bytes.get(at) {
            if self.values.len() > VALUES {
                return None;
            }
            at = match byte {
                b' ' | b'\t' | b'\n' | b'\r' | b',' | b':' => at + 1,
                b'"' => {
                    let end = string_end(self.bytes, at);
                    match self.open.last_mut() {
                        Some(open) if open.is_object && open.name.is_none() => {
                            open.name = Some((at, end));
                        }
                        _ => self.push(Kind::String, at, end),
                    }
                    end
                }
                b'{' | b'[' => {
                    if self.open.len() == DEPTH {
                        return None;
                    }
                    let is_object = byte == b'{';
                    let kind = if is_object { Kind::Object } else { Kind::Array };
                    self.push(kind, at, at);
                    self.open.push(Open {
                        number: self.values.len() - 1,
                        is_object,
                        count: 0,
                        name: None,
                    });
                    at + 1
                }
                b'}' | b']' => {
                    let number = self.open.pop()?.number;
                    self.values[number].end = at + 1;
                    at + 1
                }
                _ => self.scalar(byte, at),
            };
        }
        Some(())
    }

    fn scalar(&mut self, byte: u8, at: usize) -> usize {
        let ends = |byte: &u8| matches!(byte, b',' | b']' | b'}' | b' ' | b'\t' | b'\n' | b'\r');
        let length = self.bytes[at..].iter().position(ends);
        let end = length.map_or(self.bytes.len(), |length| at + length);
        let kind = match byte {
            b't' | b'f' => Kind::Bool,
            b'n' => Kind::Null,
            _ => Kind::Number,
        };
        match self.open.last_mut() {
            Some(open) if !open.is_object => {
                open.count += 1;
                self.values[open.number].has_numbers |= kind == Kind::Number;
            }
            _ => self.push(kind, at, end),
        }
        end
    }

    fn push(&mut self, kind: Kind, start: usize, end: usize) {
        let mut node = Node {
            number: self.values.len(),
            parent: 0,
            kind,
            start,
            end,
            name: (0, 0),
            position: 0,
            has_numbers: false,
        };
        if let Some(open) = self.open.last_mut() {
            node.parent = open.number;
            node.name = open.name.take().unwrap_or_default();
            node.position = open.count;
            open.count += 1;
        }
        self.values.push(node);
    }
}

/// The end of the string that begins at `at`, behind its closing quote.
fn string_end(bytes: &[u8], at: usize) -> usize {
    let mut end = at + 1;
    while let Some(&byte) = bytes.get(end) {
        end += match byte {
            b'"' => return end + 1,
            b'\\' => 2,
            _ => 1,
        };
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_listed_with_its_place() {
        let source =
            r#" {"a" : [ {"b\u0063":"x\"y"}, 1, null, "z" ] , "d":-1.5e3,"a":{}, "e":[true] } "#;
        let document = Document::read(source).expect("JSON");
        let found: Vec<_> = document
            .values()
            .iter()
            .map(|it| {
                let name = document.name(it).map(Cow::into_owned);
                (name, document.raw(it), it.position(), it.has_numbers())
            })
            .collect();
        let named = |name: &str| Some(name.to_owned());
        assert_eq!(
            found,
            [
                (None, source.trim(), 0, false),
                (
                    named("a"),
                    r#"[ {"b\u0063":"x\"y"}, 1, null, "z" ]"#,
                    0,
                    true
                ),
                (None, r#"{"b\u0063":"x\"y"}"#, 0, false),
                (named("bc"), r#""x\"y""#, 0, false),
                (None, r#""z""#, 3, false),
                (named("d"), "-1.5e3", 1, false),
                (named("a"), "{}", 2, false),
                (named("e"), "[true]", 3, false),
            ]
        );
        let root = document.root();
        let last = document.member(root, "a").expect("a member");
        assert_eq!(document.raw(last), "{}");
        let array = document.children(root).next().expect("a child");
        assert_eq!(document.within(array).len(), 3);
        assert_eq!(document.children(array).count(), 2);
        let text = document.text(&document.values()[3]);
        assert_eq!(text.as_deref(), Some("x\"y"));
        let parent = document.parent(&document.values()[3]).expect("a parent");
        assert_eq!(parent.number(), 2);
        assert!(document.parent(root).is_none());
    }

    #[test]
    fn what_is_no_json_or_too_deep_is_not_read() {
        for text in ["", "{", "{}x", "[1,]", "\"a", "{'a':1}"] {
            assert!(Document::read(text).is_none(), "{text}");
        }
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(Document::read(&nested(DEPTH)).is_some());
        assert!(Document::read(&nested(DEPTH + 1)).is_none());
        assert!(Document::read(&nested(100_000)).is_none());
        let many = |count: usize| format!("[{}{{}}]", "{},".repeat(count - 1));
        assert!(Document::read(&many(VALUES - 1)).is_some());
        assert!(Document::read(&many(VALUES)).is_none());
        for text in ["1", " \"a\" ", "null"] {
            let document = Document::read(text).expect("JSON");
            assert_eq!(document.raw(document.root()), text.trim());
        }
    }
}
