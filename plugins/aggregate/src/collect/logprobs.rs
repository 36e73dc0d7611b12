//! Joins lists that arrive in parts, above all log probabilities. Both of OpenAI's forms are named lists: `content` and
//! `refusal` in a chat; `tokens`, `token_logprobs` and others in a completion.

use serde_json::value::RawValue;
use sluicegate_plugin::Fault;
use sluicegate_plugin::json::{self, Kind, Members};

use super::parts::Object;
use crate::failure;

/// The lists that a chat always has.
const OF_CHAT: [&str; 2] = ["content", "refusal"];

/// More lists than either form has.
const MAX_LISTS: usize = 16;

/// The log probabilities of one choice.
#[derive(Debug, Default)]
pub(super) struct Logprobs {
    /// The lists by name; `None` if there were no log probabilities.
    lists: Option<Vec<(String, List)>>,
}

/// The inside of a list as JSON; `None` if it was always `null`.
#[derive(Debug, Default)]
pub(super) struct List(Option<String>);

impl Logprobs {
    /// Appends the lists of a chunk, and returns by how much they grew.
    pub(super) fn add(&mut self, raw: &RawValue) -> Result<usize, Fault> {
        let Members(members) = serde_json::from_str(raw.get()).map_err(|_| failure::nonsense())?;
        let lists = self.lists.get_or_insert_default();
        let mut size = 0;
        for (name, raw) in members {
            let at = match lists.iter().position(|(known, _)| *known == name) {
                Some(at) => at,
                None if lists.len() == MAX_LISTS => return Err(failure::nonsense()),
                None => {
                    size += name.len();
                    lists.push((name.into_owned(), List::default()));
                    lists.len() - 1
                }
            };
            size += lists[at].1.add(raw)?;
        }
        Ok(size)
    }

    /// Appends all of them as JSON.
    pub(super) fn write(&self, out: &mut String, object: Object) {
        let Some(lists) = &self.lists else {
            out.push_str("null");
            return;
        };
        let missing = OF_CHAT.iter().filter(|name| {
            object == Object::Chat && !lists.iter().any(|(known, _)| known == **name)
        });
        let nothing = List::default();
        let missing = missing.map(|name| (*name, &nothing));
        let known = lists.iter().map(|(name, list)| (name.as_str(), list));
        out.push('{');
        for (at, (name, list)) in known.chain(missing).enumerate() {
            if at > 0 {
                out.push(',');
            }
            json::push_str(out, name);
            out.push(':');
            list.write(out);
        }
        out.push('}');
    }
}

impl List {
    /// Appends another list, and returns by how much this one grew. `null` adds nothing.
    pub(super) fn add(&mut self, raw: &RawValue) -> Result<usize, Fault> {
        if Kind::of(raw) == Kind::Null {
            return Ok(0);
        }
        let inner = raw
            .get()
            .strip_prefix('[')
            .and_then(|text| text.strip_suffix(']'));
        let inner = inner.ok_or_else(failure::nonsense)?.trim();
        let kept = self.0.get_or_insert_default();
        if !kept.is_empty() && !inner.is_empty() {
            kept.push(',');
        }
        kept.push_str(inner);
        Ok(inner.len() + 1)
    }

    /// Appends it as JSON.
    pub(super) fn write(&self, out: &mut String) {
        match &self.0 {
            Some(inner) => {
                out.push('[');
                out.push_str(inner);
                out.push(']');
            }
            None => out.push_str("null"),
        }
    }
}
