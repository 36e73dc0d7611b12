//! Parameters at the top level, beside input, tools and text.

use serde_json::value::RawValue;
use sluicegate_openai_api::request::{Body, unsupported as unsupported_value, wrong_type};
use sluicegate_plugin::Fault;
use sluicegate_plugin::json::{self, Kind};

use super::object::{Object, begin, elements, invalid, missing, unsupported};
use super::{Chat, Shown};

/// What happens to a parameter.
enum Use {
    /// It is translated, by one of the modules here.
    Translated,
    /// It means the same in the chat API, or only a model server knows.
    Passed,
    /// It makes no difference to a response.
    Ignored,
    /// It is refused, with this sentence.
    Refused(&'static str),
    /// It belongs to the chat API; here it has another name.
    Renamed(&'static str),
}

const NOT_STORED: &str =
    "Responses are not stored here. Send the whole conversation as `input`, with `store: false`.";

fn use_of(name: &str) -> Use {
    match name {
        "input"
        | "instructions"
        | "model"
        | "stream"
        | "include"
        | "max_output_tokens"
        | "tools"
        | "tool_choice"
        | "parallel_tool_calls"
        | "reasoning"
        | "text"
        | "store"
        | "top_logprobs"
        | "truncation"
        | "metadata"
        | "background" => Use::Translated,
        "stream_options"
        | "prompt_cache_options"
        | "prompt_cache_retention"
        | "image"
        | "client_metadata" => Use::Ignored,
        "previous_response_id" | "conversation" => Use::Refused(NOT_STORED),
        "prompt" => Use::Refused(
            "Templates of prompts are not stored here. Send the text itself as `instructions` and `input`.",
        ),
        "max_tool_calls" => Use::Refused(
            "`max_tool_calls` limits built-in tools, and there are none here. Leave it out, and limit the calls of functions \
             in the client, which runs them.",
        ),
        "context_management" => Use::Refused(
            "The conversation is not shortened here. Leave `context_management` out, and send a shorter `input`.",
        ),
        "moderation" => Use::Refused("There is no moderation here. Leave `moderation` out."),
        "access_programs" | "background_options" => {
            Use::Refused("The gateway has nothing like this parameter. Leave it out.")
        }
        "n" => {
            Use::Refused("There is one response per request. Send several requests instead of `n`.")
        }
        "messages" => Use::Renamed("input"),
        "max_tokens" | "max_completion_tokens" => Use::Renamed("max_output_tokens"),
        "response_format" => Use::Renamed("text.format"),
        "reasoning_effort" => Use::Renamed("reasoning.effort"),
        "verbosity" => Use::Renamed("text.verbosity"),
        "functions" => Use::Renamed("tools"),
        "function_call" => Use::Renamed("tool_choice"),
        "logprobs" => Use::Renamed("include: [\"message.output_text.logprobs\"]"),
        _ => Use::Passed,
    }
}

/// Appends the parameters that are passed on, and says what the client wants to see.
pub(super) fn write(chat: &mut Chat, body: &Body<'_>) -> Result<Shown, Fault> {
    for name in body.names() {
        match use_of(name) {
            Use::Translated | Use::Ignored => {}
            Use::Passed => {
                let mut quoted = String::new();
                json::push_escaped(&mut quoted, name);
                chat.raw(&quoted, body.get(name));
            }
            Use::Refused(message) => return Err(unsupported(name, message)),
            Use::Renamed(here) => {
                let message = format!("The Responses API has no `{name}`. Use `{here}` instead.");
                return Err(unsupported(name, message));
            }
        }
    }
    refuse_stored(body)?;
    if let Some(raw) = body.get("max_output_tokens") {
        let at = "max_output_tokens";
        if Kind::of(raw) != Kind::Number {
            return Err(wrong_type(at, "a whole number", raw));
        }
        if !raw.get().parse::<u64>().is_ok_and(|tokens| tokens > 0) {
            return Err(invalid(at, "a whole number of at least 1"));
        }
        chat.member("max_completion_tokens", raw.get());
    }
    let mut shown = included(body)?;
    shown.summary = reasoning(chat, body)?;
    if shown.logprobs {
        chat.member("logprobs", "true");
        chat.raw("top_logprobs", body.get("top_logprobs"));
    }
    Ok(shown)
}

/// The name of the model.
pub(super) fn model<'a>(body: &Body<'a>) -> Result<&'a RawValue, Fault> {
    let raw = body.get("model").ok_or_else(|| missing("model"))?;
    match Kind::of(raw) {
        Kind::String => Ok(raw),
        Kind::Null | Kind::Bool | Kind::Number | Kind::Array | Kind::Object => {
            Err(wrong_type("model", "a string", raw))
        }
    }
}

/// A boolean, if it is given.
pub(super) fn boolean(body: &Body<'_>, name: &str) -> Result<Option<bool>, Fault> {
    match body.get(name).map(|raw| (raw.get(), raw)) {
        Some(("true", _)) => Ok(Some(true)),
        Some(("false", _)) => Ok(Some(false)),
        Some((_, raw)) => Err(wrong_type(name, "a boolean", raw)),
        None => Ok(None),
    }
}

/// Refuses what needs a store, except `store` itself: that the response says `store: false` is enough.
fn refuse_stored(body: &Body<'_>) -> Result<(), Fault> {
    boolean(body, "store")?;
    if boolean(body, "background")? == Some(true) {
        let message = "Responses are not stored here, so none can be fetched later. Send `background: false`, or leave it \
            out, and read the response, or its stream.";
        return Err(unsupported("background", message));
    }
    if let Some(raw) = body.get("metadata")
        && Kind::of(raw) != Kind::Object
    {
        return Err(wrong_type("metadata", "an object", raw));
    }
    match body.get("truncation").map(RawValue::get) {
        None | Some("\"auto\"" | "\"disabled\"") => Ok(()),
        Some(_) => Err(invalid("truncation", "`auto` or `disabled`")),
    }
}

/// What `include` lists. What belongs to tools that are not here, or is only shown of stored responses, makes no difference.
fn included(body: &Body<'_>) -> Result<Shown, Fault> {
    let mut shown = Shown::default();
    let Some(raw) = body.get("include") else {
        return Ok(shown);
    };
    for (index, raw) in elements("include", raw)?.into_iter().enumerate() {
        let at = format!("include[{index}]");
        let name = json::text(raw).ok_or_else(|| wrong_type(&at, "a string", raw))?;
        match &*name {
            "reasoning.encrypted_content" => shown.encrypted = true,
            "message.output_text.logprobs" => shown.logprobs = true,
            "message.input_image.image_url"
            | "file_search_call.results"
            | "web_search_call.results"
            | "web_search_call.action.sources"
            | "code_interpreter_call.outputs"
            | "computer_call_output.output.image_url" => {}
            other => {
                let message = format!(
                    "`include` cannot list `{}`; it can list `reasoning.encrypted_content` and `message.output_text.logprobs`.",
                    begin(other)
                );
                return Err(unsupported_value(&at, message));
            }
        }
    }
    Ok(shown)
}

/// Appends how much the model shall think, and says whether its thoughts are wanted as a summary.
fn reasoning(chat: &mut Chat, body: &Body<'_>) -> Result<bool, Fault> {
    let Some(raw) = body.get("reasoning") else {
        return Ok(false);
    };
    let reasoning = Object::read("reasoning".to_owned(), raw)?;
    chat.raw("reasoning_effort", reasoning.string("effort")?);
    for name in ["summary", "generate_summary"] {
        match reasoning.text(name)?.as_deref() {
            None => {}
            Some("auto" | "concise" | "detailed") => return Ok(true),
            Some(_) => {
                let at = reasoning.place(name);
                return Err(invalid(&at, "`auto`, `concise` or `detailed`"));
            }
        }
    }
    Ok(false)
}
