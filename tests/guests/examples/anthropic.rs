//! A front for Anthropic's Messages API: a probe of the contract, not for production.
//!
//! It knows `POST /v1/messages` with text alone: no tools, no images, no thinking, no sampling parameters. It tests the order
//! of phases: every error of the route, from any stage and at any time, comes out in this dialect.
//!
//! # Source
//! Anthropic's API reference, "Messages", "Streaming messages" and "Errors".

use serde::Deserialize;
use serde_json::{Value, json};
use sluicegate_plugin::{
    Context, Event, EventStage, Fault, Manifest, NoConfig, Plugin, RequestPlan, RequestStage,
    ResponsePlan, ResponseStage, Stop,
};

struct Anthropic;

/// How far the stream is that the client gets.
#[derive(Default)]
struct State {
    started: bool,
    /// The canonical finish reason, once it has come.
    finish: Option<String>,
    usage: Usage,
    /// Nothing may follow: `message_stop` or an error is out.
    ended: bool,
}

#[derive(Deserialize)]
struct Question {
    model: String,
    max_tokens: u64,
    system: Option<Content>,
    messages: Vec<Turn>,
    #[serde(default)]
    stream: bool,
}

#[derive(Deserialize)]
struct Turn {
    role: String,
    content: Content,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Blocks(Vec<Block>),
}

#[derive(Deserialize)]
struct Block {
    r#type: String,
    #[serde(default)]
    text: String,
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

#[derive(Deserialize)]
struct Message {
    content: Option<String>,
}

#[derive(Clone, Copy, Default, Deserialize)]
struct Usage {
    prompt_tokens: u64,
    completion_tokens: u64,
}

impl Plugin for Anthropic {
    type Config = NoConfig;
    type State = State;

    fn manifest() -> Manifest {
        Manifest::new(
            "guest-anthropic",
            "1.2.3",
            "A probe: Anthropic's Messages API",
        )
        .front("anthropic")
    }

    fn configure(_: NoConfig) -> Result<Self, String> {
        Ok(Self)
    }
}

impl RequestStage for Anthropic {
    fn request_head(&self, _: &mut State, ctx: &Context<'_>) -> Result<RequestPlan, Stop> {
        ctx.set_path("/v1/chat/completions")?;
        // Such as `beta=true`: nobody behind this stage knows it.
        ctx.set_query("")?;
        ctx.remove("anthropic-version")?;
        ctx.remove("anthropic-beta")?;
        // What the SDKs show of an exchange; here for a head that goes out before there is a response.
        ctx.set_response_field("request-id", ctx.id())?;
        ctx.set("content-type", "application/json")?;
        Ok(RequestPlan::Whole)
    }

    fn request_body(
        &self,
        _: &mut State,
        _: &Context<'_>,
        body: Vec<u8>,
    ) -> Result<Option<Vec<u8>>, Stop> {
        let question: Question = serde_json::from_slice(&body).map_err(|error| {
            Fault::bad_request(format!("The request body is not as it should be: {error}"))
        })?;
        let mut messages = Vec::new();
        if let Some(system) = &question.system {
            messages.push(json!({"role": "system", "content": text(system, "system")?}));
        }
        for (at, turn) in question.messages.iter().enumerate() {
            let content = text(&turn.content, &format!("messages.{at}.content"))?;
            messages.push(json!({"role": turn.role, "content": content}));
        }
        let mut canonical = json!({
            "model": question.model,
            "max_tokens": question.max_tokens,
            "messages": messages,
            "stream": question.stream,
        });
        if question.stream {
            canonical["stream_options"] = json!({"include_usage": true});
        }
        Ok(Some(canonical.to_string().into_bytes()))
    }
}

impl ResponseStage for Anthropic {
    fn response_head(&self, _: &mut State, ctx: &Context<'_>) -> Result<ResponsePlan, Stop> {
        // Again, since an error may come before the request head was seen.
        ctx.set("request-id", ctx.id())?;
        if (300..400).contains(&ctx.status()) {
            return Err(Fault::upstream("upstream_invalid", "The response is a redirect.").into());
        }
        let kind = ctx.get_str("content-type").unwrap_or_default();
        // Not by the status: behind a head that is out, an error comes as an event.
        Ok(if kind.starts_with("text/event-stream") {
            ResponsePlan::Sse
        } else {
            ResponsePlan::Whole
        })
    }

    fn response_body(
        &self,
        _: &mut State,
        ctx: &Context<'_>,
        body: Vec<u8>,
    ) -> Result<Option<Vec<u8>>, Stop> {
        let answer = if ctx.status() >= 400 {
            let (status, error) = error(ctx, &body);
            ctx.set_status(status)?;
            error
        } else {
            message(ctx, &read(&body)?)
        };
        Ok(Some(answer.to_string().into_bytes()))
    }
}

impl EventStage for Anthropic {
    fn events(
        &self,
        state: &mut State,
        ctx: &Context<'_>,
        batch: Vec<Event>,
    ) -> Result<Option<Vec<Event>>, Fault> {
        let mut out = Vec::new();
        if ctx.status() >= 400 {
            state.ended = true;
            let data = batch.first().map_or("", |event| &event.data);
            let (status, error) = error(ctx, data.as_bytes());
            // Takes effect if no head has been sent yet.
            ctx.set_status(status)?;
            push(&mut out, &error);
            return Ok(Some(out));
        }
        for event in &batch {
            if event.data == "[DONE]" {
                state.finish(&mut out);
            } else {
                state.chunk(ctx, &read(event.data.as_bytes())?, &mut out);
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

sluicegate_plugin::export!(Anthropic: request, response, events);

impl State {
    fn chunk(&mut self, ctx: &Context<'_>, chunk: &Completion, out: &mut Vec<Event>) {
        if !self.started {
            self.started = true;
            let mut message = message(ctx, chunk);
            message["content"] = json!([]);
            push(out, &json!({"type": "message_start", "message": message}));
            let block = json!({"type": "text", "text": ""});
            push(
                out,
                &json!({"type": "content_block_start", "index": 0, "content_block": block}),
            );
        }
        self.usage = chunk.usage.unwrap_or(self.usage);
        let Some(choice) = chunk.choices.first() else {
            return;
        };
        if let Some(text) = choice
            .message
            .content
            .as_deref()
            .filter(|text| !text.is_empty())
        {
            let delta = json!({"type": "text_delta", "text": text});
            push(
                out,
                &json!({"type": "content_block_delta", "index": 0, "delta": delta}),
            );
        }
        if choice.finish_reason.is_some() {
            self.finish.clone_from(&choice.finish_reason);
        }
    }

    fn finish(&mut self, out: &mut Vec<Event>) {
        self.ended = true;
        push(out, &json!({"type": "content_block_stop", "index": 0}));
        let delta =
            json!({"stop_reason": stop_reason(self.finish.as_deref()), "stop_sequence": null});
        push(
            out,
            &json!({"type": "message_delta", "delta": delta, "usage": usage(self.usage)}),
        );
        push(out, &json!({"type": "message_stop"}));
    }
}

/// An event: its name is its type.
fn push(out: &mut Vec<Event>, data: &Value) {
    out.push(Event {
        name: data["type"].as_str().unwrap_or_default().to_owned(),
        ..Event::data(data.to_string())
    });
}

fn text(content: &Content, place: &str) -> Result<String, Fault> {
    let blocks = match content {
        Content::Text(text) => return Ok(text.clone()),
        Content::Blocks(blocks) => blocks,
    };
    if let Some(other) = blocks.iter().find(|block| block.r#type != "text") {
        let message = format!("{place}: blocks of type `{}` are not taken.", other.r#type);
        return Err(Fault::bad_request(message).param(place));
    }
    Ok(blocks.iter().map(|block| block.text.as_str()).collect())
}

fn read(body: &[u8]) -> Result<Completion, Fault> {
    serde_json::from_slice(body).map_err(|_| {
        Fault::upstream(
            "upstream_invalid",
            "The response is not one of OpenAI's API.",
        )
    })
}

fn message(ctx: &Context<'_>, completion: &Completion) -> Value {
    let choice = completion.choices.first();
    let text = choice.and_then(|choice| choice.message.content.as_deref());
    let finish = choice.and_then(|choice| choice.finish_reason.as_deref());
    json!({
        "id": format!("msg_{}", ctx.id()),
        "type": "message",
        "role": "assistant",
        "model": completion.model,
        "content": [{"type": "text", "text": text.unwrap_or_default()}],
        "stop_reason": stop_reason(finish),
        "stop_sequence": null,
        "usage": usage(completion.usage.unwrap_or_default()),
    })
}

fn usage(usage: Usage) -> Value {
    json!({"input_tokens": usage.prompt_tokens, "output_tokens": usage.completion_tokens})
}

fn stop_reason(finish: Option<&str>) -> Option<&'static str> {
    Some(match finish? {
        "length" => "max_tokens",
        "tool_calls" => "tool_use",
        "content_filter" => "refusal",
        _ => "end_turn",
    })
}

/// The canonical error in this dialect, with the status that goes with it.
fn error(ctx: &Context<'_>, body: &[u8]) -> (u16, Value) {
    let (status, kind) = match ctx.status() {
        401 => (401, "authentication_error"),
        403 => (403, "permission_error"),
        404 => (404, "not_found_error"),
        413 => (413, "request_too_large"),
        429 => (429, "rate_limit_error"),
        503 => (529, "overloaded_error"),
        504 => (504, "timeout_error"),
        status @ 500.. => (status, "api_error"),
        status => (status, "invalid_request_error"),
    };
    let canonical: Value = serde_json::from_slice(body).unwrap_or_default();
    let message = canonical["error"]["message"]
        .as_str()
        .unwrap_or("The request failed.");
    let error = json!({"type": kind, "message": message});
    (
        status,
        json!({"type": "error", "error": error, "request_id": ctx.id()}),
    )
}
