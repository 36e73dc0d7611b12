//! A filter as a component.

use std::cell::RefCell;
use std::marker::PhantomData;

use super::{Slot, configure};
use crate::action::{BodyAction, ChunkAction, EndAction, EventsAction, HeadAction, Plan};
use crate::bindings::filter::exports::sluicegate::plugin::filter as wit;
use crate::bindings::{filter as world, imports::exchange_context};
use crate::context::Context;
use crate::role::Filter;
use crate::types::{Event, Fault};

/// The component around a filter.
#[derive(Debug)]
pub struct FilterComponent<F>(PhantomData<F>);

/// One exchange: the filter's state between its phases.
#[derive(Debug)]
pub struct Exchange<F: Filter>(RefCell<F::State>);

impl<F: Filter + Slot> world::Guest for FilterComponent<F> {
    fn describe() -> String {
        F::manifest().to_json()
    }

    fn configure(config: String) -> Result<String, String> {
        configure(&config, F::configure)
    }
}

impl<F: Filter + Slot> wit::Guest for FilterComponent<F> {
    type Exchange = Exchange<F>;
}

impl<F: Filter + Slot> wit::GuestExchange for Exchange<F> {
    fn new() -> Self {
        Self(RefCell::default())
    }

    fn request_head(&self, ctx: &exchange_context::Context) -> wit::HeadAction {
        head(F::rule().request_head(&mut self.0.borrow_mut(), &Context::new(ctx)))
    }

    fn request_body(&self, ctx: &exchange_context::Context, body: Vec<u8>) -> wit::BodyAction {
        body_action(F::rule().request_body(&mut self.0.borrow_mut(), &Context::new(ctx), body))
    }

    fn response_head(&self, ctx: &exchange_context::Context) -> wit::HeadAction {
        head(F::rule().response_head(&mut self.0.borrow_mut(), &Context::new(ctx)))
    }

    fn response_body(&self, ctx: &exchange_context::Context, body: Vec<u8>) -> wit::BodyAction {
        body_action(F::rule().response_body(&mut self.0.borrow_mut(), &Context::new(ctx), body))
    }

    fn response_chunk(
        &self,
        ctx: &exchange_context::Context,
        bytes: Vec<u8>,
        last: bool,
    ) -> wit::ChunkAction {
        let state = &mut self.0.borrow_mut();
        match F::rule().response_chunk(state, &Context::new(ctx), bytes, last) {
            Ok(ChunkAction::Pass) => wit::ChunkAction::Pass,
            Ok(ChunkAction::Replace(bytes)) => wit::ChunkAction::Replace(bytes),
            Err(fault) => wit::ChunkAction::Fail(fault),
        }
    }

    fn response_events(
        &self,
        ctx: &exchange_context::Context,
        batch: Vec<Event>,
    ) -> wit::EventsAction {
        match F::rule().response_events(&mut self.0.borrow_mut(), &Context::new(ctx), batch) {
            Ok(EventsAction::Pass) => wit::EventsAction::Pass,
            Ok(EventsAction::Replace(events)) => wit::EventsAction::Replace(events),
            Ok(EventsAction::Finish(events)) => wit::EventsAction::Finish(events),
            Err(fault) => wit::EventsAction::Fail(fault),
        }
    }

    fn response_end(&self, ctx: &exchange_context::Context) -> wit::EndAction {
        match F::rule().response_end(&mut self.0.borrow_mut(), &Context::new(ctx)) {
            Ok(EndAction::Pass) => wit::EndAction::Pass,
            Ok(EndAction::Events(events)) => wit::EndAction::Events(events),
            Ok(EndAction::Body(body)) => wit::EndAction::Body(body),
            Err(fault) => wit::EndAction::Fail(fault),
        }
    }
}

fn head(answer: Result<HeadAction, Fault>) -> wit::HeadAction {
    match answer {
        Ok(HeadAction::Proceed(plan)) => wit::HeadAction::Proceed(match plan {
            Plan::Skip => wit::Plan::Skip,
            Plan::Whole => wit::Plan::Whole,
            Plan::Chunks => wit::Plan::Chunks,
            Plan::Events(framing) => wit::Plan::Events(framing),
        }),
        Ok(HeadAction::Reply(reply)) => wit::HeadAction::Reply(reply),
        Err(fault) => wit::HeadAction::Fail(fault),
    }
}

fn body_action(answer: Result<BodyAction, Fault>) -> wit::BodyAction {
    match answer {
        Ok(BodyAction::Pass) => wit::BodyAction::Pass,
        Ok(BodyAction::Replace(body)) => wit::BodyAction::Replace(body),
        Ok(BodyAction::Reply(reply)) => wit::BodyAction::Reply(reply),
        Err(fault) => wit::BodyAction::Fail(fault),
    }
}
