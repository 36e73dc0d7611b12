//! The `ollama` adapter: serves OpenAI's API from Ollama's native API.
//!
//! | the client asks | Ollama is asked |
//! | --- | --- |
//! | `POST /v1/chat/completions` | `POST /api/chat` |
//! | `POST /v1/completions` | `POST /api/generate` |
//! | `POST /v1/embeddings` | the same |
//! | `POST /v1/chat/completions/input_tokens` | nothing; the response is an estimate |
//! | `GET /v1/models`, `GET /v1/models/{id}` | `GET /api/tags` |
//!
//! It belongs to an upstream: the stages of a route see OpenAI's JSON and chunks. With `stream = "always"` (the default) it
//! also produces a stream for a client that wants one JSON response, which the stage `aggregate` then makes.
//!
//! It sets the notes `usage` and `finish`, but not for embeddings, whose response it does not see. If a stream is cut, by either side, `usage` counts what had arrived, with
//! `"partial": true`.
//!
//! This file only connects it to the gateway: [`request`] translates the request, [`response`] the response, [`failure`]
//! errors, [`models`] the list of models, [`embeddings`] what is special about them; [`exchange`] combines them.

use sluicegate_plugin::{
    Closing, Context, Event, EventStage, Fault, Manifest, Plugin, RequestPlan, RequestStage,
    ResponsePlan, ResponseStage, Stop,
};

pub mod config;
pub mod embeddings;
pub mod exchange;
pub mod failure;
pub mod keep_alive;
pub mod models;
pub mod request;
pub mod response;

use config::{Config, Settings};
use exchange::State;

/// The adapter.
#[derive(Debug)]
pub struct Ollama(Settings);

impl Plugin for Ollama {
    type Config = Config;
    type State = State;

    fn manifest() -> Manifest {
        Manifest::new(
            "ollama",
            env!("CARGO_PKG_VERSION"),
            "Serves OpenAI's API from Ollama's native API",
        )
        .config(include_str!("config.schema.json"))
        .adapter("ollama")
        .health("/api/version")
        .info("/api/version")
        // Room for requests with images, up to the largest body.
        .limits("192MiB", "500ms")
    }

    fn configure(config: Config) -> Result<Self, String> {
        Settings::new(config).map(Self)
    }
}

impl RequestStage for Ollama {
    fn request_head(&self, state: &mut State, ctx: &Context<'_>) -> Result<RequestPlan, Stop> {
        Ok(state.request_head(ctx)?)
    }

    fn request_body(
        &self,
        state: &mut State,
        ctx: &Context<'_>,
        body: Vec<u8>,
    ) -> Result<Option<Vec<u8>>, Stop> {
        state.request_body(ctx, &body, &self.0)
    }
}

impl ResponseStage for Ollama {
    fn response_head(&self, state: &mut State, ctx: &Context<'_>) -> Result<ResponsePlan, Stop> {
        Ok(state.response_head(ctx)?)
    }

    fn response_body(
        &self,
        state: &mut State,
        ctx: &Context<'_>,
        body: Vec<u8>,
    ) -> Result<Option<Vec<u8>>, Stop> {
        Ok(state.response_body(ctx, &body)?)
    }
}

impl EventStage for Ollama {
    fn events(
        &self,
        state: &mut State,
        ctx: &Context<'_>,
        batch: Vec<Event>,
    ) -> Result<Option<Vec<Event>>, Fault> {
        state.events(ctx, &batch)
    }

    fn end(&self, state: &mut State, _: &Context<'_>) -> Result<Vec<Event>, Fault> {
        state.end().map(|()| Vec::new())
    }
}

impl Closing for Ollama {
    fn closed(&self, state: &mut State, ctx: &Context<'_>, _: &str) {
        state.closed(ctx);
    }
}

sluicegate_plugin::export!(Ollama: request, response, events, closing);
