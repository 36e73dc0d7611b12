//! Header fields that do not cross the gateway, and methods that the gateway answers itself.

use hyper::Method;
use serde_json::json;
use sluicegate_tests::{Script, Setup, Upstream};

use crate::common::{greets, question};

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
        .with("proxy-authorization", "Basic cHJveHk6c2VjcmV0")
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
        "proxy-authorization",
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
