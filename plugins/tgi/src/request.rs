//! Requests in the form that TGI takes.

use serde_json::value::RawValue;
use sluicegate_openai_api::request::history::{Arguments, each, with_arguments};
use sluicegate_openai_api::request::{
    Body, elements, media, members, stop, tools, unsupported, wrong_type,
};
use sluicegate_plugin::Fault;
use sluicegate_plugin::json::{self, Kind};

mod links;
mod message;

/// TGI generates in runs of this many tokens and looks at the limit only between them: 1100 tokens become 2048.
pub const RUN: u64 = 1024;

/// The most choices in OpenAI's API.
const MOST_CHOICES: u8 = 128;

/// What OpenAI generates if a completion does not say how much.
const COMPLETION_TOKENS: u64 = 16;

/// Refuses, or leaves out, what TGI ignores though it would change the response.
///
/// # Errors
/// 400, which names the parameter.
pub fn refuse(body: &mut Body<'_>) -> Result<(), Fault> {
    for name in ["n", "best_of"] {
        let Some(text) = body.text(name) else {
            continue;
        };
        let number = text.parse().unwrap_or_default();
        if !(1..=MOST_CHOICES).contains(&number) {
            let message = format!("`{name}` must be a whole number from 1 to {MOST_CHOICES}.");
            return Err(Fault::bad_request(message).param(name));
        }
        if number > 1 {
            let message = format!(
                "TGI sends one response per request; `{name}` must be 1. Send several requests instead."
            );
            body.unsupported(name, message)?;
        }
        body.remove(name);
    }
    if let Some(raw) = body.get("logit_bias") {
        if !members("logit_bias", raw)?.is_empty() {
            let message = "TGI has no `logit_bias`; it must be empty.";
            body.unsupported("logit_bias", message)?;
        }
        body.remove("logit_bias");
    }
    media::without_sound(body)?;
    if body.has("web_search_options") {
        let message = "TGI has nothing like `web_search_options`.";
        body.unsupported("web_search_options", message)?;
    }
    Ok(())
}

/// Replaces the model: TGI takes every name but `tgi` for that of a LoRA adapter.
pub fn model(body: &mut Body<'_>, lora_adapters: &[String]) {
    let name = body.get("model").and_then(json::text);
    if name.is_none_or(|name| !lora_adapters.iter().any(|known| *known == name)) {
        body.set("model", "\"tgi\"");
    }
}

/// Changes what chats and completions have in common; returns the stop sequences.
///
/// # Errors
/// 400, which names the parameter.
pub fn sampling(body: &mut Body<'_>) -> Result<Vec<String>, Fault> {
    // OpenAI's default is a value that TGI does not take.
    if number(body, "top_p").is_some_and(|top_p| top_p >= 1.0) {
        body.remove("top_p");
    }
    // TGI would make a repetition penalty of it that punishes every word.
    if number(body, "presence_penalty").is_some_and(|penalty| penalty != 0.0) {
        body.dropped.add("presence_penalty");
    }
    body.remove("presence_penalty");
    if let Some(seed) = body
        .get("seed")
        .and_then(|raw| raw.get().parse::<i64>().ok())
    {
        body.set("seed", seed.cast_unsigned().to_string());
    }
    stop::mend(body, stop::MOST)
}

/// Changes a completion.
///
/// # Errors
/// 400 for what TGI would ignore.
pub fn completion(body: &mut Body<'_>) -> Result<(), Fault> {
    if body.says("echo", true) {
        let message = "TGI does not repeat the prompt; `echo` must be false.";
        body.unsupported("echo", message)?;
    }
    if !body.has("max_tokens") && !body.has("max_completion_tokens") {
        body.set("max_tokens", COMPLETION_TOKENS.to_string());
    }
    Ok(())
}

/// Changes a chat.
///
/// # Errors
/// 400, which names the parameter.
pub fn chat(body: &mut Body<'_>) -> Result<(), Fault> {
    tools::of_functions(body)?;
    tools::without_idle(body);
    let tools = body.text("tools").and_then(|text| {
        let raw = serde_json::from_str::<&RawValue>(text).ok()?;
        each(raw, message::with_parameters)
    });
    if let Some(tools) = tools {
        body.set("tools", tools);
    }
    if body.has("tools") {
        // TGI's are those of another text.
        if body.says("logprobs", true) {
            body.dropped.add("logprobs");
        }
        body.remove("logprobs");
        body.remove("top_logprobs");
    }
    response_format(body)?;
    if let Some(raw) = body.get("messages") {
        let list = elements("messages", raw)?;
        let mut out = String::with_capacity(raw.get().len() + 64);
        for message in list {
            out.push(if out.is_empty() { '[' } else { ',' });
            message::write(&mut out, message);
        }
        if out.is_empty() {
            out.push('[');
        }
        out.push(']');
        let written = serde_json::from_str::<&RawValue>(&out).ok();
        let mended = written.and_then(|raw| with_arguments(raw, Arguments::Object));
        body.set("messages", mended.unwrap_or(out));
    }
    Ok(())
}

/// The limit of tokens under one name; returns it. Where TGI does not stream, its surplus cannot be cut off, so that the limit
/// is then a whole number of runs.
///
/// # Errors
/// 400 for what is no limit.
pub fn most_tokens(body: &mut Body<'_>, streams: bool) -> Result<Option<u64>, Fault> {
    let name = ["max_completion_tokens", "max_tokens"]
        .into_iter()
        .find(|name| body.has(name));
    let Some(name) = name else {
        return Ok(None);
    };
    let text = body.text(name).unwrap_or_default();
    let most = text
        .parse::<u64>()
        .ok()
        .filter(|&most| most > 0)
        .ok_or_else(|| {
            Fault::bad_request(format!("`{name}` must be a whole number of at least 1."))
                .param(name)
        })?;
    body.remove("max_completion_tokens");
    let asked = if streams || most < RUN {
        most
    } else {
        most - most % RUN
    };
    body.set("max_tokens", asked.to_string());
    Ok(Some(most))
}

/// `response_format` in TGI's shape: the schema in a member `value`.
fn response_format(body: &mut Body<'_>) -> Result<(), Fault> {
    let Some(raw) = body.get("response_format") else {
        return Ok(());
    };
    let format = members("response_format", raw)?;
    let get = |name: &str| {
        format
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, raw)| *raw)
    };
    let kind = get("type").and_then(json::text);
    match (
        kind.as_deref(),
        get("value"),
        get("json_schema"),
        get("schema"),
    ) {
        (Some("text"), ..) => {
            body.remove("response_format");
        }
        // Already in TGI's shape.
        (_, Some(_), ..) => {}
        (Some("json_schema"), None, Some(schema), _) => {
            let inner = members("response_format.json_schema", schema)?;
            if !inner.iter().any(|(name, _)| name == "schema") {
                return Err(missing("response_format.json_schema.schema"));
            }
            body.set("response_format", valued("json_schema", schema));
        }
        (Some("json_object" | "json_schema"), None, None, Some(schema)) => {
            body.set("response_format", valued("json_object", schema));
        }
        (Some("json_schema"), None, None, None) => {
            return Err(missing("response_format.json_schema"));
        }
        (Some("json_object"), None, ..) => {
            return Err(unsupported(
                "response_format",
                "TGI cannot promise JSON without a schema; use `json_schema`.",
            ));
        }
        (Some(_) | None, None, ..) => {
            let message = "`response_format.type` must be `text`, `json_object` or `json_schema`.";
            return Err(Fault::bad_request(message).param("response_format.type"));
        }
    }
    Ok(())
}

fn valued(kind: &str, value: &RawValue) -> String {
    format!("{{\"type\":\"{kind}\",\"value\":{value}}}")
}

fn missing(param: &str) -> Fault {
    Fault::bad_request(format!("Missing required parameter: `{param}`."))
        .code("missing_required_parameter")
        .param(param)
}

/// Makes texts of images in Markdown, which TGI would fetch wherever they are, harmless. Parts that are images stay.
pub fn hide_links(body: &mut Body<'_>) {
    body.change_all(links::hidden);
}

/// A number.
pub(crate) fn number(body: &Body<'_>, name: &str) -> Option<f64> {
    body.text(name)?.parse().ok()
}

/// A text.
pub(crate) fn text(param: &str, raw: &RawValue) -> Result<String, Fault> {
    match Kind::of(raw) {
        Kind::Null => Ok(String::new()),
        Kind::Bool | Kind::Number | Kind::String | Kind::Array | Kind::Object => json::text(raw)
            .map(std::borrow::Cow::into_owned)
            .ok_or_else(|| wrong_type(param, "a string", raw)),
    }
}
