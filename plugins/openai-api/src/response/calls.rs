//! The tool calls of a choice, as a model server streams them or sends them whole.
//!
//! Servers differ: the index may be missing or always 0, the id may be missing or repeated, the name may come after the first
//! arguments, and the arguments may be an object or never come.

use std::borrow::Cow;

use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use sluicegate_plugin::json::{self, Kind};
use sluicegate_plugin::{Fault, random};

use super::Delta;
use super::part;
use crate::failure;

/// The most calls. OpenAI has at most 128 tools; more calls would make no sense, and cost time.
const MOST: usize = 128;

/// The calls so far.
#[derive(Debug, Default)]
pub(super) struct Calls(Vec<Call>);

#[derive(Debug)]
struct Call {
    /// The server's index.
    index: Option<u64>,
    /// The id as JSON text.
    id: Option<String>,
    /// Its place among the calls that the client sees; `None` before it has a name.
    shown: Option<usize>,
    /// The inside of a JSON string.
    arguments: String,
}

impl Calls {
    /// Whether there are any.
    pub(super) fn is_empty(&self) -> bool {
        !self.0.iter().any(|call| call.shown.is_some())
    }

    /// Takes calls or fragments of them.
    ///
    /// # Errors
    /// 502 `upstream_invalid` for too many calls.
    pub(super) fn take<'a>(
        &mut self,
        calls: Vec<part::Call<'a>>,
        is_whole: bool,
        repeats_ids: bool,
        out: &mut Vec<Delta<'a>>,
    ) -> Result<(), Fault> {
        for call in calls {
            let place = self.place(&call, is_whole)?;
            let next = self.0.iter().filter(|call| call.shown.is_some()).count();
            let known = &mut self.0[place];
            if known.id.is_none() {
                known.id = filled(call.id).map(str::to_owned);
            }
            let Some(function) = call.function else {
                continue;
            };
            let arguments = function.arguments.map(inner).unwrap_or_default();
            known.arguments.push_str(&arguments);
            if let Some(at) = known.shown {
                if !arguments.is_empty() {
                    out.push(Delta::Arguments { at, arguments });
                }
            } else if let Some(name) = filled(function.name) {
                known.shown = Some(next);
                out.push(Delta::Call {
                    at: next,
                    id: known
                        .id
                        .clone()
                        .filter(|_| !repeats_ids)
                        .unwrap_or_else(new_id),
                    name: Cow::Borrowed(name),
                    arguments: Cow::Owned(known.arguments.clone()),
                });
            }
        }
        Ok(())
    }

    /// The position of the call that a fragment belongs to; it may be new.
    fn place(&mut self, call: &part::Call<'_>, is_whole: bool) -> Result<usize, Fault> {
        let id = filled(call.id);
        let name = call
            .function
            .as_ref()
            .and_then(|function| filled(function.name));
        let known = match call.index {
            _ if is_whole => None,
            Some(index) => self.0.iter().rposition(|known| known.index == Some(index)),
            None => match id {
                Some(id) => self
                    .0
                    .iter()
                    .rposition(|known| known.id.as_deref() == Some(id)),
                None if name.is_some() => None,
                None => self.0.len().checked_sub(1),
            },
        };
        // Some servers give every call the index 0. Another id with a name begins another call.
        let known = known.filter(|&at| {
            let other = id.is_some() && self.0[at].id.is_some() && self.0[at].id.as_deref() != id;
            !(other && name.is_some())
        });
        if let Some(at) = known {
            return Ok(at);
        }
        if self.0.len() == MOST {
            return Err(failure::nonsense());
        }
        self.0.push(Call {
            index: call.index,
            id: None,
            shown: None,
            arguments: String::new(),
        });
        Ok(self.0.len() - 1)
    }

    /// Ends the calls: arguments that never came are an empty object, unless the response was cut. Returns whether all of them
    /// are complete.
    pub(super) fn end(&self, cut: bool, out: &mut Vec<Delta<'_>>) -> bool {
        let mut complete = true;
        for call in &self.0 {
            match call.shown {
                Some(at) if call.arguments.is_empty() && !cut => out.push(Delta::Arguments {
                    at,
                    arguments: Cow::Borrowed("{}"),
                }),
                Some(_) => complete &= is_json(&call.arguments),
                None => complete = false,
            }
        }
        complete
    }
}

/// Whether the text of a JSON string is JSON itself. `inner` is what is between the quotes.
pub fn is_json(inner: &str) -> bool {
    let text = serde_json::from_str::<String>(&["\"", inner, "\""].concat());
    text.is_ok_and(|text| serde_json::from_str::<IgnoredAny>(&text).is_ok())
}

/// Arguments as the inside of a JSON string.
fn inner(raw: &RawValue) -> Cow<'_, str> {
    match json::string_inner(raw) {
        Some(inner) => Cow::Borrowed(inner),
        None if Kind::of(raw) == Kind::Null => Cow::Borrowed(""),
        None => {
            let mut out = String::new();
            json::push_escaped(&mut out, raw.get());
            Cow::Owned(out)
        }
    }
}

fn filled(raw: Option<&RawValue>) -> Option<&str> {
    let raw = raw?;
    json::string_inner(raw).filter(|inner| !inner.is_empty())?;
    Some(raw.get())
}

/// An id as JSON text, for a server that sends none.
fn new_id() -> String {
    format!("\"call_{}\"", random::id(24))
}
