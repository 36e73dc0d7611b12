//! Embeddings.

use serde_json::value::RawValue;
use sluicegate_plugin::Fault;
use sluicegate_plugin::json::Kind;

use super::body::{Body, integer, wrong};
use super::parameters::Model;
use super::{Asked, Canonical, Known, Task};
use crate::write::Object;

/// Translates a request; `input` is the member with the texts.
///
/// # Errors
/// 400 that names the parameter.
pub(super) fn translate(
    body: &Body<'_>,
    model: Model,
    task: Task,
    input: &str,
) -> Result<Asked, Fault> {
    let Some(texts) = body.get(input).filter(|raw| !is_empty(raw)) else {
        return Ok(Asked::Known(Known {
            model: model.name,
            task,
            is_unload: false,
        }));
    };
    check(input, texts)?;
    let mut out = Object::new(texts.get().len() + 128);
    out.text("model", &model.canonical);
    out.raw("input", texts.get());
    out.raw("encoding_format", "\"float\"");
    if let Some(raw) = body.get("dimensions") {
        let dimensions = integer(raw).ok_or_else(|| wrong("dimensions", "a whole number", raw))?;
        if dimensions > 0 {
            out.number("dimensions", dimensions.unsigned_abs());
        }
    }
    // Ollama cuts a text that is too long unless it is told not to. What others do is up to them, unless it is asked for: then
    // it is said in vLLM's way, as far as the model goes.
    if body.flag("truncate")? == Some(true) {
        out.raw("truncate_prompt_tokens", "-1");
    }
    Ok(Asked::Canonical(Canonical {
        task,
        model: model.name,
        path: "/v1/embeddings".to_owned(),
        body: Some(out.end()),
    }))
}

fn is_empty(raw: &RawValue) -> bool {
    let inner = raw.get().strip_prefix('[');
    let inner = inner.and_then(|rest| rest.strip_suffix(']'));
    raw.get() == "\"\"" || inner.is_some_and(|inner| inner.trim_ascii().is_empty())
}

fn check(param: &str, raw: &RawValue) -> Result<(), Fault> {
    let refused = || wrong(param, "a string or an array of strings", raw);
    match Kind::of(raw) {
        Kind::String => Ok(()),
        Kind::Array => {
            let list: Vec<&RawValue> = serde_json::from_str(raw.get()).map_err(|_| refused())?;
            let other = list.iter().position(|raw| Kind::of(raw) != Kind::String);
            match other {
                Some(at) => Err(wrong(&format!("{param}[{at}]"), "a string", list[at])),
                None => Ok(()),
            }
        }
        Kind::Null | Kind::Bool | Kind::Number | Kind::Object => Err(refused()),
    }
}
