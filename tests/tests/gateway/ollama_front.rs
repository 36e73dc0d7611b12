//! The front for Ollama's own API, before a vLLM and before an Ollama: what its clients got, and what the model server got.

mod failures;
mod webui;

use serde_json::{Value, json};
use sluicegate_tests::client::Response;
use sluicegate_tests::upstream::ollama;
use sluicegate_tests::{Client, Gateway, Script, Setup, Upstream, guest};

use crate::common::with;

const PATH: &str = "/api/chat";

/// A key that the gateway knows.
const KEYS: &str = r#"{ name = "front", key = "sk-front" }"#;

/// A picture of one pixel, or the beginning of one.
const PNG: &str = "iVBORw0KGgoAAAANSUhEUg==";

/// The front with the usual stages. Before `aggregate` stands the guest filter, which does as the request says.
fn front(upstream: &Upstream, adapter: &str) -> Setup {
    let stages = r#"["ollama-api", "auth", "guest", "aggregate"]"#;
    let observed = r#"observers = ["access-log", "observer"]"#;
    Setup::before(upstream)
        .stages(KEYS, "")
        .adapter(adapter)
        .plugin(
            "ollama-api",
            "builtin:ollama-api",
            "config = { version = \"1.2.3\" }",
        )
        .plugin("guest", guest::FILTER, "")
        .route("/api/*", stages, observed)
        .route("/", stages, observed)
}

/// A client that has the key.
fn knows(gateway: &Gateway) -> Client {
    gateway
        .client()
        .with("authorization", "Bearer sk-front")
        .with("content-type", "application/json")
}

/// For a stream: that is the default here.
fn question() -> Value {
    json!({"model": "m", "messages": [{"role": "user", "content": "Hi?"}]})
}

fn unary(question: Value) -> Value {
    with(question, "stream", json!(false))
}

/// One event of vLLM's stream.
fn event(delta: &Value, finish: Option<&str>) -> String {
    let choice = json!({"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish});
    let chunk = json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "served-name",
        "choices": [choice]});
    format!("data: {chunk}\n\n")
}

fn text(text: &str) -> String {
    event(&json!({"content": text}), None)
}

/// A vLLM's stream of these events, with its begin and its end.
fn stream(events: &[String], finish: &str) -> Script {
    let usage = json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "served-name",
        "choices": [], "usage": {"prompt_tokens": 7, "total_tokens": 12, "completion_tokens": 5}});
    Script::sse_head()
        .chunk(event(&json!({"role": "assistant", "content": ""}), None))
        .chunks(events.to_vec())
        .chunk(event(&json!({}), Some(finish)))
        .chunk(format!("data: {usage}\n\ndata: [DONE]\n\n"))
}

/// The lines of a stream that ended as it should.
#[track_caller]
fn lines(response: &Response) -> Vec<Value> {
    assert_eq!(
        (response.status, response.complete),
        (200, true),
        "{}",
        response.text()
    );
    assert_eq!(response.header("content-type"), "application/x-ndjson");
    let text = response.text();
    assert!(text.ends_with('\n'), "{text:?}");
    let lines = text.lines();
    lines
        .map(|line| serde_json::from_str(line).expect("a line of JSON"))
        .collect()
}

/// The response is one JSON object.
#[track_caller]
fn object(response: &Response, status: u16) -> Value {
    assert_eq!(
        (response.status, response.complete),
        (status, true),
        "{}",
        response.text()
    );
    let kind = response.header("content-type");
    assert!(kind.starts_with("application/json"), "{kind}");
    assert!(!response.header("x-request-id").is_empty());
    response.json()
}

#[track_caller]
fn joined(lines: &[Value], member: &str) -> String {
    let texts = lines.iter().map(|line| line["message"][member].as_str());
    texts.map(Option::unwrap_or_default).collect()
}

#[tokio::test]
async fn a_vllm_answers_a_chat_as_an_ollama_does() {
    let thought = event(&json!({"reasoning": "Let me"}), None);
    let script = stream(&[thought, text("Hel"), text("lo 你好")], "stop");
    let upstream = Upstream::always(script).await;
    let gateway = front(&upstream, "vllm").start().await;
    let asked = json!({
        "model": "m:latest", "messages": [{"role": "user", "content": "Hi?"}], "think": true, "keep_alive": "5m",
        "options": {"num_predict": 64, "top_k": 40, "repeat_penalty": 1.5, "stop": ["x"], "num_gpu": 1},
    });

    let response = knows(&gateway).post(PATH, &asked).await;
    assert_eq!(response.header("x-accel-buffering"), "no");
    let found = lines(&response);
    assert_eq!(
        (joined(&found, "thinking"), joined(&found, "content")),
        ("Let me".into(), "Hello 你好".into())
    );
    assert!(found.iter().all(|line| line["model"] == "m:latest"));
    let (last, before) = found.split_last().expect("lines");
    assert!(before.iter().all(|line| line["done"] == false));
    assert_eq!(
        (&last["done"], &last["done_reason"]),
        (&json!(true), &json!("stop"))
    );
    assert_eq!(
        (&last["prompt_eval_count"], &last["eval_count"]),
        (&json!(7), &json!(5))
    );
    assert!(
        last["total_duration"]
            .as_u64()
            .is_some_and(|nanoseconds| nanoseconds > 0)
    );

    let whole = object(&knows(&gateway).post(PATH, &unary(asked)).await, 200);
    assert_eq!(
        whole["message"],
        json!({"role": "assistant", "content": "Hello 你好", "thinking": "Let me"})
    );
    assert_eq!(
        (&whole["done"], &whole["eval_count"]),
        (&json!(true), &json!(5))
    );

    for _ in 0..2 {
        let asked = upstream.next_request().await;
        assert_eq!(
            (&*asked.method, &*asked.target),
            ("POST", "/v1/chat/completions")
        );
        assert_eq!(asked.header("authorization"), None);
        let template = json!({"enable_thinking": true, "thinking": true});
        assert_eq!(
            asked.json(),
            json!({
                "model": "m", "messages": [{"role": "user", "content": "Hi?"}], "stream": true,
                "stream_options": {"include_usage": true}, "chat_template_kwargs": template,
                "max_tokens": 64, "top_k": 40, "repetition_penalty": 1.5, "stop": ["x"],
            })
        );
    }
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_call_of_a_tool_goes_there_and_back() {
    let call = |call: Value| event(&json!({"tool_calls": [call]}), None);
    let calls = [
        call(
            json!({"index": 0, "id": "call_a", "type": "function", "function": {"name": "get_weather", "arguments": ""}}),
        ),
        call(json!({"index": 0, "function": {"arguments": "{\"city\": "}})),
        call(json!({"index": 0, "function": {"arguments": "\"Oslo\"}"}})),
        call(
            json!({"index": 1, "id": "call_b", "type": "function", "function": {"name": "get_time", "arguments": "{}"}}),
        ),
    ];
    let upstream = Upstream::sequence(vec![
        stream(&calls, "tool_calls"),
        stream(&calls, "tool_calls"),
        stream(&[text("12 degrees")], "stop"),
    ])
    .await;
    let gateway = front(&upstream, "vllm").start().await;
    let function = |name: &str| json!({"type": "function", "function": {"name": name, "parameters": {"type": "object"}}});
    let tools = json!([function("get_weather"), function("get_time")]);
    let asked = with(question(), "tools", tools.clone());

    let found = lines(&knows(&gateway).post(PATH, &asked).await);
    assert_eq!(found.len(), 2);
    let called = json!([
        {"id": "call_a", "function": {"index": 0, "name": "get_weather", "arguments": {"city": "Oslo"}}},
        {"id": "call_b", "function": {"index": 1, "name": "get_time", "arguments": {}}},
    ]);
    assert_eq!(
        found[0]["message"],
        json!({"role": "assistant", "content": "", "tool_calls": called})
    );
    assert_eq!(
        (&found[0]["done"], &found[1]["done_reason"]),
        (&json!(false), &json!("stop"))
    );
    assert_eq!(upstream.next_request().await.json()["tools"], tools);
    let whole = object(
        &knows(&gateway).post(PATH, &unary(asked.clone())).await,
        200,
    );
    assert_eq!(whole["message"], found[0]["message"]);
    upstream.next_request().await;

    // As older clients send it: without ids.
    let mut message = whole["message"].clone();
    for call in message["tool_calls"].as_array_mut().expect("calls") {
        call.as_object_mut().expect("a call").remove("id");
    }
    let mut next = asked;
    let messages = next["messages"].as_array_mut().expect("messages");
    messages.push(message);
    messages.push(json!({"role": "tool", "tool_name": "get_time", "content": "noon"}));
    messages.push(json!({"role": "tool", "tool_name": "get_weather", "content": "12"}));
    let found = lines(&knows(&gateway).post(PATH, &next).await);
    assert_eq!(joined(&found, "content"), "12 degrees");
    let sent = upstream.next_request().await.json();
    let sent = sent["messages"].as_array().expect("messages");
    let call = &sent[1]["tool_calls"][0];
    let arguments = call["function"]["arguments"].as_str().expect("a text");
    let arguments: Value = serde_json::from_str(arguments).expect("JSON");
    assert_eq!(arguments, json!({"city": "Oslo"}));
    assert_eq!(
        (&sent[2]["tool_call_id"], &sent[3]["tool_call_id"]),
        (&sent[1]["tool_calls"][1]["id"], &call["id"])
    );
    gateway.shutdown().await;
}

#[tokio::test]
async fn images_schemas_and_levels_reach_both_kinds_of_servers() {
    let schema = json!({"type": "object", "properties": {"name": {"type": "string"}}});
    let asked = json!({
        "model": "m", "format": schema, "think": "low", "logprobs": true, "top_logprobs": 2,
        "options": {"num_ctx": 2048, "min_p": 0.5, "seed": 7},
        "messages": [{"role": "user", "content": "What is it?", "images": [PNG]}],
    });

    let upstream = Upstream::always(stream(&[text("{}")], "stop")).await;
    let gateway = front(&upstream, "vllm").start().await;
    let found = lines(&knows(&gateway).post(PATH, &asked).await);
    assert_eq!(joined(&found, "content"), "{}");
    let sent = upstream.next_request().await.json();
    let image =
        json!({"type": "image_url", "image_url": {"url": format!("data:image/png;base64,{PNG}")}});
    assert_eq!(
        sent["messages"][0]["content"],
        json!([image, {"type": "text", "text": "What is it?"}])
    );
    assert_eq!(sent["response_format"]["json_schema"]["schema"], schema);
    assert_eq!(
        (&sent["reasoning_effort"], &sent["top_logprobs"]),
        (&json!("low"), &json!(2))
    );
    assert_eq!((&sent["min_p"], &sent["seed"]), (&json!(0.5), &json!(7)));
    gateway.shutdown().await;

    let upstream = Upstream::always(Script::ndjson(&ollama::stream(&["{}"]))).await;
    let gateway = front(&upstream, "ollama").start().await;
    let found = lines(&knows(&gateway).post(PATH, &asked).await);
    assert_eq!(
        (joined(&found, "content"), &found[1]["eval_count"]),
        ("{}".into(), &json!(18))
    );
    let sent = upstream.next_request().await.json();
    assert_eq!(
        sent["messages"],
        json!([{"role": "user", "content": "What is it?", "images": [PNG]}])
    );
    assert_eq!(
        (&sent["format"], &sent["think"], &sent["logprobs"]),
        (&schema, &json!("low"), &json!(true))
    );
    for (name, value) in [
        ("num_ctx", json!(2048)),
        ("min_p", json!(0.5)),
        ("seed", json!(7)),
    ] {
        assert_eq!(sent["options"][name], value, "{name}");
    }
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_prompt_is_a_chat_or_a_completion() {
    let upstream = Upstream::start(|request| match (request.path(), &request.json()["stream"]) {
        ("/v1/completions", Value::Bool(true)) => {
            let chunk = |text: &str, finish: Option<&str>| {
                let choice = json!({"index": 0, "text": text, "logprobs": null, "finish_reason": finish});
                let chunk = json!({"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "x", "choices": [choice]});
                format!("data: {chunk}\n\n")
            };
            let end = "data: [DONE]\n\n".to_owned();
            Script::sse_head().chunks([chunk("Hel", None), chunk("lo", Some("length")), end])
        }
        _ => stream(&[text("Hello")], "stop"),
    })
    .await;
    let gateway = front(&upstream, "vllm").start().await;
    let client = knows(&gateway);
    let said = |lines: &[Value]| -> String {
        let texts = lines.iter().map(|line| line["response"].as_str());
        texts.map(|text| text.expect("a text")).collect()
    };

    let asked = json!({"model": "m", "prompt": "Hi?", "system": "Be kind.", "images": [PNG]});
    let found = lines(&client.post("/api/generate", &asked).await);
    assert_eq!(
        (said(&found), &found[1]["eval_count"]),
        ("Hello".into(), &json!(5))
    );
    let sent = upstream.next_request().await;
    assert_eq!(
        (&*sent.target, &sent.json()["messages"][0]),
        (
            "/v1/chat/completions",
            &json!({"role": "system", "content": "Be kind."})
        )
    );

    let asked = json!({"model": "m", "prompt": "Hi?", "raw": true});
    let found = lines(&client.post("/api/generate", &asked).await);
    assert_eq!(
        (said(&found), &found[2]["done_reason"]),
        ("Hello".into(), &json!("length"))
    );
    let sent = upstream.next_request().await;
    assert_eq!(
        (&*sent.target, &sent.json()["prompt"]),
        ("/v1/completions", &json!("Hi?"))
    );
    let whole = object(&client.post("/api/generate", &unary(asked)).await, 200);
    assert_eq!(
        (&whole["response"], &whole["done_reason"]),
        (&json!("Hello"), &json!("length"))
    );
    gateway.shutdown().await;
}

#[tokio::test]
async fn what_is_answered_here_asks_nobody_but_waits_for_the_gates() {
    let upstream = Upstream::always(Script::empty(500)).await;
    let gateway = front(&upstream, "vllm").start().await;
    let unload = json!({"model": "m", "messages": [], "keep_alive": 0});
    for (method, path, body) in [
        (hyper::Method::GET, "/", Value::Null),
        (hyper::Method::GET, "/api/version", Value::Null),
        (hyper::Method::POST, PATH, unload.clone()),
    ] {
        let response = gateway
            .client()
            .request(method, path, body.to_string())
            .await;
        assert!(object(&response, 401)["error"].is_string());
    }
    let client = knows(&gateway);
    let root = client.get("/").await;
    assert_eq!((root.status, &*root.text()), (200, "Ollama is running"));
    assert_eq!(root.header("content-type"), "text/plain; charset=utf-8");
    let head = client.request(hyper::Method::HEAD, "/", "").await;
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(
        object(&client.get("/api/version").await, 200),
        json!({"version": "1.2.3"})
    );
    let unloaded = object(&client.post(PATH, &unload).await, 200);
    assert_eq!(
        (&unloaded["done"], &unloaded["done_reason"]),
        (&json!(true), &json!("unload"))
    );
    let loaded = json!({"model": "m", "prompt": ""});
    let loaded = object(&client.post("/api/generate", &loaded).await, 200);
    assert_eq!(
        (&loaded["response"], &loaded["done_reason"]),
        (&json!(""), &json!("load"))
    );
    assert!(upstream.requests().is_empty());
    gateway.shutdown().await;
}

#[tokio::test]
async fn the_example_is_a_legal_configuration_and_works() {
    let upstream = Upstream::always(stream(&[text("Hello")], "stop")).await;
    let toml = include_str!("../../../examples/ollama-api/sluicegate.toml");
    let toml = toml
        .replace("127.0.0.1:11434", "127.0.0.1:0")
        .replace("127.0.0.1:9180", "127.0.0.1:0")
        .replace("http://127.0.0.1:8000", &upstream.url());
    let gateway = Gateway::start(&toml).await.expect("a legal configuration");
    let client = gateway.client();
    let found = lines(&client.post(PATH, &question()).await);
    assert_eq!(joined(&found, "content"), "Hello");
    let whole = object(&client.post(PATH, &unary(question())).await, 200);
    assert_eq!(whole["message"]["content"], "Hello");
    assert_eq!(client.get("/").await.text(), "Ollama is running");
    gateway.shutdown().await;
}
