//! The `ollama-api` front: clients that speak Ollama's own API use any model server.
//!
//! | the client asks | it becomes |
//! | --- | --- |
//! | `POST /api/chat` | `POST /v1/chat/completions` |
//! | `POST /api/generate` | the same, with one user message; with `raw` or `suffix` `POST /v1/completions` |
//! | `POST /api/embed`, `/api/embeddings` | `POST /v1/embeddings` |
//! | `GET /api/tags`, `/api/ps` | `GET /v1/models` |
//! | `POST /api/show` | `GET /v1/models/{id}` |
//! | `GET /`, `GET /api/version`, a chat without messages, a prompt without text | nothing: the response is known |
//!
//! Paths that manage models are refused. Streams are NDJSON, and the default; their head comes with the first line, so that an
//! error before it has its status. Tool calls are sent whole, once the model has ended. What is answered here waits for the gates
//! of the route, too.
//!
//! This file only connects it to the gateway.
//!
//! # Source
//! Ollama's API documentation and source of August 2026, and what such a server sends.

use sluicegate_plugin::{
    Context, Event, EventStage, Fault, Manifest, Plugin, Reply, RequestPlan, RequestStage,
    ResponsePlan, ResponseStage, Stop, clock, log,
};

pub mod date;
pub mod exchange;
pub mod failure;
pub mod request;
pub mod response;
pub mod route;
pub mod settings;
pub mod write;

use exchange::{State, now};
use request::{Asked, Canonical, Task};
use response::turn::Turn;
use response::{embeddings, known, models};
use route::Route;
use settings::{Config, Settings};

const JSON: &str = "application/json; charset=utf-8";

/// The front.
#[derive(Debug)]
pub struct OllamaApi {
    settings: Settings,
}

impl Plugin for OllamaApi {
    type Config = Config;
    type State = State;

    fn manifest() -> Manifest {
        Manifest::new(
            "ollama-api",
            env!("CARGO_PKG_VERSION"),
            "Lets Ollama's clients use any model server",
        )
        .config(include_str!("config.schema.json"))
        .front("ollama-api")
        .early_head(false)
        // Room for requests with images, up to the largest body.
        .limits("192MiB", "1s")
    }

    fn configure(config: Config) -> Result<Self, String> {
        Ok(Self {
            settings: config.into(),
        })
    }
}

impl RequestStage for OllamaApi {
    fn request_head(&self, state: &mut State, ctx: &Context<'_>) -> Result<RequestPlan, Stop> {
        state.turn.moments.begun = clock::monotonic_us();
        let route = Route::of(&ctx.method(), &ctx.path())?;
        state.route = Some(route);
        state.turn.task = route.task();
        ctx.set_query("")?;
        if let Some(path) = route.canonical() {
            ctx.set_path(path)?;
        }
        Ok(RequestPlan::Whole)
    }

    fn request_body(
        &self,
        state: &mut State,
        ctx: &Context<'_>,
        body: Vec<u8>,
    ) -> Result<Option<Vec<u8>>, Stop> {
        // As Ollama reads it: what is not text is replaced.
        let text = String::from_utf8_lossy(&body);
        let asked = match state.route {
            Some(Route::Root) => {
                let reply = Reply::new(200, "ollama-api.root")
                    .field("content-type", "text/plain; charset=utf-8");
                return Err(Stop::Reply(Reply {
                    body: known::RUNNING.into(),
                    ..reply
                }));
            }
            Some(Route::Version) => {
                return Err(reply(
                    "ollama-api.version",
                    known::version(&self.settings.version),
                ));
            }
            Some(Route::Tags) => list(Task::Tags),
            Some(Route::Loaded) => list(Task::Loaded),
            Some(Route::Show) => request::show(&text, &self.settings)?,
            Some(Route::Chat) => request::chat(&text, &self.settings)?,
            Some(Route::Generate) => request::generate(&text, &self.settings)?,
            Some(Route::Embed) => request::embed(&text, &self.settings)?,
            Some(Route::Embedding) => request::embedding(&text, &self.settings)?,
            None => return Ok(None),
        };
        match asked {
            Asked::Canonical(canonical) => Ok(Some(state.send(ctx, canonical)?)),
            Asked::Known(known) => Err(reply(
                "ollama-api.known",
                known::nothing_to_do(&known, now()),
            )),
        }
    }
}

impl ResponseStage for OllamaApi {
    fn response_head(&self, state: &mut State, ctx: &Context<'_>) -> Result<ResponsePlan, Stop> {
        let status = ctx.status();
        if state.turn.task == Task::Unknown && status < 400 {
            // Another stage's reply, as it is.
            return Ok(ResponsePlan::Skip);
        }
        if (300..400).contains(&status) {
            return Err(response::nonsense().into());
        }
        let kind = ctx.get_str("content-type").unwrap_or_default();
        let is_stream = kind.trim_ascii_start().starts_with("text/event-stream");
        let is_text = matches!(
            state.turn.task,
            Task::Chat | Task::Generate | Task::Completion
        );
        if !is_stream || !is_text {
            return Ok(ResponsePlan::Whole);
        }
        if status < 400 && ctx.note("stream") == Some(false) {
            // Clients would read only its first line.
            log::error("a stream came for a client that wants one response: the pipeline needs `aggregate` behind `ollama-api`")
                .write();
            let message = "The model server's response is a stream, although none was asked for.";
            return Err(Fault::upstream("upstream_invalid", message).into());
        }
        Ok(ResponsePlan::Ndjson)
    }

    fn response_body(
        &self,
        state: &mut State,
        ctx: &Context<'_>,
        body: Vec<u8>,
    ) -> Result<Option<Vec<u8>>, Stop> {
        let status = ctx.status();
        let json = if status >= 400 {
            failure::write(&body, status, &state.turn.model)
        } else {
            let text = str::from_utf8(&body).map_err(|_| response::nonsense())?;
            self.translated(&mut state.turn, text)?
        };
        ctx.set("content-type", JSON)?;
        Ok(Some(json.into_bytes()))
    }
}

impl OllamaApi {
    /// A whole response in Ollama's form.
    fn translated(&self, turn: &mut Turn, text: &str) -> Result<String, Fault> {
        let begun = turn.moments.begun;
        match turn.task {
            Task::Chat | Task::Generate | Task::Completion => turn.whole(text, now()),
            Task::Embed => embeddings::all(text, &turn.model, begun, now()),
            Task::Embedding => embeddings::first(text),
            Task::Tags => models::tags(text, &self.settings),
            Task::Loaded => models::loaded(text),
            Task::Show => models::shown(text, &self.settings),
            Task::Unknown => Err(response::nonsense()),
        }
    }
}

impl EventStage for OllamaApi {
    fn events(
        &self,
        state: &mut State,
        ctx: &Context<'_>,
        batch: Vec<Event>,
    ) -> Result<Option<Vec<Event>>, Fault> {
        let status = ctx.status();
        if status >= 400 {
            state.has_ended = true;
            let body = batch.first().map_or("", |event| &event.data);
            let error = failure::write(body.as_bytes(), status, &state.turn.model);
            return Ok(Some(vec![Event::data(error)]));
        }
        let mut lines = Vec::with_capacity(batch.len());
        for event in &batch {
            if let Err(fault) = state.take(&event.data, &mut lines) {
                if lines.is_empty() {
                    return Err(fault);
                }
                // What was said before it is sent first.
                state.failed = Some(fault);
                ctx.end_body()?;
                break;
            }
        }
        Ok(Some(lines))
    }

    fn end(&self, state: &mut State, _: &Context<'_>) -> Result<Vec<Event>, Fault> {
        if let Some(fault) = state.failed.take() {
            return Err(fault);
        }
        let mut lines = Vec::new();
        if !state.has_ended && state.turn.has_finished() {
            state.finish(&mut lines)?;
        }
        if state.has_ended {
            return Ok(lines);
        }
        Err(Fault::upstream(
            "upstream_truncated",
            "The model server ended its response before it was complete.",
        ))
    }
}

sluicegate_plugin::export!(OllamaApi: request, response, events);

/// The list of models.
fn list(task: Task) -> Asked {
    Asked::Canonical(Canonical {
        task,
        model: String::new(),
        path: "/v1/models".to_owned(),
        body: None,
    })
}

fn reply(reason: &str, json: String) -> Stop {
    let reply = Reply::new(200, reason).field("content-type", JSON);
    Stop::Reply(Reply {
        body: json.into_bytes(),
        ..reply
    })
}
