//! Typed views of raw values, with the errors of wrong ones.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde_json::value::RawValue;
use sluicegate_plugin::Fault;
use sluicegate_plugin::json::{self, Kind};

/// The place of a value in the request, as Anthropic's errors write it: `messages.2.content.0.type`. It becomes text only in
/// an error.
#[derive(Clone, Copy, Debug)]
pub(super) struct Path<'p> {
    parent: Option<&'p Self>,
    step: Step<'p>,
}

#[derive(Clone, Copy, Debug)]
enum Step<'p> {
    Member(&'p str),
    Index(usize),
}

impl<'p> Path<'p> {
    /// A parameter.
    pub(super) fn of(name: &'p str) -> Self {
        Self {
            parent: None,
            step: Step::Member(name),
        }
    }

    /// A member of this value.
    pub(super) fn member(&'p self, name: &'p str) -> Self {
        Self {
            parent: Some(self),
            step: Step::Member(name),
        }
    }

    /// An element of this value.
    pub(super) fn index(&'p self, at: usize) -> Self {
        Self {
            parent: Some(self),
            step: Step::Index(at),
        }
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            parent.fmt(f)?;
            f.write_str(".")?;
        }
        match self.step {
            Step::Member(name) => f.write_str(name),
            Step::Index(at) => write!(f, "{at}"),
        }
    }
}

/// 400 with a code. The place is in the message, since Anthropic's errors have no member for it.
#[cold]
#[inline(never)]
fn refused(at: Path<'_>, code: &str, message: &str) -> Fault {
    Fault::bad_request(format!("{at}: {message}"))
        .code(code)
        .param(at.to_string())
}

/// 400 `invalid_type`.
pub(super) fn wrong_type(at: Path<'_>, expected: &str, raw: &RawValue) -> Fault {
    let kind = Kind::of(raw).with_article();
    refused(
        at,
        "invalid_type",
        &format!("must be {expected}, not {kind}."),
    )
}

/// 400 `invalid_value`.
pub(super) fn invalid(at: Path<'_>, expected: &str) -> Fault {
    refused(at, "invalid_value", &format!("must be {expected}."))
}

/// 400 `missing_required_parameter`.
pub(super) fn missing(at: Path<'_>) -> Fault {
    refused(at, "missing_required_parameter", "Field required.")
}

/// 400 `unsupported_value`: Anthropic has it, and no model server behind this gateway.
pub(super) fn unsupported(at: Path<'_>, message: &str) -> Fault {
    refused(at, "unsupported_value", message)
}

/// A value that must be there.
pub(super) fn required<'a>(at: Path<'_>, raw: Option<&'a RawValue>) -> Result<&'a RawValue, Fault> {
    raw.ok_or_else(|| missing(at))
}

/// The value, if it is of this kind.
pub(super) fn kind<'a>(at: Path<'_>, raw: &'a RawValue, kind: Kind) -> Result<&'a str, Fault> {
    if Kind::of(raw) == kind {
        return Ok(raw.get());
    }
    Err(wrong_type(at, kind.with_article(), raw))
}

/// A boolean.
pub(super) fn boolean(at: Path<'_>, raw: &RawValue) -> Result<bool, Fault> {
    Ok(kind(at, raw, Kind::Bool)? == "true")
}

/// A positive whole number, as its text.
pub(super) fn positive<'a>(at: Path<'_>, raw: &'a RawValue) -> Result<&'a str, Fault> {
    let text = kind(at, raw, Kind::Number)?;
    match text.parse::<u64>() {
        Ok(1..) => Ok(text),
        Ok(0) | Err(_) => Err(invalid(at, "a whole number of at least 1")),
    }
}

/// The inside of a string, with its escapes.
pub(super) fn inner<'a>(at: Path<'_>, raw: Option<&'a RawValue>) -> Result<&'a str, Fault> {
    let raw = required(at, raw)?;
    json::string_inner(raw).ok_or_else(|| wrong_type(at, "a string", raw))
}

/// The text of a string.
pub(super) fn text<'a>(at: Path<'_>, raw: Option<&'a RawValue>) -> Result<Cow<'a, str>, Fault> {
    let raw = required(at, raw)?;
    json::text(raw).ok_or_else(|| wrong_type(at, "a string", raw))
}

/// An object, read into a type all of whose members are raw and optional.
pub(super) fn object<'a, T: Deserialize<'a>>(at: Path<'_>, raw: &'a RawValue) -> Result<T, Fault> {
    kind(at, raw, Kind::Object)?;
    serde_json::from_str(raw.get()).map_err(|_| invalid(at, "an object that has no member twice"))
}

/// The most elements of an array: Anthropic's limit for messages, which no other array needs either.
const MOST_ELEMENTS: usize = 100_000;

/// The elements of an array.
pub(super) fn array<'a>(at: Path<'_>, raw: &'a RawValue) -> Result<Vec<&'a RawValue>, Fault> {
    let list: Vec<&RawValue> =
        serde_json::from_str(raw.get()).map_err(|_| wrong_type(at, "an array", raw))?;
    if list.len() > MOST_ELEMENTS {
        let expected = format!("an array of at most {MOST_ELEMENTS} elements");
        return Err(invalid(at, &expected));
    }
    Ok(list)
}
