//! A call that the model must make. Ollama cannot force one, but it can force the form of a text: the model is told the tools in
//! a system message, and its text must be the arguments of the one tool, or the choice of one of several.
//!
//! The tools are not sent as `tools` beside the form: the text would be empty.
//!
//! Ollama writes the members of an object in alphabetical order, whatever the schema says. So the choice has `name` and
//! `parameters`: with `arguments` the model would have to write them before the name.

use std::borrow::Cow;

use serde_json::value::RawValue;
use sluicegate_plugin::Fault;
use sluicegate_plugin::json;

use super::tools::Tool;
use crate::response;

/// The schema of a function without parameters.
const NOTHING: &str = "{\"type\":\"object\",\"properties\":{},\"additionalProperties\":false}";

/// The most layers of a schema with references. Arbitrary; written by hand or made of types, few have ten.
const LAYERS: usize = 100;

/// How a forced call is asked for.
#[derive(Debug)]
pub(super) struct Forced {
    /// The form of the text, a JSON Schema.
    pub(super) format: String,
    /// What the model is told.
    pub(super) instruction: String,
    /// What the text becomes.
    pub(super) call: response::Forced,
}

impl Forced {
    /// A call of one of these tools; there is at least one.
    ///
    /// # Errors
    /// 400 for a schema with references that has too many layers.
    pub(super) fn of(tools: &[Tool<'_>]) -> Result<Self, Fault> {
        Ok(match tools {
            [tool] => Self {
                format: tool.parameters().into(),
                instruction: format!(
                    "You must call the function below now. Respond with nothing but its arguments: a JSON object that follows \
                     the schema in its `parameters`.\n\n{}",
                    tool.function
                ),
                call: response::Forced::Only(tool.name.get().to_owned()),
            },
            [..] => Self {
                format: choice(tools)?,
                instruction: instruction(tools),
                call: response::Forced::Choice(
                    tools
                        .iter()
                        .filter_map(|tool| json::text(tool.name).map(Cow::into_owned))
                        .collect(),
                ),
            },
        })
    }
}

fn instruction(tools: &[Tool<'_>]) -> String {
    let mut out = String::from(
        "You must call one of the functions below now. Respond with nothing but a JSON object with two members: `name`, the \
         name of the function, and `parameters`, an object with its arguments that follows the schema in the function's \
         `parameters`.\n",
    );
    for tool in tools {
        out.push('\n');
        out.push_str(tool.function.get());
    }
    out
}

impl<'a> Tool<'a> {
    /// The schema of the arguments.
    fn parameters(&self) -> &'a str {
        let schema = self.parameters.map_or(NOTHING, RawValue::get);
        let is_empty = schema.trim_matches(['{', '}']).trim().is_empty();
        if is_empty { NOTHING } else { schema }
    }
}

/// The schema of a choice.
fn choice(tools: &[Tool<'_>]) -> Result<String, Fault> {
    let (mut defined, mut options) = (String::new(), String::new());
    for (at, tool) in tools.iter().enumerate() {
        let schema = tool.parameters();
        let mut parameters = Cow::Borrowed(schema);
        // References count from the whole schema, so a schema that has some moves to where they can be told apart.
        if schema.contains("\"$ref\"") {
            let place = format!("#/$defs/{at}");
            defined.push_str(if defined.is_empty() { "" } else { "," });
            defined.push_str(&format!("\"{at}\":"));
            write_moved(&mut defined, schema, &place)?;
            parameters = Cow::Owned(format!("{{\"$ref\":\"{place}\"}}"));
        }
        options.push_str(if options.is_empty() { "" } else { "," });
        options.push_str(&format!(
            "{{\"type\":\"object\",\"properties\":{{\"name\":{{\"const\":{}}},\"parameters\":{parameters}}},\
             \"required\":[\"name\",\"parameters\"],\"additionalProperties\":false}}",
            tool.name
        ));
    }
    Ok(if defined.is_empty() {
        format!("{{\"anyOf\":[{options}]}}")
    } else {
        format!("{{\"$defs\":{{{defined}}},\"anyOf\":[{options}]}}")
    })
}

/// Appends a schema whose references count from `place` instead of the root, in one pass: a schema may have as many layers as
/// bytes, and reading each layer anew would cost their product.
///
/// # Errors
/// 400 for too many layers, before anything is appended.
fn write_moved(out: &mut String, schema: &str, place: &str) -> Result<(), Fault> {
    if layers(schema) > LAYERS {
        let message = format!("The schema of a tool has more than {LAYERS} layers.");
        return Err(Fault::bad_request(message).param("tools"));
    }
    out.reserve(schema.len());
    let mut rest = schema;
    while let Some(at) = rest.find('"') {
        let (before, from) = rest.split_at(at);
        let (token, after) = string(from);
        out.push_str(before);
        out.push_str(token);
        rest = after;
        // Only a name is followed by a colon.
        let value = after.trim_start().strip_prefix(':').map(str::trim_start);
        if let Some(value) = value.filter(|_| decoded(token).as_deref() == Some("$ref"))
            && value.starts_with('"')
        {
            let (token, after) = string(value);
            if let Some(target) = decoded(token).filter(|target| target.starts_with('#')) {
                out.push(':');
                json::push_str(out, &[place, &target[1..]].concat());
                rest = after;
            }
        }
    }
    out.push_str(rest);
    Ok(())
}

/// How many layers of objects and arrays a JSON text has.
fn layers(schema: &str) -> usize {
    let (mut depth, mut most) = (0_usize, 0);
    let mut rest = schema;
    while let Some(at) = rest.find(['"', '{', '[', '}', ']']) {
        match rest.as_bytes()[at] {
            b'"' => {
                (_, rest) = string(&rest[at..]);
                continue;
            }
            b'{' | b'[' => {
                depth += 1;
                most = most.max(depth);
            }
            _ => depth = depth.saturating_sub(1),
        }
        rest = &rest[at + 1..];
    }
    most
}

/// The JSON string at the beginning of a valid JSON text, and what follows.
fn string(text: &str) -> (&str, &str) {
    let mut is_escaped = false;
    let end = text.bytes().skip(1).position(|byte| {
        let is_end = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        is_end
    });
    text.split_at(end.map_or(text.len(), |end| end + 2))
}

fn decoded(token: &str) -> Option<Cow<'_, str>> {
    json::text(serde_json::from_str(token).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_that_is_too_deep_is_refused_before_anything_is_written() {
        let nested = |layers: usize| {
            let (open, close) = ("{\"not\":".repeat(layers), "}".repeat(layers));
            format!("{{\"a\":{{\"$ref\":\"#\"}},\"b\":{open}1{close}}}")
        };
        let (at_most, too_deep, large) = (nested(99), nested(100), nested(75_000));
        assert!(large.len() > 600_000, "{}", large.len());
        let mut out = String::new();
        write_moved(&mut out, &at_most, "#/x").expect("moved");
        assert_eq!(out, at_most.replace("\"#\"", "\"#/x\""));
        for schema in [too_deep, large] {
            let mut out = String::new();
            let fault = write_moved(&mut out, &schema, "#/x").expect_err("refused");
            assert_eq!((fault.status, fault.param.as_deref()), (400, Some("tools")));
            assert_eq!((out.len(), out.capacity()), (0, 0));
        }
    }

    #[test]
    fn brackets_in_strings_are_no_layers() {
        for (schema, expected) in [
            ("{}", 1),
            ("1", 0),
            (r#"{"[[{":"\"{{[[","b\\":[1,[],{"c":"]}}"}]}"#, 3),
            ("[[],[[]],[]]", 3),
        ] {
            assert_eq!(layers(schema), expected, "{schema}");
        }
    }

    #[test]
    fn only_the_values_of_references_are_moved() {
        for (schema, expected) in [
            (r##"{"$ref":"#"}"##, r##"{"$ref":"#/p/0"}"##),
            (
                r##"{"$ref" : "#/a\"b" , "c":1}"##,
                r##"{"$ref":"#/p/0/a\"b" , "c":1}"##,
            ),
            (
                r##"{"\u0024ref":"\u0023/a"}"##,
                r##"{"\u0024ref":"#/p/0/a"}"##,
            ),
            (
                r##"["$ref","#/a",{"a":"$ref"}]"##,
                r##"["$ref","#/a",{"a":"$ref"}]"##,
            ),
            (r##"{"$ref":"other#/a"}"##, r##"{"$ref":"other#/a"}"##),
            (
                r##"{"$ref":{"$ref":"#/é"}}"##,
                r##"{"$ref":{"$ref":"#/p/0/é"}}"##,
            ),
            (r##"{"a":"\"$ref\":\"#\""}"##, r##"{"a":"\"$ref\":\"#\""}"##),
            (
                r##"{"a\\":{"$ref":"#"},"$ref":1}"##,
                r##"{"a\\":{"$ref":"#/p/0"},"$ref":1}"##,
            ),
        ] {
            let mut out = String::new();
            write_moved(&mut out, schema, "#/p/0").expect("moved");
            assert_eq!(out, expected, "{schema}");
        }
    }
}
