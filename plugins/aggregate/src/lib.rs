//! The `aggregate` filter: makes one `chat.completion` of a stream, for a client that did not ask for a stream.
//!
//! It stands between the client and an adapter that always streams. The adapter says in the note `stream` what the client
//! asked for; where that is not `false`, or the answer is no event stream, the answer goes by untouched.
//!
//! While it collects, the response head is held back: an error in mid-stream is still a proper error answer.
//!
//! This file is glue; [`collect`] does the work.

use serde::Deserialize;
use sluicegate_plugin::{
    Context, EndAction, Event, EventsAction, Fault, Filter, Framing, HeadAction, Manifest, Phases,
    Plan,
};

pub mod collect;

mod chunk;
mod failure;

use collect::{Collector, Fallback};

/// Half of what a sandbox of the default size can hold twice over: the parts, and the answer made of them.
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

/// The filter.
#[derive(Debug)]
pub struct Aggregate {
    max_bytes: usize,
}

impl Filter for Aggregate {
    type Config = Config;
    type State = Collector;

    fn manifest() -> Manifest {
        Manifest::new(
            "aggregate",
            env!("CARGO_PKG_VERSION"),
            "Makes one JSON answer of a stream, for clients that did not ask for a stream",
        )
        .config(include_str!("config.schema.json"))
        .phases(Phases::Response)
        .response_if("stream", "false")
    }

    fn configure(config: Config) -> Result<Self, String> {
        Ok(Self {
            max_bytes: config.max_bytes,
        })
    }

    fn response_head(&self, _: &mut Collector, ctx: &Context<'_>) -> Result<HeadAction, Fault> {
        if ctx.status() >= 300 || !is_event_stream(ctx) {
            return Ok(Plan::Skip.into());
        }
        ctx.set("content-type", "application/json")?;
        ctx.remove("cache-control")?;
        Ok(Plan::Events(Framing::Document).into())
    }

    fn response_events(
        &self,
        collector: &mut Collector,
        _: &Context<'_>,
        batch: Vec<Event>,
    ) -> Result<EventsAction, Fault> {
        for event in &batch {
            collector.push(event, self.max_bytes)?;
        }
        Ok(EventsAction::Replace(Vec::new()))
    }

    fn response_end(
        &self,
        collector: &mut Collector,
        ctx: &Context<'_>,
    ) -> Result<EndAction, Fault> {
        let fallback = || Fallback {
            id: ctx.id(),
            received_ms: ctx.received_ms(),
            model: ctx.note_json("model"),
        };
        std::mem::take(collector)
            .finish(fallback)
            .map(EndAction::Body)
    }
}

sluicegate_plugin::filter!(Aggregate);

fn is_event_stream(ctx: &Context<'_>) -> bool {
    let value = ctx.get("content-type").unwrap_or_default();
    let kind = value.split(|&b| b == b';').next().unwrap_or_default();
    kind.trim_ascii().eq_ignore_ascii_case(b"text/event-stream")
}
