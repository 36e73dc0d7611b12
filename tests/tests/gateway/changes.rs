//! What a stage may change, and how its own responses and refusals reach the client.

use serde_json::json;
use sluicegate_tests::{Script, Setup, Upstream, guest, logs};
use tokio::task::JoinSet;

use crate::hostile::{events, told};

#[tokio::test]
async fn what_a_gate_may_not_change_is_an_error_value_and_not_a_trap() {
    let upstream = Upstream::always(Script::empty(200)).await;
    let gateway = Setup::before(&upstream)
        .guest(guest::GATE, "")
        .start()
        .await;
    for act in ["own", "upstream", "notes"] {
        let response = told(&gateway, &format!("check={act}")).get("/x").await;
        assert_eq!(
            (response.status, response.error()["code"].as_str()),
            (500, Some("illegal_change")),
            "{act}"
        );
    }
    assert!(upstream.requests().is_empty());
    gateway.shutdown().await;
}

#[tokio::test]
async fn what_a_gate_may_change_reaches_the_model_server() {
    let upstream = Upstream::always(Script::empty(200)).await;
    let gateway = Setup::before(&upstream)
        .guest(guest::GATE, "")
        .start()
        .await;
    told(&gateway, "check=path").get("/x?q=1").await;
    assert_eq!(upstream.next_request().await.target, "/elsewhere?q=1");
    told(&gateway, "check=host").get("/x").await;
    assert_eq!(
        upstream.next_request().await.header("host"),
        Some("model.example")
    );
    told(&gateway, "check=key")
        .with("authorization", "Bearer the-clients")
        .get("/x")
        .await;
    let request = upstream.next_request().await;
    assert_eq!(
        request.fields.all("authorization"),
        ["Bearer for-the-model-server"]
    );
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_stages_own_response_goes_out_as_it_is_but_for_the_gateways_fields() {
    let upstream = Upstream::always(Script::json(200, &json!({"from": "model"}))).await;
    let gateway = Setup::before(&upstream).filter().start().await;
    for acts in [
        "request-head=reply",
        "request-plan=whole, request-body=reply",
        "response-head=reply",
        "response-plan=whole, response-body=reply",
    ] {
        let id = logs::id();
        let response = told(&gateway, acts)
            .with("x-request-id", &id)
            .post("/x", &json!({}))
            .await;
        assert_eq!(
            (response.status, response.text().as_str()),
            (203, r#"{"from":"guest"}"#),
            "{acts}"
        );
        assert_eq!(response.header("x-from"), "guest");
        assert_eq!(response.header("x-request-id"), id);
        assert_eq!(response.fields.get_all("content-length").iter().count(), 1);
        assert!(response.complete);
    }
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_refusal_keeps_the_stages_own_status_code_and_parameter() {
    let upstream = Upstream::always(events()).await;
    let gateway = Setup::before(&upstream).filter().start().await;
    for acts in [
        "request-head=fail",
        "request-plan=whole, request-body=fail",
        "response-head=fail",
        "response-plan=whole, response-body=fail",
        "response-plan=chunks, response-chunk=fail",
        "response-plan=sse, response-events=fail",
        "response-plan=document, response-end=fail",
    ] {
        let response = told(&gateway, acts).post("/x", &json!({})).await;
        assert_eq!(response.status, 418, "{acts}");
        assert_eq!(
            response.error(),
            json!({"message": "The guest refuses.", "type": "invalid_request_error", "param": "x", "code": "guest_refuses"})
        );
    }
    gateway.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_guest_that_counts_in_a_global_always_says_one() {
    let upstream = Upstream::always(Script::json(200, &json!({}))).await;
    let gateway = Setup::before(&upstream)
        .plugin("gate", guest::GATE, "")
        .plugin("filter", guest::FILTER, "")
        .route("/*", r#"["gate", "filter"]"#, "")
        .start()
        .await;
    let client = told(&gateway, "request-plan=whole, response-plan=whole");
    // 200 at a time: only 256 may be at the gates.
    for _ in 0..2 {
        let mut exchanges = JoinSet::new();
        for _ in 0..200 {
            let client = client.clone();
            exchanges.spawn(async move { client.post("/x", &json!({})).await });
        }
        while let Some(response) = exchanges.join_next().await {
            let response = response.expect("no panic");
            assert_eq!((response.status, response.header("x-exchange")), (200, "1"));
        }
    }
    let requests = upstream.requests();
    assert_eq!(requests.len(), 400);
    assert!(
        requests
            .iter()
            .all(|request| request.header("x-gate-calls") == Some("1"))
    );
    gateway.shutdown().await;
}
