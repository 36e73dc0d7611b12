//! One JSON response from a stream without an adapter: the model server speaks OpenAI's API, and always streams.

use hyper::Method;
use serde_json::{Value, json};
use sluicegate_tests::{Gateway, Script, Setup, Upstream};

use crate::common::{CHAT, question, with};

/// The stage alone before a server that answers everything with these events.
async fn before(events: &[Value]) -> (Upstream, Gateway) {
    let script = events.iter().fold(Script::sse_head(), |script, event| {
        script.chunk(format!("data: {event}\n\n"))
    });
    let upstream = Upstream::always(script.chunk("data: [DONE]\n\n")).await;
    let gateway = Setup::before(&upstream)
        .plugin("aggregate", "builtin:aggregate", "")
        .route("/v1/*", r#"["aggregate"]"#, "")
        .start()
        .await;
    (upstream, gateway)
}

fn chunk(delta: &Value, finish: &Value) -> Value {
    json!({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})
}

#[tokio::test]
async fn a_server_that_streams_unasked_needs_no_adapter() {
    let call = |id: &str, name: &str| json!({"index": 0, "id": id, "type": "function", "function": {"name": name, "arguments": "{}"}});
    let (upstream, gateway) = before(&[
        chunk(&json!({"role": "assistant", "content": ""}), &Value::Null),
        chunk(&json!({"tool_calls": [call("c1", "f")]}), &Value::Null),
        chunk(&json!({"tool_calls": [call("c2", "g")]}), &Value::Null),
        chunk(&json!({}), &json!("tool_calls")),
    ])
    .await;
    for asked in [question(), with(question(), "stream", json!(false))] {
        let response = gateway.client().chat(&asked).await;
        assert_eq!(response.header("content-type"), "application/json");
        let message = &response.json()["choices"][0]["message"];
        assert_eq!(message["content"], Value::Null);
        let names: Vec<&Value> = message["tool_calls"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|call| &call["function"]["name"])
            .collect();
        assert_eq!(names, ["f", "g"]);
        assert_eq!(upstream.next_request().await.json(), asked);
    }
    let asked = with(question(), "stream", json!(true));
    let response = gateway.client().chat(&asked).await;
    assert!(
        response
            .header("content-type")
            .starts_with("text/event-stream")
    );
    for id in ["c1", "c2", "[DONE]"] {
        assert!(response.text().contains(id), "as it came: {id}");
    }
    assert_eq!(upstream.next_request().await.path(), CHAT);
    gateway.shutdown().await;
}

#[tokio::test]
async fn completions_keep_their_text() {
    let chunk = |text: &str, finish: Value| {
        json!({"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "m",
            "choices": [{"index": 0, "text": text, "logprobs": null, "finish_reason": finish}]})
    };
    let (upstream, gateway) = before(&[
        chunk("Hel", Value::Null),
        chunk("lo", Value::Null),
        chunk("!", json!("stop")),
    ])
    .await;
    let asked = json!({"model": "m", "prompt": "Say hello"});
    let client = gateway.client();
    let response = client
        .request(Method::POST, "/v1/completions", asked.to_string())
        .await;
    assert_eq!(
        response.json(),
        json!({"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "m",
            "choices": [{"index": 0, "text": "Hello!", "logprobs": null, "finish_reason": "stop"}]})
    );
    assert_eq!(upstream.next_request().await.json(), asked);
    gateway.shutdown().await;
}
