//! Interim responses (1xx) before the real one.

use std::time::Duration;

use sluicegate_tests::Script;

use super::{Wire, assert_body, assert_refused, wire_of};

const CONTINUE: &str = "HTTP/1.1 100 Continue\r\n\r\n";
const HINTS: &str =
    "HTTP/1.1 103 Early Hints\r\nlink: </x>; rel=preload\r\ncontent-length: 3\r\n\r\n";
const PROCESSING: &str = "HTTP/1.1 102 Processing\r\n\r\n";
const ANSWER: &str = "HTTP/1.1 200 OK\r\nx-final: 1\r\ncontent-length: 5\r\n\r\nhello";

#[tokio::test]
async fn interim_responses_are_skipped_however_many_and_however_cut() {
    let cases = [
        ("one", Script::raw([CONTINUE, ANSWER].concat())),
        ("hints", Script::raw([HINTS, ANSWER].concat())),
        (
            "each kind",
            Script::raw([CONTINUE, PROCESSING, HINTS, ANSWER].concat()),
        ),
        ("many", Script::raw(HINTS.repeat(30) + ANSWER)),
        (
            "each on its own",
            Script::raw(CONTINUE).chunks([HINTS, PROCESSING, ANSWER]),
        ),
        (
            "byte by byte",
            Script::raw("").chunks(
                [CONTINUE, HINTS, ANSWER]
                    .concat()
                    .bytes()
                    .map(|byte| [byte]),
            ),
        ),
    ];
    let wire = wire_of(&cases, |(_, script)| script.clone()).await;
    for (number, (case, _)) in cases.iter().enumerate() {
        let (response, request) = wire.ask(&super::path(number)).await;
        assert_body(&response, b"hello", case);
        assert_eq!(response.header("x-final"), "1", "{case}");
        assert!(
            !response.fields.contains_key("link"),
            "{case}: of the interim response"
        );
        assert_eq!(
            wire.goes_on(case).await,
            request.connection,
            "{case}: the connection is in order"
        );
    }
    wire.gateway.shutdown().await;
}

#[tokio::test]
async fn interim_responses_without_a_real_one_are_a_broken_response() {
    let cases = [
        ("an end", Script::raw(CONTINUE).cut()),
        ("a reset", Script::raw(HINTS).reset()),
        (
            "half a head",
            Script::raw([HINTS, "HTTP/1.1 20"].concat()).cut(),
        ),
    ];
    let wire = wire_of(&cases, |(_, script)| script.clone()).await;
    for (number, (case, _)) in cases.iter().enumerate() {
        let (response, _) = wire.ask(&super::path(number)).await;
        assert_refused(&response, &["upstream_broken"], case);
        wire.goes_on(case).await;
    }
    wire.gateway.shutdown().await;
}

#[tokio::test]
async fn a_server_that_sends_interim_responses_for_ever_is_given_up() {
    let script = (0..10_000).fold(Script::raw(""), |script, _| {
        script.chunk(HINTS).sleep(Duration::from_millis(5))
    });
    let wire = Wire::with([("/endless", script)], |setup| {
        setup.upstream("timeout = { first-byte = \"300ms\" }")
    })
    .await;
    let (response, request) = wire.ask("/endless").await;
    // Too late, or too many of them: both are good reasons.
    let code = response.error()["code"].clone();
    assert!(
        (response.status == 504 && code == "upstream_first_byte_timeout")
            || (response.status == 502 && code == "upstream_invalid"),
        "{}",
        response.text()
    );
    request.disconnected().await;
    wire.goes_on("interim responses for ever").await;
    wire.gateway.shutdown().await;
}

#[tokio::test]
async fn a_change_of_protocol_that_nobody_asked_for_is_refused() {
    let switch = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n";
    let wire = Wire::of([
        ("/held", Script::raw(switch).hang()),
        ("/more", Script::raw([switch, ANSWER].concat())),
    ])
    .await;
    for path in ["/held", "/more"] {
        let (response, request) = wire.ask(path).await;
        assert_refused(&response, &["upstream_invalid"], path);
        request.disconnected().await;
        wire.goes_on_elsewhere(&request, path).await;
    }
    wire.gateway.shutdown().await;
}
