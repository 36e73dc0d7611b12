//! Which of the tools the model may call, and whether it must.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;
use sluicegate_plugin::Fault;
use sluicegate_plugin::json::{self, Kind};

use super::check::{self, Path, unsupported};
use super::forced::Forced;
use super::tools::Tool;

/// Which tools the model may call, or must.
#[derive(Debug, Default)]
pub(super) enum ToolChoice<'a> {
    /// The model decides.
    #[default]
    Auto,
    /// The model must not call any.
    None,
    /// The model must call one.
    Required,
    /// The model must call this one.
    Named(Cow<'a, str>),
    /// The model may call only these, and must call one of them if it is `required`.
    Allowed {
        names: Vec<Cow<'a, str>>,
        required: bool,
    },
}

/// What becomes of the tools.
#[derive(Debug, Default)]
pub(super) enum Tools<'a> {
    #[default]
    None,
    /// The model is offered them, as they are in the request.
    Offered(Cow<'a, str>),
    /// The model must call one.
    Forced(Forced),
}

/// A choice that is an object, or one of the tools in it.
#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(borrow)]
    r#type: Option<&'a RawValue>,
    #[serde(borrow)]
    function: Option<&'a RawValue>,
    #[serde(borrow)]
    allowed_tools: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Named<'a> {
    #[serde(borrow)]
    name: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct AllowedTools<'a> {
    #[serde(borrow)]
    mode: Option<&'a RawValue>,
    #[serde(borrow)]
    tools: Option<&'a RawValue>,
}

/// Reads `tool_choice`.
///
/// # Errors
/// 400 for something else than OpenAI's choices.
pub(super) fn read(raw: &RawValue) -> Result<ToolChoice<'_>, Fault> {
    let at = Path::of("tool_choice");
    match (Kind::of(raw), raw.get()) {
        (_, "\"auto\"") => Ok(ToolChoice::Auto),
        (_, "\"none\"") => Ok(ToolChoice::None),
        (_, "\"required\"") => Ok(ToolChoice::Required),
        (Kind::Object, _) => {
            let choice: Choice<'_> = check::object(at, raw)?;
            let kind = choice
                .r#type
                .ok_or_else(|| check::missing(at.member("type")))?;
            match &*check::text(at.member("type"), kind)? {
                "function" => function_name(at, choice.function).map(ToolChoice::Named),
                "allowed_tools" => allowed(at.member("allowed_tools"), choice.allowed_tools),
                _ => Err(check::invalid(
                    at.member("type"),
                    "`function` or `allowed_tools`",
                )),
            }
        }
        (Kind::String, _) => Err(check::invalid(at, "`auto`, `none` or `required`")),
        (Kind::Null | Kind::Bool | Kind::Number | Kind::Array, _) => {
            Err(check::wrong_type(at, "a string or an object", raw))
        }
    }
}

/// The name in the member `function` of the value at `at`.
fn function_name<'a>(at: Path<'_>, raw: Option<&'a RawValue>) -> Result<Cow<'a, str>, Fault> {
    let at = at.member("function");
    let function: Named<'_> = check::object(at, raw.ok_or_else(|| check::missing(at))?)?;
    let at = at.member("name");
    check::text(at, function.name.ok_or_else(|| check::missing(at))?)
}

fn allowed<'a>(at: Path<'_>, raw: Option<&'a RawValue>) -> Result<ToolChoice<'a>, Fault> {
    let allowed: AllowedTools<'_> = check::object(at, raw.ok_or_else(|| check::missing(at))?)?;
    let mode = match allowed.mode {
        Some(mode) => check::text(at.member("mode"), mode)?,
        None => return Err(check::missing(at.member("mode"))),
    };
    let required = match &*mode {
        "auto" => false,
        "required" => true,
        _ => return Err(check::invalid(at.member("mode"), "`auto` or `required`")),
    };
    let list = at.member("tools");
    let tools = allowed.tools.ok_or_else(|| check::missing(list))?;
    let tools = check::array(list, tools)?.into_iter().enumerate();
    let names = tools.map(|(index, raw)| {
        let at = list.index(index);
        let tool: Choice<'_> = check::object(at, raw)?;
        function_name(at, tool.function)
    });
    let names: Vec<_> = names.collect::<Result<_, _>>()?;
    if names.is_empty() {
        return Err(check::invalid(list, "an array of at least one tool"));
    }
    Ok(ToolChoice::Allowed { names, required })
}

impl<'a> Tools<'a> {
    /// What becomes of `tools`, whose text in the request is `raw`.
    ///
    /// # Errors
    /// 400 for a choice of tools that are not offered.
    pub(super) fn of(
        raw: Option<&'a RawValue>,
        mut tools: Vec<Tool<'a>>,
        choice: &ToolChoice<'a>,
    ) -> Result<Self, Fault> {
        let is_forced = match choice {
            // Ollama has no such switch; a model that sees no tools cannot call any.
            ToolChoice::None => return Ok(Self::None),
            ToolChoice::Auto => {
                let raw = raw.filter(|_| !tools.is_empty());
                return Ok(raw.map_or(Self::None, |raw| Self::Offered(raw.get().into())));
            }
            ToolChoice::Required | ToolChoice::Named(_) | ToolChoice::Allowed { .. }
                if tools.is_empty() =>
            {
                return Err(unsupported(
                    Path::of("tool_choice"),
                    "`tool_choice` cannot force or choose a call: the request has no `tools`.",
                ));
            }
            ToolChoice::Required => true,
            ToolChoice::Named(name) => {
                only(&mut tools, std::slice::from_ref(name))?;
                true
            }
            ToolChoice::Allowed { names, required } => {
                only(&mut tools, names)?;
                *required
            }
        };
        if is_forced {
            return Forced::of(&tools).map(Self::Forced);
        }
        let raw: Vec<&str> = tools.iter().map(|tool| tool.raw.get()).collect();
        Ok(Self::Offered(format!("[{}]", raw.join(",")).into()))
    }
}

/// Keeps the tools with these names.
///
/// # Errors
/// 400 for a name that no tool has.
fn only(tools: &mut Vec<Tool<'_>>, names: &[Cow<'_, str>]) -> Result<(), Fault> {
    let named = |tool: &Tool<'_>, wanted: &str| json::text(tool.name).as_deref() == Some(wanted);
    for name in names {
        if !tools.iter().any(|tool| named(tool, name)) {
            let message = format!("`tool_choice` names `{name}`, which is not among `tools`.");
            return Err(Fault::bad_request(message).param("tool_choice"));
        }
    }
    tools.retain(|tool| names.iter().any(|name| named(tool, name)));
    Ok(())
}
