//! The texts of a streamed response, as texts: what the model server cuts in two is still found.

use crate::json::{self, Document, Edits, Kind, Node};
use crate::types::{Event, Fault};
use crate::window::{JsonWindow, Matcher, TextWindow, replaced};

/// Texts of a stream at the same time. A chat has one or two for each choice, and one for each call of a tool.
const TEXTS: usize = 512;
/// Members of a delta that are no texts.
const NAMES: [&str; 5] = ["role", "type", "id", "name", "index"];
/// What a chunk that carries held text has in common with the others.
const ENVELOPE: [&str; 5] = ["id", "object", "created", "model", "system_fingerprint"];

/// What to look for in a stream, and what to do with all that is not a streamed text.
pub trait Rewrite: Matcher {
    /// Changes what is left of a chunk or of an error. `streamed` has the numbers of the values that are texts of a delta.
    ///
    /// # Errors
    /// Ends the stream with an error.
    fn rest(
        &mut self,
        document: &Document<'_>,
        streamed: &[usize],
        edits: &mut Edits,
    ) -> Result<(), Fault> {
        let _ = (document, streamed, edits);
        Ok(())
    }

    /// Whether a string of a delta is a text that goes on from chunk to chunk. All others are part of the rest.
    ///
    /// Unless this is implemented: all but names and data, such as sound.
    fn is_text(&self, document: &Document<'_>, node: &Node) -> bool {
        is_text(document, node)
    }

    /// Decides on an event that is neither a chunk, nor an error, nor `[DONE]`. `None` passes it as it is.
    ///
    /// # Errors
    /// Ends the stream with an error.
    fn unknown(&mut self, data: &str) -> Result<Option<String>, Fault> {
        let _ = data;
        Ok(None)
    }
}

impl Rewrite for &crate::window::Words {}

/// Rewrites the texts of a streamed response: keep it in the state of the exchange.
///
/// # Shape
/// Each choice has texts of several kinds: content, thoughts, refusal, the arguments of each tool call, and what else a model
/// server puts into a delta. Each has a [`TextWindow`] of its own, arguments a [`JsonWindow`]. Everything else of a chunk stays as
/// it is written, and no chunk is left out: one whose text is held back has an empty text.
///
/// Held text is sent in a chunk of its own before another text of its choice goes on, before the choice ends, before `[DONE]`, and
/// at the end: texts, calls, finish and usage keep their order. If the stream fails, held text is dropped.
///
/// ```
/// use sluicegate_plugin::chat::Deltas;
/// use sluicegate_plugin::{Event, window::Words};
/// let words = Words::new(["tiger"], "cat").unwrap();
/// let chunk = |text| Event::data(format!(r#"{{"id":"1","choices":[{{"index":0,"delta":{{"content":"{text}"}}}}]}}"#));
/// let mut deltas = Deltas::default();
/// let batch = vec![chunk("A ti"), chunk("ger and a ti")];
/// let mut sent = deltas.rewrite(batch, &words).unwrap().unwrap();
/// sent.extend(deltas.end(&words));
/// let sent: Vec<_> = sent.into_iter().map(|event| event.data).collect();
/// assert_eq!(sent, [
///     r#"{"id":"1","choices":[{"index":0,"delta":{"content":"A "}}]}"#,
///     r#"{"id":"1","choices":[{"index":0,"delta":{"content":"cat and a "}}]}"#,
///     r#"{"id":"1","choices":[{"index":0,"delta":{"content":"ti"},"finish_reason":null}]}"#,
/// ]);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Deltas {
    texts: Vec<Text>,
    /// The members of [`ENVELOPE`], with a comma behind each.
    envelope: Option<String>,
}

/// One text of a choice.
#[derive(Clone, Debug)]
struct Text {
    choice: u64,
    path: Vec<Step>,
    window: TextWindow,
}

/// A step from a choice to a text.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Member(Box<str>),
    /// An element with this `index`.
    Indexed(u64),
    /// An element at this position.
    At(usize),
}

/// A text in a chunk.
struct Found<'a> {
    choice: u64,
    path: Vec<Step>,
    node: &'a Node,
}

impl Deltas {
    /// Rewrites the events of a batch; `None` if nothing changes.
    ///
    /// # Errors
    /// 502 `upstream_invalid` for a chunk that has an escape which is no character, or more texts than a response can have; and
    /// those of `rewrite`.
    pub fn rewrite(
        &mut self,
        batch: Vec<Event>,
        mut rewrite: impl Rewrite,
    ) -> Result<Option<Vec<Event>>, Fault> {
        let count = batch.len();
        let mut out = Vec::with_capacity(count);
        let mut is_changed = false;
        for event in batch {
            let data = self.event(&event.data, &mut rewrite, &mut out)?;
            is_changed |= data.is_some();
            out.push(Event {
                data: data.unwrap_or(event.data),
                ..event
            });
        }
        Ok((is_changed || out.len() > count).then_some(out))
    }

    /// What is still held back when the stream has ended.
    pub fn end(&mut self, mut matcher: impl Matcher) -> Vec<Event> {
        let mut out = Vec::new();
        self.flush(&mut matcher, |_| true, &mut out);
        out
    }

    /// The new data of an event, if it changes. What has to come before it goes into `out`.
    fn event(
        &mut self,
        data: &str,
        rewrite: &mut impl Rewrite,
        out: &mut Vec<Event>,
    ) -> Result<Option<String>, Fault> {
        match data.trim_ascii() {
            "" => return Ok(None),
            "[DONE]" => {
                self.flush(rewrite, |_| true, out);
                return Ok(None);
            }
            _ => {}
        }
        let Some(document) = Document::read(data) else {
            return rewrite.unknown(data);
        };
        let root = document.root();
        let member = |name| (root.kind() == Kind::Object).then(|| document.member(root, name))?;
        if let Some(error) = member("error").filter(|it| it.kind() != Kind::Null) {
            self.texts.clear();
            return failure(&document, error, rewrite);
        }
        match member("choices").filter(|it| it.kind() == Kind::Array) {
            Some(choices) => self.chunk(&document, choices, rewrite, out),
            None => rewrite.unknown(data),
        }
    }

    fn chunk(
        &mut self,
        document: &Document<'_>,
        choices: &Node,
        rewrite: &mut impl Rewrite,
        out: &mut Vec<Event>,
    ) -> Result<Option<String>, Fault> {
        if self.envelope.is_none() {
            self.envelope = Some(envelope(document));
        }
        let mut edits = Edits::default();
        let mut streamed = Vec::new();
        for choice in document.children(choices) {
            let index = index(document, choice).unwrap_or(0);
            let found = texts(document, choice, index, rewrite);
            let begins = |it: &Found<'_>| !matches!(document.raw(it.node), "\"\"");
            let ends = document
                .member(choice, "finish_reason")
                .is_some_and(|it| it.kind() != Kind::Null);
            // Another text goes on, or the choice ends: what is held of the others comes first.
            if ends || found.iter().any(begins) || calls(document, choice) {
                let goes_on = |text: &Text| found.iter().any(|it| it.is(text));
                let others = |text: &Text| text.choice == index && !goes_on(text);
                self.flush(rewrite, others, out);
            }
            for it in found {
                streamed.push(it.node.number());
                let Some(text) = document.text(it.node) else {
                    return Err(invalid("The model server sent half of a character."));
                };
                let new = self.text(&it)?.feed(rewrite, &text, ends);
                if new != text {
                    edits.text(it.node.span(), &new);
                }
            }
        }
        rewrite.rest(document, &streamed, &mut edits)?;
        Ok(edits.apply(document.source()))
    }

    fn text(&mut self, found: &Found<'_>) -> Result<&mut Text, Fault> {
        let place = self.texts.iter().position(|text| found.is(text));
        let place = match place {
            Some(place) => place,
            None if self.texts.len() == TEXTS => {
                return Err(invalid("The model server sent too many texts at once."));
            }
            None => {
                self.texts.push(Text::new(found));
                self.texts.len() - 1
            }
        };
        Ok(&mut self.texts[place])
    }

    /// Sends what is held back of some texts.
    fn flush(
        &mut self,
        matcher: &mut impl Matcher,
        of: impl Fn(&Text) -> bool,
        out: &mut Vec<Event>,
    ) {
        for text in self.texts.iter_mut().filter(|text| of(text)) {
            let held = text.pause(matcher);
            if held.is_empty() {
                continue;
            }
            let mut data = String::with_capacity(256);
            data.push('{');
            data.push_str(self.envelope.as_deref().unwrap_or_default());
            data.push_str("\"choices\":[{\"index\":");
            json::push_u64(&mut data, text.choice);
            data.push(',');
            push_at(&mut data, &text.path, &held);
            data.push_str(",\"finish_reason\":null}]}");
            out.push(Event::data(data));
        }
    }
}

impl Found<'_> {
    fn is(&self, text: &Text) -> bool {
        self.choice == text.choice && self.path == text.path
    }
}

impl Text {
    fn new(found: &Found<'_>) -> Self {
        let is_json =
            matches!(found.path.last(), Some(Step::Member(name)) if &**name == "arguments");
        Self {
            choice: found.choice,
            path: found.path.clone(),
            window: if is_json {
                TextWindow::Json(JsonWindow::default())
            } else {
                TextWindow::default()
            },
        }
    }

    fn feed(&mut self, matcher: &mut impl Matcher, text: &str, ends: bool) -> String {
        let mut out = String::with_capacity(text.len());
        self.window.feed(&mut *matcher, text, &mut out);
        if ends {
            self.window.pause(matcher, &mut out);
        }
        out
    }

    fn pause(&mut self, matcher: &mut impl Matcher) -> String {
        let mut out = String::new();
        self.window.pause(matcher, &mut out);
        out
    }
}

/// Rewrites an error, which ends the stream.
fn failure(
    document: &Document<'_>,
    error: &Node,
    rewrite: &mut impl Rewrite,
) -> Result<Option<String>, Fault> {
    let mut edits = Edits::default();
    rewrite.rest(document, &[], &mut edits)?;
    let message = match error.kind() {
        Kind::Object => document.member(error, "message"),
        Kind::String => Some(error),
        Kind::Null | Kind::Bool | Kind::Number | Kind::Array => None,
    };
    if edits.is_empty()
        && let Some(message) = message
        && let Some(text) = document.text(message)
        && let Some(new) = replaced(&mut *rewrite, &text)
    {
        edits.text(message.span(), &new);
    }
    Ok(edits.apply(document.source()))
}

/// The texts of a choice: in `delta`, or `text` in a completion.
fn texts<'a>(
    document: &'a Document<'_>,
    choice: &'a Node,
    index: u64,
    rewrite: &impl Rewrite,
) -> Vec<Found<'a>> {
    let mut found = Vec::new();
    for member in document.children(choice) {
        match (document.name(member).as_deref(), member.kind()) {
            (Some("text"), Kind::String) => found.push(Found {
                choice: index,
                path: vec![Step::Member("text".into())],
                node: member,
            }),
            (Some("delta"), Kind::Object) => {
                let strings = document.within(member).iter();
                let strings = strings.filter(|it| it.kind() == Kind::String);
                let texts = strings.filter(|it| rewrite.is_text(document, it));
                found.extend(texts.map(|node| Found {
                    choice: index,
                    path: path(document, choice, node),
                    node,
                }));
            }
            _ => {}
        }
    }
    found
}

fn is_text(document: &Document<'_>, node: &Node) -> bool {
    let Some(name) = document.name(node) else {
        return true;
    };
    let is_sound = || {
        let parent = document.parent(node).and_then(|it| document.name(it));
        name == "data" && parent.is_some_and(|parent| parent == "audio")
    };
    !NAMES.contains(&&*name) && !is_sound()
}

/// Whether a choice has something of a tool call, be it only its name.
fn calls(document: &Document<'_>, choice: &Node) -> bool {
    let delta = document.member(choice, "delta");
    let calls = delta.and_then(|delta| document.member(delta, "tool_calls"));
    calls.is_some_and(|calls| document.children(calls).next().is_some())
}

/// The steps from a choice to a value in it.
fn path(document: &Document<'_>, choice: &Node, node: &Node) -> Vec<Step> {
    let mut path = Vec::with_capacity(5);
    let mut at = node;
    while at.number() != choice.number() {
        path.push(match document.name(at) {
            Some(name) => Step::Member(Box::from(&*name)),
            None => match index(document, at) {
                Some(index) => Step::Indexed(index),
                None => Step::At(at.position()),
            },
        });
        let Some(parent) = document.parent(at) else {
            break;
        };
        at = parent;
    }
    path.reverse();
    path
}

/// The member `index` of an object.
fn index(document: &Document<'_>, node: &Node) -> Option<u64> {
    if node.kind() != Kind::Object {
        return None;
    }
    let index = document.member(node, "index")?;
    document.raw(index).parse().ok()
}

fn envelope(document: &Document<'_>) -> String {
    let mut out = String::new();
    for name in ENVELOPE {
        if let Some(value) = document.member(document.root(), name) {
            json::push_str(&mut out, name);
            out.push(':');
            out.push_str(document.raw(value));
            out.push(',');
        }
    }
    out
}

/// Appends a text with all that is around it on its path.
fn push_at(out: &mut String, path: &[Step], text: &str) {
    match path {
        [] => json::push_str(out, text),
        [Step::Member(name), rest @ ..] => {
            json::push_str(out, name);
            out.push(':');
            let (before, after) = match rest.first() {
                Some(Step::Member(_)) => ("{", "}"),
                Some(Step::Indexed(_) | Step::At(_)) | None => ("", ""),
            };
            out.push_str(before);
            push_at(out, rest, text);
            out.push_str(after);
        }
        [step @ (Step::Indexed(_) | Step::At(_)), rest @ ..] => {
            let is_object = matches!(rest.first(), Some(Step::Member(_)));
            out.push_str(if is_object { "[{" } else { "[" });
            if let (Step::Indexed(index), true) = (step, is_object) {
                out.push_str("\"index\":");
                json::push_u64(out, *index);
                out.push(',');
            }
            push_at(out, rest, text);
            out.push_str(if is_object { "}]" } else { "]" });
        }
    }
}

fn invalid(message: &str) -> Fault {
    Fault::upstream("upstream_invalid", message)
}

#[cfg(test)]
mod tests;
