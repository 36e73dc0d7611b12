//! `max-in-flight` and the queue before a target: who gets a place, who waits for how long, who is refused, and who is not
//! starved.

use std::path::Path;

use serde_json::{Value, json};
use sluicegate_config as config;
use sluicegate_tests::client::Response;
use sluicegate_tests::upstream::ollama;
use sluicegate_tests::{Barrier, Gateway, Script, Setup, Upstream, eventually};
use tokio::task::JoinHandle;

use crate::common::{assert_error, question, streamed};

/// An Ollama that streams one word each time that the barrier lets one through.
async fn held(barrier: &Barrier) -> Upstream {
    let lines = ollama::stream(&["Hello"]);
    let lines = lines.iter().map(|line| format!("{line}\n"));
    Upstream::always(Script::ndjson_head().wait(barrier).chunks(lines)).await
}

/// A question with a name, by which the model server's requests are told apart.
fn named(name: &str) -> Value {
    json!({"model": "m", "stream": true, "messages": [{"role": "user", "content": name}]})
}

fn names(upstream: &Upstream) -> Vec<String> {
    let requests = upstream.requests();
    let name = |request: &Value| {
        request["messages"][0]["content"]
            .as_str()
            .map(str::to_owned)
    };
    requests
        .iter()
        .filter_map(|request| name(&request.json()))
        .collect()
}

fn ask(gateway: &Gateway, key: &str, name: &str) -> JoinHandle<Response> {
    let client = gateway.client().with("x-api-key", key);
    let body = named(name);
    tokio::spawn(async move { client.chat(&body).await })
}

/// Waits until the target has so many attempts, and so many wait for it.
async fn filled(gateway: &Gateway, in_flight: usize, waiting: usize) {
    eventually(
        &format!("{in_flight} in flight and {waiting} waiting"),
        async || {
            let shown = gateway.admin().get("/upstreams").await.json();
            let target = &shown["upstreams"][0]["targets"][0];
            let found = (&target["in_flight"], &target["waiting"]);
            (found == (&json!(in_flight), &json!(waiting))).then_some(())
        },
    )
    .await;
}

fn setup(upstream: &Upstream, queue: &str) -> Setup {
    Setup::before(upstream)
        .upstream("max-in-flight = 1")
        .upstream(&format!("queue = {queue}"))
        .chat_with(
            r#"{ name = "crowd", key = "crowd" }, { name = "single", key = "single" }"#,
            "",
        )
}

#[tokio::test]
async fn places_and_queue_are_bounded_and_whoever_finds_both_full_is_refused_at_once() {
    let barrier = Barrier::new();
    let upstream = held(&barrier).await;
    let gateway = setup(&upstream, "{ size = 2, timeout = \"10m\" }")
        .start()
        .await;
    let mut asked = Vec::new();
    for (name, in_flight, waiting) in [("first", 1, 0), ("second", 1, 1), ("third", 1, 2)] {
        asked.push(ask(&gateway, "crowd", name));
        filled(&gateway, in_flight, waiting).await;
    }
    for stream in [false, true] {
        let mut body = question();
        body["stream"] = json!(stream);
        let refused = gateway
            .client()
            .with("x-api-key", "single")
            .chat(&body)
            .await;
        assert_error(&refused, 503, "upstream_busy");
        assert_eq!(refused.header("retry-after"), "1");
    }
    assert_eq!(names(&upstream), ["first"], "the others wait");
    barrier.open();
    for asked in asked {
        let response = asked.await.expect("no panic");
        assert_eq!(response.streamed_chat().content, "Hello");
    }
    assert_eq!(names(&upstream), ["first", "second", "third"]);
    filled(&gateway, 0, 0).await;
    let labels = format!("{{upstream=\"ollama\",target=\"{}\"", upstream.url());
    let waits = format!("sluicegate_upstream_queue_seconds_count{labels}}}");
    let refused = format!("sluicegate_upstream_refused_total{labels},reason=\"full\"}}");
    assert!(gateway.metric(&waits).await == 3.0);
    assert!(gateway.metric(&refused).await == 2.0);
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_tenant_with_one_request_has_its_turn_among_anothers_many() {
    let barrier = Barrier::new();
    let upstream = held(&barrier).await;
    let gateway = setup(&upstream, "{ size = 64, timeout = \"10m\" }")
        .start()
        .await;
    let mut asked = Vec::new();
    for waiting in 0..20 {
        asked.push(ask(&gateway, "crowd", &format!("crowd {waiting}")));
        filled(&gateway, 1, waiting).await;
    }
    let single = ask(&gateway, "single", "single");
    filled(&gateway, 1, 20).await;
    barrier.release();
    barrier.release();
    barrier.release();
    let response = single.await.expect("no panic");
    assert_eq!(response.streamed_chat().content, "Hello");
    let began = names(&upstream);
    assert_eq!(began[..3], ["crowd 0", "crowd 1", "single"], "{began:?}");
    barrier.open();
    for asked in asked {
        assert_eq!(asked.await.expect("no panic").status, 200);
    }
    gateway.shutdown().await;
}

#[tokio::test]
async fn who_waits_too_long_is_refused_and_who_leaves_makes_room() {
    let barrier = Barrier::new();
    let upstream = held(&barrier).await;
    let gateway = setup(&upstream, "{ size = 1, timeout = \"200ms\" }")
        .start()
        .await;
    let first = ask(&gateway, "crowd", "first");
    filled(&gateway, 1, 0).await;
    for stream in [false, true] {
        let mut body = question();
        body["stream"] = json!(stream);
        let late = gateway
            .client()
            .with("x-api-key", "single")
            .chat(&body)
            .await;
        assert_error(&late, 503, "upstream_busy");
        assert_eq!(late.header("retry-after"), "1");
    }
    filled(&gateway, 1, 0).await;
    barrier.open();
    assert_eq!(first.await.expect("no panic").status, 200);
    gateway.shutdown().await;

    let barrier = Barrier::new();
    let upstream = held(&barrier).await;
    let gateway = setup(&upstream, "{ size = 1, timeout = \"10m\" }")
        .start()
        .await;
    let first = ask(&gateway, "crowd", "first");
    filled(&gateway, 1, 0).await;
    let leaves = ask(&gateway, "crowd", "leaves");
    filled(&gateway, 1, 1).await;
    leaves.abort();
    filled(&gateway, 1, 0).await;
    let next = ask(&gateway, "single", "next");
    filled(&gateway, 1, 1).await;
    barrier.open();
    for asked in [first, next] {
        assert_eq!(asked.await.expect("no panic").status, 200);
    }
    assert_eq!(names(&upstream), ["first", "next"]);
    gateway.shutdown().await;
}

#[tokio::test]
async fn where_the_queue_is_full_the_fallback_is_asked() {
    let barrier = Barrier::new();
    let upstream = held(&barrier).await;
    let spare = Upstream::always(Script::ndjson(&ollama::stream(&["from the spare"]))).await;
    let gateway = Setup::before(&upstream)
        .upstream("max-in-flight = 1")
        .upstream("queue = { size = 0 }")
        .chat_with_spare(&spare)
        .start()
        .await;
    let first = ask(&gateway, "", "first");
    filled(&gateway, 1, 0).await;
    for body in [question(), streamed()] {
        let response = gateway.client().chat(&body).await;
        assert_eq!(response.status, 200, "{}", response.text());
        assert!(response.text().contains("from the spare"));
    }
    barrier.open();
    assert_eq!(
        first.await.expect("no panic").streamed_chat().content,
        "Hello"
    );
    assert_eq!((names(&upstream).len(), names(&spare).len()), (1, 2));
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_place_is_free_as_soon_as_the_model_server_is_done_and_when_a_client_leaves() {
    let upstream =
        Upstream::start(
            |request| match request.json()["messages"][0]["content"].as_str() {
                Some("endless") => Script::ndjson_head()
                    .chunk(format!("{}\n", ollama::content("so far")))
                    .hang(),
                _ => Script::ndjson(&ollama::stream(&["Hello"])),
            },
        )
        .await;
    let gateway = setup(&upstream, "{ size = 4, timeout = \"10m\" }")
        .start()
        .await;
    let client = gateway.client().with("x-api-key", "crowd");
    let mut stream = client.open_chat(&named("endless")).await;
    assert_eq!(stream.text().await, "so far");
    let next = ask(&gateway, "crowd", "next");
    filled(&gateway, 1, 1).await;
    stream.hang_up().await;
    assert_eq!(
        next.await.expect("no panic").streamed_chat().content,
        "Hello"
    );
    filled(&gateway, 0, 0).await;
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_client_in_the_queue_gets_heartbeats_and_its_wait_is_not_the_model_servers() {
    let barrier = Barrier::new();
    let lines = ollama::stream(&["Hello", " again"]);
    let mut lines = lines.iter().map(|line| format!("{line}\n"));
    let first = lines.next().expect("a line");
    let upstream = Upstream::always(
        Script::ndjson_head()
            .chunk(first)
            .wait(&barrier)
            .chunks(lines),
    )
    .await;
    let gateway = setup(&upstream, "{ size = 4, timeout = \"10m\" }")
        .server("heartbeat = \"20ms\"")
        .upstream("timeout = { first-byte = \"300ms\" }")
        .start()
        .await;
    let first = ask(&gateway, "crowd", "first");
    filled(&gateway, 1, 0).await;
    let client = gateway.client().with("x-api-key", "single");
    let mut waits = client.open_chat(&named("waits")).await;
    for _ in 0..25 {
        let bytes = waits.bytes().await.expect("the stream goes on");
        assert!(bytes.starts_with(b": ping\n"), "{bytes:?}");
    }
    assert_eq!(names(&upstream), ["first"]);
    barrier.open();
    assert_eq!(first.await.expect("no panic").status, 200);
    let chat = waits.rest().await.streamed_chat();
    assert_eq!((chat.content.as_str(), chat.done), ("Hello again", true));
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_stream_whose_head_is_out_is_refused_by_an_event() {
    let barrier = Barrier::new();
    let upstream = held(&barrier).await;
    let gateway = setup(&upstream, "{ size = 4, timeout = \"300ms\" }")
        .server("heartbeat = \"20ms\"")
        .start()
        .await;
    let first = ask(&gateway, "crowd", "first");
    filled(&gateway, 1, 0).await;
    let late = ask(&gateway, "single", "late").await.expect("no panic");
    assert_eq!((late.status, late.complete), (200, true));
    let chat = late.streamed_chat();
    assert_eq!(chat.error.expect("an error event")["code"], "upstream_busy");
    assert!(!chat.done);
    barrier.open();
    assert_eq!(first.await.expect("no panic").status, 200);
    assert_eq!(names(&upstream), ["first"]);
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_reload_changes_the_limit_and_loses_nobody_who_waits() {
    let barrier = Barrier::new();
    let upstream = held(&barrier).await;
    let gateway = setup(&upstream, "{ size = 4, timeout = \"10m\" }")
        .start()
        .await;
    let mut asked = Vec::new();
    for (name, waiting) in [("first", 0), ("second", 1), ("third", 2)] {
        asked.push(ask(&gateway, "crowd", name));
        filled(&gateway, 1, waiting).await;
    }
    let more = setup(&upstream, "{ size = 4, timeout = \"5m\" }").toml();
    let more = more.replace("max-in-flight = 1", "max-in-flight = 3");
    let more = config::parse(&more, Path::new("."), &|_| None).expect("legal");
    let control = gateway.running().control();
    control.apply(more).await.expect("in force");
    // The new limit applies with the next one who comes: those who wait go first.
    asked.push(ask(&gateway, "single", "fourth"));
    filled(&gateway, 3, 1).await;
    barrier.open();
    for asked in asked {
        assert_eq!(asked.await.expect("no panic").status, 200);
    }
    assert_eq!(names(&upstream).last().map(String::as_str), Some("fourth"));
    gateway.shutdown().await;
}
