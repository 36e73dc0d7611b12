//! The main job: an OpenAI-compatible endpoint in front of Ollama.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hyper::Method;
use serde_json::{Value, json};
use sluicegate_tests::client::End;
use sluicegate_tests::sse::Chat;
use sluicegate_tests::upstream::ollama;
use sluicegate_tests::{Barrier, Client, Gateway, Script, Setup, Upstream, logs};

/// What a client asks.
fn question() -> Value {
    json!({"model": "qwen3:32b", "messages": [{"role": "user", "content": "Hi?"}]})
}

fn streamed() -> Value {
    with(question(), "stream", json!(true))
}

fn with(mut body: Value, name: &str, value: Value) -> Value {
    body[name] = value;
    body
}

/// An Ollama that streams, or not, as it is asked.
fn obliging(
    lines: Vec<Value>,
    document: Value,
) -> impl Fn(&sluicegate_tests::upstream::Request) -> Script {
    move |request| match request.json()["stream"] {
        Value::Bool(true) => Script::ndjson(&lines),
        _ => Script::json(200, &document),
    }
}

async fn greets() -> Upstream {
    let lines = ollama::stream(&["Hel", "lo 你", "好"]);
    Upstream::start(obliging(lines, ollama::document("Hello 你好"))).await
}

/// A completion without what differs from exchange to exchange.
fn comparable(completion: &Value) -> Value {
    let mut completion = completion.clone();
    for name in ["id", "created", "system_fingerprint"] {
        completion.as_object_mut().expect("an object").remove(name);
    }
    completion
}

#[tokio::test]
async fn an_empty_object_is_a_400_that_names_what_is_missing() {
    let upstream = greets().await;
    let gateway = Setup::before(&upstream).chat().start().await;
    let response = gateway.client().chat(&json!({})).await;
    assert_eq!(response.status, 400);
    assert_eq!(response.header("content-type"), "application/json");
    let error = response.error();
    assert_eq!(error["type"], "invalid_request_error");
    assert_eq!(error["code"], "missing_required_parameter");
    assert_eq!(error["param"], "model");
    let message = error["message"].as_str().expect("a message");
    assert!(
        message.contains("`model`") && message.contains("`messages`"),
        "{message}"
    );
    assert!(upstream.requests().is_empty());
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_chat_becomes_one_completion_whether_the_model_server_streams_or_not() {
    let upstream = greets().await;
    let mut completions = Vec::new();
    for (config, streams) in [("", true), ("stream = \"as-client\"", false)] {
        let gateway = Setup::before(&upstream).chat_with("", config).start().await;
        let response = gateway.client().chat(&question()).await;
        assert_eq!((response.status, response.complete), (200, true));
        assert_eq!(response.header("content-type"), "application/json");
        assert_eq!(
            response.header("content-length"),
            response.body.len().to_string()
        );
        let asked = upstream.next_request().await;
        assert_eq!(
            (asked.method.as_str(), asked.target.as_str()),
            ("POST", "/api/chat")
        );
        assert_eq!(asked.json()["stream"], streams);
        assert_eq!(asked.json()["model"], "qwen3:32b");
        let completion = response.json();
        assert!(
            completion["id"]
                .as_str()
                .is_some_and(|id| id.starts_with("chatcmpl-"))
        );
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("after 1970")
            .as_secs();
        assert!(
            completion["created"]
                .as_u64()
                .expect("a time")
                .abs_diff(now)
                < 60
        );
        completions.push(comparable(&completion));
        gateway.shutdown().await;
    }
    assert_eq!(completions[0], completions[1]);
    let completion = &completions[0];
    assert_eq!(completion["object"], "chat.completion");
    assert_eq!(completion["model"], "qwen3:32b");
    assert_eq!(completion["choices"].as_array().map(Vec::len), Some(1));
    assert_eq!(completion["choices"][0]["message"]["role"], "assistant");
    assert_eq!(completion["choices"][0]["message"]["content"], "Hello 你好");
    assert_eq!(completion["choices"][0]["finish_reason"], "stop");
    let usage = json!({"prompt_tokens": 11, "completion_tokens": 18, "total_tokens": 29});
    assert_eq!(completion["usage"], usage);
}

#[tokio::test]
async fn thoughts_and_tool_calls_come_out_the_same_streamed_and_not() {
    let arguments = json!({"city": "Oslo", "days": [1, 2]});
    let lines = vec![
        ollama::thinking("Hm, "),
        ollama::thinking("Oslo."),
        ollama::tool_call("call_1", "weather", &arguments),
        ollama::tool_call("call_2", "weather", &json!({})),
        ollama::done("stop"),
    ];
    let mut document = ollama::document("");
    document["message"] = json!({"role": "assistant", "content": "", "thinking": "Hm, Oslo.", "tool_calls": [
        {"id": "call_1", "function": {"index": 0, "name": "weather", "arguments": arguments}},
        {"id": "call_2", "function": {"index": 1, "name": "weather", "arguments": {}}},
    ]});
    let upstream = Upstream::start(obliging(lines, document)).await;
    let tool = json!({"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}});
    let body = with(question(), "tools", json!([tool]));

    let gateway = Setup::before(&upstream).chat().start().await;
    let aggregated = gateway.client().chat(&body).await.json();
    let chat = gateway
        .client()
        .chat(&with(body.clone(), "stream", json!(true)))
        .await
        .streamed_chat();
    gateway.shutdown().await;
    let gateway = Setup::before(&upstream)
        .chat_with("", "stream = \"as-client\"")
        .start()
        .await;
    let unary = gateway.client().chat(&body).await.json();
    gateway.shutdown().await;

    assert_eq!(comparable(&aggregated), comparable(&unary));
    let message = &aggregated["choices"][0]["message"];
    assert_eq!(message["reasoning"], "Hm, Oslo.");
    assert_eq!(message["content"], Value::Null);
    assert_eq!(aggregated["choices"][0]["finish_reason"], "tool_calls");
    assert_eq!(chat.finish_reason.as_deref(), Some("tool_calls"));
    assert_eq!(chat.reasoning, "Hm, Oslo.");
    for (at, (id, arguments)) in [("call_1", arguments), ("call_2", json!({}))]
        .into_iter()
        .enumerate()
    {
        for call in [&message["tool_calls"][at], &chat.tool_calls[at]] {
            assert_eq!(
                (&call["id"], &call["type"]),
                (&json!(id), &json!("function"))
            );
            let text = call["function"]["arguments"]
                .as_str()
                .expect("arguments are a text");
            assert_eq!(
                serde_json::from_str::<Value>(text).expect("of JSON"),
                arguments
            );
        }
        assert_eq!(chat.tool_calls[at]["index"], at);
    }
}

#[tokio::test]
async fn a_stream_has_the_role_first_then_deltas_the_finish_and_the_end_marker() {
    let upstream = greets().await;
    let gateway = Setup::before(&upstream).chat().start().await;
    let response = gateway.client().chat(&streamed()).await;
    assert_eq!((response.status, response.complete), (200, true));
    assert!(
        response
            .header("content-type")
            .starts_with("text/event-stream")
    );
    assert_eq!(response.header("cache-control"), "no-cache");
    let chat = response.streamed_chat();
    let first = &chat.chunks[0]["choices"][0]["delta"];
    assert_eq!(first, &json!({"role": "assistant", "content": ""}));
    assert_eq!(chat.roles, ["assistant"]);
    assert_eq!(chat.content, "Hello 你好");
    let last = &chat.chunks.last().expect("chunks")["choices"][0];
    assert_eq!(
        (&last["delta"], &last["finish_reason"]),
        (&json!({}), &json!("stop"))
    );
    assert!(chat.done && chat.error.is_none());
    assert_eq!(chat.usage, None, "nobody asked for it");
    for chunk in &chat.chunks {
        assert_eq!(chunk["object"], "chat.completion.chunk");
        assert_eq!(chunk["model"], "qwen3:32b");
        assert_eq!(
            (&chunk["id"], &chunk["created"]),
            (&chat.chunks[0]["id"], &chat.chunks[0]["created"])
        );
    }
    gateway.shutdown().await;
}

#[tokio::test]
async fn usage_is_shown_in_a_stream_only_to_a_client_that_asks_and_always_accounted() {
    let upstream = greets().await;
    let gateway = Setup::before(&upstream).chat().start().await;
    for (shown, options) in [
        (true, json!({"include_usage": true})),
        (false, json!({"include_usage": false})),
    ] {
        let id = logs::id();
        let client = gateway.client().with("x-request-id", &id);
        let chat = client
            .chat(&with(streamed(), "stream_options", options))
            .await
            .streamed_chat();
        assert_eq!(chat.usage.is_some(), shown);
        if let Some(usage) = chat.usage {
            assert_eq!(usage["total_tokens"], 29);
            let last = chat.chunks.last().expect("chunks");
            assert_eq!(last["choices"], json!([]), "usage comes last, on its own");
        }
        let seen = logs::seen(&id).await;
        assert_eq!(
            (
                &seen["note_usage"]["prompt_tokens"],
                &seen["note_usage"]["completion_tokens"]
            ),
            (&json!(11), &json!(18))
        );
    }
    let tokens = |direction: &str| {
        let series = format!(
            r#"sluicegate_tokens_total{{route="/v1/chat/completions",direction="{direction}"}}"#
        );
        let gateway = &gateway;
        async move { gateway.metric(&series).await }
    };
    assert_eq!(
        (tokens("input").await, tokens("output").await),
        (22.0, 36.0)
    );
    gateway.shutdown().await;
}

#[tokio::test]
async fn models_are_listed_and_found_by_names_with_slashes_and_colons() {
    let tags = json!({"models": [
        {"name": "qwen3:32b", "model": "qwen3:32b", "modified_at": "2026-08-01T10:00:00.5Z", "size": 1},
        {"name": "someone/tuned:7b", "model": "someone/tuned:7b", "modified_at": "2026-08-01T12:00:00+02:00", "size": 1},
        {"name": "demo:latest", "model": "demo:latest", "modified_at": "2026-08-01T10:00:00Z", "size": 1},
    ]});
    let upstream = Upstream::always(Script::json(200, &tags)).await;
    let gateway = Setup::before(&upstream).chat().start().await;
    let list = gateway.client().get("/v1/models").await;
    assert_eq!(
        (list.status, list.header("content-type")),
        (200, "application/json")
    );
    assert_eq!(list.json()["object"], "list");
    let ids: Vec<_> = list.json()["data"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|model| model["id"].clone())
        .collect();
    assert_eq!(ids, ["qwen3:32b", "someone/tuned:7b", "demo:latest"]);
    let asked = upstream.next_request().await;
    assert_eq!(
        (
            asked.method.as_str(),
            asked.target.as_str(),
            asked.body.len()
        ),
        ("GET", "/api/tags", 0)
    );
    for (path, id) in [
        ("/v1/models/qwen3:32b", "qwen3:32b"),
        ("/v1/models/qwen3%3A32b", "qwen3:32b"),
        ("/v1/models/someone/tuned:7b", "someone/tuned:7b"),
        ("/v1/models/someone%2Ftuned%3A7b", "someone/tuned:7b"),
        ("/v1/models/demo", "demo:latest"),
        ("/v1/models/qwen3:32b?limit=3", "qwen3:32b"),
    ] {
        let model = gateway.client().get(path).await;
        assert_eq!(
            (model.status, &model.json()["id"]),
            (200, &json!(id)),
            "{path}"
        );
        assert_eq!(
            (&model.json()["object"], &model.json()["created"]),
            (&json!("model"), &json!(1_785_578_400))
        );
    }
    for path in [
        "/v1/models/nobody",
        "/v1/models/qwen3",
        "/v1/models/%00",
        "/v1/models/%",
    ] {
        let missing = gateway.client().get(path).await;
        assert_eq!(
            (
                missing.status,
                &missing.error()["code"],
                &missing.error()["param"]
            ),
            (404, &json!("model_not_found"), &json!("model")),
            "{path}"
        );
    }
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_server_without_models_has_an_empty_list() {
    for nothing in [json!({"models": []}), json!({"models": null}), json!({})] {
        let upstream = Upstream::always(Script::json(200, &nothing)).await;
        let gateway = Setup::before(&upstream).chat().start().await;
        assert_eq!(
            gateway.client().get("/v1/models").await.json(),
            json!({"object": "list", "data": []})
        );
        gateway.shutdown().await;
    }
}

#[tokio::test]
async fn with_keys_only_their_holders_come_in_and_the_model_server_never_sees_one() {
    let upstream = greets().await;
    let keys = r#"{ name = "team-a", key = "sk-aaaa" }, { name = "ci", key = "sk-bbbb", tenant = "team b" }"#;
    let gateway = Setup::before(&upstream).chat_with(keys, "").start().await;
    let client = || gateway.client();
    let strangers: [Client; 5] = [
        client(),
        client().with("authorization", "Bearer sk-nope"),
        client().with("authorization", "Basic sk-aaaa"),
        client().with("x-api-key", "sk-aaa"),
        client().with("authorization", "Bearer "),
    ];
    for stranger in strangers {
        let response = stranger.chat(&question()).await;
        assert_eq!(response.status, 401);
        let error = response.error();
        assert_eq!(
            (&error["code"], &error["type"]),
            (&json!("invalid_api_key"), &json!("invalid_request_error"))
        );
        assert!(
            !error["message"]
                .as_str()
                .expect("a message")
                .contains("sk-"),
            "{error}"
        );
        assert_eq!(stranger.get("/v1/models").await.status, 401);
    }
    assert!(upstream.requests().is_empty());
    for (holder, tenant) in [
        (client().with("authorization", "Bearer sk-aaaa"), "team-a"),
        (client().with("authorization", "bearer sk-bbbb"), "team b"),
        (client().with("x-api-key", "sk-bbbb"), "team b"),
    ] {
        let id = logs::id();
        let response = holder.with("x-request-id", &id).chat(&question()).await;
        assert_eq!(response.status, 200);
        let asked = upstream.next_request().await;
        assert!(!asked.fields.has("authorization") && !asked.fields.has("x-api-key"));
        assert!(!String::from_utf8_lossy(&asked.body).contains("sk-"));
        assert_eq!(logs::seen(&id).await["note_tenant"], tenant);
    }
    gateway.shutdown().await;
}

#[tokio::test]
async fn one_request_id_is_in_the_answer_the_logs_and_the_model_servers_request() {
    let upstream = greets().await;
    let gateway = Setup::before(&upstream).chat().start().await;
    let given = logs::id();
    let response = gateway
        .client()
        .with("x-request-id", &given)
        .chat(&question())
        .await;
    assert_eq!(response.header("x-request-id"), given);
    assert_eq!(
        upstream.next_request().await.header("x-request-id"),
        Some(given.as_str())
    );
    let access = access(&given).await;
    assert_eq!(
        (&access["status"], &access["path"]),
        (&json!(200), &json!("/v1/chat/completions"))
    );
    // One that is not well formed is replaced, as is none; each exchange has its own.
    let mut made = Vec::new();
    for client in [
        gateway.client(),
        gateway.client().with("x-request-id", "not/well formed"),
        gateway.client().with("x-request-id", &"x".repeat(65)),
    ] {
        let response = client.chat(&question()).await;
        let id = response.header("x-request-id").to_owned();
        assert!(id.starts_with("req_") && id.len() == 20, "{id}");
        assert_eq!(
            upstream.next_request().await.header("x-request-id"),
            Some(id.as_str())
        );
        self::access(&id).await;
        made.push(id);
    }
    made.sort();
    made.dedup();
    assert_eq!(made.len(), 3);
    // Errors have it too, and the log line that says why.
    let failed = logs::id();
    let response = gateway
        .client()
        .with("x-request-id", &failed)
        .chat(&json!({}))
        .await;
    assert_eq!(
        (response.status, response.header("x-request-id")),
        (400, failed.as_str())
    );
    assert_eq!(
        logs::failure(&failed).await["code"],
        "missing_required_parameter"
    );
    let nowhere = logs::id();
    let response = gateway
        .client()
        .with("x-request-id", &nowhere)
        .get("/nowhere")
        .await;
    assert_eq!(
        (response.status, response.header("x-request-id")),
        (404, nowhere.as_str())
    );
    assert_eq!(logs::seen(&nowhere).await["error"], "not_found");
    gateway.shutdown().await;
}

/// The line that the plugin `access-log` writes about a request.
async fn access(id: &str) -> std::sync::Arc<Value> {
    logs::line("a line of the access log", |line| {
        line["plugin"] == "access-log" && line["req"] == id
    })
    .await
}

#[tokio::test]
async fn the_access_log_says_who_asked_what_and_what_it_cost() {
    let upstream = greets().await;
    let keys = r#"{ name = "team-a", key = "sk-aaaa" }"#;
    let gateway = Setup::before(&upstream).chat_with(keys, "").start().await;
    let id = logs::id();
    let client = gateway
        .client()
        .with("x-api-key", "sk-aaaa")
        .with("x-request-id", &id);
    let body = streamed();
    let response = client.chat(&body).await;
    let line = access(&id).await;
    for (name, value) in [
        ("level", json!("info")),
        ("route", json!("/v1/chat/completions")),
        ("method", json!("POST")),
        ("client", json!("127.0.0.1")),
        ("tenant", json!("team-a")),
        ("model", json!("qwen3:32b")),
        ("status", json!(200)),
        ("attempts", json!(1)),
        ("stream", json!(true)),
        ("finish", json!("stop")),
        ("tokens_in", json!(11)),
        ("tokens_out", json!(18)),
        ("request_bytes", json!(body.to_string().len())),
        ("response_bytes", json!(response.body.len())),
        ("events", json!(4)),
    ] {
        assert_eq!(line[name], value, "{name} in {line}");
    }
    assert_eq!(line["error"], Value::Null);
    let number = |name: &str| {
        line[name]
            .as_f64()
            .unwrap_or_else(|| panic!("no {name} in {line}"))
    };
    assert!(number("overhead_ms") > 0.0 && number("overhead_ms") <= number("duration_ms"));
    assert!(number("ttft_ms") > 0.0 && number("ttft_ms") <= number("duration_ms"));
    gateway.shutdown().await;
}

#[tokio::test]
async fn the_model_server_gets_its_own_host_and_nothing_that_is_between_client_and_gateway() {
    let upstream = greets().await;
    let gateway = Setup::before(&upstream).chat().start().await;
    let client = gateway
        .client()
        .with("host", "gateway.example")
        .with("origin", "https://evil.example")
        .with("referer", "https://evil.example/page")
        .with("cookie", "session=1")
        .with("accept-encoding", "gzip")
        .with("connection", "x-private")
        .with("x-private", "1")
        .with("te", "trailers")
        .with("keep-alive", "5")
        .with("proxy-connection", "keep-alive")
        .with(
            "traceparent",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        )
        .with("x-forwarded-for", "192.0.2.7");
    assert_eq!(client.chat(&question()).await.status, 200);
    let asked = upstream.next_request().await;
    assert_eq!(asked.fields.all("host"), [upstream.address().to_string()]);
    for name in [
        "origin",
        "referer",
        "cookie",
        "accept-encoding",
        "x-private",
        "te",
        "keep-alive",
        "proxy-connection",
    ] {
        assert!(!asked.fields.has(name), "{name}");
    }
    assert!(
        asked
            .header("connection")
            .is_none_or(|value| !value.contains("x-private"))
    );
    assert_eq!(
        asked.header("x-forwarded-for"),
        Some("192.0.2.7, 127.0.0.1")
    );
    assert_eq!(asked.header("content-type"), Some("application/json"));
    assert!(
        asked.fields.has("traceparent"),
        "trace context is passed on"
    );
    gateway.shutdown().await;
}

#[tokio::test]
async fn the_model_servers_own_hop_by_hop_fields_stay_behind_the_gateway() {
    let script = Script::status(200)
        .field("connection", "x-internal")
        .field("x-internal", "1")
        .field("keep-alive", "timeout=5")
        .field("x-model", "kept")
        .body("{}");
    let upstream = Upstream::always(script).await;
    let gateway = Setup::before(&upstream).filter().start().await;
    let response = gateway.client().get("/x").await;
    assert_eq!(response.header("x-model"), "kept");
    assert!(
        !response.fields.contains_key("x-internal") && !response.fields.contains_key("keep-alive")
    );
    gateway.shutdown().await;
}

/// A gateway whose heartbeat comes soon.
async fn lively(upstream: &Upstream) -> Gateway {
    Setup::before(upstream)
        .server("heartbeat = \"30ms\"")
        .chat()
        .start()
        .await
}

#[tokio::test]
async fn a_stream_gets_heartbeats_before_the_first_token_and_between_events() {
    let (first, second) = (Barrier::new(), Barrier::new());
    let script = Script::raw("")
        .wait(&first)
        .octets(
            "HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\nconnection: close\r\n\r\n",
        )
        .piece(format!("{}\n", ollama::content("one")))
        .wait(&second)
        .piece(format!(
            "{}\n{}\n",
            ollama::content(" two"),
            ollama::done("stop")
        ))
        .cut();
    let upstream = Upstream::always(script).await;
    let gateway = lively(&upstream).await;
    let id = logs::id();
    let client = gateway.client().with("x-request-id", &id);
    // The head comes although the model server has said nothing yet.
    let mut stream = client.open_chat(&streamed()).await;
    assert_eq!(stream.status, 200);
    assert!(
        stream
            .header("content-type")
            .starts_with("text/event-stream")
    );
    assert_eq!(stream.header("x-request-id"), id);
    let mut body = Vec::new();
    while count(&body, b": ping\n") < 2 {
        body.extend(stream.octets().await.expect("a heartbeat"));
    }
    first.release();
    while count(&body, b"one") == 0 {
        body.extend(stream.octets().await.expect("the first token"));
    }
    let before = count(&body, b": ping\n");
    while count(&body, b": ping\n") < before + 2 {
        body.extend(stream.octets().await.expect("a heartbeat between tokens"));
    }
    second.release();
    while let Some(octets) = stream.octets().await {
        body.extend(octets);
    }
    assert_eq!(stream.end(), Some(End::Proper));
    // No blank line after a heartbeat: openai-python would take it for an event.
    assert_eq!(count(&body, b": ping\n\n"), 0);
    let chat = Chat::of(&sluicegate_tests::sse::events(&body));
    assert_eq!((chat.content.as_str(), chat.done), ("one two", true));
    gateway.shutdown().await;
}

fn count(body: &[u8], part: &[u8]) -> usize {
    body.windows(part.len())
        .filter(|window| *window == part)
        .count()
}

#[tokio::test]
async fn a_client_that_wants_one_json_gets_no_heartbeats() {
    let later = Barrier::new();
    let script = Script::ndjson_head().wait(&later);
    let script = ollama::stream(&["Hello"])
        .iter()
        .fold(script, |script, line| script.piece(format!("{line}\n")));
    let upstream = Upstream::always(script).await;
    let gateway = lively(&upstream).await;
    let client = gateway.client();
    let asking = tokio::spawn(async move { client.chat(&question()).await });
    later.reached(1).await;
    // Several heartbeats long.
    tokio::time::sleep(Duration::from_millis(150)).await;
    later.release();
    let response = asking.await.expect("no panic");
    assert_eq!(
        (
            response.status,
            response.json()["choices"][0]["message"]["content"].as_str()
        ),
        (200, Some("Hello"))
    );
    gateway.shutdown().await;
}

#[tokio::test]
async fn an_error_after_heartbeats_is_an_event_and_no_proper_end() {
    for (head, code) in [
        (
            "HTTP/1.1 404 Not Found\r\ncontent-type: application/json\r\ncontent-length: 35\r\n\r\n{\"error\":\"model 'qwen3' not found\"}",
            "model_not_found",
        ),
        (
            "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 4\r\n\r\n<br>",
            "upstream_invalid",
        ),
        (
            "HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\ncontent-length: 20\r\n\r\n{\"error\":\"too bad!\"}",
            "upstream_error",
        ),
        (
            "HTTP/1.1 500 Oh\r\ncontent-type: application/json\r\ncontent-length: 500\r\n\r\n{\"err",
            "upstream_broken",
        ),
        ("nonsense\r\n\r\n", "upstream_invalid"),
        ("", "upstream_broken"),
    ] {
        let later = Barrier::new();
        let upstream = Upstream::always(Script::raw("").wait(&later).octets(head).cut()).await;
        let gateway = lively(&upstream).await;
        let id = logs::id();
        let mut stream = gateway
            .client()
            .with("x-request-id", &id)
            .open_chat(&streamed())
            .await;
        assert_eq!(stream.status, 200);
        later.open();
        let event = stream
            .event()
            .await
            .unwrap_or_else(|| panic!("no error event for {code}"));
        assert_eq!(event.json()["error"]["code"], code);
        assert_eq!(stream.event().await, None);
        assert_eq!(stream.end(), Some(End::Broken), "{code}");
        let seen = logs::seen(&id).await;
        assert_eq!(
            (&seen["status"], &seen["error"]),
            (&json!(200), &json!(code))
        );
        gateway.shutdown().await;
    }
}

#[tokio::test]
async fn head_options_and_other_methods_are_answered_as_http_asks() {
    let tags = Script::json(200, &json!({"models": []}));
    let upstream = Upstream::always(tags).await;
    let gateway = Setup::before(&upstream).chat().start().await;
    let client = gateway.client();
    let send = async |method: Method, path: &str| client.request(method, path, "").await;

    let get = send(Method::GET, "/v1/models").await;
    let head = send(Method::HEAD, "/v1/models").await;
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(head.header("content-type"), get.header("content-type"));
    assert_eq!(head.header("content-length"), get.header("content-length"));

    for (path, allow) in [
        ("/v1/models", "GET, HEAD, OPTIONS"),
        ("/v1/chat/completions", "POST, OPTIONS"),
        ("/v1/models/x", "GET, HEAD, OPTIONS"),
    ] {
        let options = send(Method::OPTIONS, path).await;
        assert_eq!(
            (options.status, options.header("allow"), options.body.len()),
            (204, allow, 0),
            "{path}"
        );
        let other = send(Method::DELETE, path).await;
        assert_eq!(
            (other.status, other.header("allow")),
            (405, allow),
            "{path}"
        );
        assert_eq!(
            (&other.error()["code"], &other.error()["type"]),
            (
                &json!("method_not_allowed"),
                &json!("invalid_request_error")
            )
        );
    }
    let head = send(Method::HEAD, "/v1/chat/completions").await;
    assert_eq!(
        (head.status, head.header("allow"), head.body.len()),
        (405, "POST, OPTIONS", 0)
    );

    for path in [
        "/",
        "/v1",
        "/v1/",
        "/v1/chat/completions/",
        "/v1/chat",
        "/api/chat",
        "/api/tags",
        "/api/pull",
        "/v2/models",
    ] {
        for method in [Method::GET, Method::POST, Method::OPTIONS] {
            let nothing = send(method.clone(), path).await;
            assert_eq!(
                (nothing.status, &nothing.error()["code"]),
                (404, &json!("not_found")),
                "{method} {path}"
            );
        }
    }
    gateway.shutdown().await;
}

#[tokio::test]
async fn one_connection_serves_many_exchanges_in_both_directions() {
    let upstream = greets().await;
    let gateway = Setup::before(&upstream).chat().start().await;
    let mut raw = sluicegate_tests::client::Raw::connect(gateway.address()).await;
    for body in [question(), streamed(), json!({}), question(), streamed()] {
        raw.post("/v1/chat/completions", &body).await;
        let answer = raw.answer().await;
        assert!(answer.complete);
        assert_eq!(answer.status, if body == json!({}) { 400 } else { 200 });
    }
    assert_eq!(
        upstream.connections(),
        1,
        "the connection to the model server is used again"
    );
    gateway.shutdown().await;
}
