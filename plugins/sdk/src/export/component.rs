//! A plugin as a component: the exported functions.

use std::marker::PhantomData;
use std::sync::OnceLock;

use crate::bindings::{self, chunks, closing, events, gate, observer, request, response};
use crate::context::Context;
use crate::interface::{
    ChunkStage, Closing, EventStage, Gate, Observer, Plugin, RequestStage, ResponseStage,
};
use crate::plan::{RequestPlan, ResponsePlan};
use crate::summary::Summary;
use crate::types::{Event, Fault, Stop};

/// Where a plugin keeps its rule and, since an instance serves one exchange, its state.
pub trait Exported: Plugin {
    /// The rule, set once by `configure`.
    fn rule() -> &'static OnceLock<Self>;

    /// Calls a function with the state of the exchange, which the first call creates.
    fn with_state<T>(run: impl FnOnce(&mut Self::State) -> T) -> T;
}

/// The component of a plugin.
#[derive(Debug)]
pub struct Component<P>(PhantomData<P>);

fn rule<P: Exported>() -> &'static P {
    P::rule().get().expect("configure comes first")
}

/// Runs a phase.
fn run<P: Exported, T>(phase: impl FnOnce(&P, &mut P::State, &Context<'_>) -> T) -> T {
    P::with_state(|state| phase(rule(), state, &Context::new()))
}

impl<P: Exported> bindings::plugin::Guest for Component<P> {
    fn describe() -> String {
        P::manifest().to_json()
    }

    fn configure(config: String) -> Result<String, String> {
        let config = serde_json::from_str(&config).map_err(|error| error.to_string())?;
        P::rule()
            .set(P::configure(config)?)
            .map_err(|_| "configure was called twice".to_owned())?;
        Ok(String::new())
    }
}

impl<P: Exported + Gate> gate::exports::sluicegate::plugin::gate::Guest for Component<P> {
    fn check() -> Result<(), Stop> {
        run(P::check)
    }
}

impl<P: Exported + RequestStage> request::exports::sluicegate::plugin::request::Guest
    for Component<P>
{
    fn head() -> Result<request::exports::sluicegate::plugin::request::Plan, Stop> {
        use request::exports::sluicegate::plugin::request::Plan;
        run(P::request_head).map(|plan| match plan {
            RequestPlan::Skip => Plan::Skip,
            RequestPlan::Look => Plan::Look,
            RequestPlan::Whole => Plan::Whole,
        })
    }

    fn body(body: Vec<u8>) -> Result<Option<Vec<u8>>, Stop> {
        run(|plugin: &P, state, ctx| plugin.request_body(state, ctx, body))
    }
}

impl<P: Exported + ResponseStage> response::exports::sluicegate::plugin::response::Guest
    for Component<P>
{
    fn head() -> Result<response::exports::sluicegate::plugin::response::Plan, Stop> {
        use response::exports::sluicegate::plugin::response::Plan;
        run(P::response_head).map(|plan| match plan {
            ResponsePlan::Skip => Plan::Skip,
            ResponsePlan::Whole => Plan::Whole,
            ResponsePlan::Chunks => Plan::Chunks,
            ResponsePlan::Sse => Plan::Sse,
            ResponsePlan::Ndjson => Plan::Ndjson,
            ResponsePlan::Document => Plan::Document,
        })
    }

    fn body(body: Vec<u8>) -> Result<Option<Vec<u8>>, Stop> {
        run(|plugin: &P, state, ctx| plugin.response_body(state, ctx, body))
    }
}

impl<P: Exported + ChunkStage> chunks::exports::sluicegate::plugin::chunks::Guest for Component<P> {
    fn chunk(bytes: Vec<u8>, last: bool) -> Result<Option<Vec<u8>>, Fault> {
        run(|plugin: &P, state, ctx| plugin.chunk(state, ctx, bytes, last))
    }
}

impl<P: Exported + EventStage> events::exports::sluicegate::plugin::events::Guest for Component<P> {
    fn batch(events: Vec<Event>) -> Result<Option<Vec<Event>>, Fault> {
        run(|plugin: &P, state, ctx| plugin.events(state, ctx, events))
    }

    fn end() -> Result<Vec<Event>, Fault> {
        run(P::end)
    }
}

impl<P: Exported + Closing> closing::exports::sluicegate::plugin::closing::Guest for Component<P> {
    fn closed(error: String) {
        run(|plugin: &P, state, ctx| plugin.closed(state, ctx, &error));
    }
}

impl<P: Exported + Observer> observer::exports::sluicegate::plugin::observer::Guest
    for Component<P>
{
    fn observe(batch: Vec<observer::exports::sluicegate::plugin::observer::Summary>) {
        let batch: Vec<Summary> = batch.into_iter().map(summary).collect();
        rule::<P>().observe(&batch);
        // The sandbox is dropped as a whole; freeing its parts one by one would cost as much as a log line.
        std::mem::forget(batch);
    }
}

fn summary(from: observer::exports::sluicegate::plugin::observer::Summary) -> Summary {
    Summary {
        id: from.id,
        route: from.route,
        method: from.method,
        path: from.path,
        client: from.client,
        status: from.status,
        error: from.error,
        upstream: from.upstream,
        target: from.target,
        attempts: from.attempts,
        request_bytes: from.request_bytes,
        response_bytes: from.response_bytes,
        events: from.events,
        duration_us: from.duration_us,
        first_byte_us: from.first_byte_us,
        overhead_us: from.overhead_us,
        facts: from.facts,
    }
}
