//! One exchange through the adapter: which endpoint it is for, and what each phase does.

use sluicegate_plugin::{
    BodyAction, Context, EndAction, Event, EventsAction, Fault, Framing, HeadAction, Plan, Reply,
    log,
};

use crate::config::Settings;
use crate::request::{self, Translated};
use crate::response::{Ending, Identity, Stream, complete};
use crate::{failure, models};

/// Seconds after which a client may try again when Ollama's queue is full; arbitrary.
const RETRY_AFTER: &str = "2";

/// What an exchange carries from phase to phase.
#[derive(Debug, Default)]
pub struct State {
    task: Task,
    /// The status that the model server answered with.
    status: u16,
    /// The fault that ended the stream, on its way out.
    fault: Option<Fault>,
}

#[derive(Debug, Default)]
enum Task {
    /// No request phase has run.
    #[default]
    Unknown,
    /// A chat whose body has not come yet.
    Asked,
    Chat(Box<Chat>),
    Models,
    Model(String),
}

#[derive(Debug)]
struct Chat {
    identity: Identity,
    /// Whether a chunk with the usage is wanted in a stream.
    usage: bool,
    streams: bool,
    answer: Answer,
}

/// How the answer is taken in.
#[derive(Debug)]
enum Answer {
    Pending,
    Failed,
    Whole,
    Stream(Stream),
}

impl State {
    /// The request head: sends the exchange to Ollama's own endpoint.
    ///
    /// # Errors
    /// 404 `not_found` for a path that Ollama's API has no counterpart for.
    pub fn request_head(&mut self, ctx: &Context<'_>) -> Result<HeadAction, Fault> {
        let path = ctx.path();
        let plan = match path.strip_prefix("/v1/") {
            Some("chat/completions") => {
                self.task = Task::Asked;
                ctx.set_path("/api/chat")?;
                ctx.set("content-type", "application/json")?;
                Plan::Whole
            }
            Some("models") => {
                self.task = Task::Models;
                ctx.set_path("/api/tags")?;
                Plan::Skip
            }
            Some(rest) => match rest.strip_prefix("models/").filter(|id| !id.is_empty()) {
                Some(id) => {
                    self.task = Task::Model(id.to_owned());
                    ctx.set_path("/api/tags")?;
                    Plan::Skip
                }
                None => return Err(unknown(&path)),
            },
            None => return Err(unknown(&path)),
        };
        if !ctx.query().is_empty() {
            ctx.set_query("")?;
        }
        Ok(plan.into())
    }

    /// The request body of a chat.
    ///
    /// # Errors
    /// 400 with the parameter at fault.
    pub fn request_body(
        &mut self,
        ctx: &Context<'_>,
        body: &[u8],
        settings: &Settings,
    ) -> Result<BodyAction, Fault> {
        let translated: Translated = request::translate(body, settings)?;
        if !translated.ignored.is_empty() {
            log::debug("unknown request parameters were left out")
                .field("parameters", &translated.ignored)
                .write();
        }
        ctx.set_note_json("model", &translated.model)?;
        ctx.set_note_json("stream", if translated.stream { "true" } else { "false" })?;
        self.task = Task::Chat(Box::new(Chat {
            identity: Identity {
                id: ctx.id(),
                received_ms: ctx.received_ms(),
                model: translated.model,
                reasoning: settings.reasoning_field.name(),
            },
            // A client that wants one JSON gets the usage in it: `aggregate` takes it from the stream.
            usage: translated.include_usage || !translated.stream,
            streams: translated.upstream_stream,
            answer: Answer::Pending,
        }));
        Ok(BodyAction::Replace(translated.body))
    }

    /// The response head.
    ///
    /// # Errors
    /// 502 if the answer cannot be Ollama's.
    pub fn response_head(&mut self, ctx: &Context<'_>) -> Result<HeadAction, Fault> {
        let status = ctx.status();
        self.status = status;
        if (300..400).contains(&status) {
            return Err(failure::of_response(status, b""));
        }
        let good = status < 300;
        match &mut self.task {
            Task::Unknown | Task::Asked => return Ok(Plan::Skip.into()),
            // The answer to HEAD has no body to translate.
            Task::Models | Task::Model(_) if good && ctx.method() == "HEAD" => {
                return Ok(Plan::Skip.into());
            }
            Task::Models | Task::Model(_) => {}
            Task::Chat(chat) if !good => chat.answer = Answer::Failed,
            Task::Chat(chat) => {
                if !is_json(ctx) {
                    return Err(failure::nonsense());
                }
                if chat.streams {
                    chat.answer = Answer::Stream(Stream::new(&chat.identity, chat.usage));
                    ctx.set("content-type", "text/event-stream; charset=utf-8")?;
                    ctx.set("cache-control", "no-cache")?;
                    return Ok(Plan::Events(Framing::Sse).into());
                }
                chat.answer = Answer::Whole;
            }
        }
        ctx.set("content-type", "application/json")?;
        Ok(Plan::Whole.into())
    }

    /// The response body, where it is no stream.
    ///
    /// # Errors
    /// What Ollama says went wrong, in the client's terms.
    pub fn response_body(&mut self, ctx: &Context<'_>, body: &[u8]) -> Result<BodyAction, Fault> {
        if self.status >= 300 {
            return refuse(ctx, failure::of_response(self.status, body));
        }
        let body = match &self.task {
            Task::Models => models::list(body)?,
            Task::Model(id) => models::find(body, id)?,
            Task::Chat(chat) => {
                let (body, ending) = complete(&chat.identity, body)?;
                note(ctx, &ending)?;
                body
            }
            Task::Unknown | Task::Asked => return Ok(BodyAction::Pass),
        };
        Ok(BodyAction::Replace(body))
    }

    /// Lines of the stream.
    ///
    /// # Errors
    /// Ollama's error in mid-stream, or a line that makes no sense.
    pub fn response_events(
        &mut self,
        ctx: &Context<'_>,
        batch: &[Event],
    ) -> Result<EventsAction, Fault> {
        let Some(stream) = stream(&mut self.task) else {
            return Ok(EventsAction::Pass);
        };
        let ended = stream.ending().is_some();
        // One chunk a line, but the first and the last become several.
        let mut out = Vec::with_capacity(batch.len() + 4);
        for line in batch {
            if let Err(fault) = stream.push(&line.data, &mut out) {
                note_partial(ctx, stream)?;
                return Self::broken(&mut self.fault, fault, out);
            }
        }
        match stream.ending() {
            Some(ending) if !ended => note(ctx, &ending)?,
            Some(_) | None => {}
        }
        Ok(EventsAction::Replace(out))
    }

    /// Fails in mid-stream, but not without what came before it in the same batch: how lines fall into batches must not
    /// matter. Such events end the stream, and the fault follows in `response_end`.
    fn broken(
        held: &mut Option<Fault>,
        fault: Fault,
        out: Vec<Event>,
    ) -> Result<EventsAction, Fault> {
        if out.is_empty() {
            return Err(fault);
        }
        *held = Some(fault);
        Ok(EventsAction::Finish(out))
    }

    /// The end of the stream.
    ///
    /// # Errors
    /// The fault that ended it, or 502 `upstream_truncated` if it ended too early.
    pub fn response_end(&mut self, ctx: &Context<'_>) -> Result<EndAction, Fault> {
        if let Some(fault) = self.fault.take() {
            return Err(fault);
        }
        let Some(stream) = stream(&mut self.task) else {
            return Ok(EndAction::Pass);
        };
        if stream.ending().is_some() {
            return Ok(EndAction::Pass);
        }
        note_partial(ctx, stream)?;
        Err(failure::truncated())
    }
}

fn stream(task: &mut Task) -> Option<&mut Stream> {
    match task {
        Task::Chat(chat) => match &mut chat.answer {
            Answer::Stream(stream) => Some(stream),
            Answer::Pending | Answer::Failed | Answer::Whole => None,
        },
        Task::Unknown | Task::Asked | Task::Models | Task::Model(_) => None,
    }
}

fn unknown(path: &str) -> Fault {
    Fault::not_found(
        "not_found",
        format!("There is nothing at `{path}` for a model of Ollama's."),
    )
}

/// Whether the answer is framed as Ollama frames its answers. A missing content type is let through: the body will tell.
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

/// Fails, with the server's own hint of when to come back if it is only busy.
fn refuse(ctx: &Context<'_>, fault: Fault) -> Result<BodyAction, Fault> {
    let after = ctx.get("retry-after");
    let after = match fault.status {
        429 => after,
        503 => Some(after.unwrap_or_else(|| RETRY_AFTER.into())),
        _ => None,
    };
    match after {
        Some(after) => Ok(BodyAction::Reply(
            Reply::from(&fault).field("retry-after", after),
        )),
        None => Err(fault),
    }
}

fn note(ctx: &Context<'_>, ending: &Ending) -> Result<(), Fault> {
    ctx.set_note("finish", ending.finish)?;
    ctx.set_note_json("usage", &ending.usage())
}

/// Leaves behind what is known of the usage when a stream breaks: Ollama counts only at the end, but a line is about a
/// token.
fn note_partial(ctx: &Context<'_>, stream: &Stream) -> Result<(), Fault> {
    let lines = stream.lines();
    let usage = format!(
        "{{\"prompt_tokens\":0,\"completion_tokens\":{lines},\"total_tokens\":{lines},\"partial\":true}}"
    );
    ctx.set_note_json("usage", &usage)
}
