//! Slow clients, at both ends of an exchange: each has a timeout, and does not delay others.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Empty;
use hyper_util::rt::{TokioExecutor, TokioIo};
use sluicegate_tests::client::Raw;
use sluicegate_tests::{Barrier, Script, Setup, Upstream, guest, logs, within};
use tokio::net::TcpStream;

use crate::common::{CHAT, assert_raw_error, says_hello};

#[tokio::test]
async fn a_body_that_comes_too_slowly_is_a_408() {
    let upstream = says_hello().await;
    let gateway = Setup::before(&upstream)
        .limit("body-timeout = \"150ms\"")
        .chat()
        .start()
        .await;
    let mut raw = Raw::connect(gateway.address()).await;
    raw.send(format!(
        "POST {CHAT} HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{{\"model\""
    ))
    .await;
    assert_raw_error(&raw.response().await, 408, "request_timeout");
    raw.closed().await;
    assert!(upstream.requests().is_empty());
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_head_that_comes_too_slowly_and_a_connection_that_idles_are_closed() {
    let upstream = says_hello().await;
    let gateway = Setup::before(&upstream)
        .limit("header-timeout = \"200ms\"")
        .limit("keep-alive = \"300ms\"")
        .chat()
        .start()
        .await;
    let mut slow = Raw::connect(gateway.address()).await;
    slow.send("GET /v1/models HT").await;
    slow.closed().await;
    let mut idle = Raw::connect(gateway.address()).await;
    idle.closed().await;
    let mut after = Raw::connect(gateway.address()).await;
    after
        .send("GET /v1/models HTTP/1.1\r\nhost: x\r\n\r\n")
        .await;
    assert_eq!(after.response().await.status, 200);
    after.closed().await;
    gateway.shutdown().await;
}

/// The head of a request whose body no stage wants to see.
fn head(length: usize) -> String {
    format!("POST /x HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n")
}

#[tokio::test]
async fn a_body_passed_on_unread_may_come_drop_by_drop() {
    let upstream = Upstream::always(Script::status(200).body("good")).await;
    let gateway = Setup::before(&upstream)
        .limit("body-timeout = \"2s\"")
        .filter()
        .start()
        .await;
    for chunked in [false, true] {
        let mut raw = Raw::connect(gateway.address()).await;
        if chunked {
            raw.send("POST /x HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n")
                .await;
        } else {
            raw.send(head(26)).await;
        }
        for letter in b'a'..=b'z' {
            let letter = char::from(letter);
            let chunk = if chunked {
                format!("1\r\n{letter}\r\n")
            } else {
                letter.to_string()
            };
            raw.send(chunk).await;
            // Time for it to be taken on its own. Nothing depends on it but how much is tried out.
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        if chunked {
            raw.send("0\r\n\r\n").await;
        }
        let response = raw.response().await;
        assert_eq!((response.status, response.text().as_str()), (200, "good"));
        let request = upstream.next_request().await;
        assert_eq!(
            String::from_utf8_lossy(&request.body),
            "abcdefghijklmnopqrstuvwxyz"
        );
        assert_eq!(request.header("content-length"), (!chunked).then_some("26"));
        assert_eq!(request.fields.has("transfer-encoding"), chunked);
    }
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_body_passed_on_unread_is_passed_on_as_it_comes_and_its_end_is_not_waited_for_for_ever() {
    // It answers when it has the whole request, so never; it sees the head at once.
    let upstream = Upstream::eager(|_| Script::silent()).await;
    let gateway = Setup::before(&upstream)
        .limit("body-timeout = \"200ms\"")
        .filter()
        .start()
        .await;
    let mut raw = Raw::connect(gateway.address()).await;
    // Its beginning tells that it is not JSON, which would be kept.
    raw.send(head(10) + "b").await;
    let request = upstream.next_request().await;
    assert_eq!(
        (request.path(), request.header("content-length")),
        ("/x", Some("10"))
    );
    raw.send("egins").await;
    let response = raw.response().await;
    assert_eq!(
        (response.status, response.json()["error"]["code"].as_str()),
        (408, Some("request_timeout"))
    );
    request.disconnected().await;
    assert!(request.was_abandoned());
    raw.closed().await;
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_client_that_leaves_in_the_middle_of_a_body_passed_on_unread_takes_the_request_with_it() {
    let upstream = Upstream::eager(|_| Script::silent()).await;
    let gateway = Setup::before(&upstream).filter().start().await;
    for reset in [false, true] {
        let mut raw = Raw::connect(gateway.address()).await;
        raw.send(head(10) + "b").await;
        let request = upstream.next_request().await;
        raw.send("egins").await;
        if reset {
            raw.reset();
        } else {
            raw.hang_up();
        }
        request.disconnected().await;
        assert!(request.was_abandoned());
    }
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_model_server_that_does_not_take_the_body_is_no_fault_of_the_clients() {
    // Far more than the sockets on the way hold.
    const LENGTH: usize = 64 << 20;
    let never = Barrier::new();
    let script = Script::raw("").wait(&never);
    let upstream = Upstream::eager(move |_| script.clone()).await;
    let gateway = Setup::before(&upstream)
        .limit("request-body = \"64MiB\"")
        .limit("body-timeout = \"200ms\"")
        .upstream("timeout = { first-byte = \"3s\" }")
        .filter()
        .start()
        .await;
    let mut raw = Raw::connect(gateway.address()).await;
    raw.send(head(LENGTH) + "x").await;
    upstream.next_request().await;
    // As much as is taken before the way is full.
    let full = tokio::time::timeout(Duration::from_millis(400), raw.send(vec![b'x'; LENGTH])).await;
    assert!(
        full.is_err(),
        "nobody keeps 64 MiB for a server that takes none"
    );
    let response = raw.response().await;
    assert_eq!(
        (response.status, response.json()["error"]["code"].as_str()),
        (504, Some("upstream_first_byte_timeout"))
    );
    gateway.shutdown().await;
}

/// Chunks of a stream that is far larger than what sockets hold.
const CHUNKS: usize = 64;
const CHUNK: usize = 1 << 20;

/// A stream of large events; the barrier counts how far it has got.
fn large(progress: &Barrier) -> Script {
    let event = format!("data: {}\n\n", "x".repeat(CHUNK - 8));
    progress.open();
    (0..CHUNKS).fold(Script::sse_head(), |script, _| {
        script.wait(progress).chunk(event.clone())
    })
}

/// Comes back when the model server has stopped sending; says how many chunks it has begun.
async fn standstill(progress: &Barrier) -> usize {
    progress.reached(1).await;
    let mut last = 0;
    loop {
        tokio::time::sleep(Duration::from_millis(250)).await;
        let now = progress.count();
        if now == last {
            return now;
        }
        last = now;
    }
}

#[tokio::test]
async fn a_client_that_stops_reading_stops_the_model_server_and_nobody_else() {
    for acts in ["", "response-plan=sse", "response-plan=chunks"] {
        let progress = Barrier::new();
        let script = large(&progress);
        let upstream = Upstream::start(move |request| match request.path() {
            "/large" => script.clone(),
            _ => Script::empty(200),
        })
        .await;
        let gateway = Setup::before(&upstream)
            .guest(guest::WATCHER, "")
            .start()
            .await;
        let mut reader = Raw::connect(gateway.address()).await;
        reader
            .send(format!(
                "GET /large HTTP/1.1\r\nhost: x\r\n{}: {acts}\r\n\r\n",
                guest::FIELD
            ))
            .await;
        let sent = standstill(&progress).await;
        assert!(
            sent < CHUNKS / 2,
            "{sent} of {CHUNKS} chunks were taken for a client that reads nothing ({acts})"
        );
        assert_eq!(
            gateway.client().get("/small").await.status,
            200,
            "others are served"
        );
        // When it reads again, it gets it all.
        let response = reader.response().await;
        assert!(response.complete);
        assert_eq!(response.body.len(), CHUNKS * CHUNK);
        gateway.shutdown().await;
    }
}

#[tokio::test]
async fn a_client_that_takes_nothing_for_too_long_is_cut_off() {
    let progress = Barrier::new();
    let upstream = Upstream::always(large(&progress)).await;
    let gateway = Setup::before(&upstream)
        .limit("write-timeout = \"300ms\"")
        .filter()
        .start()
        .await;
    let id = logs::id();
    let mut reader = Raw::connect(gateway.address()).await;
    reader
        .send(format!(
            "GET /x HTTP/1.1\r\nhost: x\r\nx-request-id: {id}\r\n\r\n"
        ))
        .await;
    upstream.next_request().await.disconnected().await;
    assert_eq!(logs::seen(&id).await["error"], "client_closed");
    assert!(!reader.response().await.complete);
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_stream_without_window_does_not_outlive_its_limits() {
    for (limit, upstream_line, error) in [
        ("write-timeout = \"300ms\"", "", "client_closed"),
        (
            "write-timeout = \"10m\"",
            "timeout = { total = \"500ms\" }",
            "upstream_total_timeout",
        ),
    ] {
        let progress = Barrier::new();
        let upstream = Upstream::always(large(&progress)).await;
        let gateway = Setup::before(&upstream)
            .limit(limit)
            .upstream(upstream_line)
            .filter()
            .start()
            .await;
        let stream = TcpStream::connect(gateway.address())
            .await
            .expect("it listens");
        // A client that never opens the window of its streams, and answers everything else.
        let (mut sender, connection) =
            hyper::client::conn::http2::Builder::new(TokioExecutor::new())
                .initial_stream_window_size(0)
                .handshake::<_, Empty<Bytes>>(TokioIo::new(stream))
                .await
                .expect("HTTP/2");
        let connection = tokio::spawn(connection);
        let mut waiting = Vec::new();
        for _ in 0..3 {
            let id = logs::id();
            let request = hyper::Request::get(format!("http://{}/x", gateway.address()))
                .header("x-request-id", &id)
                .body(Empty::new())
                .expect("a legal request");
            let response = sender.send_request(request).await.expect("a head");
            assert_eq!(response.status(), 200);
            waiting.push((id, response, upstream.next_request().await));
        }
        for (id, response, request) in waiting {
            within("the model server to be let go", request.disconnected()).await;
            let seen = logs::seen(&id).await;
            assert_eq!(seen["error"], error, "{seen}");
            drop(response);
        }
        assert!(!connection.is_finished());
        connection.abort();
        gateway.shutdown().await;
    }
}

#[tokio::test]
async fn a_response_that_a_client_does_not_take_counts_until_its_stream_is_reset() {
    const LENGTH: usize = 3 << 20;
    let upstream = Upstream::always(Script::status(200).body("x".repeat(LENGTH))).await;
    let gateway = Setup::before(&upstream)
        .limit("write-timeout = \"1s\"")
        .guest(guest::FILTER, "")
        .start()
        .await;
    let socket = TcpStream::connect(gateway.address())
        .await
        .expect("it listens");
    let (mut sender, connection) = hyper::client::conn::http2::Builder::new(TokioExecutor::new())
        .initial_stream_window_size(1_024)
        .handshake(TokioIo::new(socket))
        .await
        .expect("HTTP/2");
    let driver = tokio::spawn(async move { drop(connection.await) });
    let request = hyper::Request::get(format!("http://{}/x", gateway.address()))
        .header("x-guest", "response-plan=whole")
        .body(Empty::<Bytes>::new())
        .expect("legal");
    let response = within("the head", sender.send_request(request))
        .await
        .expect("a head");
    let held = "sluicegate_body_memory_bytes";
    let running = r#"sluicegate_requests_in_flight{route="/*"}"#;
    sluicegate_tests::eventually("the end of the exchange", async || {
        (gateway.metric(running).await == 0.0).then_some(())
    })
    .await;
    assert!(
        gateway.metric(held).await > 0.9 * LENGTH as f64,
        "it is still kept"
    );
    sluicegate_tests::eventually("the end of the stream", async || {
        (gateway.metric(held).await == 0.0).then_some(())
    })
    .await;
    let body = http_body_util::BodyExt::collect(response.into_body());
    assert!(
        within("the end of the body", body).await.is_err(),
        "it was reset"
    );
    // The connection is there for others.
    let request = hyper::Request::head(format!("http://{}/x", gateway.address()))
        .body(Empty::<Bytes>::new())
        .expect("legal");
    let other = within("another response", sender.send_request(request)).await;
    assert_eq!(other.expect("a head").status(), 200);
    drop(sender);
    driver.abort();
    gateway.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_takes_its_time_gets_all_of_it_also_during_a_drain() {
    const LENGTH: usize = 24 << 20;
    let upstream = Upstream::always(Script::status(200).body("x".repeat(LENGTH))).await;
    let gateway = Setup::before(&upstream)
        .server("drain-timeout = \"10m\"")
        .guest(
            guest::FILTER,
            r#"limits = { memory = "128MiB", cpu = "2s" }"#,
        )
        .start()
        .await;
    let mut raw = Raw::connect(gateway.address()).await;
    raw.send("GET /x HTTP/1.1\r\nhost: x\r\nx-guest: response-plan=whole\r\n\r\n")
        .await;
    let mut response = raw.head("GET").await;
    assert_eq!(response.status, 200);
    let admin = gateway.admin();
    let stopping = tokio::spawn(gateway.shutdown());
    sluicegate_tests::eventually("the drain", async || {
        (admin.get("/readyz").await.json()["draining"] == true).then_some(())
    })
    .await;
    // Longer than half a request head may take.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    while raw.chunk(&mut response).await.is_some() {}
    assert_eq!((response.body.len(), response.complete), (LENGTH, true));
    within("the end of the gateway", stopping)
        .await
        .expect("no panic");
}
