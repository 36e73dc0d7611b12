//! TGI (Text Generation Inference): its own API, and routes that are like OpenAI's.
//!
//! Text errors for `null`, tools whose stream loses arguments, counts of a text that was thrown away, stop sequences that stay in
//! the text, limits that are overshot, errors inside of streams with status 200. There is no parser for thinking, no embedding,
//! and one model, whatever a client calls it.
//!
//! # Source
//! TGI 3.3 on the wire.

use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use serde_json::{Value, json};

use crate::Pace;
use crate::answer::{self, Asked, Decision, Ending, Generation};
use crate::body::{self, Reply};
use crate::catalog::{MODELS, Model};
use crate::events::{self, Close, Event};
use crate::identity::{now, number};
use crate::openai;
use crate::text;

mod chat;
mod completion;
mod form;
mod native;
mod refusal;
mod request;
mod written;

#[cfg(test)]
mod tests;

use refusal::Refusal;
use request::{Chat, Checked, Completion, Generate};

const VERSION: &str = "3.3.6-simulated";

const FINGERPRINT: &str = "3.3.6-simulated-native";

const JSON: &str = "application/json";

const EVENTS: &str = "text/event-stream";

const TEXT: &str = "text/plain; charset=utf-8";

/// The largest body.
const MAX_BODY: usize = 2 << 20;

/// The time between two comments in a silent stream.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Server {
    pace: Pace,
    /// The key that clients must have; everybody may ask without one.
    key: Option<String>,
    /// The one that reasons: what TGI does with thinking is a habit of its own.
    model: &'static Model,
}

/// What a request is answered with.
struct Answered {
    body: Answer,
    pace: Pace,
    ending: Ending,
    tokens: usize,
    prompt_tokens: u64,
}

enum Answer {
    Document(Value),
    Events(Box<dyn Iterator<Item = Event> + Send>),
}

impl Server {
    pub(crate) fn new(pace: Pace, key: Option<String>) -> Self {
        Self {
            pace,
            key,
            model: &MODELS[1],
        }
    }

    pub(crate) async fn respond(&self, request: Request<Incoming>) -> Reply {
        let mut reply = self.route(request).await?;
        let any = HeaderValue::from_static("*");
        reply
            .headers_mut()
            .insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, any);
        Ok(reply)
    }

    async fn route(&self, request: Request<Incoming>) -> Reply {
        let method = request.method().clone();
        if method == Method::OPTIONS {
            return Ok(body::empty(StatusCode::OK));
        }
        let path = request.uri().path();
        let (allowed, is_open): (&[Method], bool) = match path {
            "/health" | "/info" | "/v1/models" => (&[Method::GET, Method::HEAD], true),
            "/chat_tokenize" => (&[Method::POST], true),
            "/" => (
                &[Method::GET, Method::HEAD, Method::POST],
                method != Method::POST,
            ),
            "/generate"
            | "/generate_stream"
            | "/v1/chat/completions"
            | "/v1/completions"
            | "/tokenize" => (&[Method::POST], false),
            _ => return Ok(body::empty(StatusCode::NOT_FOUND)),
        };
        if !is_open && !self.admits(request.headers()) {
            return Ok(body::empty(StatusCode::UNAUTHORIZED));
        }
        if !allowed.contains(&method) {
            let mut response = body::empty(StatusCode::METHOD_NOT_ALLOWED);
            let names: Vec<&str> = allowed.iter().map(Method::as_str).collect();
            if let Ok(names) = HeaderValue::from_str(&names.join(",")) {
                response.headers_mut().insert(header::ALLOW, names);
            }
            return Ok(response);
        }
        if method == Method::POST {
            return self.post(request).await;
        }
        Ok(match path {
            "/info" => document(&request::info(self.model, VERSION)),
            "/v1/models" => {
                let name = self.model.name;
                document(&json!({"object": "list", "data": [
                    {"id": name, "object": "model", "created": 0, "owned_by": name}]}))
            }
            _ => body::empty(StatusCode::OK),
        })
    }

    /// The key, whose case does not matter.
    fn admits(&self, fields: &HeaderMap) -> bool {
        let Some(key) = &self.key else {
            return true;
        };
        let given = fields.get(header::AUTHORIZATION);
        let given = given.and_then(|value| value.to_str().ok()).unwrap_or("");
        given.eq_ignore_ascii_case(&format!("bearer {key}"))
    }

    async fn post(&self, request: Request<Incoming>) -> Reply {
        let path = request.uri().path().to_owned();
        let kind = request.headers().get(header::CONTENT_TYPE);
        let is_json = kind
            .and_then(|kind| kind.to_str().ok())
            .and_then(|kind| kind.split(';').next())
            .is_some_and(|kind| kind.trim().eq_ignore_ascii_case(JSON));
        if !is_json {
            return Ok(refused(Refusal::content_type(), Form::Whole));
        }
        let bytes = match body::read(request).await {
            Ok(bytes) if bytes.len() <= MAX_BODY => bytes,
            Ok(_) | Err(_) => return Ok(refused(Refusal::too_large(), Form::Whole)),
        };
        match path.as_str() {
            "/tokenize" | "/chat_tokenize" => Ok(match tokenize(&path, &bytes) {
                Ok(tokens) => document(&tokens),
                Err(refusal) => refused(refusal, Form::Whole),
            }),
            "/v1/chat/completions" => match Chat::read(&bytes, self.model) {
                Ok(chat) => self.chat(chat).await,
                Err(checked) => Ok(checked_refused(checked, Form::OpenAi)),
            },
            "/v1/completions" => match Completion::read(&bytes, self.model) {
                Ok(completion) => self.complete(completion).await,
                Err(checked) => Ok(checked_refused(checked, Form::OpenAi)),
            },
            _ => self.generate(&path, &bytes).await,
        }
    }

    async fn chat(&self, chat: Chat) -> Reply {
        let streams = chat.stream;
        let form = if streams { Form::OpenAi } else { Form::Whole };
        let generation = match decided(&chat.asked(number()), form) {
            Ok(generation) => generation,
            Err(response) => return Ok(*response),
        };
        let pace = self.pace.of(generation.slow);
        let answer = chat::Answer::new(chat, now(), generation);
        let (ending, tokens) = (answer.ending(), answer.count());
        let prompt_tokens = answer.prompt_tokens;
        let body = if streams {
            Answer::Events(Box::new(answer.events()))
        } else if let Some(refusal) = failure(ending) {
            return Ok(refused(refusal, form));
        } else {
            match answer.document() {
                Ok(document) => Answer::Document(document),
                Err(refusal) => return Ok(refused(refusal, form)),
            }
        };
        let answered = Answered {
            body,
            pace,
            ending,
            tokens,
            prompt_tokens,
        };
        answered.send().await
    }

    async fn complete(&self, completion: Completion) -> Reply {
        let streams = completion.stream;
        let form = if streams { Form::OpenAi } else { Form::Whole };
        let mut generations = Vec::with_capacity(completion.prompts.len());
        for prompt in &completion.prompts {
            let question = [openai::question(prompt)];
            match decided(&request::asked(&question, &Value::Null, number()), form) {
                Ok(generation) => generations.push(generation),
                Err(response) => return Ok(*response),
            }
        }
        let slow = generations.iter().any(|generation| generation.slow);
        let pace = self.pace.of(slow);
        let answer = completion::Answer::new(&completion, now(), generations);
        let (ending, tokens) = (answer.ending(), answer.count());
        let prompt_tokens = answer.prompt_tokens();
        let body = if streams {
            Answer::Events(Box::new(answer.events()))
        } else if let Some(refusal) = failure(ending) {
            return Ok(refused(refusal, form));
        } else {
            Answer::Document(answer.document())
        };
        let answered = Answered {
            body,
            pace,
            ending,
            tokens,
            prompt_tokens,
        };
        answered.send().await
    }

    /// `/generate`, `/generate_stream`, and `/`, which does what the body says and repeats the prompt.
    async fn generate(&self, path: &str, bytes: &[u8]) -> Reply {
        let (mut request, wants_stream) = match Generate::read(bytes, self.model) {
            Ok(read) => read,
            Err(checked) => {
                let stream = match path {
                    "/generate" => false,
                    "/generate_stream" => true,
                    _ => checked.stream,
                };
                let checked = Checked { stream, ..checked };
                return Ok(checked_refused(checked, Form::Native));
            }
        };
        let streams = match path {
            "/generate" => false,
            "/generate_stream" => true,
            _ => wants_stream,
        };
        let is_root = path == "/";
        if is_root {
            request.return_full_text = Some(request.return_full_text.unwrap_or(true));
        }
        let form = if streams { Form::Native } else { Form::Whole };
        let question = [openai::question(&request.inputs)];
        let grammar = request.grammar.clone();
        let generation = match decided(&request::asked(&question, &grammar, number()), form) {
            Ok(generation) => generation,
            Err(response) => return Ok(*response),
        };
        let pace = self.pace.of(generation.slow);
        let answer = native::Answer::new(request, generation);
        let (ending, tokens) = (answer.ending(), answer.count());
        let prompt_tokens = answer.prompt_tokens;
        let body = if streams {
            Answer::Events(Box::new(answer.events()))
        } else if let Some(refusal) = failure(ending) {
            return Ok(refused(refusal, form));
        } else if is_root {
            Answer::Document(json!([answer.document()]))
        } else {
            Answer::Document(answer.document())
        };
        let answered = Answered {
            body,
            pace,
            ending,
            tokens,
            prompt_tokens,
        };
        answered.send().await
    }
}

impl Answered {
    async fn send(self) -> Reply {
        let mut response = match self.body {
            Answer::Events(events) => {
                let close = Close::of(self.ending);
                let body = events::stream_of(events, self.pace, close, Some(KEEP_ALIVE));
                let mut response = events::ok(EVENTS, body);
                let fields = response.headers_mut();
                fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
                let name = HeaderName::from_static("x-accel-buffering");
                fields.insert(name, HeaderValue::from_static("no"));
                response
            }
            Answer::Document(document) => {
                let json = document.to_string();
                let mut response =
                    events::document(json, JSON, self.tokens, self.ending, self.pace).await?;
                for (name, number) in [
                    ("x-prompt-tokens", self.prompt_tokens),
                    ("x-generated-tokens", self.tokens as u64),
                ] {
                    let name = HeaderName::from_static(name);
                    response.headers_mut().insert(name, number.into());
                }
                response
            }
        };
        let name = HeaderName::from_static("x-compute-type");
        let kind = HeaderValue::from_static("simulated");
        response.headers_mut().insert(name, kind);
        Ok(response)
    }
}

/// How errors are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// A document with the error's own status.
    Whole,
    /// An event with status 200 and the mark of a good end.
    OpenAi,
    /// An event with status 200.
    Native,
}

fn checked_refused(checked: Checked, streamed: Form) -> Response<body::Body> {
    let form = if checked.stream {
        streamed
    } else {
        Form::Whole
    };
    refused(checked.refusal, form)
}

fn refused(refusal: Refusal, form: Form) -> Response<body::Body> {
    let (status, text, kind, early) = match refusal {
        Refusal::Body { status, text } if text.is_empty() => {
            return body::empty(body::status(status));
        }
        Refusal::Body { status, text } => {
            return body::response(body::status(status), TEXT, body::whole(text));
        }
        Refusal::Router {
            status,
            text,
            kind,
            early,
        } => (status, text, kind, early),
    };
    let form = if early { Form::Whole } else { form };
    match form {
        Form::Whole => {
            let json = Refusal::document(&text, kind).to_string();
            body::response(body::status(status), JSON, body::whole(json))
        }
        Form::OpenAi => {
            let event = Refusal::event(&text);
            let events = format!("data: {event}\n\ndata: [DONE]\n\n");
            events::ok(EVENTS, body::whole(events))
        }
        Form::Native => {
            let event = Refusal::document(&text, kind);
            events::ok(EVENTS, body::whole(format!("data: {event}\n\n")))
        }
    }
}

/// The generation, or the failure that the message asked for.
fn decided(asked: &Asked<'_>, form: Form) -> Result<Generation, Box<Response<body::Body>>> {
    match answer::answer(asked) {
        Decision::Text(generation) => Ok(generation),
        Decision::Status(status) => Err(Box::new(refused(Refusal::asked(status), form))),
        Decision::Html => Err(Box::new(body::html())),
        Decision::Empty => Err(Box::new(body::empty(StatusCode::FORBIDDEN))),
    }
}

/// Why there is no document.
fn failure(ending: Ending) -> Option<Refusal> {
    match ending {
        Ending::ErrorLine => Some(Refusal::shard()),
        Ending::Abort => Some(Refusal::dead_shard()),
        Ending::Done(_) | Ending::Truncate | Ending::Reset | Ending::Stall => None,
    }
}

/// The events behind the last token, on the routes that are like OpenAI's.
fn stream_end(ending: Ending, usage: Option<Event>) -> Vec<Event> {
    let failed = |refusal| match refusal {
        Refusal::Router { text, .. } | Refusal::Body { text, .. } => {
            // In a stream it is followed by the mark of a good end.
            vec![Event::now(&Refusal::event(&text)), Event::done()]
        }
    };
    match ending {
        Ending::Done(_) => usage.into_iter().chain([Event::done()]).collect(),
        Ending::ErrorLine => failed(Refusal::shard()),
        Ending::Abort => failed(Refusal::dead_shard()),
        Ending::Truncate | Ending::Reset | Ending::Stall => Vec::new(),
    }
}

fn tokenize(path: &str, bytes: &[u8]) -> Result<Value, Refusal> {
    let body = form::Body::read(bytes)?;
    let is_chat = path == "/chat_tokenize";
    let templated: String = if is_chat {
        let messages = openai::messages(openai::list(&body.fields, "messages"), |_| String::new());
        let texts = messages.iter().map(|message| {
            format!(
                "<|im_start|>{}\n{}<|im_end|>\n",
                message.role, message.content
            )
        });
        texts.collect()
    } else {
        let inputs = body.fields.get("inputs").and_then(Value::as_str);
        inputs.unwrap_or_default().to_owned()
    };
    let mut start = 0;
    let tokens: Vec<Value> = text::tokens(&templated)
        .into_iter()
        .enumerate()
        .map(|(id, token)| {
            let stop = start + token.chars().count();
            let entry = json!({"id": id, "text": token, "start": start, "stop": stop});
            start = stop;
            entry
        })
        .collect();
    Ok(if is_chat {
        json!({"tokenize_response": tokens, "templated_text": templated})
    } else {
        json!(tokens)
    })
}

fn document(value: &Value) -> Response<body::Body> {
    events::ok(JSON, body::whole(value.to_string()))
}
