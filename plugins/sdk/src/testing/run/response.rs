//! Runs the response with one plugin: its head, and its body by each plan.

use http::StatusCode;
use http::header::{self, HeaderValue};
use sluicegate_contract::fields::strip_hop_by_hop;
use sluicegate_contract::{
    Framing, Phase, ResponsePlan, check_batch, check_end, check_replacement, check_response_plan,
};

use super::{End, Run};
use crate::export::Exported;
use crate::testing::error;
use crate::testing::outcome::Outcome;
use crate::testing::request::content_type;
use crate::testing::response::{Ending, Record, Response, encode_event, header_map};
use crate::types::{Event, Fault, Stop};

impl<P: Exported> Run<'_, P> {
    /// The response phases.
    pub(in crate::testing) fn response(
        &mut self,
        response: &Response,
        outcome: &mut Outcome,
    ) -> Result<(), End> {
        let context = self.context();
        context.status = StatusCode::from_u16(response.status).ok();
        context.response = header_map(&response.fields);
        strip_hop_by_hop(&mut context.response);
        match self.response_head()? {
            ResponsePlan::Skip => self.forward(response, outcome),
            ResponsePlan::Whole => self.whole(response, outcome),
            ResponsePlan::Chunks => self.chunks(response, outcome),
            ResponsePlan::Sse => self.events(Framing::Sse, response, outcome),
            ResponsePlan::Ndjson => self.events(Framing::Ndjson, response, outcome),
            ResponsePlan::Document => self.events(Framing::Document, response, outcome),
        }
    }

    fn response_head(&mut self) -> Result<ResponsePlan, Stop> {
        let bench = self.bench;
        let incoming = self.framing();
        let context = self.exchange.context.get_mut();
        if !bench.manifest.wants_response(|name| context.note(name)) {
            return Ok(ResponsePlan::Skip);
        }
        let Some(response) = &bench.interfaces.response else {
            return Ok(match incoming {
                Framing::Sse if bench.interfaces.events.is_some() => ResponsePlan::Sse,
                Framing::Ndjson if bench.interfaces.events.is_some() => ResponsePlan::Ndjson,
                Framing::Sse | Framing::Ndjson | Framing::Document => ResponsePlan::Skip,
            });
        };
        let plan = self
            .call(Phase::ResponseHead, response.head)
            .map_err(|stop| self.checked(stop))?
            .into();
        let exports = bench.interfaces.exports();
        self.hold(check_response_plan(
            &bench.manifest,
            exports,
            plan,
            incoming,
        ))?;
        // The stage may have set it itself.
        if let Some(out) = plan.events()
            && self.framing() != out
        {
            let value = out.content_type().unwrap_or("application/json");
            let value = HeaderValue::from_static(value);
            self.context().response.insert(header::CONTENT_TYPE, value);
        }
        Ok(plan)
    }

    fn forward(&mut self, response: &Response, outcome: &mut Outcome) -> Result<(), End> {
        self.send_head();
        outcome.body = response.bytes();
        if response.framing != Framing::Document {
            outcome.events = response.records.iter().map(Record::event).collect();
        }
        match response.ending {
            Ending::Complete => Ok(()),
            Ending::Broken => Err(failed(error::broken())),
            Ending::Left => Err(End::Left),
        }
    }

    fn whole(&mut self, response: &Response, outcome: &mut Outcome) -> Result<(), End> {
        let failure = match response.ending {
            Ending::Complete => None,
            Ending::Broken if self.is_adapter() => return Err(failed(error::broken())),
            Ending::Broken => Some(error::broken()),
            Ending::Left => return Err(End::Left),
        };
        let body = match &failure {
            None => response.bytes(),
            Some(failure) => {
                self.set_status(failure);
                let json = HeaderValue::from_static("application/json");
                self.context().response.insert(header::CONTENT_TYPE, json);
                error::to_json(failure).into_bytes()
            }
        };
        let bench = self.bench;
        let phases = bench.interfaces.response.as_ref();
        let phases = phases.expect("the plan came from `response`");
        let shown = body.clone();
        let replaced = self
            .call(Phase::ResponseBody, |rule, state, ctx| {
                (phases.body)(rule, state, ctx, shown)
            })
            .map_err(|stop| self.checked(stop))?;
        self.hold(check_replacement(&bench.manifest, replaced.is_some()))?;
        outcome.body = match (replaced, failure) {
            (None, Some(failure)) => {
                self.was_shown_own = true;
                return Err(failed(failure));
            }
            (None, None) => body,
            (Some(bytes), failure) => {
                outcome.rendered = failure.is_some();
                outcome.fault = failure;
                bytes
            }
        };
        Ok(())
    }

    fn chunks(&mut self, response: &Response, outcome: &mut Outcome) -> Result<(), End> {
        if !self.is_adapter() {
            self.send_head();
        }
        for batch in response.in_batches() {
            let mut chunk = Vec::new();
            for record in batch {
                record.encode(response.framing, &mut chunk);
            }
            let replaced = match self.chunk(chunk.clone(), false) {
                Ok(replaced) => replaced,
                Err(stop) => return Err(self.chunk_stopped(stop, outcome)),
            };
            self.send_head();
            outcome.body.extend(replaced.unwrap_or(chunk));
        }
        match response.ending {
            Ending::Complete => match self.chunk(Vec::new(), true) {
                Ok(last) => {
                    outcome.body.extend(last.unwrap_or_default());
                    Ok(())
                }
                Err(stop) => Err(self.chunk_stopped(stop, outcome)),
            },
            Ending::Left => Err(End::Left),
            Ending::Broken if self.is_adapter() => Err(failed(error::broken())),
            Ending::Broken => Err(self.chunk_failed(error::broken(), outcome)),
        }
    }

    fn chunk_stopped(&mut self, stop: Stop, outcome: &mut Outcome) -> End {
        match stop {
            Stop::Fault(fault) if self.takes_own_fault() => self.chunk_failed(fault, outcome),
            stop => stop.into(),
        }
    }

    /// Shows a failure in mid-stream as the last chunk.
    fn chunk_failed(&mut self, failure: Fault, outcome: &mut Outcome) -> End {
        self.set_status(&failure);
        // A body that is not a stream has no place for an error.
        let mut shown = Vec::new();
        let framing = self.framing();
        if framing != Framing::Document {
            encode_event(framing, &error_event(&failure), &mut shown);
        }
        match self.chunk(shown, true) {
            Ok(Some(bytes)) => {
                outcome.body.extend(bytes);
                outcome.rendered = true;
            }
            Ok(None) => {}
            Err(stop) => return stop.into(),
        }
        failed(failure)
    }

    fn chunk(&mut self, bytes: Vec<u8>, last: bool) -> Result<Option<Vec<u8>>, Stop> {
        let bench = self.bench;
        let chunk = bench.interfaces.chunks.expect("the plan was checked");
        let replaced = self
            .call(Phase::Chunk, |rule, state, ctx| {
                chunk(rule, state, ctx, bytes, last)
            })
            .map_err(|fault| self.checked(fault.into()))?;
        self.hold(check_replacement(&bench.manifest, replaced.is_some()))?;
        Ok(replaced)
    }

    fn events(
        &mut self,
        out: Framing,
        response: &Response,
        outcome: &mut Outcome,
    ) -> Result<(), End> {
        let document = out == Framing::Document;
        // An attempt is decided by the first event that leaves its adapter.
        if !document && !self.is_adapter() {
            self.send_head();
        }
        for batch in response.in_batches() {
            let events = batch.iter().map(Record::event).collect();
            match self.batch(out, events) {
                Err(stop) => return Err(self.stopped(out, stop, outcome)),
                Ok(Some(events)) => self.give(out, events, outcome),
                Ok(None) if document => {}
                Ok(None) => {
                    self.send_head();
                    for record in batch {
                        record.encode(out, &mut outcome.body);
                        outcome.events.push(record.event());
                    }
                }
            }
            if self.context().take_end_body() {
                outcome.finished = true;
                break;
            }
        }
        match response.ending {
            Ending::Left if !outcome.finished => return Err(End::Left),
            Ending::Broken if !outcome.finished => {
                let failure = error::broken();
                return Err(match self.is_adapter() {
                    true => failed(failure),
                    false => self.failed(out, failure, outcome),
                });
            }
            Ending::Complete | Ending::Broken | Ending::Left => {}
        }
        self.end(out, outcome)
    }

    fn batch(&mut self, out: Framing, events: Vec<Event>) -> Result<Option<Vec<Event>>, Stop> {
        let bench = self.bench;
        let phases = bench.interfaces.events.as_ref();
        let phases = phases.expect("the plan was checked");
        let replaced = self
            .call(Phase::Events, |rule, state, ctx| {
                (phases.batch)(rule, state, ctx, events)
            })
            .map_err(|fault| self.checked(fault.into()))?;
        let count = replaced.as_ref().map(Vec::len);
        self.hold(check_batch(&bench.manifest, out, count))?;
        Ok(replaced)
    }

    /// Handles the plugin's own fault in mid-stream. With the plan `document` it is shown as a response.
    fn stopped(&mut self, out: Framing, stop: Stop, outcome: &mut Outcome) -> End {
        match stop {
            Stop::Fault(fault) if out != Framing::Document && self.takes_own_fault() => {
                self.failed(out, fault, outcome)
            }
            stop => stop.into(),
        }
    }

    /// Shows a failure in mid-stream: as a batch of its own, without `end`.
    fn failed(&mut self, out: Framing, failure: Fault, outcome: &mut Outcome) -> End {
        self.set_status(&failure);
        match self.batch(out, vec![error_event(&failure)]) {
            Err(stop) => return stop.into(),
            Ok(Some(events)) if out != Framing::Document => {
                self.give(out, events, outcome);
                outcome.rendered = true;
            }
            Ok(Some(_) | None) => {}
        }
        failed(failure)
    }

    fn end(&mut self, out: Framing, outcome: &mut Outcome) -> Result<(), End> {
        let bench = self.bench;
        let phases = bench.interfaces.events.as_ref();
        let phases = phases.expect("the plan was checked");
        let mut events = match self.call(Phase::End, phases.end) {
            Ok(events) => events,
            Err(fault) => {
                let stop = self.checked(fault.into());
                return Err(self.stopped(out, stop, outcome));
            }
        };
        self.hold(check_end(&bench.manifest, out, events.len()))?;
        if out != Framing::Document {
            self.give(out, events, outcome);
        } else if let Some(body) = events.pop() {
            outcome.body = body.data.into_bytes();
        }
        Ok(())
    }

    /// Sends events to the client.
    fn give(&mut self, out: Framing, events: Vec<Event>, outcome: &mut Outcome) {
        if events.is_empty() {
            return;
        }
        self.send_head();
        for event in &events {
            encode_event(out, event, &mut outcome.body);
        }
        outcome.events.extend(events);
    }

    /// The framing of the response, by its content type.
    fn framing(&mut self) -> Framing {
        Framing::of_content_type(content_type(&self.context().response))
    }

    /// Sets the status of a failure for the call in which it is shown.
    fn set_status(&mut self, failure: &Fault) {
        self.context().status = StatusCode::from_u16(failure.status).ok();
    }
}

fn failed(failure: Fault) -> End {
    End::Stop(failure.into())
}

fn error_event(failure: &Fault) -> Event {
    Event::data(error::to_json(failure))
}
