//! Limits of connections, exchanges and sandboxes: what a client gets beyond them. And pipelined requests.

use std::time::Duration;

use hyper::Method;
use sluicegate_plugin_host::{Engine, Loader};
use sluicegate_tests::client::{Raw, Response};
use sluicegate_tests::{Barrier, Gateway, Script, Setup, Upstream, eventually, guest};

/// What [`a_server`] sends.
const SERVED: &str = "served";

/// A model server that never answers a `/hang`.
async fn a_server() -> Upstream {
    Upstream::start(|request| match request.path() {
        "/hang" => Script::silent(),
        _ => Script::status(200).body(SERVED),
    })
    .await
}

/// The head of a `GET`.
fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n")
}

#[track_caller]
fn assert_overloaded(response: &Response) {
    assert_eq!(response.status, 503, "{}", response.text());
    let error = response.error();
    assert_eq!(
        (error["code"].as_str(), error["type"].as_str()),
        (Some("overloaded"), Some("server_error"))
    );
    assert_eq!(response.header("retry-after"), "1");
    assert!(response.complete);
}

#[tokio::test]
async fn a_client_past_the_limit_of_connections_waits_until_one_is_free() {
    let upstream = a_server().await;
    let gateway = Setup::before(&upstream)
        .limit("connections = 2")
        .filter()
        .start()
        .await;
    let mut first = Raw::connect(gateway.address()).await;
    let mut second = Raw::connect(gateway.address()).await;
    for raw in [&mut first, &mut second] {
        raw.send(get("/x")).await;
        assert_eq!(raw.response().await.status, 200);
    }
    let mut third = Raw::connect(gateway.address()).await;
    third.send(get("/third")).await;
    let early = tokio::time::timeout(Duration::from_millis(200), third.head("GET")).await;
    assert!(early.is_err(), "it is neither refused nor served");
    // Those that are in go on, and the admin interface has connections of its own.
    second.send(get("/x")).await;
    assert_eq!(second.response().await.text(), SERVED);
    assert_eq!(gateway.admin().get("/livez").await.status, 200);
    let paths = |upstream: &Upstream| -> Vec<String> {
        let requests = upstream.requests();
        requests
            .iter()
            .map(|request| request.path().to_owned())
            .collect()
    };
    assert_eq!(paths(&upstream), ["/x", "/x", "/x"]);
    first.hang_up();
    let response = third.response().await;
    assert_eq!((response.status, response.text().as_str()), (200, SERVED));
    assert_eq!(paths(&upstream), ["/x", "/x", "/x", "/third"]);
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_connection_that_breaks_gives_its_place_free() {
    let upstream = a_server().await;
    let gateway = Setup::before(&upstream)
        .limit("connections = 1")
        .filter()
        .start()
        .await;
    for number in 0..5 {
        let mut raw = Raw::connect(gateway.address()).await;
        raw.send(get("/hang")).await;
        let request = upstream.next_request().await;
        if number % 2 == 0 {
            raw.reset();
        } else {
            raw.hang_up();
        }
        request.disconnected().await;
    }
    assert_eq!(gateway.client().get("/x").await.text(), SERVED);
    gateway.shutdown().await;
}

#[tokio::test]
async fn past_the_limit_of_exchanges_the_gateway_says_it_is_busy() {
    let upstream = a_server().await;
    let gateway = Setup::before(&upstream)
        .limit("exchanges = 2")
        .filter()
        .start()
        .await;
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut raw = Raw::connect(gateway.address()).await;
        raw.send("GET /hang HTTP/1.1\r\nhost: x\r\n\r\n").await;
        upstream.next_request().await;
        held.push(raw);
    }
    let response = gateway.client().get("/x").await;
    assert_overloaded(&response);
    drop(held);
    eventually("a free place", async || {
        (gateway.client().get("/x").await.status == 200).then_some(())
    })
    .await;
    gateway.shutdown().await;
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let later = Barrier::new();
    let script = Script::status(200)
        .chunked()
        .chunk("one, ")
        .wait(&later)
        .chunk("and more");
    let upstream = Upstream::start(move |request| match request.path() {
        "/first" => script.clone(),
        path => {
            Script::status(200).body(format!("{path} {}", String::from_utf8_lossy(&request.body)))
        }
    })
    .await;
    let gateway = Setup::before(&upstream).filter().start().await;
    let mut raw = Raw::connect(gateway.address()).await;
    let all = [
        "POST /first HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\none",
        "GET /a/../b HTTP/1.1\r\nhost: x\r\n\r\n",
        "POST /second HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n3\r\ntwo\r\n0\r\n\r\n",
        "HEAD /third HTTP/1.1\r\nhost: x\r\n\r\n",
        "POST /fourth HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\nfour",
    ];
    raw.send(all.concat()).await;
    let mut first = raw.head("POST").await;
    while first.text().is_empty() {
        raw.chunk(&mut first).await.expect("the first chunk");
    }
    later.release();
    while raw.chunk(&mut first).await.is_some() {}
    assert_eq!(
        (first.text().as_str(), first.complete),
        ("one, and more", true)
    );
    let refused = raw.response().await;
    assert_eq!(
        (refused.status, refused.json()["error"]["code"].as_str()),
        (400, Some("invalid_request"))
    );
    assert_eq!(raw.response().await.text(), "/second two");
    let head = raw.response_to("HEAD").await;
    assert_eq!(
        (head.status, head.body.len(), head.header("content-length")),
        (200, 0, "7")
    );
    assert_eq!(raw.response().await.text(), "/fourth four");
    let requests = upstream.requests();
    let paths: Vec<_> = requests.iter().map(|request| request.path()).collect();
    assert_eq!(paths, ["/first", "/second", "/third", "/fourth"]);
    for pair in requests.windows(2) {
        assert!(
            pair[0].answered().await <= pair[1].received,
            "one at a time"
        );
    }
    gateway.shutdown().await;
}

/// Sandboxes in the engine of the test below.
const SANDBOXES: usize = 6;

#[tokio::test]
async fn without_a_free_sandbox_the_gateway_says_it_is_busy_and_lets_nothing_past_a_stage() {
    let engine =
        Engine::with_sandboxes(u32::try_from(SANDBOXES).expect("a few")).expect("an engine");
    for (source, lines) in [(guest::FILTER, ""), (guest::WATCHER, "on-fault = \"open\"")] {
        let upstream = a_server().await;
        let setup = Setup::before(&upstream)
            .plugin("guest", source, lines)
            .route("/*", r#"["guest"]"#, "");
        let gateway = Gateway::start_on(&setup.toml(), &Loader::new(engine.clone()))
            .await
            .expect("it starts");
        let mut held = Vec::new();
        for _ in 0..SANDBOXES {
            let mut raw = Raw::connect(gateway.address()).await;
            raw.send(get("/hang")).await;
            upstream.next_request().await;
            held.push(raw);
        }
        for client in [gateway.client(), gateway.client().over_http2()] {
            assert_overloaded(&client.get("/x").await);
            assert_overloaded(&client.request(Method::POST, "/x", "{}").await);
        }
        assert_eq!(
            upstream.requests().len(),
            SANDBOXES,
            "nothing passed unseen"
        );
        let series = r#"sluicegate_overloaded_total{reason="sandboxes"}"#;
        assert_eq!(gateway.metric(series).await, 4.0);
        held.pop();
        eventually("a free sandbox", async || {
            let response = gateway.client().get("/x").await;
            if response.status == 503 {
                assert_overloaded(&response);
                return None;
            }
            assert_eq!((response.status, response.text().as_str()), (200, SERVED));
            Some(())
        })
        .await;
        drop(held);
        gateway.shutdown().await;
    }
}

#[tokio::test]
async fn a_key_that_holds_everything_shuts_no_other_out() {
    let upstream = a_server().await;
    let keys = r#"{ name = "greedy", key = "sk-g" }, { name = "modest", key = "sk-m" }"#;
    let gateway = Setup::before(&upstream)
        .limit("exchanges = 8")
        .stages(keys, "")
        .adapter("")
        .route("/*", r#"["auth"]"#, "")
        .start()
        .await;
    let hang = async |key: &str| {
        let mut raw = Raw::connect(gateway.address()).await;
        raw.send(format!(
            "GET /hang HTTP/1.1\r\nhost: x\r\nx-api-key: {key}\r\n\r\n"
        ))
        .await;
        upstream.next_request().await;
        raw
    };
    let mut held = Vec::new();
    for _ in 0..8 {
        held.push(hang("sk-g").await);
    }
    let greedy = gateway.client().with("x-api-key", "sk-g");
    let modest = gateway.client().with("x-api-key", "sk-m");
    assert_overloaded(&greedy.get("/x").await);
    assert_eq!(modest.get("/x").await.text(), SERVED);
    held.push(hang("sk-m").await);
    assert_overloaded(&modest.get("/x").await);
    assert_eq!(
        gateway.client().get("/x").await.status,
        401,
        "the gate still answers"
    );
    held.remove(0);
    held.remove(0);
    eventually("room for all", async || {
        (greedy.get("/x").await.status == 200).then_some(())
    })
    .await;
    let series = r#"sluicegate_overloaded_total{reason="exchanges"}"#;
    assert!(gateway.metric(series).await >= 2.0);
    drop(held);
    gateway.shutdown().await;
}

/// The head of a request of so many bytes, and the first of them.
fn upload(bytes: usize, sent: usize) -> String {
    let head = format!("POST /x HTTP/1.1\r\nhost: x\r\ncontent-length: {bytes}\r\n\r\n");
    format!("{head}{{{}", " ".repeat(sent - 1))
}

const MIB: usize = 1 << 20;

#[tokio::test]
async fn bodies_that_are_kept_have_a_bound_over_all_exchanges() {
    let upstream = a_server().await;
    let gateway = Setup::before(&upstream)
        .limit("memory = \"8MiB\"")
        .filter()
        .start()
        .await;
    let held = "sluicegate_body_memory_bytes";
    let mut unfinished = Vec::new();
    for _ in 0..3 {
        let mut raw = Raw::connect(gateway.address()).await;
        raw.send(upload(8 * MIB, 2 * MIB)).await;
        unfinished.push(raw);
    }
    eventually("three halves", async || {
        (gateway.metric(held).await > 5.9 * MIB as f64).then_some(())
    })
    .await;
    let mut raw = Raw::connect(gateway.address()).await;
    raw.send(upload(8 * MIB, 8 * MIB)).await;
    let refused = raw.response().await;
    assert_eq!((refused.status, refused.header("retry-after")), (503, "1"));
    assert!(
        gateway
            .metric(r#"sluicegate_overloaded_total{reason="memory"}"#)
            .await
            >= 1.0
    );
    // Small ones go on.
    let small = gateway.client().request(Method::POST, "/x", "{}").await;
    assert_eq!((small.status, small.text().as_str()), (200, SERVED));
    drop(unfinished);
    eventually("all given back", async || {
        (gateway.metric(held).await == 0.0).then_some(())
    })
    .await;
    let mut body = vec![b' '; 7 * MIB];
    body[0] = b'{';
    let response = gateway.client().request(Method::POST, "/x", body).await;
    assert_eq!((response.status, response.text().as_str()), (200, SERVED));
    assert_eq!(gateway.metric(held).await, 0.0);
    gateway.shutdown().await;
}

#[tokio::test]
async fn responses_that_are_collected_count_too() {
    let later = Barrier::new();
    let half = format!("{{\"message\":{{\"content\":\"{}", "x".repeat(3 * MIB));
    let script = Script::status(200)
        .field("content-type", "application/json")
        .chunked()
        .chunk(half)
        .wait(&later)
        .chunk("\"},\"done\":true,\"done_reason\":\"stop\"}");
    let upstream = Upstream::always(script).await;
    let gateway = Setup::before(&upstream)
        .limit("memory = \"4MiB\"")
        .chat_with("", "stream = \"as-client\"")
        .start()
        .await;
    let ask = || {
        let client = gateway.client();
        tokio::spawn(async move {
            let body =
                serde_json::json!({"model": "m", "messages": [{"role": "user", "content": "Hi?"}]});
            client.chat(&body).await
        })
    };
    let first = ask();
    eventually("the half of the first", async || {
        let held = gateway.metric("sluicegate_body_memory_bytes").await;
        (held > 2.9 * MIB as f64).then_some(())
    })
    .await;
    assert_overloaded(&ask().await.expect("no panic"));
    later.open();
    let first = first.await.expect("no panic");
    assert_eq!(first.status, 200, "{:.200}", first.text());
    assert_eq!(gateway.metric("sluicegate_body_memory_bytes").await, 0.0);
    gateway.shutdown().await;
}
