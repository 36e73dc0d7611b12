//! One attempt: its endpoint, and what each phase does.

use sluicegate_plugin::{Context, Event, Fault, RequestPlan, ResponsePlan, Stop, log};

use crate::Vendor;
use crate::config::{Settings, Streaming};
use crate::failure::http::with_retry_after;
use crate::request::stream_options::StreamOptions;
use crate::request::{Body, Endpoint, media, thinking};
use crate::response::{Ending, Identity, Object, Shown, Stream, complete};
use crate::tokens::{self, Counter};
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
    /// The model's name as JSON text.
    Embeddings(Option<String>),
    /// Tokens that are to be counted: how the server does it, and an estimate if it does not.
    Count(Option<Counter>, u64),
    Models,
    Model(String),
}

#[derive(Debug)]
struct Text {
    endpoint: Endpoint,
    identity: Identity,
    shown: Shown,
    /// Whether the client asked for a stream.
    wants_stream: bool,
    /// Whether a chunk with the usage is wanted in a stream.
    wants_usage: bool,
    response: Response,
}

impl Text {
    /// Whether an error may hold what the model wrote.
    fn may_recover(&self, ctx: &Context<'_>) -> bool {
        let is_json = form(ctx).is_ok_and(|form| form == Form::Json);
        ctx.status() == 422 && is_json && self.shown.habits.recover.is_some()
    }
}

/// How the response is read.
#[derive(Debug)]
enum Response {
    Pending,
    Failed,
    Whole,
    Stream(Box<Stream>),
}

impl State {
    /// The request head: sends the request to the server's endpoint.
    ///
    /// # Errors
    /// 404 `not_found` for a path that is not offered; 405 for a method that it does not have.
    pub fn request_head(
        &mut self,
        ctx: &Context<'_>,
        vendor: &impl Vendor,
    ) -> Result<RequestPlan, Fault> {
        let path = ctx.path();
        let rest = path.strip_prefix("/v1/").unwrap_or_default();
        let prefix = prefix(vendor.settings(), &ctx.target());
        if !ctx.query().is_empty() {
            ctx.set_query("")?;
        }
        if let Some(endpoint) = Endpoint::of(rest) {
            is_method(ctx, "POST")?;
            self.task = Task::Asked(endpoint);
            ctx.set_path(&format!("{prefix}/{rest}"))?;
            ctx.set("content-type", "application/json")?;
            return Ok(RequestPlan::Whole);
        }
        if rest == tokens::PATH {
            is_method(ctx, "POST")?;
            let counter = vendor.counter();
            if let Some(counter) = counter {
                ctx.set_path(counter.path)?;
                ctx.set("content-type", "application/json")?;
            }
            self.task = Task::Count(counter, 0);
            return Ok(RequestPlan::Whole);
        }
        self.task = match rest.strip_prefix("models/") {
            Some(id) if !id.is_empty() => Task::Model(id.to_owned()),
            None if rest == "models" => Task::Models,
            Some(_) | None => {
                let message = format!("There is nothing at `{path}`.");
                return Err(Fault::not_found("not_found", message));
            }
        };
        is_method(ctx, "GET")?;
        // Also for a single model: not every server has a path for it.
        ctx.set_path(&format!("{prefix}/models"))?;
        Ok(RequestPlan::Skip)
    }

    /// The request body.
    ///
    /// # Errors
    /// 400, which names the parameter; the response, if no server is asked.
    pub fn request_body(
        &mut self,
        ctx: &Context<'_>,
        body: &[u8],
        vendor: &impl Vendor,
    ) -> Result<Option<Vec<u8>>, Stop> {
        let endpoint = match self.task {
            Task::Asked(endpoint) => endpoint,
            Task::Count(None, _) => return Err(tokens::estimate(body)?.into()),
            Task::Count(Some(counter), _) => {
                let (body, estimate) = count(body, counter, vendor)?;
                self.task = Task::Count(Some(counter), estimate);
                return Ok(Some(body));
            }
            Task::Unknown | Task::Text(_) | Task::Embeddings(_) | Task::Models | Task::Model(_) => {
                return Ok(None);
            }
        };
        let settings = vendor.settings();
        let mut body = Body::read(body)?.under(settings.unsupported);
        if let Some(messages) = body.get("messages") {
            media::check(messages, &settings.media)?;
        }
        let model = match (ctx.note_json("model"), body.get("model")) {
            // The name that the client used, even if this upstream has another one.
            (Some(asked), _) => Some(asked),
            (None, raw) => raw.map(|raw| raw.get().to_owned()),
        };
        if endpoint == Endpoint::Embeddings {
            vendor.request(endpoint, &mut body)?;
            body.dropped.tell(ctx)?;
            self.task = Task::Embeddings(model);
            return Ok(Some(body.write()));
        }
        Ok(Some(self.text(ctx, vendor, endpoint, body, model)?))
    }

    /// The request body of a chat or a completion.
    fn text(
        &mut self,
        ctx: &Context<'_>,
        vendor: &impl Vendor,
        endpoint: Endpoint,
        mut body: Body<'_>,
        model: Option<String>,
    ) -> Result<Vec<u8>, Fault> {
        let settings = vendor.settings();
        let wants_stream = body.says("stream", true);
        let options = StreamOptions::take(&mut body)?;
        let hidden = thinking::translate(&mut body, settings.thinking)?;
        let offers_tools = body.has("tools")
            && body
                .get("tool_choice")
                .is_none_or(|raw| raw.get() != "\"none\"");
        let has_functions = body.has("functions");
        let habits = vendor.request(endpoint, &mut body)?;
        body.dropped.tell(ctx)?;
        let streams = (wants_stream || settings.streaming == Streaming::Always)
            && !vendor.is_only_whole(&body);
        if let Some([whole, streamed]) = habits.paths {
            ctx.set_path(if streams { streamed } else { whole })?;
        }
        body.set("stream", if streams { "true" } else { "false" });
        if streams {
            body.set("stream_options", options.with_usage());
        }
        self.task = Task::Text(Box::new(Text {
            endpoint,
            identity: Identity {
                object: match endpoint {
                    Endpoint::Chat => Object::Chat,
                    Endpoint::Completions | Endpoint::Embeddings => Object::Text,
                },
                id: ctx.id(),
                received_ms: ctx.received_ms(),
                model: model.unwrap_or_else(|| "\"\"".to_owned()),
            },
            shown: Shown {
                thoughts: if hidden {
                    &[]
                } else {
                    settings.reasoning_field.names()
                },
                marks: settings.think_tags,
                calls: offers_tools,
                functions: has_functions && !body.has("functions"),
                hidden: settings.hidden,
                habits,
            },
            wants_stream,
            // A client that wants one JSON response gets the usage in it: `aggregate` takes it from the stream.
            wants_usage: options.include_usage || !wants_stream,
            response: Response::Pending,
        }));
        Ok(body.write())
    }

    /// The response head.
    ///
    /// # Errors
    /// 502 if the response cannot be the server's.
    pub fn response_head(&mut self, ctx: &Context<'_>) -> Result<ResponsePlan, Fault> {
        let status = ctx.status();
        self.status = status;
        if (300..400).contains(&status) {
            return Err(failure::of_response(None, status, b""));
        }
        match &mut self.task {
            Task::Unknown | Task::Asked(_) => return Ok(ResponsePlan::Skip),
            Task::Models | Task::Model(_) | Task::Embeddings(_) | Task::Count(..) => {}
            Task::Text(text) if status >= 300 && !text.may_recover(ctx) => {
                text.response = Response::Failed;
            }
            Task::Text(text) => {
                let form = form(ctx)?;
                let habits = &mut text.shown.habits;
                if status >= 300 {
                    habits.translate = habits.recover;
                    self.status = 200;
                    ctx.set_status(200)?;
                }
                if let Some([prompt, completion]) = habits.counters.filter(|_| form == Form::Json) {
                    let number = |name: &str| ctx.get_str(name)?.trim().parse().ok();
                    habits.counted = number(prompt).zip(number(completion));
                }
                if form == Form::Events || text.wants_stream {
                    // One object in place of a stream becomes a stream too.
                    let stream = Stream::new(&text.identity, text.shown.clone(), text.wants_usage);
                    text.response = Response::Stream(Box::new(stream));
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
    /// The server's error, in OpenAI's form.
    pub fn response_body(
        &mut self,
        ctx: &Context<'_>,
        body: &[u8],
        vendor: &impl Vendor,
    ) -> Result<Option<Vec<u8>>, Fault> {
        if self.status >= 300 {
            let endpoint = match &self.task {
                Task::Unknown | Task::Models | Task::Model(_) => None,
                Task::Asked(endpoint) => Some(*endpoint),
                Task::Text(text) => Some(text.endpoint),
                Task::Embeddings(_) => Some(Endpoint::Embeddings),
                Task::Count(..) => Some(Endpoint::Chat),
            };
            let fault = failure::of_response(endpoint, self.status, body);
            if let Task::Count(_, estimate) = self.task
                && failure::is_unknown_path(self.status, &fault)
            {
                ctx.set_status(200)?;
                ctx.set(tokens::ESTIMATE, "true")?;
                return Ok(Some(tokens::document(estimate).into_bytes()));
            }
            return Err(with_retry_after(ctx, fault));
        }
        let length = vendor.context_length(ctx);
        Ok(match &self.task {
            Task::Unknown | Task::Asked(_) | Task::Count(None, _) => None,
            Task::Count(Some(counter), _) => Some(counter.response(body)?),
            Task::Models => Some(models::list(body, length)?),
            Task::Model(id) => Some(models::find(body, id, length)?),
            Task::Embeddings(model) => {
                let (body, usage) = embeddings::named(body, model.as_deref())?;
                if let Some(usage) = usage {
                    ctx.set_note_json("usage", usage)?;
                }
                Some(body)
            }
            Task::Text(text) => {
                let (body, ending) = complete(&text.identity, &text.shown, body)
                    .map_err(|fault| with_retry_after(ctx, fault))?;
                note(ctx, &ending)?;
                Some(body)
            }
        })
    }

    /// Events of the stream.
    ///
    /// # Errors
    /// The server's error in mid-stream, or an invalid event.
    pub fn events(
        &mut self,
        ctx: &Context<'_>,
        batch: &[Event],
    ) -> Result<Option<Vec<Event>>, Fault> {
        let Some(stream) = stream(&mut self.task) else {
            return Ok(None);
        };
        let ended = stream.ending().is_some();
        // One chunk per event, but the first and the last event become several.
        let mut out = Vec::with_capacity(batch.len() + 4);
        for event in batch {
            if let Err(fault) = stream.push(event, &mut out) {
                let fault = with_retry_after(ctx, fault);
                // Events before it in the same batch must not be lost: how events are divided into batches must not matter.
                // So they end the body, and the fault follows at its end.
                if out.is_empty() {
                    return Err(fault);
                }
                ctx.end_body()?;
                self.fault = Some(fault);
                return Ok(Some(out));
            }
        }
        if let Some(ending) = stream.ending().filter(|_| !ended) {
            note(ctx, ending)?;
            if stream.is_cut() {
                ctx.end_body()?;
            }
        }
        Ok(Some(out))
    }

    /// The end of the stream.
    ///
    /// # Errors
    /// The fault that ended it, or 502 `upstream_truncated` if it ended too early.
    pub fn end(&mut self, ctx: &Context<'_>) -> Result<Vec<Event>, Fault> {
        if let Some(fault) = self.fault.take() {
            return Err(fault);
        }
        let mut out = Vec::new();
        if let Some(stream) = stream(&mut self.task).filter(|stream| stream.ending().is_none()) {
            stream.end(&mut out)?;
            if let Some(ending) = stream.ending() {
                note(ctx, ending)?;
            }
        }
        Ok(out)
    }

    /// The end of the attempt. If the stream was cut, by either side, it notes the usage so far.
    pub fn closed(&mut self, ctx: &Context<'_>) {
        let Some(stream) = stream(&mut self.task).filter(|stream| stream.ending().is_none()) else {
            return;
        };
        if let Err(fault) = ctx.set_note_json("usage", &stream.partial_usage()) {
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
        | Task::Count(..)
        | Task::Models
        | Task::Model(_) => None,
    }
}

/// The request body for a server that counts the tokens of a chat, and an estimate of them.
fn count(body: &[u8], counter: Counter, vendor: &impl Vendor) -> Result<(Vec<u8>, u64), Fault> {
    let mut body = Body::read(body)?.under(vendor.settings().unsupported);
    let estimate = tokens::estimated(&body)?;
    if let Some(messages) = body.get("messages") {
        media::check(messages, &vendor.settings().media)?;
    }
    thinking::translate(&mut body, vendor.settings().thinking)?;
    vendor.request(Endpoint::Chat, &mut body)?;
    counter.only(&mut body);
    Ok((body.write(), estimate))
}

/// What stands before the endpoint. A path in the target's address may be a prefix of its own, which the gateway adds.
fn prefix<'s>(settings: &'s Settings, target: &str) -> &'s str {
    let (_, authority) = target.split_once("://").unwrap_or(("", target));
    let has_base = authority.trim_end_matches('/').contains('/');
    if settings.base_is_prefix && has_base {
        return "";
    }
    &settings.prefix
}

/// Whether the client asks with the method that the path has.
///
/// # Errors
/// 405 `method_not_allowed` for any other, with the field `allow`.
pub fn is_method(ctx: &Context<'_>, expected: &str) -> Result<(), Fault> {
    if ctx.method() == expected {
        return Ok(());
    }
    let path = ctx.path();
    let message = format!("`{path}` is asked with {expected}.");
    Err(Fault::new(405, "method_not_allowed", message).field("allow", expected))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Events,
    Json,
}

/// The form of the response. A missing content type is JSON's: the body will show.
fn form(ctx: &Context<'_>) -> Result<Form, Fault> {
    let value = ctx
        .get("content-type")
        .unwrap_or_else(|| b"application/json".into());
    let kind = value
        .split(|&b| b == b';')
        .next()
        .unwrap_or_default()
        .trim_ascii();
    if kind.eq_ignore_ascii_case(b"text/event-stream") {
        Ok(Form::Events)
    } else if kind.eq_ignore_ascii_case(b"application/json") {
        Ok(Form::Json)
    } else {
        Err(failure::nonsense())
    }
}

fn note(ctx: &Context<'_>, ending: &Ending) -> Result<(), Fault> {
    ctx.set_note("finish", ending.finish)?;
    match &ending.usage {
        Some(usage) => ctx.set_note_json("usage", usage),
        None => Ok(()),
    }
}
