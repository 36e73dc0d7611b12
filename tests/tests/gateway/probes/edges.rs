//! Differences between contract and gateway that the probes found, tested with the guest filter instead of a front.

use std::time::Duration;

use hyper::Method;
use sluicegate_tests::{Barrier, Script, Setup, Upstream, guest};

use crate::common::{CHAT, assert_error, streamed};

#[tokio::test]
async fn an_error_that_is_the_first_thing_to_go_out_of_a_stream_has_the_type_of_what_it_is() {
    let broken = Script::sse_head().chunk("data: 1\n\n");
    let broken = broken.sleep(Duration::from_millis(20)).cut();
    let upstream = Upstream::always(broken).await;
    let gateway = Setup::before(&upstream).filter().start().await;
    let ask = async |acts: &str| {
        let client = gateway.client().with(guest::FIELD, acts);
        client.get("/x").await
    };
    // One text, however the stage sees it, is a response of its own.
    for acts in [
        "response-plan=chunks, response-chunk=last",
        "response-plan=sse, response-events=drop, later-events=pass",
        "response-plan=ndjson, response-events=drop, later-events=pass",
    ] {
        assert_error(&ask(acts).await, 502, "upstream_broken");
    }
    // What the stage makes of it may be more than one.
    for (plan, kind) in [
        ("sse", "text/event-stream"),
        ("ndjson", "application/x-ndjson"),
    ] {
        let acts = format!("response-plan={plan}, response-events=drop, later-events=twice");
        let response = ask(&acts).await;
        assert_eq!(response.status, 502);
        assert_eq!(response.header("content-type"), kind);
        let text = response.text();
        assert_eq!(text.matches("upstream_broken").count(), 2, "{text}");
    }
    gateway.shutdown().await;
}

#[tokio::test]
async fn nothing_is_called_after_an_error_behind_an_early_head() {
    let later = Barrier::new();
    let upstream = Upstream::always(Script::raw("").wait(&later).cut()).await;
    let gateway = Setup::before(&upstream)
        .server("heartbeat = \"30ms\"")
        .filter()
        .start()
        .await;
    let acts = "response-plan=sse, response-end=events";
    let client = gateway.client().with(guest::FIELD, acts);
    let stream = client
        .open(Method::POST, CHAT, streamed().to_string())
        .await;
    assert_eq!(stream.status, 200);
    later.open();
    let response = stream.rest().await;
    let text = response.text();
    assert_eq!(text.matches("data: ").count(), 1, "{text}");
    assert!(text.contains("upstream_broken"), "{text}");
    assert!(response.complete);
    gateway.shutdown().await;
}
