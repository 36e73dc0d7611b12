//! Typed views of raw parameters, with the errors of wrong ones.

use std::borrow::Cow;
use std::fmt;
use std::ops::RangeInclusive;

use serde::Deserialize;
use serde_json::value::RawValue;
use sluicegate_plugin::Fault;
use sluicegate_plugin::json::{self, Kind};

/// The place of a value in the request, such as `messages[2].content[0].type`. It becomes text only in an error.
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
        }
        match self.step {
            Step::Member(name) if self.parent.is_some() => write!(f, ".{name}"),
            Step::Member(name) => f.write_str(name),
            Step::Index(at) => write!(f, "[{at}]"),
        }
    }
}

/// 400 `invalid_type`.
#[cold]
#[inline(never)]
pub(super) fn wrong_type(at: Path<'_>, expected: &str, raw: &RawValue) -> Fault {
    let kind = Kind::of(raw).with_article();
    Fault::bad_request(format!("`{at}` must be {expected}, not {kind}."))
        .code("invalid_type")
        .param(at.to_string())
}

/// 400 `invalid_value`.
#[cold]
#[inline(never)]
pub(super) fn invalid(at: Path<'_>, expected: &str) -> Fault {
    Fault::bad_request(format!("`{at}` must be {expected}.")).param(at.to_string())
}

/// 400 `missing_required_parameter`.
#[cold]
#[inline(never)]
pub(super) fn missing(at: Path<'_>) -> Fault {
    Fault::bad_request(format!("Missing required parameter: `{at}`."))
        .code("missing_required_parameter")
        .param(at.to_string())
}

/// 400 `unsupported_value`: OpenAI has it, Ollama does not.
#[cold]
#[inline(never)]
pub(super) fn unsupported(at: Path<'_>, message: &str) -> Fault {
    Fault::bad_request(message)
        .code("unsupported_value")
        .param(at.to_string())
}

/// Fails unless the value is of this kind.
pub(super) fn kind(at: Path<'_>, raw: &RawValue, kind: Kind) -> Result<(), Fault> {
    if Kind::of(raw) == kind {
        return Ok(());
    }
    Err(wrong_type(at, kind.with_article(), raw))
}

/// A boolean.
pub(super) fn boolean(at: Path<'_>, raw: &RawValue) -> Result<bool, Fault> {
    kind(at, raw, Kind::Bool)?;
    Ok(raw.get() == "true")
}

/// A number in a range, as its text.
pub(super) fn number<'a>(
    at: Path<'_>,
    raw: &'a RawValue,
    range: RangeInclusive<f64>,
) -> Result<&'a str, Fault> {
    kind(at, raw, Kind::Number)?;
    match raw.get().parse::<f64>() {
        Ok(number) if range.contains(&number) => Ok(raw.get()),
        Ok(_) | Err(_) => {
            let expected = format!("from {} to {}", range.start(), range.end());
            Err(invalid(at, &expected))
        }
    }
}

/// A whole number in a range, as its text.
pub(super) fn integer<'a>(
    at: Path<'_>,
    raw: &'a RawValue,
    range: RangeInclusive<i64>,
) -> Result<&'a str, Fault> {
    kind(at, raw, Kind::Number)?;
    match raw.get().parse::<i64>() {
        Ok(number) if range.contains(&number) => Ok(raw.get()),
        Ok(_) if *range.end() == i64::MAX => {
            Err(invalid(at, &format!("at least {}", range.start())))
        }
        Ok(_) => Err(invalid(
            at,
            &format!("from {} to {}", range.start(), range.end()),
        )),
        Err(_) => Err(invalid(at, "a whole number")),
    }
}

/// A text.
pub(super) fn text<'a>(at: Path<'_>, raw: &'a RawValue) -> Result<Cow<'a, str>, Fault> {
    match json::text(raw) {
        Some(text) => Ok(text),
        None if Kind::of(raw) == Kind::String => Err(invalid(at, "valid Unicode text")),
        None => Err(wrong_type(at, "a string", raw)),
    }
}

/// A struct of raw members from an object.
pub(super) fn object<'a, T: Deserialize<'a>>(at: Path<'_>, raw: &'a RawValue) -> Result<T, Fault> {
    if Kind::of(raw) != Kind::Object {
        return Err(wrong_type(at, "an object", raw));
    }
    // The members are raw, so the only failure is a member that occurs twice.
    serde_json::from_str(raw.get()).map_err(|error| {
        Fault::bad_request(format!("`{at}` cannot be read: {error}.")).param(at.to_string())
    })
}

/// The raw elements of an array.
pub(super) fn array<'a>(at: Path<'_>, raw: &'a RawValue) -> Result<Vec<&'a RawValue>, Fault> {
    match serde_json::from_str(raw.get()) {
        Ok(elements) if Kind::of(raw) == Kind::Array => Ok(elements),
        Ok(_) | Err(_) => Err(wrong_type(at, "an array", raw)),
    }
}
