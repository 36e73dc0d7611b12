//! The benches: a loaded plugin, and the phases of an exchange over it.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::request::Request;
use super::response::{Response, encode};
use crate::action::{BodyAction, ChunkAction, EndAction, EventsAction, HeadAction, Plan, Verdict};
use crate::context::Context;
use crate::context::native::{self, Direction};
use crate::manifest::{Manifest, Phases};
use crate::role::{Filter, Gate, Observer};
use crate::summary::Summary;
use crate::types::{Event, Fault, Field, Framing, Reply};

/// What went to the model server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// The method.
    pub method: String,
    /// The path.
    pub path: String,
    /// The query, or "".
    pub query: String,
    /// The upstream that a stage chose, if one did.
    pub upstream: Option<String>,
    /// The header fields.
    pub fields: Vec<Field>,
    /// The body.
    pub body: Vec<u8>,
}

impl Sent {
    /// The first field of this name (in lower case) as text.
    pub fn header(&self, name: &str) -> Option<String> {
        header(&self.fields, name)
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// If it is not JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("the request body is JSON")
    }
}

/// What came out of an exchange.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// What went to the model server; `None` where it was not asked.
    pub sent: Option<Sent>,
    /// The status that the client got.
    pub status: u16,
    /// The header fields that the client got.
    pub fields: Vec<Field>,
    /// The events that the client got, where the response was a stream.
    pub events: Vec<Event>,
    /// The body that the client got; of a stream its encoded events.
    pub body: Vec<u8>,
    /// Why the exchange failed. If `events` is not empty, it came in mid-stream.
    pub fault: Option<Fault>,
    /// The label of the reply, where a stage gave one in place of the model server's answer.
    pub reason: Option<String>,
    /// The stage ended the body before the model server did.
    pub finished: bool,
    /// The notes, as JSON text.
    pub notes: BTreeMap<String, String>,
}

impl Outcome {
    /// The first field of this name (in lower case) as text.
    pub fn header(&self, name: &str) -> Option<String> {
        header(&self.fields, name)
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// If it is not JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("the response body is JSON")
    }

    /// The data of the events as text.
    pub fn data(&self) -> Vec<String> {
        let text = |event: &Event| String::from_utf8_lossy(&event.data).into_owned();
        self.events.iter().map(text).collect()
    }

    /// A note as JSON.
    ///
    /// # Panics
    /// If it is not JSON.
    pub fn note(&self, name: &str) -> Option<Value> {
        let json = self.notes.get(name)?;
        Some(serde_json::from_str(json).expect("notes are JSON"))
    }
}

/// What a gate decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GateOutcome {
    /// The decision.
    pub verdict: Result<Verdict, Fault>,
    /// The request as it goes on.
    pub request: Sent,
    /// The notes, as JSON text.
    pub notes: BTreeMap<String, String>,
}

/// A loaded gate.
#[derive(Debug)]
pub struct GateBench<G>(G);

impl<G: Gate> GateBench<G> {
    /// Loads the gate with a configuration.
    ///
    /// # Errors
    /// What the gateway would tell the operator.
    pub fn load(config: impl Into<Value>) -> Result<Self, String> {
        load(&G::manifest(), &config.into(), G::configure).map(Self)
    }

    /// Shows one request to the gate.
    pub fn check(&self, request: Request) -> GateOutcome {
        let (exchange, body) = request.begin();
        let verdict = match self.0.check(&Context::new(&exchange)) {
            Ok(Verdict::Reply(reply)) => legal_reply(reply).map(Verdict::Reply),
            Ok(Verdict::Allow) => Ok(Verdict::Allow),
            Err(fault) => Err(legal_fault(fault)),
        };
        GateOutcome {
            verdict,
            request: sent(&exchange, body),
            notes: exchange.notes.take(),
        }
    }
}

/// A loaded observer.
#[derive(Debug)]
pub struct ObserverBench<O>(O);

impl<O: Observer> ObserverBench<O> {
    /// Loads the observer with a configuration.
    ///
    /// # Errors
    /// What the gateway would tell the operator.
    pub fn load(config: impl Into<Value>) -> Result<Self, String> {
        load(&O::manifest(), &config.into(), O::configure).map(Self)
    }

    /// Shows finished exchanges to the observer, at most 64 at a time.
    pub fn observe(&self, summaries: &[Summary]) {
        for batch in summaries.chunks(64) {
            self.0.observe(batch);
        }
    }
}

/// A loaded filter.
#[derive(Debug)]
pub struct FilterBench<F> {
    rule: F,
    manifest: Manifest,
}

impl<F: Filter> FilterBench<F> {
    /// Loads the filter with a configuration.
    ///
    /// # Errors
    /// What the gateway would tell the operator.
    pub fn load(config: impl Into<Value>) -> Result<Self, String> {
        let manifest = F::manifest();
        let rule = load(&manifest, &config.into(), F::configure)?;
        Ok(Self { rule, manifest })
    }

    /// Runs the request phases only.
    ///
    /// # Errors
    /// The outcome, if the filter failed or answered.
    pub fn send(&self, request: Request) -> Result<Sent, Box<Outcome>> {
        let (mut run, body) = Run::begin(self, request);
        match run.request(body) {
            Ok(sent) => Ok(sent),
            Err(stop) => Err(Box::new(run.stopped(Outcome::default(), stop))),
        }
    }

    /// Runs a whole exchange. If the request phases end it, the response is not looked at.
    pub fn run(&self, request: Request, response: &Response) -> Outcome {
        let (mut run, body) = Run::begin(self, request);
        let mut outcome = Outcome::default();
        match run.request(body) {
            Ok(sent) => outcome.sent = Some(sent),
            Err(stop) => return run.stopped(outcome, stop),
        }
        match run.response(response, &mut outcome) {
            Ok(()) => run.ended(outcome),
            Err(stop) => run.stopped(outcome, stop),
        }
    }
}

/// Why an exchange does not go on.
enum Stop {
    Reply(Reply),
    Fault(Fault),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(legal_fault(fault))
    }
}

/// One exchange under way.
struct Run<'b, F: Filter> {
    bench: &'b FilterBench<F>,
    exchange: native::Exchange,
    state: F::State,
}

impl<'b, F: Filter> Run<'b, F> {
    fn begin(bench: &'b FilterBench<F>, request: Request) -> (Self, Vec<u8>) {
        let (exchange, body) = request.begin();
        let run = Self {
            bench,
            exchange,
            state: F::State::default(),
        };
        (run, body)
    }

    fn request(&mut self, mut body: Vec<u8>) -> Result<Sent, Stop> {
        if self.bench.manifest.takes_part_in(Phases::Request) {
            let rule = &self.bench.rule;
            let ctx = Context::new(&self.exchange);
            match plan(rule.request_head(&mut self.state, &ctx)?)? {
                Plan::Skip => {}
                Plan::Whole => {
                    let action = rule.request_body(&mut self.state, &ctx, body.clone())?;
                    self.apply(action, &mut body)?;
                }
                Plan::Chunks | Plan::Events(_) => {
                    return Err(violation("only `skip` and `whole` are plans for a request"));
                }
            }
        }
        Ok(sent(&self.exchange, body))
    }

    fn response(&mut self, response: &Response, outcome: &mut Outcome) -> Result<(), Stop> {
        self.exchange.direction.set(Direction::Response);
        self.exchange.status.set(response.status);
        self.exchange
            .response_fields
            .replace(response.fields.clone());
        let mut plan_made = Plan::Skip;
        if self.bench.manifest.takes_part_in(Phases::Response) {
            let ctx = Context::new(&self.exchange);
            plan_made = plan(self.bench.rule.response_head(&mut self.state, &ctx)?)?;
        }
        match plan_made {
            Plan::Skip => self.forward(response, outcome),
            Plan::Whole => self.whole(response, outcome),
            Plan::Chunks => self.chunks(response, outcome),
            Plan::Events(framing) => self.events(framing, response, outcome),
        }
    }

    fn forward(&self, response: &Response, outcome: &mut Outcome) -> Result<(), Stop> {
        self.exchange.head_sent.set(true);
        outcome.body = encode(response.framing, &response.events);
        if response.framing != Framing::Document {
            outcome.events.clone_from(&response.events);
        }
        upstream_end(response)
    }

    fn whole(&mut self, response: &Response, outcome: &mut Outcome) -> Result<(), Stop> {
        upstream_end(response)?;
        let mut body = encode(response.framing, &response.events);
        let ctx = Context::new(&self.exchange);
        let action = self
            .bench
            .rule
            .response_body(&mut self.state, &ctx, body.clone())?;
        self.apply(action, &mut body)?;
        outcome.body = body;
        Ok(())
    }

    fn chunks(&mut self, response: &Response, outcome: &mut Outcome) -> Result<(), Stop> {
        self.exchange.head_sent.set(true);
        let mut pieces: Vec<Vec<u8>> = Vec::new();
        for batch in response.in_batches() {
            pieces.push(encode(response.framing, &batch));
        }
        if !response.broken {
            pieces.push(Vec::new());
        }
        let count = pieces.len();
        for (at, piece) in pieces.into_iter().enumerate() {
            let last = !response.broken && at + 1 == count;
            let ctx = Context::new(&self.exchange);
            let state = &mut self.state;
            match self
                .bench
                .rule
                .response_chunk(state, &ctx, piece.clone(), last)?
            {
                ChunkAction::Pass => outcome.body.extend(piece),
                ChunkAction::Replace(bytes) => {
                    self.may_transform()?;
                    outcome.body.extend(bytes);
                }
            }
        }
        upstream_end(response)
    }

    fn events(
        &mut self,
        framing: Framing,
        response: &Response,
        outcome: &mut Outcome,
    ) -> Result<(), Stop> {
        let document = framing == Framing::Document;
        self.exchange.head_sent.set(!document);
        for batch in response.in_batches() {
            let ctx = Context::new(&self.exchange);
            let state = &mut self.state;
            let (events, finish) =
                match self
                    .bench
                    .rule
                    .response_events(state, &ctx, batch.clone())?
                {
                    EventsAction::Pass => (batch, false),
                    EventsAction::Replace(events) => (events, false),
                    EventsAction::Finish(events) => (events, true),
                };
            if document && finish && !events.is_empty() {
                return Err(violation("events in an answer that is one document"));
            }
            if !document {
                outcome.events.extend(events);
            }
            if finish {
                outcome.finished = true;
                break;
            }
        }
        if !outcome.finished {
            upstream_end(response)?;
        }
        let ctx = Context::new(&self.exchange);
        match (
            self.bench.rule.response_end(&mut self.state, &ctx)?,
            document,
        ) {
            (EndAction::Body(body), true) => outcome.body = body,
            (_, true) => return Err(violation("the plan `document` ends with a body")),
            (EndAction::Body(_), false) => return Err(violation("a body at the end of a stream")),
            (EndAction::Events(events), false) => outcome.events.extend(events),
            (EndAction::Pass, false) => {}
        }
        if !document {
            outcome.body = encode(framing, &outcome.events);
        }
        Ok(())
    }

    fn apply(&self, action: BodyAction, body: &mut Vec<u8>) -> Result<(), Stop> {
        match action {
            BodyAction::Pass => Ok(()),
            BodyAction::Replace(bytes) => {
                self.may_transform()?;
                *body = bytes;
                Ok(())
            }
            BodyAction::Reply(reply) => Err(Stop::Reply(legal_reply(reply)?)),
        }
    }

    fn may_transform(&self) -> Result<(), Stop> {
        if self.bench.manifest.changes_bodies() {
            return Ok(());
        }
        Err(violation(
            "the manifest says that the plugin never changes a body",
        ))
    }

    fn ended(self, mut outcome: Outcome) -> Outcome {
        outcome.status = self.exchange.status.get();
        outcome.fields = self.exchange.response_fields.take();
        outcome.notes = self.exchange.notes.take();
        outcome
    }

    fn stopped(self, mut outcome: Outcome, stop: Stop) -> Outcome {
        match stop {
            Stop::Reply(reply) => {
                outcome.status = reply.status;
                outcome.fields = reply.fields;
                outcome.body = reply.body;
                outcome.reason = Some(reply.reason);
            }
            Stop::Fault(fault) if self.exchange.head_sent.get() => {
                outcome.status = self.exchange.status.get();
                outcome.fields = self.exchange.response_fields.take();
                outcome.fault = Some(fault);
            }
            Stop::Fault(fault) => {
                outcome.status = fault.status;
                outcome.fault = Some(fault);
            }
        }
        outcome.notes = self.exchange.notes.take();
        outcome
    }
}

fn load<C: DeserializeOwned, R>(
    manifest: &Manifest,
    config: &Value,
    configure: fn(C) -> Result<R, String>,
) -> Result<R, String> {
    let text = manifest.to_json();
    if serde_json::from_str::<BTreeMap<String, Value>>(&text).is_err() {
        return Err(format!("the manifest is not a JSON object: {text}"));
    }
    if !manifest.accepts_config() && config.as_object().is_none_or(|map| !map.is_empty()) {
        return Err("a plugin without a schema takes no configuration".into());
    }
    // Through text, as in the gateway: configurations may hold raw JSON values.
    let config = serde_json::from_str(&config.to_string()).map_err(|error| error.to_string())?;
    configure(config)
}

fn plan(action: HeadAction) -> Result<Plan, Stop> {
    match action {
        HeadAction::Proceed(plan) => Ok(plan),
        HeadAction::Reply(reply) => Err(Stop::Reply(legal_reply(reply)?)),
    }
}

fn upstream_end(response: &Response) -> Result<(), Stop> {
    if response.broken {
        return Err(Fault::upstream("upstream_broken", "The model server broke off.").into());
    }
    Ok(())
}

fn violation(what: &str) -> Stop {
    Stop::Fault(Fault::upstream("plugin_fault", what))
}

fn legal_reply(reply: Reply) -> Result<Reply, Fault> {
    if (200..=599).contains(&reply.status) {
        return Ok(reply);
    }
    Err(Fault::upstream(
        "plugin_fault",
        format!("a reply of status {}", reply.status),
    ))
}

fn legal_fault(fault: Fault) -> Fault {
    if (400..=599).contains(&fault.status) {
        return fault;
    }
    Fault::upstream(
        "plugin_fault",
        format!("a fault of status {}", fault.status),
    )
}

fn sent(exchange: &native::Exchange, body: Vec<u8>) -> Sent {
    Sent {
        method: exchange.method(),
        path: exchange.path(),
        query: exchange.query(),
        upstream: exchange.upstream.borrow().clone(),
        fields: exchange.request_fields.borrow().clone(),
        body,
    }
}

fn header(fields: &[Field], name: &str) -> Option<String> {
    let field = fields.iter().find(|field| field.name == name)?;
    Some(String::from_utf8_lossy(&field.value).into_owned())
}

#[cfg(test)]
mod tests;
