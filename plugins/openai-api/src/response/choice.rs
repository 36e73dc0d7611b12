//! One choice: what the server sent of it becomes pieces that any client can rely on.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;
use sluicegate_plugin::Fault;
use sluicegate_plugin::json::{self, Kind};

use super::calls::Calls;
use super::logprobs::Logprobs;
use super::part::Part;
use super::split::{Next, Split, Texts};
use super::{Piece, Shown, finish};
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
    finish: Option<&'static str>,
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
            finish: None,
        }
    }

    /// The finish reason; `None` if it has not come.
    pub(super) fn finish(&self) -> Option<&'static str> {
        self.finish
    }

    /// Takes what a record says. What comes after the finish reason is left out.
    ///
    /// # Errors
    /// A failure that is told as a finish reason; 502 `upstream_invalid`.
    pub(super) fn take<'a>(
        &mut self,
        part: Part<'a>,
        shown: &Shown,
    ) -> Result<Vec<Piece<'a>>, Fault> {
        let mut out = Vec::with_capacity(4);
        if self.finish.is_some() {
            return Ok(out);
        }
        let mut reason = part.finish.map(finish::reason).transpose()?.flatten();
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
            out.push(Piece::Thoughts(Cow::Borrowed(thoughts.get())));
        }
        self.texts(
            content,
            reason,
            part.logprobs.filter(|_| part.text.is_none()),
            &mut out,
        )?;
        if let Some(text) = part.text.filter(|raw| Kind::of(raw) == Kind::String) {
            out.push(Piece::Text(Cow::Borrowed(text.get()), part.logprobs));
        }
        if shown.thoughts.is_empty() {
            out.retain(|piece| !matches!(piece, Piece::Thoughts(_)));
        }
        for (name, raw) in part.members {
            let is_hidden = shown.hidden.contains(&&*name)
                || shown.thoughts.is_empty() && name == MORE_THOUGHTS;
            if !is_hidden {
                out.push(Piece::Member(name, raw));
            }
        }
        self.calls.take(part.calls, part.is_whole, &mut out)?;
        if let Some(reason) = reason {
            self.end(reason, &mut out);
        }
        if shown.functions {
            out = out.into_iter().filter_map(as_function).collect();
        }
        Ok(out)
    }

    /// Ends the choice with the finish reason that it should have had, if the server gave none.
    pub(super) fn end_without_reason(&mut self) -> Vec<Piece<'static>> {
        let mut out = Vec::new();
        if self.finish.is_none() {
            let Texts { thoughts, content } = self.split.push("\"\"", Next::End);
            out.extend(thoughts.map(Piece::Thoughts));
            out.extend(content.map(|content| Piece::Content(content, None)));
            self.end("stop", &mut out);
        }
        out
    }

    fn texts<'a>(
        &mut self,
        content: Option<Cow<'a, str>>,
        reason: Option<&'static str>,
        logprobs: Option<&RawValue>,
        out: &mut Vec<Piece<'a>>,
    ) -> Result<(), Fault> {
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
        out.extend(thoughts.map(Piece::Thoughts));
        let thinks = !out.is_empty() || self.split.is_thinking();
        let tokens = logprobs.and_then(|raw| serde_json::from_str::<Tokens<'_>>(raw.get()).ok());
        let logprobs = match tokens.and_then(|tokens| tokens.content) {
            Some(tokens) => self
                .logprobs
                .of(content.as_deref(), thinks, tokens)
                .map_err(|_| failure::nonsense())?,
            None => None,
        };
        out.extend(content.map(|content| Piece::Content(content, logprobs)));
        Ok(())
    }

    fn end(&mut self, reason: &'static str, out: &mut Vec<Piece<'_>>) {
        let complete = self.calls.end(reason == "length", out);
        let reason = match (reason, complete) {
            // The model wrote a call that nobody can read: the response is as incomplete as one that was cut.
            ("stop" | "tool_calls" | "function_call", false) => "length",
            ("stop" | "function_call", true) if !self.calls.is_empty() => "tool_calls",
            ("tool_calls", true) if self.calls.is_empty() => "stop",
            (reason, _) => reason,
        };
        self.finish = Some(reason);
        out.push(Piece::Finish(reason));
    }
}

/// A piece for a client that asked with `functions`, which knows only one call.
fn as_function(piece: Piece<'_>) -> Option<Piece<'_>> {
    Some(match piece {
        Piece::Call { at, .. } | Piece::Arguments { at, .. } if at > 0 => return None,
        Piece::Call {
            name, arguments, ..
        } => Piece::Function {
            name: Some(name),
            arguments,
        },
        Piece::Arguments { arguments, .. } => Piece::Function {
            name: None,
            arguments,
        },
        Piece::Finish("tool_calls") => Piece::Finish("function_call"),
        piece => piece,
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
