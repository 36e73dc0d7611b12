//! A filter that does as the request says, and may change bodies.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use sluicegate_guests::{Acts, Config, OVERSIZE, perform, reply};
use sluicegate_plugin::{
    BodyAction, ChunkAction, Context, EndAction, Event, EventsAction, Fault, Filter, HeadAction,
    Manifest,
};

/// Counts the exchanges that this memory has seen.
static EXCHANGES: AtomicU32 = AtomicU32::new(0);

struct Guest;

/// Whether each exchange is to fail before its first phase.
static STILLBORN: AtomicBool = AtomicBool::new(false);

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

impl Filter for Guest {
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

    fn request_head(&self, state: &mut State, ctx: &Context<'_>) -> Result<HeadAction, Fault> {
        state.number = EXCHANGES.fetch_add(1, Ordering::Relaxed) + 1;
        state.acts = Acts::of(ctx);
        let act = state.acts.perform("request-head")?;
        if act == "stream" {
            ctx.set_note_json("stream", "true")?;
        }
        Ok(match reply(act) {
            Some(reply) => HeadAction::Reply(reply),
            None => state.acts.plan("request-plan").into(),
        })
    }

    fn request_body(
        &self,
        state: &mut State,
        _: &Context<'_>,
        body: Vec<u8>,
    ) -> Result<BodyAction, Fault> {
        body_action(state.acts.perform("request-body")?, &body)
    }

    fn response_head(&self, state: &mut State, ctx: &Context<'_>) -> Result<HeadAction, Fault> {
        ctx.set("x-exchange", state.number.to_string())?;
        let act = state.acts.perform("response-head")?;
        if let Some(reply) = reply(act) {
            return Ok(HeadAction::Reply(reply));
        }
        if act == "status" {
            ctx.set_status(207)?;
        }
        Ok(state.acts.plan("response-plan").into())
    }

    fn response_body(
        &self,
        state: &mut State,
        _: &Context<'_>,
        body: Vec<u8>,
    ) -> Result<BodyAction, Fault> {
        body_action(state.acts.perform("response-body")?, &body)
    }

    fn response_chunk(
        &self,
        state: &mut State,
        _: &Context<'_>,
        bytes: Vec<u8>,
        last: bool,
    ) -> Result<ChunkAction, Fault> {
        Ok(match state.acts.perform("response-chunk")? {
            "upper" => ChunkAction::Replace(bytes.to_ascii_uppercase()),
            "drop" => ChunkAction::Replace(Vec::new()),
            "oversize" => ChunkAction::Replace(vec![b'x'; OVERSIZE]),
            "sign" if last => ChunkAction::Replace([&bytes[..], b"[end]"].concat()),
            _ => ChunkAction::Pass,
        })
    }

    fn response_events(
        &self,
        state: &mut State,
        _: &Context<'_>,
        batch: Vec<Event>,
    ) -> Result<EventsAction, Fault> {
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
            "upper" => EventsAction::Replace(batch.into_iter().map(upper).collect()),
            "drop" => EventsAction::Replace(Vec::new()),
            "oversize" => EventsAction::Replace(vec![Event::data(vec![b'x'; OVERSIZE])]),
            "finish" => EventsAction::Finish(batch.into_iter().take(1).map(upper).collect()),
            "sizes" => EventsAction::Replace(vec![Event::data(batch.len().to_string())]),
            _ => EventsAction::Pass,
        })
    }

    fn response_end(&self, state: &mut State, ctx: &Context<'_>) -> Result<EndAction, Fault> {
        Ok(match state.acts.perform("response-end")? {
            "events" => EndAction::Events(vec![Event::data("the end")]),
            "body" => {
                ctx.set("content-type", "application/json")?;
                EndAction::Body(format!("{{\"events\":{}}}", state.events).into_bytes())
            }
            "oversize" => EndAction::Body(vec![b'x'; OVERSIZE]),
            _ => EndAction::Pass,
        })
    }
}

fn body_action(act: &str, body: &[u8]) -> Result<BodyAction, Fault> {
    Ok(match (reply(act), act) {
        (Some(reply), _) => BodyAction::Reply(reply),
        (None, "upper") => BodyAction::Replace(body.to_ascii_uppercase()),
        (None, "oversize") => BodyAction::Replace(vec![b'x'; OVERSIZE]),
        (None, _) => BodyAction::Pass,
    })
}

sluicegate_plugin::filter!(Guest);
