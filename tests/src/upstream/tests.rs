use serde_json::json;

use super::*;
use crate::client::{Client, End, Raw};

#[tokio::test]
async fn requests_are_recorded_as_they_came() {
    let upstream = Upstream::always(Script::json(200, &json!({"ok": true}))).await;
    let mut raw = Raw::connect(upstream.address()).await;
    raw.send("POST /api/chat?x=1 HTTP/1.1\r\nHost: a\r\nX-One: 1\r\nx-one: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n").await;
    assert_eq!(raw.response().await.json(), json!({"ok": true}));
    let request = upstream.next_request().await;
    assert_eq!(
        (
            request.method.as_str(),
            request.path(),
            request.target.as_str()
        ),
        ("POST", "/api/chat", "/api/chat?x=1")
    );
    assert_eq!(request.fields.0[1], ("X-One".into(), b"1".to_vec()));
    assert_eq!(request.fields.all("x-one"), ["1", "2"]);
    assert_eq!(request.json(), json!({}));
    raw.post("/again", &json!([1])).await;
    assert_eq!(raw.response().await.status, 200);
    let again = upstream.next_request().await;
    assert_eq!(
        (again.connection, again.header("HOST")),
        (request.connection, Some("localhost"))
    );
    assert_eq!((upstream.requests().len(), upstream.connections()), (2, 1));
}

#[tokio::test]
async fn a_sequence_plays_one_script_after_another_and_repeats_the_last() {
    let upstream = Upstream::sequence(vec![
        Script::empty(403),
        Script::html(502, "<p>"),
        Script::redirect(302, "/x"),
    ])
    .await;
    let client = Client::new(upstream.address());
    assert_eq!(client.get("/").await.status, 403);
    assert_eq!(client.get("/").await.header("content-type"), "text/html");
    for _ in 0..2 {
        assert_eq!(client.get("/").await.header("location"), "/x");
    }
}

#[tokio::test]
async fn a_barrier_holds_the_stream_until_released() {
    let barrier = Barrier::new();
    let script = Script::ndjson_head()
        .chunk("one\n")
        .wait(&barrier)
        .chunk("two\n")
        .wait(&barrier);
    let upstream = Upstream::always(script).await;
    let mut stream = Client::new(upstream.address())
        .open(hyper::Method::GET, "/", "")
        .await;
    assert_eq!(stream.bytes().await.as_deref(), Some(&b"one\n"[..]));
    barrier.reached(1).await;
    barrier.release();
    assert_eq!(stream.bytes().await.as_deref(), Some(&b"two\n"[..]));
    barrier.reached(2).await;
    assert_eq!(stream.end(), None);
    barrier.open();
    assert_eq!(stream.bytes().await, None);
    assert_eq!(stream.end(), Some(End::Proper));
    upstream.next_request().await.answered().await;
}

#[tokio::test]
async fn every_kind_of_broken_end_is_broken() {
    let head = || Script::ndjson_head().chunk("one\n");
    for script in [
        head().cut(),
        head().bytes("ff\r\npart of a chu").cut(),
        head().reset(),
        Script::status(200).length(100).chunk("short").cut(),
    ] {
        let upstream = Upstream::always(script).await;
        let response = Client::new(upstream.address()).get("/").await;
        assert!(!response.complete, "{response:?}");
    }
    let proper = Upstream::always(Script::status(200).until_close().chunks(["a", "b"])).await;
    let response = Client::new(proper.address()).get("/").await;
    assert_eq!((response.text().as_str(), response.complete), ("ab", true));
}

#[tokio::test]
async fn a_client_that_leaves_is_noticed() {
    let upstream = Upstream::sequence(vec![
        Script::silent(),
        Script::ndjson_head().chunk("one\n").hang(),
    ])
    .await;
    let mut raw = Raw::connect(upstream.address()).await;
    raw.post("/", &json!({})).await;
    let request = upstream.next_request().await;
    assert!(!request.was_abandoned());
    let left = raw.hang_up();
    assert!(request.disconnected().await >= left);
    assert!(request.was_abandoned());
    let mut stream = Client::new(upstream.address()).open_chat(&json!({})).await;
    assert!(stream.bytes().await.is_some());
    let left = stream.hang_up().await;
    let request = upstream.next_request().await;
    assert!(request.disconnected().await >= left);
    assert!(request.was_abandoned());
}

#[tokio::test]
async fn a_client_that_leaves_after_the_response_did_not_abandon_it() {
    let upstream = Upstream::always(Script::json(200, &json!({}))).await;
    Client::new(upstream.address()).get("/").await;
    let request = upstream.next_request().await;
    request.disconnected().await;
    assert!(!request.was_abandoned());
}

#[tokio::test]
async fn health_checks_are_answered_and_not_recorded() {
    let upstream = Upstream::always(Script::silent()).await;
    let client = Client::new(upstream.address());
    assert_eq!(client.get("/api/version").await.status, 200);
    upstream.set_healthy(false);
    assert_eq!(
        client
            .request(hyper::Method::HEAD, "/health", "")
            .await
            .status,
        503
    );
    assert_eq!(
        (upstream.health_checks(), upstream.requests().len()),
        (2, 0)
    );
}

#[tokio::test]
async fn ollama_lines_make_a_stream() {
    let upstream = Upstream::always(Script::ndjson(&ollama::stream(&["a", "b"]))).await;
    let response = Client::new(upstream.address()).get("/").await;
    let text = response.text();
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(lines[1]["message"]["content"], "b");
    assert_eq!(
        (&lines[2]["done"], &lines[2]["done_reason"]),
        (&json!(true), &json!("stop"))
    );
    assert_eq!(ollama::document("x")["message"]["content"], "x");
    assert_eq!(ollama::thinking("t")["message"]["thinking"], "t");
    let call = ollama::tool_call("call_1", "f", &json!({"a": 1}));
    assert_eq!(
        call["message"]["tool_calls"][0]["function"]["arguments"]["a"],
        1
    );
}

#[tokio::test]
async fn raw_answers_are_read_chunk_by_chunk() {
    let upstream = Upstream::always(
        Script::raw("HTTP/1.0 200 Fine\r\nA: b\r\ncontent-length: 2\r\n\r\n").chunk("hi"),
    )
    .await;
    let mut raw = Raw::connect(upstream.address()).await;
    raw.post("/", &json!({})).await;
    let mut response = raw.head("POST").await;
    assert_eq!(
        (
            response.status,
            response.version.as_str(),
            response.header("a")
        ),
        (200, "HTTP/1.0", "b")
    );
    while raw.chunk(&mut response).await.is_some() {}
    assert_eq!((response.text().as_str(), response.complete), ("hi", true));
    raw.reset();
}

#[tokio::test]
async fn an_eager_server_answers_before_the_body_has_come_and_then_reads_it() {
    let upstream = Upstream::eager(|request| match request.path() {
        "/silent" => Script::silent(),
        _ => Script::empty(200),
    })
    .await;
    let mut raw = Raw::connect(upstream.address()).await;
    for _ in 0..2 {
        raw.send("POST / HTTP/1.1\r\ncontent-length: 5\r\n\r\nhe")
            .await;
        assert_eq!(raw.response().await.status, 200);
        raw.send("llo").await;
    }
    let request = upstream.next_request().await;
    assert_eq!((request.body.len(), upstream.connections()), (0, 1));
    raw.send("POST /silent HTTP/1.1\r\ncontent-length: 5\r\n\r\nhe")
        .await;
    upstream.next_request().await;
    let request = upstream.next_request().await;
    raw.hang_up();
    request.disconnected().await;
    assert!(request.was_abandoned());
}

#[tokio::test]
async fn a_half_closed_connection_is_read_to_its_end() {
    let upstream = Upstream::always(Script::status(200).length(2).chunk("hi").half_close()).await;
    let mut raw = Raw::connect(upstream.address()).await;
    raw.send("GET / HTTP/1.1\r\n\r\n").await;
    assert!(raw.response().await.complete);
    raw.closed().await;
    let request = upstream.next_request().await;
    request.answered().await;
    raw.hang_up();
    request.disconnected().await;
}
