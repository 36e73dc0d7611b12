//! One choice: what the server sent of it becomes deltas that any client can rely on.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;
use sluicegate_plugin::Fault;
use sluicegate_plugin::json::{self, Kind};

use super::calls::Calls;
use super::logprobs::Logprobs;
use super::part::Part;
use super::split::{Next, Split, Texts};
use super::stops::Stops;
use super::{Delta, Shown, finish};
use crate::failure;

/// Where a call begins and ends in a text.
const CALL: (&str, &str) = ("<tool_call>", "</tool_call>");

/// Members of OpenRouter and others that repeat the thoughts.
const MORE_THOUGHTS: &str = "reasoning_details";

/// The state of one choice.
#[derive(Debug)]
pub(super) struct Choice {
    split: Split,
    calls: Calls,
    logprobs: Logprobs,
    stops: Stops,
    finish: Option<&'static str>,
    /// Whether it was ended although the server had not ended it.
    is_cut: bool,
    /// Whether it is one of a `text_completion`.
    is_text: bool,
}

#[derive(Deserialize)]
struct Tokens<'a> {
    #[serde(borrow)]
    content: Option<&'a RawValue>,
}

impl Choice {
    pub(super) fn new(shown: &Shown) -> Self {
        Self {
            split: Split::new(shown.marks),
            calls: Calls::default(),
            logprobs: Logprobs::default(),
            stops: Stops::new(&shown.habits.stops),
            finish: None,
            is_cut: false,
            is_text: false,
        }
    }

    /// The finish reason; `None` if it has not come.
    pub(super) fn finish(&self) -> Option<&'static str> {
        self.finish
    }

    /// Whether it was ended although the server had not ended it.
    pub(super) fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// Takes what a record says. What comes after the finish reason is left out. `is_last` says that more is not wanted.
    ///
    /// # Errors
    /// A failure that is told as a finish reason; 502 `upstream_invalid`.
    pub(super) fn take<'a>(
        &mut self,
        part: Part<'a>,
        shown: &Shown,
        is_last: bool,
    ) -> Result<Vec<Delta<'a>>, Fault> {
        let mut out = Vec::with_capacity(4);
        if self.finish.is_some() {
            return Ok(out);
        }
        let given = part.finish.map(finish::reason).transpose()?.flatten();
        let mut reason = given.or(is_last.then_some("length"));
        if part.is_whole && part.calls.is_empty() && shown.habits.is_full() {
            reason = reason.map(|_| "length");
        }
        let begun = part.content.filter(|_| part.is_whole && shown.calls);
        let content = match begun.and_then(before_call) {
            Some(before) => {
                reason = reason.map(|_| "length");
                Some(Cow::Owned(before))
            }
            None => part.content.map(|raw| Cow::Borrowed(raw.get())),
        };
        if let Some(thoughts) = part.thoughts {
            self.split.saw_thoughts();
            out.push(Delta::Thoughts(Cow::Borrowed(thoughts.get())));
        }
        self.is_text |= part.text.is_some();
        let stopped = if self.is_text {
            let is_end = part.finish.is_some_and(|raw| raw.get() == "\"eos_token\"");
            let text = part.text.filter(|_| !(shown.habits.shows_end && is_end));
            self.text(text, reason, part.logprobs, &mut out)
        } else {
            self.content(content, reason, part.logprobs, &mut out)?
        };
        out.extend(
            part.members
                .into_iter()
                .map(|(name, raw)| Delta::Member(name, raw)),
        );
        self.calls.take(
            part.calls,
            part.is_whole,
            shown.habits.repeats_ids,
            &mut out,
        )?;
        if stopped {
            reason = Some("stop");
        }
        if let Some(reason) = reason {
            self.is_cut = given.is_none();
            self.end(reason, &mut out);
        }
        Ok(shown.only(out))
    }

    /// Ends the choice with the finish reason that it should have had, if the server gave none.
    pub(super) fn end_without_reason(&mut self, shown: &Shown) -> Vec<Delta<'static>> {
        let mut out = Vec::new();
        if self.finish.is_none() {
            let Texts { thoughts, content } = self.split.push("\"\"", Next::End);
            let (content, _) = self.stops.push(content, true);
            out.extend(thoughts.map(Delta::Thoughts));
            out.extend(content.map(|content| {
                if self.is_text {
                    Delta::Text(content, None)
                } else {
                    Delta::Content(content, None)
                }
            }));
            self.end("stop", &mut out);
        }
        shown.only(out)
    }

    /// Takes the text of a `text_completion`. Returns whether a stop sequence has come.
    fn text<'a>(
        &mut self,
        text: Option<&'a RawValue>,
        reason: Option<&'static str>,
        logprobs: Option<&'a RawValue>,
        out: &mut Vec<Delta<'a>>,
    ) -> bool {
        let text = text.filter(|raw| Kind::of(raw) == Kind::String);
        let text = text.map(|raw| Cow::Borrowed(raw.get()));
        let (text, stopped) = self.stops.push(text, reason.is_some());
        out.extend(text.map(|text| Delta::Text(text, logprobs)));
        stopped
    }

    /// Takes content, which may have thoughts in it. Returns whether a stop sequence has come.
    fn content<'a>(
        &mut self,
        content: Option<Cow<'a, str>>,
        reason: Option<&'static str>,
        logprobs: Option<&RawValue>,
        out: &mut Vec<Delta<'a>>,
    ) -> Result<bool, Fault> {
        let next = match reason {
            None => Next::More,
            Some("length") => Next::Cut,
            Some(_) => Next::End,
        };
        let Texts { thoughts, content } = match (content, next) {
            (None, Next::More) => Texts::default(),
            (Some(Cow::Borrowed(content)), _) => self.split.push(content, next),
            (Some(Cow::Owned(content)), _) => self.split.push(&content, next).into_owned(),
            (None, _) => self.split.push("\"\"", next),
        };
        let (content, stopped) = self.stops.push(content, next != Next::More);
        out.extend(thoughts.map(Delta::Thoughts));
        let thinks = !out.is_empty() || self.split.is_thinking();
        let tokens = logprobs.and_then(|raw| serde_json::from_str::<Tokens<'_>>(raw.get()).ok());
        let logprobs = match tokens.and_then(|tokens| tokens.content) {
            Some(tokens) => self
                .logprobs
                .of(content.as_deref(), thinks, tokens)
                .map_err(|_| failure::nonsense())?,
            None => None,
        };
        out.extend(content.map(|content| Delta::Content(content, logprobs)));
        Ok(stopped)
    }

    fn end(&mut self, reason: &'static str, out: &mut Vec<Delta<'_>>) {
        let complete = self.calls.end(reason == "length", out);
        let reason = match (reason, complete) {
            // The model wrote a call that nobody can read: the response is as incomplete as one that was cut.
            ("stop" | "tool_calls" | "function_call", false) => "length",
            ("stop" | "function_call", true) if !self.calls.is_empty() => "tool_calls",
            ("tool_calls", true) if self.calls.is_empty() => "stop",
            (reason, _) => reason,
        };
        self.finish = Some(reason);
        out.push(Delta::Finish(reason));
    }
}

impl Shown {
    /// The deltas that the client wants, in the form that it knows.
    fn only<'a>(&self, deltas: Vec<Delta<'a>>) -> Vec<Delta<'a>> {
        let mut deltas = deltas;
        deltas.retain(|delta| match delta {
            Delta::Thoughts(_) => !self.thoughts.is_empty(),
            Delta::Member(name, _) => {
                let are_thoughts = self.thoughts.is_empty() && name == MORE_THOUGHTS;
                !are_thoughts && !self.hidden.contains(&&**name)
            }
            Delta::Content(..)
            | Delta::Text(..)
            | Delta::Call { .. }
            | Delta::Arguments { .. }
            | Delta::Function { .. }
            | Delta::Finish(_) => true,
        });
        if self.functions {
            deltas = deltas.into_iter().filter_map(as_function).collect();
        }
        deltas
    }
}

/// A delta for a client that asked with `functions`, which knows only one call.
fn as_function(delta: Delta<'_>) -> Option<Delta<'_>> {
    Some(match delta {
        Delta::Call { at, .. } | Delta::Arguments { at, .. } if at > 0 => return None,
        Delta::Call {
            name, arguments, ..
        } => Delta::Function {
            name: Some(name),
            arguments,
        },
        Delta::Arguments { arguments, .. } => Delta::Function {
            name: None,
            arguments,
        },
        Delta::Finish("tool_calls") => Delta::Finish("function_call"),
        delta => delta,
    })
}

/// The text before a call that begins in a JSON string and does not end; `None` if there is no such call.
fn before_call(raw: &RawValue) -> Option<String> {
    let text = json::text(raw)?;
    let at = text.rfind(CALL.0)?;
    if text[at..].contains(CALL.1) {
        return None;
    }
    let mut before = String::with_capacity(at + 2);
    json::push_str(&mut before, text[..at].trim_end());
    Some(before)
}
