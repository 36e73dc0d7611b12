//! vLLM: OpenAI's API, with habits of its own.
//!
//! Several shapes of errors, thinking in `reasoning`, tool calls that begin without arguments, values that OpenAI takes and vLLM
//! refuses, and others that only vLLM takes. One server has all the models, though a real one has one model under several names.
//!
//! # Source
//! vLLM 0.32 on the wire, with the parsers `hermes` and `qwen3`.

use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use serde_json::{Value, json};

use crate::Pace;
use crate::answer::{self, Decision, Generation};
use crate::body::{self, Body, Reply};
use crate::catalog::MODELS;
use crate::conversation::Message;
use crate::events::{self, Close};
use crate::identity::{now, number};
use crate::openai;
use crate::text;

mod chat;
mod completion;
mod embedding;
mod fields;
mod refusal;
mod request;
mod written;

#[cfg(test)]
mod tests;

use fields::Fields;
use refusal::Refusal;
use request::{Chat, Completion};

const VERSION: &str = "0.32.0+simulated";

const FINGERPRINT: &str = "vllm-0.32.0-simulated";

const JSON: &str = "application/json";

const EVENTS: &str = "text/event-stream; charset=utf-8";

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Server {
    pace: Pace,
    /// The key that clients must have; everybody may ask without one.
    key: Option<String>,
}

/// What every chunk of a response repeats.
#[derive(Debug)]
struct Identity {
    id: String,
    created: u64,
    model: &'static str,
}

/// What a request is for, until it is known to be legal.
type Checked<T> = Result<T, Refusal>;

impl Server {
    pub(crate) fn new(pace: Pace, key: Option<String>) -> Self {
        Self { pace, key }
    }

    pub(crate) async fn respond(&self, request: Request<Incoming>) -> Reply {
        let path = request.uri().path();
        if path.len() > 1 && path.ends_with('/') {
            let place = HeaderValue::from_str(path.trim_end_matches('/'));
            let mut response = body::empty(StatusCode::TEMPORARY_REDIRECT);
            if let Ok(place) = place {
                response.headers_mut().insert(header::LOCATION, place);
            }
            return Ok(response);
        }
        if path.starts_with("/v1") && !self.admits(request.headers()) {
            return Ok(refused(&Refusal::unauthorized()));
        }
        let allowed = match path {
            "/health" | "/version" | "/v1/models" => Method::GET,
            "/v1/chat/completions" | "/v1/completions" | "/v1/embeddings" | "/tokenize" => {
                Method::POST
            }
            _ => return Ok(refused(&Refusal::detail(404, "Not Found"))),
        };
        if *request.method() != allowed {
            let mut response = refused(&Refusal::detail(405, "Method Not Allowed"));
            let name = HeaderValue::from_str(allowed.as_str());
            if let Ok(name) = name {
                response.headers_mut().insert(header::ALLOW, name);
            }
            return Ok(response);
        }
        match path {
            "/health" => Ok(body::empty(StatusCode::OK)),
            "/version" => Ok(document(&json!({"version": VERSION}))),
            "/v1/models" => Ok(document(&models())),
            _ => self.post(request).await,
        }
    }

    /// The key comes as a bearer token; vLLM knows no other place for it.
    fn admits(&self, fields: &HeaderMap) -> bool {
        let Some(key) = &self.key else {
            return true;
        };
        let given = fields.get(header::AUTHORIZATION);
        let given = given.and_then(|value| value.to_str().ok()).unwrap_or("");
        let (scheme, token) = given.split_once(' ').unwrap_or((given, ""));
        scheme.eq_ignore_ascii_case("bearer") && token == key
    }

    async fn post(&self, request: Request<Incoming>) -> Reply {
        let path = request.uri().path().to_owned();
        let id = identity(request.headers());
        let kind = request.headers().get(header::CONTENT_TYPE).cloned();
        if request.headers().contains_key(header::CONTENT_ENCODING) {
            let text = "There was an error parsing the body";
            return Ok(refused(&Refusal::detail(400, text)));
        }
        let Ok(bytes) = body::read(request).await else {
            let text = "There was an error parsing the body";
            return Ok(refused(&Refusal::detail(400, text)));
        };
        let is_json = kind
            .as_ref()
            .and_then(|kind| kind.to_str().ok())
            .and_then(|kind| kind.split(';').next())
            .is_some_and(|kind| kind.trim().eq_ignore_ascii_case(JSON));
        if !is_json && !bytes.is_empty() {
            return Ok(refused(&Refusal::content_type()));
        }
        match path.as_str() {
            "/tokenize" => Ok(result(tokenize(&bytes))),
            "/v1/embeddings" => Ok(result(embedding::respond(&bytes, &id, now()))),
            "/v1/completions" => match Completion::read(&bytes) {
                Ok(completion) => self.complete(completion, &id).await,
                Err(refusal) => Ok(refused(&refusal)),
            },
            _ => match Chat::read(&bytes) {
                Ok(chat) => self.chat(chat, &id).await,
                Err(refusal) => Ok(refused(&refusal)),
            },
        }
    }

    async fn chat(&self, chat: Chat, id: &str) -> Reply {
        let generation = match decided(answer::answer(&chat.asked(number()))) {
            Ok(generation) => generation,
            Err(response) => return Ok(*response),
        };
        let pace = self.pace.of(generation.slow);
        let identity = Identity {
            id: format!("chatcmpl-{id}"),
            created: now(),
            model: chat.model.name,
        };
        let streams = chat.sampling.stream;
        let answer = chat::Answer::new(chat, identity, generation);
        let ending = answer.ending();
        if streams {
            let close = Close::of(ending);
            let body = events::stream_of(answer.events(), pace, close, None);
            return Ok(events::ok(EVENTS, body));
        }
        if ending == answer::Ending::ErrorLine {
            return Ok(refused(&Refusal::engine()));
        }
        let json = answer.document().to_string();
        events::document(json, JSON, answer.tokens(), ending, pace).await
    }

    async fn complete(&self, completion: Completion, id: &str) -> Reply {
        let mut generations = Vec::with_capacity(completion.prompts.len());
        for prompt in &completion.prompts {
            let question: [Message; 1] = [openai::question(prompt)];
            match decided(answer::answer(&completion.asked(&question, number()))) {
                Ok(generation) => generations.push(generation),
                Err(response) => return Ok(*response),
            }
        }
        let slow = generations.iter().any(|generation| generation.slow);
        let pace = self.pace.of(slow);
        let identity = Identity {
            id: format!("cmpl-{id}"),
            created: now(),
            model: completion.model.name,
        };
        let streams = completion.sampling.stream;
        let answer = completion::Answer::new(completion, identity, generations);
        let ending = answer.ending();
        if streams {
            let close = Close::of(ending);
            let body = events::stream_of(answer.events(), pace, close, None);
            return Ok(events::ok(EVENTS, body));
        }
        if ending == answer::Ending::ErrorLine {
            return Ok(refused(&Refusal::engine()));
        }
        let json = answer.document().to_string();
        events::document(json, JSON, answer.tokens(), ending, pace).await
    }
}

/// The generation, or the failure that the message asked for.
fn decided(decision: Decision) -> Result<Generation, Box<Response<Body>>> {
    match decision {
        Decision::Text(generation) => Ok(generation),
        Decision::Status(status) => Err(Box::new(refused(&Refusal::asked(status)))),
        Decision::Html => Err(Box::new(body::html())),
        Decision::Empty => Err(Box::new(body::empty(StatusCode::FORBIDDEN))),
    }
}

/// The part of the id that is the request's own.
fn identity(fields: &HeaderMap) -> String {
    let given = fields.get("x-request-id").and_then(|id| id.to_str().ok());
    given.map_or_else(|| format!("{:016x}", number()), str::to_owned)
}

fn models() -> Value {
    let created = now();
    let permission = |name: &str| {
        json!({"id": format!("modelperm-{name}"), "object": "model_permission", "created": created,
            "allow_create_engine": false, "allow_sampling": true, "allow_logprobs": true,
            "allow_search_indices": false, "allow_view": true, "allow_fine_tuning": false, "organization": "*",
            "group": null, "is_blocking": false})
    };
    let models: Vec<Value> = MODELS
        .iter()
        .map(|model| {
            json!({"id": model.name, "object": "model", "created": created, "owned_by": "vllm",
                "root": "/models/simulated", "parent": null, "max_model_len": model.context_length,
                "permission": [permission(model.name)]})
        })
        .collect();
    json!({"object": "list", "data": models})
}

fn tokenize(bytes: &[u8]) -> Checked<Value> {
    let fields = Fields::read(bytes)?;
    let model = request::model(&fields)?;
    let messages = openai::messages(openai::list(fields.map(), "messages"), |_| String::new());
    let chat = messages
        .iter()
        .map(|message| text::tokens(&message.content).len() + 4);
    let prompt = fields.get("prompt").and_then(Value::as_str).unwrap_or("");
    let count = chat.sum::<usize>() + text::tokens(prompt).len();
    let tokens: Vec<usize> = (0..count).collect();
    Ok(
        json!({"count": count, "max_model_len": model.context_length, "tokens": tokens, "token_strs": null}),
    )
}

fn document(value: &Value) -> Response<Body> {
    events::ok(JSON, body::whole(value.to_string()))
}

fn refused(refusal: &Refusal) -> Response<Body> {
    let status = body::status(refusal.status);
    body::response(status, JSON, body::whole(refusal.body.to_string()))
}

fn result(checked: Checked<Value>) -> Response<Body> {
    match checked {
        Ok(value) => document(&value),
        Err(refusal) => refused(&refusal),
    }
}
