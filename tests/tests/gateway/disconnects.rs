//! `on-disconnect = "drain-for-usage"`: a response whose client has left is read to its end, within limits, and its usage is known.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use sluicegate_tests::client::Raw;
use sluicegate_tests::upstream::ollama;
use sluicegate_tests::{Barrier, Gateway, Script, Setup, Upstream, eventually, logs, within};
use tokio::net::TcpStream;

/// A model server that says something, then waits for the barrier, and then says the rest.
async fn model(barrier: &Barrier) -> Upstream {
    let script = Script::ndjson_head()
        .chunk(format!("{}\n", ollama::content("so far")))
        .wait(barrier)
        .chunk(format!(
            "{}\n{}\n",
            ollama::content("the rest"),
            ollama::done("stop")
        ));
    Upstream::always(script).await
}

/// A gateway with this policy.
fn setup(model: &Upstream, policy: &str) -> Setup {
    Setup::before(model).stages("", "").route(
        "/v1/chat/completions",
        r#"["auth", "aggregate"]"#,
        &format!("observers = [\"access-log\", \"observer\"]\non-disconnect = {policy}"),
    )
}

fn question(stream: bool) -> Value {
    json!({"model": "m", "stream": stream, "messages": [{"role": "user", "content": "Hi?"}]})
}

async fn asks(gateway: &Gateway, id: &str, stream: bool) -> Raw {
    let mut raw = Raw::connect(gateway.address()).await;
    let body = question(stream).to_string();
    let length = body.len();
    raw.send(format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nx-request-id: {id}\r\ncontent-length: {length}\r\n\r\n{body}"
    ))
    .await;
    raw
}

/// A client that leaves in mid-stream.
async fn leaves(gateway: &Gateway, id: &str) {
    let mut raw = asks(gateway, id, true).await;
    let mut response = raw.head("POST").await;
    raw.chunk(&mut response).await.expect("a chunk");
    raw.hang_up();
}

/// How many exchanges go on without their clients.
async fn abandoned(gateway: &Gateway, count: f64) {
    eventually("they go on", async || {
        let series = r#"sluicegate_abandoned{route="/v1/chat/completions"}"#;
        let now = gateway.metric(series).await;
        ((now - count).abs() < f64::EPSILON).then_some(())
    })
    .await;
}

/// How many of them ended so.
async fn ended(gateway: &Gateway, result: &str) -> f64 {
    let series = format!(
        r#"sluicegate_abandoned_ends_total{{route="/v1/chat/completions",result="{result}"}}"#
    );
    gateway.metric(&series).await
}

/// What the observer saw of an exchange whose client left with this status, and whose usage is known as a whole.
async fn assert_known(id: &str, status: u16) {
    let seen = logs::seen(id).await;
    assert_eq!(
        (&seen["error"], &seen["status"]),
        (&json!("client_closed"), &json!(status)),
        "{seen}"
    );
    let usage = &seen["note_usage"];
    assert_eq!(
        (&usage["prompt_tokens"], &usage["completion_tokens"]),
        (&json!(11), &json!(18)),
        "{seen}"
    );
    assert!(usage["partial"].is_null(), "{seen}");
}

#[tokio::test]
async fn the_usage_of_a_stream_is_known_after_its_client_left() {
    let barrier = Barrier::new();
    let model = model(&barrier).await;
    let gateway = setup(&model, "\"drain-for-usage\"").start().await;
    let id = logs::id();
    leaves(&gateway, &id).await;
    abandoned(&gateway, 1.0).await;
    let running = r#"sluicegate_requests_in_flight{route="/v1/chat/completions"}"#;
    assert!((gateway.metric(running).await - 1.0).abs() < f64::EPSILON);
    barrier.open();
    assert_known(&id, 200).await;
    model.requests()[0].answered().await;
    assert!(!model.requests()[0].was_abandoned());
    assert!((ended(&gateway, "whole").await - 1.0).abs() < f64::EPSILON);
    abandoned(&gateway, 0.0).await;
    gateway.shutdown().await;
}

#[tokio::test]
async fn so_it_is_for_one_who_left_before_the_first_byte_or_waited_for_a_whole_response() {
    let barrier = Barrier::new();
    let script = Script::ndjson_head().wait(&barrier);
    let lines = ollama::stream(&["all", "of", "it"]);
    let script = lines
        .iter()
        .fold(script, |it, line| it.chunk(format!("{line}\n")));
    let silent = Upstream::always(script).await;
    let gateway = setup(&silent, "\"drain-for-usage\"").start().await;
    let mut ids = Vec::new();
    for stream in [true, false] {
        let id = logs::id();
        let raw = asks(&gateway, &id, stream).await;
        within("it is asked", silent.next_request()).await;
        raw.reset();
        ids.push(id);
    }
    abandoned(&gateway, 2.0).await;
    barrier.open();
    for id in ids {
        assert_known(&id, 0).await;
    }
    gateway.shutdown().await;
}

#[tokio::test]
async fn so_it_is_for_a_stream_that_is_reset_over_http2() {
    let barrier = Barrier::new();
    let model = model(&barrier).await;
    let gateway = setup(&model, "\"drain-for-usage\"").start().await;
    let socket = TcpStream::connect(gateway.address())
        .await
        .expect("it listens");
    let (mut sender, connection) =
        http2::handshake::<_, _, Full<Bytes>>(TokioExecutor::new(), TokioIo::new(socket))
            .await
            .expect("a handshake");
    let connection = tokio::spawn(connection);
    let id = logs::id();
    let request = Request::post(format!("http://{}/v1/chat/completions", gateway.address()))
        .header("x-request-id", &id)
        .body(Full::new(Bytes::from(question(true).to_string())))
        .expect("a legal request");
    let response = sender.send_request(request).await.expect("a response");
    let mut body = response.into_body();
    body.frame().await.expect("a chunk").expect("no error");
    drop(body);
    abandoned(&gateway, 1.0).await;
    barrier.open();
    assert_known(&id, 200).await;
    drop(sender);
    connection.abort();
    gateway.shutdown().await;
}

#[tokio::test]
async fn it_takes_no_longer_than_the_route_allows() {
    let barrier = Barrier::new();
    let model = model(&barrier).await;
    let policy = "{ drain-for-usage = { timeout = \"100ms\" } }";
    let gateway = setup(&model, policy).start().await;
    let id = logs::id();
    leaves(&gateway, &id).await;
    model.requests()[0].disconnected().await;
    let seen = logs::seen(&id).await;
    assert_eq!(seen["error"], "client_closed");
    assert_eq!(seen["note_usage"]["partial"], true, "{seen}");
    assert!((ended(&gateway, "cut").await - 1.0).abs() < f64::EPSILON);
    gateway.shutdown().await;
}

#[tokio::test]
async fn nor_does_it_with_a_model_server_that_never_pauses() {
    let line = format!("{}\n", ollama::content("and so on"));
    let script = Script::ndjson_head()
        .chunk(&*line)
        .chunk(line.repeat(200_000))
        .hang();
    let model = Upstream::always(script).await;
    let policy = "{ drain-for-usage = { timeout = \"1ms\" } }";
    let gateway = setup(&model, policy).start().await;
    let id = logs::id();
    leaves(&gateway, &id).await;
    model.requests()[0].disconnected().await;
    assert_eq!(logs::seen(&id).await["error"], "client_closed");
    assert!((ended(&gateway, "cut").await - 1.0).abs() < f64::EPSILON);
    gateway.shutdown().await;
}

#[tokio::test]
async fn no_more_do_so_than_the_route_allows() {
    let barrier = Barrier::new();
    let model = model(&barrier).await;
    let policy = "{ drain-for-usage = { max = 2 } }";
    let gateway = setup(&model, policy).start().await;
    let leave = async || {
        let id = logs::id();
        leaves(&gateway, &id).await;
        id
    };
    let kept = [leave().await, leave().await];
    abandoned(&gateway, 2.0).await;
    let refused = leave().await;
    let seen = logs::seen(&refused).await;
    assert_eq!(seen["note_usage"]["partial"], true, "{seen}");
    model.requests()[2].disconnected().await;
    assert!((ended(&gateway, "refused").await - 1.0).abs() < f64::EPSILON);
    for id in kept {
        barrier.release();
        assert_known(&id, 200).await;
    }
    // There is room again.
    abandoned(&gateway, 0.0).await;
    let next = leave().await;
    abandoned(&gateway, 1.0).await;
    barrier.open();
    assert_known(&next, 200).await;
    gateway.shutdown().await;
}

#[tokio::test]
async fn nobody_else_is_asked_for_a_client_that_has_left() {
    let barrier = Barrier::new();
    let failing = Upstream::always(Script::raw("").wait(&barrier).cut()).await;
    let spare = Upstream::always(Script::ndjson(&ollama::stream(&["no"]))).await;
    let url = spare.url();
    let gateway = Setup::before(&failing)
        .section(&format!(
            "[upstream.spare]\nadapter = \"ollama\"\ntargets = [\"{url}\"]"
        ))
        .stages("", "")
        .route(
            "/v1/chat/completions",
            r#"["auth", "aggregate"]"#,
            "fallback = [\"spare\"]\nobservers = [\"observer\"]\non-disconnect = \"drain-for-usage\"",
        )
        .start()
        .await;
    let id = logs::id();
    let raw = asks(&gateway, &id, true).await;
    within("it is asked", failing.next_request()).await;
    raw.hang_up();
    abandoned(&gateway, 1.0).await;
    barrier.open();
    let seen = logs::seen(&id).await;
    assert_eq!(
        (&seen["error"], &seen["attempts"]),
        (&json!("client_closed"), &json!(1)),
        "{seen}"
    );
    assert!(spare.requests().is_empty());
    gateway.shutdown().await;
}

#[tokio::test]
async fn the_gateway_waits_for_them_when_it_stops_but_no_longer_than_for_others() {
    let barrier = Barrier::new();
    let model = model(&barrier).await;
    let gateway = setup(&model, "\"drain-for-usage\"").start().await;
    let leave = async |gateway: &Gateway, id: &str| {
        leaves(gateway, id).await;
        abandoned(gateway, 1.0).await;
    };
    let id = logs::id();
    leave(&gateway, &id).await;
    let admin = gateway.admin();
    let stopping = tokio::spawn(gateway.shutdown());
    eventually("it drains", async || {
        (admin.get("/readyz").await.status == 503).then_some(())
    })
    .await;
    barrier.open();
    assert_known(&id, 200).await;
    within("it stops", stopping).await.expect("it stops");

    let never = self::model(&Barrier::new()).await;
    let gateway = setup(&never, "\"drain-for-usage\"")
        .server("drain-timeout = \"100ms\"")
        .start()
        .await;
    let id = logs::id();
    leave(&gateway, &id).await;
    within("it stops", gateway.shutdown()).await;
    never.requests()[0].disconnected().await;
    assert_eq!(logs::seen(&id).await["error"], "client_closed");
}

#[tokio::test]
async fn a_gateway_that_is_cut_does_not_wait_for_them() {
    let never = model(&Barrier::new()).await;
    let gateway = setup(&never, "\"drain-for-usage\"").start().await;
    let id = logs::id();
    leaves(&gateway, &id).await;
    abandoned(&gateway, 1.0).await;
    let cut = gateway.cutter();
    cut();
    tokio::time::timeout(Duration::from_secs(10), gateway.shutdown())
        .await
        .expect("it does not wait for a minute");
    never.requests()[0].disconnected().await;
}
