//! The front `responses`: clients of OpenAI's Responses API before model servers of several kinds. What is asserted is what the
//! client got, in its dialect, and what the model server got.

mod errors;
mod requests;

use hyper::Method;
use serde_json::{Value, json};
use sluicegate_tests::client::Response;
use sluicegate_tests::sse::Event;
use sluicegate_tests::upstream::ollama;
use sluicegate_tests::{Client, Gateway, Script, Setup, Upstream, guest};

use crate::common::{obliging, with};

const PATH: &str = "/v1/responses";

/// A key that the gateway knows.
const KEYS: &str = r#"{ name = "team", key = "sk-team" }"#;

/// The front before the usual stages. Between them stands the guest filter, which does as the request says.
fn front(setup: Setup) -> Setup {
    let pipeline = r#"["responses", "auth", "guest", "aggregate"]"#;
    let observers = r#"observers = ["access-log", "observer"]"#;
    setup
        .stages(KEYS, "")
        .plugin("guest", guest::FILTER, "")
        .route(PATH, pipeline, observers)
        .route("/v1/responses/*", pipeline, observers)
}

/// The front before an Ollama.
fn before_ollama(upstream: &Upstream) -> Setup {
    front(Setup::before(upstream))
}

/// The front before a vLLM.
fn before_vllm(upstream: &Upstream) -> Setup {
    before_ollama(upstream).adapter("vllm")
}

/// A client that has the key.
fn client(gateway: &Gateway) -> Client {
    gateway.client().with("authorization", "Bearer sk-team")
}

fn question() -> Value {
    json!({"model": "qwen3:32b", "input": "Hi?"})
}

fn streamed() -> Value {
    with(question(), "stream", json!(true))
}

async fn post(gateway: &Gateway, body: &Value) -> Response {
    client(gateway)
        .request(Method::POST, PATH, body.to_string())
        .await
}

fn names(events: &[Event]) -> Vec<&str> {
    let names = events.iter().map(|event| event.name.as_str());
    names
        .map(|name| name.strip_prefix("response.").unwrap_or(name))
        .collect()
}

/// The events of a stream, which have their names and numbers; the last has the response.
#[track_caller]
fn events(response: &Response) -> Vec<Event> {
    assert_eq!(
        (response.status, response.complete),
        (200, true),
        "{}",
        response.text()
    );
    let kind = response.header("content-type");
    assert!(kind.starts_with("text/event-stream"), "{kind}");
    assert!(!response.text().contains("[DONE]"));
    let events = response.events();
    for (number, event) in events.iter().enumerate() {
        let data = event.json();
        assert_eq!(
            (&data["type"], &data["sequence_number"]),
            (&json!(event.name), &json!(number))
        );
    }
    events
}

/// The response in the last event.
#[track_caller]
fn last(events: &[Event]) -> Value {
    events.last().expect("an event").json()["response"].take()
}

/// A vLLM that sends these deltas.
async fn vllm_says(deltas: &'static str, finish: &'static str) -> Upstream {
    let deltas: Vec<Value> = serde_json::from_str(deltas).expect("deltas");
    let chunk = |delta: &Value, finish: Value| {
        let choice = json!({"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish});
        let chunk = json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "served-name", "choices": [choice]});
        format!("data: {chunk}\n\n")
    };
    let mut chunks = vec![chunk(
        &json!({"role": "assistant", "content": ""}),
        json!(null),
    )];
    chunks.extend(deltas.iter().map(|delta| chunk(delta, json!(null))));
    chunks.push(chunk(&json!({}), json!(finish)));
    let usage = json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "served-name", "choices": [],
        "usage": {"prompt_tokens": 7, "total_tokens": 12, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 4}}});
    chunks.push(format!("data: {usage}\n\n"));
    chunks.push("data: [DONE]\n\n".to_owned());
    Upstream::always(Script::sse_head().chunks(chunks)).await
}

/// An Ollama that thinks and greets, streamed or not.
async fn thinks() -> Upstream {
    let lines = vec![
        ollama::thinking("They "),
        ollama::thinking("greet."),
        ollama::content("Hel"),
        ollama::content("lo 你好"),
        ollama::done("stop"),
    ];
    let mut whole = ollama::document("Hello 你好");
    whole["message"]["thinking"] = json!("They greet.");
    Upstream::start(obliging(lines, whole)).await
}
