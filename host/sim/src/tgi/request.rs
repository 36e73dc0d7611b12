//! Requests with TGI's checks. Pure.
//!
//! # Source
//! The texts and their order are those of TGI 3.3 on the wire.

use serde_json::{Map, Value, json};

use super::form::{Body, Expected, Kind};
use super::refusal::Refusal;
use super::written::Limits;
use crate::answer::{Asked, Choice, Format};
use crate::catalog::Model;
use crate::conversation::{Message, Tool};
use crate::openai;

mod grammar;
mod values;

use grammar::ToolChoice;
use values::{STOPS, Values, limits, stops};

/// A chat.
#[derive(Debug)]
pub(super) struct Chat {
    /// As the client wrote it, or that of the model.
    pub(super) model: String,
    pub(super) stream: bool,
    pub(super) include_usage: bool,
    pub(super) logprobs: Option<usize>,
    pub(super) limits: Limits,
    /// Whether the grammar of tools applies.
    pub(super) guided: bool,
    /// The id of a call in a stream.
    pub(super) call_id: u64,
    messages: Vec<Message>,
    tools: Vec<Tool>,
    choice: ToolChoice,
    format: Value,
    thinks: bool,
}

/// A completion.
#[derive(Debug)]
pub(super) struct Completion {
    pub(super) model: String,
    pub(super) stream: bool,
    pub(super) prompts: Vec<String>,
    pub(super) limits: Limits,
}

/// A request of TGI's own API.
#[derive(Debug)]
pub(super) struct Generate {
    pub(super) inputs: String,
    pub(super) limits: Limits,
    pub(super) details: bool,
    pub(super) return_full_text: Option<bool>,
    pub(super) top_tokens: Option<usize>,
    pub(super) grammar: Value,
}

const SAMPLING: Expected = &[
    ("frequency_penalty", Kind::MaybeNumber),
    ("presence_penalty", Kind::MaybeNumber),
    ("temperature", Kind::MaybeNumber),
    ("top_p", Kind::MaybeNumber),
    ("max_tokens", Kind::MaybeUnsigned),
    ("max_completion_tokens", Kind::MaybeUnsigned),
    ("model", Kind::MaybeText),
    ("seed", Kind::MaybeUnsigned),
    ("stop", Kind::MaybeTexts),
    ("stream", Kind::Bool),
    ("stream_options", Kind::Object("StreamOptions")),
];

const CHAT: Expected = &[
    ("logit_bias", Kind::MaybeNumbers),
    ("logprobs", Kind::MaybeBool),
    ("top_logprobs", Kind::MaybeUnsigned),
    ("n", Kind::MaybeUnsigned),
];

const PARAMETERS: Expected = &[
    ("best_of", Kind::MaybeUnsigned),
    ("temperature", Kind::MaybeNumber),
    ("repetition_penalty", Kind::MaybeNumber),
    ("frequency_penalty", Kind::MaybeNumber),
    ("top_k", Kind::MaybeNumber),
    ("top_p", Kind::MaybeNumber),
    ("typical_p", Kind::MaybeNumber),
    ("do_sample", Kind::Bool),
    ("max_new_tokens", Kind::MaybeUnsigned),
    ("return_full_text", Kind::MaybeBool),
    ("stop", Kind::Texts),
    ("truncate", Kind::MaybeUnsigned),
    ("watermark", Kind::Bool),
    ("details", Kind::Bool),
    ("decoder_input_details", Kind::Bool),
    ("seed", Kind::MaybeUnsigned),
    ("top_n_tokens", Kind::MaybeUnsigned),
];

/// The form that chats and completions have in common.
fn check_common(body: &Body, needed: &str) -> Result<(), Refusal> {
    body.check(SAMPLING)?;
    let has = |name: &str| body.fields.get(name).is_some_and(|value| !value.is_null());
    if has("max_tokens") && has("max_completion_tokens") {
        return Err(body.refuse("duplicate field `max_tokens`"));
    }
    if !body.fields.contains_key(needed) {
        return Err(body.refuse(&format!("missing field `{needed}`")));
    }
    Ok(())
}

/// Whatever a client calls the one model, it is served and repeated.
fn called(body: &Body, model: &Model) -> String {
    let name = body.fields.get("model").and_then(Value::as_str);
    let name = name.filter(|name| *name != "tgi");
    name.unwrap_or(model.name).to_owned()
}

impl Chat {
    /// Reads and checks a body.
    ///
    /// # Errors
    /// What TGI would say.
    pub(super) fn read(bytes: &[u8], model: &Model) -> Result<Self, Checked> {
        let body = Body::read(bytes)?;
        check_common(&body, "messages")?;
        body.check(CHAT)?;
        let list = openai::list(&body.fields, "messages");
        for (at, message) in list.iter().enumerate() {
            check_message(&body, at, message)?;
        }
        let offered = openai::list(&body.fields, "tools");
        check_tools(&body, offered)?;
        let stream = body.flag("stream");
        let format = grammar::format(&body)?;
        let has_tools = body.fields.get("tools").is_some_and(Value::is_array);
        let word = body.fields.get("tool_choice");
        let is_none = word.is_some_and(|word| word == "none");
        let guided = has_tools && !is_none;
        if guided && !format.is_null() {
            return Err(Refusal::tool("Grammar and tools are mutually exclusive").into());
        }
        let choice = grammar::choice(word, offered, guided)?;
        let messages = conversation(list);
        let input: String = messages
            .iter()
            .map(|message| message.content.as_str())
            .collect();
        let input = format!("{input} ");
        let stop = stops(body.fields.get("stop"));
        let values = Values::of_openai(&body, model, &input, &stop);
        let checked = values.check().and_then(|()| grammar::check(&format));
        let include_usage = body
            .fields
            .get("stream_options")
            .is_some_and(|options| options["include_usage"] == true);
        let top = body.unsigned("top_logprobs").unwrap_or(0);
        let chat = Self {
            model: called(&body, model),
            stream,
            include_usage,
            logprobs: body
                .flag("logprobs")
                .then_some(usize::try_from(top).unwrap_or_default()),
            limits: limits(&body, stop),
            guided,
            call_id: next_id(list),
            tools: if guided {
                openai::tools(offered)
            } else {
                Vec::new()
            },
            messages,
            choice,
            thinks: model.can("thinking") && format.is_null(),
            format,
        };
        checked
            .map(|()| chat)
            .map_err(|refusal| Checked { refusal, stream })
    }

    /// What is asked of the model.
    pub(super) fn asked(&self, seed: u64) -> Asked<'_> {
        let schema = match self.format["type"].as_str() {
            Some("json_schema") => &self.format["value"]["schema"],
            Some(_) | None => &self.format["value"],
        };
        Asked {
            messages: &self.messages,
            tools: &self.tools,
            choice: match &self.choice {
                ToolChoice::Auto => Choice::Auto,
                ToolChoice::Required => Choice::Required,
                ToolChoice::Named(name) => Choice::Named(name),
            },
            thinks: self.thinks,
            format: if self.format.is_null() {
                Format::Free
            } else {
                Format::Schema(schema)
            },
            // Of the text that is written, which is more than the chunks.
            limit: None,
            stop: &[],
            keeps_stop: true,
            seed,
        }
    }
}

/// A refusal, and whether a stream was asked for, which decides its form.
#[derive(Debug)]
pub(super) struct Checked {
    pub(super) refusal: Refusal,
    pub(super) stream: bool,
}

impl From<Refusal> for Checked {
    fn from(refusal: Refusal) -> Self {
        Self {
            refusal,
            stream: false,
        }
    }
}

fn check_message(body: &Body, at: usize, message: &Value) -> Result<(), Refusal> {
    let is_part = |part: &Value| match part["type"].as_str() {
        Some("text") => part["text"].is_string(),
        Some("image_url") => part["image_url"]["url"].is_string(),
        Some(_) | None => false,
    };
    let has_calls = message["tool_calls"].is_array();
    let fits = match &message["content"] {
        Value::String(_) => true,
        Value::Array(parts) => parts.iter().all(is_part),
        Value::Null => has_calls,
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => false,
    };
    if fits && message["role"].is_string() {
        return Ok(());
    }
    let text =
        format!("messages[{at}]: data did not match any variant of untagged enum MessageBody");
    Err(body.refuse(&text))
}

fn check_tools(body: &Body, tools: &[Value]) -> Result<(), Refusal> {
    for (at, tool) in tools.iter().enumerate() {
        let function = &tool["function"];
        if function.get("parameters").is_none() && function.get("arguments").is_none() {
            let text = format!("tools[{at}].function: missing field `arguments`");
            return Err(body.refuse(&text));
        }
    }
    Ok(())
}

/// The messages as the template shows them to the model. The results of tools have no ids there: a model tells whose they are by
/// the calls before them, if those were not lost to a content.
fn conversation(list: &[Value]) -> Vec<Message> {
    let kept: Vec<Value> = list
        .iter()
        .map(|message| {
            let mut message = message.clone();
            if message["content"].is_string()
                && let Value::Object(fields) = &mut message
            {
                fields.remove("tool_calls");
            }
            message
        })
        .collect();
    let calls = openai::calls(&kept);
    let results = list.iter().filter(|message| message["role"] == "tool");
    let results: Vec<&Value> = results.collect();
    openai::messages(list, |message| {
        let at = results
            .iter()
            .position(|result| std::ptr::eq(*result, message));
        let call = at.and_then(|at| calls.get(at));
        call.map_or("a tool", |(_, name)| name).to_owned()
    })
}

/// One more than the highest id of a call in the conversation.
fn next_id(list: &[Value]) -> u64 {
    let ids = openai::calls(list).into_iter();
    let highest = ids.filter_map(|(id, _)| id.parse::<u64>().ok()).max();
    highest.map_or(0, |id| id + 1)
}

impl Completion {
    /// Reads and checks a body.
    ///
    /// # Errors
    /// What TGI would say.
    pub(super) fn read(bytes: &[u8], model: &Model) -> Result<Self, Checked> {
        let body = Body::read(bytes)?;
        check_common(&body, "prompt")?;
        let prompts: Vec<String> = match &body.fields["prompt"] {
            Value::String(prompt) => vec![prompt.clone()],
            prompts => stops(Some(prompts)),
        };
        let stream = body.flag("stream");
        let stop = stops(body.fields.get("stop"));
        for prompt in &prompts {
            let values = Values::of_openai(&body, model, prompt, &stop);
            values
                .check()
                .map_err(|refusal| Checked { refusal, stream })?;
        }
        Ok(Self {
            model: called(&body, model),
            stream,
            prompts,
            limits: limits(&body, stop),
        })
    }
}

impl Generate {
    /// Reads and checks a body; also says whether it asks for a stream, which counts at `/`.
    ///
    /// # Errors
    /// What TGI would say.
    pub(super) fn read(bytes: &[u8], model: &Model) -> Result<(Self, bool), Checked> {
        let body = Body::read(bytes)?;
        let Some(inputs) = body.fields.get("inputs") else {
            return Err(body.refuse("missing field `inputs`").into());
        };
        body.check(&[
            ("inputs", Kind::MaybeText),
            ("parameters", Kind::Object("GenerateParameters")),
        ])?;
        let none = Map::new();
        let given = body.fields.get("parameters").and_then(Value::as_object);
        let parameters = given.unwrap_or(&none);
        body.check_in(parameters, "parameters.", PARAMETERS)?;
        let stream = body.flag("stream");
        let inputs = inputs.as_str().unwrap_or_default().to_owned();
        let stop = stops(parameters.get("stop"));
        let float = |name: &str| parameters.get(name).and_then(Value::as_f64);
        let unsigned = |name: &str| parameters.get(name).and_then(Value::as_u64);
        let flag = |name: &str| parameters.get(name).and_then(Value::as_bool);
        let values = Values {
            model,
            input: &inputs,
            most: unsigned("max_new_tokens"),
            temperature: float("temperature"),
            top_p: float("top_p"),
            frequency_penalty: float("frequency_penalty"),
            repetition_penalty: float("repetition_penalty"),
            stop: &stop,
            top_tokens: unsigned("top_n_tokens"),
        };
        let grammar = parameters.get("grammar").cloned().unwrap_or_default();
        let checked = values.check().and_then(|()| grammar::check(&grammar));
        checked.map_err(|refusal| Checked { refusal, stream })?;
        let top = unsigned("top_n_tokens").and_then(|top| usize::try_from(top).ok());
        let request = Self {
            limits: Limits {
                most: values.most.and_then(|most| usize::try_from(most).ok()),
                stop: stop.clone(),
            },
            details: flag("details").unwrap_or(false),
            return_full_text: flag("return_full_text"),
            top_tokens: top.filter(|&top| top > 0),
            inputs,
            grammar,
        };
        Ok((request, stream))
    }
}

/// What is asked of the model for a prompt without a conversation.
pub(super) fn asked<'a>(question: &'a [Message], grammar: &'a Value, seed: u64) -> Asked<'a> {
    let schema = match grammar["type"].as_str() {
        Some("json_schema") => Some(&grammar["value"]["schema"]),
        Some("json" | "json_object") => Some(&grammar["value"]),
        Some(_) | None => None,
    };
    Asked {
        messages: question,
        tools: &[],
        choice: Choice::Auto,
        thinks: false,
        format: schema.map_or(Format::Free, Format::Schema),
        limit: None,
        stop: &[],
        keeps_stop: true,
        seed,
    }
}

/// What `/info` says.
pub(super) fn info(model: &Model, version: &str) -> Value {
    json!({"model_id": model.name, "model_sha": null, "model_pipeline_tag": null, "max_concurrent_requests": 128,
        "max_best_of": 2, "max_stop_sequences": STOPS, "max_input_tokens": model.context_length - 1,
        "max_total_tokens": model.context_length, "validation_workers": 2, "max_client_batch_size": 4,
        "router": "text-generation-router", "version": version, "sha": "simulated", "docker_label": null})
}
