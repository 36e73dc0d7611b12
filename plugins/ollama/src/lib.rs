//! The `ollama` filter: serves OpenAI's chat API from Ollama's native API.
//!
//! | the client asks | Ollama is asked |
//! | --- | --- |
//! | `POST /v1/chat/completions` | `POST /api/chat` |
//! | `GET /v1/models`, `GET /v1/models/{id}` | `GET /api/tags` |
//!
//! It is the last stage of a pipeline: everything between it and the client sees OpenAI's JSON and chunks. With
//! `stream = "always"` (the default) it puts out a stream also for a client that wants one JSON; the stage `aggregate`
//! before it makes the one JSON.
//!
//! It sets the notes `model`, `stream`, `usage` and `finish`. If a stream breaks, `usage` counts what came, with
//! `"partial": true`.
//!
//! This file is glue: the request is translated in [`request`], the answer in [`response`], errors in [`failure`], the
//! list of models in [`models`]; [`exchange`] ties them together.

use sluicegate_plugin::{
    BodyAction, Context, EndAction, Event, EventsAction, Fault, Filter, HeadAction, Manifest,
};

pub mod config;
pub mod exchange;
pub mod failure;
pub mod models;
pub mod request;
pub mod response;

use config::{Config, Settings};
use exchange::State;

/// The filter.
#[derive(Debug)]
pub struct Ollama(Settings);

impl Filter for Ollama {
    type Config = Config;
    type State = State;

    fn manifest() -> Manifest {
        Manifest::new(
            "ollama",
            env!("CARGO_PKG_VERSION"),
            "Serves OpenAI's chat API from Ollama's native API",
        )
        .config(include_str!("config.schema.json"))
    }

    fn configure(config: Config) -> Result<Self, String> {
        Settings::new(config).map(Self)
    }

    fn request_head(&self, state: &mut State, ctx: &Context<'_>) -> Result<HeadAction, Fault> {
        state.request_head(ctx)
    }

    fn request_body(
        &self,
        state: &mut State,
        ctx: &Context<'_>,
        body: Vec<u8>,
    ) -> Result<BodyAction, Fault> {
        state.request_body(ctx, &body, &self.0)
    }

    fn response_head(&self, state: &mut State, ctx: &Context<'_>) -> Result<HeadAction, Fault> {
        state.response_head(ctx)
    }

    fn response_body(
        &self,
        state: &mut State,
        ctx: &Context<'_>,
        body: Vec<u8>,
    ) -> Result<BodyAction, Fault> {
        state.response_body(ctx, &body)
    }

    fn response_events(
        &self,
        state: &mut State,
        ctx: &Context<'_>,
        batch: Vec<Event>,
    ) -> Result<EventsAction, Fault> {
        state.response_events(ctx, &batch)
    }

    fn response_end(&self, state: &mut State, ctx: &Context<'_>) -> Result<EndAction, Fault> {
        state.response_end(ctx)
    }
}

sluicegate_plugin::filter!(Ollama);
