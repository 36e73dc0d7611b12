//! A stage that leaves its mark wherever it is called: in the head of the request, in the head of the response, and in every
//! content of the response. So a test sees which versions of which stages an exchange went through.
//!
//! The mark is the configured one with the number of the build. That number is in the component as it is, so that a test can
//! make other builds of it.

use std::hint::black_box;

use serde::Deserialize;
use sluicegate_guests::{BUILD, MARKS};
use sluicegate_plugin::{
    Context, Event, EventStage, Fault, Manifest, Plugin, RequestPlan, RequestStage, ResponsePlan,
    ResponseStage, Stop,
};

/// What stands before every content.
const CONTENT: &str = "\"content\":\"";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    mark: String,
}

struct Marker(String);

impl Marker {
    /// This text with the mark at the beginning of every content.
    fn mark(&self, text: &str) -> String {
        text.replace(CONTENT, &format!("{CONTENT}{}", self.0))
    }
}

impl Plugin for Marker {
    type Config = Config;
    type State = ();

    fn manifest() -> Manifest {
        Manifest::new("guest-marker", "1.2.3", "Marks all that it sees").config(
            r#"{"type":"object","required":["mark"],"additionalProperties":false,"properties":{"mark":{"type":"string"}}}"#,
        )
    }

    fn configure(config: Config) -> Result<Self, String> {
        // The compiler must not know it: another build has another number in its place.
        let build = black_box(BUILD).trim_matches(|c: char| !c.is_ascii_digit());
        Ok(Self(format!("{}-{build}.", config.mark)))
    }
}

impl RequestStage for Marker {
    fn request_head(&self, (): &mut (), ctx: &Context<'_>) -> Result<RequestPlan, Stop> {
        let before = ctx.get_str(MARKS).unwrap_or_default();
        ctx.set(MARKS, before + &self.0)?;
        Ok(RequestPlan::Skip)
    }
}

impl ResponseStage for Marker {
    fn response_head(&self, (): &mut (), ctx: &Context<'_>) -> Result<ResponsePlan, Stop> {
        // The stages come in reverse order here: what all of them have written is as in the request.
        let after = ctx.get_str(MARKS).unwrap_or_default();
        ctx.set(MARKS, self.0.clone() + &after)?;
        let kind = ctx.get_str("content-type").unwrap_or_default();
        Ok(if kind.starts_with("text/event-stream") {
            ResponsePlan::Sse
        } else {
            ResponsePlan::Whole
        })
    }

    fn response_body(
        &self,
        (): &mut (),
        _: &Context<'_>,
        body: Vec<u8>,
    ) -> Result<Option<Vec<u8>>, Stop> {
        let text = String::from_utf8_lossy(&body);
        Ok(Some(self.mark(&text).into_bytes()))
    }
}

impl EventStage for Marker {
    fn events(
        &self,
        (): &mut (),
        _: &Context<'_>,
        batch: Vec<Event>,
    ) -> Result<Option<Vec<Event>>, Fault> {
        let mark = |event: Event| Event {
            data: self.mark(&event.data),
            ..event
        };
        Ok(Some(batch.into_iter().map(mark).collect()))
    }
}

sluicegate_plugin::export!(Marker: request, response, events);
