//! A window over JSON text.

use std::mem;

use super::{Matcher, Window, replaced};
use crate::json;

/// A number has fewer characters, and so has every literal.
const TOKEN: usize = 64;
/// Nobody looks for more brackets and blanks.
const BETWEEN: usize = 64;

/// A window over JSON text that arrives in chunks, such as the arguments of a tool call.
///
/// Each string is a text of its own, as it is meant, without its escapes; it may come out with other escapes that mean the same.
/// A number in which something is found becomes a string. So what comes out is JSON if the input is. Text that turns out not to be
/// JSON is from there on like any other text. Several objects may follow each other, each on a line of its own.
///
/// ```
/// use sluicegate_plugin::window::{JsonWindow, Words};
/// let words = Words::new(["secret", "4711"], "\"x\"").unwrap();
/// let (mut window, mut out) = (JsonWindow::default(), String::new());
/// for chunk in [r#"{"a":"sec\u0"#, r#"072et","b":47"#, "11}"] {
///     window.feed(&words, chunk, &mut out);
/// }
/// assert_eq!(out, r#"{"a":"\"x\"","b":"\"x\""}"#);
/// ```
#[derive(Clone, Debug, Default)]
pub struct JsonWindow {
    state: State,
    /// The text of the string, or of all that is no JSON.
    window: Window,
    /// A number or literal with the blanks behind it, or an escape, as far as it has arrived.
    token: String,
    /// What was sent between values since the last one, if all of this turns out not to be JSON.
    between: String,
    /// Whether the token was sent at a pause.
    is_sent: bool,
    /// Whether a value was the last that came, so that no other one may follow.
    is_behind_value: bool,
    /// Objects and lists that have begun.
    depth: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Between values.
    #[default]
    Structure,
    /// In a number or literal, or behind it.
    Token,
    /// In a string.
    String,
    /// In an escape of a string.
    Escape,
    /// This is no JSON.
    Broken,
}

impl JsonWindow {
    /// Takes the next chunk of the text, and appends what can be sent.
    pub fn feed(&mut self, mut matcher: impl Matcher, chunk: &str, out: &mut String) {
        let matcher = &mut matcher;
        // What has arrived of the text that the window is over.
        let mut text = String::new();
        for char in chunk.chars() {
            let mut next = Some(char);
            while let Some(char) = next.take() {
                match self.state {
                    State::Structure => self.structure(char, out, &mut text),
                    State::Token => self.in_token(matcher, char, out, &mut text),
                    State::String if char == '"' => self.end_string(matcher, &mut text, out),
                    State::String if char == '\\' => {
                        self.token.push(char);
                        self.state = State::Escape;
                    }
                    State::Escape => next = self.escape(matcher, char, out, &mut text),
                    State::String | State::Broken => text.push(char),
                }
            }
        }
        match self.state {
            State::String | State::Escape => {
                let mut sent = String::new();
                self.window.feed(matcher, &text, &mut sent);
                json::push_escaped(out, &sent);
            }
            State::Broken => self.window.feed(matcher, &text, out),
            State::Structure | State::Token => {}
        }
    }

    /// Appends all that is held back, as if the text ended here; see [`Window::pause`]. Half of an escape stays.
    pub fn pause(&mut self, mut matcher: impl Matcher, out: &mut String) {
        let matcher = &mut matcher;
        match self.state {
            State::Structure => {}
            State::Token if self.is_sent => {}
            State::Token if write_token(matcher, &self.token, out) => self.is_sent = true,
            State::Token => {
                self.state = State::Broken;
                self.window = Window::behind(mem::take(&mut self.between));
                let token = mem::take(&mut self.token);
                self.window.feed(&mut *matcher, &token, out);
                self.window.pause(matcher, out);
            }
            State::String | State::Escape => {
                let mut text = String::new();
                self.window.pause(matcher, &mut text);
                json::push_escaped(out, &text);
            }
            State::Broken => self.window.pause(matcher, out),
        }
    }

    /// A character between values. What is no JSON goes into `text`.
    fn structure(&mut self, char: char, out: &mut String, text: &mut String) {
        match char {
            ' ' | '\t' | '\n' | '\r' => {}
            '}' | ']' => {
                self.is_behind_value = true;
                self.depth = self.depth.saturating_sub(1);
            }
            ',' | ':' => self.is_behind_value = false,
            _ if self.is_behind_value && !self.is_next_line(char) => {
                return self.broken(char, text);
            }
            '{' | '[' => {
                self.is_behind_value = false;
                self.depth += 1;
            }
            '"' => {
                out.push(char);
                self.between.clear();
                self.window = Window::default();
                self.state = State::String;
                return;
            }
            '-' | '0'..='9' | 't' | 'f' | 'n' => {
                self.token.push(char);
                self.state = State::Token;
                return;
            }
            char => return self.broken(char, text),
        }
        out.push(char);
        if self.between.len() == BETWEEN {
            self.between.remove(0);
        }
        self.between.push(char);
    }

    /// Whether this begins another document on a line of its own.
    fn is_next_line(&self, char: char) -> bool {
        char == '{' && self.depth == 0 && self.between.contains('\n')
    }

    fn in_token(
        &mut self,
        matcher: &mut impl Matcher,
        char: char,
        out: &mut String,
        text: &mut String,
    ) {
        let is_blank = matches!(char, ' ' | '\t' | '\n' | '\r');
        let is_part = char.is_ascii_alphanumeric() || matches!(char, '+' | '-' | '.');
        let goes_on = is_part && !self.token.ends_with([' ', '\t', '\n', '\r']);
        if (is_blank || (goes_on && !self.is_sent)) && self.token.len() < TOKEN {
            self.token.push(char);
            return;
        }
        let token = mem::take(&mut self.token);
        let is_sent = mem::take(&mut self.is_sent);
        let ends = matches!(char, ',' | ':' | '}' | ']');
        if ends && (is_sent || write_token(matcher, &token, out)) {
            self.between.clear();
            self.is_behind_value = true;
            self.state = State::Structure;
            return self.structure(char, out, text);
        }
        if is_sent {
            self.between.push_str(&token);
        } else {
            text.push_str(&token);
        }
        self.broken(char, text);
    }

    fn broken(&mut self, char: char, text: &mut String) {
        text.push(char);
        self.window = Window::behind(mem::take(&mut self.between));
        self.state = State::Broken;
    }

    /// A character of an escape. What the escape means goes into `text`. Returns the character if it is part of no escape.
    fn escape(
        &mut self,
        matcher: &mut impl Matcher,
        char: char,
        out: &mut String,
        text: &mut String,
    ) -> Option<char> {
        let at = self.token.len();
        let fits = match at {
            1 | 7 => "\"\\/bfnrtu".contains(char),
            // The second half of a character beyond U+FFFF comes as another escape.
            6 => char == '\\',
            _ => char.is_ascii_hexdigit(),
        };
        if !fits {
            let token = mem::take(&mut self.token);
            let (half, rest) = token.split_at(if at < 6 { 0 } else { 6 });
            if !half.is_empty() {
                text.push(char::REPLACEMENT_CHARACTER);
            }
            if rest.is_empty() {
                self.state = State::String;
                return Some(char);
            }
            // An escape that JSON does not have: from here on it is other text.
            let mut sent = String::new();
            self.window.finish(matcher, &mem::take(text), &mut sent);
            json::push_escaped(out, &sent);
            text.push_str(rest);
            self.broken(char, text);
            return None;
        }
        self.token.push(char);
        let is_complete = match self.token.len() {
            2 | 8 => char != 'u',
            6 => !is_first_half(&self.token),
            length => length == 12,
        };
        if is_complete {
            self.state = State::String;
            let token = mem::take(&mut self.token);
            let (first, rest) = token.split_at(token.len().min(6));
            match meant(&token) {
                Some(meant) => text.push_str(&meant),
                // Half of a character.
                None => {
                    for half in [first, rest].into_iter().filter(|half| !half.is_empty()) {
                        text.push_str(meant(half).as_deref().unwrap_or("\u{fffd}"));
                    }
                }
            }
        }
        None
    }

    fn end_string(&mut self, matcher: &mut impl Matcher, text: &mut String, out: &mut String) {
        let mut sent = String::new();
        self.window.finish(matcher, text, &mut sent);
        text.clear();
        json::push_escaped(out, &sent);
        out.push('"');
        self.is_behind_value = true;
        self.state = State::Structure;
    }
}

/// What an escape means; `None` for half of a character.
fn meant(escape: &str) -> Option<String> {
    serde_json::from_str(&format!("\"{escape}\"")).ok()
}

/// Whether this escape is the first half of a character.
fn is_first_half(escape: &str) -> bool {
    let digits = escape.get(2..6);
    digits.is_some_and(|it| matches!(u32::from_str_radix(it, 16), Ok(0xd800..0xdc00)))
}

/// Appends a number or a literal, a number in which something is found as a string. Otherwise it is no JSON.
fn write_token(matcher: &mut impl Matcher, token: &str, out: &mut String) -> bool {
    let value = token.trim_ascii_end();
    if serde_json::from_str::<serde_json::Value>(value).is_err() {
        return false;
    }
    let is_literal = value.starts_with(['t', 'f', 'n']);
    match (!is_literal).then(|| replaced(matcher, value)).flatten() {
        Some(text) => {
            json::push_str(out, &text);
            out.push_str(&token[value.len()..]);
        }
        None => out.push_str(token),
    }
    true
}
