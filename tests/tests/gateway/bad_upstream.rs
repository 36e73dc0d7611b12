//! Invalid responses of a model server, and one that is unreachable: the client gets a proper error.

use std::time::Duration;

use serde_json::json;
use sluicegate_tests::upstream::ollama;
use sluicegate_tests::{Script, Setup, Upstream, logs};
use tokio::net::TcpSocket;

use crate::common::{assert_error, question};

#[tokio::test]
async fn an_invalid_response_of_a_model_server_is_a_502_that_says_so() {
    let upstream =
        Upstream::start(
            |request| match request.header("x-script").unwrap_or_default() {
                "html" => Script::html(200, "<html>Welcome to nginx!</html>"),
                "html error" => Script::html(500, "<html>Internal Server Error</html>"),
                "empty 403" => Script::empty(403),
                "redirect" => Script::redirect(302, "http://elsewhere.example/"),
                "permanent redirect" => Script::redirect(308, "/api/chat/"),
                "empty 200" => Script::empty(200),
                "no content" => Script::raw("HTTP/1.1 204 No Content\r\n\r\n"),
                "garbage" => Script::ndjson_head().chunk("hello?\n"),
                "other json" => Script::ndjson(&[json!([1, 2])]),
                "nothing" => Script::raw("").cut(),
                "reset" => Script::raw("").reset(),
                "no http" => Script::raw("220 mail.example ESMTP\r\n\r\n").cut(),
                "half a head" => Script::raw("HTTP/1.1 200 OK\r\ncontent-ty").cut(),
                _ => Script::ndjson(&ollama::stream(&["Hello"])),
            },
        )
        .await;
    let gateway = Setup::before(&upstream).chat().start().await;
    for (script, codes) in [
        ("html", &["upstream_invalid"][..]),
        ("html error", &["upstream_error"]),
        ("empty 403", &["upstream_configuration"]),
        ("redirect", &["upstream_configuration"]),
        ("permanent redirect", &["upstream_configuration"]),
        ("empty 200", &["upstream_invalid", "upstream_truncated"]),
        ("no content", &["upstream_invalid", "upstream_truncated"]),
        ("garbage", &["upstream_invalid"]),
        ("other json", &["upstream_invalid"]),
        ("nothing", &["upstream_broken"]),
        ("reset", &["upstream_broken"]),
        ("no http", &["upstream_invalid"]),
        ("half a head", &["upstream_broken"]),
    ] {
        for config in [json!(false), json!(true)] {
            let mut body = question();
            body["stream"] = config;
            let response = gateway.client().with("x-script", script).chat(&body).await;
            let code = response.error()["code"]
                .as_str()
                .unwrap_or_default()
                .to_owned();
            assert!(
                codes.contains(&code.as_str()),
                "{script}: {}",
                response.text()
            );
            assert_error(&response, 502, &code);
            assert!(!response.text().contains("<html>"), "{script}");
            assert!(
                !response.text().contains(&upstream.address().to_string()),
                "no internals: {}",
                response.text()
            );
        }
    }
    assert_eq!(gateway.client().chat(&question()).await.status, 200);
    gateway.shutdown().await;
}

#[tokio::test]
async fn errors_of_the_model_server_reach_the_client_in_its_own_terms() {
    let upstream = Upstream::start(|request| {
        let status = request
            .header("x-status")
            .and_then(|status| status.parse().ok())
            .unwrap_or(200);
        let text = request.header("x-text").unwrap_or_default();
        Script::json(status, &ollama::error(text))
    })
    .await;
    for config in ["", "stream = \"as-client\""] {
        let gateway = Setup::before(&upstream).chat_with("", config).start().await;
        for (status, text, expected, code) in [
            ("404", "model 'x' not found", 404, "model_not_found"),
            (
                "400",
                "\"x\" does not support chat",
                400,
                "unsupported_value",
            ),
            (
                "500",
                "option \"stop\" must be of type array",
                400,
                "invalid_type",
            ),
            ("500", "the runner died", 502, "upstream_error"),
            (
                "503",
                "server busy, please try again.  maximum pending requests exceeded",
                503,
                "upstream_busy",
            ),
            ("429", "slow down", 429, "rate_limit_exceeded"),
            ("401", "unauthorized", 502, "upstream_unauthorized"),
        ] {
            for stream in [false, true] {
                let mut body = question();
                body["stream"] = json!(stream);
                let client = gateway
                    .client()
                    .with("x-status", status)
                    .with("x-text", text);
                let response = client.chat(&body).await;
                assert_error(&response, expected, code);
                assert_eq!(response.header("retry-after").is_empty(), expected != 503);
            }
        }
        gateway.shutdown().await;
    }
}

#[tokio::test]
async fn a_model_server_that_is_not_there_is_a_502_and_one_that_takes_nobody_a_504() {
    let gone = Upstream::always(Script::empty(200)).await;
    let url = gone.url();
    drop(gone);
    let gateway = Setup::before_url(&url).chat().start().await;
    for stream in [false, true] {
        let mut body = question();
        body["stream"] = json!(stream);
        let id = logs::id();
        let response = gateway.client().with("x-request-id", &id).chat(&body).await;
        assert_error(&response, 502, "upstream_unreachable");
        assert!(!response.text().contains("127.0.0.1"), "no internals");
        let line = logs::failure(&id).await;
        assert!(
            line["error"]
                .as_str()
                .is_some_and(|error| error.contains(&url)),
            "the log names it: {line}"
        );
    }
    gateway.shutdown().await;

    // A listener whose queue is full: connections are neither taken nor refused.
    let socket = TcpSocket::new_v4().expect("a socket");
    socket
        .bind("127.0.0.1:0".parse().expect("an address"))
        .expect("a port");
    let listener = socket.listen(1).expect("a listener");
    let address = listener.local_addr().expect("an address");
    let mut waiting = Vec::new();
    while let Ok(Ok(connection)) = tokio::time::timeout(
        Duration::from_millis(100),
        tokio::net::TcpStream::connect(address),
    )
    .await
    {
        waiting.push(connection);
    }
    let gateway = Setup::before_url(&format!("http://{address}"))
        .upstream("timeout = { connect = \"200ms\" }")
        .chat()
        .start()
        .await;
    let response = gateway.client().chat(&question()).await;
    assert_error(&response, 504, "upstream_connect_timeout");
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_kept_connection_that_has_gone_stale_is_tried_once_more() {
    // Each connection serves one request and is closed without a word while it is kept for the next.
    let good = format!("{}\n{}\n", ollama::content("Hello"), ollama::done("stop"));
    let once = Script::raw(format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\ncontent-length: {}\r\n\r\n{good}",
        good.len()
    ))
    .cut();
    let upstream = Upstream::always(once).await;
    let gateway = Setup::before(&upstream).chat().start().await;
    for _ in 0..10 {
        let id = logs::id();
        let response = gateway
            .client()
            .with("x-request-id", &id)
            .chat(&question())
            .await;
        assert_eq!(response.status, 200, "{}", response.text());
    }
    assert_eq!(upstream.requests().len(), 10, "no request was seen twice");
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_kept_connection_that_dies_on_its_second_request_is_replaced_once_and_only_once() {
    // The first request of each connection is answered, the second one gets the connection closed.
    let seen = std::sync::Mutex::new(std::collections::HashSet::new());
    let upstream = Upstream::start(move |request| {
        let is_first = seen.lock().expect("no panic").insert(request.connection);
        match (is_first, request.header("x-always").is_some()) {
            (true, false) => Script::ndjson(&ollama::stream(&["Hello"])),
            _ => Script::raw("").cut(),
        }
    })
    .await;
    let gateway = Setup::before(&upstream).chat().start().await;
    for _ in 0..5 {
        let response = gateway.client().chat(&question()).await;
        assert_eq!(response.status, 200, "{}", response.text());
    }
    // A server that closes every connection is asked twice at most.
    let before = upstream.requests().len();
    let response = gateway
        .client()
        .with("x-always", "1")
        .chat(&question())
        .await;
    assert_error(&response, 502, "upstream_broken");
    assert!(upstream.requests().len() - before <= 2);
    gateway.shutdown().await;
}
