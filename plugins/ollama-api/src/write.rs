//! Writes JSON in one line.
//!
//! Lines are read by clients that split at more than line feeds: the Python client takes U+0085, U+2028 and U+2029 for line
//! ends too. So they are escaped, as Ollama escapes the last two.

use sluicegate_plugin::json;

/// Characters that some clients take for the end of a line.
const LINE_ENDS: [char; 3] = ['\u{85}', '\u{2028}', '\u{2029}'];

/// A JSON object, member by member.
#[derive(Debug)]
pub struct Object(String);

impl Object {
    /// An object, with room for `capacity` bytes.
    pub fn new(capacity: usize) -> Self {
        let mut out = String::with_capacity(capacity + 2);
        out.push('{');
        Self(out)
    }

    /// An object that is appended to other text.
    pub fn within(mut out: String) -> Self {
        out.push('{');
        Self(out)
    }

    /// Begins a member. Its value is appended to what is returned.
    pub fn member(&mut self, name: &str) -> &mut String {
        if !self.0.ends_with('{') {
            self.0.push(',');
        }
        json::push_str(&mut self.0, name);
        self.0.push(':');
        &mut self.0
    }

    /// Adds a member with JSON text that is in one line.
    pub fn raw(&mut self, name: &str, json: &str) {
        self.member(name).push_str(json);
    }

    /// Adds a member with any JSON text.
    pub fn compact(&mut self, name: &str, json: &str) {
        push_compact(self.member(name), json);
    }

    /// Adds a member with a text.
    pub fn text(&mut self, name: &str, text: &str) {
        push_text(self.member(name), text);
    }

    /// Adds a member with a whole number.
    pub fn number(&mut self, name: &str, number: u64) {
        json::push_u64(self.member(name), number);
    }

    /// The object.
    pub fn end(mut self) -> String {
        self.0.push('}');
        self.0
    }
}

/// Appends a text as a JSON string.
pub fn push_text(out: &mut String, text: &str) {
    out.push('"');
    let mut rest = text;
    while let Some(at) = rest.find(LINE_ENDS) {
        let (before, from) = rest.split_at(at);
        json::push_escaped(out, before);
        let mut chars = from.chars();
        if let Some(char) = chars.next() {
            push_line_end(out, char);
        }
        rest = chars.as_str();
    }
    json::push_escaped(out, rest);
    out.push('"');
}

/// Appends JSON text without the blanks and line ends between its parts.
pub fn push_compact(out: &mut String, json: &str) {
    let (mut is_inside, mut is_escaped) = (false, false);
    for char in json.chars() {
        match char {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = is_inside,
            '"' => is_inside = !is_inside,
            ' ' | '\t' | '\n' | '\r' if !is_inside => continue,
            _ => {}
        }
        if LINE_ENDS.contains(&char) {
            push_line_end(out, char);
        } else {
            out.push(char);
        }
    }
}

fn push_line_end(out: &mut String, char: char) {
    out.push_str(match char {
        '\u{85}' => "\\u0085",
        '\u{2028}' => "\\u2028",
        _ => "\\u2029",
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_one_line_whatever_is_in_it() {
        let mut object = Object::new(0);
        object.text("a\"", "x\u{2028}\n\"\u{85}é\u{2029}");
        object.compact("b", "{ \"k \\\" \u{2028}\" :\n[ 1,\t\"\\\\\" ] }");
        object.raw("c", "null");
        object.number("d", 7);
        let text = object.end();
        assert!(!text.contains(LINE_ENDS) && !text.contains(['\n', '\t']));
        let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(
            value,
            serde_json::json!({
                "a\"": "x\u{2028}\n\"\u{85}é\u{2029}", "b": {"k \" \u{2028}": [1, "\\"]}, "c": null, "d": 7,
            })
        );
        assert_eq!(Object::new(0).end(), "{}");
    }
}
