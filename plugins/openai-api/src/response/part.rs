//! Reads what a model server sends: a chunk of a stream or a whole completion, with raw values.
//!
//! Both have the same shape but for the name of one member, `delta` or `message`, so they are read alike.
//!
//! # Source
//! OpenAI API reference (document 2.3.0), "Chat completion object", "Chat completion chunk object", "Completion object".

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;
use sluicegate_plugin::Fault;
use sluicegate_plugin::json::{Kind, Members};

use crate::failure;

/// Members without a field of their own that are not `null`, in their order.
pub(super) type Extra<'a> = Vec<(Cow<'a, str>, &'a RawValue)>;

/// A chunk or a completion.
#[derive(Debug, Default)]
pub(super) struct Record<'a> {
    pub(super) parts: Vec<Part<'a>>,
    pub(super) usage: Option<&'a RawValue>,
    pub(super) extra: Extra<'a>,
    /// Whether it has the member `choices`.
    pub(super) has_choices: bool,
}

/// What one record says of one choice.
#[derive(Debug, Default)]
pub(super) struct Part<'a> {
    pub(super) index: Option<u64>,
    /// Whether it is a whole message instead of a delta.
    pub(super) is_whole: bool,
    pub(super) content: Option<&'a RawValue>,
    pub(super) thoughts: Option<&'a RawValue>,
    pub(super) calls: Vec<Call<'a>>,
    /// The other members of the message or delta.
    pub(super) members: Extra<'a>,
    /// In a `text_completion`.
    pub(super) text: Option<&'a RawValue>,
    pub(super) finish: Option<&'a RawValue>,
    pub(super) logprobs: Option<&'a RawValue>,
    /// The other members of the choice.
    pub(super) extra: Extra<'a>,
}

/// A tool call or a fragment of one.
#[derive(Debug, Deserialize)]
pub(super) struct Call<'a> {
    pub(super) index: Option<u64>,
    #[serde(borrow)]
    pub(super) id: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) function: Option<Function<'a>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Function<'a> {
    #[serde(borrow)]
    pub(super) name: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) arguments: Option<&'a RawValue>,
}

impl<'a> Record<'a> {
    /// Reads a record.
    ///
    /// # Errors
    /// The error in it; 502 `upstream_invalid` if it is not a record.
    pub(super) fn read(text: &'a str) -> Result<Self, Fault> {
        let Members(members) = parse(text)?;
        let is_error = |(name, raw): &(Cow<'_, str>, &RawValue)| match &**name {
            "error" => Kind::of(raw) != Kind::Null,
            "object" => raw.get() == "\"error\"",
            _ => false,
        };
        if members.iter().any(is_error) {
            return Err(failure::of_event(text));
        }
        let mut record = Self::default();
        for (name, raw) in present(members) {
            match &*name {
                "choices" => {
                    record.has_choices = true;
                    let choices: Vec<Members<'a>> = parse(raw.get())?;
                    record.parts = choices
                        .into_iter()
                        .map(Part::read)
                        .collect::<Result<_, _>>()?;
                }
                "usage" => record.usage = Some(raw),
                // The gateway's own; `obfuscation` is padding.
                "id" | "object" | "created" | "model" | "obfuscation" => {}
                _ => record.extra.push((name, raw)),
            }
        }
        Ok(record)
    }
}

impl<'a> Part<'a> {
    fn read(Members(members): Members<'a>) -> Result<Self, Fault> {
        let mut part = Self::default();
        for (name, raw) in present(members) {
            match &*name {
                "index" => part.index = parse(raw.get())?,
                "delta" => part.message(raw)?,
                "message" => {
                    part.is_whole = true;
                    part.message(raw)?;
                }
                "text" => part.text = Some(raw),
                "finish_reason" => part.finish = Some(raw),
                "logprobs" => part.logprobs = Some(raw),
                _ => part.extra.push((name, raw)),
            }
        }
        Ok(part)
    }

    fn message(&mut self, raw: &'a RawValue) -> Result<(), Fault> {
        let Members(members) = parse(raw.get())?;
        let mut older = None;
        for (name, raw) in present(members) {
            let is_text = Kind::of(raw) == Kind::String;
            match &*name {
                // Always the assistant; some servers repeat it in every chunk.
                "role" => {}
                "content" if is_text => self.content = Some(raw),
                "reasoning" if is_text => self.thoughts = Some(raw),
                "reasoning_content" if is_text => older = Some(raw),
                "tool_calls" => self.calls = parse(raw.get())?,
                _ => self.members.push((name, raw)),
            }
        }
        // Servers that send both names say the same twice.
        let is_filled = |raw: &&RawValue| raw.get() != "\"\"";
        self.thoughts = self.thoughts.filter(is_filled).or(older).filter(is_filled);
        Ok(())
    }
}

fn present<'a>(
    members: Vec<(Cow<'a, str>, &'a RawValue)>,
) -> impl Iterator<Item = (Cow<'a, str>, &'a RawValue)> {
    members
        .into_iter()
        .filter(|(_, raw)| Kind::of(raw) != Kind::Null)
}

fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Fault> {
    serde_json::from_str(text).map_err(|_| failure::nonsense())
}
