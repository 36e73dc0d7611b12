//! Connections to the model server that are used again, and those that must not be.

use std::time::Duration;

use hyper::Method;
use sluicegate_tests::{Barrier, Script, Setup, Upstream, guest};

use super::{GOOD, Wire, assert_body, assert_refused};

/// A response that keeps its connection.
const KEPT: &str = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ngood";

#[tokio::test]
async fn a_connection_is_used_again_after_each_kind_of_response_that_ends_properly() {
    let wire = Wire::of([
        ("/length", Script::status(200).body("x")),
        ("/chunked", Script::status(200).chunked().chunk("x")),
        ("/empty", Script::empty(200)),
        ("/error", Script::status(500).body("x")),
        (
            "/keep-alive",
            Script::status(200)
                .field("connection", "keep-alive")
                .body("x"),
        ),
    ])
    .await;
    let first = wire.goes_on("nothing").await;
    for path in ["/length", "/chunked", "/empty", "/error", "/keep-alive"] {
        assert_eq!(wire.ask(path).await.1.connection, first, "{path}");
        assert_eq!(wire.goes_on(path).await, first, "{path}");
    }
    assert_eq!(wire.upstream.connections(), 1);
    wire.gateway.shutdown().await;
}

#[tokio::test]
async fn a_server_that_says_close_is_left_although_it_does_not_close() {
    for value in ["close", "Close", "foo, close"] {
        let wire = Wire::of([(
            "/close",
            Script::status(200).field("connection", value).body("bye"),
        )])
        .await;
        let (response, request) = wire.ask("/close").await;
        assert_body(&response, b"bye", value);
        assert!(!response.fields.contains_key("connection"), "{value}");
        request.disconnected().await;
        wire.goes_on_elsewhere(&request, value).await;
        wire.gateway.shutdown().await;
    }
}

#[tokio::test]
async fn a_server_that_answers_in_full_and_half_closes_is_answered_for_and_left() {
    let wire = Wire::of([
        (
            "/length",
            Script::status(200).length(3).chunk("bye").half_close(),
        ),
        (
            "/chunked",
            Script::status(200)
                .chunked()
                .chunk("bye")
                .bytes("0\r\n\r\n")
                .half_close(),
        ),
        (
            "/until-close",
            Script::raw("HTTP/1.1 200 OK\r\n\r\nbye").half_close(),
        ),
    ])
    .await;
    for path in ["/length", "/chunked", "/until-close"] {
        let (response, request) = wire.ask(path).await;
        assert_body(&response, b"bye", path);
        wire.goes_on_elsewhere(&request, path).await;
        request.disconnected().await;
    }
    wire.gateway.shutdown().await;
}

#[tokio::test]
async fn a_server_that_half_closes_without_a_response_has_broken_off() {
    let wire = Wire::of([
        ("/nothing", Script::raw("").half_close()),
        ("/half", Script::raw("HTTP/1.1 200 OK\r\n").half_close()),
        (
            "/body",
            Script::status(200).length(9).chunk("").half_close(),
        ),
    ])
    .await;
    for path in ["/nothing", "/half", "/body"] {
        let (response, request) = wire.ask(path).await;
        assert_refused(&response, &["upstream_broken"], path);
        request.disconnected().await;
        wire.goes_on_elsewhere(&request, path).await;
    }
    wire.gateway.shutdown().await;
}

#[tokio::test]
async fn garbage_on_a_kept_connection_is_not_a_response() {
    for garbage in [
        "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil",
        "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
        "evil",
        "\r\n",
    ] {
        let (before, after) = (Barrier::new(), Barrier::new());
        // The client has its response, and the connection is kept, before the garbage comes.
        let script = Script::raw(KEPT).wait(&before).bytes(garbage).wait(&after);
        let wire = Wire::of([("/first", script)]).await;
        let (response, request) = wire.ask("/first").await;
        assert_body(&response, GOOD.as_bytes(), "the first response");
        before.release();
        after.reached(1).await;
        wire.goes_on_elsewhere(&request, garbage).await;
        after.release();
        request.disconnected().await;
        wire.gateway.shutdown().await;
    }
}

/// A server whose connections serve one request properly and meet the second one with this script.
async fn once_then(second: Script) -> Upstream {
    let seen = std::sync::Mutex::new(std::collections::HashSet::new());
    Upstream::start(move |request| {
        if seen.lock().expect("no panic").insert(request.connection) {
            Script::raw(KEPT)
        } else {
            second.clone()
        }
    })
    .await
}

#[tokio::test]
async fn a_kept_connection_that_dies_without_a_word_is_replaced_and_the_client_sees_nothing() {
    for (case, second) in [
        ("closed", Script::raw("").cut()),
        ("half-closed", Script::raw("").half_close()),
        ("reset", Script::raw("").reset()),
    ] {
        let upstream = once_then(second).await;
        let gateway = Setup::before(&upstream).filter().start().await;
        for (number, method) in [Method::POST, Method::GET, Method::DELETE, Method::POST]
            .into_iter()
            .enumerate()
        {
            let body = if method == Method::POST {
                "a question"
            } else {
                ""
            };
            let before = upstream.requests().len();
            // A body that a stage has read is at hand for a second try.
            let client = gateway.client().with(guest::FIELD, "request-plan=whole");
            let response = client.request(method.clone(), "/x?y=1", body).await;
            assert_body(&response, GOOD.as_bytes(), case);
            // The first one needs no second try; every other one is sent again, as it was.
            let requests = upstream.requests();
            assert_eq!(
                requests.len() - before,
                if number == 0 { 1 } else { 2 },
                "{case}"
            );
            let again = requests.last().expect("there are some");
            for request in &requests[before..] {
                assert_eq!(
                    (
                        request.method.as_str(),
                        request.target.as_str(),
                        &request.fields,
                        &request.body
                    ),
                    (method.as_str(), "/x?y=1", &again.fields, &again.body),
                    "{case}"
                );
                assert_eq!(request.body, body.as_bytes(), "{case}");
            }
        }
        assert_eq!(upstream.connections(), 4, "{case}");
        gateway.shutdown().await;
    }
}

#[tokio::test]
async fn a_kept_connection_on_which_a_response_has_begun_is_not_tried_again() {
    for (case, second) in [
        ("half a status line", Script::raw("HTTP/1.1 20").cut()),
        (
            "half a head",
            Script::raw("HTTP/1.1 200 OK\r\nx-a: 1\r\n").cut(),
        ),
        (
            "half a status line, reset",
            Script::raw("HTTP/1.1 20")
                .sleep(Duration::from_millis(20))
                .reset(),
        ),
        (
            "half a body",
            Script::status(200).length(9).chunk("half").cut(),
        ),
        (
            "half a body, reset",
            Script::status(200).length(9).chunk("").reset(),
        ),
    ] {
        let upstream = once_then(second).await;
        let gateway = Setup::before(&upstream).filter().start().await;
        let client = gateway.client().with(guest::FIELD, "request-plan=whole");
        let ask = async || client.request(Method::POST, "/x", "q").await;
        assert_body(&ask().await, GOOD.as_bytes(), case);
        let response = ask().await;
        if case == "half a body" && response.status == 200 {
            assert_eq!(
                (response.text().as_str(), response.complete),
                ("half", false)
            );
        } else {
            assert_refused(&response, &["upstream_broken"], case);
        }
        assert_eq!(
            upstream.requests().len(),
            2,
            "{case}: the model must not run twice"
        );
        assert_body(&ask().await, GOOD.as_bytes(), case);
        gateway.shutdown().await;
    }
}

#[tokio::test]
async fn an_interim_response_on_a_kept_connection_counts_as_a_beginning() {
    let upstream = once_then(Script::raw("HTTP/1.1 102 Processing\r\n\r\n").cut()).await;
    let gateway = Setup::before(&upstream).filter().start().await;
    let client = gateway.client().with(guest::FIELD, "request-plan=whole");
    let ask = async || client.request(Method::POST, "/x", "q").await;
    assert_body(&ask().await, GOOD.as_bytes(), "the first response");
    assert_refused(&ask().await, &["upstream_broken"], "an interim response");
    assert_eq!(upstream.requests().len(), 2, "the model must not run twice");
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_request_without_a_body_can_be_sent_again_although_no_stage_has_read_it() {
    let upstream = once_then(Script::raw("").cut()).await;
    let gateway = Setup::before(&upstream).filter().start().await;
    for _ in 0..3 {
        for client in [gateway.client(), gateway.client().over_http2()] {
            for method in [Method::GET, Method::HEAD, Method::POST] {
                let response = client.request(method.clone(), "/x", "").await;
                assert_eq!(
                    (response.status, response.complete),
                    (200, true),
                    "{method} {client:?}"
                );
            }
        }
    }
    // All but the first one met a connection that died.
    assert_eq!(upstream.requests().len(), 2 * 18 - 1);
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_body_that_was_forwarded_unread_cannot_be_sent_again_and_the_client_gets_an_error() {
    let upstream = once_then(Script::raw("").cut()).await;
    let gateway = Setup::before(&upstream).filter().start().await;
    let ask = async || gateway.client().request(Method::POST, "/x", "q").await;
    assert_body(&ask().await, GOOD.as_bytes(), "the first response");
    assert_refused(&ask().await, &["upstream_broken"], "a body that is gone");
    assert_eq!(upstream.requests().len(), 2);
    assert_body(&ask().await, GOOD.as_bytes(), "the next one");
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_fresh_connection_that_dies_is_not_tried_again() {
    for (case, script) in [
        ("closed", Script::raw("").cut()),
        ("reset", Script::raw("").reset()),
    ] {
        let wire = Wire::of([("/x", script)]).await;
        let (response, _) = wire.ask("/x").await;
        assert_refused(&response, &["upstream_broken"], case);
        wire.goes_on(case).await;
        wire.gateway.shutdown().await;
    }
}

#[tokio::test]
async fn a_body_that_is_passed_on_unread_needs_no_second_try_after_a_silent_close() {
    // Each response is followed by the end of its connection, which the gateway has not been told of.
    let upstream = Upstream::always(Script::raw(KEPT).cut()).await;
    let gateway = Setup::before(&upstream).filter().start().await;
    for round in 0..5 {
        let body = vec![b'x'; 100_000];
        let response = gateway
            .client()
            .request(Method::POST, "/x", body.clone())
            .await;
        assert_body(&response, GOOD.as_bytes(), "a new connection");
        let request = upstream.next_request().await;
        request.answered().await;
        assert!(request.body == body, "round {round}");
    }
    assert_eq!(upstream.requests().len(), 5);
    gateway.shutdown().await;
}
