//! Comment lines that keep a silent stream alive: when they are sent, and where they may be placed.

use std::time::Duration;

use hyper::Method;
use serde_json::json;
use sluicegate_tests::client::{End, Stream};
use sluicegate_tests::sse::Chat;
use sluicegate_tests::upstream::ollama;
use sluicegate_tests::{Barrier, Gateway, Script, Setup, Upstream, guest, logs};

use crate::common::{question, streamed};

const HEARTBEAT: &[u8] = b": ping\n";

/// A gateway whose heartbeat comes soon.
async fn lively(upstream: &Upstream) -> Gateway {
    Setup::before(upstream)
        .server("heartbeat = \"30ms\"")
        .chat()
        .start()
        .await
}

fn count(body: &[u8], part: &[u8]) -> usize {
    body.windows(part.len())
        .filter(|window| *window == part)
        .count()
}

#[tokio::test]
async fn a_stream_gets_heartbeats_before_the_first_token_and_between_events() {
    let (first, second) = (Barrier::new(), Barrier::new());
    let script = Script::raw("")
        .wait(&first)
        .bytes("HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\nconnection: close\r\n\r\n")
        .chunk(format!("{}\n", ollama::content("one")))
        .wait(&second)
        .chunk(format!(
            "{}\n{}\n",
            ollama::content(" two"),
            ollama::done("stop")
        ))
        .cut();
    let upstream = Upstream::always(script).await;
    let gateway = lively(&upstream).await;
    let id = logs::id();
    let client = gateway.client().with("x-request-id", &id);
    // The head comes although the model server has said nothing yet.
    let mut stream = client.open_chat(&streamed()).await;
    assert_eq!(stream.status, 200);
    assert!(
        stream
            .header("content-type")
            .starts_with("text/event-stream")
    );
    assert_eq!(stream.header("x-request-id"), id);
    let mut body = Vec::new();
    while count(&body, b": ping\n") < 2 {
        body.extend(stream.bytes().await.expect("a heartbeat"));
    }
    first.release();
    while count(&body, b"one") == 0 {
        body.extend(stream.bytes().await.expect("the first token"));
    }
    let before = count(&body, b": ping\n");
    while count(&body, b": ping\n") < before + 2 {
        body.extend(stream.bytes().await.expect("a heartbeat between tokens"));
    }
    second.release();
    while let Some(bytes) = stream.bytes().await {
        body.extend(bytes);
    }
    assert_eq!(stream.end(), Some(End::Proper));
    // No blank line after a heartbeat: openai-python would take it for an event.
    assert_eq!(count(&body, b": ping\n\n"), 0);
    let chat = Chat::of(&sluicegate_tests::sse::events(&body));
    assert_eq!((chat.content.as_str(), chat.done), ("one two", true));
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_client_that_wants_one_json_gets_no_heartbeats() {
    let later = Barrier::new();
    let script = Script::ndjson_head().wait(&later);
    let script = ollama::stream(&["Hello"])
        .iter()
        .fold(script, |script, line| script.chunk(format!("{line}\n")));
    let upstream = Upstream::always(script).await;
    let gateway = lively(&upstream).await;
    let client = gateway.client();
    let asking = tokio::spawn(async move { client.chat(&question()).await });
    later.reached(1).await;
    // Several heartbeats long.
    tokio::time::sleep(Duration::from_millis(150)).await;
    later.release();
    let response = asking.await.expect("no panic");
    assert_eq!(
        (
            response.status,
            response.json()["choices"][0]["message"]["content"].as_str()
        ),
        (200, Some("Hello"))
    );
    gateway.shutdown().await;
}

#[tokio::test]
async fn an_error_after_heartbeats_is_an_event() {
    for (head, code) in [
        (
            "HTTP/1.1 404 Not Found\r\ncontent-type: application/json\r\ncontent-length: 35\r\n\r\n{\"error\":\"model 'qwen3' not found\"}",
            "model_not_found",
        ),
        (
            "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 4\r\n\r\n<br>",
            "upstream_invalid",
        ),
        (
            "HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\ncontent-length: 20\r\n\r\n{\"error\":\"too bad!\"}",
            "upstream_error",
        ),
        (
            "HTTP/1.1 500 Oh\r\ncontent-type: application/json\r\ncontent-length: 500\r\n\r\n{\"err",
            "upstream_broken",
        ),
        ("nonsense\r\n\r\n", "upstream_invalid"),
        ("", "upstream_broken"),
    ] {
        let later = Barrier::new();
        let upstream = Upstream::always(Script::raw("").wait(&later).bytes(head).cut()).await;
        let gateway = lively(&upstream).await;
        let id = logs::id();
        let mut stream = gateway
            .client()
            .with("x-request-id", &id)
            .open_chat(&streamed())
            .await;
        assert_eq!(stream.status, 200);
        later.open();
        let event = stream
            .event()
            .await
            .unwrap_or_else(|| panic!("no error event for {code}"));
        assert_eq!(event.json()["error"]["code"], code);
        assert_eq!(stream.event().await, None);
        assert_eq!(stream.end(), Some(End::Proper), "{code}");
        let seen = logs::seen(&id).await;
        assert_eq!(
            (&seen["status"], &seen["error"]),
            (&json!(200), &json!(code))
        );
        gateway.shutdown().await;
    }
}

/// Reads on until `body` holds this.
async fn read_until(stream: &mut Stream, body: &mut Vec<u8>, part: &[u8]) {
    while count(body, part) == 0 {
        body.extend(stream.bytes().await.expect("more of the stream"));
    }
}

/// Reads on until another heartbeat comes.
async fn read_heartbeat(stream: &mut Stream, body: &mut Vec<u8>) {
    let before = count(body, HEARTBEAT);
    while count(body, HEARTBEAT) == before {
        body.extend(stream.bytes().await.expect("a heartbeat"));
    }
}

#[tokio::test]
async fn a_heartbeat_never_stands_inside_an_event_that_is_passed_on_in_chunks() {
    // No stage looks at the stream: the gateway sees chunks, and where they are cut is the model server's choice.
    for (begun, ended) in [
        ("data: t", "wo\n\n"),
        ("id: 7\ndata: two\n", "\n"),
        ("data: two\r\n\r", "\n"),
        ("data: two\r\n", "\r\n"),
        ("data: two\r", "\r"),
        ("event: x\ndata: two", "\n\n: comment\n\n"),
    ] {
        let (first, second, last) = (Barrier::new(), Barrier::new(), Barrier::new());
        let script = Script::sse_head()
            .chunk("data: one\n\n")
            .wait(&first)
            .chunk(begun)
            .wait(&second)
            .chunk(ended)
            .wait(&last)
            .chunk("data: three\n\n");
        let upstream = Upstream::always(script).await;
        let gateway = Setup::before(&upstream)
            .server("heartbeat = \"20ms\"")
            .filter()
            .start()
            .await;
        let mut stream = gateway.client().open(Method::GET, "/x", "").await;
        let mut body = Vec::new();
        read_until(&mut stream, &mut body, b"one\n\n").await;
        read_heartbeat(&mut stream, &mut body).await;
        first.release();
        read_until(&mut stream, &mut body, begun.as_bytes()).await;
        // Several heartbeats long.
        tokio::time::sleep(Duration::from_millis(120)).await;
        second.release();
        // Once the event has ended, they come again.
        read_until(&mut stream, &mut body, [begun, ended].concat().as_bytes()).await;
        read_heartbeat(&mut stream, &mut body).await;
        last.release();
        while let Some(bytes) = stream.bytes().await {
            body.extend(bytes);
        }
        assert_eq!(stream.end(), Some(End::Proper));
        let text = String::from_utf8(body).expect("UTF-8");
        assert_eq!(
            text.replace(": ping\n", ""),
            ["data: one\n\n", begun, ended, "data: three\n\n"].concat()
        );
        gateway.shutdown().await;
    }
}

#[tokio::test]
async fn a_json_body_that_comes_late_has_no_heartbeats_in_it() {
    let later = Barrier::new();
    let script = Script::status(200)
        .field("content-type", "application/json")
        .chunked()
        .wait(&later)
        .chunk("{\"a\":1}");
    let upstream = Upstream::always(script).await;
    for acts in ["", "response-plan=whole"] {
        let gateway = Setup::before(&upstream)
            .server("heartbeat = \"20ms\"")
            .filter()
            .start()
            .await;
        let client = gateway.client().with(guest::FIELD, acts);
        let asking = tokio::spawn(async move { client.chat(&streamed()).await });
        upstream.next_request().await;
        // Several heartbeats long.
        tokio::time::sleep(Duration::from_millis(120)).await;
        later.release();
        let response = asking.await.expect("no panic");
        assert_eq!(response.json(), json!({"a": 1}), "{acts}");
        gateway.shutdown().await;
    }
}
