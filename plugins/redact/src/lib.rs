//! The plugin `redact`: hides personal data, keys and words in requests and responses, and can put back in the response what it
//! hid in the request.
//!
//! - What is hidden: [`detect`] has what is built in, [`pattern`] the operator's regular expressions; words are the SDK's. [`rules`]
//!   searches by all of them at once.
//! - Where: [`place`] says which strings of a body are texts, and [`body`] searches them. Texts of a stream are windows of the SDK, so that what a stream cuts
//!   in two is found too.
//! - What stands in its place: a replacement, or a placeholder from the [`vault`] of the exchange.
//!
//! It fails closed: what could have text in it and cannot be read is refused, in both directions.

use serde_json::value::RawValue;
use sluicegate_plugin::chat::Deltas;
use sluicegate_plugin::json::Document;
use sluicegate_plugin::window::replaced;
use sluicegate_plugin::{
    Closing, Context, Event, EventStage, Fault, Manifest, Plugin, RequestPlan, RequestStage,
    ResponsePlan, ResponseStage, Stop,
};

mod body;
mod config;
mod detect;
mod pattern;
mod place;
mod rules;
mod tally;
mod vault;

pub use config::Config;

use rules::{Loose, Pass, Rule, Side};
use tally::Tally;

/// Media that have no text in them which could be searched.
const MEDIA: [&str; 3] = ["audio/", "image/", "video/"];

/// The stage.
#[derive(Debug)]
pub struct Redact(Vec<Rule>);

/// What is known of an exchange.
#[derive(Debug, Default)]
pub struct Exchange {
    tally: Tally,
    deltas: Deltas,
    loose: Loose,
}

impl Plugin for Redact {
    type Config = Config;
    type State = Exchange;

    fn manifest() -> Manifest {
        Manifest::new(
            "redact",
            env!("CARGO_PKG_VERSION"),
            "Hides personal data, keys and words in requests and responses",
        )
        .config(include_str!("config.schema.json"))
        .limits("192MiB", "1s")
    }

    fn configure(config: Config) -> Result<Self, String> {
        config.rules().map(Self)
    }
}

impl Redact {
    fn pass<'a>(&'a self, side: Side, tally: &'a mut Tally) -> Pass<'a> {
        Pass::new(&self.0, side, tally)
    }
}

impl RequestStage for Redact {
    fn request_head(&self, state: &mut Exchange, _: &Context<'_>) -> Result<RequestPlan, Stop> {
        let is_idle = self.pass(Side::Request, &mut state.tally).is_idle();
        Ok(if is_idle {
            RequestPlan::Skip
        } else {
            RequestPlan::Whole
        })
    }

    fn request_body(
        &self,
        state: &mut Exchange,
        _: &Context<'_>,
        body: Vec<u8>,
    ) -> Result<Option<Vec<u8>>, Stop> {
        if body.trim_ascii().is_empty() {
            return Ok(None);
        }
        if self.0.iter().any(|rule| rule.restores) {
            look_at_placeholders(&body, &mut state.tally);
        }
        let mut pass = self.pass(Side::Request, &mut state.tally);
        let text = std::str::from_utf8(&body).map_err(|_| pass.not_json())?;
        let document = Document::read(text).ok_or_else(|| pass.not_json())?;
        Ok(pass.document(&document)?.map(String::into_bytes))
    }
}

/// Placeholders that the request itself has must not get a meaning.
fn look_at_placeholders(body: &[u8], tally: &mut Tally) {
    let Some(document) = std::str::from_utf8(body).ok().and_then(Document::read) else {
        return;
    };
    for value in document.values() {
        for text in [document.name(value), document.text(value)] {
            tally.vault.look_at(&text.unwrap_or_default());
        }
    }
}

impl ResponseStage for Redact {
    fn response_head(&self, state: &mut Exchange, ctx: &Context<'_>) -> Result<ResponsePlan, Stop> {
        if self.pass(Side::Response, &mut state.tally).is_idle() {
            return Ok(ResponsePlan::Skip);
        }
        let media = media(ctx);
        Ok(match media.as_str() {
            "text/event-stream" => ResponsePlan::Sse,
            "application/x-ndjson" => ResponsePlan::Ndjson,
            media if MEDIA.iter().any(|it| media.starts_with(it)) => ResponsePlan::Skip,
            _ => ResponsePlan::Whole,
        })
    }

    fn response_body(
        &self,
        state: &mut Exchange,
        ctx: &Context<'_>,
        body: Vec<u8>,
    ) -> Result<Option<Vec<u8>>, Stop> {
        if body.trim_ascii().is_empty() {
            return Ok(None);
        }
        let mut pass = self.pass(Side::Response, &mut state.tally);
        let unreadable = "The response of the model server is no text";
        let text = std::str::from_utf8(&body).map_err(|_| pass.unreadable(unreadable))?;
        let new = match Document::read(text) {
            Some(document) => pass.document(&document)?,
            None if is_json(&media(ctx)) || is_deep(text) => return Err(pass.not_json().into()),
            None => {
                let new = replaced(&mut pass, text);
                if pass.is_exhausted() {
                    return Err(pass.too_large().into());
                }
                new
            }
        };
        Ok(new.map(String::into_bytes))
    }
}

impl EventStage for Redact {
    fn events(
        &self,
        state: &mut Exchange,
        _: &Context<'_>,
        batch: Vec<Event>,
    ) -> Result<Option<Vec<Event>>, Fault> {
        let mut pass = self.pass(Side::Response, &mut state.tally);
        pass.loose = Some(&mut state.loose);
        state.deltas.rewrite(batch, pass)
    }

    fn end(&self, state: &mut Exchange, _: &Context<'_>) -> Result<Vec<Event>, Fault> {
        let pass = self.pass(Side::Response, &mut state.tally);
        Ok(state.deltas.end(pass))
    }
}

impl Closing for Redact {
    fn closed(&self, state: &mut Exchange, ctx: &Context<'_>, _: &str) {
        if let Some(counts) = state.tally.note() {
            // A note that does not fit is left out: nothing else depends on it.
            let _ = ctx.set_note("redacted", counts);
        }
    }
}

/// The media type of the response in lower case, without its parameters.
fn media(ctx: &Context<'_>) -> String {
    let value = ctx.get_str("content-type").unwrap_or_default();
    let media = value.split(';').next().unwrap_or_default();
    media.trim().to_ascii_lowercase()
}

fn is_json(media: &str) -> bool {
    media == "application/json" || media.ends_with("+json")
}

/// Whether this is JSON after all, but nested too deep or of too many values.
fn is_deep(text: &str) -> bool {
    serde_json::from_str::<&RawValue>(text).is_ok()
}

sluicegate_plugin::export!(Redact: request, response, events, closing);

#[cfg(test)]
mod tests;
