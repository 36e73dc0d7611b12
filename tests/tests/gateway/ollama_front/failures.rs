//! Errors at every moment, in Ollama's form; a client that leaves.

use std::time::Duration;

use serde_json::{Value, json};
use sluicegate_tests::client::{End, Response};
use sluicegate_tests::upstream::{closed_port, ollama};
use sluicegate_tests::{Barrier, Gateway, Script, Setup, Upstream, guest, logs};

use super::{PATH, event, front, knows, lines, object, question, stream, text, unary};
use crate::common::with;

/// The response is an error in Ollama's form.
#[track_caller]
fn assert_error(response: &Response, status: u16) -> String {
    let body = object(response, status);
    assert_eq!(
        body.as_object().map(serde_json::Map::len),
        Some(1),
        "{body}"
    );
    body["error"].as_str().expect("a text").to_owned()
}

/// What vLLM says when its engine dies in mid-stream, and the end marker that follows.
fn engine_died() -> String {
    let error = json!({"error": {"message": "EngineCore encountered an issue.", "type": "InternalServerError",
        "param": null, "code": 500}});
    format!("data: {error}\n\ndata: [DONE]\n\n")
}

#[tokio::test]
async fn errors_before_the_first_byte_have_their_status() {
    let upstream = Upstream::start(|request| match request.json()["seed"].as_u64() {
        Some(404) => Script::json(
            404,
            &json!({"error": {"message": "The model `m` does not exist.", "type": "NotFoundError", "param": "model", "code": 404}}),
        ),
        Some(503) => Script::json(503, &json!({"error": {"message": "Full.", "type": "ServiceUnavailable", "code": 503}})),
        Some(500) => Script::sse_head().chunk(engine_died()),
        Some(400) => Script::json(400, &json!({"error": {"message": "Too long.", "type": "BadRequestError", "param": "input_tokens", "code": 400}})),
        _ => Script::html(502, "<html>"),
    })
    .await;
    let gateway = front(&upstream, "vllm")
        .limit("request-body = \"4KiB\"")
        .start()
        .await;
    let seeded = |seed: u64| with(question(), "options", json!({"seed": seed}));
    for form in [|body| body, unary] {
        let ask = async |body: Value| knows(&gateway).post(PATH, &form(body)).await;
        let stranger = gateway.client().post(PATH, &form(question())).await;
        assert_error(&stranger, 401);
        assert_eq!(
            assert_error(&ask(seeded(404)).await, 404),
            "model 'm' not found"
        );
        assert_error(&ask(seeded(503)).await, 503);
        assert_error(&ask(seeded(500)).await, 503);
        assert!(assert_error(&ask(seeded(400)).await, 400).contains("Too long"));
        assert_error(&ask(seeded(1)).await, 503);
        let before = upstream.requests().len();
        assert_error(
            &ask(with(question(), "keep_alive", json!("x".repeat(5000)))).await,
            413,
        );
        assert_eq!(
            assert_error(&ask(with(question(), "model", json!(null))).await, 400),
            "model is required"
        );
        for (acts, status) in [("request-head=trap", 502), ("request-head=fail", 418)] {
            let client = knows(&gateway).with(guest::FIELD, acts);
            assert_error(&client.post(PATH, &form(question())).await, status);
        }
        let coded = knows(&gateway).with("content-encoding", "br");
        assert_error(&coded.post(PATH, &form(question())).await, 415);
        assert_eq!(upstream.requests().len(), before);
    }
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_stage_that_traps_on_the_way_back_is_an_error_too() {
    let upstream = Upstream::always(stream(&[text("Hel"), text("lo")], "stop")).await;
    let gateway = front(&upstream, "vllm").start().await;
    for form in [|body| body, unary] {
        let client = knows(&gateway).with(guest::FIELD, "response-head=trap");
        let response = client.post(PATH, &form(question())).await;
        assert!(assert_error(&response, 502).contains("guest"));
    }
    gateway.shutdown().await;

    // After the first line it is the last one.
    let gate = Barrier::new();
    let script = Script::sse_head()
        .chunk(text("Hel"))
        .wait(&gate)
        .chunk(text("lo"));
    let upstream = Upstream::always(script).await;
    let gateway = front(&upstream, "vllm").start().await;
    let client = knows(&gateway).with(guest::FIELD, "response-plan=sse, later-events=trap");
    let mut stream = client
        .open(hyper::Method::POST, PATH, question().to_string())
        .await;
    let first = stream.bytes().await.expect("the first line");
    gate.open();
    let rest = stream.rest().await;
    let body = [&first[..], &rest.body].concat();
    let found = lines(&Response {
        body: body.into(),
        ..rest
    });
    assert_eq!(
        (found.len(), &found[0]["message"]["content"]),
        (2, &json!("Hel"))
    );
    assert!(found[1]["error"].is_string());
    gateway.shutdown().await;
}

/// What the client gets if the model server does this after a first line.
async fn after_a_line(
    adapter: &str,
    first: String,
    fail: impl Fn(Script) -> Script,
) -> (Vec<Value>, String) {
    let gate = Barrier::new();
    let script = match adapter {
        "ollama" => Script::ndjson_head(),
        _ => Script::sse_head(),
    };
    let upstream = Upstream::always(fail(script.chunk(first).wait(&gate))).await;
    let gateway = front(&upstream, adapter)
        .upstream("timeout = { idle = \"200ms\" }")
        .start()
        .await;
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
    let text = String::from_utf8(body).expect("UTF-8");
    let read = |line| serde_json::from_str(line).expect("a line of JSON");
    let found = text.lines().map(read).collect();
    let error = logs::seen(&id).await["error"].as_str().map(str::to_owned);
    gateway.shutdown().await;
    (found, error.expect("a text"))
}

#[tokio::test]
async fn an_error_in_mid_stream_is_the_last_line() {
    let died = |script: Script| script.chunk(engine_died());
    let cut = Script::cut;
    let hangs = Script::hang;
    let ends = |script: Script| script;
    let broken_call = |script: Script| {
        let call = json!({"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": "{\"x"}});
        script
            .chunk(event(&json!({"tool_calls": [call]}), Some("tool_calls")))
            .chunk("data: [DONE]\n\n")
    };
    for (fail, code) in [
        (&died as &dyn Fn(Script) -> Script, "upstream_unavailable"),
        (&cut, "upstream_broken"),
        (&hangs, "upstream_idle_timeout"),
        (&ends, "upstream_truncated"),
    ] {
        let (found, error) = after_a_line("vllm", text("Hello"), fail).await;
        assert_eq!((found.len(), &*error), (2, code), "{found:?}");
        assert_eq!(found[0]["message"]["content"], "Hello");
        assert_eq!(found[1].as_object().map(serde_json::Map::len), Some(1));
        assert!(found[1]["error"].is_string(), "{code}");
    }
    // The adapter says that such a call was cut; it is no call then, and no error.
    let (found, error) = after_a_line("vllm", text("Hello"), broken_call).await;
    assert_eq!((found.len(), &*error), (2, ""), "{found:?}");
    assert_eq!(
        (&found[1]["done"], &found[1]["done_reason"]),
        (&json!(true), &json!("length"))
    );

    let line = format!("{}\n", ollama::content("Hello"));
    let died = |script: Script| script.chunk(format!("{}\n", ollama::error("the runner has died")));
    let (found, error) = after_a_line("ollama", line, died).await;
    assert_eq!((found.len(), &*error), (2, "upstream_error"));
    assert_eq!(found[1], json!({"error": "the runner has died"}));
}

#[tokio::test]
async fn a_failure_in_the_middle_is_a_whole_error_for_a_whole_response() {
    let scripts = vec![
        Script::sse_head().chunk(text("Hello")).chunk(engine_died()),
        Script::sse_head().chunk(text("Hello")).cut(),
        Script::sse_head().chunk(text("Hello")),
    ];
    let upstream = Upstream::sequence(scripts).await;
    let gateway = front(&upstream, "vllm").start().await;
    for status in [503, 502, 502] {
        let response = knows(&gateway).post(PATH, &unary(question())).await;
        assert_error(&response, status);
    }
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_model_server_that_is_away_is_an_error() {
    let (_held, address) = closed_port();
    let upstream = Upstream::always(Script::silent()).await;
    let away = format!("http://{address}");
    let setup = front(&upstream, "vllm")
        .toml()
        .replace(&upstream.url(), &away);
    let gateway = Gateway::start(&setup).await.expect("a legal configuration");
    for path in [PATH, "/api/generate", "/api/embed"] {
        let body = json!({"model": "m", "messages": [{"role": "user", "content": "x"}], "prompt": "x", "input": "x"});
        assert_error(&knows(&gateway).post(path, &body).await, 502);
    }
    assert_error(&knows(&gateway).get("/api/tags").await, 502);
    gateway.shutdown().await;

    let slow = |setup: Setup| setup.upstream("timeout = { first-byte = \"100ms\" }");
    let gateway = slow(front(&upstream, "vllm")).start().await;
    assert_error(&knows(&gateway).post(PATH, &question()).await, 504);
    gateway.shutdown().await;
}

#[tokio::test]
async fn no_head_goes_out_before_there_is_a_response() {
    let missing = json!({"error": {"message": "No such model.", "type": "NotFoundError", "param": null, "code": 404}});
    let missing = missing.to_string();
    let head = format!(
        "HTTP/1.1 404 Not Found\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        missing.len()
    );
    let script = Script::raw("")
        // Many heartbeats long.
        .sleep(Duration::from_millis(150))
        .bytes(format!("{head}{missing}"));
    let upstream = Upstream::always(script).await;
    let gateway = front(&upstream, "vllm")
        .server("heartbeat = \"10ms\"")
        .start()
        .await;
    assert_error(&knows(&gateway).post(PATH, &question()).await, 404);
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_client_that_leaves_frees_the_model_server() {
    let script = Script::sse_head().chunk(text("Hello")).hang();
    let upstream = Upstream::always(script).await;
    let gateway = front(&upstream, "vllm").start().await;
    let id = logs::id();
    let client = knows(&gateway).with("x-request-id", &id);
    let mut stream = client
        .open(hyper::Method::POST, PATH, question().to_string())
        .await;
    stream.bytes().await.expect("the first line");
    stream.hang_up().await;
    upstream.next_request().await.disconnected().await;
    assert_eq!(logs::seen(&id).await["error"], "client_closed");
    gateway.shutdown().await;
}
