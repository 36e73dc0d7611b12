//! A line, or a whole response, as what the client may see: thoughts, content and calls.
//!
//! Ollama splits thoughts off the content only for templates that it recognizes, and has no forced calls; both are made here.

use std::borrow::Cow;

use sluicegate_openai_api::Logprobs;
use sluicegate_openai_api::response::split::{Next, Split, Texts};
use sluicegate_plugin::Fault;
use sluicegate_plugin::json;

use super::delta::Delta;
use super::forced::{self, Part};
use super::line::{Ending, Line, Message};
use super::{Shown, tools};
use crate::failure;

const NO_TOKENS: &str = "[]";

/// The state of a message.
#[derive(Debug)]
pub(super) struct Reader {
    split: Split,
    logprobs: Logprobs,
    forced: Option<forced::Call>,
    calls: u64,
    /// The place of the forced call among the calls: Ollama's own may come before it, and between its arguments.
    forced_at: u64,
    /// Whether the arguments of a call cannot be read.
    is_unreadable: bool,
}

impl Reader {
    /// A message at its beginning.
    pub(super) fn new(shown: &Shown) -> Self {
        Self {
            split: Split::new(shown.marks),
            logprobs: Logprobs::default(),
            forced: shown.forced.as_ref().map(forced::Call::new),
            calls: 0,
            forced_at: 0,
            is_unreadable: false,
        }
    }

    /// Whether a line with nothing but a text is shown as it is.
    pub(super) fn is_plain(&self) -> bool {
        self.split.is_over() && self.forced.is_none()
    }

    /// The number of calls so far.
    pub(super) fn calls(&self) -> u64 {
        self.calls
    }

    /// Takes a line.
    ///
    /// # Errors
    /// 502 `upstream_invalid`.
    pub(super) fn take<'a>(&mut self, line: &Line<'a>) -> Result<Vec<Delta<'a>>, Fault> {
        let empty = Message::default();
        let message = line.message.as_ref().unwrap_or(&empty);
        let mut out = Vec::with_capacity(2);
        if let Some(thoughts) = message.thinking() {
            // It has split this message itself.
            self.split.leave();
            out.push(Delta::Thoughts(Cow::Borrowed(thoughts)));
        }
        let is_cut = line.ending(false).finish == "length";
        let next = match (line.done, is_cut) {
            (false, _) => Next::More,
            (true, true) => Next::Cut,
            (true, false) => Next::End,
        };
        let Texts { thoughts, content } = match (message.content(), next) {
            (None, Next::More) => Texts::default(),
            (content, next) => self.split.push(content.unwrap_or("\"\""), next),
        };
        let thinks = !out.is_empty() || thoughts.is_some() || self.split.is_thinking();
        out.extend(thoughts.map(Delta::Thoughts));
        let logprobs = self.logprobs(line, content.as_deref(), thinks)?;
        match &mut self.forced {
            None => out.extend(content.map(|content| Delta::Content(content, logprobs))),
            Some(forced) => {
                let mut parts = Vec::new();
                if let Some(content) = content {
                    let text: String =
                        serde_json::from_str(&content).map_err(|_| failure::nonsense())?;
                    forced.push(&text, &mut parts);
                }
                if line.done {
                    forced.end(is_cut, &mut parts);
                }
                if parts.iter().any(|part| matches!(part, Part::Call(_))) {
                    self.forced_at = self.calls;
                }
                let at = self.forced_at;
                out.extend(parts.into_iter().map(|part| delta(part, at)));
            }
        }
        for call in tools::read(message.tool_calls)? {
            self.is_unreadable |= !call.is_readable();
            out.push(call.delta());
        }
        let begins = |delta: &&Delta<'_>| matches!(delta, Delta::Call { .. });
        self.calls += out.iter().filter(begins).count() as u64;
        Ok(out)
    }

    /// How the response ended with this line.
    pub(super) fn ending(&self, line: &Line<'_>) -> Ending {
        // Ollama's own calls too, beside a forced one.
        let ending = line.ending(self.calls > 0);
        let finish = match &self.forced {
            Some(forced) => forced.finish(ending.finish),
            None => ending.finish,
        };
        Ending {
            finish: if finish == "tool_calls" && self.is_unreadable {
                "length"
            } else {
                finish
            },
            ..ending
        }
    }

    fn logprobs(
        &mut self,
        line: &Line<'_>,
        content: Option<&str>,
        thinks: bool,
    ) -> Result<Option<String>, Fault> {
        let tokens = match line.logprobs {
            Some(tokens) => tokens,
            // What was held back because it began as a mark comes now, after its tokens.
            None if line.done && self.logprobs.has_held() => {
                serde_json::from_str(NO_TOKENS).expect("an empty list")
            }
            None => return Ok(None),
        };
        let logprobs = self.logprobs.of(content, thinks, tokens);
        logprobs.map_err(|_| failure::nonsense())
    }
}

/// A part of the forced call at this place.
fn delta<'a>(part: Part, at: u64) -> Delta<'a> {
    let escaped = |text: &str| {
        let mut out = String::with_capacity(text.len() + 16);
        json::push_escaped(&mut out, text);
        out
    };
    match part {
        Part::Call(name) => Delta::Call {
            id: Cow::Owned(tools::new_id()),
            name: Cow::Owned(name),
            arguments: Cow::Borrowed(""),
        },
        Part::Arguments(text) => Delta::Arguments(at, escaped(&text)),
        Part::Text(text) => Delta::Content(Cow::Owned(format!("\"{}\"", escaped(&text))), None),
    }
}
