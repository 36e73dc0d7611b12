//! Scripted exchanges, for authors of plugins: one plugin alone, between a request and a response that are already there.
//!
//! The steps are those of [`exchange`](super), over the same stages, framing and rules for heads. There are no sockets, no
//! deadlines and no other attempts. What the gateway adds itself is left out: the model server's `host`, `x-request-id`,
//! `x-forwarded-for`, and the fields that keep a proxy from buffering a stream.

mod arrival;
mod script;
mod written;

use std::net::Ipv4Addr;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, Uri};
use sluicegate_contract::{Context, Identity, canonical};

pub use self::arrival::Cut;
pub use self::script::{Cause, Interruption, Point, Script};

use self::arrival::Arrival;
use self::written::Written;
use super::attempt::{not_to_repeat, wrap};
use super::halt::Halt;
use super::head;
use crate::pipeline::observer::CLIENT_CLOSED;
use crate::pipeline::{
    self, Chunk, Data, End, FailureReport, Limits, Pipeline, PipelineRun, Stop, content_framing,
};
use sluicegate_config as config;
use sluicegate_framing::Framing;
use sluicegate_plugin_host::{Called, ExchangeContext, FIXED_MS, Plugin, TargetInfo};

/// The request id that plugins see.
pub const ID: &str = "req_case";
/// The name of the upstream that plugins see, and the only one that they can choose.
pub const UPSTREAM: &str = "case";

/// What came out at both ends.
#[derive(Debug)]
pub struct Outcome {
    /// What the model server is asked; `None` if nothing.
    pub upstream: Option<Request<Bytes>>,
    /// What the client gets; `None` if the model server was asked and the script has no response. A stream that consists of
    /// events is written anew, so that it does not depend on which of them a plugin has looked at.
    pub client: Option<Response<Bytes>>,
    /// Whether the body for the client was cut off, because an error could not be told in it.
    pub cut_off: bool,
    /// The failures, oldest first.
    pub failures: Vec<FailureReport>,
    /// The notes at the end, by name.
    pub notes: Vec<(String, String)>,
    /// The calls of the plugin, in their order.
    pub calls: Vec<Called>,
}

/// Whether a plugin has a phase that a scripted exchange runs: observers see finished exchanges only.
#[must_use]
pub fn can_run(plugin: &Plugin) -> bool {
    plugin.exports().is_stage()
}

/// Runs one exchange, with the response arriving as `cut` says.
pub async fn run(plugin: &Arc<Plugin>, script: &Script, cut: Cut) -> Outcome {
    let (mut exchange, refused) = Scripted::begin(plugin, script.request.clone());
    let ran = match refused {
        Some(stop) => Err(Halt::Stop(stop)),
        None => exchange.run(script, cut).await,
    };
    let gone = matches!(ran, Err(Halt::Gone));
    if let Err(Halt::Stop(stop)) = ran {
        exchange.respond_with(stop).await;
    }
    exchange.close(gone).await;
    exchange.outcome()
}

/// An adapter and its copy of the exchange.
struct Adapter {
    run: PipelineRun,
    context: ExchangeContext,
    /// Whether its notes are those of the exchange.
    decided: bool,
}

struct Scripted {
    context: ExchangeContext,
    stages: PipelineRun,
    /// The plugin, if it is an adapter and the model server is to be asked.
    adapter: Option<Adapter>,
    /// The plugin, until then.
    plugin: Option<Arc<Plugin>>,
    upstream: Option<Request<Bytes>>,
    /// The body so far, if it is to become one event.
    wrapped: Option<BytesMut>,
    written: Written,
    failures: Vec<FailureReport>,
}

impl Scripted {
    /// Also returns the reason if the request is refused before any stage runs.
    fn begin(plugin: &Arc<Plugin>, request: Request<Bytes>) -> (Self, Option<Stop>) {
        let (mut parts, _) = request.into_parts();
        let refused = head::normalize_path(&mut parts.uri).err().map(Stop::from);
        if parts.method == Method::HEAD {
            parts.method = Method::GET;
        }
        let is_adapter = plugin.manifest().adapter.is_some();
        let pipeline = Pipeline {
            stages: if is_adapter {
                Vec::new()
            } else {
                vec![plugin.clone()]
            },
            watching: Vec::new(),
            observers: Vec::new(),
        };
        let mut stages = PipelineRun::new(&pipeline, limits());
        if pipeline.has_front() {
            stages.show_front_alone();
        }
        let identity = Identity {
            id: ID.into(),
            received_ms: FIXED_MS,
            route: parts.uri.path().into(),
            client: Ipv4Addr::LOCALHOST.into(),
        };
        let name: Arc<str> = UPSTREAM.into();
        let context = Context::new(identity, parts, name.clone(), [name].into());
        let exchange = Self {
            context: ExchangeContext::new(context).keeping_calls(),
            stages,
            adapter: None,
            plugin: is_adapter.then(|| plugin.clone()),
            upstream: None,
            wrapped: None,
            written: Written::default(),
            failures: Vec::new(),
        };
        (exchange, refused)
    }

    async fn run(&mut self, script: &Script, cut: Cut) -> Result<(), Halt> {
        interrupted(script, Point::Entrance)?;
        self.ask(script).await?;
        interrupted(script, Point::Response)?;
        if script.early_head {
            self.written.announce(&mut self.context);
        }
        if let Some(response) = &script.response {
            let body = response.body();
            let arrival = match &script.interruption {
                Some(Interruption {
                    at: Point::Behind(at),
                    ..
                }) => Arrival::broken(body, *at, cut),
                Some(_) | None => Arrival::new(body.clone(), cut),
            };
            self.relay(script, response, arrival).await?;
        }
        interrupted(script, Point::End)
    }

    /// The request phases, and what the model server is asked.
    async fn ask(&mut self, script: &Script) -> Result<(), Halt> {
        let body = script.request.body();
        self.stages.request_heads(&mut self.context).await?;
        interrupted(script, Point::RequestBody)?;
        let content_type = self.context.request.get(CONTENT_TYPE);
        let is_json = canonical::is_json(content_type.map(|value| value.as_bytes()), body);
        let is_seen = self.stages.wants_body() || (is_json && !body.is_empty());
        let passed = if is_seen {
            self.stages
                .request_body(&mut self.context, body.clone())
                .await
        } else {
            Ok(body.clone())
        };
        let frozen = self.context.freeze();
        let mut body = passed?;
        frozen
            .map_err(|canonical::Duplicate(name)| Stop::from(pipeline::duplicate_member(name)))?;
        self.stages.release_request();
        if let Some(plugin) = self.plugin.take() {
            body = self.attempt(plugin, body).await?;
        }
        let context = self
            .adapter
            .as_ref()
            .map_or(&self.context, |adapter| &adapter.context);
        self.upstream = Some(to_upstream(context, body));
        Ok(())
    }

    /// The request phases of the adapter.
    async fn attempt(&mut self, plugin: Arc<Plugin>, body: Bytes) -> Result<Bytes, Stop> {
        let copy = self.context.attempt(1, UPSTREAM.into(), true);
        let target = TargetInfo {
            upstream: UPSTREAM.into(),
            target: UPSTREAM.into(),
            info: None,
        };
        let adapter = self.adapter.insert(Adapter {
            run: PipelineRun::adapter(plugin, Arc::new(target), limits()),
            context: self.context.for_attempt(copy).keeping_calls(),
            decided: false,
        });
        let Adapter { run, context, .. } = adapter;
        let asked = match run.request_heads(context).await {
            Ok(()) if run.wants_body() => run.request_body(context, body).await,
            Ok(()) => Ok(body),
            Err(stop) => Err(stop),
        };
        if asked.is_err() {
            self.adopt_notes();
        }
        asked
    }

    /// The response, on its way to the client.
    async fn relay(
        &mut self,
        script: &Script,
        response: &Response<Bytes>,
        mut arrival: Arrival,
    ) -> Result<(), Halt> {
        let first = self.decide(script, response, &mut arrival).await;
        self.adopt_notes();
        let mut first = first?;
        if script.early_head && content_framing(&self.context) != Framing::Sse {
            self.wrapped = Some(BytesMut::new());
            let sse = HeaderValue::from_static("text/event-stream");
            self.context.response.insert(CONTENT_TYPE, sse);
            first = first.map(|first| self.wrap(first));
        }
        let source = match (&self.wrapped, &self.adapter) {
            (Some(_), _) => Some(Framing::Sse),
            (None, Some(adapter)) => adapter.run.batches(),
            (None, None) => None,
        };
        let opened = self.stages.open(&mut self.context, source).await;
        let mut chunk = match (opened, first) {
            (Err(stop), _) => self.stages.enter(&mut self.context, stop).await,
            (Ok(()), Some(first)) => first,
            (Ok(()), None) => self.next(script, &mut arrival).await?,
        };
        while !self.push(chunk).await {
            chunk = self.next(script, &mut arrival).await?;
        }
        Ok(())
    }

    /// The head of the response; and, if an adapter has to decide, what leaves it first.
    async fn decide(
        &mut self,
        script: &Script,
        response: &Response<Bytes>,
        arrival: &mut Arrival,
    ) -> Result<Option<Chunk>, Halt> {
        let (parts, _) = response.clone().into_parts();
        let Some(Adapter { run, context, .. }) = &mut self.adapter else {
            head::from_upstream(&mut self.context, parts);
            return Ok(None);
        };
        head::from_upstream(context, parts);
        run.open(context, None).await.map_err(not_to_repeat)?;
        let mut first = None;
        if run.batches().is_some() || run.holds_head() {
            first = loop {
                let Some(chunk) = arrival.next() else {
                    return Err(broken_off(script));
                };
                let chunk = run.advance(context, chunk).await;
                match chunk.end {
                    End::Open if chunk.data.is_empty() => {}
                    End::Stopped(stopped) if chunk.data.is_empty() => {
                        return Err(not_to_repeat(stopped.stop).into());
                    }
                    End::Open | End::Last | End::Stopped(_) => break Some(chunk),
                }
            };
        }
        self.context.status = context.status;
        self.context.response = context.response.clone();
        context.body = None;
        Ok(first)
    }

    /// The adapter's notes and response fields count from here on.
    fn adopt_notes(&mut self) {
        if let Some(adapter) = &mut self.adapter
            && !adapter.decided
        {
            adapter.decided = true;
            self.context.notes = std::mem::take(&mut adapter.context.notes);
            self.context.response_fields = std::mem::take(&mut adapter.context.response_fields);
        }
    }

    /// The next chunk of the response, through the adapter. A failure of the model server begins outside of that.
    async fn next(&mut self, script: &Script, arrival: &mut Arrival) -> Result<Chunk, Halt> {
        loop {
            let Some(mut chunk) = arrival.next() else {
                return match broken_off(script) {
                    Halt::Stop(stop) => Ok(Chunk::stopped(Data::default(), stop)),
                    Halt::Gone => Err(Halt::Gone),
                };
            };
            if let Some(Adapter { run, context, .. }) = &mut self.adapter {
                std::mem::swap(&mut context.notes, &mut self.context.notes);
                chunk = run.advance(context, chunk).await;
                std::mem::swap(&mut context.notes, &mut self.context.notes);
            }
            let chunk = self.wrap(chunk);
            if !chunk.data.is_empty() || !matches!(chunk.end, End::Open) {
                return Ok(chunk);
            }
        }
    }

    /// Behind the head of a stream, a body that is not one becomes one event.
    fn wrap(&mut self, chunk: Chunk) -> Chunk {
        match &mut self.wrapped {
            Some(wrapped) => wrap(wrapped, chunk, limits().body),
            None => chunk,
        }
    }

    /// Takes a chunk through the stages to the client; true if it was the last.
    async fn push(&mut self, chunk: Chunk) -> bool {
        let output = self.stages.push(&mut self.context, chunk).await;
        self.failures.extend(self.stages.take_failures());
        let whole_events = self.stages.batches().is_some();
        self.written
            .deliver(&mut self.context, output, whole_events)
    }

    /// Responds with what takes the place of the response.
    async fn respond_with(&mut self, stop: Stop) {
        let mut chunk = self.stages.enter(&mut self.context, stop).await;
        while !self.push(chunk).await {
            chunk = Chunk::last(Data::default());
        }
    }

    async fn close(&mut self, gone: bool) {
        // Also if the client left before the adapter's attempt was decided.
        self.adopt_notes();
        let code = match self.failures.last() {
            Some(failure) => &failure.code,
            None if gone => CLIENT_CLOSED,
            None => "",
        };
        let status = self.written.status();
        if let Some(Adapter { run, context, .. }) = &mut self.adapter {
            context.status = status;
            std::mem::swap(&mut context.notes, &mut self.context.notes);
            run.close(context, code).await;
            std::mem::swap(&mut context.notes, &mut self.context.notes);
        }
        self.context.status = status;
        self.stages.close(&mut self.context, code).await;
    }

    fn outcome(mut self) -> Outcome {
        let cut_off = self.written.is_cut_off();
        let mut calls = self.context.take_calls();
        if let Some(adapter) = &mut self.adapter {
            calls.append(&mut adapter.context.take_calls());
        }
        Outcome {
            upstream: self.upstream,
            client: self.written.into_response(),
            cut_off,
            failures: self.failures,
            notes: self.context.take_notes(),
            calls,
        }
    }
}

/// Whether the exchange ends at this point.
fn interrupted(script: &Script, point: Point) -> Result<(), Halt> {
    match &script.interruption {
        Some(Interruption { at, by }) if *at == point => Err(by.halt()),
        Some(_) | None => Ok(()),
    }
}

/// Why there is no more of the body.
fn broken_off(script: &Script) -> Halt {
    let by = script.interruption.as_ref().map(|it| &it.by);
    by.unwrap_or(&Cause::ModelServer).halt()
}

/// The request for the model server, without what the gateway adds.
fn to_upstream(context: &Context, body: Bytes) -> Request<Bytes> {
    let question = if context.query.is_empty() { "" } else { "?" };
    let mut request = Request::new(body);
    *request.method_mut() = context.method.clone();
    // The contract lets nothing else into path and query.
    *request.uri_mut() =
        Uri::try_from(format!("{}{question}{}", context.path, context.query)).unwrap_or_default();
    *request.headers_mut() = head::fields_to_upstream(context);
    request
}

/// The limits of a gateway whose configuration sets none.
fn limits() -> Limits {
    let limits = config::Limits::default();
    Limits {
        body: limits.response_body,
        event: usize::try_from(limits.event).unwrap_or(usize::MAX),
    }
}

/// The data of a chunk as bytes, however it was read.
fn anew(data: Data, framing: Framing) -> Bytes {
    match data {
        Data::Bytes(bytes) => bytes,
        Data::Events { events, .. } => Data::Events { events, raw: None }.into_bytes(framing),
    }
}
