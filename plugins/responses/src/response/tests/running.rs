//! Scripts of chats, and runs of the front over them.

use serde_json::{Value, json};
use sluicegate_plugin::Event;
use sluicegate_plugin::testing::{BATCHINGS, Bench, Outcome, Request, Response, set_clock};

use crate::Responses;

const PATH: &str = "/v1/responses";

pub(super) fn bench() -> Bench<Responses> {
    set_clock(1_790_000_000_000);
    Bench::load(json!({})).expect("a configuration")
}

pub(super) fn request(further: &Value) -> Request {
    let mut body = json!({"model": "m", "input": "Hi"});
    for (name, value) in further.as_object().expect("an object") {
        body[name] = value.clone();
    }
    Request::post(PATH).json(&body)
}

pub(super) fn streamed(further: &Value) -> Request {
    let mut further = further.clone();
    further["stream"] = json!(true);
    request(&further)
}

pub(super) fn chunk(delta: &Value) -> String {
    json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m",
        "choices": [{"index": 0, "delta": delta, "finish_reason": null}]})
    .to_string()
}

pub(super) fn finish(reason: &str) -> String {
    json!({"id": "chatcmpl-1", "choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
        .to_string()
}

fn usage() -> String {
    json!({"choices": [], "usage": {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18,
        "prompt_tokens_details": {"cached_tokens": 3}, "completion_tokens_details": {"reasoning_tokens": 2}}})
    .to_string()
}

/// A whole stream of these deltas.
pub(super) fn stream(deltas: &[Value], reason: &str) -> Vec<String> {
    let mut chunks = vec![chunk(&json!({"role": "assistant", "content": ""}))];
    chunks.extend(deltas.iter().map(chunk));
    chunks.extend([finish(reason), usage(), "[DONE]".to_owned()]);
    chunks
}

/// The completion that these deltas make.
pub(super) fn completion(message: &Value, reason: &str) -> Value {
    let usage: Value = serde_json::from_str(&usage()).expect("JSON");
    json!({"id": "chatcmpl-1", "object": "chat.completion", "model": "m", "usage": usage["usage"],
        "choices": [{"index": 0, "message": message, "finish_reason": reason, "logprobs": null}]})
}

/// The data of the events, which must have their names and their numbers, and the same id and model.
#[track_caller]
pub(super) fn data(events: &[Event]) -> Vec<Value> {
    let mut found = Vec::new();
    for (number, event) in events.iter().enumerate() {
        assert!(!event.data.contains('\n'), "{}", event.data);
        let data: Value = serde_json::from_str(&event.data)
            .unwrap_or_else(|error| panic!("{}: {error}", event.data));
        assert_eq!(data["type"], *event.name, "{data}");
        assert_eq!(data["sequence_number"], number, "{data}");
        found.push(data);
    }
    for event in &found {
        if let Some(response) = event.get("response") {
            assert_eq!(response["id"], found[0]["response"]["id"]);
            assert_eq!(
                (&response["model"], &response["store"]),
                (&json!("m"), &json!(false))
            );
        }
    }
    found
}

/// The names of events, without `response.`, and with the indices of their items.
pub(super) fn steps(events: &[Value]) -> Vec<String> {
    let step = |event: &Value| {
        let name = event["type"].as_str().unwrap_or_default();
        let name = name.strip_prefix("response.").unwrap_or(name);
        match event.get("output_index") {
            Some(index) => format!("{name} {index}"),
            None => name.to_owned(),
        }
    };
    events.iter().map(step).collect()
}

/// Checks that a stream is consistent: an item is added before it is written, its texts are those of its deltas, and the last
/// event has the items that were done. Gives the response of the last event.
#[track_caller]
pub(super) fn consistent(events: &[Value]) -> Value {
    let mut items: Vec<Value> = Vec::new();
    let mut texts = std::collections::BTreeMap::<(u64, String), String>::new();
    let mut done: Vec<Option<Value>> = Vec::new();
    for event in events {
        let kind = event["type"].as_str().expect("a type");
        let at = event["output_index"].as_u64();
        let item = at.and_then(|at| items.get(usize::try_from(at).expect("small")));
        if let Some(id) = event.get("item_id") {
            assert_eq!(id, &item.expect("it was added")["id"], "{event}");
        }
        match kind {
            "response.output_item.added" => {
                assert_eq!(at, Some(items.len() as u64), "{event}");
                assert_eq!(event["item"]["status"], "in_progress");
                items.push(event["item"].clone());
                done.push(None);
            }
            "response.output_item.done" => {
                let at = usize::try_from(at.expect("an index")).expect("small");
                assert_eq!(event["item"]["id"], items[at]["id"]);
                assert!(
                    done[at].replace(event["item"].clone()).is_none(),
                    "done twice: {event}"
                );
            }
            _ => {}
        }
        let key = |kind: &str| {
            let part = event.get("content_index").or(event.get("summary_index"));
            (
                at.expect("an index"),
                format!("{kind} {}", part.unwrap_or(&Value::Null)),
            )
        };
        if let Some(kind) = kind.strip_suffix(".delta") {
            *texts.entry(key(kind)).or_default() += event["delta"].as_str().expect("a delta");
        } else if let Some(kind) = kind.strip_suffix(".done")
            && let Some(text) = event
                .get("text")
                .or(event.get("refusal"))
                .or(event.get("arguments"))
        {
            assert_eq!(
                texts.remove(&key(kind)).unwrap_or_default(),
                text.as_str().expect("a text"),
                "{event}"
            );
        }
    }
    let last = events.last().expect("an event");
    let response = last["response"].clone();
    if last["type"] != "response.failed" {
        assert!(texts.is_empty(), "{texts:?}");
        let done: Vec<Value> = done
            .into_iter()
            .map(|item| item.expect("each item is done"))
            .collect();
        assert_eq!(response["output"], json!(done));
    }
    response
}

/// Runs a stream in every batching: all give the same. Gives the events.
#[track_caller]
pub(super) fn run(request: &Request, chunks: &[String]) -> Vec<Value> {
    let bench = bench();
    let mut all = Vec::new();
    for sizes in BATCHINGS {
        let outcome = bench.run(
            request.clone(),
            &Response::sse(chunks.to_vec()).batches(sizes),
        );
        assert_eq!(
            (outcome.status, &outcome.fault),
            (200, &None),
            "{outcome:?}"
        );
        assert_eq!(
            outcome.header("content-type").as_deref(),
            Some("text/event-stream; charset=utf-8")
        );
        all.push(without_ids(data(&outcome.events)));
    }
    assert!(all.iter().all(|events| events == &all[0]));
    all.swap_remove(0)
}

/// Ids with their random part left out.
fn without_ids(events: Vec<Value>) -> Vec<Value> {
    let Some(id) = events[0]["response"]["id"].as_str() else {
        return events;
    };
    let id = id.strip_prefix("resp_").expect("a prefix").to_owned();
    assert_eq!(id.len(), 24);
    let replaced =
        |event: Value| serde_json::from_str(&event.to_string().replace(&id, "")).expect("JSON");
    events.into_iter().map(replaced).collect()
}

/// Runs a request for one object: over a whole completion, and over a stream that no stage has aggregated.
#[track_caller]
pub(super) fn whole(request: &Request, message: &Value, deltas: &[Value], reason: &str) -> Value {
    let bench = bench();
    let outcome = bench.run(
        request.clone(),
        &Response::json(&completion(message, reason)),
    );
    let response = checked(&outcome);
    for sizes in BATCHINGS {
        let chunks = Response::sse(stream(deltas, reason)).header("cache-control", "no-cache");
        let outcome = bench.run(request.clone(), &chunks.batches(sizes));
        assert_eq!(checked(&outcome), response);
        assert_eq!(outcome.header("cache-control"), None);
    }
    response
}

#[track_caller]
fn checked(outcome: &Outcome) -> Value {
    assert_eq!((outcome.status, &outcome.fault), (200, &None));
    assert_eq!(
        outcome.header("content-type").as_deref(),
        Some("application/json")
    );
    let response = json!({"response": outcome.json()});
    without_ids(vec![response])[0]["response"].clone()
}
