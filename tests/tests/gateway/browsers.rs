//! What pages in a browser on the same machine can do to a gateway that asks for no key: nothing, unless they are its own.

use hyper::Method;
use sluicegate_tests::client::Raw;
use sluicegate_tests::{Gateway, Script, Setup, Upstream};

use crate::common::{CHAT, assert_error, question, says_hello};

async fn guarded() -> (Upstream, Gateway) {
    let upstream = says_hello().await;
    let gateway = Setup::before(&upstream)
        .listener("hosts = [\"llm.example\"]")
        .chat()
        .start()
        .await;
    (upstream, gateway)
}

#[tokio::test]
async fn a_page_of_another_site_runs_no_model() {
    let (upstream, gateway) = guarded().await;
    for client in [gateway.client(), gateway.client().over_http2()] {
        let before = upstream.requests().len();
        for origin in ["https://evil.example", "null", "http://198.51.100.9"] {
            let client = client
                .clone()
                .with("origin", origin)
                .with("content-type", "text/plain");
            let response = client
                .request(Method::POST, CHAT, question().to_string())
                .await;
            assert_error(&response, 403, "forbidden_host_or_origin");
            let error = response.error();
            let message = error["message"].as_str().unwrap_or_default();
            assert!(
                message.contains("`hosts` of the `[[listener]]`"),
                "{message}"
            );
        }
        assert_eq!(upstream.requests().len(), before);
        for origin in [
            "http://localhost:3000",
            "https://llm.example",
            "tauri://localhost",
        ] {
            let client = client.clone().with("origin", origin);
            assert_eq!(client.chat(&question()).await.status, 200, "{origin}");
            assert_eq!(upstream.next_request().await.path(), "/api/chat");
        }
    }
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_name_that_was_made_to_lead_here_reads_nothing() {
    let (upstream, gateway) = guarded().await;
    let ask = async |address, path: &str, host: &str| {
        let mut raw = Raw::connect(address).await;
        raw.send(format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n\r\n"))
            .await;
        raw.response().await
    };
    for (address, path) in [
        (gateway.address(), "/v1/models"),
        (gateway.admin_address(), "/exchanges"),
        (gateway.admin_address(), "/livez"),
    ] {
        for host in [
            "rebound.example:8080",
            "rebound.example",
            "localhost.rebound.example",
        ] {
            let response = ask(address, path, host).await;
            assert_eq!(response.status, 403, "{host}{path}");
        }
        for host in ["127.0.0.1", "localhost:1234", "[::1]:80", "10.1.2.3"] {
            assert_eq!(ask(address, path, host).await.status, 200, "{host}{path}");
        }
    }
    assert_eq!(
        ask(gateway.address(), "/v1/models", "LLM.example")
            .await
            .status,
        200
    );
    assert_eq!(
        ask(gateway.admin_address(), "/livez", "llm.example")
            .await
            .status,
        403
    );
    assert!(
        upstream
            .requests()
            .iter()
            .all(|request| request.path() == "/api/tags")
    );
    gateway.shutdown().await;
}

#[tokio::test]
async fn where_every_route_asks_for_a_key_the_host_does_not_matter() {
    let upstream = says_hello().await;
    let toml = Setup::before(&upstream)
        .chat_with(r#"{ name = "a", key = "sk-a" }"#, "")
        .toml()
        .replace("hosts = [\"*\"]", "");
    let gateway = Gateway::start(&toml).await.expect("it starts");
    let mut raw = Raw::connect(gateway.address()).await;
    raw.send("GET /v1/models HTTP/1.1\r\nhost: any.example\r\norigin: https://any.example\r\nx-api-key: sk-a\r\n\r\n")
        .await;
    assert_eq!(raw.response().await.status, 200);
    gateway.shutdown().await;
}

#[tokio::test]
async fn what_a_model_server_says_of_other_origins_does_not_reach_the_client() {
    let script = Script::status(200)
        .field("access-control-allow-origin", "*")
        .field("Access-Control-Allow-Credentials", "true")
        .field("x-model", "kept")
        .body("{}");
    let upstream = Upstream::always(script).await;
    let gateway = Setup::before(&upstream).filter().start().await;
    for client in [gateway.client(), gateway.client().over_http2()] {
        let response = client.get("/x").await;
        assert_eq!((response.status, response.header("x-model")), (200, "kept"));
        let names = response.fields.keys();
        assert!(
            names
                .into_iter()
                .all(|name| !name.as_str().starts_with("access-control"))
        );
    }
    gateway.shutdown().await;
}
