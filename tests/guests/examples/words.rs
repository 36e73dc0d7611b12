//! A filter as an author writes it with the SDK: it replaces words in responses, also where a stream cuts them in two.

use serde::Deserialize;
use sluicegate_plugin::chat::Deltas;
use sluicegate_plugin::json::{Document, Edits};
use sluicegate_plugin::window::{Words, replaced};
use sluicegate_plugin::{
    Context, Event, EventStage, Fault, JsonSchema, Manifest, Plugin, ResponsePlan, ResponseStage,
    Stop, schemars,
};

#[derive(Deserialize, JsonSchema)]
#[schemars(crate = "schemars")]
#[serde(deny_unknown_fields)]
struct Config {
    /// The words that clients must not see.
    #[schemars(inner(length(min = 1)), length(min = 1))]
    words: Vec<String>,
    /// What they see instead. Default: nothing.
    #[serde(default)]
    by: String,
}

struct Filter(Words);

impl Plugin for Filter {
    type Config = Config;
    type State = Deltas;

    fn manifest() -> Manifest {
        let summary = "Replaces words in responses";
        Manifest::new("words", env!("CARGO_PKG_VERSION"), summary).schema::<Config>()
    }

    fn configure(config: Config) -> Result<Self, String> {
        Words::new(config.words, config.by).map(Self)
    }
}

impl ResponseStage for Filter {
    fn response_head(&self, _: &mut Deltas, ctx: &Context<'_>) -> Result<ResponsePlan, Stop> {
        let media = ctx.get_str("content-type").unwrap_or_default();
        Ok(match media.split(';').next() {
            Some("text/event-stream") => ResponsePlan::Sse,
            Some("application/json") => ResponsePlan::Whole,
            Some(_) | None => ResponsePlan::Skip,
        })
    }

    fn response_body(
        &self,
        _: &mut Deltas,
        _: &Context<'_>,
        body: Vec<u8>,
    ) -> Result<Option<Vec<u8>>, Stop> {
        let text = String::from_utf8_lossy(&body);
        let Some(document) = Document::read(&text) else {
            return Ok(None);
        };
        let mut edits = Edits::default();
        for value in document.values() {
            let is_text = document.name(value).as_deref() == Some("content");
            let text = is_text.then(|| document.text(value)).flatten();
            if let Some(new) = text.and_then(|text| replaced(&self.0, &text)) {
                edits.text(value.span(), &new);
            }
        }
        Ok(edits.apply(document.source()).map(String::into_bytes))
    }
}

impl EventStage for Filter {
    fn events(
        &self,
        deltas: &mut Deltas,
        _: &Context<'_>,
        batch: Vec<Event>,
    ) -> Result<Option<Vec<Event>>, Fault> {
        deltas.rewrite(batch, &self.0)
    }

    fn end(&self, deltas: &mut Deltas, _: &Context<'_>) -> Result<Vec<Event>, Fault> {
        Ok(deltas.end(&self.0))
    }
}

sluicegate_plugin::export!(Filter: response, events);
