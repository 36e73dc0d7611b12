//! {{name}}: an example rule for each phase in which the plugin takes part. Change it to your own.
//!
//! `configure` runs once, when the gateway loads the plugin. Every exchange then gets its own instance, made from the memory
//! as `configure` left it: nothing of one exchange is seen by another.

// <gate|request|response|events>
use serde::Deserialize;
// </gate|request|response|events>
// <request|response|events>
use serde_json::Value;
// </request|response|events>
use sluicegate_plugin::*;

// <gate|request|response|events>
/// What the operator writes; the schema in the manifest describes it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    // <gate>
    /// The header field that every request must have.
    header: String,
    // </gate>
    // <request>
    /// The model that every request asks for.
    model: String,
    // </request>
    // <response|events>
    /// The word that clients do not see.
    word: String,
    /// What they see in its place.
    by: String,
    // </response|events>
}

struct Filter(Config);
// </gate|request|response|events>
// <!gate|request|response|events>
struct Filter;
// </!gate|request|response|events>

impl Plugin for Filter {
    // <gate|request|response|events>
    type Config = Config;
    // </gate|request|response|events>
    // <!gate|request|response|events>
    type Config = NoConfig;
    // </!gate|request|response|events>
    /// What is kept from phase to phase of one exchange.
    // <chunks>
    type State = u64;
    // </chunks>
    // <!chunks>
    type State = ();
    // </!chunks>

    fn manifest() -> Manifest {
        Manifest::new("{{name}}", env!("CARGO_PKG_VERSION"), "An example")
        // <gate|request|response|events>
            .config(include_str!("../config.schema.json"))
        // </gate|request|response|events>
    }

    // <gate|request|response|events>
    fn configure(config: Config) -> Result<Self, String> {
        Ok(Self(config))
    }
    // </gate|request|response|events>
    // <!gate|request|response|events>
    fn configure(_: NoConfig) -> Result<Self, String> {
        Ok(Self)
    }
    // </!gate|request|response|events>
}

// <gate>
impl Gate for Filter {
    /// Refuses requests without the header field, before anything of their body is read.
    fn check(&self, _: &mut Self::State, ctx: &Context<'_>) -> Result<(), Stop> {
        let name = &self.0.header;
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
        *model = self.0.model.clone().into();
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
        let Ok(mut response) = serde_json::from_slice::<Value>(&body) else {
            return Ok(None);
        };
        self.replace(&mut response, "/message/content");
        Ok(Some(response.to_string().into_bytes()))
    }
}

// </response>
// <chunks>
impl ChunkStage for Filter {
    /// Counts the bytes of other responses as they arrive, and says how many there were.
    fn chunk(
        &self,
        seen: &mut u64,
        ctx: &Context<'_>,
        bytes: Vec<u8>,
        last: bool,
    ) -> Result<Option<Vec<u8>>, Fault> {
        *seen += bytes.len() as u64;
        if last {
            ctx.set_note("bytes", seen)?;
        }
        Ok(None)
    }
}

// </chunks>
// <events>
impl EventStage for Filter {
    /// Replaces the word in the events of a stream. A model may send a word in two events: hold the end of a text back if that
    /// matters.
    fn events(
        &self,
        _: &mut Self::State,
        _: &Context<'_>,
        mut batch: Vec<Event>,
    ) -> Result<Option<Vec<Event>>, Fault> {
        for event in &mut batch {
            // `[DONE]` is not JSON.
            if let Ok(mut chunk) = serde_json::from_str::<Value>(&event.data) {
                self.replace(&mut chunk, "/delta/content");
                event.data = chunk.to_string();
            }
        }
        Ok(Some(batch))
    }
}

// </events>
// <response|events>
impl Filter {
    /// Replaces the word in the text at this place of each choice.
    fn replace(&self, document: &mut Value, place: &str) {
        let choices = document.get_mut("choices").and_then(Value::as_array_mut);
        for choice in choices.into_iter().flatten() {
            if let Some(Value::String(text)) = choice.pointer_mut(place) {
                *text = text.replace(&self.0.word, &self.0.by);
            }
        }
    }
}

// </response|events>
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
