//! The main job: an OpenAI-compatible endpoint in front of Ollama.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use sluicegate_tests::upstream::ollama;
use sluicegate_tests::{Setup, Upstream, logs};

use crate::common::{greets, obliging, question, streamed, with};

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
async fn a_stage_that_names_a_note_runs_only_where_the_note_has_its_value() {
    let upstream = greets().await;
    let gateway = Setup::before(&upstream).chat().start().await;
    let calls = async || {
        let series = r#"sluicegate_plugin_calls_total{plugin="aggregate"}"#;
        gateway.metric(series).await
    };
    let before = calls().await;
    let client = gateway.client();
    client.chat(&streamed()).await.streamed_chat();
    assert_eq!(calls().await, before, "a stream is not aggregated");
    assert_eq!(client.chat(&question()).await.status, 200);
    assert!(calls().await > before, "one JSON is");
    gateway.shutdown().await;
}

#[tokio::test]
async fn one_connection_serves_many_exchanges_in_both_directions() {
    let upstream = greets().await;
    let gateway = Setup::before(&upstream).chat().start().await;
    let mut raw = sluicegate_tests::client::Raw::connect(gateway.address()).await;
    for body in [question(), streamed(), json!({}), question(), streamed()] {
        raw.post("/v1/chat/completions", &body).await;
        let response = raw.response().await;
        assert!(response.complete);
        assert_eq!(response.status, if body == json!({}) { 400 } else { 200 });
    }
    assert_eq!(
        upstream.connections(),
        1,
        "the connection to the model server is used again"
    );
    gateway.shutdown().await;
}
