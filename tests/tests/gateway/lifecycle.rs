//! Starting, being ready, stopping; and what an operator sees of it.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sluicegate_tests::client::{End, Raw};
use sluicegate_tests::sse::Chat;
use sluicegate_tests::upstream::{closed_port, ollama};
use sluicegate_tests::{
    Barrier, Client, Gateway, Script, Setup, Upstream, eventually, logs, within,
};
use tokio::net::TcpStream;

use crate::common::assert_error;

fn question(stream: bool) -> Value {
    json!({"model": "m", "stream": stream, "messages": [{"role": "user", "content": "Hi?"}]})
}

/// A model server that says one thing and the rest when it may.
async fn waits_for(barrier: &Barrier) -> Upstream {
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
async fn ready(admin: &Client, wanted: bool) -> Value {
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
async fn what_is_left_at_the_deadline_ends_with_an_error_and_is_accounted_for() {
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
async fn who_waits_for_a_response_at_the_deadline_is_told_to_try_again() {
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
async fn it_starts_without_the_model_server_says_so_once_and_notices_when_it_comes() {
    let (socket, address) = closed_port();
    let url = format!("http://{address}");
    let gateway = Setup::before_url(&url)
        .upstream("health = { path = \"/api/version\", interval = \"30ms\" }")
        .chat()
        .start()
        .await;
    let admin = gateway.admin();
    let readiness = ready(&admin, false).await;
    assert_eq!(readiness["draining"], false);
    assert_eq!(
        (
            &readiness["missing"][0]["upstream"],
            &readiness["missing"][0]["target"]
        ),
        (&json!("ollama"), &json!(url))
    );
    assert!(
        readiness["missing"][0]["reason"]
            .as_str()
            .is_some_and(|reason| !reason.is_empty())
    );
    let response = gateway.client().chat(&question(false)).await;
    assert_eq!(
        (response.status, &response.error()["code"]),
        (502, &json!("upstream_unreachable"))
    );

    let listener = socket.listen(64).expect("the port is held");
    let upstream = Upstream::start_on(listener, |_| Script::ndjson(&ollama::stream(&["Hello"])));
    ready(&admin, true).await;
    assert_eq!(gateway.client().chat(&question(false)).await.status, 200);

    upstream.set_healthy(false);
    let readiness = ready(&admin, false).await;
    assert!(
        readiness["missing"][0]["reason"]
            .as_str()
            .is_some_and(|reason| reason.contains("503")),
        "{readiness}"
    );
    upstream.set_healthy(true);
    ready(&admin, true).await;
    let upstreams = admin.get("/upstreams").await.json();
    let target = &upstreams["upstreams"][0]["targets"][0];
    assert_eq!(
        (&target["target"], &target["state"]),
        (&json!(url), &json!("up"))
    );
    // However many checks there were: a line for each change.
    let levels: Vec<_> = logs::lines(|line| line["target_address"] == url.as_str())
        .iter()
        .map(|line| line["level"].clone())
        .collect();
    assert_eq!(levels, ["warn", "info", "warn", "info"]);
    gateway.shutdown().await;
}

#[tokio::test]
async fn without_health_checks_exchanges_tell_whether_the_model_server_is_there() {
    let (socket, address) = closed_port();
    let gateway = Setup::before_url(&format!("http://{address}"))
        .chat()
        .start()
        .await;
    let admin = gateway.admin();
    ready(&admin, true).await;
    assert_eq!(gateway.client().chat(&question(false)).await.status, 502);
    ready(&admin, false).await;
    let listener = socket.listen(64).expect("the port is held");
    let _upstream = Upstream::start_on(listener, |_| Script::ndjson(&ollama::stream(&["Hello"])));
    assert_eq!(gateway.client().chat(&question(false)).await.status, 200);
    ready(&admin, true).await;
    gateway.shutdown().await;
}

#[tokio::test]
async fn of_two_model_servers_the_one_that_is_there_is_asked() {
    let upstream = Upstream::always(Script::ndjson(&ollama::stream(&["Hello"]))).await;
    let (_socket, address) = closed_port();
    let setup = Setup::before_url(&format!("http://{address}\", \"{}", upstream.url()))
        .upstream("health = { path = \"/api/version\", interval = \"30ms\" }")
        .chat();
    let gateway = setup.start().await;
    let admin = gateway.admin();
    eventually("both to be known", async || {
        let targets = admin.get("/upstreams").await.json()["upstreams"][0]["targets"].clone();
        (targets[0]["state"] == "down" && targets[1]["state"] == "up").then_some(())
    })
    .await;
    ready(&admin, true).await;
    for _ in 0..6 {
        assert_eq!(gateway.client().chat(&question(false)).await.status, 200);
    }
    gateway.shutdown().await;
}

#[tokio::test]
async fn the_admin_interface_shows_plugins_routes_and_single_exchanges() {
    let upstream = Upstream::always(Script::ndjson(&ollama::stream(&["Hello"]))).await;
    let gateway = Setup::before(&upstream).chat().start().await;
    let admin = gateway.admin();
    assert_eq!(admin.get("/livez").await.json()["status"], "ok");
    let plugins = admin.get("/plugins").await.json();
    let plugins = plugins["plugins"].as_array().expect("a list");
    let names: Vec<_> = plugins
        .iter()
        .map(|plugin| plugin["name"].as_str().expect("a name"))
        .collect();
    assert_eq!(
        names,
        ["access-log", "aggregate", "auth", "observer", "ollama"]
    );
    for plugin in plugins {
        assert_eq!(
            plugin["image"], true,
            "every exchange starts from an image: {plugin}"
        );
        assert_eq!(plugin["hash"].as_str().map(str::len), Some(64));
    }
    let exports: Vec<_> = plugins.iter().map(|plugin| &plugin["exports"]).collect();
    assert_eq!(
        exports,
        [
            &json!(["observer"]),
            &json!(["response", "events"]),
            &json!(["gate"]),
            &json!(["observer"]),
            &json!(["request", "response", "events", "closing"]),
        ]
    );
    let routes = admin.get("/routes").await.json();
    let chat = routes["routes"]
        .as_array()
        .expect("a list")
        .iter()
        .find(|route| route["path"] == "/v1/chat/completions");
    let chat = chat.expect("the route");
    assert_eq!(
        (&chat["pipeline"], &chat["upstream"]),
        (&json!(["auth", "aggregate"]), &json!("ollama"))
    );

    let id = logs::id();
    gateway
        .client()
        .with("x-request-id", &id)
        .chat(&question(true))
        .await;
    logs::seen(&id).await;
    let exchange = admin.get(&format!("/exchanges/{id}")).await.json();
    assert_eq!(
        (&exchange["id"], &exchange["status"], &exchange["cancelled"]),
        (&json!(id), &json!(200), &json!(false))
    );
    let list = admin.get("/exchanges").await.json();
    assert!(
        list["exchanges"]
            .as_array()
            .expect("a list")
            .iter()
            .any(|one| one["id"] == id.as_str())
    );
    assert_eq!(admin.get("/exchanges/never").await.status, 404);
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_token_guards_all_that_says_more_than_a_probe_needs() {
    let upstream = Upstream::always(Script::empty(200)).await;
    let toml = Setup::before(&upstream)
        .chat()
        .toml()
        .replace("[admin]", "[admin]\ntoken = \"s3cret\"");
    let gateway = Gateway::start(&toml).await.expect("a legal configuration");
    let admin = gateway.admin();
    for path in ["/livez", "/readyz"] {
        assert_eq!(admin.get(path).await.status, 200, "{path}");
    }
    for path in [
        "/metrics",
        "/plugins",
        "/routes",
        "/upstreams",
        "/exchanges",
        "/exchanges/x",
    ] {
        assert_eq!(admin.get(path).await.status, 401, "{path}");
        for wrong in ["s3cret", "Bearer wrong", "Bearer s3cret ", "bearer"] {
            let status = admin
                .clone()
                .with("authorization", wrong)
                .get(path)
                .await
                .status;
            // Blanks at the end of a value are no part of it (RFC 9110, section 5.5).
            assert_eq!(
                status == 401,
                wrong != "Bearer s3cret ",
                "{path} with {wrong:?}"
            );
        }
        let response = admin
            .clone()
            .with("authorization", "Bearer s3cret")
            .get(path)
            .await;
        assert_ne!(response.status, 401, "{path}");
        assert!(!response.text().contains("s3cret"));
    }
    gateway.shutdown().await;
}

#[tokio::test]
async fn figures_move_with_what_happens() {
    let barrier = Barrier::new();
    let upstream = waits_for(&barrier).await;
    let gateway = Setup::before(&upstream).chat().start().await;
    let route = r#"route="/v1/chat/completions""#;
    let metric =
        async |name: &str, labels: &str| gateway.metric(&format!("{name}{{{labels}}}")).await;
    assert_eq!(
        metric("sluicegate_requests_in_flight", route).await,
        0.0,
        "there from the start"
    );

    let mut stream = gateway.client().open_chat(&question(true)).await;
    assert_eq!(stream.text().await, "one");
    assert_eq!(metric("sluicegate_requests_in_flight", route).await, 1.0);
    barrier.open();
    stream.rest().await;
    gateway.client().chat(&json!({})).await;
    gateway.client().get("/nowhere").await;

    let requests = async |labels: &str| metric("sluicegate_requests_total", labels).await;
    eventually("the end of both", async || {
        (metric("sluicegate_requests_in_flight", route).await == 0.0).then_some(())
    })
    .await;
    assert_eq!(
        requests(&format!(r#"{route},status="200",error="none""#)).await,
        1.0
    );
    assert_eq!(
        requests(&format!(r#"{route},status="400",error="refused""#)).await,
        1.0
    );
    assert_eq!(
        requests(r#"route="",status="404",error="not_found""#).await,
        1.0
    );
    assert_eq!(
        metric("sluicegate_request_duration_seconds_count", route).await,
        2.0
    );
    // The other was an error, which has no token.
    assert_eq!(
        metric("sluicegate_time_to_first_token_seconds_count", route).await,
        1.0
    );
    assert!(metric("sluicegate_inter_token_seconds_count", route).await >= 1.0);
    assert!(metric("sluicegate_overhead_seconds_sum", route).await > 0.0);
    assert_eq!(
        metric(
            "sluicegate_tokens_total",
            &format!(r#"{route},direction="output""#)
        )
        .await,
        18.0
    );
    assert!(metric("sluicegate_plugin_calls_total", r#"plugin="ollama""#).await >= 4.0);
    assert!(metric("sluicegate_plugin_seconds_total", r#"plugin="ollama""#).await > 0.0);
    assert_eq!(
        metric("sluicegate_plugin_live_versions", r#"plugin="ollama""#).await,
        1.0
    );
    let target = format!(r#"upstream="ollama",target="{}""#, upstream.url());
    assert_eq!(
        metric(
            "sluicegate_upstream_requests_total",
            &format!(r#"{target},result="ok""#)
        )
        .await,
        1.0
    );
    assert_eq!(
        metric("sluicegate_upstream_connections", &target).await,
        1.0
    );

    let text = gateway.admin().get("/metrics").await;
    assert!(
        text.header("content-type")
            .starts_with("application/openmetrics-text")
    );
    assert!(text.text().ends_with("# EOF\n"));
    gateway.shutdown().await;
}

#[tokio::test]
async fn neither_a_heartbeat_nor_an_error_is_the_first_token() {
    let broken = Script::ndjson_head()
        .sleep(Duration::from_millis(120))
        .cut();
    let upstream =
        Upstream::sequence(vec![broken, Script::json(500, &json!({"error": "no"}))]).await;
    let gateway = Setup::before(&upstream)
        .server("heartbeat = \"20ms\"")
        .upstream("attempts = { max = 1 }")
        .chat()
        .start()
        .await;
    let streamed = gateway.client().chat(&question(true)).await;
    assert!(
        streamed.text().starts_with(": ping\n"),
        "{}",
        streamed.text()
    );
    assert_eq!(
        streamed.events().last().expect("an error").json()["error"]["code"],
        "upstream_broken"
    );
    assert_eq!(gateway.client().chat(&question(true)).await.status, 502);
    let counted = "sluicegate_time_to_first_token_seconds_count";
    let series = format!("{counted}{{route=\"/v1/chat/completions\"}}");
    assert_eq!(gateway.metric(&series).await, 0.0);
    let exchanges = gateway.admin().get("/exchanges").await.json();
    let all = exchanges["exchanges"].as_array().expect("a list");
    assert!(
        all.iter().all(|exchange| exchange["ttft_ms"].is_null()),
        "{exchanges}"
    );
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_port_that_is_taken_is_told_with_its_address_and_leaves_nothing_running() {
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
