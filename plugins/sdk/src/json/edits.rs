//! Changes of a JSON text.

use std::ops::Range;

use super::{Document, Kind, Node, push_str};

/// Changes of a JSON text, applied all at once; what is not changed stays as it is written.
///
/// ```
/// use sluicegate_plugin::json::{Document, Edits};
/// let source = r#"{"model":"a","stream":true,"x":{}}"#;
/// let document = Document::read(source).unwrap();
/// let mut edits = Edits::default();
/// edits.set(&document, document.root(), "model", "\"b\"");
/// edits.set(&document, document.root(), "seed", "7");
/// edits.remove(&document, document.member(document.root(), "stream").unwrap());
/// assert_eq!(edits.apply(source).as_deref(), Some(r#"{"seed":7,"model":"b","x":{}}"#));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Edits(Vec<(Range<usize>, String)>);

impl Edits {
    /// Whether nothing changes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Replaces what stands here by JSON text.
    pub fn replace(&mut self, span: Range<usize>, json: impl Into<String>) {
        self.0.push((span, json.into()));
    }

    /// Replaces what stands here by a string with this text.
    pub fn text(&mut self, span: Range<usize>, text: &str) {
        let mut json = String::with_capacity(text.len() + 2);
        push_str(&mut json, text);
        self.replace(span, json);
    }

    /// Sets a member of an object to JSON text; a new member comes first.
    pub fn set(&mut self, document: &Document<'_>, object: &Node, name: &str, json: &str) {
        if let Some(value) = document.member(object, name) {
            return self.replace(value.span(), json);
        }
        let mut member = String::new();
        push_str(&mut member, name);
        member.push(':');
        member.push_str(json);
        self.insert_first(document, object, member);
    }

    /// Inserts JSON text as the first element of an array.
    pub fn prepend(&mut self, document: &Document<'_>, array: &Node, json: &str) {
        self.insert_first(document, array, json.to_owned());
    }

    /// Appends JSON text as the last element of an array.
    pub fn append(&mut self, document: &Document<'_>, array: &Node, json: &str) {
        let comma = if is_empty(document, array) { "" } else { "," };
        let end = array.span().end - 1;
        self.replace(end..end, format!("{comma}{json}"));
    }

    /// Removes a member or an element.
    pub fn remove(&mut self, document: &Document<'_>, value: &Node) {
        let bytes = document.source().as_bytes();
        let blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
        let mut start = value.name_span().unwrap_or(value.span()).start;
        let mut end = value.span().end;
        let blanks = bytes[end..].iter().take_while(|byte| blank(byte)).count();
        if bytes.get(end + blanks) == Some(&b',') {
            // With the comma behind it, and the blanks behind that.
            end += blanks + 1;
            end += bytes[end..].iter().take_while(|byte| blank(byte)).count();
        } else {
            let before = bytes[..start].iter().rev();
            let blanks = before.take_while(|byte| blank(byte)).count();
            if bytes.get(start.wrapping_sub(blanks + 1)) == Some(&b',') {
                start -= blanks + 1;
            }
        }
        self.replace(start..end, "");
    }

    /// The changed text; `None` if nothing changes. Of changes that overlap, the first one counts.
    #[must_use]
    pub fn apply(mut self, source: &str) -> Option<String> {
        if self.0.is_empty() {
            return None;
        }
        self.0.sort_by_key(|(span, _)| (span.start, span.end));
        let mut out = String::with_capacity(source.len() + 64);
        let mut copied = 0;
        for (span, json) in &self.0 {
            if span.start < copied {
                continue;
            }
            out.push_str(&source[copied..span.start]);
            out.push_str(json);
            copied = span.end;
        }
        out.push_str(&source[copied..]);
        Some(out)
    }

    fn insert_first(&mut self, document: &Document<'_>, container: &Node, mut json: String) {
        if !is_empty(document, container) {
            json.push(',');
        }
        let start = container.span().start + 1;
        self.replace(start..start, json);
    }
}

/// Whether an array or object has nothing in it.
fn is_empty(document: &Document<'_>, container: &Node) -> bool {
    debug_assert!(matches!(container.kind(), Kind::Array | Kind::Object));
    let raw = document.raw(container);
    raw[1..raw.len() - 1].trim_ascii().is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edited(source: &str, edit: impl FnOnce(&Document<'_>, &mut Edits)) -> Option<String> {
        let document = Document::read(source).expect("JSON");
        let mut edits = Edits::default();
        edit(&document, &mut edits);
        edits.apply(source)
    }

    #[test]
    fn members_are_removed_with_their_comma() {
        for (source, name, expected) in [
            (r#"{"a":1}"#, "a", "{}"),
            (r#"{"a": 1 , "b":2}"#, "a", r#"{"b":2}"#),
            (r#"{"a":1 , "b": 2 }"#, "b", r#"{"a":1  }"#),
            (r#"{"a":1,"b":{"c":[1,2]},"d":3}"#, "b", r#"{"a":1,"d":3}"#),
        ] {
            let found = edited(source, |document, edits| {
                let member = document.member(document.root(), name);
                edits.remove(document, member.expect("a member"));
            });
            assert_eq!(found.as_deref(), Some(expected), "{source}");
        }
    }

    #[test]
    fn elements_are_added_at_both_ends() {
        for (source, expected) in [("[]", "[1,2]"), ("[ 0 ]", "[1, 0 ,2]")] {
            let found = edited(source, |document, edits| {
                let comma = source == "[]";
                edits.prepend(document, document.root(), if comma { "1," } else { "1" });
                edits.append(document, document.root(), "2");
            });
            assert_eq!(found.as_deref(), Some(expected), "{source}");
        }
    }

    #[test]
    fn nothing_changes_without_edits_and_the_first_of_two_counts() {
        assert_eq!(edited("{}", |_, _| {}), None);
        let found = edited(r#"{"a":["b"]}"#, |document, edits| {
            let values = document.values();
            edits.replace(values[2].span(), "2");
            edits.replace(values[1].span(), "1");
        });
        assert_eq!(found.as_deref(), Some(r#"{"a":1}"#));
    }
}
