//! Habits of a real Ollama that clients must not see.

use serde_json::{Value, json};
use sluicegate_tests::upstream::ollama;
use sluicegate_tests::{Script, Setup, Upstream};

use crate::common::{assert_error, question, says_hello, with};

#[tokio::test]
async fn errors_keep_their_meaning_with_any_status_of_ollama() {
    let runner = |code: u16, message: &str| {
        json!({"error": {"code": code, "message": message, "type": "server_error"}}).to_string()
    };
    let eyes = runner(
        500,
        "image input is not supported - hint: if this is unexpected, you may need to provide the mmproj",
    );
    let call = "llama-server chat error: map[code:500 message:The model produced output that does not match the expected peg-native format type:server_error]";
    for (status, error, expected, code, param) in [
        (
            404,
            "model 'grammar-fixer:7b' not found",
            404,
            "model_not_found",
            json!("model"),
        ),
        (
            404,
            "model 'my-context window' not found",
            404,
            "model_not_found",
            json!("model"),
        ),
        (500, &*eyes, 400, "unsupported_value", json!("messages")),
        (
            501,
            "This server does not support embeddings. Start it with `--embeddings`",
            400,
            "unsupported_value",
            json!("model"),
        ),
        (
            500,
            "option \"num_ctx\" must be of type integer",
            400,
            "invalid_type",
            json!("options.num_ctx"),
        ),
        (500, call, 502, "upstream_invalid", Value::Null),
    ] {
        let upstream = Upstream::always(Script::json(status, &ollama::error(error))).await;
        let gateway = Setup::before(&upstream).chat().start().await;
        for stream in [false, true] {
            let request = with(question(), "stream", json!(stream));
            let response = gateway.client().chat(&request).await;
            assert_error(&response, expected, code);
            assert_eq!(response.error()["param"], param, "{error}");
            assert!(!response.text().contains("map["), "{}", response.text());
        }
        assert_eq!(upstream.requests().len(), 2, "{error}: asked once for each");
        gateway.shutdown().await;
    }
}

#[tokio::test]
async fn a_model_that_was_only_loaded_is_an_error() {
    let upstream = Upstream::always(Script::json(200, &ollama::done("load"))).await;
    let gateway = Setup::before(&upstream).chat().start().await;
    for stream in [false, true] {
        let request = with(question(), "stream", json!(stream));
        let response = gateway.client().chat(&request).await;
        assert_error(&response, 502, "upstream_error");
        assert_eq!(response.header("x-should-retry"), "false");
    }
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_broken_tool_call_in_the_history_stops_no_conversation() {
    let upstream = says_hello().await;
    let gateway = Setup::before(&upstream).chat().start().await;
    for (arguments, sent) in [
        (
            json!("{\"city\": \"Os"),
            json!({"arguments": "{\"city\": \"Os"}),
        ),
        (json!("[1]"), json!({"arguments": "[1]"})),
        (json!([1]), json!({"arguments": [1]})),
        (
            json!("\"{\\\"city\\\": \\\"Oslo\\\"}\""),
            json!({"city": "Oslo"}),
        ),
        (json!("{}{}"), json!({"arguments": "{}{}"})),
        (
            json!("{\"a\": \"\t\"}"),
            json!({"arguments": "{\"a\": \"\t\"}"}),
        ),
    ] {
        let call = json!({"id": "c", "type": "function", "function": {"name": "f", "arguments": arguments}});
        let messages = json!([
            {"role": "user", "content": "?"},
            {"role": "assistant", "content": null, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c", "content": "cannot be read"}
        ]);
        let response = gateway
            .client()
            .chat(&with(question(), "messages", messages))
            .await;
        assert_eq!(response.status, 200, "{arguments}: {}", response.text());
        let asked = upstream.next_request().await.json();
        let function = &asked["messages"][1]["tool_calls"][0]["function"];
        assert_eq!(function["arguments"], sent);
    }
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_keep_alive_that_ollama_would_not_read_is_refused_at_the_start_and_in_a_request() {
    let upstream = says_hello().await;
    for wrong in ["\"-1\"", "\"24\"", "\"forever\"", "\"5 m\""] {
        let setup = Setup::before(&upstream).chat_with("", &format!("keep-alive = {wrong}"));
        let error = setup.try_start().await.err().expect("refused").to_string();
        assert!(error.contains("`keep-alive`"), "{error}");
    }
    let gateway = Setup::before(&upstream)
        .chat_with("", "keep-alive = -1")
        .start()
        .await;
    let refused = gateway
        .client()
        .chat(&with(question(), "keep_alive", json!("24")))
        .await;
    assert_error(&refused, 400, "invalid_value");
    assert_eq!(refused.error()["param"], "keep_alive");
    assert_eq!(gateway.client().chat(&question()).await.status, 200);
    let asked = upstream.requests();
    assert_eq!(
        (asked.len(), &asked[0].json()["keep_alive"]),
        (1, &json!(-1))
    );
    gateway.shutdown().await;
}
