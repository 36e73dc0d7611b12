//! Runs one exchange with one plugin, by the rules of the gateway: the request phases and the end. The response is in
//! [`response`].

use std::mem;

use bytes::Bytes;
use http::StatusCode;
use sluicegate_contract::canonical::{self, Duplicate};
use sluicegate_contract::{
    Context as Rules, Phase, Violation, check_fault, check_reply, check_request_body, fields,
};

use super::bench::Bench;
use super::capabilities::Reservations;
use super::error;
use super::outcome::{GateOutcome, Outcome, Sent};
use super::request::{Request, UPSTREAM, content_type};
use crate::context::Context;
use crate::context::native::Exchange;
use crate::export::Exported;
use crate::plan::RequestPlan;
use crate::types::{Fault, Field, Stop};

mod response;

/// Why an exchange ends before its response is complete.
pub(super) enum End {
    /// The stage's own response, or a failure.
    Stop(Stop),
    /// The client left.
    Left,
}

impl From<Stop> for End {
    fn from(stop: Stop) -> Self {
        Self::Stop(stop)
    }
}

/// A running exchange; with an adapter, one attempt.
pub(super) struct Run<'b, P: Exported> {
    bench: &'b Bench<P>,
    exchange: Exchange,
    /// What the plugin reserves is given back at the end.
    _reservations: Reservations,
    state: P::State,
    body: Bytes,
    /// The status that was sent to the client.
    sent: Option<u16>,
    /// Whether a phase was called, so that the gateway would have an instance.
    begun: bool,
    /// Whether the plugin broke the contract, so that its instance would be gone.
    dead: bool,
    /// Whether it is a front that has been shown its own fault.
    was_shown_own: bool,
}

impl<'b, P: Exported> Run<'b, P> {
    pub(super) fn begin(bench: &'b Bench<P>, request: Request) -> Self {
        let begun = request.begin();
        let mut context = begun.context;
        // Any other body is seen only by a plugin that asks for it.
        if canonical::is_json(content_type(&context.request), &begun.body) {
            context.body = Some(begun.body.clone());
        }
        Self {
            bench,
            exchange: Exchange {
                context: context.into(),
                asked: bench.manifest.adapter.is_some().then_some(begun.asked),
            },
            _reservations: Reservations::begin(),
            state: P::State::default(),
            body: begun.body,
            sent: None,
            begun: false,
            dead: false,
            was_shown_own: false,
        }
    }

    /// Runs only the gate.
    pub(super) fn check(mut self) -> GateOutcome {
        assert!(
            self.bench.interfaces.gate.is_some(),
            "the plugin does not export `gate`"
        );
        let verdict = self.gate();
        let context = self.exchange.context.get_mut();
        GateOutcome {
            verdict,
            request: Sent::of(context, &self.body),
            response_fields: Field::all_of(&context.response_fields),
            notes: context.notes.take().into_iter().collect(),
        }
    }

    /// Runs the request phases.
    pub(super) fn request(&mut self) -> Result<Sent, End> {
        if self.is_adapter() {
            // The body is the attempt's copy, which may name another model than the client asked for.
            let asked = self.context().note("model").map(str::to_owned);
            self.freeze()?;
            if let Some(model) = asked {
                self.context().notes.set("model", model);
            }
            let attempt = self.context().attempt(1, UPSTREAM.into(), true);
            *self.context() = attempt;
            self.request_phases()?;
        } else {
            self.gate()?;
            self.request_phases()?;
            self.freeze()?;
        }
        let context = self.exchange.context.get_mut();
        Ok(Sent::of(context, &self.body))
    }

    /// A fault of a front, before any of its body is sent, is shown to it once as a response.
    pub(super) fn own_fault(
        &mut self,
        end: Result<(), End>,
        outcome: &mut Outcome,
    ) -> Result<(), End> {
        match end {
            Err(End::Stop(Stop::Fault(fault)))
                if !self.exchange.context.get_mut().head_sent && self.takes_own_fault() =>
            {
                self.response(&error::response(&fault), outcome)?;
                outcome.fault = Some(fault);
                outcome.rendered = true;
                Ok(())
            }
            end => end,
        }
    }

    /// Whether it is a front that can still be shown its own fault.
    fn takes_own_fault(&mut self) -> bool {
        let takes = self.bench.manifest.front.is_some() && !self.dead;
        takes && !mem::replace(&mut self.was_shown_own, true)
    }

    fn gate(&mut self) -> Result<(), Stop> {
        let Some(check) = self.bench.interfaces.gate else {
            return Ok(());
        };
        self.call(Phase::Gate, check)
            .map_err(|stop| self.checked(stop))
    }

    fn request_phases(&mut self) -> Result<(), Stop> {
        let bench = self.bench;
        let Some(request) = &bench.interfaces.request else {
            return Ok(());
        };
        let plan = self
            .call(Phase::RequestHead, request.head)
            .map_err(|stop| self.checked(stop))?;
        let shown = match plan {
            RequestPlan::Skip => return Ok(()),
            RequestPlan::Look => Vec::new(),
            RequestPlan::Whole => self.body.to_vec(),
        };
        self.context().body = Some(self.body.clone());
        let body = self
            .call(Phase::RequestBody, |rule, state, ctx| {
                (request.body)(rule, state, ctx, shown)
            })
            .map_err(|stop| self.checked(stop))?;
        self.hold(check_request_body(
            &bench.manifest,
            plan.into(),
            body.is_some(),
        ))?;
        if let Some(body) = body {
            self.body = body.into();
            self.context().body = Some(self.body.clone());
        }
        Ok(())
    }

    /// Sets what the gateway reads from a complete canonical request.
    fn freeze(&mut self) -> Result<(), Stop> {
        let duplicate = |Duplicate(name)| {
            Fault::bad_request(format!("The member `{name}` is there twice.")).param(name)
        };
        Ok(self.context().freeze().map_err(duplicate)?)
    }

    /// Ends the exchange: sends the head if it was not sent yet, calls `closed`, and collects the notes.
    pub(super) fn close(mut self, mut outcome: Outcome, end: Result<(), End>) -> Outcome {
        let left = matches!(end, Err(End::Left));
        match end {
            Ok(()) => self.send_head(),
            Err(End::Left) => {}
            Err(End::Stop(Stop::Reply(reply))) => {
                self.replace_head(reply.status, &reply.fields);
                outcome.body = reply.body;
                outcome.reason = Some(reply.reason);
            }
            Err(End::Stop(Stop::Fault(fault))) => {
                self.replace_head(fault.status, fault.fields.as_deref().unwrap_or_default());
                outcome.fault = Some(fault);
            }
        }
        if let Some(status) = self.sent {
            outcome.status = status;
            outcome.fields = Field::all_of(&self.context().response);
        }
        let code = outcome.fault.as_ref().map(|fault| fault.code.as_str());
        let code = if left { Some("client_closed") } else { code };
        self.closed(code.unwrap_or_default());
        outcome.notes = self.context().notes.take().into_iter().collect();
        outcome
    }

    fn closed(&mut self, error: &str) {
        let bench = self.bench;
        let Some(closed) = bench.interfaces.closing else {
            return;
        };
        let exports = bench.interfaces.exports();
        // If no phase was called there is no instance, unless `closing` is the only export.
        let first = !(exports.sees_request() || exports.sees_response());
        if self.dead || !(self.begun || first) {
            return;
        }
        self.context().status = self
            .sent
            .and_then(|status| StatusCode::from_u16(status).ok());
        self.call(Phase::Closing, |rule, state, ctx| {
            closed(rule, state, ctx, error);
        });
    }

    /// Sends the response head to the client, if that has not happened yet.
    fn send_head(&mut self) {
        let context = self.exchange.context.get_mut();
        if mem::replace(&mut context.head_sent, true) {
            return;
        }
        let fields = mem::take(&mut context.response_fields);
        context.response.extend(fields);
        self.sent = Some(context.status());
    }

    /// Replaces the response, if its head has not been sent to the client.
    fn replace_head(&mut self, status: u16, fields: &[Field]) {
        let context = self.context();
        if context.head_sent {
            return;
        }
        context.status = StatusCode::from_u16(status).ok();
        let fields = fields.iter().map(|field| (&*field.name, &*field.value));
        context.response = fields::legal(fields);
        self.send_head();
    }

    fn is_adapter(&self) -> bool {
        self.bench.manifest.adapter.is_some()
    }

    fn context(&mut self) -> &mut Rules {
        self.exchange.context.get_mut()
    }

    /// Calls a phase.
    fn call<T>(
        &mut self,
        phase: Phase,
        call: impl FnOnce(&P, &mut P::State, &Context<'_>) -> T,
    ) -> T {
        self.begun = true;
        self.context().phase = phase;
        let ctx = Context::new(&self.exchange);
        call(&self.bench.rule, &mut self.state, &ctx)
    }

    /// Checks the result of a stage.
    fn checked(&mut self, stop: Stop) -> Stop {
        let legal = match &stop {
            Stop::Reply(reply) => check_reply(reply.status),
            Stop::Fault(fault) => check_fault(fault.status),
        };
        self.hold(legal).err().unwrap_or(stop)
    }

    /// Checks a rule of the contract.
    fn hold(&mut self, rule: Result<(), Violation>) -> Result<(), Stop> {
        rule.map_err(|violation| {
            self.dead = true;
            error::violation(violation).into()
        })
    }
}

#[cfg(test)]
mod tests;
