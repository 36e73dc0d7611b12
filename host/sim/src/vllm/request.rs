//! Requests with vLLM's checks, which are others than OpenAI's. Pure.
//!
//! # Source
//! The texts and their order are those of vLLM 0.32 on the wire.

use serde_json::Value;

use super::fields::{Fields, printed};
use super::refusal::Refusal;
use crate::answer::{Asked, Choice, Format};
use crate::catalog::{MODELS, Model};
use crate::conversation::{Message, Tool};
use crate::openai;

mod message;
mod tools;

pub(super) use tools::ToolChoice;

/// What chats and completions have in common.
#[derive(Debug)]
pub(super) struct Sampling {
    pub(super) stream: bool,
    pub(super) include_usage: bool,
    /// Usage in every chunk.
    pub(super) continuous_usage: bool,
    pub(super) n: usize,
    pub(super) stop: Vec<String>,
    pub(super) limit: Option<usize>,
}

/// A chat.
#[derive(Debug)]
pub(super) struct Chat {
    pub(super) model: &'static Model,
    pub(super) sampling: Sampling,
    pub(super) messages: Vec<Message>,
    pub(super) tools: Vec<Tool>,
    pub(super) choice: ToolChoice,
    pub(super) thinks: bool,
    pub(super) shows_reasoning: bool,
    format: Value,
    /// How many alternatives each token gets; `None` without `logprobs`.
    pub(super) logprobs: Option<usize>,
}

/// A completion.
#[derive(Debug)]
pub(super) struct Completion {
    pub(super) model: &'static Model,
    pub(super) sampling: Sampling,
    pub(super) prompts: Vec<String>,
    pub(super) echo: bool,
    pub(super) logprobs: Option<usize>,
}

/// What a completion generates if the request does not say how much.
const COMPLETION_TOKENS: usize = 16;

/// The most likeliest tokens.
const MOST_LOGPROBS: i64 = 20;

impl Sampling {
    fn read(fields: &Fields, model: &Model) -> Result<Self, Refusal> {
        let stream = fields.flag("stream")?.unwrap_or(false);
        let options = fields.get("stream_options");
        if options.is_some() && !stream {
            let message = "Stream options can only be defined when `stream=True`.";
            return Err(Refusal::bad(message, Some("stream_options")));
        }
        let option = |name: &str| options.is_some_and(|options| options[name] == true);
        let n = fields.integer("n")?.unwrap_or(1);
        if n < 1 {
            let message = format!("n must be at least 1, got {n}.");
            return Err(Refusal::bad(&message, None));
        }
        for name in ["presence_penalty", "frequency_penalty"] {
            let penalty = fields.float(name)?.unwrap_or(0.0);
            if !(-2.0..=2.0).contains(&penalty) {
                let message = format!("{name} must be in [-2, 2], got {penalty:?}.");
                return Err(Refusal::bad(&message, None));
            }
        }
        let temperature = fields.float("temperature")?.unwrap_or(1.0);
        if !(0.0..=2.0).contains(&temperature) {
            let message = format!("temperature must be in [0, 2], got {temperature:?}.");
            let value = format!("{temperature:?}");
            return Err(Refusal::value(&message, "temperature", &value));
        }
        let top_p = fields.float("top_p")?.unwrap_or(1.0);
        if !(top_p > 0.0 && top_p <= 1.0) {
            let message = format!("top_p must be in (0, 1], got {top_p:?}.");
            return Err(Refusal::value(&message, "top_p", &format!("{top_p:?}")));
        }
        fields.integer("seed")?;
        check_bias(fields)?;
        let stop = fields.stops()?;
        let limit = limit(fields, model)?;
        if n > 1 && temperature == 0.0 {
            let message = format!("n must be 1 when using greedy sampling, got {n}.");
            return Err(Refusal::bad(&message, None));
        }
        Ok(Self {
            stream,
            include_usage: option("include_usage"),
            continuous_usage: option("include_usage") && option("continuous_usage_stats"),
            n: usize::try_from(n).unwrap_or(usize::MAX),
            stop,
            limit,
        })
    }
}

fn check_bias(fields: &Fields) -> Result<(), Refusal> {
    let Some(Value::Object(bias)) = fields.get("logit_bias") else {
        return Ok(());
    };
    let Some(odd) = bias.keys().find(|key| key.parse::<u32>().is_err()) else {
        return Ok(());
    };
    let value = format!("['{odd}']");
    let message = format!(
        "logit_bias contains key(s) that cannot be converted to integer token IDs: {value}"
    );
    Err(Refusal::value(&message, "logit_bias", &value))
}

/// The most tokens. `max_completion_tokens` goes before `max_tokens`; the errors speak of the latter.
fn limit(fields: &Fields, model: &Model) -> Result<Option<usize>, Refusal> {
    let newer = fields.integer("max_completion_tokens")?;
    let older = fields.integer("max_tokens")?;
    let Some(limit) = newer.or(older) else {
        return Ok(None);
    };
    let value = limit.to_string();
    if limit < 1 {
        let message = format!("max_tokens must be at least 1, got {limit}.");
        return Err(Refusal::value(&message, "max_tokens", &value));
    }
    let limit = limit.unsigned_abs();
    if limit > model.context_length {
        let length = model.context_length;
        let message = format!(
            "max_tokens={limit} cannot be greater than max_model_len={length}. Please request fewer output tokens."
        );
        return Err(Refusal::value(&message, "max_tokens", &value));
    }
    Ok(usize::try_from(limit).ok())
}

/// The model that a request names, or the first one.
pub(super) fn model(fields: &Fields) -> Result<&'static Model, Refusal> {
    match fields.get("model") {
        None => Ok(&MODELS[0]),
        Some(Value::String(name)) if name.is_empty() => Ok(&MODELS[0]),
        Some(Value::String(name)) => MODELS
            .iter()
            .find(|model| model.name == name)
            .ok_or_else(|| Refusal::no_model(name)),
        Some(value) => Err(Refusal::invalid(&[(
            "string_type",
            ".model",
            "Input should be a valid string",
            &printed(value),
        )])),
    }
}

/// A model that generates text; the routes of the others do not exist.
fn generative(fields: &Fields) -> Result<&'static Model, Refusal> {
    let model = model(fields)?;
    if model.can("completion") {
        Ok(model)
    } else {
        Err(Refusal::detail(404, "Not Found"))
    }
}

impl Chat {
    /// Reads and checks a body.
    ///
    /// # Errors
    /// What vLLM would say.
    pub(super) fn read(body: &[u8]) -> Result<Self, Refusal> {
        let fields = Fields::read(body)?;
        let Some(list) = fields.list("messages")? else {
            return Err(Refusal::invalid(&[(
                "missing",
                ".messages",
                "Field required",
                "<dict>",
            )]));
        };
        for (at, message) in list.iter().enumerate() {
            message::check(at, message)?;
        }
        tools::check(&fields)?;
        let model = generative(&fields)?;
        let sampling = Sampling::read(&fields, model)?;
        let logprobs = chat_logprobs(&fields)?;
        let format = format(&fields)?;
        let choice = tools::choice(&fields)?;
        let calls = openai::calls(list);
        let messages = openai::messages(list, |message| {
            let id = message["tool_call_id"].as_str().unwrap_or_default();
            let call = calls.iter().rev().find(|(known, _)| *known == id);
            call.map(|(_, name)| (*name).to_owned()).unwrap_or_default()
        });
        let images: usize = messages.iter().map(|message| message.images).sum();
        if images > 0 && !model.can("vision") {
            let message = "At most 0 image(s) may be provided in one prompt.";
            return Err(Refusal::value(message, "image", &images.to_string()));
        }
        if messages.is_empty() {
            return Err(Refusal::bad(
                "Cannot apply chat template to an empty conversation. Provide at least one message.",
                None,
            ));
        }
        message::check_length(&messages, model)?;
        let template = fields.get("chat_template_kwargs");
        let is_off = template.is_some_and(|template| template["enable_thinking"] == false)
            || fields
                .get("reasoning_effort")
                .is_some_and(|effort| effort == "none");
        Ok(Self {
            model,
            sampling,
            messages,
            tools: openai::tools(openai::list(fields.map(), "tools")),
            choice,
            thinks: model.can("thinking") && !is_off,
            shows_reasoning: fields.flag("include_reasoning")?.unwrap_or(true),
            format,
            logprobs,
        })
    }

    /// What is asked of the model.
    pub(super) fn asked(&self, seed: u64) -> Asked<'_> {
        let format = match self.format["type"].as_str() {
            Some("json_object") => Format::Json,
            Some("json_schema") => Format::Schema(&self.format["json_schema"]["schema"]),
            Some(_) | None => Format::Free,
        };
        Asked {
            messages: &self.messages,
            tools: &self.tools,
            choice: match &self.choice {
                // The model sees the tools anyway, and may write a call, which nobody parses.
                ToolChoice::Auto | ToolChoice::None => Choice::Auto,
                ToolChoice::Required => Choice::Required,
                ToolChoice::Named(name) => Choice::Named(name),
            },
            thinks: self.thinks,
            format,
            // Of the tokens that are written, which are more than the chunks.
            limit: None,
            stop: &self.sampling.stop,
            keeps_stop: false,
            seed,
        }
    }
}

fn chat_logprobs(fields: &Fields) -> Result<Option<usize>, Refusal> {
    let top = fields.integer("top_logprobs")?.unwrap_or(0);
    let asked = fields.flag("logprobs")?.unwrap_or(false);
    if top > 0 && !asked {
        let message =
            "when using `top_logprobs`, `logprobs` must be set to true. (parameter=top_logprobs)";
        return Err(Refusal::bad(message, Some("top_logprobs")));
    }
    check_logprobs(top)?;
    Ok(asked.then_some(usize::try_from(top).unwrap_or_default()))
}

fn check_logprobs(top: i64) -> Result<(), Refusal> {
    if (0..=MOST_LOGPROBS).contains(&top) {
        return Ok(());
    }
    let message = format!(
        "Requested sample logprobs of {top}, which is greater than max allowed: {MOST_LOGPROBS}"
    );
    Err(Refusal::value(&message, "logprobs", &top.to_string()))
}

fn format(fields: &Fields) -> Result<Value, Refusal> {
    let Some(format) = fields.get("response_format") else {
        return Ok(Value::Null);
    };
    let schema = &format["json_schema"];
    match format["type"].as_str() {
        Some("text" | "json_object") => {}
        Some("json_schema") if !schema.is_object() => {
            let message = "When response_format type is 'json_schema', the 'json_schema' field must be provided. \
                           (parameter=response_format)";
            return Err(Refusal::bad(message, Some("response_format")));
        }
        Some("json_schema") => {
            let kind = schema["schema"]["type"].as_str().unwrap_or("object");
            let known = [
                "object", "array", "string", "number", "integer", "boolean", "null",
            ];
            if !known.contains(&kind) {
                let message = format!("Grammar error: Invalid type: {kind}");
                return Err(Refusal::bad(&message, None));
            }
        }
        Some(_) | None => {
            let text = "Input should be 'text', 'json_object', 'json_schema' or 'structural_tag'";
            let place = ".response_format.ResponseFormat.type";
            let value = printed(&format["type"]);
            return Err(Refusal::invalid(&[("literal_error", place, text, &value)]));
        }
    }
    Ok(format.clone())
}

impl Completion {
    /// Reads and checks a body.
    ///
    /// # Errors
    /// What vLLM would say.
    pub(super) fn read(body: &[u8]) -> Result<Self, Refusal> {
        let fields = Fields::read(body)?;
        let prompts = match fields.get("prompt") {
            Some(Value::String(prompt)) => vec![prompt.clone()],
            Some(Value::Array(items)) => items
                .iter()
                .map(|item| item.as_str().unwrap_or_default().to_owned())
                .collect(),
            None | Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) => {
                let message = "Either prompt or prompt_embeds must be provided and non-empty.";
                return Err(Refusal::bad(message, Some("prompt")));
            }
        };
        let model = generative(&fields)?;
        if fields.get("suffix").is_some() {
            let message = "suffix is only supported for models with FIM completion rendering";
            return Err(Refusal::bad(message, Some("suffix")));
        }
        let mut sampling = Sampling::read(&fields, model)?;
        sampling.limit = sampling.limit.or(Some(COMPLETION_TOKENS));
        let logprobs = fields.integer("logprobs")?;
        check_logprobs(logprobs.unwrap_or(0))?;
        Ok(Self {
            model,
            sampling,
            prompts,
            echo: fields.flag("echo")?.unwrap_or(false),
            logprobs: logprobs.and_then(|top| usize::try_from(top).ok()),
        })
    }

    /// What is asked of the model for one prompt.
    pub(super) fn asked<'a>(&'a self, question: &'a [Message], seed: u64) -> Asked<'a> {
        Asked {
            messages: question,
            tools: &[],
            choice: Choice::Auto,
            thinks: false,
            format: Format::Free,
            // Of the tokens that are written, which are more than the chunks.
            limit: None,
            stop: &self.sampling.stop,
            keeps_stop: false,
            seed,
        }
    }
}
