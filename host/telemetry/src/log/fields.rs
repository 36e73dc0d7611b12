//! The fields of an event or a span, as JSON values.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;
use tracing::field::{Field, Visit};

use super::Name;
use crate::names::field;

/// The names of the line's own members; no field can have them.
const RESERVED: [&str; 4] = [field::TIME, field::LEVEL, field::TARGET, field::MESSAGE];

/// Names and values in order; each name occurs once.
#[derive(Debug, Default)]
pub(super) struct Fields(Vec<(Name, Value)>);

impl Fields {
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (&**name, value))
    }

    pub(super) fn take(&mut self, name: &str) -> Option<Value> {
        let at = self.0.iter().position(|(other, _)| other == name)?;
        Some(self.0.remove(at).1)
    }

    /// Adds the fields of a span that are not here yet.
    pub(super) fn add_missing(&mut self, outer: &Self) {
        for (name, value) in &outer.0 {
            if !self.has(name) {
                self.0.push((name.clone(), value.clone()));
            }
        }
    }

    /// Sets a field; a span may record a new value for it.
    pub(super) fn set(&mut self, mut name: Name, value: Value) {
        if RESERVED.contains(&&*name) {
            name.to_mut().push('_');
        }
        match self.0.iter_mut().find(|(other, _)| *other == name) {
            Some((_, old)) => *old = value,
            None => self.0.push((name, value)),
        }
    }

    fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(other, _)| other == name)
    }

    fn record(&mut self, field: &Field, value: impl Into<Value>) {
        // `r#type` is how Rust writes a field that is called `type`.
        let name = field.name();
        let name = name.strip_prefix("r#").unwrap_or(name);
        self.set(name.into(), value.into());
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.record(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.record(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.record(field, value);
    }

    fn record_i128(&mut self, field: &Field, value: i128) {
        self.record(field, value.to_string());
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        self.record(field, value.to_string());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        // JSON has no infinity and no NaN.
        match serde_json::Number::from_f64(value) {
            Some(number) => self.record(field, Value::Number(number)),
            None => self.record(field, value.to_string()),
        }
    }

    /// The error and what caused it, down to the root.
    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        let mut text = value.to_string();
        let mut cause = value.source();
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        self.record(field, text);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record(field, format!("{value:?}"));
    }
}

/// The most members of a plugin's JSON object that become fields; the others are only counted. Arbitrary: the access log has
/// two dozen.
const MEMBERS: usize = 64;

/// The members of a plugin's JSON object, each with a name that no other field of the line has, and the number of members
/// that were left out.
///
/// # Errors
/// If the text is not a JSON object.
pub(super) fn members<'a>(text: &'a str, own: &Fields) -> Result<Members<'a>, serde_json::Error> {
    let mut members: Members<'a> = serde_json::from_str(if text.is_empty() { "{}" } else { text })?;
    for at in 0..members.list.len() {
        let (before, rest) = members.list.split_at_mut(at);
        let name = &mut rest[0].0;
        while own.has(name)
            || RESERVED.contains(&&**name)
            || before.iter().any(|(other, _)| other == name)
        {
            name.to_mut().push('_');
        }
    }
    Ok(members)
}

/// The first members of a JSON object, in the order of its text.
#[derive(Default)]
pub(super) struct Members<'a> {
    pub(super) list: Vec<(Cow<'a, str>, &'a RawValue)>,
    /// The number of members that were left out.
    pub(super) left_out: usize,
}

/// A member's name; not copied if it has no escapes.
#[derive(Deserialize)]
struct Member<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Members {
                    list: Vec::with_capacity(24),
                    left_out: 0,
                };
                while members.list.len() < MEMBERS {
                    let Some((Member(name), value)) = map.next_entry()? else {
                        return Ok(members);
                    };
                    members.list.push((name, value));
                }
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {
                    members.left_out += 1;
                }
                Ok(members)
            }
        }

        deserializer.deserialize_map(Object)
    }
}
