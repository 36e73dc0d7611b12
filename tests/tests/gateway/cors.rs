//! Pages of other origins that the configuration lists, as their browsers speak (a real browser is in the browser suite).

use hyper::Method;
use serde_json::{Value, json};
use sluicegate_tests::client::{Raw, Response};
use sluicegate_tests::upstream::ollama;
use sluicegate_tests::{Client, Gateway, Script, Setup, Upstream};

use crate::common::{CHAT, question, says_hello, with};

const PAGE: &str = "https://app.example";

fn setup(upstream: &Upstream) -> Setup {
    let cors = format!(
        "[server.cors]\norigins = [\"{PAGE}\", \"http://localhost:3000\"]\nmax-age = \"10m\"\n"
    );
    Setup::before(upstream)
        .section(&cors)
        .chat_with("{ name = \"a\", key = \"sk-a\" }", "")
}

fn page(gateway: &Gateway, origin: &str) -> Client {
    gateway.client().with("origin", origin)
}

/// What a browser asks before it sends a page's request.
async fn preflight(client: &Client, method: &str, path: &str) -> Response {
    let client = client
        .clone()
        .with("access-control-request-method", method)
        .with(
            "access-control-request-headers",
            "authorization,content-type",
        );
    client.request(Method::OPTIONS, path, "").await
}

#[tokio::test]
async fn the_gateway_answers_the_question_itself_and_without_a_key() {
    let upstream = says_hello().await;
    let gateway = setup(&upstream).start().await;
    for origin in [PAGE, "http://localhost:3000"] {
        let response = preflight(&page(&gateway, origin), "POST", CHAT).await;
        assert_eq!(response.status, 204);
        for (name, value) in [
            ("access-control-allow-origin", origin),
            ("access-control-allow-methods", "POST"),
            ("access-control-allow-headers", "authorization,content-type"),
            ("access-control-max-age", "600"),
            ("vary", "origin"),
        ] {
            assert_eq!(response.header(name), value);
        }
    }
    // The methods that there are, so that the browser's console says what is wrong.
    let other = preflight(&page(&gateway, PAGE), "DELETE", CHAT).await;
    assert_eq!(
        other.header("access-control-allow-methods"),
        "POST, OPTIONS"
    );
    let nowhere = preflight(&page(&gateway, PAGE), "POST", "/nowhere").await;
    assert_eq!(nowhere.status, 404);
    for foreign in [
        "https://evil.example",
        "null",
        "https://app.example.evil.example",
        "http://app.example",
    ] {
        let response = preflight(&page(&gateway, foreign), "POST", CHAT).await;
        assert_eq!(
            response.header("access-control-allow-origin"),
            "",
            "{foreign}"
        );
    }
    assert!(upstream.requests().is_empty());
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_page_may_read_every_response_errors_and_streams_included() {
    // A model server that says that everybody may.
    let lines = |lines: &[Value]| {
        let lines = lines.iter().map(|line| format!("{line}\n"));
        Script::status(200)
            .field("content-type", "application/x-ndjson")
            .field("access-control-allow-origin", "*")
            .body(lines.collect::<String>())
    };
    let upstream = Upstream::always(lines(&ollama::stream(&["Hello"]))).await;
    let gateway = setup(&upstream).start().await;
    let stranger = page(&gateway, PAGE);
    let known = stranger.clone().with("authorization", "Bearer sk-a");
    let streamed = with(question(), "stream", json!(true));
    for (response, status) in [
        (known.chat(&question()).await, 200),
        (known.chat(&streamed).await, 200),
        (known.chat(&json!({"model": "m"})).await, 400),
        (stranger.chat(&question()).await, 401),
        (known.get("/nowhere").await, 404),
        (known.get(CHAT).await, 405),
    ] {
        assert_eq!(response.status, status);
        assert_eq!(response.header("access-control-allow-origin"), PAGE);
        assert_eq!(response.header("vary"), "origin");
        let exposed = response.header("access-control-expose-headers");
        assert!(exposed.contains("x-request-id"), "{exposed}");
    }
    for other in ["https://evil.example", "null"] {
        let client = page(&gateway, other).with("authorization", "Bearer sk-a");
        let response = client.chat(&question()).await;
        assert_eq!(
            response.header("access-control-allow-origin"),
            "",
            "{other}"
        );
    }
    // No browser names two.
    let two = known.clone().with("origin", "https://evil.example");
    let response = two.chat(&question()).await;
    assert_eq!(response.header("access-control-allow-origin"), "");
    // Who is no page is told nothing.
    let client = gateway.client().with("authorization", "Bearer sk-a");
    assert_eq!(
        client
            .chat(&question())
            .await
            .header("access-control-allow-origin"),
        ""
    );
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_listed_page_may_use_a_gateway_without_keys_under_its_own_host_alone() {
    let upstream = says_hello().await;
    let cors = format!("[server.cors]\norigins = [\"{PAGE}\"]\n");
    let gateway = Setup::before(&upstream)
        .listener("hosts = [\"llm.example\"]")
        .section(&cors)
        .chat()
        .start()
        .await;
    assert_eq!(page(&gateway, PAGE).chat(&question()).await.status, 200);
    assert_eq!(
        page(&gateway, "https://evil.example")
            .chat(&question())
            .await
            .status,
        403
    );
    let mut raw = Raw::connect(gateway.address()).await;
    raw.send(format!(
        "GET /v1/models HTTP/1.1\r\nhost: rebound.example\r\norigin: {PAGE}\r\n\r\n"
    ))
    .await;
    assert_eq!(raw.response().await.status, 403);
    gateway.shutdown().await;

    let all = "[server.cors]\norigins = [\"*\"]\n";
    let gateway = Setup::before(&upstream).section(all).chat().start().await;
    let anybody = page(&gateway, "https://anybody.example")
        .chat(&question())
        .await;
    let allowed = anybody.header("access-control-allow-origin");
    assert_eq!((anybody.status, allowed), (200, "*"));
    gateway.shutdown().await;
}
