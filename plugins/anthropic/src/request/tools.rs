//! The tools that the model may call.

use serde::Deserialize;
use serde_json::value::RawValue;
use sluicegate_plugin::Fault;
use sluicegate_plugin::json::Kind;

use super::check::{self, Path};

#[derive(Deserialize)]
struct Tool<'a> {
    #[serde(borrow)]
    r#type: Option<&'a RawValue>,
    #[serde(borrow)]
    name: Option<&'a RawValue>,
    #[serde(borrow)]
    description: Option<&'a RawValue>,
    #[serde(borrow)]
    input_schema: Option<&'a RawValue>,
    #[serde(borrow)]
    strict: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(borrow)]
    r#type: Option<&'a RawValue>,
    #[serde(borrow)]
    name: Option<&'a RawValue>,
    #[serde(borrow)]
    disable_parallel_tool_use: Option<&'a RawValue>,
}

/// Appends `tools`, `tool_choice` and `parallel_tool_calls`, each with a comma before it; nothing if there are no tools.
pub(super) fn write(
    out: &mut String,
    tools: Option<&RawValue>,
    choice: Option<&RawValue>,
) -> Result<(), Fault> {
    let list = Path::of("tools");
    let tools = match tools {
        Some(raw) => check::array(list, raw)?,
        None => Vec::new(),
    };
    for (index, raw) in tools.iter().enumerate() {
        out.push_str(if index == 0 { ",\"tools\":[" } else { "," });
        tool(out, list.index(index), raw)?;
    }
    if !tools.is_empty() {
        out.push(']');
    }
    match choice {
        Some(raw) => self::choice(out, raw, !tools.is_empty()),
        None => Ok(()),
    }
}

fn tool(out: &mut String, at: Path<'_>, raw: &RawValue) -> Result<(), Fault> {
    let tool: Tool<'_> = check::object(at, raw)?;
    if let Some(kind) = tool.r#type {
        let at = at.member("type");
        let kind = check::text(at, Some(kind))?;
        if kind != "custom" {
            let message = format!(
                "`{kind}` is a tool that Anthropic defines or runs; models behind this gateway know only tools with an `input_schema`."
            );
            return Err(check::unsupported(at, &message));
        }
    }
    let name = check::required(at.member("name"), tool.name)?;
    out.push_str("{\"type\":\"function\",\"function\":{\"name\":");
    out.push_str(check::kind(at.member("name"), name, Kind::String)?);
    if let Some(raw) = tool.description {
        out.push_str(",\"description\":");
        out.push_str(check::kind(at.member("description"), raw, Kind::String)?);
    }
    let at_schema = at.member("input_schema");
    let schema = check::required(at_schema, tool.input_schema)?;
    out.push_str(",\"parameters\":");
    out.push_str(check::kind(at_schema, schema, Kind::Object)?);
    if let Some(raw) = tool.strict
        && check::boolean(at.member("strict"), raw)?
    {
        out.push_str(",\"strict\":true");
    }
    out.push_str("}}");
    Ok(())
}

fn choice(out: &mut String, raw: &RawValue, has_tools: bool) -> Result<(), Fault> {
    let at = Path::of("tool_choice");
    let choice: Choice<'_> = check::object(at, raw)?;
    let kind = check::text(at.member("type"), choice.r#type)?;
    if !has_tools {
        return match &*kind {
            "auto" | "none" => Ok(()),
            _ => Err(check::invalid(at, "`auto` or `none` if there are no tools")),
        };
    }
    match &*kind {
        "auto" => out.push_str(",\"tool_choice\":\"auto\""),
        "none" => out.push_str(",\"tool_choice\":\"none\""),
        "any" => out.push_str(",\"tool_choice\":\"required\""),
        "tool" => {
            let at = at.member("name");
            let name = check::required(at, choice.name)?;
            out.push_str(",\"tool_choice\":{\"type\":\"function\",\"function\":{\"name\":");
            out.push_str(check::kind(at, name, Kind::String)?);
            out.push_str("}}");
        }
        _ => {
            let expected = "`auto`, `any`, `tool` or `none`";
            return Err(check::invalid(at.member("type"), expected));
        }
    }
    if let Some(raw) = choice.disable_parallel_tool_use
        && check::boolean(at.member("disable_parallel_tool_use"), raw)?
        && kind != "none"
    {
        out.push_str(",\"parallel_tool_calls\":false");
    }
    Ok(())
}
