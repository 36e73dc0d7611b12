//! One line of the log, in both forms.

use std::borrow::Cow;
use std::fmt::Write;
use std::time::SystemTime;

use serde_json::Value;
use serde_json::value::RawValue;
use tracing::Level;

use super::fields::Fields;
use crate::clock;
use crate::names::field;

/// The content of a line.
pub(super) struct Line<'a> {
    pub(super) at: SystemTime,
    pub(super) level: Level,
    pub(super) target: &'a str,
    pub(super) message: &'a str,
    pub(super) fields: &'a Fields,
    /// The fields of a plugin's line, as the plugin wrote them.
    pub(super) members: &'a [(Cow<'a, str>, &'a RawValue)],
}

/// Why writing into a string cannot fail.
const TAKES_ALL: &str = "a string takes all that is written into it";

/// Room for a usual line, to avoid reallocations.
const USUAL: usize = 512;

impl Line<'_> {
    /// A JSON object and a line end.
    pub(super) fn json(&self) -> String {
        let mut out = String::with_capacity(USUAL);
        let at = clock::rfc3339(clock::since_1970(self.at)).to_string();
        let level = self.level.as_str().to_ascii_lowercase();
        let own = [
            (field::TIME, at.as_str()),
            (field::LEVEL, &level),
            (field::TARGET, self.target),
            (field::MESSAGE, self.message),
        ];
        for (name, text) in own {
            push_name(&mut out, name);
            push_string(&mut out, text);
        }
        for (name, value) in self.fields.iter() {
            push_name(&mut out, name);
            push_json(&mut out, value);
        }
        for (name, value) in self.members {
            push_name(&mut out, name);
            push_raw(&mut out, value.get());
        }
        out.push_str("}\n");
        out
    }

    /// Time, level, module, message and `name=value` for each field, and a line end.
    pub(super) fn text(&self, color: bool) -> String {
        const DIM: &str = "\x1b[2m";
        const RESET: &str = "\x1b[0m";
        let (dim, reset) = if color { (DIM, RESET) } else { ("", "") };
        let paint = if color { paint(self.level) } else { "" };
        let mut out = String::with_capacity(USUAL);
        let at = clock::rfc3339(clock::since_1970(self.at));
        let (level, target) = (self.level.as_str(), self.target);
        out.push_str(&format!(
            "{dim}{at}{reset} {paint}{level:5}{reset} {dim}{target}:{reset} "
        ));
        push_visible(&mut out, self.message);
        let mut push = |name: &str, value: &Value| {
            out.push(' ');
            out.push_str(dim);
            push_word(&mut out, name);
            out.push('=');
            out.push_str(reset);
            match value.as_str() {
                Some(text) => push_word(&mut out, text),
                None => push_json(&mut out, value),
            }
        };
        for (name, value) in self.fields.iter() {
            push(name, value);
        }
        for (name, value) in self.members {
            push(name, &value_of(value.get()));
        }
        out.push('\n');
        out
    }
}

/// The colour of a level.
const fn paint(level: Level) -> &'static str {
    match level {
        Level::ERROR => "\x1b[31m",
        Level::WARN => "\x1b[33m",
        Level::INFO => "\x1b[32m",
        Level::DEBUG => "\x1b[34m",
        Level::TRACE => "\x1b[35m",
    }
}

/// Characters that control a terminal or change how a line reads, instead of being shown: control characters, line and
/// paragraph separators, and the marks that change the writing direction.
pub(super) fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Appends the name of a member, with the punctuation around it.
fn push_name(out: &mut String, name: &str) {
    out.push(if out.is_empty() { '{' } else { ',' });
    push_string(out, name);
    out.push(':');
}

/// Appends JSON without hidden characters.
fn push_json(out: &mut String, value: &Value) {
    match value {
        Value::String(text) => push_string(out, text),
        Value::Null | Value::Bool(_) | Value::Number(_) => {
            write!(out, "{value}").expect(TAKES_ALL);
        }
        // Hidden characters occur only inside strings, so all of them can be escaped.
        Value::Array(_) | Value::Object(_) => push_visible(out, &value.to_string()),
    }
}

/// Appends the text of a JSON value without hidden characters.
fn push_raw(out: &mut String, text: &str) {
    // Without hidden characters and line ends the text can stay as it is.
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        out.push_str(text);
    } else {
        push_json(out, &value_of(text));
    }
}

/// A JSON value from its text, which was validated before; a number that is too large stays text.
fn value_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| text.into())
}

/// Appends a JSON string without hidden characters.
fn push_string(out: &mut String, text: &str) {
    out.push('"');
    // Most strings are names and numbers. Only those with something to escape are processed character by character.
    let plain = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\';
    if text.bytes().all(plain) {
        out.push_str(text);
    } else {
        for c in text.chars() {
            if matches!(c, '"' | '\\') {
                out.push('\\');
            }
            push_char(out, c);
        }
    }
    out.push('"');
}

/// Appends text, with hidden characters escaped.
fn push_visible(out: &mut String, text: &str) {
    for c in text.chars() {
        push_char(out, c);
    }
}

/// Appends a character, or its escape, which is the same in JSON, if it is hidden.
fn push_char(out: &mut String, c: char) {
    match c {
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        // All hidden characters are below U+10000, so four digits are enough.
        c if is_hidden(c) => write!(out, "\\u{:04x}", u32::from(c)).expect(TAKES_ALL),
        c => out.push(c),
    }
}

/// Appends a name or a value, in quotes unless it is one plain word.
fn push_word(out: &mut String, text: &str) {
    let plain = |c: char| !c.is_whitespace() && !is_hidden(c) && !matches!(c, '"' | '=' | '\\');
    if !text.is_empty() && text.chars().all(plain) {
        out.push_str(text);
    } else {
        push_string(out, text);
    }
}
