//! Heads of responses: what is forwarded as it is, and what is invalid.

use std::time::Duration;

use sluicegate_tests::Script;

use super::{Wire, assert_body, assert_refused, path, wire_of};

/// A response with these fields and no body.
fn with_fields(fields: &str) -> Script {
    Script::raw(format!(
        "HTTP/1.1 200 OK\r\n{fields}content-length: 0\r\n\r\n"
    ))
}

/// The values of all fields of this name.
fn values<'a>(response: &'a sluicegate_tests::client::Response, name: &str) -> Vec<&'a [u8]> {
    response
        .fields
        .get_all(name)
        .iter()
        .map(hyper::header::HeaderValue::as_bytes)
        .collect()
}

#[tokio::test]
async fn status_lines_in_every_legal_form_are_understood() {
    let cases = [
        (b"HTTP/1.1 200 OK".to_vec(), 200),
        (b"HTTP/1.1 200 ".to_vec(), 200),
        (b"HTTP/1.1 299 Some thing: else".to_vec(), 299),
        (b"HTTP/1.1 418 \xe9t\xe9".to_vec(), 418),
        (b"HTTP/1.0 500 Oh".to_vec(), 500),
        (b"HTTP/1.1 599 x".to_vec(), 599),
    ];
    let wire = wire_of(&cases, |(line, _)| {
        Script::raw([line, &b"\r\ncontent-length: 2\r\n\r\nhi"[..]].concat()).cut()
    })
    .await;
    for (number, (line, status)) in cases.iter().enumerate() {
        let (response, _) = wire.ask(&path(number)).await;
        assert_eq!(
            (response.status, response.text().as_str(), response.complete),
            (*status, "hi", true),
            "{}",
            String::from_utf8_lossy(line)
        );
        wire.goes_on("a legal status line").await;
    }
    wire.gateway.shutdown().await;
}

#[tokio::test]
async fn status_lines_that_make_no_sense_are_refused() {
    let cases: [&[u8]; 15] = [
        b"HTTP/1.1 abc OK",
        b"HTTP/1.1 20 OK",
        b"HTTP/1.1 2000 OK",
        b"HTTP/1.1 099 OK",
        b"HTTP/1.1 -20 OK",
        b"HTTP/1.1",
        b"HTTP/1.1200 OK",
        b"HTTP/2.0 200 OK",
        b"HTTP/11 200 OK",
        b"http/1.1 200 OK",
        b"ICY 200 OK",
        b"{\"error\":\"no head at all\"}",
        b"\x15\x03\x03\x00\x02\x02\x46",
        b"HTTP/1.1 200 O\0K",
        b"GET / HTTP/1.1",
    ];
    let wire = wire_of(&cases, |line| {
        Script::raw([line, &b"\r\ncontent-length: 2\r\n\r\nhi"[..]].concat()).hang()
    })
    .await;
    for (number, line) in cases.iter().enumerate() {
        let case = String::from_utf8_lossy(line);
        let (response, request) = wire.ask(&path(number)).await;
        assert_refused(&response, &["upstream_invalid"], &case);
        request.disconnected().await;
        wire.goes_on_elsewhere(&request, &case).await;
    }
    wire.gateway.shutdown().await;
}

#[tokio::test]
async fn invalid_fields_are_refused() {
    let cases: [&[u8]; 9] = [
        b"no colon",
        b": no name",
        b"bad name: 1",
        b"before-colon : 1",
        b"content-length : 2",
        b"n\xc3\xa4me: 1",
        b"x: a\0b",
        b"x: a\x07b",
        b"x: 1\r\n folded: 2",
    ];
    let wire = wire_of(&cases, |line| {
        Script::raw(
            [
                b"HTTP/1.1 200 OK\r\n",
                *line,
                b"\r\ncontent-length: 2\r\n\r\nhi",
            ]
            .concat(),
        )
        .hang()
    })
    .await;
    for (number, line) in cases.iter().enumerate() {
        let case = String::from_utf8_lossy(line);
        let (response, request) = wire.ask(&path(number)).await;
        assert_refused(&response, &["upstream_invalid"], &case);
        request.disconnected().await;
        wire.goes_on_elsewhere(&request, &case).await;
    }
    wire.gateway.shutdown().await;
}

#[tokio::test]
async fn fields_keep_their_values_and_their_order() {
    let fields =
        "X-One: a\r\nx-one:b\r\nx-one:   c  \r\nx-tab:\td\t\r\nx-empty:\r\nx-colon: a:b: c\r\n";
    let latin = [&b"x-latin: caf\xe9 "[..], "你\r\n".as_bytes()].concat();
    let wire = Wire::of([(
        "/fields",
        Script::raw(
            [
                b"HTTP/1.1 200 OK\r\n",
                fields.as_bytes(),
                &latin,
                b"content-length: 0\r\n\r\n",
            ]
            .concat(),
        ),
    )])
    .await;
    let (response, request) = wire.ask("/fields").await;
    assert_eq!(response.status, 200);
    assert_eq!(values(&response, "x-one"), [b"a", b"b", b"c"]);
    assert_eq!(values(&response, "x-tab"), [b"d"]);
    assert_eq!(values(&response, "x-empty"), [b""]);
    assert_eq!(values(&response, "x-colon"), [b"a:b: c"]);
    assert_eq!(
        values(&response, "x-latin"),
        [[&b"caf\xe9 "[..], "你".as_bytes()].concat()]
    );
    assert_eq!(wire.goes_on("fields").await, request.connection);
    wire.gateway.shutdown().await;
}

#[tokio::test]
async fn ninety_fields_pass_and_two_hundred_pass_whole_or_not_at_all() {
    let many = |count: usize| -> String {
        (0..count)
            .map(|number| format!("x-{number}: {number}\r\n"))
            .collect()
    };
    let wire = Wire::of([
        ("/90", with_fields(&many(90))),
        ("/200", with_fields(&many(200))),
        ("/100000", with_fields(&many(100_000)).hang()),
    ])
    .await;
    let all = |response: &sluicegate_tests::client::Response, count: usize| {
        (0..count).all(|number| response.header(&format!("x-{number}")) == number.to_string())
    };
    let (response, request) = wire.ask("/90").await;
    assert_eq!(response.status, 200);
    assert!(all(&response, 90));
    assert_eq!(wire.goes_on("90 fields").await, request.connection);

    let (response, _) = wire.ask("/200").await;
    if response.status == 200 {
        assert!(all(&response, 200), "some of the fields are lost");
    } else {
        assert_refused(&response, &["upstream_invalid"], "200 fields");
    }
    wire.goes_on("200 fields").await;

    let (response, request) = wire.ask("/100000").await;
    assert_refused(&response, &["upstream_invalid"], "100,000 fields");
    request.disconnected().await;
    wire.goes_on_elsewhere(&request, "100,000 fields").await;
    wire.gateway.shutdown().await;
}

#[tokio::test]
async fn a_large_field_passes_and_an_oversized_one_is_refused() {
    let large = "y".repeat(12 << 10);
    let wire = Wire::of([
        ("/large", with_fields(&format!("x-large: {large}\r\n"))),
        (
            "/oversized",
            with_fields(&format!("x-large: {}\r\n", "y".repeat(2 << 20))).hang(),
        ),
    ])
    .await;
    let (response, request) = wire.ask("/large").await;
    assert_eq!(
        (response.status, response.header("x-large")),
        (200, large.as_str())
    );
    assert_eq!(wire.goes_on("a large field").await, request.connection);
    let (response, request) = wire.ask("/oversized").await;
    assert_refused(&response, &["upstream_invalid"], "an oversized field");
    request.disconnected().await;
    wire.goes_on_elsewhere(&request, "an oversized field").await;
    wire.gateway.shutdown().await;
}

#[tokio::test]
async fn a_head_without_an_end_is_refused_before_it_fills_the_memory() {
    // Sixteen megabytes at most, in case nobody stops them; each a way of never coming to an end.
    let endless = |start: &str, chunk: &str| {
        let chunk = chunk.repeat((64 << 10) / chunk.len());
        (0..256)
            .fold(Script::raw(start), |script, _| script.chunk(chunk.clone()))
            .hang()
    };
    let cases = [
        ("fields", endless("HTTP/1.1 200 OK\r\n", "x-a: 1\r\n")),
        ("one field", endless("HTTP/1.1 200 OK\r\nx-a: ", "y")),
        ("one name", endless("HTTP/1.1 200 OK\r\n", "y")),
        ("the reason", endless("HTTP/1.1 200 ", "y")),
        ("blanks", endless("HTTP/1.1 200 OK\r\nx-a:", " ")),
    ];
    let wire = wire_of(&cases, |(_, script)| script.clone()).await;
    for (number, (case, _)) in cases.iter().enumerate() {
        let (response, request) = wire.ask(&path(number)).await;
        assert_refused(&response, &["upstream_invalid"], case);
        request.disconnected().await;
        wire.goes_on_elsewhere(&request, case).await;
    }
    wire.gateway.shutdown().await;
}

#[tokio::test]
async fn a_head_that_never_completes_ends_with_the_first_byte_timeout() {
    let wire = Wire::with(
        [
            ("/nothing", Script::silent()),
            ("/half", Script::raw("HTTP/1.1 200 OK\r\nx-a: ").hang()),
            (
                "/drops",
                "HTTP/1.1 200 OK\r\nx-a: 1234567890\r\n"
                    .bytes()
                    .fold(Script::raw(""), |script, byte| {
                        script.chunk([byte]).sleep(Duration::from_millis(50))
                    })
                    .hang(),
            ),
        ],
        |setup| setup.upstream("timeout = { first-byte = \"300ms\" }"),
    )
    .await;
    for path in ["/nothing", "/half", "/drops"] {
        let (response, request) = wire.ask(path).await;
        assert_eq!(
            (response.status, response.error()["code"].as_str()),
            (504, Some("upstream_first_byte_timeout")),
            "{path}"
        );
        request.disconnected().await;
        wire.goes_on_elsewhere(&request, path).await;
    }
    wire.gateway.shutdown().await;
}

#[tokio::test]
async fn a_connection_that_ends_with_the_head_is_an_empty_or_a_broken_response_as_the_head_says() {
    let head = |fields: &str| Script::raw(format!("HTTP/1.1 200 OK\r\n{fields}\r\n")).cut();
    let wire = Wire::of([
        ("/length", head("content-length: 5\r\n")),
        ("/chunked", head("transfer-encoding: chunked\r\n")),
        ("/empty", head("content-length: 0\r\n")),
        ("/until-close", head("")),
        ("/half", Script::raw("HTTP/1.1 200 OK\r\nx-a: 1\r\n").cut()),
    ])
    .await;
    for path in ["/length", "/chunked", "/half"] {
        let (response, _) = wire.ask(path).await;
        assert_refused(&response, &["upstream_broken"], path);
        wire.goes_on(path).await;
    }
    for path in ["/empty", "/until-close"] {
        let (response, _) = wire.ask(path).await;
        assert_body(&response, b"", path);
        wire.goes_on(path).await;
    }
    wire.gateway.shutdown().await;
}
