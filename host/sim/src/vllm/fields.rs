//! Members of a request with the types that vLLM takes for them: more than OpenAI does. Pure.
//!
//! # Source
//! Pydantic's lax mode; and vLLM's behaviour.

use serde_json::{Map, Value};

use super::refusal::Refusal;

/// The members of a request. Unknown ones are ignored, and `null` counts as absent.
#[derive(Debug)]
pub(super) struct Fields(Map<String, Value>);

impl Fields {
    /// Reads a body.
    ///
    /// # Errors
    /// It is no JSON object.
    pub(super) fn read(body: &[u8]) -> Result<Self, Refusal> {
        let missing = ("missing", "", "Field required", "None");
        if body.is_empty() {
            return Err(Refusal::invalid(&[missing]));
        }
        if std::str::from_utf8(body).is_err() {
            return Err(Refusal::detail(400, "There was an error parsing the body"));
        }
        match serde_json::from_slice(body) {
            Ok(Value::Object(mut fields)) => {
                fields.retain(|_, value| !value.is_null());
                Ok(Self(fields))
            }
            Ok(Value::Null) => Err(Refusal::invalid(&[missing])),
            Ok(value) => Err(Refusal::invalid(&[(
                "model_attributes_type",
                "",
                "Input should be a valid dictionary or object to extract fields from",
                &printed(&value),
            )])),
            Err(error) => {
                let place = format!(".{}", error.column());
                Err(Refusal::invalid(&[(
                    "json_invalid",
                    &place,
                    "JSON decode error",
                    "{}",
                )]))
            }
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    pub(super) fn map(&self) -> &Map<String, Value> {
        &self.0
    }

    /// A list.
    ///
    /// # Errors
    /// It is something else.
    pub(super) fn list(&self, name: &str) -> Result<Option<&[Value]>, Refusal> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::Array(items)) => Ok(Some(items)),
            Some(value) => {
                let place = format!(".{name}");
                let text = "Input should be a valid list";
                Err(Refusal::invalid(&[(
                    "list_type",
                    &place,
                    text,
                    &printed(value),
                )]))
            }
        }
    }

    /// A whole number; a string with one is taken too.
    ///
    /// # Errors
    /// It is something else.
    pub(super) fn integer(&self, name: &str) -> Result<Option<i64>, Refusal> {
        let place = format!(".{name}");
        let wrong = |kind: &str, text: &str, value: &Value| {
            Refusal::invalid(&[(kind, &place, text, &printed(value))])
        };
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        match value {
            Value::Number(number) => number
                .as_i64()
                .or_else(|| whole(number.as_f64()?))
                .map(Some)
                .ok_or_else(|| {
                    let text =
                        "Input should be a valid integer, got a number with a fractional part";
                    wrong("int_from_float", text, value)
                }),
            Value::String(text) => text.trim().parse().map(Some).map_err(|_| {
                let text = "Input should be a valid integer, unable to parse string as an integer";
                wrong("int_parsing", text, value)
            }),
            Value::Bool(flag) => Ok(Some(i64::from(*flag))),
            Value::Null | Value::Array(_) | Value::Object(_) => {
                Err(wrong("int_type", "Input should be a valid integer", value))
            }
        }
    }

    /// A number; a string with one is taken too.
    ///
    /// # Errors
    /// It is something else.
    pub(super) fn float(&self, name: &str) -> Result<Option<f64>, Refusal> {
        let number = match self.get(name) {
            None => return Ok(None),
            Some(Value::Number(number)) => number.as_f64(),
            Some(Value::String(text)) => text.trim().parse().ok(),
            Some(Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_)) => None,
        };
        let value = self.get(name).map(printed).unwrap_or_default();
        let place = format!(".{name}");
        let text = "Input should be a valid number";
        number
            .map(Some)
            .ok_or_else(|| Refusal::invalid(&[("float_type", &place, text, &value)]))
    }

    /// Whether a member is true. Words such as "yes" are taken too.
    ///
    /// # Errors
    /// It is something else.
    pub(super) fn flag(&self, name: &str) -> Result<Option<bool>, Refusal> {
        let flag = match self.get(name) {
            None => return Ok(None),
            Some(Value::Bool(flag)) => Some(*flag),
            Some(Value::Number(number)) => match number.as_i64() {
                Some(0) => Some(false),
                Some(1) => Some(true),
                Some(_) | None => None,
            },
            Some(Value::String(text)) => match text.to_lowercase().as_str() {
                "true" | "yes" | "y" | "on" | "t" | "1" => Some(true),
                "false" | "no" | "n" | "off" | "f" | "0" => Some(false),
                _ => None,
            },
            Some(Value::Null | Value::Array(_) | Value::Object(_)) => None,
        };
        let value = self.get(name).map(printed).unwrap_or_default();
        let place = format!(".{name}");
        let text = "Input should be a valid boolean, unable to interpret input";
        flag.map(Some)
            .ok_or_else(|| Refusal::invalid(&[("bool_parsing", &place, text, &value)]))
    }

    /// The stop sequences: a text, or a list.
    ///
    /// # Errors
    /// It is something else, too long, or has an empty text.
    pub(super) fn stops(&self) -> Result<Vec<String>, Refusal> {
        /// The most that vLLM takes.
        const MOST: usize = 4;
        let wrong = |value: &Value| {
            let value = printed(value);
            Refusal::invalid(&[
                (
                    "string_type",
                    ".stop",
                    "Input should be a valid string",
                    &value,
                ),
                ("list_type", ".stop", "Input should be a valid list", &value),
            ])
        };
        let stops = match self.get("stop") {
            None => Vec::new(),
            Some(Value::String(text)) => vec![text.clone()],
            Some(value @ Value::Array(items)) => items
                .iter()
                .map(|item| item.as_str().map(str::to_owned))
                .collect::<Option<Vec<_>>>()
                .ok_or_else(|| wrong(value))?,
            Some(value @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_))) => {
                return Err(wrong(value));
            }
        };
        if stops.iter().any(String::is_empty) {
            return Err(Refusal::bad("stop cannot contain an empty string.", None));
        }
        if stops.len() > MOST {
            let message = format!(
                "stop can contain at most {MOST} strings, got {}.",
                stops.len()
            );
            return Err(Refusal::bad(&message, None));
        }
        Ok(stops)
    }
}

fn whole(number: f64) -> Option<i64> {
    #[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
    (number.fract() == 0.0 && number.abs() < 9e15).then_some(number as i64)
}

/// A value as Python prints it.
pub(super) fn printed(value: &Value) -> String {
    match value {
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Number(_) => value.to_string(),
        Value::String(text) => text.clone(),
        Value::Array(items) => format!("<list of {} items>", items.len()),
        Value::Object(members) => format!("<dict of {} items>", members.len()),
    }
}
