//! How a stage sees a body and may change it: whole, in chunks, as events, or not at all.

use hyper::Method;
use serde_json::json;
use sluicegate_tests::client::Response;
use sluicegate_tests::upstream::ollama;
use sluicegate_tests::{Gateway, Script, Setup, Upstream, guest, logs};

use crate::common::{question, streamed};

#[tokio::test]
async fn large_events_pass_up_to_their_limit_and_not_past_it() {
    let text = "y".repeat(1 << 20);
    let lines = [ollama::content(&text), ollama::done("stop")];
    let upstream = Upstream::always(Script::ndjson(&lines)).await;
    let gateway = Setup::before(&upstream).chat().start().await;
    let chat = gateway.client().chat(&streamed()).await.streamed_chat();
    assert_eq!((chat.content.len(), chat.done), (text.len(), true));
    let aggregated = gateway.client().chat(&question()).await;
    assert_eq!(
        aggregated.json()["choices"][0]["message"]["content"]
            .as_str()
            .map(str::len),
        Some(text.len())
    );
    gateway.shutdown().await;

    let gateway = Setup::before(&upstream)
        .limit("event = \"256KiB\"")
        .chat()
        .start()
        .await;
    let response = gateway.client().chat(&question()).await;
    assert_eq!(
        (response.status, &response.error()["code"]),
        (502, &json!("upstream_invalid"))
    );
    gateway.shutdown().await;
}

#[tokio::test]
async fn events_before_one_that_is_too_large_are_not_lost() {
    let stream = format!(
        "data: one\n\ndata: two\n\ndata: {}\n\n",
        "z".repeat(100_000)
    );
    let script = Script::status(200)
        .field("content-type", "text/event-stream")
        .body(stream);
    let upstream = Upstream::always(script).await;
    let gateway = Setup::before(&upstream)
        .limit("event = \"64KiB\"")
        .guest(guest::WATCHER, "")
        .start()
        .await;
    let client = gateway.client().with(guest::FIELD, "response-plan=sse");
    let response = client.get("/x").await;
    let events = response.events();
    let data: Vec<_> = events.iter().map(|event| event.data.as_str()).collect();
    assert_eq!(data[..2], ["one", "two"]);
    assert_eq!(events[2].json()["error"]["code"], "upstream_invalid");
    assert_eq!((events.len(), response.complete), (3, true));
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_response_that_a_stage_wants_whole_has_a_limit() {
    let upstream = Upstream::always(
        Script::status(200)
            .field("content-type", "application/json")
            .body("x".repeat(100_000)),
    )
    .await;
    let gateway = Setup::before(&upstream)
        .limit("response-body = \"64KiB\"")
        .filter()
        .start()
        .await;
    for plan in ["whole", "document"] {
        let client = gateway.client().with(
            guest::FIELD,
            &format!("response-plan={plan}, response-end=body"),
        );
        let response = client.get("/x").await;
        assert_eq!(
            (response.status, &response.error()["code"]),
            (502, &json!("upstream_invalid")),
            "{plan}"
        );
    }
    // Nobody wants to see this one.
    let response = gateway.client().get("/x").await;
    assert_eq!((response.status, response.body.len()), (200, 100_000));
    gateway.shutdown().await;
}

/// What a guest makes of three events.
async fn three(gateway: &Gateway, acts: &str) -> Response {
    gateway.client().with(guest::FIELD, acts).get("/x").await
}

#[tokio::test]
async fn each_plan_shows_the_body_as_it_says() {
    let stream = "data: one\n\ndata: two\n\ndata: three\n\n";
    let upstream = Upstream::always(Script::sse_head().chunk(stream)).await;
    let gateway = Setup::before(&upstream).filter().start().await;
    for (acts, content_type, body) in [
        ("", "text/event-stream", stream),
        ("response-plan=whole", "text/event-stream", stream),
        (
            "response-plan=whole, response-body=upper",
            "text/event-stream",
            &stream.to_uppercase(),
        ),
        (
            "response-plan=chunks, response-chunk=upper",
            "text/event-stream",
            &stream.to_uppercase(),
        ),
        (
            "response-plan=chunks, response-chunk=sign",
            "text/event-stream",
            &format!("{stream}[end]"),
        ),
        (
            "response-plan=chunks, response-chunk=drop",
            "text/event-stream",
            "",
        ),
        (
            "response-plan=sse, response-events=upper",
            "text/event-stream",
            "data: ONE\n\ndata: TWO\n\ndata: THREE\n\n",
        ),
        (
            "response-plan=sse, response-events=drop",
            "text/event-stream",
            "",
        ),
        (
            "response-plan=sse, response-end=events",
            "text/event-stream",
            &format!("{stream}data: the end\n\n"),
        ),
        (
            "response-plan=sse, response-events=drop, response-end=events",
            "text/event-stream",
            "data: the end\n\n",
        ),
        (
            "response-plan=ndjson",
            "application/x-ndjson",
            "one\ntwo\nthree\n",
        ),
        (
            "response-plan=ndjson, response-events=upper",
            "application/x-ndjson",
            "ONE\nTWO\nTHREE\n",
        ),
        (
            "response-plan=document, response-end=body",
            "application/json",
            "{\"events\":3}",
        ),
        (
            "response-plan=document, response-events=drop, response-end=body",
            "application/json",
            "{\"events\":3}",
        ),
    ] {
        let response = three(&gateway, acts).await;
        assert_eq!(
            (response.status, response.text().as_str(), response.complete),
            (200, body, true),
            "{acts}"
        );
        assert_eq!(response.header("content-type"), content_type, "{acts}");
    }
    let response = three(&gateway, "response-head=status").await;
    assert_eq!((response.status, response.text().as_str()), (207, stream));
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_body_that_is_no_stream_is_one_event_and_an_empty_one_too() {
    for body in ["{\"a\": 1}", ""] {
        let upstream = Upstream::always(
            Script::status(200)
                .field("content-type", "application/json")
                .body(body),
        )
        .await;
        let gateway = Setup::before(&upstream).filter().start().await;
        let response = three(&gateway, "response-plan=document, response-end=body").await;
        assert_eq!(
            (response.status, response.text().as_str()),
            (200, "{\"events\":1}")
        );
        let response = three(&gateway, "response-plan=sse, response-events=sizes").await;
        assert_eq!(
            (response.header("content-type"), response.text().as_str()),
            ("text/event-stream", "data: 1\n\n")
        );
        gateway.shutdown().await;
    }
}

#[tokio::test]
async fn a_stage_that_has_enough_ends_the_body_and_lets_the_model_server_go() {
    let upstream = Upstream::always(
        Script::sse_head()
            .chunk("data: one\n\ndata: two\n\n")
            .hang(),
    )
    .await;
    let gateway = Setup::before(&upstream).filter().start().await;
    for (acts, body) in [
        ("response-plan=sse, response-events=finish", "data: ONE\n\n"),
        (
            "response-plan=sse, response-events=finish, response-end=events",
            "data: ONE\n\ndata: the end\n\n",
        ),
    ] {
        let id = logs::id();
        let client = gateway
            .client()
            .with(guest::FIELD, acts)
            .with("x-request-id", &id);
        let response = client.get("/x").await;
        assert_eq!((response.text().as_str(), response.complete), (body, true));
        upstream.next_request().await.disconnected().await;
        let seen = logs::seen(&id).await;
        assert_eq!((&seen["error"], &seen["events"]), (&json!(""), &json!(2)));
    }
    gateway.shutdown().await;
}

#[tokio::test]
async fn events_are_handed_over_in_batches_of_what_has_arrived() {
    let stream: String = (0..100).map(|n| format!("data: {n}\n\n")).collect();
    let script = Script::status(200)
        .field("content-type", "text/event-stream")
        .body(stream);
    let upstream = Upstream::always(script).await;
    let gateway = Setup::before(&upstream).filter().start().await;
    let response = three(&gateway, "response-plan=sse, response-events=sizes").await;
    let sizes: Vec<usize> = response
        .events()
        .iter()
        .map(|event| event.data.parse().expect("a size"))
        .collect();
    assert_eq!(sizes.iter().sum::<usize>(), 100);
    assert!(
        sizes.iter().all(|size| (1..=32).contains(size)),
        "{sizes:?}"
    );
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_body_that_no_stage_wants_to_see_is_forwarded_byte_for_byte() {
    let body: Vec<u8> = (0..=255_u8).cycle().take(300_000).collect();
    let fixed = Script::status(200)
        .field("content-type", "application/octet-stream")
        .body(body.clone());
    let chunked = Script::status(200).chunked().chunks(body.chunks(7919));
    let until_close = Script::status(200).until_close().chunks(body.chunks(7919));
    for (script, length) in [(fixed, "300000"), (chunked, ""), (until_close, "")] {
        let upstream = Upstream::always(script).await;
        let gateway = Setup::before(&upstream).filter().start().await;
        let response = gateway
            .client()
            .request(Method::POST, "/x", body.clone())
            .await;
        assert_eq!((response.status, response.complete), (200, true));
        assert!(response.body == body);
        assert_eq!(response.header("content-length"), length);
        assert!(upstream.next_request().await.body == body);
        gateway.shutdown().await;
    }
}

#[tokio::test]
async fn a_coded_response_is_passed_on_by_stages_that_skip_it_and_refused_to_others() {
    let script = Script::status(200)
        .field("content-type", "text/event-stream")
        .field("content-encoding", "gzip")
        .body("\u{1f}\u{8b}…");
    let upstream = Upstream::always(script).await;
    let gateway = Setup::before(&upstream).filter().start().await;
    let response = gateway.client().get("/x").await;
    assert_eq!(
        (response.status, response.header("content-encoding")),
        (200, "gzip")
    );
    let response = three(&gateway, "response-plan=sse").await;
    assert_eq!(
        (response.status, &response.error()["code"]),
        (502, &json!("upstream_invalid"))
    );
    gateway.shutdown().await;
}
