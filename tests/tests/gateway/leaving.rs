//! Clients that leave: the request to the model server ends within 100 ms, so that it stops computing.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use sluicegate_tests::client::Raw;
use sluicegate_tests::upstream::ollama;
use sluicegate_tests::{Gateway, Script, Setup, Upstream, logs};
use tokio::net::TcpStream;

/// How soon the model server must see that the client has left.
const SOON: Duration = Duration::from_millis(100);

/// How often it is tried. The gateway is to be fast, but the machine may be busy: one try in time proves that nothing in the
/// gateway waits, for a timer would be late every time.
const TRIES: usize = 8;

fn question(stream: bool) -> Value {
    json!({"model": "m", "stream": stream, "messages": [{"role": "user", "content": "Hi?"}]})
}

/// A model server that never answers.
async fn silent() -> Upstream {
    Upstream::always(Script::silent()).await
}

/// A model server that says something and then no more.
async fn stalls() -> Upstream {
    Upstream::always(
        Script::ndjson_head()
            .chunk(format!("{}\n", ollama::content("so far")))
            .hang(),
    )
    .await
}

/// Lets clients leave until one's leaving is seen in time; each must be seen and accounted for.
async fn seen_soon(upstream: &Upstream, leave: impl AsyncFn(&str) -> Instant) {
    let mut quickest = Duration::MAX;
    for _ in 0..TRIES {
        let id = logs::id();
        let left = leave(&id).await;
        let request = upstream
            .requests()
            .into_iter()
            .find(|request| request.header("x-request-id") == Some(&id));
        let gone = request.expect("it was asked").disconnected().await;
        quickest = quickest.min(gone.saturating_duration_since(left));
        let seen = logs::seen(&id).await;
        assert_eq!(seen["error"], "client_closed");
        let access = logs::line("the access log", |line| {
            line["plugin"] == "access-log" && line["req"] == id.as_str()
        })
        .await;
        assert_eq!(access["cancelled"], true);
        if quickest <= SOON {
            return;
        }
    }
    panic!("the quickest of {TRIES} took {quickest:?}");
}

async fn asks(gateway: &Gateway, id: &str, body: &Value) -> Raw {
    let mut raw = Raw::connect(gateway.address()).await;
    let body = body.to_string();
    let length = body.len();
    raw.send(format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nx-request-id: {id}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    ))
    .await;
    raw
}

#[tokio::test]
async fn before_the_first_byte() {
    let upstream = silent().await;
    let gateway = Setup::before(&upstream).chat().start().await;
    for stream in [true, false] {
        for breaks in [false, true] {
            seen_soon(&upstream, async |id| {
                let raw = asks(&gateway, id, &question(stream)).await;
                upstream.next_request().await;
                if breaks { raw.reset() } else { raw.hang_up() }
            })
            .await;
        }
    }
    gateway.shutdown().await;
}

#[tokio::test]
async fn in_mid_stream() {
    let upstream = stalls().await;
    let gateway = Setup::before(&upstream).chat().start().await;
    for breaks in [false, true] {
        seen_soon(&upstream, async |id| {
            let mut raw = asks(&gateway, id, &question(true)).await;
            let mut response = raw.head("POST").await;
            raw.chunk(&mut response).await.expect("a chunk");
            if breaks { raw.reset() } else { raw.hang_up() }
        })
        .await;
    }
    let seen = logs::lines(|line| {
        line["seen"].is_string() && line["error"] == "client_closed" && line["status"] == 200
    });
    assert!(
        seen.iter()
            .any(|line| line["response_bytes"].as_u64() > Some(0))
    );
    gateway.shutdown().await;
}

#[tokio::test]
async fn while_its_response_is_aggregated() {
    let upstream = stalls().await;
    let gateway = Setup::before(&upstream).chat().start().await;
    seen_soon(&upstream, async |id| {
        let raw = asks(&gateway, id, &question(false)).await;
        upstream.next_request().await;
        // The first chunk is on its way, or taken already: nothing of it may have come out.
        tokio::time::sleep(Duration::from_millis(10)).await;
        raw.hang_up()
    })
    .await;
    gateway.shutdown().await;
}

#[tokio::test]
async fn between_heartbeats() {
    let upstream = silent().await;
    let gateway = Setup::before(&upstream)
        .server("heartbeat = \"30ms\"")
        .chat()
        .start()
        .await;
    seen_soon(&upstream, async |id| {
        let mut raw = asks(&gateway, id, &question(true)).await;
        let mut response = raw.head("POST").await;
        assert_eq!(
            raw.chunk(&mut response).await.as_deref(),
            Some(&b": ping\n"[..])
        );
        raw.hang_up()
    })
    .await;
    gateway.shutdown().await;
}

#[tokio::test]
async fn in_the_middle_of_its_own_request() {
    let upstream = silent().await;
    let gateway = Setup::before(&upstream).chat().start().await;
    let id = logs::id();
    let mut raw = Raw::connect(gateway.address()).await;
    raw.send(format!("POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nx-request-id: {id}\r\ncontent-length: 100\r\n\r\n{{\"mod")).await;
    raw.hang_up();
    // Whether it counts as the client's leaving or as its mistake, the exchange is over and the model server left alone.
    let seen = logs::seen(&id).await;
    assert!(
        seen["error"] == "client_closed" || seen["status"] == 400,
        "{seen}"
    );
    assert!(upstream.requests().is_empty());
    gateway.shutdown().await;
}

#[tokio::test]
async fn by_a_reset_of_its_stream_over_http2_which_leaves_the_connection_to_others() {
    let upstream = Upstream::start(|request| match request.path() {
        "/api/tags" => Script::json(200, &json!({"models": []})),
        _ if request.json()["model"] == "silent" => Script::silent(),
        _ => Script::ndjson_head()
            .chunk(format!("{}\n", ollama::content("so far")))
            .hang(),
    })
    .await;
    let gateway = Setup::before(&upstream).chat().start().await;
    let socket = TcpStream::connect(gateway.address())
        .await
        .expect("it listens");
    let (sender, connection) =
        http2::handshake::<_, _, Full<Bytes>>(TokioExecutor::new(), TokioIo::new(socket))
            .await
            .expect("a handshake");
    let connection = tokio::spawn(connection);
    let request = |id: &str, method: &str, path: &str, body: String| {
        Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", gateway.address()))
            .header("x-request-id", id)
            .body(Full::new(Bytes::from(body)))
            .expect("a legal request")
    };
    // In mid-stream: the body is dropped.
    seen_soon(&upstream, async |id| {
        let body = question(true).to_string();
        let mut sender = sender.clone();
        let response = sender
            .send_request(request(id, "POST", "/v1/chat/completions", body))
            .await
            .expect("a response");
        let mut body = response.into_body();
        body.frame().await.expect("a chunk").expect("no error");
        drop(body);
        Instant::now()
    })
    .await;
    // Before the first byte, and while aggregating: the request itself is given up.
    for stream in [true, false] {
        seen_soon(&upstream, async |id| {
            let mut body = question(stream);
            body["model"] = json!("silent");
            let mut sender = sender.clone();
            let request = request(id, "POST", "/v1/chat/completions", body.to_string());
            let asking = tokio::spawn(async move { sender.send_request(request).await });
            let known = |id: &str| {
                upstream
                    .requests()
                    .iter()
                    .any(|request| request.header("x-request-id") == Some(id))
            };
            sluicegate_tests::eventually("the request at the model server", async || {
                known(id).then_some(())
            })
            .await;
            asking.abort();
            Instant::now()
        })
        .await;
    }
    let id = logs::id();
    let response = sender
        .clone()
        .send_request(request(&id, "GET", "/v1/models", String::new()))
        .await;
    assert_eq!(response.expect("the connection still works").status(), 200);
    drop(sender);
    connection.abort();
    gateway.shutdown().await;
}
