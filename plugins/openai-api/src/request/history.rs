//! The tool calls of the conversation so far.
//!
//! In OpenAI's API the arguments of a call are a text that holds an object; some servers want the object itself. Clients send
//! either, and many send "" for a tool without parameters. Anything other than an object was a model's mistake: it is part of
//! every later request of the conversation and must not make them fail, so it is passed on as a member of an object.

use std::borrow::Cow;

use serde_json::value::RawValue;
use sluicegate_plugin::json::{self, Kind, Members};

/// The most layers of JSON in JSON that are unwrapped; models have been seen to write two.
const LAYERS: u8 = 4;

/// The form in which a server wants arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arguments {
    /// A text that holds an object.
    Text,
    /// The object.
    Object,
}

/// The messages with all arguments in this form; `None` if they are so already.
pub fn with_arguments(messages: &RawValue, form: Arguments) -> Option<String> {
    // Most conversations have no calls, and may have large images.
    if !messages.get().contains("\"tool_calls\"") {
        return None;
    }
    each(messages, |message| {
        replaced(message, "tool_calls", |calls| {
            each(calls, |call| {
                replaced(call, "function", |function| {
                    replaced(function, "arguments", |arguments| in_form(arguments, form))
                })
            })
        })
    })
}

/// The arguments of a call as an object.
pub fn object(arguments: &RawValue) -> Cow<'_, str> {
    if Kind::of(arguments) == Kind::Object {
        return Cow::Borrowed(arguments.get());
    }
    if Kind::of(arguments) == Kind::Null {
        return Cow::Borrowed("{}");
    }
    match json::text(arguments)
        .as_deref()
        .and_then(|text| object_in(text, LAYERS))
    {
        Some(object) => Cow::Owned(object.into_owned()),
        None => Cow::Owned(["{\"arguments\":", arguments.get(), "}"].concat()),
    }
}

/// The object that a text holds, perhaps wrapped in further texts. An empty text and `null` are the empty object.
fn object_in(text: &str, layers: u8) -> Option<Cow<'_, str>> {
    let text = text.trim();
    if text.is_empty() || text == "null" {
        return Some(Cow::Borrowed("{}"));
    }
    let inner: &RawValue = serde_json::from_str(text).ok()?;
    match Kind::of(inner) {
        Kind::Object => Some(Cow::Borrowed(inner.get())),
        Kind::String if layers > 0 => {
            let object = object_in(&json::text(inner)?, layers - 1)?.into_owned();
            Some(Cow::Owned(object))
        }
        Kind::Null | Kind::Bool | Kind::Number | Kind::Array | Kind::String => None,
    }
}

/// Arguments in a form; `None` if they have it.
fn in_form(arguments: &RawValue, form: Arguments) -> Option<String> {
    match (form, Kind::of(arguments)) {
        (Arguments::Object, Kind::Object) => None,
        (Arguments::Object, _) => Some(object(arguments).into_owned()),
        (Arguments::Text, _) => {
            let text = json::text(arguments);
            let is_object = |text: &str| {
                text.starts_with('{') && serde_json::from_str::<&RawValue>(text).is_ok()
            };
            if text.is_some_and(|text| is_object(&text)) {
                return None;
            }
            let mut out = String::new();
            json::push_str(&mut out, &object(arguments));
            Some(out)
        }
    }
}

/// A list with some elements replaced; `None` if none is, or if it is no list.
pub fn each(raw: &RawValue, replace: impl Fn(&RawValue) -> Option<String>) -> Option<String> {
    let list: Vec<&RawValue> = serde_json::from_str(raw.get()).ok()?;
    let made: Vec<Option<String>> = list.iter().map(|raw| replace(raw)).collect();
    made.iter().any(Option::is_some).then_some(())?;
    let mut out = String::with_capacity(raw.get().len() + 64);
    for (raw, made) in list.iter().zip(&made) {
        out.push(if out.is_empty() { '[' } else { ',' });
        out.push_str(made.as_deref().unwrap_or(raw.get()));
    }
    out.push(']');
    Some(out)
}

/// An object with a member replaced; `None` if it is not, or if there is no such member.
pub fn replaced(
    raw: &RawValue,
    name: &str,
    replace: impl Fn(&RawValue) -> Option<String>,
) -> Option<String> {
    let Members(members) = serde_json::from_str(raw.get()).ok()?;
    let made = |(known, raw): &(Cow<'_, str>, &RawValue)| (known == name).then(|| replace(raw))?;
    let made: Vec<Option<String>> = members.iter().map(made).collect();
    made.iter().any(Option::is_some).then_some(())?;
    let mut out = String::with_capacity(raw.get().len() + 64);
    for ((name, raw), made) in members.iter().zip(&made) {
        out.push(if out.is_empty() { '{' } else { ',' });
        json::push_str(&mut out, name);
        out.push(':');
        out.push_str(made.as_deref().unwrap_or(raw.get()));
    }
    out.push('}');
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(arguments: &str) -> String {
        format!(
            r#"[{{"role":"user","content":"x"}},{{"role":"assistant","tool_calls":[{{"id":"a","function":{{"name":"f","arguments":{arguments}}}}}]}}]"#
        )
    }

    #[test]
    fn arguments_get_the_form_that_a_server_wants() {
        for (given, text, object) in [
            (r#""{\"a\": 1}""#, r#""{\"a\": 1}""#, r#"{"a": 1}"#),
            (r#"{"a":1}"#, r#""{\"a\":1}""#, r#"{"a":1}"#),
            (r#""""#, r#""{}""#, "{}"),
            ("null", r#""{}""#, "{}"),
            (
                r#""{\"a\": \"P""#,
                r#""{\"arguments\":\"{\\\"a\\\": \\\"P\"}""#,
                r#"{"arguments":"{\"a\": \"P"}"#,
            ),
            ("[1]", r#""{\"arguments\":[1]}""#, r#"{"arguments":[1]}"#),
        ] {
            let given = messages(given);
            let raw: &RawValue = serde_json::from_str(&given).expect("JSON");
            for (form, expected) in [(Arguments::Text, text), (Arguments::Object, object)] {
                let expected = messages(expected);
                let found = with_arguments(raw, form);
                assert_eq!(found.unwrap_or(given.clone()), expected, "{form:?}");
            }
        }
    }

    #[test]
    fn what_needs_nothing_is_left_alone() {
        for text in [
            "[]",
            "3",
            r#"[{"tool_calls":null},"x"]"#,
            &messages(r#""{}""#),
        ] {
            let raw: &RawValue = serde_json::from_str(text).expect("JSON");
            assert_eq!(with_arguments(raw, Arguments::Text), None, "{text}");
        }
    }
}
