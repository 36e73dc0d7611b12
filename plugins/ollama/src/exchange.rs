//! One attempt: its endpoint, and what each phase does.

use sluicegate_openai_api::embeddings as of_openai;
use sluicegate_openai_api::exchange::is_method;
use sluicegate_openai_api::failure::http::with_retry_after;
use sluicegate_openai_api::request::Endpoint;
use sluicegate_openai_api::response::{Identity, Object};
use sluicegate_openai_api::tokens;
use sluicegate_plugin::{Context, Event, Fault, RequestPlan, ResponsePlan, Stop, log};

use crate::config::Settings;
use crate::request;
use crate::response::{Ending, Shown, Stream, complete};
use crate::{embeddings, failure, models};

/// The state of an attempt.
#[derive(Debug, Default)]
pub struct State {
    task: Task,
    /// The status of the model server's response.
    status: u16,
    /// The fault that ended the stream and is still to be returned.
    fault: Option<Fault>,
}

#[derive(Debug, Default)]
enum Task {
    /// No request phase has run.
    #[default]
    Unknown,
    /// A request whose body has not arrived yet.
    Asked(Endpoint),
    Text(Box<Text>),
    /// The model's name as JSON text, if the response will have another one.
    Embeddings(Option<String>),
    /// Tokens that are to be counted.
    Count,
    Models,
    Model(String),
}

#[derive(Debug)]
struct Text {
    endpoint: Endpoint,
    identity: Identity,
    shown: Shown,
    streams: bool,
    response: Response,
}

/// How the response is read.
#[derive(Debug)]
enum Response {
    Pending,
    Failed,
    Whole,
    Stream(Stream),
}

impl State {
    /// The request head: sends the request to Ollama's own endpoint.
    ///
    /// # Errors
    /// 404 `not_found` for a path without a counterpart in Ollama's API; 405 for a method that it does not have.
    pub fn request_head(&mut self, ctx: &Context<'_>) -> Result<RequestPlan, Fault> {
        let path = ctx.path();
        let rest = path.strip_prefix("/v1/").unwrap_or_default();
        if !ctx.query().is_empty() {
            ctx.set_query("")?;
        }
        if let Some(endpoint) = Endpoint::of(rest) {
            is_method(ctx, "POST")?;
            self.task = Task::Asked(endpoint);
            ctx.set_path(match endpoint {
                Endpoint::Chat => "/api/chat",
                Endpoint::Completions => "/api/generate",
                Endpoint::Embeddings => "/v1/embeddings",
            })?;
            ctx.set("content-type", "application/json")?;
            return Ok(RequestPlan::Whole);
        }
        if rest == tokens::PATH {
            is_method(ctx, "POST")?;
            self.task = Task::Count;
            return Ok(RequestPlan::Whole);
        }
        self.task = match rest.strip_prefix("models/") {
            Some(id) if !id.is_empty() => Task::Model(id.to_owned()),
            None if rest == "models" => Task::Models,
            Some(_) | None => return Err(unknown(&path)),
        };
        is_method(ctx, "GET")?;
        ctx.set_path("/api/tags")?;
        Ok(RequestPlan::Skip)
    }

    /// The request body.
    ///
    /// # Errors
    /// 400, which names the parameter; the response, if Ollama is not asked.
    pub fn request_body(
        &mut self,
        ctx: &Context<'_>,
        body: &[u8],
        settings: &Settings,
    ) -> Result<Option<Vec<u8>>, Stop> {
        let endpoint = match self.task {
            Task::Asked(endpoint) => endpoint,
            // Ollama does not count.
            Task::Count => return Err(tokens::estimate(body)?.into()),
            Task::Unknown | Task::Text(_) | Task::Embeddings(_) | Task::Models | Task::Model(_) => {
                return Ok(None);
            }
        };
        if endpoint == Endpoint::Embeddings {
            self.task = Task::Embeddings(embeddings::check(ctx, body)?);
            // Ollama takes no byte order mark, which some tools put before JSON.
            return Ok(body.strip_prefix(b"\xef\xbb\xbf").map(<[u8]>::to_vec));
        }
        let translated = request::translate(endpoint, body, settings)?;
        if !translated.ignored.is_empty() {
            log::debug("unknown request parameters were left out")
                .field("parameters", &translated.ignored)
                .write();
        }
        translated.dropped.tell(ctx)?;
        self.task = Task::Text(Box::new(Text {
            endpoint,
            identity: Identity {
                object: match endpoint {
                    Endpoint::Chat => Object::Chat,
                    Endpoint::Completions | Endpoint::Embeddings => Object::Text,
                },
                id: ctx.id(),
                received_ms: ctx.received_ms(),
                // The name that the client used, even if this upstream has another one.
                model: ctx.note_json("model").unwrap_or(translated.model),
            },
            shown: Shown {
                thoughts: if translated.hides_thoughts {
                    &[]
                } else {
                    settings.reasoning_field.names()
                },
                marks: settings.think_tags,
                forced: translated.forced,
                // A client that wants one JSON response gets the usage in it: `aggregate` takes it from the stream.
                usage: translated.include_usage || !translated.stream,
                echo: translated.echo,
            },
            streams: translated.upstream_stream,
            response: Response::Pending,
        }));
        Ok(Some(translated.body))
    }

    /// The response head.
    ///
    /// # Errors
    /// 502 if the response cannot be Ollama's.
    pub fn response_head(&mut self, ctx: &Context<'_>) -> Result<ResponsePlan, Fault> {
        let status = ctx.status();
        self.status = status;
        if (300..400).contains(&status) {
            return Err(failure::of_response(status, b""));
        }
        match &mut self.task {
            Task::Unknown | Task::Asked(_) | Task::Count => return Ok(ResponsePlan::Skip),
            Task::Models | Task::Model(_) => {}
            Task::Embeddings(_) if status >= 300 => {}
            Task::Embeddings(_) if !is_json(ctx) => return Err(failure::nonsense()),
            Task::Embeddings(None) => return Ok(ResponsePlan::Skip),
            Task::Embeddings(Some(_)) => {}
            Task::Text(text) if status >= 300 => text.response = Response::Failed,
            Task::Text(text) => {
                if !is_json(ctx) {
                    return Err(failure::nonsense());
                }
                if text.streams {
                    text.response = Response::Stream(Stream::new(&text.identity, &text.shown));
                    ctx.set("content-type", "text/event-stream; charset=utf-8")?;
                    ctx.set("cache-control", "no-cache")?;
                    return Ok(ResponsePlan::Sse);
                }
                text.response = Response::Whole;
            }
        }
        ctx.set("content-type", "application/json")?;
        Ok(ResponsePlan::Whole)
    }

    /// The response body, if it is not a stream.
    ///
    /// # Errors
    /// Ollama's error, in OpenAI's form.
    pub fn response_body(
        &mut self,
        ctx: &Context<'_>,
        body: &[u8],
    ) -> Result<Option<Vec<u8>>, Fault> {
        if self.status >= 300 {
            let fault = failure::of_response(self.status, body);
            return Err(with_retry_after(ctx, self.in_its_terms(fault)));
        }
        Ok(match &self.task {
            Task::Models => Some(models::list(body)?),
            Task::Model(id) => Some(models::find(body, id)?),
            Task::Embeddings(model) => {
                let (body, usage) = of_openai::named(body, model.as_deref())?;
                if let Some(usage) = usage {
                    ctx.set_note_json("usage", usage)?;
                }
                Some(body)
            }
            Task::Text(text) => {
                let (body, ending) = complete(&text.identity, &text.shown, body)
                    .map_err(|fault| self.in_its_terms(fault))?;
                note(ctx, &ending)?;
                Some(body)
            }
            Task::Unknown | Task::Asked(_) | Task::Count => None,
        })
    }

    /// The fault with the name that the text for the model has in this request.
    fn in_its_terms(&self, fault: Fault) -> Fault {
        let endpoint = match &self.task {
            Task::Asked(endpoint) => Some(*endpoint),
            Task::Text(text) => Some(text.endpoint),
            Task::Embeddings(_) => Some(Endpoint::Embeddings),
            Task::Unknown | Task::Count | Task::Models | Task::Model(_) => None,
        };
        match fault.param.as_deref() {
            Some("messages") => fault.param(Endpoint::of_text(endpoint)),
            Some(_) | None => fault,
        }
    }

    /// Lines of the stream.
    ///
    /// # Errors
    /// Ollama's error in mid-stream, or an invalid line.
    pub fn events(
        &mut self,
        ctx: &Context<'_>,
        batch: &[Event],
    ) -> Result<Option<Vec<Event>>, Fault> {
        let Some(stream) = stream(&mut self.task) else {
            return Ok(None);
        };
        let ended = stream.ending().is_some();
        // One chunk per line, but the first and the last line become several.
        let mut out = Vec::with_capacity(batch.len() + 4);
        for line in batch {
            if let Err(fault) = stream.push(&line.data, &mut out) {
                let fault = self.in_its_terms(fault);
                // Events before it in the same batch must not be lost: how lines are divided into batches must not matter. So
                // they end the body, and the fault follows at its end.
                if out.is_empty() {
                    return Err(fault);
                }
                ctx.end_body()?;
                self.fault = Some(fault);
                return Ok(Some(out));
            }
        }
        match stream.ending() {
            Some(ending) if !ended => note(ctx, &ending)?,
            Some(_) | None => {}
        }
        Ok(Some(out))
    }

    /// The end of the stream.
    ///
    /// # Errors
    /// The fault that ended it, or 502 `upstream_truncated` if it ended too early.
    pub fn end(&mut self) -> Result<(), Fault> {
        if let Some(fault) = self.fault.take() {
            return Err(fault);
        }
        match stream(&mut self.task) {
            Some(stream) if stream.ending().is_none() => Err(failure::truncated()),
            Some(_) | None => Ok(()),
        }
    }

    /// The end of the attempt. If the stream was cut, by either side, it notes the usage so far: Ollama counts only at the
    /// end, but a line is about one token.
    pub fn closed(&mut self, ctx: &Context<'_>) {
        let Some(stream) = stream(&mut self.task).filter(|stream| stream.ending().is_none()) else {
            return;
        };
        let lines = stream.lines();
        let usage = format!(
            "{{\"prompt_tokens\":0,\"completion_tokens\":{lines},\"total_tokens\":{lines},\"partial\":true}}"
        );
        if let Err(fault) = ctx.set_note_json("usage", &usage) {
            log::warn("the usage of a cut stream could not be noted")
                .field("error", &fault.message)
                .write();
        }
    }
}

fn stream(task: &mut Task) -> Option<&mut Stream> {
    match task {
        Task::Text(text) => match &mut text.response {
            Response::Stream(stream) => Some(stream),
            Response::Pending | Response::Failed | Response::Whole => None,
        },
        Task::Unknown
        | Task::Asked(_)
        | Task::Embeddings(_)
        | Task::Count
        | Task::Models
        | Task::Model(_) => None,
    }
}

fn unknown(path: &str) -> Fault {
    Fault::not_found(
        "not_found",
        format!("There is nothing at `{path}` for a model of Ollama's."),
    )
}

/// Whether the response has one of Ollama's content types. A missing content type is accepted: the body will show.
fn is_json(ctx: &Context<'_>) -> bool {
    let Some(value) = ctx.get("content-type") else {
        return true;
    };
    let kind = value
        .split(|&b| b == b';')
        .next()
        .unwrap_or_default()
        .trim_ascii();
    [
        b"application/x-ndjson".as_slice(),
        b"application/json",
        b"application/ndjson",
    ]
    .iter()
    .any(|known| kind.eq_ignore_ascii_case(known))
}

fn note(ctx: &Context<'_>, ending: &Ending) -> Result<(), Fault> {
    ctx.set_note("finish", ending.finish)?;
    ctx.set_note_json("usage", &ending.usage())
}
