//! {{name}}: an example rule for each phase in which the plugin takes part. Change it to your own.
//!
//! `configure` runs once, when the gateway loads the plugin. Every exchange then gets its own instance, made from the memory
//! as `configure` left it: nothing of one exchange is seen by another.

// <gate|request|response|events>
use serde::Deserialize;
// </gate|request|response|events>
// <request>
use serde_json::Value;
// </request>
// <events>
use sluicegate_plugin::chat::Deltas;
// </events>
// <response>
use sluicegate_plugin::json::{Document, Edits};
use sluicegate_plugin::window::replaced;
// </response>
// <response|events>
use sluicegate_plugin::window::Words;
// </response|events>
use sluicegate_plugin::*;

// <gate|request|response|events>
/// What the operator writes. The gateway checks it by the schema that is made of this type and its comments.
#[derive(Deserialize, JsonSchema)]
#[schemars(crate = "schemars")]
#[serde(deny_unknown_fields)]
struct Config {
    // <gate>
    /// The header field that every request must have.
    #[schemars(length(min = 1))]
    header: String,
    // </gate>
    // <request>
    /// The model that every request asks for.
    #[schemars(length(min = 1))]
    model: String,
    // </request>
    // <response|events>
    /// The word that clients do not see.
    #[schemars(length(min = 1))]
    word: String,
    /// What they see in its place.
    by: String,
    // </response|events>
}

// </gate|request|response|events>
struct Filter {
    // <gate>
    header: String,
    // </gate>
    // <request>
    model: String,
    // </request>
    // <response|events>
    words: Words,
    // </response|events>
}

// <chunks|events>
/// What is kept from phase to phase of one exchange.
#[derive(Default)]
struct Exchange {
    // <chunks>
    /// Bytes of the body so far.
    bytes: u64,
    // </chunks>
    // <events>
    /// The texts of the stream: their ends are held back as long as a word may have begun there.
    deltas: Deltas,
    // </events>
}

// </chunks|events>
impl Plugin for Filter {
    // <gate|request|response|events>
    type Config = Config;
    // </gate|request|response|events>
    // <!gate|request|response|events>
    type Config = NoConfig;
    // </!gate|request|response|events>
    // <chunks|events>
    type State = Exchange;
    // </chunks|events>
    // <!chunks|events>
    type State = ();
    // </!chunks|events>

    fn manifest() -> Manifest {
        Manifest::new("{{name}}", env!("CARGO_PKG_VERSION"), "An example")
        // <gate|request|response|events>
            .schema::<Config>()
        // </gate|request|response|events>
    }

    // <gate|request|response|events>
    fn configure(config: Config) -> Result<Self, String> {
        Ok(Self {
            // <gate>
            header: config.header,
            // </gate>
            // <request>
            model: config.model,
            // </request>
            // <response|events>
            words: Words::new([config.word], config.by)?,
            // </response|events>
        })
    }
    // </gate|request|response|events>
    // <!gate|request|response|events>
    fn configure(_: NoConfig) -> Result<Self, String> {
        Ok(Self {})
    }
    // </!gate|request|response|events>
}

// <gate>
impl Gate for Filter {
    /// Refuses requests without the header field, before anything of their body is read.
    fn check(&self, _: &mut Self::State, ctx: &Context<'_>) -> Result<(), Stop> {
        let name = &self.header;
        if ctx.get(name).is_none() {
            let message = format!("send the header field {name}");
            return Err(Fault::new(401, "missing_header", message).into());
        }
        Ok(())
    }
}

// </gate>
// <request>
impl RequestStage for Filter {
    /// Asks for the whole body.
    fn request_head(&self, _: &mut Self::State, _: &Context<'_>) -> Result<RequestPlan, Stop> {
        Ok(RequestPlan::Whole)
    }

    /// Sets the model. `None` leaves a body as it is.
    fn request_body(
        &self,
        _: &mut Self::State,
        _: &Context<'_>,
        body: Vec<u8>,
    ) -> Result<Option<Vec<u8>>, Stop> {
        let Ok(mut request) = serde_json::from_slice::<Value>(&body) else {
            return Ok(None);
        };
        let Some(model) = request.get_mut("model") else {
            return Ok(None);
        };
        *model = self.model.clone().into();
        Ok(Some(request.to_string().into_bytes()))
    }
}

// </request>
// <response>
impl ResponseStage for Filter {
    /// Says how the body is to be seen, by its form. Errors come here, too: look at `ctx.status()` to tell them apart.
    fn response_head(&self, _: &mut Self::State, ctx: &Context<'_>) -> Result<ResponsePlan, Stop> {
        ctx.set("x-plugin", "{{name}}")?;
        let form = ctx.get_str("content-type").unwrap_or_default();
        Ok(if form.starts_with("application/json") {
            ResponsePlan::Whole
            // <events>
        } else if form.starts_with("text/event-stream") {
            ResponsePlan::Sse
            // </events>
        } else {
            // <chunks>
            ResponsePlan::Chunks
            // </chunks>
            // <!chunks>
            ResponsePlan::Skip
            // </!chunks>
        })
    }

    /// Replaces the word in a whole response.
    fn response_body(
        &self,
        _: &mut Self::State,
        _: &Context<'_>,
        body: Vec<u8>,
    ) -> Result<Option<Vec<u8>>, Stop> {
        let Some(document) = std::str::from_utf8(&body).ok().and_then(Document::read) else {
            return Ok(None);
        };
        let mut edits = Edits::default();
        for value in document.values() {
            let is_content = document.name(value).as_deref() == Some("content");
            let text = is_content.then(|| document.text(value)).flatten();
            if let Some(new) = text.and_then(|text| replaced(&self.words, &text)) {
                edits.text(value.span(), &new);
            }
        }
        // All that is not edited stays as it is written.
        Ok(edits.apply(document.source()).map(String::into_bytes))
    }
}

// </response>
// <chunks>
impl ChunkStage for Filter {
    /// Counts the bytes of other responses as they arrive, and says how many there were.
    fn chunk(
        &self,
        exchange: &mut Exchange,
        ctx: &Context<'_>,
        bytes: Vec<u8>,
        last: bool,
    ) -> Result<Option<Vec<u8>>, Fault> {
        exchange.bytes += bytes.len() as u64;
        if last {
            ctx.set_note("bytes", &exchange.bytes)?;
        }
        Ok(None)
    }
}

// </chunks>
// <events>
impl EventStage for Filter {
    /// Replaces the word in the texts of a stream, also where the model sends it in two events.
    fn events(
        &self,
        exchange: &mut Exchange,
        _: &Context<'_>,
        batch: Vec<Event>,
    ) -> Result<Option<Vec<Event>>, Fault> {
        exchange.deltas.rewrite(batch, &self.words)
    }

    /// The stream is over: what is still held back.
    fn end(&self, exchange: &mut Exchange, _: &Context<'_>) -> Result<Vec<Event>, Fault> {
        Ok(exchange.deltas.end(&self.words))
    }
}

// </events>
// <closing>
impl Closing for Filter {
    /// The exchange is over, however it ended.
    fn closed(&self, _: &mut Self::State, ctx: &Context<'_>, error: &str) {
        log::info("an exchange is over")
            .field("status", &ctx.status())
            .field("failure", error)
            .write();
    }
}

// </closing>
// <observer>
impl Observer for Filter {
    /// Exchanges that are over, off the path of traffic.
    fn observe(&self, batch: &[Summary]) {
        for summary in batch {
            log::info("an exchange was observed")
                .field("id", &summary.id)
                .field("status", &summary.status)
                .field("milliseconds", &(summary.duration_us / 1000))
                .write();
        }
    }
}

// </observer>
sluicegate_plugin::export!(Filter: {{exports-as-words}});

#[cfg(test)]
mod tests {
    use super::*;
    use sluicegate_plugin::testing::Bench;

    #[test]
    fn the_configuration_of_the_case_is_accepted() {
        // <gate|request|response|events>
        let bench = Bench::<Filter>::load(serde_json::json!({
            // <gate>
            "header": "x-team",
            // </gate>
            // <request>
            "model": "small",
            // </request>
            // <response|events>
            "word": "cat",
            "by": "dog",
            // </response|events>
        }));
        // </gate|request|response|events>
        // <!gate|request|response|events>
        let bench = Bench::<Filter>::load(serde_json::json!({}));
        // </!gate|request|response|events>
        assert!(bench.is_ok());
    }
    // <gate>

    #[test]
    fn a_request_without_the_header_is_refused() {
        use sluicegate_plugin::testing::Request;
        let filter = Bench::<Filter>::load(serde_json::json!({
            "header": "x-team",
            // <request>
            "model": "small",
            // </request>
            // <response|events>
            "word": "cat",
            "by": "dog",
            // </response|events>
        }))
        .expect("a configuration");
        let outcome = filter.check(Request::post("/v1/chat/completions"));
        assert!(matches!(outcome.verdict, Err(Stop::Fault(fault)) if fault.status == 401));
    }
    // </gate>
}
