//! The fields of an event or a span, as JSON values.

use std::error::Error;
use std::fmt;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value;
use tracing::field::{Field, Visit};

use super::Name;
use crate::telemetry::names::field;

/// What the line itself says; no field can have these names.
const RESERVED: [&str; 4] = [field::TIME, field::LEVEL, field::TARGET, field::MESSAGE];

/// Names and values in order, no name twice.
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

    /// Adds what a span has and this has not.
    pub(super) fn add_missing(&mut self, outer: &Self) {
        for (name, value) in &outer.0 {
            if !self.has(name) {
                self.0.push((name.clone(), value.clone()));
            }
        }
    }

    /// Adds the members of a plugin's JSON object; what is no such object is kept as it is.
    pub(super) fn add_guest(&mut self, fields: Value) {
        let members = fields.as_str().map(members);
        let Some(Ok(members)) = members else {
            return self.set(field::FIELDS.into(), fields);
        };
        for (mut name, value) in members {
            while self.has(&name) || RESERVED.contains(&name.as_str()) {
                name.push('_');
            }
            self.0.push((name.into(), value));
        }
    }

    fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(other, _)| other == name)
    }

    /// Sets a field, of which a span may record a new value.
    fn set(&mut self, mut name: Name, value: Value) {
        if RESERVED.contains(&&*name) {
            name.to_mut().push('_');
        }
        match self.0.iter_mut().find(|(other, _)| *other == name) {
            Some((_, old)) => *old = value,
            None => self.0.push((name, value)),
        }
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

/// The members of a JSON object in the order of its text.
fn members(text: &str) -> Result<Vec<(String, Value)>, serde_json::Error> {
    struct Members;

    impl<'de> Visitor<'de> for Members {
        type Value = Vec<(String, Value)>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut members = Vec::new();
            while let Some(member) = map.next_entry()? {
                members.push(member);
            }
            Ok(members)
        }
    }

    let mut deserializer = serde_json::Deserializer::from_str(text);
    let members = deserializer.deserialize_map(Members)?;
    deserializer.end()?;
    Ok(members)
}
