//! The admin interface: what it shows, who may see it, and metrics that follow the exchanges.

use std::process::Stdio;
use std::time::Duration;

use serde_json::json;
use sluicegate_tests::program;
use sluicegate_tests::upstream::ollama;
use sluicegate_tests::{Barrier, Gateway, Script, Setup, Upstream, eventually, logs};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::lifecycle::{question, waits_for};

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
async fn a_token_protects_everything_but_the_probes() {
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
async fn metrics_follow_the_exchanges() {
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

    let admin = gateway.admin();
    let plain = admin.get("/metrics").await;
    let kind = plain.header("content-type");
    assert_eq!(kind, "text/plain; version=0.0.4; charset=utf-8");
    let text = plain.text();
    assert!(text.contains("# TYPE sluicegate_requests_total counter\n"));
    assert!(!text.contains("# EOF"));
    assert_eq!(promtool(&text).await, "");
    let asked = admin.with(
        "accept",
        "application/openmetrics-text;version=1.0.0,*/*;q=0.1",
    );
    let open = asked.get("/metrics").await;
    let kind = open.header("content-type");
    assert!(kind.starts_with("application/openmetrics-text"), "{kind}");
    let text = open.text();
    assert!(text.contains("# TYPE sluicegate_requests counter\n"));
    assert!(text.ends_with("# EOF\n"));
    gateway.shutdown().await;
}

/// What Prometheus' own checker finds in a text of metrics.
async fn promtool(text: &str) -> String {
    let promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut promtool = match promtool {
        Ok(promtool) => promtool,
        Err(error) => {
            let why = format!("promtool (Debian's package prometheus): {error}");
            program::skip(&why).expect("in CI it is there");
            return String::new();
        }
    };
    let mut input = promtool.stdin.take().expect("it is piped");
    input.write_all(text.as_bytes()).await.expect("it reads");
    drop(input);
    let output = promtool.wait_with_output().await.expect("it ends");
    let found = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&found).into_owned()
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
