//! Model servers that answer before they have the whole request.

use serde_json::json;
use sluicegate_tests::client::Raw;
use sluicegate_tests::{Barrier, Gateway, Script, Setup, Upstream};

/// More than the sockets between a client and a model server hold.
const LARGE: usize = 16 << 20;

/// A refusal, as servers send it that look at the head only.
fn refusal(status: u16) -> Script {
    Script::json(status, &json!({"error": "no"}))
}

/// A client that has sent the head of a request and this much of its body.
async fn begins(gateway: &Gateway, length: usize, part: usize) -> Raw {
    let mut raw = Raw::connect(gateway.address()).await;
    raw.send(format!(
        "POST /x HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n{}",
        "y".repeat(part)
    ))
    .await;
    raw
}

#[tokio::test]
async fn a_response_before_the_end_of_the_body_reaches_the_client_at_once() {
    for status in [400, 413, 401] {
        let upstream = Upstream::eager(move |_| refusal(status)).await;
        let gateway = Setup::before(&upstream).filter().start().await;
        let mut raw = begins(&gateway, 1000, 10).await;
        let response = raw.response().await;
        assert_eq!((response.status, response.complete), (status, true));
        assert_eq!(response.json(), json!({"error": "no"}));
        let request = upstream.next_request().await;
        assert_eq!(request.header("content-length"), Some("1000"));
        // A request that is never completed cannot be followed by another.
        drop(raw);
        request.disconnected().await;
        assert_eq!(gateway.client().post("/x", &json!({})).await.status, status);
        assert_ne!(upstream.next_request().await.connection, request.connection);
        gateway.shutdown().await;
    }
}

#[tokio::test]
async fn a_server_that_refuses_a_large_body_and_closes_is_heard() {
    for (case, script) in [
        ("half-closed", refusal(413).half_close()),
        (
            "said so",
            Script::status(413)
                .field("connection", "close")
                .body("{}")
                .half_close(),
        ),
    ] {
        let upstream = Upstream::eager(move |_| script.clone()).await;
        let gateway = Setup::before(&upstream).filter().start().await;
        for _ in 0..5 {
            let mut raw = begins(&gateway, LARGE, 100_000).await;
            let response = raw.response().await;
            assert_eq!(
                (response.status, response.complete),
                (413, true),
                "{case}: {}",
                response.text()
            );
        }
        assert_eq!(upstream.requests().len(), 5, "{case}: asked once each");
        gateway.shutdown().await;
    }
}

#[tokio::test]
async fn a_server_that_refuses_a_large_body_and_breaks_off_is_heard_or_has_broken_off() {
    // It closes with bytes unread, so the system resets the connection: its response may have arrived before that or not.
    let upstream = Upstream::eager(move |_| refusal(413).cut()).await;
    let gateway = Setup::before(&upstream).filter().start().await;
    for round in 1..=10 {
        let mut raw = begins(&gateway, LARGE, 100_000).await;
        let response = raw.response().await;
        assert!(response.complete);
        match response.status {
            413 => assert_eq!(response.json(), json!({"error": "no"})),
            502 => assert_eq!(response.json()["error"]["code"], "upstream_broken"),
            status => panic!("{status}: {}", response.text()),
        }
        assert_eq!(upstream.requests().len(), round, "asked once each");
    }
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_response_may_stream_while_the_question_still_comes() {
    let later = Barrier::new();
    let script = Script::sse_head()
        .chunk("data: one\n\n")
        .wait(&later)
        .chunk("data: two\n\n");
    let upstream = Upstream::eager(move |_| script.clone()).await;
    let gateway = Setup::before(&upstream).filter().start().await;
    let mut raw = begins(&gateway, 20, 10).await;
    let mut response = raw.head("POST").await;
    assert_eq!(response.status, 200);
    while !response.text().contains("one") {
        raw.chunk(&mut response).await.expect("the first event");
    }
    raw.send("y".repeat(10)).await;
    later.release();
    while raw.chunk(&mut response).await.is_some() {}
    assert_eq!(
        (response.text().as_str(), response.complete),
        ("data: one\n\ndata: two\n\n", true)
    );
    upstream.next_request().await.answered().await;
    gateway.shutdown().await;
}
