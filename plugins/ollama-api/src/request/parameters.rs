//! What chats and completions have in common: the model, the stream, and how the text is made.

use serde_json::value::RawValue;
use sluicegate_plugin::Fault;
use sluicegate_plugin::json::{self, Kind};

use super::body::{Body, integer, wrong};
use super::options;
use crate::settings::{KeepAlive, Settings};
use crate::write::{Object, push_text};

/// The tag of a name without one.
const LATEST: &str = ":latest";

/// The largest `top_logprobs` (Ollama's source, `server/routes.go`).
const TOP_LOGPROBS: i64 = 20;

/// The model of a request.
#[derive(Debug)]
pub(super) struct Model {
    /// As the client calls it.
    pub(super) name: String,
    /// As it is called here.
    pub(super) canonical: String,
}

impl Model {
    /// Reads the model. Its older name `name` is accepted too.
    ///
    /// # Errors
    /// 400 if it is missing.
    pub(super) fn read(body: &Body<'_>, settings: &Settings) -> Result<Self, Fault> {
        let name = match body.text("model")? {
            Some(name) => Some(name),
            None => body.text("name")?,
        };
        let missing = || Fault::bad_request("model is required").param("model");
        let name = name.ok_or_else(missing)?.into_owned();
        let short = name.strip_suffix(LATEST).filter(|short| !short.is_empty());
        let canonical = match short {
            Some(short) if settings.strip_latest => short.to_owned(),
            Some(_) | None => name.clone(),
        };
        Ok(Self { name, canonical })
    }
}

/// Writes the stream, the options, the form of the text, and, if the operator lets clients say it, how long a model is kept. `most` is the limit of tokens if the
/// client names none.
///
/// # Errors
/// 400 that names the parameter.
pub(super) fn write(
    out: &mut Object,
    body: &Body<'_>,
    most: Option<i64>,
    settings: &Settings,
) -> Result<(), Fault> {
    if body.flag("stream")?.unwrap_or(true) {
        out.raw("stream", "true");
        out.raw("stream_options", "{\"include_usage\":true}");
    } else {
        out.raw("stream", "false");
    }
    options::write(out, body, most)?;
    format(out, body)?;
    let keep_alive = keep_alive(body)?;
    if let Some(raw) = keep_alive.filter(|_| settings.keep_alive == KeepAlive::Pass) {
        out.raw("keep_alive", raw.get());
    }
    Ok(())
}

/// Writes what only chats have: how much the model thinks, and the probabilities of tokens.
///
/// # Errors
/// 400 that names the parameter.
pub(super) fn of_chat(out: &mut Object, body: &Body<'_>) -> Result<(), Fault> {
    think(out, body)?;
    if let Some(top) = logprobs(body)? {
        out.raw("logprobs", "true");
        if top > 0 {
            out.number("top_logprobs", top);
        }
    }
    Ok(())
}

/// How many likely tokens are wanted beside each token; `None` if no probabilities are.
///
/// # Errors
/// 400 that names the parameter.
pub(super) fn logprobs(body: &Body<'_>) -> Result<Option<u64>, Fault> {
    let wanted = body.flag("logprobs")?.unwrap_or(false);
    let Some(raw) = body.get("top_logprobs") else {
        return Ok(wanted.then_some(0));
    };
    let top = integer(raw).ok_or_else(|| wrong("top_logprobs", "a whole number", raw))?;
    if !(0..=TOP_LOGPROBS).contains(&top) {
        let message = format!("top_logprobs must be between 0 and {TOP_LOGPROBS}");
        return Err(Fault::bad_request(message).param("top_logprobs"));
    }
    Ok(wanted.then(|| top.unsigned_abs()))
}

/// `true` and `false`, or how much. Absent, the model decides.
fn think(out: &mut Object, body: &Body<'_>) -> Result<(), Fault> {
    let Some(raw) = body.get("think") else {
        return Ok(());
    };
    match raw.get() {
        "true" => out.raw("reasoning", "{\"enabled\":true}"),
        "false" => out.raw("reasoning_effort", "\"none\""),
        level @ ("\"low\"" | "\"medium\"" | "\"high\"" | "\"max\"") => {
            out.raw("reasoning_effort", level);
        }
        _ => {
            let message = "`think` must be true, false, \"low\", \"medium\", \"high\" or \"max\".";
            return Err(Fault::bad_request(message).param("think"));
        }
    }
    Ok(())
}

/// `json`, or a schema.
fn format(out: &mut Object, body: &Body<'_>) -> Result<(), Fault> {
    let Some(raw) = body.get("format") else {
        return Ok(());
    };
    match (Kind::of(raw), raw.get()) {
        (_, "\"\"") => {}
        (_, "\"json\"") => out.raw("response_format", "{\"type\":\"json_object\"}"),
        (Kind::Object, schema) => {
            let form = out.member("response_format");
            form.push_str(
                "{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"format\",\"schema\":",
            );
            form.push_str(schema);
            form.push_str("}}");
        }
        (Kind::Null | Kind::Bool | Kind::Number | Kind::String | Kind::Array, other) => {
            let shown: String = other.chars().take(100).collect();
            let mut message = String::from("invalid format: ");
            push_text(&mut message, &shown);
            message.push_str("; expected \"json\" or a valid JSON Schema object");
            return Err(Fault::bad_request(message).param("format"));
        }
    }
    Ok(())
}

/// How long the model is kept in memory: seconds, or a duration such as `5m`. The model server judges the text.
///
/// # Errors
/// 400 for another type.
pub(super) fn keep_alive<'a>(body: &Body<'a>) -> Result<Option<&'a RawValue>, Fault> {
    match body.get("keep_alive") {
        Some(raw) if !matches!(Kind::of(raw), Kind::Number | Kind::String) => {
            Err(wrong("keep_alive", "a number or a string", raw))
        }
        found => Ok(found),
    }
}

/// Whether a duration is none at all: `0`, `"0"`, `"0s"`, `"0h0m"`.
pub(super) fn is_no_time(raw: &RawValue) -> bool {
    let text = json::text(raw);
    let text = text.as_deref().unwrap_or(raw.get());
    text.starts_with('0') && !text.contains(|char: char| matches!(char, '1'..='9'))
}
