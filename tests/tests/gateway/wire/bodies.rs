//! Bodies of responses: where they end, and what happens if their framing is invalid.

use std::time::Duration;

use hyper::Method;
use sluicegate_tests::client::Response;
use sluicegate_tests::{Script, Setup, Upstream};
use tokio::task::JoinSet;

use super::{GOOD, Wire, assert_body, assert_refused, path, wire_of};

/// A response with these fields; what follows goes out as it is.
fn response(fields: &str, rest: impl AsRef<[u8]>) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n");
    [head.as_bytes(), rest.as_ref()].concat()
}

const CHUNKED: &str = "transfer-encoding: chunked";

#[tokio::test]
async fn each_legal_way_to_end_a_body_is_understood() {
    // Whether the connection may be used again is a matter of the framing, too.
    let cases = [
        ("a length", response("content-length: 5", "hello"), true),
        (
            "a padded length",
            response("content-length:  005 ", "hello"),
            true,
        ),
        (
            "chunks",
            response(CHUNKED, "2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"),
            true,
        ),
        (
            "names in capitals",
            response("Transfer-Encoding: CHUNKED", "5\r\nhello\r\n0\r\n\r\n"),
            true,
        ),
        (
            "sizes with zeros",
            response(CHUNKED, "0005\r\nhello\r\n000\r\n\r\n"),
            true,
        ),
        (
            "extensions",
            response(CHUNKED, "2;a=b\r\nhe\r\n3;c=\"d e\"\r\nllo\r\n0;f\r\n\r\n"),
            true,
        ),
        (
            "trailers",
            response(
                CHUNKED,
                "5\r\nhello\r\n0\r\nx-trailer: 1\r\ncontent-length: 9\r\n\r\n",
            ),
            true,
        ),
        (
            "the end of the connection",
            response("x-a: 1", "hello"),
            false,
        ),
        (
            "close",
            response("connection: close\r\ncontent-length: 5", "hello"),
            false,
        ),
    ];
    for cut in [false, true] {
        let wire = wire_of(&cases, |(_, bytes, keeps)| {
            let script = if cut {
                Script::raw("").chunks(bytes.iter().map(|byte| [*byte]))
            } else {
                Script::raw(bytes.clone())
            };
            if *keeps { script } else { script.cut() }
        })
        .await;
        for (number, (case, _, keeps)) in cases.iter().enumerate() {
            let (response, request) = wire.ask(&path(number)).await;
            assert_body(&response, b"hello", case);
            assert!(!response.fields.contains_key("x-trailer"), "{case}");
            assert!(
                !response.fields.contains_key("transfer-encoding")
                    || !response.fields.contains_key("content-length"),
                "{case}"
            );
            assert_eq!(
                wire.goes_on(case).await == request.connection,
                *keeps,
                "{case}"
            );
        }
        wire.gateway.shutdown().await;
    }
}

#[tokio::test]
async fn large_chunks_with_large_sizes_in_capitals_are_understood() {
    let body: Vec<u8> = (0..=255_u8).cycle().take(0xABCDE).collect();
    let bytes = [
        &response(CHUNKED, "ABCDE\r\n")[..],
        &body,
        b"\r\nA\r\n0123456789\r\n0\r\n\r\n",
    ]
    .concat();
    let wire = Wire::of([("/large", Script::raw(bytes))]).await;
    let (response, request) = wire.ask("/large").await;
    assert_eq!((response.status, response.complete), (200, true));
    assert!(response.body == [&body[..], b"0123456789"].concat());
    assert_eq!(wire.goes_on("large chunks").await, request.connection);
    wire.gateway.shutdown().await;
}

#[tokio::test]
async fn a_response_cut_at_any_byte_is_understood_the_same() {
    let bytes = [
        &b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n"[..],
        &response(
            "x-a: 1\r\ntransfer-encoding: chunked",
            "3;e=\"x\"\r\nhel\r\n00002\r\nlo\r\n1\r\n!\r\n0;last\r\nx-trailer: 1\r\n\r\n",
        ),
    ]
    .concat();
    let length = bytes.len();
    let upstream = Upstream::start(move |request| {
        let at: usize = request.path()[1..].parse().expect("a place to cut");
        let (first, second) = bytes.split_at(at);
        Script::raw(first)
            // Time for the first chunk to be taken on its own. Nothing depends on it but how much is tried out.
            .sleep(Duration::from_millis(1))
            .bytes(second)
    })
    .await;
    let gateway = Setup::before(&upstream).filter().start().await;
    let mut next = 1..length;
    let mut running = JoinSet::new();
    loop {
        while running.len() < 8
            && let Some(at) = next.next()
        {
            let client = gateway.client();
            running.spawn(async move { (at, client.get(&format!("/{at}")).await) });
        }
        let Some(done) = running.join_next().await else {
            break;
        };
        let (at, response) = done.expect("no panic");
        assert_body(&response, b"hello!", &format!("cut at {at}"));
        assert_eq!(response.header("x-a"), "1", "cut at {at}");
    }
    assert_eq!(upstream.requests().len(), length - 1, "each asked once");
    assert!(
        upstream.connections() <= 16,
        "{} connections: they are used again",
        upstream.connections()
    );
    gateway.shutdown().await;
}

#[tokio::test]
async fn lengths_that_contradict_each_other_or_make_no_sense_are_refused() {
    let cases = [
        "content-length: 5\r\ncontent-length: 6",
        "content-length: 6\r\ncontent-length: 5",
        "content-length: 5, 6",
        "content-length: +5",
        "content-length: -5",
        "content-length: 5x",
        "content-length: 0x5",
        "content-length: five",
        "content-length: 5.0",
        "content-length: 5 5",
        "content-length: 18446744073709551616",
        "content-length: 99999999999999999999999",
    ];
    let wire = wire_of(&cases, |fields| {
        Script::raw(response(fields, "hello world, this is more")).hang()
    })
    .await;
    for (number, case) in cases.iter().enumerate() {
        let (response, request) = wire.ask(&path(number)).await;
        assert_refused(&response, &["upstream_invalid"], case);
        request.disconnected().await;
        wire.goes_on_elsewhere(&request, case).await;
    }
    wire.gateway.shutdown().await;
}

/// Either the body that the framing means, or a refusal, where the standard allows both.
#[track_caller]
fn assert_body_or_refused(response: &Response, body: &[u8], case: &str) {
    if response.status == 200 {
        assert_body(response, body, case);
    } else {
        assert_refused(response, &["upstream_invalid"], case);
    }
}

#[tokio::test]
async fn one_length_said_twice_is_that_length_or_refused() {
    let cases = [
        "content-length: 5\r\ncontent-length: 5",
        "content-length: 5, 5",
    ];
    let wire = wire_of(&cases, |fields| Script::raw(response(fields, "hello"))).await;
    for (number, case) in cases.iter().enumerate() {
        let (response, _) = wire.ask(&path(number)).await;
        assert_body_or_refused(&response, b"hello", case);
        if response.status == 200 {
            assert_eq!(response.header("content-length"), "5", "{case}");
            assert_eq!(
                response.fields.get_all("content-length").iter().count(),
                1,
                "{case}"
            );
        }
        wire.goes_on(case).await;
    }
    wire.gateway.shutdown().await;
}

#[tokio::test]
async fn chunks_beside_a_length_count_alone_and_the_length_is_not_passed_on() {
    let cases = [
        "content-length: 3\r\ntransfer-encoding: chunked",
        "transfer-encoding: chunked\r\ncontent-length: 3",
        "transfer-encoding: chunked\r\ncontent-length: 3000",
        "transfer-encoding: chunked\r\ncontent-length: 0",
    ];
    let wire = wire_of(&cases, |fields| {
        Script::raw(response(fields, "5\r\nhello\r\n0\r\n\r\n"))
    })
    .await;
    for (number, case) in cases.iter().enumerate() {
        let (response, _) = wire.ask(&path(number)).await;
        assert_body_or_refused(&response, b"hello", case);
        if response.status == 200 {
            // Its own length, if it has one.
            assert!(
                matches!(response.header("content-length"), "" | "5"),
                "{case}"
            );
        }
        wire.goes_on(case).await;
    }
    wire.gateway.shutdown().await;
}

#[tokio::test]
async fn a_body_longer_than_its_length_is_cut_there_and_the_rest_is_discarded() {
    let evil = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil";
    let cases = [
        (
            "at once",
            Script::raw(response("content-length: 5", format!("hello{evil}"))),
        ),
        (
            "in chunks",
            Script::raw(response("content-length: 5", "hel")).chunks([&format!("lo{evil}")[..]]),
        ),
        (
            "to no body at all",
            Script::raw(response("content-length: 0", evil)),
        ),
        (
            "behind chunks",
            Script::raw(response(CHUNKED, format!("5\r\nhello\r\n0\r\n\r\n{evil}"))),
        ),
        (
            "one byte",
            Script::raw(response("content-length: 5", "hello!")),
        ),
        (
            "one empty line",
            Script::raw(response("content-length: 5", "hello\r\n")),
        ),
    ];
    let wire = wire_of(&cases, |(_, script)| script.clone()).await;
    for (number, (case, _)) in cases.iter().enumerate() {
        let (response, request) = wire.ask(&path(number)).await;
        let body: &[u8] = if *case == "to no body at all" {
            b""
        } else {
            b"hello"
        };
        assert_body(&response, body, case);
        wire.goes_on_elsewhere(&request, case).await;
    }
    wire.gateway.shutdown().await;
}

#[tokio::test]
async fn statuses_without_a_body_end_with_their_head_even_if_it_announces_one() {
    let head = |status: &str, fields: &str| format!("HTTP/1.1 {status} x\r\n{fields}\r\n");
    let cases = [
        (204, head("204", "")),
        (204, head("204", "content-length: 0\r\n")),
        (204, head("204", "content-length: 5\r\n")),
        (304, head("304", "etag: \"x\"\r\n")),
        (304, head("304", "content-length: 5000\r\netag: \"x\"\r\n")),
        (
            304,
            head("304", "transfer-encoding: chunked\r\netag: \"x\"\r\n"),
        ),
    ];
    // The connection stays open: waiting for a body would last until the deadline.
    let upstream_cases = cases.clone();
    let wire = wire_of(&upstream_cases, |(_, head)| Script::raw(head.clone())).await;
    for (number, (status, head)) in cases.iter().enumerate() {
        for method in [Method::GET, Method::POST] {
            let response = wire
                .gateway
                .client()
                .request(method.clone(), &path(number), "")
                .await;
            assert_eq!(
                (response.status, response.body.len(), response.complete),
                (*status, 0, true),
                "{method} {head}"
            );
            let request = wire
                .upstream
                .requests()
                .last()
                .expect("it was asked")
                .clone();
            assert_eq!(
                (request.method.as_str(), request.path()),
                (method.as_str(), path(number).as_str())
            );
            let next = wire.goes_on(head).await;
            // Chunks that are announced and must not come are a reason to trust the connection no more.
            if !head.contains("chunked") {
                assert_eq!(next, request.connection, "{method} {head}");
            }
        }
    }
    wire.gateway.shutdown().await;
}

#[tokio::test]
async fn a_body_after_a_status_that_has_none_is_discarded() {
    let evil = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil";
    let cases = [
        "HTTP/1.1 204 x\r\n\r\n".to_owned() + evil,
        "HTTP/1.1 204 x\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n".to_owned(),
        "HTTP/1.1 304 x\r\ncontent-length: 5\r\n\r\nhello".to_owned(),
    ];
    let wire = wire_of(&cases, |bytes| Script::raw(bytes.clone())).await;
    for (number, case) in cases.iter().enumerate() {
        let (response, request) = wire.ask(&path(number)).await;
        assert!(matches!(response.status, 204 | 304), "{case}");
        assert_eq!(
            (response.body.len(), response.complete),
            (0, true),
            "{case}"
        );
        wire.goes_on_elsewhere(&request, case).await;
    }
    wire.gateway.shutdown().await;
}

#[tokio::test]
async fn a_chunk_that_makes_no_sense_is_a_502_at_the_beginning_and_a_broken_body_after_it() {
    let cases = [
        "zz\r\nhello\r\n0\r\n\r\n",
        "-5\r\nhello\r\n0\r\n\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "\r\nhello\r\n0\r\n\r\n",
        ";a=b\r\nhello\r\n0\r\n\r\n",
        "fffffffffffffffff\r\nhello",
        "10000000000000000\r\nhello\r\n0\r\n\r\n",
        "5\rXhello\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
        "{\"not\": \"chunked at all\"}\r\n",
    ];
    for before in ["", "6\r\nbefore\r\n"] {
        let wire = wire_of(&cases, |chunks| {
            Script::raw(response(CHUNKED, before)).bytes(*chunks).hang()
        })
        .await;
        for (number, case) in cases.iter().enumerate() {
            let (response, request) = wire.ask(&path(number)).await;
            if before.is_empty() {
                assert_refused(&response, &["upstream_invalid", "upstream_broken"], case);
            } else if response.status == 200 {
                assert_eq!(
                    (response.text().as_str(), response.complete),
                    ("before", false),
                    "{case}"
                );
            } else {
                // It had all come at once, so nothing had been sent.
                assert_refused(&response, &["upstream_invalid", "upstream_broken"], case);
            }
            request.disconnected().await;
            wire.goes_on_elsewhere(&request, case).await;
        }
        wire.gateway.shutdown().await;
    }
}

#[tokio::test]
async fn a_chunk_without_its_line_end_is_a_broken_body() {
    let cases = [
        "5\r\nhelloXX0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "5\r\nhello\rX0\r\n\r\n",
        "5\r\nhello world\r\n0\r\n\r\n",
    ];
    let wire = wire_of(&cases, |chunks| {
        Script::raw(response(CHUNKED, chunks)).hang()
    })
    .await;
    for (number, case) in cases.iter().enumerate() {
        let (response, request) = wire.ask(&path(number)).await;
        if response.status == 200 {
            assert_eq!(
                (response.text().as_str(), response.complete),
                ("hello", false),
                "{case}"
            );
        } else {
            assert_refused(&response, &["upstream_invalid", "upstream_broken"], case);
        }
        request.disconnected().await;
        wire.goes_on_elsewhere(&request, case).await;
    }
    wire.gateway.shutdown().await;
}

#[tokio::test]
async fn a_huge_chunk_that_never_arrives_costs_nothing_and_is_a_broken_response() {
    for size in ["ffffffffffffffff", "7fffffffffffffff", "fffffffff"] {
        let wire = Wire::of([(
            "/huge",
            Script::raw(response(CHUNKED, format!("{size}\r\n"))).cut(),
        )])
        .await;
        let (response, _) = wire.ask("/huge").await;
        assert_refused(&response, &["upstream_invalid", "upstream_broken"], size);
        wire.goes_on(size).await;
        wire.gateway.shutdown().await;
    }
}

#[tokio::test]
async fn chunk_lines_and_trailers_without_an_end_are_not_read_for_ever() {
    let endless = |start: &str, chunk: &str| {
        let chunk = chunk.repeat((64 << 10) / chunk.len());
        (0..256)
            .fold(Script::raw(response(CHUNKED, start)), |script, _| {
                script.bytes(chunk.clone())
            })
            .hang()
    };
    let cases = [
        ("an extension", endless("5;a=", "b")),
        ("the zeros of a size", endless("", "0")),
        ("a trailer", endless("0\r\nx-a: ", "y")),
        ("trailers", endless("0\r\n", "x-a: 1\r\n")),
    ];
    let scripts = cases.iter().map(|(_, script)| script.clone()).enumerate();
    let scripts = scripts.map(|(number, script)| (path(number), script));
    let wire = Wire::with(scripts, |setup| {
        setup.upstream("timeout = { idle = \"300ms\" }")
    })
    .await;
    for (number, (case, _)) in cases.iter().enumerate() {
        let (response, request) = wire.ask(&path(number)).await;
        // Too long, or too late: nothing of the body came.
        if response.status == 504 {
            assert_eq!(response.error()["code"], "upstream_idle_timeout", "{case}");
        } else {
            assert_refused(&response, &["upstream_invalid", "upstream_broken"], case);
        }
        request.disconnected().await;
        wire.goes_on_elsewhere(&request, case).await;
    }
    wire.gateway.shutdown().await;
}

#[tokio::test]
async fn a_response_of_http_1_0_ends_with_its_length_or_its_connection() {
    let head = |fields: &str| format!("HTTP/1.0 200 OK\r\n{fields}\r\nhello");
    let cases = [
        ("the end of the connection", Script::raw(head("")).cut()),
        (
            "a length and the end",
            Script::raw(head("content-length: 5\r\n")).cut(),
        ),
        // Without `keep-alive` it ends after its response, whether the server has got round to it or not.
        (
            "a length and no end",
            Script::raw(head("content-length: 5\r\n")),
        ),
    ];
    let wire = wire_of(&cases, |(_, script)| script.clone()).await;
    for (number, (case, _)) in cases.iter().enumerate() {
        let (response, request) = wire.ask(&path(number)).await;
        assert_body(&response, b"hello", case);
        wire.goes_on_elsewhere(&request, case).await;
    }
    wire.gateway.shutdown().await;
}

#[tokio::test]
async fn a_response_that_ends_with_its_connection_is_broken_by_a_reset() {
    let until_close = || Script::raw(response("x-a: 1", "some"));
    let wire = Wire::of([
        (
            "/in-order",
            until_close().sleep(Duration::from_millis(20)).cut(),
        ),
        (
            "/reset",
            until_close().sleep(Duration::from_millis(20)).reset(),
        ),
    ])
    .await;
    let (response, _) = wire.ask("/in-order").await;
    assert_body(&response, b"some", "closed in order");
    let (response, _) = wire.ask("/reset").await;
    assert_eq!(
        (response.status, response.text().as_str(), response.complete),
        (200, "some", false)
    );
    assert_eq!(wire.ask("/next").await.0.text(), GOOD);
    wire.gateway.shutdown().await;
}

#[tokio::test]
async fn codings_of_the_transfer_that_nobody_asked_for_do_not_reach_the_client_undone() {
    // The gateway never says that it takes any coding but chunks, so these are the server's mistake; what lies in the
    // chunks is not the content.
    let cases = [
        "transfer-encoding: gzip, chunked",
        "transfer-encoding: gzip\r\ntransfer-encoding: chunked",
        "transfer-encoding: xchunked",
        "transfer-encoding: identity",
        "transfer-encoding: chunked, identity",
        "transfer-encoding: chunked, chunked",
    ];
    let wire = wire_of(&cases, |fields| {
        Script::raw(response(fields, "5\r\nhello\r\n0\r\n\r\n")).cut()
    })
    .await;
    for (number, case) in cases.iter().enumerate() {
        let (response, _) = wire.ask(&path(number)).await;
        assert_refused(&response, &["upstream_invalid"], case);
        wire.goes_on(case).await;
    }
    wire.gateway.shutdown().await;
}
