//! A call that was forced by the form of the text: the text becomes the call, as it arrives.
//!
//! Of the choice of one of several tools, the name is read first; only the value of `parameters` becomes the arguments. A text
//! of another form, from a model that does not keep to it, is content; so is a choice of a tool that was not offered, or
//! without an object as its arguments.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use sluicegate_plugin::json::{self, Kind};

/// How far the beginning of a choice is looked for its name, anew with each part of the text. Arbitrary, but small: the work
/// grows with its square. A choice that begins with more is read at its end, like one in another order.
const HEAD_BYTES: usize = 4 * 1024;

/// What is kept of a choice that is written in another order. Arbitrary; beyond it the text is content.
const HELD_BYTES: usize = 1024 * 1024;

/// The tool that must be called.
#[derive(Clone, Debug)]
pub enum Forced {
    /// This one, its name as a JSON string.
    Only(String),
    /// One of several, with these names.
    Choice(Vec<String>),
}

/// What a part of the text is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// The beginning of the call, with the name as a JSON string.
    Call(String),
    /// A part of its arguments.
    Arguments(String),
    /// Content.
    Text(String),
}

/// The state of the text.
#[derive(Debug)]
pub(super) struct Call {
    state: State,
    /// The names of a choice.
    names: Vec<String>,
    /// What may be the part of a choice before its arguments, or a choice in another order.
    held: String,
    /// The arguments so far.
    arguments: String,
    is_called: bool,
}

#[derive(Debug)]
enum State {
    /// Nothing but blanks has come. The name of the only tool.
    Only(String),
    /// Before the arguments of a choice.
    Choice,
    Arguments(Object),
    /// After the arguments.
    After,
    /// A choice in another order, or with its arguments in a text, which is read at its end.
    Unordered,
    /// The text is content.
    Content,
}

impl Call {
    pub(super) fn new(forced: &Forced) -> Self {
        let (state, names) = match forced {
            Forced::Only(name) => (State::Only(name.clone()), Vec::new()),
            Forced::Choice(names) => (State::Choice, names.clone()),
        };
        Self {
            state,
            names,
            held: String::new(),
            arguments: String::new(),
            is_called: false,
        }
    }

    /// The reason for the end, where the server gave this one. A call whose arguments are not complete, or cannot be read,
    /// ends with `length`.
    pub(super) fn finish(&self, given: &'static str) -> &'static str {
        if !self.is_called {
            return given;
        }
        match serde_json::from_str::<IgnoredAny>(&self.arguments) {
            Ok(_) => "tool_calls",
            Err(_) => "length",
        }
    }

    /// Takes the next part of the text.
    pub(super) fn push(&mut self, text: &str, out: &mut Vec<Part>) {
        match &mut self.state {
            State::Only(name) => {
                let begun = text.trim_start();
                if begun.starts_with('{') {
                    let name = std::mem::take(name);
                    self.call(name, begun, out);
                } else if !begun.is_empty() {
                    self.state = State::Content;
                    out.push(Part::Text(begun.to_owned()));
                }
            }
            State::Choice => {
                self.held.push_str(text);
                self.choose(out);
            }
            State::Arguments(object) => {
                let end = object.end(text);
                let arguments = &text[..end.unwrap_or(text.len())];
                if !arguments.is_empty() {
                    self.arguments.push_str(arguments);
                    out.push(Part::Arguments(arguments.to_owned()));
                }
                if end.is_some() {
                    self.state = State::After;
                }
            }
            State::After => {}
            State::Unordered => {
                self.held.push_str(text);
                if self.held.len() > HELD_BYTES {
                    self.give_up(out);
                }
            }
            State::Content => out.push(Part::Text(text.to_owned())),
        }
    }

    /// Takes the end of the text. `is_cut` says that it was cut by length.
    pub(super) fn end(&mut self, is_cut: bool, out: &mut Vec<Part>) {
        match self.state {
            State::Choice | State::Unordered => {
                if let Some((name, arguments)) = unordered(&self.held, &self.names) {
                    out.push(Part::Call(name));
                    self.arguments.push_str(&arguments);
                    out.push(Part::Arguments(arguments));
                    self.is_called = true;
                    self.state = State::After;
                } else if !is_cut {
                    self.give_up(out);
                }
            }
            State::Only(_) | State::Arguments(_) | State::After | State::Content => {}
        }
    }

    /// Begins the call. `arguments` is what has come of them.
    fn call(&mut self, name: String, arguments: &str, out: &mut Vec<Part>) {
        self.is_called = true;
        out.push(Part::Call(name));
        self.state = State::Arguments(Object::default());
        self.push(arguments, out);
    }

    fn choose(&mut self, out: &mut Vec<Part>) {
        match Head::of(&self.held) {
            Head::Incomplete if self.held.len() <= HEAD_BYTES => {}
            Head::Complete(name, arguments)
                if arguments.starts_with('{') && is_offered(name, &self.names) =>
            {
                let (name, arguments) = (name.to_owned(), arguments.to_owned());
                self.held.clear();
                self.call(name, &arguments, out);
            }
            // The text may hold the arguments.
            Head::Complete(name, arguments)
                if arguments.starts_with('"') && is_offered(name, &self.names) =>
            {
                self.state = State::Unordered;
            }
            Head::Incomplete | Head::Other if self.held.trim_start().starts_with('{') => {
                self.state = State::Unordered;
            }
            Head::Incomplete | Head::Complete(..) | Head::Other => self.give_up(out),
        }
    }

    /// What has been held is content.
    fn give_up(&mut self, out: &mut Vec<Part>) {
        self.state = State::Content;
        let held = std::mem::take(&mut self.held);
        if !held.trim().is_empty() {
            out.push(Part::Text(held));
        }
    }
}

/// A choice up to its arguments.
enum Head<'a> {
    Incomplete,
    /// The name as a JSON string, and what has come of the arguments.
    Complete(&'a str, &'a str),
    /// In another order.
    Other,
}

impl<'a> Head<'a> {
    fn of(text: &'a str) -> Self {
        let (mut rest, mut name) = (text, "");
        for word in ["{", "\"name\"", ":", "", ",", "\"parameters\"", ":"] {
            rest = rest.trim_start();
            if word.is_empty() {
                match string(rest) {
                    Some((found, after)) => (name, rest) = (found, after),
                    None if rest.is_empty() || rest.starts_with('"') => return Self::Incomplete,
                    None => return Self::Other,
                }
            } else if let Some(after) = rest.strip_prefix(word) {
                rest = after;
            } else if word.starts_with(rest) {
                return Self::Incomplete;
            } else {
                return Self::Other;
            }
        }
        match rest.trim_start() {
            "" => Self::Incomplete,
            arguments => Self::Complete(name, arguments),
        }
    }
}

/// The JSON string at the beginning of a text, and what follows; `None` if there is none that is complete.
fn string(text: &str) -> Option<(&str, &str)> {
    text.strip_prefix('"')?;
    let mut is_escaped = false;
    let end = text.char_indices().skip(1).find(|(_, char)| {
        let is_end = *char == '"' && !is_escaped;
        is_escaped = *char == '\\' && !is_escaped;
        is_end
    });
    end.map(|(at, _)| text.split_at(at + 1))
}

/// Finds the end of a JSON object whose text arrives in parts, without blanks before it.
#[derive(Debug, Default)]
struct Object {
    depth: u64,
    is_string: bool,
    is_escaped: bool,
}

impl Object {
    /// Where the object ends in the next part of its text.
    fn end(&mut self, text: &str) -> Option<usize> {
        for (at, byte) in text.bytes().enumerate() {
            if self.is_string {
                self.is_string = self.is_escaped || byte != b'"';
                self.is_escaped = byte == b'\\' && !self.is_escaped;
                continue;
            }
            match byte {
                b'"' => self.is_string = true,
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    if self.depth == 0 {
                        return Some(at + 1);
                    }
                }
                _ => {}
            }
        }
        None
    }
}

/// A choice in any order: the name as a JSON string, and the arguments, which may be in a text.
fn unordered(text: &str, names: &[String]) -> Option<(String, String)> {
    #[derive(Deserialize)]
    struct Chosen<'a> {
        #[serde(borrow)]
        name: &'a RawValue,
        #[serde(borrow, alias = "arguments")]
        parameters: &'a RawValue,
    }

    let chosen: Chosen<'_> = serde_json::from_str(text).ok()?;
    let unwrapped = json::text(chosen.parameters);
    let arguments = unwrapped.as_deref().unwrap_or(chosen.parameters.get());
    let object: &RawValue = serde_json::from_str(arguments).ok()?;
    let is_call = Kind::of(object) == Kind::Object && is_offered(chosen.name.get(), names);
    is_call.then(|| (chosen.name.get().to_owned(), object.get().to_owned()))
}

/// Whether one of the tools has this name, a JSON string.
fn is_offered(name: &str, names: &[String]) -> bool {
    serde_json::from_str::<String>(name).is_ok_and(|name| names.contains(&name))
}

#[cfg(test)]
mod tests;
