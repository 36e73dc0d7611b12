//! Clients, request ids, and what the logs say about them.

use std::sync::Arc;

use serde_json::{Value, json};
use sluicegate_tests::{Client, Setup, logs};

use crate::common::{greets, question, streamed};

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
async fn one_request_id_is_in_the_response_the_logs_and_the_model_servers_request() {
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
    // A malformed or missing id is replaced; each exchange has its own.
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
async fn access(id: &str) -> Arc<Value> {
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
