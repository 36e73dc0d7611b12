//! An example plugin: replaces words in what the model says, in streams and in whole responses, and in errors.
//!
//! A model may send a word in two chunks. So the end of a chunk that could be the beginning of a word is held back until the
//! next chunk arrives. That rule is in [`words`], without JSON and sandbox; this file applies it to an exchange.

mod words;

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};
use sluicegate_plugin::{
    Context, Event, EventStage, Fault, Manifest, Plugin, ResponsePlan, ResponseStage, Stop,
};
use words::{Tail, Words};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    words: Vec<String>,
    #[serde(default = "stars")]
    by: String,
}

fn stars() -> String {
    "***".into()
}

struct Redact(Words);

impl Plugin for Redact {
    type Config = Config;
    /// The text that is held back, by the index of its choice.
    type State = BTreeMap<u64, Tail>;

    fn manifest() -> Manifest {
        Manifest::new(
            "redact",
            env!("CARGO_PKG_VERSION"),
            "Replaces words in responses",
        )
        .config(
            r#"{"type":"object","required":["words"],"additionalProperties":false,"properties":{
                    "words":{"type":"array","items":{"type":"string","minLength":1},"minItems":1,
                             "description":"The words that clients must not see."},
                    "by":{"type":"string","description":"The replacement; default: ***."}}}"#,
        )
    }

    fn configure(config: Config) -> Result<Self, String> {
        Words::new(config.words, config.by).map(Self)
    }
}

impl ResponseStage for Redact {
    fn response_head(&self, _: &mut Self::State, ctx: &Context<'_>) -> Result<ResponsePlan, Stop> {
        let media = ctx.get_str("content-type").unwrap_or_default();
        Ok(if media.starts_with("text/event-stream") {
            ResponsePlan::Sse
        } else if media.starts_with("application/json") {
            ResponsePlan::Whole
        } else {
            ResponsePlan::Skip
        })
    }

    fn response_body(
        &self,
        _: &mut Self::State,
        _: &Context<'_>,
        body: Vec<u8>,
    ) -> Result<Option<Vec<u8>>, Stop> {
        let Ok(mut response) = serde_json::from_slice::<Value>(&body) else {
            return Ok(None);
        };
        for choice in choices(&mut response) {
            if let Some(Value::String(text)) = choice.pointer_mut("/message/content") {
                *text = self.0.replace(text);
            }
        }
        self.error(&mut response);
        Ok(Some(response.to_string().into_bytes()))
    }
}

impl EventStage for Redact {
    fn events(
        &self,
        tails: &mut Self::State,
        _: &Context<'_>,
        batch: Vec<Event>,
    ) -> Result<Option<Vec<Event>>, Fault> {
        let mut out = Vec::with_capacity(batch.len());
        for event in batch {
            match serde_json::from_str::<Value>(&event.data) {
                Ok(chunk) if chunk.get("choices").is_some() => {
                    self.chunk(tails, event, chunk, &mut out);
                }
                Ok(mut other) if other.get("error").is_some() => {
                    self.error(&mut other);
                    out.push(Event {
                        data: other.to_string(),
                        ..event
                    });
                }
                // `[DONE]`, or something unknown.
                Ok(_) | Err(_) => out.push(event),
            }
        }
        Ok(Some(out))
    }
}

impl Redact {
    /// Replaces words in the message of an error, if it is one. Model servers repeat what a client sent.
    fn error(&self, document: &mut Value) {
        if let Some(Value::String(text)) = document.pointer_mut("/error/message") {
            *text = self.0.replace(text);
        }
    }

    /// A chunk, and its event.
    fn chunk(
        &self,
        tails: &mut BTreeMap<u64, Tail>,
        event: Event,
        mut chunk: Value,
        out: &mut Vec<Event>,
    ) {
        let mut left = Vec::new();
        for choice in choices(&mut chunk) {
            let index = choice.get("index").and_then(Value::as_u64).unwrap_or(0);
            let tail = tails.entry(index).or_default();
            if let Some(Value::String(text)) = choice.pointer_mut("/delta/content") {
                *text = self.0.feed(tail, text);
            }
            let ends = choice
                .get("finish_reason")
                .is_some_and(|reason| !reason.is_null());
            if ends && let Some(rest) = self.0.finish(tail) {
                left.push(
                    json!({"index": index, "delta": {"content": rest}, "finish_reason": null}),
                );
            }
        }
        // Text that was held back is sent before the chunk that ends the choice.
        if !left.is_empty() {
            let mut before = chunk.clone();
            before["choices"] = Value::Array(left);
            out.push(Event::data(before.to_string()));
        }
        out.push(Event {
            data: chunk.to_string(),
            ..event
        });
    }
}

fn choices(document: &mut Value) -> impl Iterator<Item = &mut Value> {
    document
        .get_mut("choices")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
}

sluicegate_plugin::export!(Redact: response, events);

#[cfg(test)]
mod tests {
    use super::*;
    use sluicegate_plugin::testing::{Bench, Request, Response};

    fn bench() -> Bench<Redact> {
        Bench::load(json!({"words": ["tiger", "panda"], "by": "cat"})).expect("a configuration")
    }

    fn chunk(text: &str) -> String {
        json!({"id": "1", "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": null}]})
            .to_string()
    }

    fn text(data: &[String]) -> String {
        data.iter()
            .filter_map(|data| serde_json::from_str::<Value>(data).ok())
            .filter_map(|chunk| {
                chunk
                    .pointer("/choices/0/delta/content")?
                    .as_str()
                    .map(str::to_owned)
            })
            .collect()
    }

    #[test]
    fn a_word_that_the_stream_cuts_in_two_is_replaced() {
        let end =
            json!({"id": "1", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]});
        let texts = ["A ti", "g", "er and a p", "an"];
        let stream: Vec<String> = texts
            .iter()
            .map(|text| chunk(text))
            .chain([end.to_string(), "[DONE]".into()])
            .collect();
        for batch in 1..=stream.len() {
            let response = Response::sse(stream.clone()).batches(&[batch]);
            let outcome = bench().run(Request::post("/v1/chat/completions"), &response);
            let data = outcome.data();
            assert_eq!(text(&data), "A cat and a pan");
            assert_eq!(data.last().map(String::as_str), Some("[DONE]"));
        }
    }

    #[test]
    fn a_whole_response_is_replaced_too() {
        let response = json!({"choices": [{"index": 0, "message": {"role": "assistant", "content": "a panda"}}]});
        let outcome = bench().run(
            Request::post("/v1/chat/completions"),
            &Response::json(&response),
        );
        assert_eq!(
            outcome.json().pointer("/choices/0/message/content"),
            Some(&json!("a cat"))
        );
    }

    #[test]
    fn errors_are_replaced_whole_and_in_a_stream() {
        let error = json!({"error": {"message": "no tiger here", "type": "server_error", "param": null, "code": "x"}});
        let path = Request::post("/v1/chat/completions");
        let whole = bench().run(path, &Response::json(&error).status(404));
        assert_eq!(whole.json()["error"]["message"], "no cat here");
        let stream = [chunk("a"), error.to_string()];
        let data = bench()
            .run(Request::post("/x"), &Response::sse(stream))
            .data();
        let last: Value = serde_json::from_str(data.last().expect("an event")).expect("JSON");
        assert_eq!(last["error"]["message"], "no cat here");
    }

    #[test]
    fn a_configuration_with_an_empty_word_is_refused() {
        assert!(Bench::<Redact>::load(json!({"words": [""]})).is_err());
    }
}
