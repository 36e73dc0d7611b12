//! The phases of an exchange over one filter, by the rules of the gateway.

use super::bench::FilterBench;
use super::outcome::{Outcome, Sent};
use super::request::Request;
use super::response::{Response, encode};
use crate::action::{BodyAction, ChunkAction, EndAction, EventsAction, HeadAction, Plan};
use crate::context::Context;
use crate::context::native::{self, Direction};
use crate::manifest::Phases;
use crate::role::Filter;
use crate::types::{Fault, Framing, Reply};

/// Why an exchange does not go on.
pub(super) enum Stop {
    Reply(Reply),
    Fault(Fault),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(legal_fault(fault))
    }
}

/// One exchange under way.
pub(super) struct Run<'b, F: Filter> {
    bench: &'b FilterBench<F>,
    exchange: native::Exchange,
    state: F::State,
}

impl<'b, F: Filter> Run<'b, F> {
    pub(super) fn begin(bench: &'b FilterBench<F>, request: Request) -> (Self, Vec<u8>) {
        let (exchange, body) = request.begin();
        let run = Self {
            bench,
            exchange,
            state: F::State::default(),
        };
        (run, body)
    }

    pub(super) fn request(&mut self, mut body: Vec<u8>) -> Result<Sent, Stop> {
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
        Ok(Sent::of(&self.exchange, body))
    }

    pub(super) fn response(
        &mut self,
        response: &Response,
        outcome: &mut Outcome,
    ) -> Result<(), Stop> {
        self.exchange.direction.set(Direction::Response);
        self.exchange.status.set(response.status);
        self.exchange
            .response_fields
            .replace(response.fields.clone());
        let mut plan_made = Plan::Skip;
        let notes = |name: &str| self.exchange.note(name);
        if self.bench.manifest.wants_response(notes) {
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

    pub(super) fn ended(self, mut outcome: Outcome) -> Outcome {
        outcome.status = self.exchange.status.get();
        outcome.fields = self.exchange.response_fields.take();
        outcome.notes = self.exchange.notes.take();
        outcome
    }

    pub(super) fn stopped(self, mut outcome: Outcome, stop: Stop) -> Outcome {
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

pub(super) fn legal_reply(reply: Reply) -> Result<Reply, Fault> {
    if (200..=599).contains(&reply.status) {
        return Ok(reply);
    }
    Err(Fault::upstream(
        "plugin_fault",
        format!("a reply of status {}", reply.status),
    ))
}

pub(super) fn legal_fault(fault: Fault) -> Fault {
    if (400..=599).contains(&fault.status) {
        return fault;
    }
    Fault::upstream(
        "plugin_fault",
        format!("a fault of status {}", fault.status),
    )
}

#[cfg(test)]
mod tests;
