//! Values that need more than a look at their type.

use serde::Deserialize;
use serde_json::value::RawValue;
use sluicegate_plugin::Fault;
use sluicegate_plugin::json::{self, Kind};

use super::check::{self, Path};

/// A longer name is no model's; it would fill notes and logs.
const MODEL_NAME_BYTES: usize = 512;

#[derive(Deserialize)]
struct ResponseFormat<'a> {
    #[serde(borrow)]
    r#type: Option<&'a RawValue>,
    #[serde(borrow)]
    json_schema: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct JsonSchema<'a> {
    #[serde(borrow)]
    schema: Option<&'a RawValue>,
}

/// The name of a model, as it stands in the request.
pub(super) fn model(raw: &RawValue) -> Result<&RawValue, Fault> {
    let name = check::text(Path::of("model"), raw)?;
    if name.trim().is_empty() {
        return Err(check::invalid(
            Path::of("model"),
            "the name of a model, not empty",
        ));
    }
    if name.len() > MODEL_NAME_BYTES {
        return Err(check::invalid(Path::of("model"), "at most 512 bytes long"));
    }
    Ok(raw)
}

/// A list of stop sequences as JSON, for Ollama takes only a list; `None` if there are none.
///
/// Empty sequences are left out: they would end every response before it begins.
pub(super) fn stop(raw: &RawValue) -> Result<Option<String>, Fault> {
    let stop = Path::of("stop");
    let sequences = match Kind::of(raw) {
        Kind::String => vec![raw],
        Kind::Array => check::array(stop, raw)?,
        Kind::Null | Kind::Bool | Kind::Number | Kind::Object => {
            return Err(check::wrong_type(
                stop,
                "a string or an array of strings",
                raw,
            ));
        }
    };
    let mut list = String::from("[");
    for (at, sequence) in sequences.into_iter().enumerate() {
        let Some(inner) = json::string_inner(sequence) else {
            return Err(check::wrong_type(stop.index(at), "a string", sequence));
        };
        if inner.is_empty() {
            continue;
        }
        if list.len() > 1 {
            list.push(',');
        }
        list.push_str(sequence.get());
    }
    list.push(']');
    Ok((list.len() > 2).then_some(list))
}

/// Ollama's `format`; `None` for plain text.
pub(super) fn format(raw: &RawValue) -> Result<Option<&str>, Fault> {
    let at = Path::of("response_format");
    let format: ResponseFormat<'_> = check::object(at, raw)?;
    let Some(kind) = format.r#type else {
        return Err(check::missing(at.member("type")));
    };
    match &*check::text(at.member("type"), kind)? {
        "text" => Ok(None),
        "json_object" => Ok(Some("\"json\"")),
        "json_schema" => {
            let at = at.member("json_schema");
            let raw = format.json_schema.ok_or_else(|| check::missing(at))?;
            let schema: JsonSchema<'_> = check::object(at, raw)?;
            let Some(schema) = schema.schema else {
                return Ok(None);
            };
            check::kind(at.member("schema"), schema, Kind::Object)?;
            Ok(Some(schema.get()))
        }
        _ => Err(check::invalid(
            at.member("type"),
            "`text`, `json_object` or `json_schema`",
        )),
    }
}

/// Ollama's `think`; `None` for the empty text.
///
/// # Source
/// Ollama source, `openai/openai.go`: the same words for the same effort.
pub(super) fn effort(at: Path<'_>, raw: &RawValue) -> Result<Option<&'static str>, Fault> {
    Ok(match &*check::text(at, raw)? {
        "" => None,
        "none" => Some("false"),
        "minimal" | "low" => Some("\"low\""),
        "medium" => Some("\"medium\""),
        "high" => Some("\"high\""),
        "xhigh" | "ultra" | "max" => Some("\"max\""),
        _ => {
            return Err(check::invalid(
                at,
                "`none`, `minimal`, `low`, `medium`, `high`, `xhigh` or `max`",
            ));
        }
    })
}
