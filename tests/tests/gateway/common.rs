//! What several files of tests use: questions, a model server that greets, and what every error has.

use serde_json::{Value, json};
use sluicegate_tests::client::{RawResponse, Response};
use sluicegate_tests::upstream::{Request, ollama};
use sluicegate_tests::{Script, Upstream};

/// The path of the main job.
pub(crate) const CHAT: &str = "/v1/chat/completions";

/// What a client asks.
pub(crate) fn question() -> Value {
    json!({"model": "qwen3:32b", "messages": [{"role": "user", "content": "Hi?"}]})
}

/// The same, for a response as a stream.
pub(crate) fn streamed() -> Value {
    with(question(), "stream", json!(true))
}

/// The same with a member more, or another value of it.
pub(crate) fn with(mut body: Value, name: &str, value: Value) -> Value {
    body[name] = value;
    body
}

/// An Ollama that streams, or not, as it is asked.
pub(crate) fn obliging(lines: Vec<Value>, document: Value) -> impl Fn(&Request) -> Script {
    move |request| match request.json()["stream"] {
        Value::Bool(true) => Script::ndjson(&lines),
        _ => Script::json(200, &document),
    }
}

/// An Ollama that greets in three chunks, streamed or not.
pub(crate) async fn greets() -> Upstream {
    let lines = ollama::stream(&["Hel", "lo 你", "好"]);
    Upstream::start(obliging(lines, ollama::document("Hello 你好"))).await
}

/// An Ollama that always streams one word, and has no models.
pub(crate) async fn says_hello() -> Upstream {
    Upstream::start(|request| match request.path() {
        "/api/tags" => Script::json(200, &json!({"models": []})),
        _ => Script::ndjson(&ollama::stream(&["Hello"])),
    })
    .await
}

/// The response is this error, in the form that every error has.
#[track_caller]
pub(crate) fn assert_error(response: &Response, status: u16, code: &str) {
    assert_eq!(response.status, status, "{}", response.text());
    assert!(response.complete);
    let error = response.error();
    assert_eq!(error["code"], code);
    for member in ["message", "type", "param", "code"] {
        assert!(error.get(member).is_some(), "no {member} in {error}");
    }
    assert_eq!(response.header("content-type"), "application/json");
    assert!(!response.header("x-request-id").is_empty());
}

/// The response to a raw client is this error.
#[track_caller]
pub(crate) fn assert_raw_error(response: &RawResponse, status: u16, code: &str) {
    assert_eq!(response.status, status, "{}", response.text());
    assert_eq!(response.json()["error"]["code"], code);
    assert!(response.complete);
}
