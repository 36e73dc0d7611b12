//! `/api/generate`: a chat of one user message, or a completion where the prompt is to be taken as it is.

use sluicegate_plugin::Fault;

use super::body::{Body, unsupported};
use super::parameters::{self, Model};
use super::{Canonical, Task, message};
use crate::settings::Settings;
use crate::write::Object;

/// The most tokens of a completion if the client sets no limit. In OpenAI's API that would be 16, in Ollama there is none; a model
/// server refuses a number that is beyond its model's context.
const COMPLETION_TOKENS: i64 = 2048;

/// Translates a request with a prompt to `out`, which is empty.
///
/// # Errors
/// 400 that names the parameter.
pub(super) fn translate(
    mut out: Object,
    body: &Body<'_>,
    model: Model,
    settings: &Settings,
) -> Result<Canonical, Fault> {
    refuse_state(body)?;
    let is_raw = body.flag("raw")?.unwrap_or(false);
    let suffix = body.text("suffix")?;
    out.text("model", &model.canonical);
    if is_raw || suffix.is_some() {
        completion(&mut out, body, settings)?;
        return Ok(Canonical {
            task: Task::Completion,
            model: model.name,
            path: "/v1/completions".to_owned(),
            body: Some(out.end()),
        });
    }
    let messages = out.member("messages");
    messages.push('[');
    if let Some(system) = body.string("system")?.filter(|raw| raw.get() != "\"\"") {
        messages.push_str("{\"role\":\"system\",\"content\":");
        messages.push_str(system.get());
        messages.push_str("},");
    }
    messages.push_str("{\"role\":\"user\",\"content\":");
    message::push_content(messages, body.string("prompt")?, body)?;
    messages.push_str("}]");
    parameters::write(&mut out, body, None, settings)?;
    parameters::of_chat(&mut out, body)?;
    Ok(Canonical {
        task: Task::Generate,
        model: model.name,
        path: "/v1/chat/completions".to_owned(),
        body: Some(out.end()),
    })
}

/// A prompt to be taken as it is, or one with what follows the text.
fn completion(out: &mut Object, body: &Body<'_>, settings: &Settings) -> Result<(), Fault> {
    if body.text("system")?.is_some() {
        let message =
            "`system` cannot be combined with `raw` or `suffix`; make it a part of the prompt.";
        return Err(unsupported("system", message));
    }
    if !body.list("images")?.is_empty() {
        let message = "`images` cannot be combined with `raw` or `suffix`.";
        return Err(unsupported("images", message));
    }
    if let Some(prompt) = body.string("prompt")? {
        out.raw("prompt", prompt.get());
    }
    if let Some(suffix) = body.string("suffix")?.filter(|raw| raw.get() != "\"\"") {
        out.raw("suffix", suffix.get());
    }
    parameters::write(out, body, Some(COMPLETION_TOKENS), settings)?;
    if let Some(top) = parameters::logprobs(body)? {
        out.number("logprobs", top);
    }
    Ok(())
}

/// What a response would silently be wrong without.
fn refuse_state(body: &Body<'_>) -> Result<(), Fault> {
    if body.text("template")?.is_some() {
        let message = "`template` cannot be set here: the model server has the template of its model. Send the finished \
                       prompt with `raw`.";
        return Err(unsupported("template", message));
    }
    if !body.list("context")?.is_empty() {
        let message = "`context` is not supported; send the conversation to /api/chat.";
        return Err(unsupported("context", message));
    }
    Ok(())
}
