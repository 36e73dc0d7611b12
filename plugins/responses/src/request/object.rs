//! An object in the request, which knows its place there, and the errors of wrong values.

use std::borrow::Cow;

use serde_json::value::RawValue;
use sluicegate_openai_api::request::{self, members, wrong_type};
use sluicegate_plugin::Fault;
use sluicegate_plugin::json::{self, Kind};

/// A text from the request is shown in an error up to this length.
const SHOWN_BYTES: usize = 64;

/// The most elements of an array: each takes more room in the request of a chat than the few bytes that it has at least here.
const MOST_ELEMENTS: usize = 100_000;

/// The elements of the array at this place.
pub(super) fn elements<'a>(at: &str, raw: &'a RawValue) -> Result<Vec<&'a RawValue>, Fault> {
    let list = request::elements(at, raw)?;
    if list.len() > MOST_ELEMENTS {
        let expected = format!("an array of at most {MOST_ELEMENTS} elements");
        return Err(invalid(at, &expected));
    }
    Ok(list)
}

/// An object; members that are `null` count as absent.
#[derive(Debug)]
pub(super) struct Object<'a> {
    at: String,
    members: Vec<(Cow<'a, str>, &'a RawValue)>,
}

impl<'a> Object<'a> {
    /// Reads the object at this place.
    pub(super) fn read(at: String, raw: &'a RawValue) -> Result<Self, Fault> {
        let members = members(&at, raw)?;
        Ok(Self { at, members })
    }

    /// The place of a member.
    pub(super) fn place(&self, name: &str) -> String {
        [&self.at, ".", name].concat()
    }

    /// A member; of one that occurs twice, the last.
    pub(super) fn get(&self, name: &str) -> Option<&'a RawValue> {
        let mut members = self.members.iter().rev();
        members
            .find(|(known, _)| known == name)
            .map(|(_, raw)| *raw)
    }

    /// A text, if there is one, as it is in the request.
    pub(super) fn string(&self, name: &str) -> Result<Option<&'a RawValue>, Fault> {
        match self.get(name) {
            Some(raw) if Kind::of(raw) != Kind::String => {
                Err(wrong_type(&self.place(name), "a string", raw))
            }
            raw => Ok(raw),
        }
    }

    /// A text that must be there, as it is in the request.
    pub(super) fn required(&self, name: &str) -> Result<&'a RawValue, Fault> {
        self.string(name)?.ok_or_else(|| missing(&self.place(name)))
    }

    /// A text, if there is one.
    pub(super) fn text(&self, name: &str) -> Result<Option<Cow<'a, str>>, Fault> {
        let Some(raw) = self.string(name)? else {
            return Ok(None);
        };
        let text = json::text(raw);
        let text = text.ok_or_else(|| invalid(&self.place(name), "valid Unicode text"))?;
        Ok(Some(text))
    }

    /// The member `type`.
    pub(super) fn kind(&self) -> Result<Cow<'a, str>, Fault> {
        self.text("type")?
            .ok_or_else(|| missing(&self.place("type")))
    }
}

/// 400 `missing_required_parameter`.
pub(super) fn missing(param: &str) -> Fault {
    Fault::bad_request(format!("Missing required parameter: `{param}`."))
        .code("missing_required_parameter")
        .param(param)
}

/// 400 `invalid_value`.
pub(super) fn invalid(param: &str, expected: &str) -> Fault {
    Fault::bad_request(format!("`{param}` must be {expected}.")).param(param)
}

/// 400 `unsupported_parameter`.
pub(super) fn unsupported(param: &str, message: impl Into<String>) -> Fault {
    Fault::bad_request(message)
        .code("unsupported_parameter")
        .param(param)
}

/// The beginning of a text from the request, for a message.
pub(super) fn begin(text: &str) -> &str {
    &text[..text.floor_char_boundary(SHOWN_BYTES)]
}
