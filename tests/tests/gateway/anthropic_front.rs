//! Clients of Anthropic's Messages API in front of model servers of other vendors: what the client gets, and what the server
//! is asked. The cases of the translation itself are in the plugin's own tests.

mod agent;
mod failures;

use serde_json::{Value, json};
use sluicegate_tests::client::Response;
use sluicegate_tests::sse::Event;
use sluicegate_tests::upstream::ollama;
use sluicegate_tests::{Client, Gateway, Script, Setup, Upstream, guest};

use crate::common::{greets, with};

const PATH: &str = "/v1/messages";
const COUNT: &str = "/v1/messages/count_tokens";

/// A key that the gateway knows.
const KEYS: &str = r#"{ name = "agent", key = "sk-agent" }"#;

/// The front with the usual stages behind it. Before `aggregate` stands the guest filter, which does as the request says.
fn front(upstream: &Upstream, adapter: &str) -> Setup {
    let observed = "observers = [\"access-log\", \"observer\"]";
    let messages = r#"["anthropic", "auth", "guest", "aggregate"]"#;
    Setup::before(upstream)
        .stages(KEYS, "")
        .adapter(adapter)
        .plugin("anthropic", "builtin:anthropic", "")
        .plugin("guest", guest::FILTER, "")
        .route(PATH, messages, observed)
        .route("/v1/messages/*", r#"["anthropic", "auth"]"#, observed)
        .route("/claude/v1/*", messages, observed)
}

/// A client as Anthropic's are.
fn client(gateway: &Gateway) -> Client {
    let client = gateway.client().with("x-api-key", "sk-agent");
    client.with("anthropic-version", "2023-06-01")
}

fn question() -> Value {
    json!({"model": "qwen3:32b", "max_tokens": 64, "messages": [{"role": "user", "content": "Hi?"}]})
}

fn streamed() -> Value {
    with(question(), "stream", json!(true))
}

/// The names of events, each once where it repeats.
fn order(events: &[Event]) -> Vec<&str> {
    let mut names: Vec<&str> = events.iter().map(|event| event.name.as_str()).collect();
    names.dedup();
    names
}

/// The content that a client puts together of a stream: the texts of blocks, and of calls the JSON.
fn content(events: &[Event]) -> Value {
    let mut blocks: Vec<(Value, String)> = Vec::new();
    for event in events {
        let data = event.json();
        match event.name.as_str() {
            "content_block_start" => {
                assert_eq!(data["index"], blocks.len());
                blocks.push((data["content_block"].clone(), String::new()));
            }
            "content_block_delta" => {
                assert_eq!(data["index"], blocks.len() - 1);
                let (_, text) = blocks.last_mut().expect("a block");
                let delta = &data["delta"];
                let parts = [&delta["text"], &delta["thinking"], &delta["partial_json"]];
                text.extend(parts.into_iter().filter_map(Value::as_str));
            }
            _ => {}
        }
    }
    let finished = blocks.into_iter().map(|(mut block, text)| {
        match block["type"].as_str() {
            Some("tool_use") => {
                let text = if text.is_empty() { "{}" } else { &text };
                block["input"] = serde_json::from_str(text).expect("JSON");
            }
            Some("thinking") => block = json!({"type": "thinking", "thinking": text}),
            _ => block["text"] = json!(text),
        }
        block
    });
    finished.collect()
}

/// The content of a whole message, without signatures.
fn whole(response: &Response) -> Value {
    assert_eq!(response.status, 200, "{}", response.text());
    let mut content = response.json()["content"].take();
    for block in content.as_array_mut().expect("a list") {
        block.as_object_mut().expect("a block").remove("signature");
    }
    content
}

/// The `message_delta` of a stream.
fn delta(events: &[Event]) -> Value {
    let delta = events.iter().find(|event| event.name == "message_delta");
    delta.expect("a `message_delta`").json()
}

/// What a vLLM sends in a stream: a chunk for each of these deltas, then finish and usage.
fn vllm(deltas: &[Value], finish: &str) -> Script {
    let chunk = |choices: Value, usage: Value| {
        let chunk = json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "served",
            "choices": choices, "usage": usage});
        format!("data: {chunk}\n\n")
    };
    let choice = |delta: &Value, finish: Value| {
        let choice = json!({"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish});
        chunk(json!([choice]), Value::Null)
    };
    let role = choice(&json!({"role": "assistant", "content": ""}), Value::Null);
    let chunks = deltas.iter().map(|delta| choice(delta, Value::Null));
    let usage = json!({"prompt_tokens": 7, "total_tokens": 12, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 4}});
    Script::sse_head()
        .chunk(role)
        .chunks(chunks)
        .chunk(choice(&json!({}), json!(finish)))
        .chunk(chunk(json!([]), usage))
        .chunk("data: [DONE]\n\n")
}

#[tokio::test]
async fn a_message_comes_whole_and_streamed_from_both_vendors() {
    let greeting = json!([{"type": "text", "text": "Hello 你好"}]);
    let of_vllm = vllm(
        &[json!({"content": "Hello "}), json!({"content": "你好"})],
        "stop",
    );
    for (adapter, upstream, path, usage) in [
        (
            "ollama",
            greets().await,
            "/api/chat",
            json!({"input_tokens": 11, "output_tokens": 18}),
        ),
        (
            "vllm",
            Upstream::always(of_vllm).await,
            "/v1/chat/completions",
            json!({"input_tokens": 3, "cache_read_input_tokens": 4, "output_tokens": 5}),
        ),
    ] {
        let gateway = front(&upstream, adapter).start().await;
        let client = client(&gateway).with("anthropic-beta", "x-2026-01-01");
        let response = client.post("/v1/messages?beta=true", &question()).await;
        assert_eq!(whole(&response), greeting);
        let message = response.json();
        assert_eq!(
            (&message["type"], &message["model"], &message["usage"]),
            (&json!("message"), &json!("qwen3:32b"), &usage)
        );
        assert_eq!(message["stop_reason"], "end_turn");
        assert_eq!(
            response.header("request-id"),
            response.header("x-request-id")
        );

        let response = client.post(PATH, &streamed()).await;
        assert_eq!((response.status, response.complete), (200, true));
        assert_eq!(
            response.header("request-id"),
            response.header("x-request-id")
        );
        let events = response.events();
        let expected = [
            "message_start",
            "ping",
            "content_block_start",
            "content_block_delta",
            "content_block_stop",
            "message_delta",
            "message_stop",
        ];
        assert_eq!(order(&events), expected, "{adapter}");
        assert_eq!(content(&events), greeting);
        assert_eq!(events[0].json()["message"]["usage"]["input_tokens"], 0);
        assert_eq!(delta(&events)["usage"], usage);
        for _ in 0..2 {
            let asked = upstream.next_request().await;
            assert_eq!(asked.target, path, "{adapter}");
            for name in [
                "x-api-key",
                "anthropic-version",
                "anthropic-beta",
                "authorization",
            ] {
                assert!(!asked.fields.has(name), "{name}");
            }
            let body = asked.json();
            assert_eq!(body["messages"], question()["messages"]);
            let limit = match adapter {
                "ollama" => &body["options"]["num_predict"],
                _ => &body["max_tokens"],
            };
            assert_eq!(limit, 64);
        }
        gateway.shutdown().await;
    }
}

#[tokio::test]
async fn an_image_gets_to_both_vendors() {
    let image = json!({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}});
    let text = json!({"type": "text", "text": "What?"});
    let asked = with(
        question(),
        "messages",
        json!([{"role": "user", "content": [image, text]}]),
    );
    for (adapter, expected) in [
        (
            "ollama",
            json!([{"role": "user", "content": "What?", "images": ["AA=="]}]),
        ),
        (
            "vllm",
            json!([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}},
                {"type": "text", "text": "What?"}]}]),
        ),
    ] {
        let script = match adapter {
            "ollama" => Script::ndjson(&ollama::stream(&["A dot."])),
            _ => vllm(&[json!({"content": "A dot."})], "stop"),
        };
        let upstream = Upstream::always(script).await;
        let gateway = front(&upstream, adapter).start().await;
        let response = client(&gateway).post(PATH, &asked).await;
        assert_eq!(
            whole(&response),
            json!([{"type": "text", "text": "A dot."}])
        );
        let asked = upstream.next_request().await.json();
        assert_eq!(asked["messages"], expected, "{adapter}");
        gateway.shutdown().await;
    }
}

#[tokio::test]
async fn tokens_are_counted_or_estimated() {
    let mut asked = with(question(), "system", json!("Be brief."));
    asked
        .as_object_mut()
        .expect("an object")
        .remove("max_tokens");
    let upstream = Upstream::always(Script::json(200, &json!({"count": 9}))).await;
    for (adapter, estimates) in [("vllm", ""), ("ollama", "true")] {
        let gateway = front(&upstream, adapter).start().await;
        let response = client(&gateway).post(COUNT, &asked).await;
        assert_eq!(response.status, 200, "{}", response.text());
        assert_eq!(response.header("x-sluicegate-estimate"), estimates);
        let counted = response.json();
        let tokens = counted["input_tokens"].as_u64().expect("a number");
        assert_eq!(counted, json!({"input_tokens": tokens}));
        assert_eq!(tokens == 9, adapter == "vllm", "{tokens}");
        let refused = client(&gateway).post(COUNT, &json!({"model": "m"})).await;
        failures::assert_error(&refused, 400, "invalid_request_error");
        gateway.shutdown().await;
    }
    let asked = upstream.next_request().await;
    assert_eq!(
        (asked.target.as_str(), upstream.requests().len()),
        ("/tokenize", 1)
    );
    let system = json!({"role": "system", "content": "Be brief."});
    assert_eq!(asked.json()["messages"][0], system);
}

#[tokio::test]
async fn models_are_listed_under_a_route_of_their_own() {
    let tags = json!({"models": [{"name": "qwen3:32b", "model": "qwen3:32b", "modified_at": "2026-01-01T00:00:00Z", "size": 1, "digest": "d", "details": {}}]});
    let upstream = Upstream::always(Script::json(200, &tags)).await;
    let gateway = front(&upstream, "ollama").start().await;
    let model = json!({"type": "model", "id": "qwen3:32b", "display_name": "qwen3:32b", "created_at": "2026-01-01T00:00:00Z"});
    let response = client(&gateway).get("/claude/v1/models?limit=20").await;
    let list = json!({"data": [model], "has_more": false, "first_id": "qwen3:32b", "last_id": "qwen3:32b"});
    assert_eq!((response.status, response.json()), (200, list));
    let response = client(&gateway).get("/claude/v1/models/qwen3:32b").await;
    assert_eq!(response.json(), model);
    let response = client(&gateway).get("/claude/v1/models/nobody").await;
    failures::assert_error(&response, 404, "not_found_error");
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_stage_behind_the_front_rewrites_what_the_client_gets() {
    let words = ["this is a simu", "lation of a simul", "acrum 模", "拟"];
    let upstream = Upstream::always(Script::ndjson(&ollama::stream(&words))).await;
    let config = "config = { words = [\"simulation\", \"模拟\"], replacement = \"[…]\" }";
    let pipeline = r#"["anthropic", "auth", "aggregate", "redact"]"#;
    let gateway = Setup::before(&upstream)
        .stages(KEYS, "")
        .plugin("anthropic", "builtin:anthropic", "")
        .plugin("redact", "builtin:redact", config)
        .route(PATH, pipeline, "")
        .start()
        .await;
    let expected = json!([{"type": "text", "text": "this is a […] of a simulacrum […]"}]);
    let response = client(&gateway).post(PATH, &question()).await;
    assert_eq!(whole(&response), expected);
    let response = client(&gateway).post(PATH, &streamed()).await;
    assert_eq!(content(&response.events()), expected);
    assert_eq!(
        delta(&response.events())["delta"]["stop_reason"],
        "end_turn"
    );
    gateway.shutdown().await;

    // Errors too, before the first byte and in mid-stream.
    let said = json!({"error": "this prompt is no simulation"});
    let refuses = Upstream::always(Script::json(400, &said)).await;
    let breaks = Upstream::always(Script::ndjson(&[ollama::content("Hello"), said])).await;
    for (upstream, status) in [(refuses, 400), (breaks, 200)] {
        let gateway = Setup::before(&upstream)
            .stages(KEYS, "")
            .plugin("anthropic", "builtin:anthropic", "")
            .plugin("redact", "builtin:redact", config)
            .route(PATH, pipeline, "")
            .start()
            .await;
        let response = client(&gateway).post(PATH, &streamed()).await;
        assert_eq!(response.status, status);
        let text = response.text();
        assert!(text.contains("this prompt is no […]"), "{text}");
        assert!(!text.contains("simulation"), "{text}");
        gateway.shutdown().await;
    }
}

#[tokio::test]
async fn the_example_works_with_its_own_configuration() {
    let upstream = greets().await;
    let toml = include_str!("../../../examples/anthropic/sluicegate.toml")
        .replace("127.0.0.1:8080\"", "127.0.0.1:0\"")
        .replace("127.0.0.1:9180\"", "127.0.0.1:0\"")
        .replace("http://127.0.0.1:11434", &upstream.url());
    let gateway = Gateway::start(&toml).await.expect("a legal configuration");
    let asked = with(question(), "model", json!("claude-sonnet-4-5"));
    let response = client(&gateway).post(PATH, &asked).await;
    assert_eq!(
        whole(&response),
        json!([{"type": "text", "text": "Hello 你好"}])
    );
    assert_eq!(response.json()["model"], "claude-sonnet-4-5");
    assert_eq!(upstream.next_request().await.json()["model"], "qwen3:32b");
    let response = client(&gateway).post(COUNT, &asked).await;
    assert_eq!(
        (response.status, response.header("x-sluicegate-estimate")),
        (200, "true")
    );
    // OpenAI's API is beside it.
    let response = gateway.client().chat(&crate::common::question()).await;
    assert_eq!(response.json()["object"], "chat.completion");
    gateway.shutdown().await;
}
