//! Typed views of raw parameters, with the error that a wrong one deserves.

use std::borrow::Cow;
use std::ops::RangeInclusive;

use serde::Deserialize;
use serde_json::value::RawValue;
use sluicegate_plugin::Fault;
use sluicegate_plugin::json::{self, Kind};

/// 400 `invalid_type`.
pub(super) fn wrong_type(param: impl Into<String>, expected: &str, raw: &RawValue) -> Fault {
    let param = param.into();
    let kind = Kind::of(raw).with_article();
    Fault::bad_request(format!("`{param}` must be {expected}, not {kind}."))
        .code("invalid_type")
        .param(param)
}

/// 400 `invalid_value`.
pub(super) fn invalid(param: impl Into<String>, expected: &str) -> Fault {
    let param = param.into();
    Fault::bad_request(format!("`{param}` must be {expected}.")).param(param)
}

/// 400 `missing_required_parameter`.
pub(super) fn missing(param: impl Into<String>) -> Fault {
    let param = param.into();
    Fault::bad_request(format!("Missing required parameter: `{param}`."))
        .code("missing_required_parameter")
        .param(param)
}

/// 400 `unsupported_value`: OpenAI has it, Ollama does not.
pub(super) fn unsupported(param: impl Into<String>, message: impl Into<String>) -> Fault {
    Fault::bad_request(message)
        .code("unsupported_value")
        .param(param)
}

/// Fails unless the value is of this kind.
pub(super) fn kind(param: &str, raw: &RawValue, kind: Kind) -> Result<(), Fault> {
    if Kind::of(raw) == kind {
        return Ok(());
    }
    Err(wrong_type(param, kind.with_article(), raw))
}

/// A boolean.
pub(super) fn boolean(param: &str, raw: &RawValue) -> Result<bool, Fault> {
    kind(param, raw, Kind::Bool)?;
    Ok(raw.get() == "true")
}

/// A number in a range; the answer is its text.
pub(super) fn number<'a>(
    param: &str,
    raw: &'a RawValue,
    range: RangeInclusive<f64>,
) -> Result<&'a str, Fault> {
    kind(param, raw, Kind::Number)?;
    match raw.get().parse::<f64>() {
        Ok(number) if range.contains(&number) => Ok(raw.get()),
        Ok(_) | Err(_) => {
            let expected = format!("from {} to {}", range.start(), range.end());
            Err(invalid(param, &expected))
        }
    }
}

/// A whole number in a range; the answer is its text.
pub(super) fn integer<'a>(
    param: &str,
    raw: &'a RawValue,
    range: RangeInclusive<i64>,
) -> Result<&'a str, Fault> {
    kind(param, raw, Kind::Number)?;
    match raw.get().parse::<i64>() {
        Ok(number) if range.contains(&number) => Ok(raw.get()),
        Ok(_) if *range.end() == i64::MAX => {
            Err(invalid(param, &format!("at least {}", range.start())))
        }
        Ok(_) => Err(invalid(
            param,
            &format!("from {} to {}", range.start(), range.end()),
        )),
        Err(_) => Err(invalid(param, "a whole number")),
    }
}

/// A text.
pub(super) fn text<'a>(param: impl Into<String>, raw: &'a RawValue) -> Result<Cow<'a, str>, Fault> {
    match json::text(raw) {
        Some(text) => Ok(text),
        None if Kind::of(raw) == Kind::String => Err(invalid(param, "valid Unicode text")),
        None => Err(wrong_type(param, "a string", raw)),
    }
}

/// A struct of raw members from an object.
pub(super) fn object<'a, T: Deserialize<'a>>(
    param: impl Into<String>,
    raw: &'a RawValue,
) -> Result<T, Fault> {
    if Kind::of(raw) != Kind::Object {
        return Err(wrong_type(param, "an object", raw));
    }
    // The members are raw, so what can fail is a member that is there twice.
    serde_json::from_str(raw.get()).map_err(|error| {
        let param = param.into();
        Fault::bad_request(format!("`{param}` cannot be read: {error}.")).param(param)
    })
}

/// The raw elements of an array.
pub(super) fn array<'a>(
    param: impl Into<String>,
    raw: &'a RawValue,
) -> Result<Vec<&'a RawValue>, Fault> {
    match serde_json::from_str(raw.get()) {
        Ok(elements) if Kind::of(raw) == Kind::Array => Ok(elements),
        Ok(_) | Err(_) => Err(wrong_type(param, "an array", raw)),
    }
}
