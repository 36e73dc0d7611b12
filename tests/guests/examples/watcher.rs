//! A filter that says it never changes a body, and may lie about it. Only such a filter can fail open.

use sluicegate_guests::{Acts, Config};
use sluicegate_plugin::{
    BodyAction, ChunkAction, Context, EndAction, Event, EventsAction, Fault, Filter, HeadAction,
    Manifest,
};

struct Guest;

impl Filter for Guest {
    type Config = Config;
    type State = Acts;

    fn manifest() -> Manifest {
        Manifest::new(
            "guest-watcher",
            "1.2.3",
            "Looks, and does as the request says",
        )
        .config(Config::SCHEMA)
        .transforms(false)
    }

    fn configure(config: Config) -> Result<Self, String> {
        config.obey()?;
        Ok(Self)
    }

    fn request_head(&self, acts: &mut Acts, ctx: &Context<'_>) -> Result<HeadAction, Fault> {
        *acts = Acts::of(ctx);
        acts.perform("request-head")?;
        Ok(acts.plan("request-plan").into())
    }

    fn request_body(
        &self,
        acts: &mut Acts,
        _: &Context<'_>,
        body: Vec<u8>,
    ) -> Result<BodyAction, Fault> {
        Ok(match acts.perform("request-body")? {
            "lie" => BodyAction::Replace(body.to_ascii_uppercase()),
            _ => BodyAction::Pass,
        })
    }

    fn response_head(&self, acts: &mut Acts, _: &Context<'_>) -> Result<HeadAction, Fault> {
        acts.perform("response-head")?;
        Ok(acts.plan("response-plan").into())
    }

    fn response_body(
        &self,
        acts: &mut Acts,
        _: &Context<'_>,
        body: Vec<u8>,
    ) -> Result<BodyAction, Fault> {
        Ok(match acts.perform("response-body")? {
            "lie" => BodyAction::Replace(body.to_ascii_uppercase()),
            _ => BodyAction::Pass,
        })
    }

    fn response_chunk(
        &self,
        acts: &mut Acts,
        _: &Context<'_>,
        bytes: Vec<u8>,
        _: bool,
    ) -> Result<ChunkAction, Fault> {
        Ok(match acts.perform("response-chunk")? {
            "lie" => ChunkAction::Replace(bytes.to_ascii_uppercase()),
            _ => ChunkAction::Pass,
        })
    }

    fn response_events(
        &self,
        acts: &mut Acts,
        _: &Context<'_>,
        batch: Vec<Event>,
    ) -> Result<EventsAction, Fault> {
        Ok(match acts.perform("response-events")? {
            "lie" => EventsAction::Replace(batch),
            _ => EventsAction::Pass,
        })
    }

    fn response_end(&self, acts: &mut Acts, _: &Context<'_>) -> Result<EndAction, Fault> {
        Ok(match acts.perform("response-end")? {
            "lie" => EndAction::Events(vec![Event::data("one more")]),
            _ => EndAction::Pass,
        })
    }
}

sluicegate_plugin::filter!(Guest);
