//! Values that need more than a check of their type.

use serde::Deserialize;
use serde_json::value::RawValue;
use sluicegate_plugin::Fault;
use sluicegate_plugin::json::{self, Kind};

use super::check::{self, Path};
use crate::keep_alive;

/// No model has a longer name; it would fill notes and logs.
const MODEL_NAME_BYTES: usize = 512;

/// The limit above which Ollama returns an error (Ollama source, `server/routes.go`).
pub(super) const TOP_LOGPROBS: i64 = 20;

#[derive(Deserialize)]
struct ResponseFormat<'a> {
    #[serde(borrow)]
    r#type: Option<&'a RawValue>,
    #[serde(borrow)]
    json_schema: Option<&'a RawValue>,
    /// The member in which llama.cpp and similar servers have the schema.
    #[serde(borrow)]
    schema: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct JsonSchema<'a> {
    #[serde(borrow)]
    schema: Option<&'a RawValue>,
}

/// The name of a model, as in the request.
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

/// A list of stop sequences as JSON, because Ollama accepts only a list; `None` if there are none.
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

/// Ollama's `keep_alive`, as in the request.
pub(super) fn keep_alive(raw: &RawValue) -> Result<&str, Fault> {
    let at = Path::of("keep_alive");
    match Kind::of(raw) {
        Kind::Number => {}
        Kind::String if keep_alive::is_duration(&check::text(at, raw)?) => {}
        Kind::String => return Err(check::invalid(at, keep_alive::EXPECTED)),
        Kind::Null | Kind::Bool | Kind::Array | Kind::Object => {
            return Err(check::wrong_type(at, keep_alive::EXPECTED, raw));
        }
    }
    Ok(raw.get())
}

/// Ollama's `format` for a `response_format`; `None` for plain text.
///
/// A missing schema is an error: a response that does not follow it would be worse.
pub(super) fn format(raw: &RawValue) -> Result<Option<&str>, Fault> {
    let at = Path::of("response_format");
    let format: ResponseFormat<'_> = check::object(at, raw)?;
    let Some(kind) = format.r#type else {
        return Err(check::missing(at.member("type")));
    };
    let beside = |schema| object(at.member("schema"), schema).map(Some);
    match &*check::text(at.member("type"), kind)? {
        "text" => Ok(None),
        "json_object" => format.schema.map_or(Ok(Some("\"json\"")), beside),
        "json_schema" => {
            let at = at.member("json_schema");
            match (format.json_schema, format.schema) {
                (Some(raw), _) => {
                    let inner: JsonSchema<'_> = check::object(at, raw)?;
                    let at = at.member("schema");
                    let schema = inner.schema.ok_or_else(|| check::missing(at))?;
                    object(at, schema).map(Some)
                }
                (None, Some(schema)) => beside(schema),
                (None, None) => Err(check::missing(at)),
            }
        }
        _ => Err(check::invalid(
            at.member("type"),
            "`text`, `json_object` or `json_schema`",
        )),
    }
}

/// Ollama's own `format`; `None` for plain text.
pub(super) fn native_format(raw: &RawValue) -> Result<Option<&str>, Fault> {
    let at = Path::of("format");
    match (Kind::of(raw), raw.get()) {
        (Kind::String, "\"\"") => Ok(None),
        (Kind::String, "\"json\"") | (Kind::Object, _) => Ok(Some(raw.get())),
        (Kind::String, _) => Err(check::invalid(at, "`json` or a JSON Schema")),
        (Kind::Null | Kind::Bool | Kind::Number | Kind::Array, _) => {
            Err(check::wrong_type(at, "a string or an object", raw))
        }
    }
}

fn object<'a>(at: Path<'_>, raw: &'a RawValue) -> Result<&'a str, Fault> {
    check::kind(at, raw, Kind::Object)?;
    Ok(raw.get())
}
