//! Scripted exchanges, for authors of plugins: one plugin alone, between a request and a response that are already there.
//!
//! The steps are those of [`exchange`](super), over the same stages, framing and rules for heads. There are no sockets, no
//! deadlines and no other attempts. What the gateway adds itself is left out: the model server's `host`, `x-request-id`,
//! `x-forwarded-for`, and the fields that keep a proxy from buffering a stream.

mod arrival;
mod written;

use std::net::Ipv4Addr;
use std::sync::Arc;

use bytes::Bytes;
use hyper::header::CONTENT_TYPE;
use hyper::{Method, Request, Response, Uri};
use sluicegate_contract::{Context, Identity, canonical};

pub use self::arrival::Cut;

use self::arrival::Arrival;
use self::written::Written;
use super::attempt::not_to_repeat;
use super::head;
use crate::pipeline::{self, Chunk, Data, End, FailureReport, Limits, Pipeline, PipelineRun, Stop};
use sluicegate_config as config;
use sluicegate_framing::Framing;
use sluicegate_plugin_host::{ExchangeContext, FIXED_MS, Plugin, TargetInfo};

/// The request id that plugins see.
pub const ID: &str = "req_case";
/// The name of the upstream that plugins see, and the only one that they can choose.
pub const UPSTREAM: &str = "case";

/// What client and model server say.
#[derive(Clone, Debug)]
pub struct Script {
    /// The client's request.
    pub request: Request<Bytes>,
    /// The model server's response; `None` where the request is not to reach it.
    pub response: Option<Response<Bytes>>,
}

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
}

/// Whether a plugin has a phase that a scripted exchange runs: observers see finished exchanges only.
#[must_use]
pub fn can_run(plugin: &Plugin) -> bool {
    plugin.exports().is_stage()
}

/// Runs one exchange, with the response arriving as `cut` says.
pub async fn run(plugin: &Arc<Plugin>, script: &Script, cut: Cut) -> Outcome {
    let (mut exchange, refused) = Scripted::begin(plugin, script.request.clone());
    let asked = match refused {
        Some(stop) => Err(stop),
        None => exchange.ask(script.request.body()).await,
    };
    let related = match (asked, &script.response) {
        (Ok(()), Some(response)) => exchange.relay(response, cut).await,
        (Ok(()), None) => Ok(()),
        (Err(stop), _) => Err(stop),
    };
    if let Err(stop) = related {
        exchange.respond_with(stop).await;
    }
    exchange.close().await;
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
            context: ExchangeContext::new(context),
            stages,
            adapter: None,
            plugin: is_adapter.then(|| plugin.clone()),
            upstream: None,
            written: Written::default(),
            failures: Vec::new(),
        };
        (exchange, refused)
    }

    /// The request phases, and what the model server is asked.
    async fn ask(&mut self, body: &Bytes) -> Result<(), Stop> {
        self.stages.request_heads(&mut self.context).await?;
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
        frozen.map_err(|canonical::Duplicate(name)| pipeline::duplicate_member(name))?;
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
            context: self.context.for_attempt(copy),
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
    async fn relay(&mut self, response: &Response<Bytes>, cut: Cut) -> Result<(), Stop> {
        let mut arrival = Arrival::new(response.body().clone(), cut);
        let first = self.decide(response, &mut arrival).await;
        self.adopt_notes();
        let first = first?;
        let source = self
            .adapter
            .as_ref()
            .and_then(|adapter| adapter.run.batches());
        let opened = self.stages.open(&mut self.context, source).await;
        let mut chunk = match (opened, first) {
            (Err(stop), _) => self.stages.enter(&mut self.context, stop).await,
            (Ok(()), Some(first)) => first,
            (Ok(()), None) => self.next(&mut arrival).await,
        };
        while !self.push(chunk).await {
            chunk = self.next(&mut arrival).await;
        }
        Ok(())
    }

    /// The head of the response; and, if an adapter has to decide, what leaves it first.
    async fn decide(
        &mut self,
        response: &Response<Bytes>,
        arrival: &mut Arrival,
    ) -> Result<Option<Chunk>, Stop> {
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
                let chunk = run.advance(context, arrival.next()).await;
                match chunk.end {
                    End::Open if chunk.data.is_empty() => {}
                    End::Stopped(stopped) if chunk.data.is_empty() => {
                        return Err(not_to_repeat(stopped.stop));
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

    /// The next chunk of the response, through the adapter.
    async fn next(&mut self, arrival: &mut Arrival) -> Chunk {
        loop {
            let mut chunk = arrival.next();
            if let Some(Adapter { run, context, .. }) = &mut self.adapter {
                std::mem::swap(&mut context.notes, &mut self.context.notes);
                chunk = run.advance(context, chunk).await;
                std::mem::swap(&mut context.notes, &mut self.context.notes);
            }
            if !chunk.data.is_empty() || !matches!(chunk.end, End::Open) {
                return chunk;
            }
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

    async fn close(&mut self) {
        let code = self.failures.last().map_or("", |failure| &failure.code);
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

    fn outcome(self) -> Outcome {
        let cut_off = self.written.is_cut_off();
        Outcome {
            upstream: self.upstream,
            client: self.written.into_response(),
            cut_off,
            failures: self.failures,
        }
    }
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
