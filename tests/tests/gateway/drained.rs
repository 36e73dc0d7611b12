//! Versions that were replaced end in time where the configuration says so, and take only those exchanges with them that hold
//! them.

use std::path::Path;
use std::time::{Duration, Instant};

use hyper::Method;
use serde_json::json;
use sluicegate_config as config;
use sluicegate_tests::client::{End, Stream};
use sluicegate_tests::upstream::ollama;
use sluicegate_tests::{Barrier, Gateway, Script, Setup, Upstream, eventually, guest, logs};

use crate::common::{assert_error, question, streamed};

/// Enough to see that exchanges go on for a while, and no more.
const DRAIN: Duration = Duration::from_millis(400);

/// Old versions of a plugin that may be in use.
const MOST: usize = 8;

/// The guest on `/x`, in this version, and a gate on `/y`, both with these sections.
fn setup(upstream: &Upstream, version: usize, sections: &str) -> Setup {
    let limit = format!("limits = {{ output = \"{version}MiB\" }}");
    Setup::before(upstream)
        .section(sections)
        .plugin("guest", guest::BARE, &limit)
        .plugin("gate", guest::GATE, "")
        .route("/x", r#"["guest"]"#, "")
        .route("/y", r#"["gate"]"#, "")
}

/// Without a time for old versions; a version that is replaced is not held for a rollback.
const UNDRAINED: &str = "[swap]\nrollback = \"0s\"\n";

/// With a time for old versions.
fn draining() -> String {
    format!("{UNDRAINED}drain = \"{}ms\"\n", DRAIN.as_millis())
}

async fn swap(gateway: &Gateway, setup: &Setup) {
    let config = config::parse(&setup.toml(), Path::new(""), &|_| None);
    let control = gateway.running().control();
    let applied = control.apply(config.expect("it is right")).await;
    applied.expect("it is put into force");
}

/// A model server that sends an event, and another one when it may.
async fn waits_for(barrier: &Barrier) -> Upstream {
    let script = Script::sse_head().chunk("data: one\n\n").wait(barrier);
    Upstream::always(script.chunk("data: two\n\n")).await
}

/// A stream of which the first event has come.
async fn begun(gateway: &Gateway, path: &str, first: &str) -> Stream {
    let mut stream = gateway.client().open(Method::GET, path, "").await;
    assert_eq!(stream.event().await.expect("an event").data, first);
    stream
}

/// The stream ends properly with this event.
async fn ends_with(mut stream: Stream, last: &str) {
    assert_eq!(stream.event().await.expect("another event").data, last);
    assert_eq!(stream.event().await, None);
    assert_eq!(stream.end(), Some(End::Proper));
}

/// The last event is the error, in upper case if the guest has seen it, and the body ends properly.
async fn is_ended(mut stream: Stream) {
    let last = stream.event().await.expect("an error event");
    let last = last.data.to_lowercase();
    assert!(last.contains(r#""code":"version_drained""#), "{last}");
    assert_eq!(stream.event().await, None);
    assert_eq!(stream.end(), Some(End::Proper));
}

/// One version of a plugin is left.
async fn until_one_is_left(gateway: &Gateway, plugin: &str) {
    let series = format!("sluicegate_plugin_live_versions{{plugin=\"{plugin}\"}}");
    eventually("one version to be left", async || {
        (gateway.metric(&series).await == 1.0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_stream_on_a_replaced_version_ends_with_an_error_in_time() {
    for http2 in [false, true] {
        let upstream = Upstream::always(
            Script::ndjson_head()
                .chunk(format!("{}\n", ollama::content("one")))
                .hang(),
        )
        .await;
        let setup = |ollama| {
            let setup = Setup::before(&upstream).section(&draining());
            setup.chat_with("", ollama)
        };
        let gateway = setup("").start().await;
        let id = logs::id();
        let client = gateway.client().with("x-request-id", &id);
        let client = if http2 { client.over_http2() } else { client };
        let mut stream = client.open_chat(&streamed()).await;
        assert_eq!(stream.text().await, "one");
        // Of the two plugins that take part one is replaced: the adapter.
        let began = Instant::now();
        swap(&gateway, &setup("stream = \"as-client\"")).await;
        let last = stream.event().await.expect("an error event").json();
        assert!(began.elapsed() >= DRAIN, "{:?}", began.elapsed());
        assert_eq!(last["error"]["code"], "version_drained", "{last}");
        assert_eq!(stream.event().await, None);
        assert_eq!(stream.end(), Some(End::Proper));
        upstream.next_request().await.disconnected().await;
        let seen = logs::seen(&id).await;
        assert_eq!(
            (&seen["error"], &seen["status"]),
            (&json!("version_drained"), &json!(200))
        );
        until_one_is_left(&gateway, "ollama").await;
        gateway.shutdown().await;
    }
}

#[tokio::test]
async fn a_client_without_a_response_is_told_to_try_again() {
    let upstream = Upstream::always(Script::silent()).await;
    let setup = |keys| {
        let setup = Setup::before(&upstream).section(&draining());
        setup.chat_with(keys, "")
    };
    let gateway = setup("").start().await;
    let client = gateway.client();
    let asking = tokio::spawn(async move { client.chat(&question()).await });
    let request = upstream.next_request().await;
    swap(&gateway, &setup(r#"{ name = "a", key = "sk-a" }"#)).await;
    let response = asking.await.expect("no panic");
    assert_error(&response, 503, "version_drained");
    assert_eq!(response.header("retry-after"), "1");
    request.disconnected().await;
    until_one_is_left(&gateway, "auth").await;
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_client_that_still_sends_its_request_is_told_too() {
    let upstream = Upstream::always(Script::json(200, &json!({}))).await;
    let gateway = setup(&upstream, 1, &draining()).start().await;
    let mut raw = sluicegate_tests::client::Raw::connect(gateway.address()).await;
    raw.send("POST /x HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\n{")
        .await;
    let series = "sluicegate_requests_in_flight{route=\"/x\"}";
    eventually("the exchange to begin", async || {
        (gateway.metric(series).await == 1.0).then_some(())
    })
    .await;
    swap(&gateway, &setup(&upstream, 2, &draining())).await;
    let response = raw.response().await;
    assert_eq!(response.status, 503, "{}", response.text());
    assert_eq!(response.json()["error"]["code"], "version_drained");
    assert!(upstream.requests().is_empty());
    until_one_is_left(&gateway, "guest").await;
    gateway.shutdown().await;
}

#[tokio::test]
async fn what_holds_no_replaced_version_goes_on_and_keeps_none() {
    let barrier = Barrier::new();
    let upstream = waits_for(&barrier).await;
    let gateway = setup(&upstream, 1, &draining()).start().await;
    let (replaced, other) = (
        begun(&gateway, "/x", "ONE").await,
        begun(&gateway, "/y", "one").await,
    );
    // Another limit of the server replaces the snapshot and no plugin.
    let limited = setup(&upstream, 1, &draining()).limit("headers = 50");
    swap(&gateway, &limited).await;
    swap(&gateway, &setup(&upstream, 2, &draining())).await;
    let late = begun(&gateway, "/x", "ONE").await;
    is_ended(replaced).await;
    // The stream on the other route is still there, and does not keep the version of this one.
    until_one_is_left(&gateway, "guest").await;
    barrier.open();
    ends_with(other, "two").await;
    ends_with(late, "TWO").await;
    gateway.shutdown().await;
}

#[tokio::test]
async fn without_a_configured_time_an_old_version_lasts_as_long_as_its_exchanges() {
    let barrier = Barrier::new();
    let upstream = waits_for(&barrier).await;
    let gateway = setup(&upstream, 1, UNDRAINED).start().await;
    let stream = begun(&gateway, "/x", "ONE").await;
    swap(&gateway, &setup(&upstream, 2, UNDRAINED)).await;
    // The next swap has a time for what it replaces, not for what is old already.
    swap(&gateway, &setup(&upstream, 3, &draining())).await;
    tokio::time::sleep(2 * DRAIN).await;
    barrier.open();
    ends_with(stream, "TWO").await;
    until_one_is_left(&gateway, "guest").await;
    gateway.shutdown().await;
}

#[tokio::test]
async fn with_more_than_eight_old_versions_the_oldest_ends() {
    let barrier = Barrier::new();
    let upstream = waits_for(&barrier).await;
    let gateway = setup(&upstream, 1, UNDRAINED).start().await;
    let mut streams = Vec::new();
    for version in 1..=MOST + 1 {
        streams.push(begun(&gateway, "/x", "ONE").await);
        swap(&gateway, &setup(&upstream, version + 1, UNDRAINED)).await;
    }
    let warned = logs::line("a warning", |line| {
        line["level"] == "warn" && line["plugin"] == "guest" && line["versions"].is_string()
    })
    .await;
    let named = warned["versions"].as_str().unwrap_or_default();
    assert_eq!(named.split(' ').count(), MOST + 1, "{named}");
    // It has 30 s now; a shorter time that is configured counts for it too, and not for the other eight.
    swap(&gateway, &setup(&upstream, MOST + 3, &draining())).await;
    let mut streams = streams.into_iter();
    is_ended(streams.next().expect("the oldest")).await;
    barrier.open();
    for stream in streams {
        ends_with(stream, "TWO").await;
    }
    until_one_is_left(&gateway, "guest").await;
    gateway.shutdown().await;
}
