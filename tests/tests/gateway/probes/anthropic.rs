//! The front for Anthropic's Messages API.

use std::time::Duration;

use serde_json::{Value, json};
use sluicegate_tests::client::{End, Response};
use sluicegate_tests::sse::Event;
use sluicegate_tests::upstream::{closed_port, ollama};
use sluicegate_tests::{Barrier, Client, Gateway, Script, Setup, Upstream, guest, logs};

use super::{
    KEYS, assert_is_json, before_canonical, before_ollama, before_vllm, chunks, engine_died,
    fronts, knows, vllm_greets,
};
use crate::common::{greets, with};

const PATH: &str = "/v1/messages";

/// How a script goes on.
type Then = Box<dyn Fn(Script) -> Script>;

fn question() -> Value {
    json!({"model": "qwen3:32b", "max_tokens": 64, "system": [{"type": "text", "text": "Be brief."}],
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi?"}]}]})
}

fn streamed() -> Value {
    with(question(), "stream", json!(true))
}

/// A client as Anthropic's SDKs are.
fn client(gateway: &Gateway) -> Client {
    knows(gateway).with("anthropic-version", "2023-06-01")
}

/// The response is this error in Anthropic's form.
#[track_caller]
fn assert_error(response: &Response, status: u16, kind: &str) {
    assert_is_json(response, status);
    let body = response.json();
    assert_eq!(body["type"], "error", "{body}");
    assert_eq!(body["error"]["type"], kind, "{body}");
    assert!(body["error"]["message"].is_string(), "{body}");
    assert_eq!(
        body["request_id"],
        response.header("x-request-id"),
        "{body}"
    );
    assert_eq!(
        response.header("request-id"),
        response.header("x-request-id")
    );
}

fn names(events: &[Event]) -> Vec<&str> {
    events.iter().map(|event| event.name.as_str()).collect()
}

/// The stream ends with an error in Anthropic's form, which is also the only one; gives its type.
#[track_caller]
fn last_error(events: &[Event]) -> String {
    let errors = events.iter().filter(|event| event.name == "error");
    assert_eq!(errors.count(), 1, "{:?}", names(events));
    let last = events.last().expect("an event");
    assert_eq!(last.name, "error");
    let data = last.json();
    assert_eq!(data["type"], "error");
    data["error"]["type"].as_str().expect("a type").to_owned()
}

#[tokio::test]
async fn a_message_is_asked_of_ollama_and_comes_back_whole() {
    let upstream = greets().await;
    let gateway = before_ollama(&upstream).start().await;
    let response = client(&gateway)
        .post("/v1/messages?beta=true", &question())
        .await;
    assert_is_json(&response, 200);
    let message = response.json();
    assert!(
        message["id"]
            .as_str()
            .is_some_and(|id| id.starts_with("msg_"))
    );
    assert_eq!(
        (&message["type"], &message["role"], &message["model"]),
        (&json!("message"), &json!("assistant"), &json!("qwen3:32b"))
    );
    assert_eq!(
        message["content"],
        json!([{"type": "text", "text": "Hello 你好"}])
    );
    assert_eq!(message["stop_reason"], "end_turn");
    assert_eq!(
        message["usage"],
        json!({"input_tokens": 11, "output_tokens": 18})
    );
    let asked = upstream.next_request().await;
    assert_eq!(
        (asked.method.as_str(), asked.target.as_str()),
        ("POST", "/api/chat")
    );
    for name in ["x-api-key", "anthropic-version", "authorization"] {
        assert!(!asked.fields.has(name), "{name}");
    }
    let body = asked.json();
    assert_eq!(
        body["messages"],
        json!([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi?"}])
    );
    assert_eq!(
        (&body["model"], &body["options"]["num_predict"]),
        (&json!("qwen3:32b"), &json!(64))
    );
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_stream_has_its_events_by_name_and_in_order() {
    let upstream = greets().await;
    let gateway = before_ollama(&upstream).start().await;
    let id = logs::id();
    let response = client(&gateway)
        .with("x-request-id", &id)
        .post(PATH, &streamed())
        .await;
    assert_eq!((response.status, response.complete), (200, true));
    assert!(
        response
            .header("content-type")
            .starts_with("text/event-stream")
    );
    let events = response.events();
    let delta = "content_block_delta";
    assert_eq!(
        names(&events),
        [
            "message_start",
            "content_block_start",
            delta,
            delta,
            delta,
            "content_block_stop",
            "message_delta",
            "message_stop"
        ]
    );
    for event in &events {
        assert_eq!(event.json()["type"], event.name.as_str());
    }
    assert_eq!(events[0].json()["message"]["content"], json!([]));
    let texts = events.iter().filter(|event| event.name == delta);
    let text: String = texts
        .map(|event| {
            event.json()["delta"]["text"]
                .as_str()
                .expect("a text")
                .to_owned()
        })
        .collect();
    assert_eq!(text, "Hello 你好");
    let last = events[6].json();
    assert_eq!(last["delta"]["stop_reason"], "end_turn");
    assert_eq!(
        last["usage"],
        json!({"input_tokens": 11, "output_tokens": 18})
    );
    assert_eq!(upstream.next_request().await.json()["stream"], true);
    let seen = logs::seen(&id).await;
    assert_eq!(
        (&seen["note_model"], &seen["note_stream"], &seen["error"]),
        (&json!("qwen3:32b"), &json!(true), &json!(""))
    );
    gateway.shutdown().await;
}

#[tokio::test]
async fn errors_from_before_the_model_server_come_in_the_dialect() {
    let upstream = greets().await;
    let gateway = before_ollama(&upstream)
        .limit("request-body = \"1KiB\"\nheader-bytes = \"8KiB\"")
        .start()
        .await;
    for body in [question(), streamed()] {
        // Nobody's key: `auth` refuses behind the front.
        let response = gateway.client().post(PATH, &body).await;
        assert_error(&response, 401, "authentication_error");
        // The gateway, in the middle of the request.
        let long = with(body.clone(), "metadata", json!("x".repeat(2000)));
        let response = client(&gateway).post(PATH, &long).await;
        assert_error(&response, 413, "request_too_large");
        // The gateway, before any stage has run.
        let coded = client(&gateway).with("content-encoding", "br");
        assert_error(&coded.post(PATH, &body).await, 415, "invalid_request_error");
        let fat = client(&gateway).with("x-fat", &"x".repeat(9000));
        assert_error(&fat.post(PATH, &body).await, 431, "invalid_request_error");
        // A stage that fails, in each of its phases before there is a response.
        for act in [
            "request-head=trap",
            "request-plan=whole, request-body=trap",
            "request-head=loop",
        ] {
            let client = client(&gateway).with(guest::FIELD, act);
            let response = client.post(PATH, &body).await;
            assert_error(&response, 502, "api_error");
            assert_eq!(response.header("x-should-retry"), "false", "{act}");
        }
        // A stage that refuses.
        let client = client(&gateway).with(guest::FIELD, "request-head=fail");
        let response = client.post(PATH, &body).await;
        assert_error(&response, 418, "invalid_request_error");
        assert_eq!(response.json()["error"]["message"], "The guest refuses.");
    }
    assert!(upstream.requests().is_empty());
    gateway.shutdown().await;
}

#[tokio::test]
async fn the_front_s_own_refusals_come_in_the_dialect() {
    let upstream = greets().await;
    let gateway = before_ollama(&upstream).start().await;
    let image = json!([{"role": "user", "content": [{"type": "image", "source": {}}]}]);
    for body in [
        json!({}),
        with(question(), "messages", image),
        with(question(), "max_tokens", json!("many")),
    ] {
        let id = logs::id();
        let client = client(&gateway).with("x-request-id", &id);
        let response = client.post(PATH, &body).await;
        assert_error(&response, 400, "invalid_request_error");
        // It is an error for the operator too.
        assert_eq!(logs::seen(&id).await["error"], "invalid_value");
    }
    assert!(upstream.requests().is_empty());
    gateway.shutdown().await;
}

#[tokio::test]
async fn errors_of_the_model_server_come_in_the_dialect() {
    let missing = json!({"error": "model 'qwen3:32b' not found"});
    let busy =
        json!({"error": "server busy, please try again.  maximum pending requests exceeded"});
    for (script, status, kind, retry_after) in [
        (Script::json(404, &missing), 404, "not_found_error", ""),
        (Script::json(503, &busy), 529, "overloaded_error", "2"),
        (Script::html(500, "<p>Oh"), 502, "api_error", ""),
        (Script::raw("").cut(), 502, "api_error", ""),
        (
            Script::ndjson(&[ollama::error("the runner has died")]),
            502,
            "api_error",
            "",
        ),
    ] {
        let upstream = Upstream::always(script).await;
        let gateway = before_ollama(&upstream).start().await;
        for body in [question(), streamed()] {
            let response = client(&gateway).post(PATH, &body).await;
            assert_error(&response, status, kind);
            assert_eq!(response.header("retry-after"), retry_after);
            assert_eq!(upstream.next_request().await.path(), "/api/chat");
        }
        gateway.shutdown().await;
    }
    // A server that is not there, and one that does not answer.
    let (_port, address) = closed_port();
    let silent = Upstream::always(Script::silent()).await;
    for (url, status, kind) in [
        (format!("http://{address}"), 502, "api_error"),
        (silent.url(), 504, "timeout_error"),
    ] {
        let setup = Setup::before_url(&url).upstream("timeout = { first-byte = \"100ms\" }");
        let gateway = fronts(setup.stages(KEYS, "")).start().await;
        for body in [question(), streamed()] {
            assert_error(&client(&gateway).post(PATH, &body).await, status, kind);
        }
        gateway.shutdown().await;
    }
}

#[tokio::test]
async fn a_stage_that_fails_on_the_response_head_or_a_whole_body_is_an_error_in_the_dialect() {
    let upstream = greets().await;
    let gateway = before_ollama(&upstream).start().await;
    for (acts, streams) in [
        ("response-head=trap", true),
        ("response-head=trap", false),
        ("response-plan=whole, response-body=trap", true),
        ("response-plan=whole, response-body=trap", false),
        ("response-plan=document, response-end=trap", true),
    ] {
        let body = with(question(), "stream", json!(streams));
        let client = client(&gateway).with(guest::FIELD, acts);
        assert_error(&client.post(PATH, &body).await, 502, "api_error");
    }
    gateway.shutdown().await;
}

#[tokio::test]
async fn an_error_in_mid_stream_is_one_event_in_the_dialect_and_the_last() {
    let trap = "response-plan=sse, later-events=trap";
    let later = |line: Value| move |script: Script| script.chunk(format!("{line}\n"));
    let cases: [(&str, Then, &str, &str); 5] = [
        (
            "",
            Box::new(|script| script),
            "upstream_truncated",
            "api_error",
        ),
        (
            "",
            Box::new(later(ollama::error("the runner has died"))),
            "upstream_error",
            "api_error",
        ),
        ("", Box::new(Script::cut), "upstream_broken", "api_error"),
        (
            "",
            Box::new(Script::hang),
            "upstream_idle_timeout",
            "timeout_error",
        ),
        (
            trap,
            Box::new(later(ollama::content("more"))),
            "plugin_fault",
            "api_error",
        ),
    ];
    for (acts, then, code, kind) in cases {
        let gate = Barrier::new();
        let first = format!("{}\n", ollama::content("Hello"));
        let script = Script::ndjson_head().chunk(first).wait(&gate);
        let upstream = Upstream::always(then(script)).await;
        let gateway = before_ollama(&upstream)
            .upstream("timeout = { idle = \"200ms\" }")
            .start()
            .await;
        let id = logs::id();
        let client = client(&gateway)
            .with("x-request-id", &id)
            .with(guest::FIELD, acts);
        // As a stream: the head has gone out with the first text.
        let mut stream = client
            .open(hyper::Method::POST, PATH, streamed().to_string())
            .await;
        assert_eq!(stream.status, 200);
        let mut events = Vec::new();
        while events.len() < 3 {
            events.push(stream.event().await.expect("the beginning"));
        }
        gate.open();
        while let Some(event) = stream.event().await {
            events.push(event);
        }
        assert_eq!(stream.end(), Some(End::Proper), "{code}");
        assert_eq!(last_error(&events), kind, "{code}");
        assert_eq!(
            names(&events)[..3],
            [
                "message_start",
                "content_block_start",
                "content_block_delta"
            ]
        );
        assert_eq!(events.len(), 4, "{:?}", names(&events));
        let seen = logs::seen(&id).await;
        assert_eq!(
            (&seen["status"], &seen["error"]),
            (&json!(200), &json!(code))
        );
        if acts == trap {
            // There is one event to see, and no later one.
            gateway.shutdown().await;
            continue;
        }
        // As one message: there is a status yet.
        let response = client.post(PATH, &question()).await;
        let status = if kind == "timeout_error" { 504 } else { 502 };
        assert_error(&response, status, kind);
        gateway.shutdown().await;
    }
}

#[tokio::test]
async fn behind_an_early_head_an_error_is_one_event_in_the_dialect() {
    for (bytes, kind) in [
        (
            "HTTP/1.1 404 Not Found\r\ncontent-type: application/json\r\ncontent-length: 39\r\n\r\n{\"error\":\"model 'qwen3:32b' not found\"}",
            "not_found_error",
        ),
        ("", "api_error"),
    ] {
        let later = Barrier::new();
        let script = Script::raw("").wait(&later).bytes(bytes).cut();
        let upstream = Upstream::always(script).await;
        let gateway = before_ollama(&upstream)
            .server("heartbeat = \"30ms\"")
            .start()
            .await;
        let client = client(&gateway);
        let mut stream = client
            .open(hyper::Method::POST, PATH, streamed().to_string())
            .await;
        assert_eq!(stream.status, 200);
        assert_eq!(stream.header("request-id"), stream.header("x-request-id"));
        later.open();
        let mut events = Vec::new();
        while let Some(event) = stream.event().await {
            events.push(event);
        }
        assert_eq!(last_error(&events), kind);
        assert_eq!(events.len(), 1);
        gateway.shutdown().await;
    }
}

#[tokio::test]
async fn a_front_before_another_vendor_s_adapter_needs_to_know_nothing_of_it() {
    let upstream = vllm_greets().await;
    let gateway = before_vllm(&upstream).start().await;
    let response = client(&gateway).post(PATH, &question()).await;
    assert_is_json(&response, 200);
    let message = response.json();
    assert_eq!(
        (&message["content"][0]["text"], &message["model"]),
        (&json!("Hello"), &json!("qwen3:32b"))
    );
    let asked = upstream.next_request().await;
    assert_eq!(
        (asked.target.as_str(), &asked.json()["stream"]),
        ("/v1/chat/completions", &json!(false))
    );
    let response = client(&gateway).post(PATH, &streamed()).await;
    let events = response.events();
    assert_eq!(names(&events).last(), Some(&"message_stop"));
    let usage = &events[events.len() - 2].json()["usage"];
    assert_eq!(usage, &json!({"input_tokens": 7, "output_tokens": 5}));
    gateway.shutdown().await;

    // An error as its first event, one later, and one that comes with what is before it.
    let pause = Duration::from_millis(20);
    for (texts, pause, status) in [
        (&[][..], pause, 529),
        (&["Hel"][..], pause, 200),
        (&["Hel"][..], Duration::ZERO, 200),
    ] {
        let begun = if texts.is_empty() {
            String::new()
        } else {
            chunks(texts).concat()
        };
        let script = if pause.is_zero() {
            Script::sse_head().chunk(begun + &engine_died())
        } else {
            let script = Script::sse_head().chunk(begun).sleep(pause);
            script.chunk(engine_died())
        };
        let upstream = Upstream::always(script).await;
        let gateway = before_vllm(&upstream).start().await;
        // Another stage on the way must not make a difference.
        for acts in ["", "response-plan=sse", "response-plan=chunks"] {
            let client = client(&gateway).with(guest::FIELD, acts);
            let response = client.post(PATH, &streamed()).await;
            if status != 200 {
                assert_error(&response, status, "overloaded_error");
                break;
            }
            assert_eq!(response.status, 200, "{acts}");
            let kind = response.header("content-type");
            assert!(kind.starts_with("text/event-stream"), "{acts}: {kind}");
            let events = response.events();
            assert_eq!(last_error(&events), "overloaded_error", "{acts}");
            assert_eq!(names(&events)[0], "message_start", "{acts}");
        }
        gateway.shutdown().await;
    }
}

#[tokio::test]
async fn the_front_s_own_faults_in_mid_stream_come_in_the_dialect() {
    for (rest, code) in [
        ("data: nonsense\n\n".to_owned(), "upstream_invalid"),
        // An end without the end marker.
        (String::new(), "upstream_truncated"),
        // Not even an event that can be shown to it.
        (
            format!("data: {}\n\n", "x".repeat(100_000)),
            "upstream_invalid",
        ),
    ] {
        let script = Script::sse_head().chunks(chunks(&["Hel"]));
        let script = script.sleep(Duration::from_millis(20)).chunk(rest);
        let upstream = Upstream::always(script).await;
        let gateway = before_canonical(&upstream)
            .limit("event = \"64KiB\"")
            .start()
            .await;
        let id = logs::id();
        let client = client(&gateway).with("x-request-id", &id);
        let response = client.post(PATH, &streamed()).await;
        assert_eq!((response.status, response.complete), (200, true));
        let events = response.events();
        assert_eq!(
            names(&events),
            [
                "message_start",
                "content_block_start",
                "content_block_delta",
                "error"
            ]
        );
        assert_eq!(last_error(&events), "api_error");
        assert_eq!(logs::seen(&id).await["error"], code);
        gateway.shutdown().await;
    }
}

#[tokio::test]
async fn a_response_that_cannot_be_had_or_translated_is_an_error_in_the_dialect() {
    let json = || Script::status(200).field("content-type", "application/json");
    let coded = json().field("content-encoding", "gzip").body("\u{1f}…");
    let odd = Script::json(200, &json!({"choices": "none"}));
    let elsewhere = Script::redirect(307, "/elsewhere");
    let large = json().body(json!({"padding": "x".repeat(100_000)}).to_string());
    let broken = json().length(100).chunk("{\"id\":").cut();
    for script in [large, broken, coded, odd, elsewhere] {
        let upstream = Upstream::always(script).await;
        let gateway = before_canonical(&upstream)
            .limit("response-body = \"64KiB\"")
            .start()
            .await;
        let response = client(&gateway).post(PATH, &question()).await;
        assert_error(&response, 502, "api_error");
        gateway.shutdown().await;
    }
}

#[tokio::test]
async fn as_long_as_no_head_is_out_the_status_of_an_error_is_the_front_s() {
    let script = Script::sse_head().chunks(chunks(&[]));
    let script = script.sleep(Duration::from_millis(20)).chunk(engine_died());
    let upstream = Upstream::always(script).await;
    let gateway = before_vllm(&upstream).start().await;
    // Nothing of the first chunk gets to the front.
    let acts = "response-plan=sse, response-events=drop, later-events=pass";
    let client = client(&gateway).with(guest::FIELD, acts);
    let response = client.post(PATH, &streamed()).await;
    assert_error(&response, 529, "overloaded_error");
    gateway.shutdown().await;
}
