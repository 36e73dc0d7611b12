//! The front for Ollama's own API.

use std::time::Duration;

use serde_json::{Value, json};
use sluicegate_tests::client::{End, Response};
use sluicegate_tests::upstream::ollama;
use sluicegate_tests::{Barrier, Script, Upstream, guest, logs};

use super::{assert_is_json, before_ollama, before_vllm, chunks, engine_died, knows, vllm_stream};
use crate::common::{greets, with};

const PATH: &str = "/api/chat";

/// For a stream: that is the default here.
fn question() -> Value {
    json!({"model": "qwen3:32b", "messages": [{"role": "user", "content": "Hi?"}], "options": {"num_predict": 64}})
}

fn unary() -> Value {
    with(question(), "stream", json!(false))
}

/// The response is an error in Ollama's form.
#[track_caller]
fn assert_error(response: &Response, status: u16) {
    assert_is_json(response, status);
    let body = response.json();
    assert!(body["error"].is_string(), "{body}");
    assert_eq!(body.as_object().map(serde_json::Map::len), Some(1));
}

/// The lines of a stream.
#[track_caller]
fn lines(body: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(body).expect("UTF-8");
    assert!(text.ends_with('\n'), "{text:?}");
    let lines = text.lines();
    lines
        .map(|line| serde_json::from_str(line).expect("a line of JSON"))
        .collect()
}

#[tokio::test]
async fn a_chat_is_answered_as_ollama_does_streamed_and_not() {
    let upstream = greets().await;
    let gateway = before_ollama(&upstream).start().await;
    let response = knows(&gateway).post(PATH, &question()).await;
    assert_eq!((response.status, response.complete), (200, true));
    assert_eq!(response.header("content-type"), "application/x-ndjson");
    // A stream like any other: a proxy in front must not gather it.
    assert_eq!(response.header("x-accel-buffering"), "no");
    let stream = lines(&response.body);
    let text: String = stream
        .iter()
        .map(|line| line["message"]["content"].as_str().expect("a text"))
        .collect();
    assert_eq!(text, "Hello 你好");
    assert!(stream.iter().all(|line| line["model"] == "qwen3:32b"));
    let (last, before) = stream.split_last().expect("lines");
    assert!(before.iter().all(|line| line["done"] == false));
    assert_eq!(
        (&last["done"], &last["done_reason"], &last["eval_count"]),
        (&json!(true), &json!("stop"), &json!(18))
    );
    let asked = upstream.next_request().await.json();
    assert_eq!(
        (&asked["stream"], &asked["options"]["num_predict"]),
        (&json!(true), &json!(64))
    );

    let response = knows(&gateway).post(PATH, &unary()).await;
    assert_is_json(&response, 200);
    let whole = response.json();
    assert_eq!(whole["message"]["content"], "Hello 你好");
    assert_eq!(
        (&whole["done"], &whole["prompt_eval_count"]),
        (&json!(true), &json!(11))
    );
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_front_answers_by_itself_and_sets_method_and_path_from_the_body() {
    let upstream =
        Upstream::start(|_| Script::json(200, &json!({"id": "m", "object": "model"}))).await;
    // No adapter: what the model server is asked is canonical.
    let gateway = before_ollama(&upstream).adapter("").start().await;
    let version = knows(&gateway).get("/api/version").await;
    assert_eq!(
        (version.status, &version.json()["version"]),
        (200, &json!("0.0.0"))
    );
    assert!(upstream.requests().is_empty());
    let response = knows(&gateway)
        .post("/api/show", &json!({"model": "m"}))
        .await;
    assert_is_json(&response, 200);
    assert_eq!(response.json()["capabilities"], json!(["completion"]));
    let asked = upstream.next_request().await;
    assert_eq!(
        (
            asked.method.as_str(),
            asked.target.as_str(),
            asked.body.len()
        ),
        ("GET", "/v1/models/m", 0)
    );
    for name in ["content-type", "content-length", "transfer-encoding"] {
        assert!(!asked.fields.has(name), "{name}");
    }
    gateway.shutdown().await;
}

#[tokio::test]
async fn errors_before_the_first_byte_are_a_text_with_their_status() {
    let upstream = Upstream::start(|request| {
        let missing = json!({"error": "model 'qwen3:32b' not found"});
        match request.json()["options"]["num_predict"] {
            Value::Null => Script::ndjson(&[ollama::error("the runner has died")]),
            _ => Script::json(404, &missing),
        }
    })
    .await;
    let gateway = before_ollama(&upstream)
        .limit("request-body = \"1KiB\"")
        .start()
        .await;
    for body in [question(), unary()] {
        assert_error(&gateway.client().post(PATH, &body).await, 401);
        let client = knows(&gateway);
        assert_error(&client.post(PATH, &body).await, 404);
        let long = with(body.clone(), "keep_alive", json!("x".repeat(2000)));
        assert_error(&client.post(PATH, &long).await, 413);
        let dying = with(body.clone(), "options", json!({}));
        assert_error(&client.post(PATH, &dying).await, 502);
        let nameless = with(body.clone(), "model", json!(null));
        assert_error(&client.post(PATH, &nameless).await, 400);
        assert_error(&client.post("/api/pull", &body).await, 404);
        for (acts, status) in [
            ("request-head=trap", 502),
            ("response-head=trap", 502),
            ("request-head=fail", 418),
        ] {
            let client = knows(&gateway).with(guest::FIELD, acts);
            assert_error(&client.post(PATH, &body).await, status);
        }
        let coded = knows(&gateway).with("content-encoding", "br");
        assert_error(&coded.post(PATH, &body).await, 415);
    }
    gateway.shutdown().await;
}

#[tokio::test]
async fn an_error_in_mid_stream_is_the_last_line() {
    let gate = Barrier::new();
    let script = Script::ndjson_head()
        .chunk(format!("{}\n", ollama::content("Hello")))
        .wait(&gate)
        .chunk(format!("{}\n", ollama::error("the runner has died")));
    let upstream = Upstream::always(script).await;
    let gateway = before_ollama(&upstream).start().await;
    let id = logs::id();
    let client = knows(&gateway).with("x-request-id", &id);
    let mut stream = client
        .open(hyper::Method::POST, PATH, question().to_string())
        .await;
    let mut body = stream.bytes().await.expect("the first line").to_vec();
    gate.open();
    while let Some(bytes) = stream.bytes().await {
        body.extend(bytes);
    }
    assert_eq!((stream.status, stream.end()), (200, Some(End::Proper)));
    let lines = lines(&body);
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[1], json!({"error": "the runner has died"}));
    assert_eq!(logs::seen(&id).await["error"], "upstream_error");
    // As one response there is a status yet.
    assert_error(&client.post(PATH, &unary()).await, 502);
    gateway.shutdown().await;
}

#[tokio::test]
async fn no_head_goes_out_before_there_is_a_response() {
    let missing = json!({"error": "model 'qwen3:32b' not found"}).to_string();
    let head =
        "HTTP/1.1 404 Not Found\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n";
    let script = Script::raw("")
        // Many heartbeats long.
        .sleep(Duration::from_millis(150))
        .bytes(format!("{head}{missing}"))
        .cut();
    let upstream = Upstream::always(script).await;
    let gateway = before_ollama(&upstream)
        .server("heartbeat = \"10ms\"")
        .start()
        .await;
    assert_error(&knows(&gateway).post(PATH, &question()).await, 404);
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_front_that_gave_nothing_yet_still_gets_the_status_of_an_error() {
    // vLLM's first event has no text, so this front has nothing to give for it; then the engine dies.
    let script = Script::sse_head().chunks(chunks(&[]));
    let script = script.sleep(Duration::from_millis(50)).chunk(engine_died());
    let upstream = Upstream::always(script).await;
    let gateway = before_vllm(&upstream).start().await;
    let response = knows(&gateway).post(PATH, &question()).await;
    assert_error(&response, 503);
    gateway.shutdown().await;

    let upstream = Upstream::always(vllm_stream(&["Hel", "lo"])).await;
    let gateway = before_vllm(&upstream).start().await;
    let response = knows(&gateway).post(PATH, &question()).await;
    let lines = lines(&response.body);
    assert_eq!((lines.len(), &lines[2]["eval_count"]), (3, &json!(5)));
    gateway.shutdown().await;
}
