//! A front that shows what it sees: it wraps every body and every event, and may misbehave as the request says.

use sluicegate_guests::perform;
use sluicegate_plugin::{
    Context, Event, EventStage, Fault, Manifest, NoConfig, Plugin, ResponsePlan, ResponseStage,
    Stop,
};

struct Guest;

impl Plugin for Guest {
    type Config = NoConfig;
    type State = ();

    fn manifest() -> Manifest {
        Manifest::new("guest-front", "1.2.3", "Wraps what it sees").front("guest")
    }

    fn configure(_: NoConfig) -> Result<Self, String> {
        Ok(Self)
    }
}

/// The request field that says how to see bodies (`whole`, `sse`, `document`) or where to trap (`trap-head`, `trap-body`).
const FIELD: &str = "x-front";

fn told(ctx: &Context<'_>) -> String {
    ctx.request_field_str(FIELD).unwrap_or_default()
}

/// What it makes of a text, with the status that it sees beside it.
fn wrapped(ctx: &Context<'_>, text: &str) -> String {
    if told(ctx) == "trap-body" && ctx.status() >= 400 {
        perform("trap");
    }
    format!("{{\"front\":{},\"was\":{text}}}", ctx.status())
}

impl ResponseStage for Guest {
    fn response_head(&self, (): &mut (), ctx: &Context<'_>) -> Result<ResponsePlan, Stop> {
        let streams = ctx
            .get_str("content-type")
            .is_some_and(|kind| kind.starts_with("text/event-stream"));
        Ok(match told(ctx).as_str() {
            "trap-head" => {
                perform("trap");
                ResponsePlan::Skip
            }
            "document" if streams => ResponsePlan::Document,
            "whole" => ResponsePlan::Whole,
            _ if streams => ResponsePlan::Sse,
            _ => ResponsePlan::Whole,
        })
    }

    fn response_body(
        &self,
        (): &mut (),
        ctx: &Context<'_>,
        body: Vec<u8>,
    ) -> Result<Option<Vec<u8>>, Stop> {
        let text = String::from_utf8_lossy(&body);
        Ok(Some(wrapped(ctx, &text).into_bytes()))
    }
}

impl EventStage for Guest {
    fn events(
        &self,
        (): &mut (),
        ctx: &Context<'_>,
        batch: Vec<Event>,
    ) -> Result<Option<Vec<Event>>, Fault> {
        if told(ctx) == "document" {
            return Ok(None);
        }
        let wrap = |event: Event| Event {
            data: wrapped(ctx, &event.data),
            ..event
        };
        Ok(Some(batch.into_iter().map(wrap).collect()))
    }

    fn end(&self, (): &mut (), ctx: &Context<'_>) -> Result<Vec<Event>, Fault> {
        Ok(match told(ctx).as_str() {
            "document" => vec![Event::data(wrapped(ctx, "\"all\""))],
            _ => Vec::new(),
        })
    }
}

sluicegate_plugin::export!(Guest: response, events);
