//! The `anthropic` front: lets clients of Anthropic's Messages API use any model server.
//!
//! It is the first stage of its routes. A request becomes a canonical one ([`request`]), and whatever comes back becomes what
//! Anthropic's clients expect: a message ([`message`]), the events of one ([`stream`]), a number of tokens, a list of models
//! ([`plain`]), or an error in their form at every moment ([`failure`]).
//!
//! This file only connects it to the gateway.
//!
//! # Source
//! Anthropic's API reference, "Messages", "Streaming messages", "Count message tokens", "Models" and "Errors"; and what its
//! official clients for Python (2.12.0) and TypeScript do with a stream.

use serde::Deserialize;
use sluicegate_plugin::chat::Streamed;
use sluicegate_plugin::{
    Context, Event, EventStage, Fault, Manifest, Plugin, RequestPlan, RequestStage, ResponsePlan,
    ResponseStage, Stop, log,
};

mod arguments;
mod ending;
mod endpoint;
pub mod failure;
pub mod message;
pub mod plain;
pub mod request;
pub mod stream;
mod wire;

use endpoint::Endpoint;
use message::Identity;
use stream::Stream;

/// The parameter that is left out by default.
const BUDGET: &str = "thinking.budget_tokens";

/// What the model server is told of a request's `thinking`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Thinking {
    /// Whether and how hard to think.
    #[default]
    AsAsked,
    /// That, and how many tokens it may take.
    WithBudget,
    /// Nothing.
    Ignore,
}

/// Who gets the thoughts of a model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Thoughts {
    /// A client that asked for thinking.
    #[default]
    AsAsked,
    /// Every client.
    Always,
}

/// What becomes of a conversation that ends with an assistant's message, which Anthropic's older models continue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Prefill {
    /// A 400: most model servers would begin another message, whose text means something else.
    #[default]
    Refuse,
    /// The model server decides.
    Pass,
}

/// The configuration; `config.schema.json` says what each key means.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    thinking: Thinking,
    thoughts: Thoughts,
    prefill: Prefill,
}

/// The front.
#[derive(Debug)]
pub struct Anthropic(Config);

/// One exchange.
#[derive(Debug, Default)]
pub struct State {
    endpoint: Endpoint,
    /// Whether the client wants a stream; `None` if its request was not read.
    wants_stream: Option<bool>,
    shows_thoughts: bool,
    stream: Stream,
    /// What ended the stream behind events that go out first.
    failed: Option<Fault>,
}

impl Plugin for Anthropic {
    type Config = Config;
    type State = State;

    fn manifest() -> Manifest {
        Manifest::new(
            "anthropic",
            env!("CARGO_PKG_VERSION"),
            "Anthropic's Messages API in front of any model server",
        )
        .config(include_str!("config.schema.json"))
        .front("anthropic")
        // Room for requests with images, up to the largest body.
        .limits("192MiB", "1s")
    }

    fn configure(config: Config) -> Result<Self, String> {
        Ok(Self(config))
    }
}

impl RequestStage for Anthropic {
    fn request_head(&self, state: &mut State, ctx: &Context<'_>) -> Result<RequestPlan, Stop> {
        // For a head that goes out before there is a response.
        ctx.set_response_field("request-id", ctx.id())?;
        let (endpoint, path) = Endpoint::of(&ctx.method(), &ctx.path())?;
        state.endpoint = endpoint;
        ctx.set_path(&path)?;
        // Such as `beta=true`: nobody behind this stage knows it.
        ctx.set_query("")?;
        for name in [
            "anthropic-version",
            "anthropic-beta",
            "anthropic-dangerous-direct-browser-access",
        ] {
            ctx.remove(name)?;
        }
        Ok(match endpoint {
            Endpoint::Messages | Endpoint::Count => {
                ctx.set("content-type", "application/json")?;
                RequestPlan::Whole
            }
            Endpoint::Models | Endpoint::Model => RequestPlan::Skip,
        })
    }

    fn request_body(
        &self,
        state: &mut State,
        ctx: &Context<'_>,
        body: Vec<u8>,
    ) -> Result<Option<Vec<u8>>, Stop> {
        let counts = state.endpoint == Endpoint::Count;
        let translated = request::translate(&body, counts, self.0)?;
        state.wants_stream = Some(translated.streams);
        state.shows_thoughts = translated.shows_thoughts || self.0.thoughts == Thoughts::Always;
        if translated.drops_budget {
            log::info("request parameters that few model servers can do were left out")
                .field("parameters", &[BUDGET])
                .write();
            ctx.set_response_field("x-sluicegate-dropped", BUDGET)?;
        }
        Ok(Some(translated.body.into_bytes()))
    }
}

impl ResponseStage for Anthropic {
    fn response_head(&self, state: &mut State, ctx: &Context<'_>) -> Result<ResponsePlan, Stop> {
        // Again, since an error may come before the request head was seen.
        ctx.set("request-id", ctx.id())?;
        let status = ctx.status();
        if (300..400).contains(&status) {
            return Err(Fault::upstream("upstream_invalid", "The response is a redirect.").into());
        }
        // Not by the status: behind a head that is out, an error comes as an event.
        let is_stream = is_event_stream(ctx);
        let is_message = status < 400 && state.endpoint == Endpoint::Messages;
        match state.wants_stream.filter(|_| is_message) {
            Some(true) => Ok(ResponsePlan::Sse),
            Some(false) if is_stream => {
                log::error("a stream came for a client that wants one message: the pipeline needs `aggregate` behind `anthropic`")
                    .write();
                let message =
                    "The model server's response is a stream, although none was asked for.";
                Err(Fault::upstream("upstream_invalid", message).into())
            }
            Some(false) => Ok(ResponsePlan::Whole),
            None if is_stream => Ok(ResponsePlan::Sse),
            None => Ok(ResponsePlan::Whole),
        }
    }

    fn response_body(
        &self,
        state: &mut State,
        ctx: &Context<'_>,
        body: Vec<u8>,
    ) -> Result<Option<Vec<u8>>, Stop> {
        let body = String::from_utf8_lossy(&body);
        if ctx.status() >= 400 {
            let (status, error) = failure::render(ctx.status(), &body, &ctx.id());
            ctx.set_status(status)?;
            ctx.set("content-type", "application/json")?;
            return Ok(Some(error.into_bytes()));
        }
        let out = match state.endpoint {
            Endpoint::Messages => {
                message::whole(&body, state.shows_thoughts, || identity(ctx)).map(Some)
            }
            Endpoint::Count => plain::count(&body).map(Some),
            Endpoint::Models => plain::models(&body).map(Some),
            Endpoint::Model => plain::model(&body).map(Some),
        }?;
        Ok(out.map(String::into_bytes))
    }
}

impl EventStage for Anthropic {
    fn events(
        &self,
        state: &mut State,
        ctx: &Context<'_>,
        batch: Vec<Event>,
    ) -> Result<Option<Vec<Event>>, Fault> {
        if ctx.status() >= 400 {
            let data = batch.first().map_or("", |event| &event.data);
            let (status, error) = failure::render(ctx.status(), data, &ctx.id());
            // Takes effect if no head has been sent yet.
            ctx.set_status(status)?;
            state.stream.fail();
            return Ok(Some(vec![wire::named("error", error)]));
        }
        let mut out = Vec::with_capacity(batch.len());
        for event in &batch {
            if let Err(fault) = state.take(ctx, event, &mut out) {
                if out.is_empty() {
                    return Err(fault);
                }
                // What came before it goes out first, in whatever batches the events come.
                state.failed = Some(fault);
                ctx.end_body()?;
                break;
            }
        }
        Ok(Some(out))
    }

    fn end(&self, state: &mut State, _: &Context<'_>) -> Result<Vec<Event>, Fault> {
        match state.failed.take() {
            Some(fault) => Err(fault),
            None if state.stream.is_ended() => Ok(Vec::new()),
            None => Err(Fault::upstream(
                "upstream_truncated",
                "The model server ended its response before it was complete.",
            )),
        }
    }
}

sluicegate_plugin::export!(Anthropic: request, response, events);

impl State {
    /// Takes an event of a canonical stream.
    fn take(
        &mut self,
        ctx: &Context<'_>,
        event: &Event,
        out: &mut Vec<Event>,
    ) -> Result<(), Fault> {
        if self.stream.is_ended() || event.data.trim_ascii().is_empty() {
            return Ok(());
        }
        let shows_thoughts = self.shows_thoughts;
        match Streamed::read(&event.data).ok_or_else(failure::nonsense)? {
            Streamed::Chunk(chunk) => {
                self.stream
                    .open(&chunk, shows_thoughts, || identity(ctx), out);
                self.stream.chunk(&chunk, &event.data, out)
            }
            Streamed::Error(error) => Err(failure::of_stream(&error)),
            Streamed::Done => self.stream.finish(out),
        }
    }
}

/// What a message is called if the response does not say.
fn identity(ctx: &Context<'_>) -> Identity {
    Identity {
        id: ctx.id(),
        model: ctx.note("model").unwrap_or_default(),
    }
}

fn is_event_stream(ctx: &Context<'_>) -> bool {
    let value = ctx.get("content-type").unwrap_or_default();
    let kind = value.split(|&b| b == b';').next().unwrap_or_default();
    kind.trim_ascii().eq_ignore_ascii_case(b"text/event-stream")
}
