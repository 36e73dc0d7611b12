//! Tools: functions, which the client runs. Built-in tools would run at the service, and there are none here.

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde_json::value::RawValue;
use sluicegate_openai_api::request::{Body, unsupported, wrong_type};
use sluicegate_plugin::Fault;
use sluicegate_plugin::json::{self, Kind};

use super::object::{Object, begin, elements, invalid, missing};
use super::{Chat, parameters};

/// A function that the model may call.
struct Function<'a> {
    name: Cow<'a, str>,
    /// As the chat API has it.
    json: String,
}

/// Which functions the model may, or must, call.
enum Choice<'a> {
    /// What the mode says, of all functions.
    Mode(&'static str),
    /// This one.
    Function(Cow<'a, str>),
    /// What the mode says, of these.
    Allowed(&'static str, BTreeSet<Cow<'a, str>>),
}

/// Appends `tools`, `tool_choice` and `parallel_tool_calls`. Without tools the other two have no meaning, and model servers
/// refuse them.
pub(super) fn write(chat: &mut Chat, body: &Body<'_>) -> Result<(), Fault> {
    let mut functions = functions(body)?;
    let choice = body.get("tool_choice").map(choice).transpose()?;
    let parallel = parameters::boolean(body, "parallel_tool_calls")?;
    let choice = match choice {
        None => None,
        Some(Choice::Mode("required")) if functions.is_empty() => {
            let message = "`tool_choice` is `required`, but there are no `tools`.";
            return Err(Fault::bad_request(message).param("tool_choice"));
        }
        Some(Choice::Mode(mode)) => Some(quoted(mode)),
        Some(Choice::Function(name)) => {
            if !functions.iter().any(|function| function.name == name) {
                return Err(unknown(&name));
            }
            Some(named(&name))
        }
        Some(Choice::Allowed(mode, names)) => {
            let known: BTreeSet<&str> = functions.iter().map(|it| &*it.name).collect();
            if let Some(name) = names.iter().find(|name| !known.contains(&***name)) {
                return Err(unknown(name));
            }
            // What is not allowed is not shown to the model: no model server knows lists of allowed tools.
            functions.retain(|function| names.contains(&function.name));
            Some(quoted(mode))
        }
    };
    if functions.is_empty() {
        return Ok(());
    }
    let list: Vec<&str> = functions.iter().map(|it| it.json.as_str()).collect();
    chat.member("tools", &["[", &list.join(","), "]"].concat());
    if let Some(choice) = choice {
        chat.member("tool_choice", &choice);
    }
    if let Some(parallel) = parallel {
        chat.member(
            "parallel_tool_calls",
            if parallel { "true" } else { "false" },
        );
    }
    Ok(())
}

fn functions<'a>(body: &Body<'a>) -> Result<Vec<Function<'a>>, Fault> {
    let Some(raw) = body.get("tools") else {
        return Ok(Vec::new());
    };
    let tools = elements("tools", raw)?.into_iter().enumerate();
    let function = |(index, raw)| {
        let tool = Object::read(format!("tools[{index}]"), raw)?;
        is_function(&tool)?;
        let mut inner = Chat::default();
        inner.member("name", tool.required("name")?.get());
        inner.raw("description", tool.string("description")?);
        inner.raw("parameters", tool.get("parameters"));
        inner.raw("strict", tool.get("strict"));
        let mut outer = Chat::default();
        outer.member("type", "\"function\"");
        outer.member("function", &inner.end());
        Ok(Function {
            name: tool.text("name")?.unwrap_or_default(),
            json: outer.end(),
        })
    };
    tools.map(function).collect()
}

fn choice(raw: &RawValue) -> Result<Choice<'_>, Fault> {
    const AT: &str = "tool_choice";
    match Kind::of(raw) {
        Kind::String => match raw.get().trim_matches('"') {
            "auto" => Ok(Choice::Mode("auto")),
            "none" => Ok(Choice::Mode("none")),
            "required" => Ok(Choice::Mode("required")),
            _ => Err(invalid(AT, "`auto`, `none`, `required`, or an object")),
        },
        Kind::Object => {
            let choice = Object::read(AT.to_owned(), raw)?;
            if choice.kind()? != "allowed_tools" {
                return Ok(Choice::Function(function_name(&choice)?));
            }
            let at = choice.place("mode");
            let mode = match choice.text("mode")?.as_deref() {
                Some("auto") => "auto",
                Some("required") => "required",
                Some(_) | None => return Err(invalid(&at, "`auto` or `required`")),
            };
            let at = choice.place("tools");
            let tools = choice.get("tools");
            let tools = tools.ok_or_else(|| missing(&at))?;
            let tools = elements(&at, tools)?.into_iter().enumerate();
            let name = |(index, raw)| function_name(&Object::read(format!("{at}[{index}]"), raw)?);
            let names: BTreeSet<Cow<'_, str>> = tools.map(name).collect::<Result<_, _>>()?;
            if names.is_empty() {
                return Err(invalid(&at, "an array of at least one tool"));
            }
            Ok(Choice::Allowed(mode, names))
        }
        Kind::Null | Kind::Bool | Kind::Number | Kind::Array => {
            Err(wrong_type(AT, "a string or an object", raw))
        }
    }
}

/// The name in `{"type":"function","name":…}`.
fn function_name<'a>(tool: &Object<'a>) -> Result<Cow<'a, str>, Fault> {
    is_function(tool)?;
    tool.required("name")?;
    Ok(tool.text("name")?.unwrap_or_default())
}

fn is_function(tool: &Object<'_>) -> Result<(), Fault> {
    let kind = tool.kind()?;
    if kind == "function" {
        return Ok(());
    }
    let message = format!(
        "Tools of type `{}` are not supported: the gateway runs no tools. Use tools of type `function`, which the client runs.",
        begin(&kind)
    );
    Err(unsupported(&tool.place("type"), message))
}

/// 400: a choice of a function that is not there.
fn unknown(name: &str) -> Fault {
    let message = format!(
        "`tool_choice` names `{}`, which is not in `tools`.",
        begin(name)
    );
    Fault::bad_request(message).param("tool_choice")
}

fn quoted(text: &str) -> String {
    let mut out = String::new();
    json::push_str(&mut out, text);
    out
}

fn named(name: &str) -> String {
    [
        "{\"type\":\"function\",\"function\":{\"name\":",
        &quoted(name),
        "}}",
    ]
    .concat()
}
