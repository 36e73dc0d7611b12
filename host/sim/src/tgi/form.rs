//! Request bodies as TGI's deserializer takes them: strict about types, and about `null` where it is not expected. Pure.

use serde_json::{Map, Value};

use super::refusal::Refusal;

/// What a member must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Bool,
    /// May be absent and `null`, as all that follow.
    MaybeBool,
    MaybeNumber,
    MaybeUnsigned,
    MaybeText,
    MaybeTexts,
    MaybeNumbers,
    /// A list, not `null`.
    Texts,
    /// An object, not `null`.
    Object(&'static str),
}

pub(super) type Expected = &'static [(&'static str, Kind)];

/// The members of a body.
#[derive(Debug)]
pub(super) struct Body {
    pub(super) fields: Map<String, Value>,
    /// The end of the body, which errors name.
    length: usize,
}

impl Body {
    /// Reads a body. What follows the JSON is ignored.
    ///
    /// # Errors
    /// It is no JSON, or no object.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Refusal> {
        let mut values = serde_json::Deserializer::from_slice(bytes).into_iter::<Value>();
        match values.next() {
            None => Err(Refusal::syntax(
                "EOF while parsing a value at line 1 column 0",
            )),
            Some(Err(error)) => Err(Refusal::syntax(&error.to_string())),
            Some(Ok(Value::Object(fields))) => Ok(Self {
                fields,
                length: bytes.len(),
            }),
            Some(Ok(_)) => Err(Refusal::form("invalid type, expected struct", bytes.len())),
        }
    }

    /// A refusal for the form of this body.
    pub(super) fn refuse(&self, text: &str) -> Refusal {
        Refusal::form(text, self.length)
    }

    /// Checks members.
    ///
    /// # Errors
    /// The first one that is something else.
    pub(super) fn check(&self, expected: Expected) -> Result<(), Refusal> {
        self.check_in(&self.fields, "", expected)
    }

    /// Checks members of an object in it.
    ///
    /// # Errors
    /// As [`Body::check`].
    pub(super) fn check_in(
        &self,
        fields: &Map<String, Value>,
        place: &str,
        expected: Expected,
    ) -> Result<(), Refusal> {
        for (name, kind) in expected {
            let Some(value) = fields.get(*name) else {
                continue;
            };
            if let Some(text) = complaint(value, *kind) {
                return Err(self.refuse(&format!("{place}{name}: {text}")));
            }
        }
        Ok(())
    }

    pub(super) fn float(&self, name: &str) -> Option<f64> {
        self.fields.get(name).and_then(Value::as_f64)
    }

    pub(super) fn unsigned(&self, name: &str) -> Option<u64> {
        self.fields.get(name).and_then(Value::as_u64)
    }

    pub(super) fn flag(&self, name: &str) -> bool {
        self.fields.get(name).is_some_and(|value| *value == true)
    }
}

/// Why a value is not of this kind.
fn complaint(value: &Value, kind: Kind) -> Option<String> {
    let is = |fits: bool, expected: &str| {
        (!fits).then(|| format!("invalid type: {}, expected {expected}", named(value)))
    };
    let every =
        |fits: fn(&Value) -> bool| value.as_array().is_some_and(|items| items.iter().all(fits));
    match kind {
        Kind::Bool => is(value.is_boolean(), "a boolean"),
        Kind::Texts => is(every(Value::is_string), "a sequence"),
        Kind::Object(name) => is(value.is_object(), &format!("struct {name}")),
        _ if value.is_null() => None,
        Kind::MaybeBool => is(value.is_boolean(), "a boolean"),
        Kind::MaybeNumber => is(value.is_number(), "f32"),
        Kind::MaybeUnsigned if value.is_i64() && !value.is_u64() => {
            Some(format!("invalid value: integer `{value}`, expected u64"))
        }
        Kind::MaybeUnsigned => is(value.is_u64(), "u64"),
        Kind::MaybeText => is(value.is_string(), "a string"),
        Kind::MaybeTexts => is(every(Value::is_string), "a sequence"),
        Kind::MaybeNumbers => is(every(Value::is_number), "a sequence"),
    }
}

/// A value as the deserializer names it.
fn named(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(flag) => format!("boolean `{flag}`"),
        Value::Number(number) if number.is_f64() => format!("floating point `{number}`"),
        Value::Number(number) => format!("integer `{number}`"),
        Value::String(text) => format!("string {text:?}"),
        Value::Array(_) => "sequence".to_owned(),
        Value::Object(_) => "map".to_owned(),
    }
}
