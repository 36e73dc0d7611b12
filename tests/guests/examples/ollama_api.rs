//! A front for Ollama's own API: a probe of the contract, not for production.
//!
//! | the client asks | it becomes |
//! | --- | --- |
//! | `POST /api/chat`, with text alone | `POST /v1/chat/completions` |
//! | `POST /api/show` | `GET /v1/models/{id}` |
//! | `GET /api/version` | nothing: answered here |
//!
//! Streams are NDJSON here, and are the default. So a response head may not go out before there is a response.
//!
//! # Source
//! Ollama's API documentation, "Generate a chat completion", "Show Model Information" and "Errors".

use serde::Deserialize;
use serde_json::{Value, json};
use sluicegate_plugin::{
    Context, Event, EventStage, Fault, Manifest, NoConfig, Plugin, Reply, RequestPlan,
    RequestStage, ResponsePlan, ResponseStage, Stop,
};

struct OllamaApi;

#[derive(Default)]
struct State {
    task: Task,
    finish: Option<String>,
    usage: Option<Usage>,
    ended: bool,
}

#[derive(Default)]
enum Task {
    /// The request head has not been seen: only an error can come.
    #[default]
    Unknown,
    Chat,
    Show,
}

#[derive(Deserialize)]
struct Question {
    model: String,
    #[serde(default)]
    messages: Vec<Message>,
    #[serde(default = "yes")]
    stream: bool,
    #[serde(default)]
    options: Options,
}

fn yes() -> bool {
    true
}

#[derive(Default, Deserialize)]
struct Options {
    num_predict: Option<u64>,
    temperature: Option<f64>,
}

#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    role: String,
    content: Option<String>,
}

/// A canonical completion, or a chunk of one.
#[derive(Deserialize)]
struct Completion {
    model: String,
    choices: Vec<Choice>,
    usage: Option<Usage>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(alias = "delta")]
    message: Message,
    finish_reason: Option<String>,
}

#[derive(Clone, Copy, Deserialize)]
struct Usage {
    prompt_tokens: u64,
    completion_tokens: u64,
}

impl Plugin for OllamaApi {
    type Config = NoConfig;
    type State = State;

    fn manifest() -> Manifest {
        Manifest::new("guest-ollama-api", "1.2.3", "A probe: Ollama's own API")
            .front("ollama-api")
            .early_head(false)
    }

    fn configure(_: NoConfig) -> Result<Self, String> {
        Ok(Self)
    }
}

impl RequestStage for OllamaApi {
    fn request_head(&self, state: &mut State, ctx: &Context<'_>) -> Result<RequestPlan, Stop> {
        match ctx.path().as_str() {
            "/api/chat" => {
                state.task = Task::Chat;
                ctx.set_path("/v1/chat/completions")?;
                ctx.set("content-type", "application/json")?;
            }
            // The path needs the model's name, which is in the body; the method would be wrong until then.
            "/api/show" => state.task = Task::Show,
            "/api/version" => {
                let version = json!({"version": "0.0.0"}).to_string();
                return Err(Reply::new(200, "ollama-api.version").json(version).into());
            }
            other => {
                let message = format!("There is nothing at {other}.");
                return Err(Fault::not_found("not_found", message).into());
            }
        }
        Ok(RequestPlan::Whole)
    }

    fn request_body(
        &self,
        state: &mut State,
        ctx: &Context<'_>,
        body: Vec<u8>,
    ) -> Result<Option<Vec<u8>>, Stop> {
        let question: Question =
            serde_json::from_slice(&body).map_err(|error| Fault::bad_request(error.to_string()))?;
        if matches!(state.task, Task::Show) {
            ctx.set_method("GET")?;
            ctx.set_path(&format!("/v1/models/{}", question.model))?;
            ctx.remove("content-type")?;
            return Ok(Some(Vec::new()));
        }
        let messages = question.messages.iter();
        let messages: Vec<Value> = messages
            .map(|message| json!({"role": message.role, "content": message.content}))
            .collect();
        let mut canonical = json!({
            "model": question.model,
            "messages": messages,
            "stream": question.stream,
        });
        if question.stream {
            canonical["stream_options"] = json!({"include_usage": true});
        }
        if let Some(tokens) = question.options.num_predict {
            canonical["max_tokens"] = json!(tokens);
        }
        if let Some(temperature) = question.options.temperature {
            canonical["temperature"] = json!(temperature);
        }
        Ok(Some(canonical.to_string().into_bytes()))
    }
}

impl ResponseStage for OllamaApi {
    fn response_head(&self, _: &mut State, ctx: &Context<'_>) -> Result<ResponsePlan, Stop> {
        let kind = ctx.get_str("content-type").unwrap_or_default();
        Ok(if kind.starts_with("text/event-stream") {
            ResponsePlan::Ndjson
        } else {
            ResponsePlan::Whole
        })
    }

    fn response_body(
        &self,
        state: &mut State,
        ctx: &Context<'_>,
        body: Vec<u8>,
    ) -> Result<Option<Vec<u8>>, Stop> {
        let answer = if ctx.status() >= 400 {
            error(&body)
        } else if matches!(state.task, Task::Show) {
            json!({"details": {"family": ""}, "model_info": {}, "capabilities": ["completion"]})
        } else {
            let completion = read(&body)?;
            let choice = completion.choices.first();
            state.usage = completion.usage;
            state.finish = choice.and_then(|choice| choice.finish_reason.clone());
            let text = choice.and_then(|choice| choice.message.content.as_deref());
            state.last(ctx, &completion.model, text.unwrap_or_default())
        };
        Ok(Some(answer.to_string().into_bytes()))
    }
}

impl EventStage for OllamaApi {
    fn events(
        &self,
        state: &mut State,
        ctx: &Context<'_>,
        batch: Vec<Event>,
    ) -> Result<Option<Vec<Event>>, Fault> {
        if ctx.status() >= 400 {
            let data = batch.first().map_or("", |event| &event.data);
            return Ok(Some(vec![line(&error(data.as_bytes()))]));
        }
        let mut out = Vec::new();
        for event in &batch {
            if event.data == "[DONE]" {
                state.ended = true;
                let model: String = ctx.note("model").unwrap_or_default();
                out.push(line(&state.last(ctx, &model, "")));
                continue;
            }
            let chunk = read(event.data.as_bytes())?;
            state.usage = chunk.usage.or(state.usage);
            let Some(choice) = chunk.choices.first() else {
                continue;
            };
            let text = choice.message.content.as_deref();
            if let Some(text) = text.filter(|text| !text.is_empty()) {
                out.push(line(&answer(ctx, &chunk.model, text)));
            }
            if choice.finish_reason.is_some() {
                state.finish.clone_from(&choice.finish_reason);
            }
        }
        Ok(Some(out))
    }

    fn end(&self, state: &mut State, _: &Context<'_>) -> Result<Vec<Event>, Fault> {
        if state.ended {
            return Ok(Vec::new());
        }
        Err(Fault::upstream(
            "upstream_truncated",
            "The model server ended its response before it was complete.",
        ))
    }
}

sluicegate_plugin::export!(OllamaApi: request, response, events);

impl State {
    /// The last line of a stream, or a whole response.
    fn last(&self, ctx: &Context<'_>, model: &str, text: &str) -> Value {
        let mut last = answer(ctx, model, text);
        last["done"] = json!(true);
        last["done_reason"] = json!(self.finish.as_deref().unwrap_or("stop"));
        if let Some(usage) = self.usage {
            last["prompt_eval_count"] = json!(usage.prompt_tokens);
            last["eval_count"] = json!(usage.completion_tokens);
        }
        let now = sluicegate_plugin::clock::unix_ms();
        last["total_duration"] = json!(now.saturating_sub(ctx.received_ms()) * 1_000_000);
        last
    }
}

fn answer(ctx: &Context<'_>, model: &str, text: &str) -> Value {
    json!({
        "model": model,
        "created_at": date(ctx.received_ms() / 1000),
        "message": {"role": "assistant", "content": text},
        "done": false,
    })
}

fn line(value: &Value) -> Event {
    Event::data(value.to_string())
}

fn read(body: &[u8]) -> Result<Completion, Fault> {
    serde_json::from_slice(body).map_err(|_| {
        Fault::upstream(
            "upstream_invalid",
            "The response is not one of OpenAI's API.",
        )
    })
}

/// The canonical error in this dialect.
fn error(body: &[u8]) -> Value {
    let canonical: Value = serde_json::from_slice(body).unwrap_or_default();
    json!({"error": canonical["error"]["message"].as_str().unwrap_or("the request failed")})
}

/// Seconds since 1970 as RFC 3339 has them.
///
/// # Source
/// Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`.
fn date(seconds: u64) -> String {
    let days = seconds / 86_400 + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let (date, month) = (day - (153 * month + 2) / 5 + 1, (month + 2) % 12 + 1);
    let year = year + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{date:02}T{hour:02}:{minute:02}:{second:02}Z")
}
