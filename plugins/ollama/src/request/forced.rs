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
use sluicegate_plugin::json::{self, Kind, Members};

use super::tools::Tool;

/// The schema of a function without parameters.
const NOTHING: &str = "{\"type\":\"object\",\"properties\":{},\"additionalProperties\":false}";

/// The most layers of a schema with references. Arbitrary; written by hand or made of types, few have ten.
const LAYERS: u8 = 100;

/// How a forced call is asked for.
#[derive(Debug)]
pub(super) struct Forced {
    /// The form of the text, a JSON Schema.
    pub(super) format: String,
    /// What the model is told.
    pub(super) instruction: String,
    /// The tool's name as a JSON string, if there is only one.
    pub(super) only: Option<String>,
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
                only: Some(tool.name.get().to_owned()),
            },
            [..] => Self {
                format: choice(tools)?,
                instruction: instruction(tools),
                only: None,
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
            write_moved(&mut defined, schema, &place, LAYERS)?;
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

/// Appends a schema whose references count from `place` instead of the root.
fn write_moved(out: &mut String, schema: &str, place: &str, layers: u8) -> Result<(), Fault> {
    let Some(layers) = layers.checked_sub(1) else {
        let message = format!("The schema of a tool has more than {LAYERS} layers.");
        return Err(Fault::bad_request(message).param("tools"));
    };
    match serde_json::from_str::<&RawValue>(schema).map(Kind::of) {
        Ok(Kind::Object) => {
            let Members(members) = serde_json::from_str(schema).unwrap_or_default();
            out.push('{');
            for (at, (name, raw)) in members.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                json::push_str(out, name);
                out.push(':');
                match json::text(raw).filter(|_| name == "$ref") {
                    Some(target) if target.starts_with('#') => {
                        json::push_str(out, &[place, &target[1..]].concat());
                    }
                    Some(_) | None => write_moved(out, raw.get(), place, layers)?,
                }
            }
            out.push('}');
        }
        Ok(Kind::Array) => {
            let elements: Vec<&RawValue> = serde_json::from_str(schema).unwrap_or_default();
            out.push('[');
            for (at, raw) in elements.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                write_moved(out, raw.get(), place, layers)?;
            }
            out.push(']');
        }
        Ok(Kind::Null | Kind::Bool | Kind::Number | Kind::String) | Err(_) => out.push_str(schema),
    }
    Ok(())
}
