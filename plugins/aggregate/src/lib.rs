//! The `aggregate` stage: turns a stream into one `chat.completion` or `text_completion`, for a client that did not ask for a
//! stream.
//!
//! It is placed before an adapter, or a model server, that always streams. The note `stream`, which the gateway sets from the
//! client's request, says what the client asked for. If it is not `false`, or the response is not an event stream, the
//! response passes unchanged.
//!
//! While it collects, the response head is held back, so an error in mid-stream still becomes a proper error response.
//!
//! This file only connects it to the gateway; [`collect`] does the work.

use serde::Deserialize;
use sluicegate_plugin::{
    Context, Event, EventStage, Fault, Manifest, Plugin, ResponsePlan, ResponseStage, Stop,
};

pub mod collect;

mod chunk;
mod failure;

use collect::{Collector, Fallback};

/// Half of what a sandbox of the default size can hold: the parts, and the response made of them.
const DEFAULT_MAX_BYTES: usize = 4 * 1024 * 1024;

/// The configuration.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    #[serde(default = "default_max_bytes")]
    max_bytes: usize,
}

fn default_max_bytes() -> usize {
    DEFAULT_MAX_BYTES
}

/// The stage.
#[derive(Debug)]
pub struct Aggregate {
    max_bytes: usize,
}

impl Plugin for Aggregate {
    type Config = Config;
    type State = Collector;

    fn manifest() -> Manifest {
        Manifest::new(
            "aggregate",
            env!("CARGO_PKG_VERSION"),
            "Turns a stream into one JSON response, for clients that did not ask for a stream",
        )
        .config(include_str!("config.schema.json"))
        .response_if("stream", "false")
    }

    fn configure(config: Config) -> Result<Self, String> {
        Ok(Self {
            max_bytes: config.max_bytes,
        })
    }
}

impl ResponseStage for Aggregate {
    fn response_head(&self, _: &mut Collector, ctx: &Context<'_>) -> Result<ResponsePlan, Stop> {
        if ctx.status() >= 300 || !is_event_stream(ctx) {
            return Ok(ResponsePlan::Skip);
        }
        ctx.set("content-type", "application/json")?;
        ctx.remove("cache-control")?;
        Ok(ResponsePlan::Document)
    }
}

impl EventStage for Aggregate {
    fn events(
        &self,
        collector: &mut Collector,
        ctx: &Context<'_>,
        batch: Vec<Event>,
    ) -> Result<Option<Vec<Event>>, Fault> {
        if ctx.status() >= 400 {
            // A failure that the gateway shows is passed on with its status and its header fields.
            return Ok(None);
        }
        for event in &batch {
            collector.push(event, self.max_bytes)?;
        }
        Ok(None)
    }

    fn end(&self, collector: &mut Collector, ctx: &Context<'_>) -> Result<Vec<Event>, Fault> {
        let fallback = || Fallback {
            id: ctx.id(),
            received_ms: ctx.received_ms(),
            model: ctx.note_json("model"),
        };
        let body = std::mem::take(collector).finish(fallback)?;
        Ok(vec![Event::data(body)])
    }
}

sluicegate_plugin::export!(Aggregate: response, events);

fn is_event_stream(ctx: &Context<'_>) -> bool {
    let value = ctx.get("content-type").unwrap_or_default();
    let kind = value.split(|&b| b == b';').next().unwrap_or_default();
    kind.trim_ascii().eq_ignore_ascii_case(b"text/event-stream")
}
