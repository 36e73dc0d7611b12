//! A filter that says it never changes a body, and may lie about it. Only such a filter can fail open.

use sluicegate_guests::{Acts, Config};
use sluicegate_plugin::{
    ChunkStage, Context, Event, EventStage, Fault, Manifest, Plugin, RequestPlan, RequestStage,
    ResponsePlan, ResponseStage, Stop,
};

struct Guest;

impl Plugin for Guest {
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
}

impl RequestStage for Guest {
    fn request_head(&self, acts: &mut Acts, ctx: &Context<'_>) -> Result<RequestPlan, Stop> {
        *acts = Acts::of(ctx);
        acts.perform("request-head")?;
        Ok(acts.request_plan())
    }

    fn request_body(
        &self,
        acts: &mut Acts,
        _: &Context<'_>,
        body: Vec<u8>,
    ) -> Result<Option<Vec<u8>>, Stop> {
        let lies = acts.perform("request-body")? == "lie";
        Ok(lies.then(|| body.to_ascii_uppercase()))
    }
}

impl ResponseStage for Guest {
    fn response_head(&self, acts: &mut Acts, _: &Context<'_>) -> Result<ResponsePlan, Stop> {
        acts.perform("response-head")?;
        Ok(acts.response_plan())
    }

    fn response_body(
        &self,
        acts: &mut Acts,
        _: &Context<'_>,
        body: Vec<u8>,
    ) -> Result<Option<Vec<u8>>, Stop> {
        let lies = acts.perform("response-body")? == "lie";
        Ok(lies.then(|| body.to_ascii_uppercase()))
    }
}

impl ChunkStage for Guest {
    fn chunk(
        &self,
        acts: &mut Acts,
        _: &Context<'_>,
        bytes: Vec<u8>,
        _: bool,
    ) -> Result<Option<Vec<u8>>, Fault> {
        let lies = acts.perform("response-chunk")? == "lie";
        Ok(lies.then(|| bytes.to_ascii_uppercase()))
    }
}

impl EventStage for Guest {
    fn events(
        &self,
        acts: &mut Acts,
        _: &Context<'_>,
        batch: Vec<Event>,
    ) -> Result<Option<Vec<Event>>, Fault> {
        let lies = acts.perform("response-events")? == "lie";
        Ok(lies.then_some(batch))
    }

    fn end(&self, acts: &mut Acts, _: &Context<'_>) -> Result<Vec<Event>, Fault> {
        Ok(match acts.perform("response-end")? {
            "lie" => vec![Event::data("one more")],
            _ => Vec::new(),
        })
    }
}

sluicegate_plugin::export!(Guest: request, response, chunks, events);
