//! One object of Ollama's APIs for chats and for prompts: a line of a stream, or the whole response.

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use sluicegate_plugin::Fault;
use sluicegate_plugin::json::{self, Text};

use crate::failure;

/// A line. Every member may be missing: old servers leave out much, and an error is a line with only `error`.
#[derive(Debug, Deserialize)]
pub(super) struct Line<'a> {
    #[serde(borrow)]
    pub(super) created_at: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) message: Option<Message<'a>>,
    /// The text after a prompt.
    #[serde(borrow)]
    response: Option<&'a RawValue>,
    #[serde(default, deserialize_with = "or_false")]
    pub(super) done: bool,
    #[serde(borrow)]
    done_reason: Option<Text<'a>>,
    #[serde(borrow)]
    prompt_eval_count: Option<&'a RawValue>,
    #[serde(borrow)]
    eval_count: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) logprobs: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Message<'a> {
    #[serde(borrow)]
    content: Option<&'a RawValue>,
    #[serde(borrow)]
    thinking: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) tool_calls: Option<&'a RawValue>,
}

/// The only text of a message, by its member.
#[derive(Clone, Copy, Debug)]
pub(super) enum Only<'a> {
    /// `content`
    Content(&'a RawValue),
    /// `thinking`
    Thinking(&'a RawValue),
}

impl<'a> Line<'a> {
    /// The text after a prompt as a raw JSON string; `None` if it is empty.
    pub(super) fn text(&self) -> Option<&'a str> {
        filled(self.response)
    }

    /// Whether the line has log probabilities, of whatever text.
    pub(super) fn has_logprobs(&self) -> bool {
        self.logprobs.is_some()
    }

    /// Whether the line has a text, of whatever kind.
    pub(super) fn has_text(&self) -> bool {
        let message = self.message.as_ref();
        message.is_some_and(|it| it.thinking().is_some() || it.content().is_some())
    }

    /// Reads the whole response.
    ///
    /// # Errors
    /// As [`Line::read`]; 502 `upstream_truncated` if it is not complete.
    pub(super) fn read_whole(data: &'a [u8]) -> Result<Self, Fault> {
        let text = std::str::from_utf8(data).map_err(|_| failure::nonsense())?;
        let line = Self::read(text)?;
        if line.done {
            Ok(line)
        } else {
            Err(failure::truncated())
        }
    }

    /// Reads a line.
    ///
    /// # Errors
    /// Ollama's error, an error for a model that was only loaded, or 502 `upstream_invalid` for an invalid line.
    pub(super) fn read(text: &'a str) -> Result<Self, Fault> {
        let line: Self = serde_json::from_str(text).map_err(|_| failure::nonsense())?;
        if let Some(error) = line.error {
            return Err(failure::of_error(502, error));
        }
        match line.reason() {
            Some("load" | "unload") => Err(failure::nothing_asked()),
            Some(_) | None => Ok(line),
        }
    }

    fn reason(&self) -> Option<&str> {
        self.done_reason.as_ref().map(|Text(reason)| &**reason)
    }

    /// How the response ended. `called` says whether the model called a tool.
    pub(super) fn ending(&self, called: bool) -> Ending {
        let prompt = count(self.prompt_eval_count).unwrap_or(0);
        let completion = count(self.eval_count).unwrap_or(0);
        let finish = match self.reason() {
            Some("length") => "length",
            // `stop`, no reason, and any reason of later versions.
            Some(_) | None if called => "tool_calls",
            Some(_) | None => "stop",
        };
        Ending {
            finish,
            prompt,
            completion,
        }
    }
}

impl<'a> Message<'a> {
    /// The raw text of a message with a single text and nothing else; it may be empty.
    pub(super) fn only_text(&self) -> Option<Only<'a>> {
        if self.tool_calls.is_some() {
            return None;
        }
        match (self.thinking(), self.content()) {
            (None, _) => self.content.map(Only::Content),
            (Some(_), None) => self.thinking.map(Only::Thinking),
            (Some(_), Some(_)) => None,
        }
    }

    /// The content as a raw JSON string; `None` if it is empty.
    pub(super) fn content(&self) -> Option<&'a str> {
        filled(self.content)
    }

    /// The thoughts as a raw JSON string; `None` if there are none.
    pub(super) fn thinking(&self) -> Option<&'a str> {
        filled(self.thinking)
    }
}

fn or_false<'de, D: Deserializer<'de>>(value: D) -> Result<bool, D::Error> {
    Option::deserialize(value).map(Option::unwrap_or_default)
}

/// A count of tokens; `None` if it cannot be read: that is no reason to lose the response.
fn count(raw: Option<&RawValue>) -> Option<u64> {
    let text = raw?.get();
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let is_whole = fraction.bytes().all(|digit| digit == b'0');
    whole.parse().ok().filter(|_| is_whole)
}

fn filled(raw: Option<&RawValue>) -> Option<&str> {
    let raw = raw?;
    json::string_inner(raw).filter(|inner| !inner.is_empty())?;
    Some(raw.get())
}

/// How a response ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    /// OpenAI's finish reason.
    pub finish: &'static str,
    /// Tokens of the prompt.
    pub prompt: u64,
    /// Tokens of the response.
    pub completion: u64,
}

impl Ending {
    /// The usage in OpenAI's form.
    pub fn usage(&self) -> String {
        let mut out = String::with_capacity(96);
        out.push_str("{\"prompt_tokens\":");
        json::push_u64(&mut out, self.prompt);
        out.push_str(",\"completion_tokens\":");
        json::push_u64(&mut out, self.completion);
        out.push_str(",\"total_tokens\":");
        json::push_u64(&mut out, self.prompt.saturating_add(self.completion));
        out.push('}');
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_that_cannot_be_read_is_unknown() {
        for (said, expected) in [
            ("7", 7),
            ("1.0", 1),
            ("12.00", 12),
            ("0", 0),
            ("18446744073709551615", u64::MAX),
            ("18446744073709551616", 0),
            ("1.5", 0),
            ("1e2", 0),
            ("1.0e1", 0),
            ("-1", 0),
            ("-1.0", 0),
            ("null", 0),
            ("\"7\"", 0),
            ("[7]", 0),
            ("true", 0),
        ] {
            let text =
                format!("{{\"done\":true,\"prompt_eval_count\":{said},\"eval_count\":{said}}}");
            let ending = Line::read(&text).expect("a line").ending(false);
            assert_eq!(
                (ending.prompt, ending.completion),
                (expected, expected),
                "{said}"
            );
        }
    }

    #[test]
    fn a_line_is_the_last_if_it_says_so() {
        for (said, expected) in [
            ("{}", Some(false)),
            ("{\"done\":null}", Some(false)),
            ("{\"done\":false}", Some(false)),
            ("{\"done\":true}", Some(true)),
            ("{\"done\":\"yes\"}", None),
        ] {
            let line = Line::read(said).ok();
            assert_eq!(line.map(|line| line.done), expected, "{said}");
        }
    }
}
