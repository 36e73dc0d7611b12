//! The end of an exchange: every stage that is still alive is called, for any kind of end, and its notes reach the observers.

use std::time::Duration;

use hyper::Method;
use serde_json::{Value, json};
use sluicegate_tests::upstream::{closed_port, ollama};
use sluicegate_tests::{Gateway, Script, Setup, Upstream, guest, logs, within};

use crate::common::{question, streamed};

/// A model server must be let go within this time of a client's leaving.
const SOON: Duration = Duration::from_millis(100);

/// What the stage noted when it was closed, as it saw it itself as an observer.
async fn closed(id: &str) -> Value {
    let line = logs::line("the stage's own line", |line| {
        line["msg"] == "combined observed" && line["req"] == id
    })
    .await;
    line["closed"].clone()
}

/// The chat pipeline behind a stage that is told how exchanges end.
async fn gateway(upstream: &str) -> Gateway {
    Setup::before_url(upstream)
        .stages("", "")
        .plugin("combined", guest::COMBINED, "")
        .route(
            "/v1/chat/completions",
            r#"["combined", "auth", "aggregate"]"#,
            r#"observers = ["access-log", "observer"]"#,
        )
        .start()
        .await
}

async fn access_log(id: &str) -> Value {
    let line = logs::line("the access log", |line| {
        line["plugin"] == "access-log" && line["req"] == id
    })
    .await;
    (*line).clone()
}

#[tokio::test]
async fn an_exchange_that_went_well_is_closed_without_an_error() {
    let upstream = Upstream::always(Script::ndjson(&ollama::stream(&["Hello"]))).await;
    let gateway = gateway(&upstream.url()).await;
    for body in [question(), streamed()] {
        let id = logs::id();
        let client = gateway.client().with("x-request-id", &id);
        assert_eq!(client.chat(&body).await.status, 200);
        assert_eq!(closed(&id).await, json!(""));
        let request = upstream.next_request().await;
        assert_eq!(request.header("x-combined"), Some("1"), "it is a gate too");
        let seen = logs::seen(&id).await;
        assert_eq!(
            (&seen["note_gate"], &seen["note_closed"]),
            (&json!("seen"), &json!(""))
        );
    }
    gateway.shutdown().await;
}

#[tokio::test]
async fn an_exchange_that_failed_is_closed_with_its_error() {
    let (_socket, dead) = closed_port();
    let unreachable = gateway(&format!("http://{dead}")).await;
    let id = logs::id();
    let client = unreachable.client().with("x-request-id", &id);
    assert_eq!(client.chat(&question()).await.status, 502);
    assert_eq!(closed(&id).await, json!("upstream_unreachable"));
    unreachable.shutdown().await;

    let broken = Script::ndjson_head()
        .chunk(format!("{}\n", ollama::content("so far")))
        .cut();
    let upstream = Upstream::always(broken).await;
    let gateway = gateway(&upstream.url()).await;
    for body in [question(), streamed()] {
        let id = logs::id();
        let client = gateway.client().with("x-request-id", &id);
        client.chat(&body).await;
        assert_eq!(closed(&id).await, json!("upstream_broken"));
        let line = access_log(&id).await;
        assert_eq!(
            (&line["tokens_out"], &line["tokens_partial"]),
            (&json!(1), &json!(true)),
            "{line}"
        );
    }
    gateway.shutdown().await;
}

#[tokio::test]
async fn stages_learn_of_a_client_that_leaves_before_the_first_byte() {
    let upstream = Upstream::always(Script::silent()).await;
    let gateway = gateway(&upstream.url()).await;
    let id = logs::id();
    let client = gateway.client().with("x-request-id", &id);
    let asking = tokio::spawn(async move { client.chat(&question()).await });
    let request = upstream.next_request().await;
    asking.abort();
    within("the model server to be let go", request.disconnected()).await;
    assert_eq!(closed(&id).await, json!("client_closed"));
    let line = access_log(&id).await;
    assert_eq!(
        (&line["status"], &line["cancelled"]),
        (&json!(0), &json!(true))
    );
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_client_that_leaves_in_mid_stream_leaves_the_usage_of_what_came() {
    let stalls = || {
        Script::ndjson_head()
            .chunk(format!("{}\n", ollama::content("so")))
            .chunk(format!("{}\n", ollama::content(" far")))
            .hang()
    };
    let upstream = Upstream::always(stalls()).await;
    let gateway = gateway(&upstream.url()).await;
    let mut quickest = Duration::MAX;
    for _ in 0..5 {
        let id = logs::id();
        let client = gateway.client().with("x-request-id", &id);
        let mut stream = client.open_chat(&streamed()).await;
        // The role, and two texts.
        for _ in 0..3 {
            stream.event().await.expect("an event");
        }
        let request = upstream.next_request().await;
        let left = stream.hang_up().await;
        let gone = request.disconnected().await;
        quickest = quickest.min(gone.saturating_duration_since(left));
        assert_eq!(closed(&id).await, json!("client_closed"));
        let line = access_log(&id).await;
        assert_eq!(
            (
                &line["tokens_out"],
                &line["tokens_partial"],
                &line["cancelled"]
            ),
            (&json!(2), &json!(true), &json!(true)),
            "{line}"
        );
        if quickest <= SOON {
            break;
        }
    }
    assert!(quickest <= SOON, "the quickest took {quickest:?}");
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_client_that_leaves_while_its_response_is_aggregated_leaves_the_usage_of_what_came() {
    let stalls = Script::ndjson_head()
        .chunk(format!("{}\n", ollama::content("so far")))
        .hang();
    let upstream = Upstream::always(stalls).await;
    let gateway = gateway(&upstream.url()).await;
    let id = logs::id();
    let client = gateway.client().with("x-request-id", &id);
    let asking = tokio::spawn(async move { client.chat(&question()).await });
    let request = upstream.next_request().await;
    // The line has been taken in when the adapter has counted it.
    sluicegate_tests::eventually("the adapter's calls", async || {
        let calls = gateway
            .metric(r#"sluicegate_plugin_calls_total{plugin="aggregate"}"#)
            .await;
        (calls >= 3.0).then_some(())
    })
    .await;
    asking.abort();
    within("the model server to be let go", request.disconnected()).await;
    assert_eq!(closed(&id).await, json!("client_closed"));
    let line = access_log(&id).await;
    assert_eq!(
        (&line["tokens_out"], &line["tokens_partial"]),
        (&json!(1), &json!(true)),
        "{line}"
    );
    gateway.shutdown().await;
}

#[tokio::test]
async fn the_adapter_of_an_attempt_that_is_given_up_leaves_nothing() {
    let dying = Upstream::always(
        Script::ndjson_head()
            .chunk("{\"message\":{\"content\":")
            .cut(),
    )
    .await;
    let alive = Upstream::always(Script::ndjson(&ollama::stream(&["Hello"]))).await;
    let gateway = Setup::before_urls(&[dying.url(), alive.url()])
        .chat()
        .start()
        .await;
    for _ in 0..2 {
        let id = logs::id();
        let client = gateway.client().with("x-request-id", &id);
        assert_eq!(client.chat(&streamed()).await.status, 200);
        let seen = logs::seen(&id).await;
        assert_eq!(seen["note_usage"].get("partial"), None, "{seen}");
        assert_eq!(seen["error"], "");
    }
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_stage_that_failed_is_not_called_again() {
    let upstream = Upstream::always(Script::json(200, &json!({}))).await;
    let gateway = Setup::before(&upstream)
        .plugin("combined", guest::COMBINED, "")
        .plugin("guest", guest::FILTER, "")
        .plugin("observer", guest::OBSERVER, "")
        .route(
            "/*",
            r#"["combined", "guest"]"#,
            r#"observers = ["observer"]"#,
        )
        .start()
        .await;
    let id = logs::id();
    let client = gateway.client().with("x-request-id", &id);
    let client = client.with(guest::FIELD, "request-head=trap");
    let response = client.request(Method::GET, "/x", "").await;
    assert_eq!(response.status, 502);
    // The one before it is.
    assert_eq!(closed(&id).await, json!("plugin_fault"));
    gateway.shutdown().await;
}
