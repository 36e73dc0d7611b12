//! A filter that does as the request says, and may change bodies.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use sluicegate_guests::{Acts, Config, OVERSIZE, perform, reply};
use sluicegate_plugin::{
    ChunkStage, Context, Event, EventStage, Fault, Manifest, Plugin, RequestPlan, RequestStage,
    ResponsePlan, ResponseStage, Stop,
};

/// Counts the exchanges that this memory has seen.
static EXCHANGES: AtomicU32 = AtomicU32::new(0);

/// Whether each exchange is to fail at its first phase.
static STILLBORN: AtomicBool = AtomicBool::new(false);

struct Guest;

struct State {
    acts: Acts,
    number: u32,
    batches: u32,
    events: u32,
}

impl Default for State {
    fn default() -> Self {
        if STILLBORN.load(Ordering::Relaxed) {
            perform("trap");
        }
        Self {
            acts: Acts::default(),
            number: 0,
            batches: 0,
            events: 0,
        }
    }
}

impl Plugin for Guest {
    type Config = Config;
    type State = State;

    fn manifest() -> Manifest {
        Manifest::new("guest-filter", "1.2.3", "Does as the request says").config(Config::SCHEMA)
    }

    fn configure(config: Config) -> Result<Self, String> {
        config.obey()?;
        STILLBORN.store(config.configure == "stillborn", Ordering::Relaxed);
        Ok(Self)
    }
}

impl RequestStage for Guest {
    fn request_head(&self, state: &mut State, ctx: &Context<'_>) -> Result<RequestPlan, Stop> {
        state.number = EXCHANGES.fetch_add(1, Ordering::Relaxed) + 1;
        state.acts = Acts::of(ctx);
        let act = state.acts.perform("request-head")?;
        if act == "stream" {
            ctx.set_note_json("stream", "true")?;
        }
        match reply(act) {
            Some(reply) => Err(reply.into()),
            None => Ok(state.acts.request_plan()),
        }
    }

    fn request_body(
        &self,
        state: &mut State,
        _: &Context<'_>,
        body: Vec<u8>,
    ) -> Result<Option<Vec<u8>>, Stop> {
        replaced(state.acts.perform("request-body")?, &body)
    }
}

impl ResponseStage for Guest {
    fn response_head(&self, state: &mut State, ctx: &Context<'_>) -> Result<ResponsePlan, Stop> {
        ctx.set("x-exchange", state.number.to_string())?;
        let act = state.acts.perform("response-head")?;
        if let Some(reply) = reply(act) {
            return Err(reply.into());
        }
        if act == "status" {
            ctx.set_status(207)?;
        }
        Ok(state.acts.response_plan())
    }

    fn response_body(
        &self,
        state: &mut State,
        _: &Context<'_>,
        body: Vec<u8>,
    ) -> Result<Option<Vec<u8>>, Stop> {
        replaced(state.acts.perform("response-body")?, &body)
    }
}

impl ChunkStage for Guest {
    fn chunk(
        &self,
        state: &mut State,
        _: &Context<'_>,
        bytes: Vec<u8>,
        last: bool,
    ) -> Result<Option<Vec<u8>>, Fault> {
        Ok(match state.acts.perform("response-chunk")? {
            "upper" => Some(bytes.to_ascii_uppercase()),
            "drop" => Some(Vec::new()),
            "last" if !last => Some(Vec::new()),
            "oversize" => Some(vec![b'x'; OVERSIZE]),
            "sign" if last => Some([&bytes[..], b"[end]"].concat()),
            _ => None,
        })
    }
}

impl EventStage for Guest {
    fn events(
        &self,
        state: &mut State,
        ctx: &Context<'_>,
        batch: Vec<Event>,
    ) -> Result<Option<Vec<Event>>, Fault> {
        state.batches += 1;
        state.events += u32::try_from(batch.len()).unwrap_or(u32::MAX);
        let upper = |event: Event| Event {
            data: event.data.to_ascii_uppercase(),
            ..event
        };
        // What comes after the first batch can be treated in its own way, so that something has gone out before.
        let phase = match (state.batches, state.acts.at("later-events")) {
            (1, _) | (_, "") => "response-events",
            _ => "later-events",
        };
        Ok(match state.acts.perform(phase)? {
            "upper" => Some(batch.into_iter().map(upper).collect()),
            "drop" => Some(Vec::new()),
            "twice" => Some(batch.iter().chain(&batch).cloned().collect()),
            "oversize" => Some(vec![Event::data("x".repeat(OVERSIZE))]),
            "finish" => {
                ctx.end_body()?;
                Some(batch.into_iter().take(1).map(upper).collect())
            }
            "sizes" => Some(vec![Event::data(batch.len().to_string())]),
            _ => None,
        })
    }

    fn end(&self, state: &mut State, ctx: &Context<'_>) -> Result<Vec<Event>, Fault> {
        Ok(match state.acts.perform("response-end")? {
            "events" => vec![Event::data("the end")],
            "two" => vec![Event::data("the"), Event::data("end")],
            "body" => {
                ctx.set("content-type", "application/json")?;
                vec![Event::data(format!("{{\"events\":{}}}", state.events))]
            }
            "oversize" => vec![Event::data("x".repeat(OVERSIZE))],
            _ => Vec::new(),
        })
    }
}

fn replaced(act: &str, body: &[u8]) -> Result<Option<Vec<u8>>, Stop> {
    if let Some(reply) = reply(act) {
        return Err(reply.into());
    }
    Ok(match act {
        "upper" => Some(body.to_ascii_uppercase()),
        "oversize" => Some(vec![b'x'; OVERSIZE]),
        _ => None,
    })
}

sluicegate_plugin::export!(Guest: request, response, chunks, events);
