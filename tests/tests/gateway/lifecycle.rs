//! Starting and stopping.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sluicegate_tests::client::{End, Raw};
use sluicegate_tests::sse::Chat;
use sluicegate_tests::upstream::ollama;
use sluicegate_tests::{
    Barrier, Client, Gateway, Script, Setup, Upstream, eventually, logs, within,
};
use tokio::net::TcpStream;

use crate::common::assert_error;

pub(crate) fn question(stream: bool) -> Value {
    json!({"model": "m", "stream": stream, "messages": [{"role": "user", "content": "Hi?"}]})
}

/// A model server that says one thing and the rest when it may.
pub(crate) async fn waits_for(barrier: &Barrier) -> Upstream {
    let script = Script::ndjson_head()
        .chunk(format!("{}\n", ollama::content("one")))
        .wait(barrier)
        .chunk(format!(
            "{}\n{}\n",
            ollama::content(" two"),
            ollama::done("stop")
        ));
    Upstream::always(script).await
}

async fn hangs() -> Upstream {
    Upstream::always(
        Script::ndjson_head()
            .chunk(format!("{}\n", ollama::content("one")))
            .hang(),
    )
    .await
}

/// Comes back when `/readyz` says so.
pub(crate) async fn ready(admin: &Client, wanted: bool) -> Value {
    eventually("the wanted readiness", async || {
        let response = admin.get("/readyz").await;
        assert_eq!(
            response.status,
            if response.json()["ready"] == true {
                200
            } else {
                503
            }
        );
        (response.json()["ready"] == wanted).then(|| response.json())
    })
    .await
}

#[tokio::test]
async fn a_shutdown_completes_what_runs_and_takes_nothing_new() {
    let barrier = Barrier::new();
    let upstream = waits_for(&barrier).await;
    let gateway = Setup::before(&upstream).chat().start().await;
    let (address, admin, client) = (gateway.address(), gateway.admin(), gateway.client());
    let (streaming, asking) = (logs::id(), logs::id());
    let mut stream = client
        .clone()
        .with("x-request-id", &streaming)
        .open_chat(&question(true))
        .await;
    assert_eq!(stream.text().await, "one");
    let aggregated = client.clone().with("x-request-id", &asking);
    let aggregated = tokio::spawn(async move { aggregated.chat(&question(false)).await });
    barrier.reached(2).await;

    let stopping = tokio::spawn(gateway.shutdown());
    let readiness = ready(&admin, false).await;
    assert_eq!(readiness["draining"], true);
    assert_eq!(admin.get("/livez").await.status, 200, "alive until the end");
    eventually("no new connections", async || {
        TcpStream::connect(address).await.is_err().then_some(())
    })
    .await;
    assert!(!stopping.is_finished());

    barrier.open();
    let mut events = Vec::new();
    while let Some(event) = stream.event().await {
        events.push(event);
    }
    let chat = Chat::of(&events);
    assert_eq!(
        (chat.content.as_str(), chat.done, stream.end()),
        (" two", true, Some(End::Proper))
    );
    let response = aggregated.await.expect("no panic");
    assert_eq!(
        response.json()["choices"][0]["message"]["content"],
        "one two"
    );
    within("the end of the gateway", stopping)
        .await
        .expect("no panic");
    // The observers have been told before the gateway was gone.
    for id in [streaming, asking] {
        let seen = logs::lines(|line| line["seen"] == id.as_str());
        assert_eq!(seen.len(), 1);
        assert_eq!(
            (&seen[0]["error"], &seen[0]["status"]),
            (&json!(""), &json!(200))
        );
    }
}

#[tokio::test]
async fn exchanges_left_at_the_deadline_end_with_an_error_and_are_counted() {
    let upstream = hangs().await;
    for http2 in [false, true] {
        let gateway = Setup::before(&upstream)
            .server("drain-timeout = \"200ms\"")
            .chat()
            .start()
            .await;
        let id = logs::id();
        let client = gateway.client().with("x-request-id", &id);
        let client = if http2 { client.over_http2() } else { client };
        let mut stream = client.open_chat(&question(true)).await;
        assert_eq!(stream.text().await, "one");
        let began = Instant::now();
        gateway.shutdown().await;
        assert!(began.elapsed() >= Duration::from_millis(200));
        let last = stream.event().await.expect("an error event").json();
        assert_eq!(last["error"]["code"], "shutting_down");
        assert_eq!(stream.event().await, None);
        assert_eq!(stream.end(), Some(End::Proper));
        upstream.next_request().await.disconnected().await;
        let seen = logs::lines(|line| line["seen"] == id.as_str());
        assert_eq!(
            seen.len(),
            1,
            "accounted for before the end (HTTP/2: {http2})"
        );
        assert_eq!(seen[0]["status"], 200);
        assert_eq!(seen[0]["error"], "shutting_down");
        assert!(seen[0]["response_bytes"].as_u64() > Some(0));
    }
}

#[tokio::test]
async fn a_client_without_a_response_at_the_deadline_is_told_to_try_again() {
    let upstream = Upstream::always(Script::silent()).await;
    for http2 in [false, true] {
        let gateway = Setup::before(&upstream)
            .server("drain-timeout = \"100ms\"")
            .chat()
            .start()
            .await;
        let client = gateway.client();
        let client = if http2 { client.over_http2() } else { client };
        let asking = tokio::spawn(async move { client.chat(&question(false)).await });
        let request = upstream.next_request().await;
        gateway.shutdown().await;
        request.disconnected().await;
        let response = asking.await.expect("no panic");
        assert_error(&response, 503, "shutting_down");
        assert_eq!(response.header("retry-after"), "1");
    }
}

#[tokio::test]
async fn half_a_request_head_does_not_hold_a_shutdown_up() {
    let upstream = hangs().await;
    let gateway = Setup::before(&upstream)
        .server("drain-timeout = \"10m\"")
        .limit("header-timeout = \"10m\"")
        .chat()
        .start()
        .await;
    let mut half = Raw::connect(gateway.address()).await;
    half.send("GET /v1/mod").await;
    // It is known to the gateway when this one has been served.
    assert_eq!(gateway.client().get("/nowhere").await.status, 404);
    within("the end of the gateway", gateway.shutdown()).await;
    half.closed().await;
}

#[tokio::test]
async fn idle_connections_do_not_keep_a_probe_out() {
    let upstream = hangs().await;
    let gateway = Setup::before(&upstream).chat().start().await;
    let address = gateway.admin_address();
    let mut idle = Vec::new();
    for number in 0..200 {
        let mut raw = Raw::connect(address).await;
        if number % 2 == 0 {
            raw.send("GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n")
                .await;
            assert_eq!(raw.response().await.status, 200, "connection {number}");
        }
        idle.push(raw);
    }
    assert_eq!(gateway.admin().get("/livez").await.status, 200);
    // It was the longest idle ones that made room.
    idle[0].closed().await;
    let mut last = idle.pop().expect("the last one");
    last.send("GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .await;
    assert_eq!(last.response().await.status, 200);
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_second_signal_does_not_wait_for_the_deadline() {
    let upstream = hangs().await;
    let gateway = Setup::before(&upstream)
        .server("drain-timeout = \"10m\"")
        .chat()
        .start()
        .await;
    let mut stream = gateway.client().open_chat(&question(true)).await;
    assert_eq!(stream.text().await, "one");
    let (admin, cut) = (gateway.admin(), gateway.cutter());
    let stopping = tokio::spawn(gateway.shutdown());
    ready(&admin, false).await;
    cut();
    within("the end of the gateway", stopping)
        .await
        .expect("no panic");
    assert_eq!(stream.event().await, None);
    assert_eq!(stream.end(), Some(End::Broken));
}

#[tokio::test]
async fn idle_connections_do_not_hold_a_shutdown_up() {
    let upstream = Upstream::always(Script::json(200, &json!({"models": []}))).await;
    let gateway = Setup::before(&upstream)
        .server("drain-timeout = \"10m\"")
        .chat()
        .start()
        .await;
    let mut used = Raw::connect(gateway.address()).await;
    used.send("GET /v1/models HTTP/1.1\r\nhost: x\r\n\r\n")
        .await;
    assert_eq!(used.response().await.status, 200);
    let mut half = Raw::connect(gateway.address()).await;
    half.send("GET /v1/mod").await;
    let mut fresh = Raw::connect(gateway.address()).await;
    // All three are known to the gateway when this one has been served.
    assert_eq!(gateway.client().get("/v1/models").await.status, 200);
    assert_eq!(
        gateway.client().over_http2().get("/v1/models").await.status,
        200
    );
    let stopping = tokio::spawn(gateway.shutdown());
    used.closed().await;
    fresh.closed().await;
    // The half request is still that client's: it has its own, short time.
    drop(half);
    within("the end of the gateway", stopping)
        .await
        .expect("no panic");
}

#[tokio::test]
async fn a_connection_that_is_kept_alive_is_closed_after_its_last_exchange() {
    let barrier = Barrier::new();
    let upstream = waits_for(&barrier).await;
    let gateway = Setup::before(&upstream)
        .server("drain-timeout = \"10m\"")
        .chat()
        .start()
        .await;
    let admin = gateway.admin();
    let mut raw = Raw::connect(gateway.address()).await;
    raw.post("/v1/chat/completions", &question(false)).await;
    barrier.reached(1).await;
    let stopping = tokio::spawn(gateway.shutdown());
    ready(&admin, false).await;
    barrier.open();
    let response = raw.response().await;
    assert_eq!(
        (
            response.status,
            response.complete,
            response.header("connection")
        ),
        (200, true, "close")
    );
    raw.closed().await;
    within("the end of the gateway", stopping)
        .await
        .expect("no panic");
}

#[tokio::test]
async fn a_taken_port_is_reported_with_its_address_and_leaves_nothing_running() {
    let upstream = Upstream::always(Script::empty(200)).await;
    let taken = upstream.address();
    let toml = Setup::before(&upstream).chat().toml().replacen(
        "[[listener]]\nlisten = \"127.0.0.1:0\"",
        &format!("[[listener]]\nlisten = \"{taken}\""),
        1,
    );
    let error = Gateway::start(&toml)
        .await
        .err()
        .expect("it does not start");
    assert!(
        format!("{error:#}").contains(&taken.to_string()),
        "{error:#}"
    );
}
