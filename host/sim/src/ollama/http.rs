//! The routes of the simulated Ollama: request in, response out. What a chat says is decided in `decide`.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use serde_json::json;

use super::catalog;
use super::decide::{self, Decided};
use super::embed;
use super::generate;
use super::go_duration::KeepAlive;
use super::loaded::Loaded;
use super::origin;
use super::request;
use super::slots::{Held, Slots};
use super::stream::{Failure, Form, Run};
use super::wire::{self, Line, Message, Metrics, Said};
use crate::answer::{Decision, Generation};
use crate::body::{self, Body, Reply, Unread, empty, html, response, status};
use crate::catalog::Model;
use crate::identity::number;
use crate::{Pace, Quirks};

/// The version in `/api/version`: one that has everything that is simulated, marked as simulated.
const VERSION: &str = "0.13.0-simulated";

const JSON: &str = "application/json; charset=utf-8";
const NDJSON: &str = "application/x-ndjson";
const TEXT: &str = "text/plain; charset=utf-8";

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Server {
    pace: Pace,
    /// Listening on a loopback address: foreign `Host` fields are refused.
    loopback: bool,
    loaded: Mutex<Loaded>,
    /// `None`: any number of requests is served at a time.
    slots: Option<Arc<Slots>>,
}

impl Server {
    pub(crate) fn new(pace: Pace, loopback: bool, quirks: Quirks) -> Self {
        Self {
            pace,
            loopback,
            loaded: Mutex::default(),
            slots: quirks.leak_every.map(|every| Arc::new(Slots::new(every))),
        }
    }

    /// Unloads the model; if requests hold it, it is only marked as unloaded.
    fn unload(&self, model: &'static Model) {
        let holds = |slots: &Arc<Slots>| !slots.unload(model.name);
        if !self.slots.as_ref().is_some_and(holds) {
            self.touch(model, KeepAlive::For(Duration::ZERO), None);
        }
    }

    /// Records a use of the model; returns whether it has to be loaded.
    fn touch(&self, model: &'static Model, keep_alive: KeepAlive, num_ctx: Option<u64>) -> bool {
        self.loaded
            .lock()
            .expect("no code panics while it holds this lock")
            .touch(model, keep_alive, num_ctx, SystemTime::now())
    }

    fn running(&self) -> serde_json::Value {
        self.loaded
            .lock()
            .expect("no code panics while it holds this lock")
            .list(SystemTime::now())
    }
}

/// Answers one request.
pub(crate) async fn respond(server: &Server, request: Request<Incoming>) -> Reply {
    if passes(request.headers(), server.loopback) {
        route(server, request).await
    } else {
        Ok(empty(StatusCode::FORBIDDEN))
    }
}

/// Ollama's order: the origin first, then the host.
fn passes(headers: &HeaderMap, loopback: bool) -> bool {
    let host = headers.get(header::HOST).map_or("", readable);
    let origin = headers.get(header::ORIGIN).map(readable);
    origin::origin_allowed(origin, host) && (!loopback || origin::host_allowed(host))
}

/// A field that is not ASCII is not a known host or origin.
fn readable(value: &HeaderValue) -> &str {
    value.to_str().unwrap_or("?")
}

async fn route(server: &Server, request: Request<Incoming>) -> Reply {
    let path = request.uri().path();
    let allowed: &[Method] = match path {
        "/" | "/api/version" | "/api/tags" => &[Method::GET, Method::HEAD],
        "/api/ps" => &[Method::GET],
        "/api/show" | "/api/chat" | "/api/generate" | "/api/embed" | "/v1/embeddings" => {
            &[Method::POST]
        }
        _ => {
            return Ok(plain(StatusCode::NOT_FOUND, "404 page not found"));
        }
    };
    if !allowed.contains(request.method()) {
        let status = StatusCode::METHOD_NOT_ALLOWED;
        return Ok(plain(status, "405 method not allowed"));
    }
    match path {
        "/" => Ok(plain(StatusCode::OK, "Ollama is running")),
        "/api/version" => Ok(document(
            StatusCode::OK,
            wire::go_json(&json!({"version": VERSION})),
        )),
        "/api/tags" => Ok(document(StatusCode::OK, wire::go_json(&catalog::tags()))),
        "/api/ps" => Ok(document(StatusCode::OK, wire::go_json(&server.running()))),
        "/api/show" => Ok(show(request).await),
        "/api/embed" => Ok(embed(request, JSON, embed::native).await),
        "/v1/embeddings" => Ok(embed(request, "application/json", embed::openai).await),
        "/api/generate" => {
            let body = match read(request).await {
                Ok(body) => body,
                Err(refusal) => return Ok(refusal),
            };
            match generate::read(&body) {
                Ok((request, form)) => answer(server, request, form).await,
                Err(error) => Ok(refuse(status(error.status()), &error.to_string())),
            }
        }
        _ => chat(server, request).await,
    }
}

async fn show(request: Request<Incoming>) -> Response<Body> {
    let body = match read(request).await {
        Ok(body) => body,
        Err(refusal) => return refusal,
    };
    let name = request::object(&body).and_then(|fields| {
        // `name` is the older spelling of `model`.
        let model = request::string(&fields, "model")?;
        if model.is_empty() {
            request::string(&fields, "name")
        } else {
            Ok(model)
        }
    });
    match name {
        Err(error) => refuse(StatusCode::BAD_REQUEST, &error.to_string()),
        Ok(name) => match decide::model(&name) {
            Ok(model) => document(StatusCode::OK, wire::go_json(&catalog::show(model))),
            Err(error) => refuse(status(error.status()), &error.to_string()),
        },
    }
}

async fn chat(server: &Server, request: Request<Incoming>) -> Reply {
    let body = match read(request).await {
        Ok(body) => body,
        Err(refusal) => return Ok(refusal),
    };
    let request = match request::Request::parse(&body) {
        Ok(request) => request,
        Err(error) => return Ok(refuse(StatusCode::BAD_REQUEST, &error.to_string())),
    };
    answer(server, request, Form::Chat).await
}

async fn embed(
    request: Request<Incoming>,
    kind: &'static str,
    made: fn(&[u8]) -> Result<serde_json::Value, embed::Refusal>,
) -> Response<Body> {
    let bytes = match read(request).await {
        Ok(bytes) => bytes,
        Err(refusal) => return refusal,
    };
    let (code, json) = match made(&bytes) {
        Ok(value) => (200, value),
        Err(refusal) => (refusal.status, refusal.body),
    };
    response(status(code), kind, body::whole(wire::go_json(&json)))
}

async fn answer(server: &Server, request: request::Request, form: Form) -> Reply {
    let seed = number();
    let decided = decide::model(&request.model)
        .and_then(|model| Ok((model, decide::decide(&request, model, form, seed)?)));
    match decided {
        Err(error) => Ok(refuse(status(error.status()), &error.to_string())),
        Ok((model, Decided::Load { num_ctx })) => {
            if is_unload(&request) {
                server.unload(model);
            } else {
                server.touch(model, request.keep_alive, num_ctx);
            }
            Ok(document(StatusCode::OK, load(&request, form)))
        }
        Ok((model, Decided::Chat { decision, num_ctx })) => {
            let generation = match decision {
                Decision::Text(generation) => generation,
                Decision::Status(code) => {
                    let message = format!("simulated error {code}, as the message asked");
                    return Ok(refuse(status(code), &message));
                }
                Decision::Html => return Ok(html()),
                Decision::Empty => return Ok(empty(StatusCode::FORBIDDEN)),
            };
            let cold = server.touch(model, request.keep_alive, num_ctx);
            let slot = match &server.slots {
                Some(slots) => Some(slots.take(model.name).await),
                None => None,
            };
            send(server.pace, request, form, generation, cold, slot).await
        }
    }
}

async fn send(
    pace: Pace,
    request: request::Request,
    form: Form,
    generation: Generation,
    cold: bool,
    slot: Option<Held>,
) -> Reply {
    // Like Ollama, not even the head is sent before the first token.
    let run = Run::start(&request, form, generation, pace, cold, slot).await;
    if request.stream {
        return Ok(response(StatusCode::OK, NDJSON, run.into_lines()));
    }
    match run.into_document().await {
        Ok(text) => Ok(document(StatusCode::OK, text)),
        Err(Failure::Runner(message)) => Ok(refuse(StatusCode::INTERNAL_SERVER_ERROR, message)),
        Err(Failure::Connection(error)) => Err(error),
    }
}

/// Whether a request without messages unloads the model.
fn is_unload(request: &request::Request) -> bool {
    request.keep_alive == KeepAlive::For(Duration::ZERO)
}

/// The response to a request without messages.
fn load(request: &request::Request, form: Form) -> String {
    let unload = is_unload(request);
    wire::go_json(&Line {
        model: &request.model,
        created_at: wire::timestamp(SystemTime::now()),
        said: match form {
            Form::Chat => Said::Message(Message::new("", "", &[])),
            Form::Completion { .. } => Said::Response(""),
        },
        context: &[],
        logprobs: Vec::new(),
        done: true,
        done_reason: Some(if unload { "unload" } else { "load" }),
        metrics: Metrics::default(),
    })
}

async fn read(request: Request<Incoming>) -> Result<bytes::Bytes, Response<Body>> {
    body::read(request).await.map_err(|error| match error {
        Unread::TooLarge => refuse(
            StatusCode::PAYLOAD_TOO_LARGE,
            "http: request body too large",
        ),
        Unread::Broken(error) => refuse(StatusCode::BAD_REQUEST, &error.to_string()),
    })
}

fn refuse(status: StatusCode, message: &str) -> Response<Body> {
    document(status, wire::error(message))
}

fn document(status: StatusCode, json: String) -> Response<Body> {
    response(status, JSON, body::whole(json))
}

fn plain(status: StatusCode, text: &'static str) -> Response<Body> {
    response(status, TEXT, body::whole(text))
}
