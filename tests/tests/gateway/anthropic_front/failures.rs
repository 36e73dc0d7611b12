//! Everything that goes wrong, in Anthropic's form.

use std::time::Duration;

use hyper::Method;
use serde_json::{Value, json};
use sluicegate_tests::client::{End, Response};
use sluicegate_tests::sse::Event;
use sluicegate_tests::upstream::ollama;
use sluicegate_tests::{Barrier, Gateway, Script, Upstream, guest, logs};

use super::{PATH, client, content, front, order, question, streamed, vllm};
use crate::common::{greets, with};

/// The response is this error.
#[track_caller]
pub(super) fn assert_error(response: &Response, status: u16, kind: &str) {
    assert_eq!(response.status, status, "{}", response.text());
    assert!(response.complete);
    assert!(
        response
            .header("content-type")
            .starts_with("application/json")
    );
    let body = response.json();
    let message = body["error"]["message"].as_str();
    assert!(message.is_some_and(|message| !message.is_empty()), "{body}");
    let id = response.header("x-request-id");
    assert_eq!(response.header("request-id"), id);
    let error = json!({"type": kind, "message": message});
    assert_eq!(
        body,
        json!({"type": "error", "error": error, "request_id": id})
    );
}

/// Asks for a stream; once the client has its first text, `gate` opens. Gives all events.
async fn broken_off(gateway: &Gateway, acts: &str, gate: &Barrier) -> Vec<Event> {
    let client = client(gateway).with(guest::FIELD, acts);
    let mut stream = client
        .open(Method::POST, PATH, streamed().to_string())
        .await;
    assert_eq!(stream.status, 200);
    let mut events = Vec::new();
    while order(&events).last() != Some(&"content_block_delta") {
        events.push(stream.event().await.expect("the beginning"));
    }
    gate.open();
    while let Some(event) = stream.event().await {
        events.push(event);
    }
    assert_eq!(stream.end(), Some(End::Proper));
    events
}

/// The last event is the only error; gives its type.
#[track_caller]
fn last_error(events: &[Event]) -> Value {
    let errors = events.iter().filter(|event| event.name == "error");
    assert_eq!(errors.count(), 1, "{:?}", order(events));
    let last = events.last().expect("an event");
    assert_eq!(last.name, "error");
    let data = last.json();
    assert!(
        data["request_id"]
            .as_str()
            .is_some_and(|id| id.starts_with("req_"))
    );
    data["error"]["type"].clone()
}

#[tokio::test]
async fn a_refusal_comes_before_any_model_server_is_asked() {
    let upstream = greets().await;
    let gateway = front(&upstream, "ollama")
        .limit("request-body = \"4KiB\"")
        .start()
        .await;
    for body in [question(), streamed()] {
        let stranger = gateway.client().with("x-api-key", "sk-nobody");
        assert_error(
            &stranger.post(PATH, &body).await,
            401,
            "authentication_error",
        );
        let long = with(body.clone(), "system", json!("x".repeat(5000)));
        let response = client(&gateway).post(PATH, &long).await;
        assert_error(&response, 413, "request_too_large");
        let tools = json!([{"type": "web_search_20250305", "name": "web_search"}]);
        let response = client(&gateway)
            .post(PATH, &with(body.clone(), "tools", tools))
            .await;
        assert_error(&response, 400, "invalid_request_error");
        assert!(
            response
                .text()
                .contains("tools.0.type: `web_search_20250305`")
        );
        let refused = client(&gateway).with(guest::FIELD, "request-head=fail");
        assert_error(
            &refused.post(PATH, &body).await,
            418,
            "invalid_request_error",
        );
        for acts in ["request-head=trap", "request-plan=whole, request-body=trap"] {
            let client = client(&gateway).with(guest::FIELD, acts);
            assert_error(&client.post(PATH, &body).await, 502, "api_error");
        }
    }
    let id = logs::id();
    let named = client(&gateway).with("x-request-id", &id);
    let response = named
        .post(PATH, &json!({"model": "m", "messages": []}))
        .await;
    assert_error(&response, 400, "invalid_request_error");
    assert_eq!(logs::seen(&id).await["error"], "invalid_value");
    let response = client(&gateway)
        .post("/v1/messages/batches", &json!({}))
        .await;
    assert_error(&response, 404, "not_found_error");
    let response = client(&gateway).get(PATH).await;
    assert_error(&response, 405, "invalid_request_error");
    assert_eq!(response.header("allow"), "POST");
    assert!(upstream.requests().is_empty());
    // Nothing of that is left in the next exchange.
    let response = client(&gateway).post(PATH, &question()).await;
    assert_eq!(response.status, 200);
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_failure_of_the_model_server_before_its_first_event_has_a_status() {
    let missing = json!({"error": "model 'qwen3:32b' not found"});
    let busy =
        json!({"error": "server busy, please try again.  maximum pending requests exceeded"});
    let long = json!({"error": {"message": "Too many tokens.", "type": "BadRequestError", "param": null, "code": 400}});
    let limited = Script::status(429)
        .field("retry-after", "7")
        .field("content-type", "application/json")
        .body(json!({"error": {"message": "Slow down.", "type": "Too Many Requests", "param": null, "code": 429}}).to_string());
    for (adapter, script, status, kind, retry_after) in [
        (
            "ollama",
            Script::json(404, &missing),
            404,
            "not_found_error",
            "",
        ),
        (
            "ollama",
            Script::json(503, &busy),
            529,
            "overloaded_error",
            "2",
        ),
        (
            "ollama",
            Script::ndjson(&[ollama::error("the runner has died")]),
            502,
            "api_error",
            "",
        ),
        ("ollama", Script::raw("").cut(), 502, "api_error", ""),
        (
            "vllm",
            Script::json(400, &long),
            400,
            "invalid_request_error",
            "",
        ),
        ("vllm", limited, 429, "rate_limit_error", "7"),
        ("vllm", Script::html(200, "<p>Oh"), 502, "api_error", ""),
    ] {
        let upstream = Upstream::always(script).await;
        let gateway = front(&upstream, adapter).start().await;
        for body in [question(), streamed()] {
            let response = client(&gateway).post(PATH, &body).await;
            assert_error(&response, status, kind);
            assert_eq!(response.header("retry-after"), retry_after);
            upstream.next_request().await;
        }
        gateway.shutdown().await;
    }
}

#[tokio::test]
async fn a_failure_in_mid_stream_is_the_last_event() {
    let chunk = |delta: Value| {
        let chunk = json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "served",
            "choices": [{"index": 0, "delta": delta, "finish_reason": null}]});
        format!("data: {chunk}\n\n")
    };
    let call = json!({"tool_calls": [{"index": 0, "id": "c", "function": {"name": "f", "arguments": "{\"a"}}]});
    let dead = json!({"error": {"message": "EngineCore encountered an issue.", "type": "InternalServerError", "param": null, "code": 500}});
    let dead = format!("data: {dead}\n\ndata: [DONE]\n\n");
    let line = |line: Value| format!("{line}\n");
    let died = line(ollama::error("the runner has died"));
    let trap = "response-plan=sse, later-events=trap";
    let end: fn(Script) -> Script = |script| script;
    type End = fn(Script) -> Script;
    let (cut, hang): (End, End) = (Script::cut, Script::hang);
    for (adapter, acts, rest, ending, kind) in [
        ("ollama", "", String::new(), end, "api_error"),
        ("ollama", "", died, end, "api_error"),
        (
            "ollama",
            trap,
            line(ollama::content("more")),
            end,
            "api_error",
        ),
        ("ollama", "", String::new(), hang, "timeout_error"),
        ("vllm", "", dead, end, "overloaded_error"),
        ("vllm", "", chunk(call), cut, "api_error"),
    ] {
        let gate = Barrier::new();
        let begun = match adapter {
            "ollama" => Script::ndjson_head().chunk(line(ollama::content("Hello"))),
            _ => Script::sse_head().chunk(chunk(json!({"content": "Hello"}))),
        };
        let mut script = begun.wait(&gate);
        if !rest.is_empty() {
            script = script.chunk(rest.clone());
        }
        let upstream = Upstream::always(ending(script)).await;
        let gateway = front(&upstream, adapter)
            .upstream("timeout = { idle = \"200ms\" }")
            .start()
            .await;
        let events = broken_off(&gateway, acts, &gate).await;
        assert_eq!(last_error(&events), kind, "{adapter}: {rest}");
        let names = order(&events);
        let begun = [
            "message_start",
            "ping",
            "content_block_start",
            "content_block_delta",
        ];
        assert_eq!(names[..4], begun);
        assert!(!names.contains(&"message_delta") && !names.contains(&"message_stop"));
        assert_eq!(upstream.requests().len(), 1);
        gateway.shutdown().await;
    }
}

#[tokio::test]
async fn behind_heartbeats_errors_and_whole_responses_are_events() {
    let completion = json!({"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "served",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello"}, "logprobs": null, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 7, "total_tokens": 12, "completion_tokens": 5}})
    .to_string();
    let missing = json!({"error": {"message": "The model `x` does not exist.", "type": "NotFoundError", "param": "model", "code": 404}}).to_string();
    let head = |status: &str, body: &str| {
        let length = body.len();
        format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        )
    };
    for (bytes, expected) in [
        (head("404 Not Found", &missing), Err("not_found_error")),
        (head("200 OK", &completion), Ok("Hello")),
        (String::new(), Err("api_error")),
    ] {
        let later = Barrier::new();
        let script = Script::raw("").wait(&later).bytes(bytes).cut();
        let upstream = Upstream::always(script).await;
        let gateway = front(&upstream, "vllm")
            .server("heartbeat = \"30ms\"")
            .start()
            .await;
        let client = client(&gateway);
        let mut stream = client
            .open(Method::POST, PATH, streamed().to_string())
            .await;
        assert_eq!(stream.status, 200);
        assert_eq!(stream.header("request-id"), stream.header("x-request-id"));
        later.open();
        let mut events = Vec::new();
        while let Some(event) = stream.event().await {
            events.push(event);
        }
        match expected {
            Ok(text) => {
                assert_eq!(content(&events), json!([{"type": "text", "text": text}]));
                assert_eq!(order(&events).last(), Some(&"message_stop"));
            }
            Err(kind) => {
                assert_eq!(last_error(&events), kind);
                assert_eq!(events.len(), 1);
            }
        }
        gateway.shutdown().await;
    }
}

#[tokio::test]
async fn a_call_that_no_client_could_read_is_an_error_or_cut() {
    let call = |text: &str| json!({"tool_calls": [{"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": text}}]});
    // Without an adapter nothing has mended it before.
    for (adapter, finish, input) in [("", "tool_calls", None), ("", "length", Some(json!({})))] {
        let script = vllm(&[call("{\"city\": \"Os")], finish);
        let whole = json!({"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "served",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": null, "tool_calls": [{"id": "c", "type": "function",
                "function": {"name": "f", "arguments": "{\"city\": \"Os"}}]}, "logprobs": null, "finish_reason": finish}]});
        let upstream = Upstream::start(move |request| match request.json()["stream"] {
            Value::Bool(true) => script.clone(),
            _ => Script::json(200, &whole),
        })
        .await;
        let gateway = front(&upstream, adapter).start().await;
        let response = client(&gateway).post(PATH, &question()).await;
        let events = client(&gateway).post(PATH, &streamed()).await.events();
        match input {
            None => {
                assert_error(&response, 502, "api_error");
                assert_eq!(last_error(&events), "api_error");
            }
            Some(input) => {
                assert_eq!(super::whole(&response)[0]["input"], input);
                assert_eq!(response.json()["stop_reason"], "max_tokens");
                assert_eq!(super::delta(&events)["delta"]["stop_reason"], "max_tokens");
            }
        }
        gateway.shutdown().await;
    }
}

#[tokio::test]
async fn a_client_that_leaves_stops_the_model_server() {
    let script = Script::ndjson_head()
        .chunk(format!("{}\n", ollama::content("so far")))
        .hang();
    let upstream = Upstream::always(script).await;
    let gateway = front(&upstream, "ollama").start().await;
    let id = logs::id();
    let client = client(&gateway).with("x-request-id", &id);
    let mut stream = client
        .open(Method::POST, PATH, streamed().to_string())
        .await;
    while let Some(event) = stream.event().await {
        if event.name == "content_block_delta" {
            break;
        }
    }
    let left = stream.hang_up().await;
    let gone = upstream.next_request().await.disconnected().await;
    assert!(gone.saturating_duration_since(left) < Duration::from_secs(5));
    let seen = logs::seen(&id).await;
    assert_eq!(
        (&seen["error"], &seen["status"]),
        (&json!("client_closed"), &json!(200))
    );
    gateway.shutdown().await;
}
