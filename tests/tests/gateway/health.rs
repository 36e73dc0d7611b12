//! Health checks: a target is not up if it refuses them as it would refuse every exchange.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use serde_json::{Value, json};
use sluicegate_tests::upstream::{Request, ollama};
use sluicegate_tests::{Gateway, Script, Setup, Upstream, eventually, logs};

use crate::common::{CHAT, question};

/// As the adapter names it.
const HEALTH: &str = r#"health = { interval = "20ms" }"#;

async fn target(gateway: &Gateway) -> Value {
    let document = gateway.admin().get("/upstreams").await.json();
    document["upstreams"][0]["targets"][0].clone()
}

async fn in_state(gateway: &Gateway, state: &str) -> Value {
    let what = format!("the state {state}");
    eventually(&what, async || {
        Some(target(gateway).await).filter(|target| target["state"] == state)
    })
    .await
}

/// How often a path was asked for.
fn asked(upstream: &Upstream, path: &str) -> usize {
    let all = upstream.requests();
    all.iter().filter(|request| request.path() == path).count()
}

/// A server whose every response has this status, which may change, or is Ollama's where that is 200.
async fn with_status(status: &Arc<AtomicU16>) -> Upstream {
    let status = status.clone();
    let upstream =
        Upstream::start(
            move |request| match (status.load(Ordering::Relaxed), request.path()) {
                (200, "/api/chat") => Script::ndjson(&ollama::stream(&["Hello"])),
                (200, _) => Script::json(200, &json!({"version": "1.0", "models": []})),
                (status, _) => Script::html(status, "<html>no</html>"),
            },
        )
        .await;
    upstream.script_health();
    upstream
}

#[tokio::test]
async fn a_target_that_does_not_let_the_gateway_in_is_down_and_says_why() {
    for (code, words) in [
        (401, ["401 Unauthorized", "`key`"]),
        (403, ["403 Forbidden", "`key`"]),
        (404, ["404 Not Found", "address"]),
        (407, ["407 Proxy", "`key`"]),
        (500, ["500 Internal", "/api/version"]),
    ] {
        let status = Arc::new(AtomicU16::new(code));
        let upstream = with_status(&status).await;
        let gateway = Setup::before(&upstream)
            .upstream(HEALTH)
            .chat()
            .start()
            .await;
        let down = in_state(&gateway, "down").await;
        let reason = down["reason"].as_str().expect("a reason");
        assert!(words.iter().all(|word| reason.contains(word)), "{reason}");
        // Exchanges get connections, which say nothing new; and so does each further check.
        assert_eq!(gateway.client().chat(&question()).await.status, 502);
        let checks = asked(&upstream, "/api/version");
        eventually("two more checks", async || {
            let ready = gateway.admin().get("/readyz").await;
            assert_eq!((ready.status, &ready.json()["ready"]), (503, &json!(false)));
            assert_eq!(ready.json()["missing"][0]["reason"], reason);
            (asked(&upstream, "/api/version") > checks + 1).then_some(())
        })
        .await;
        status.store(200, Ordering::Relaxed);
        in_state(&gateway, "up").await;
        assert_eq!(gateway.admin().get("/readyz").await.status, 200);
        assert_eq!(gateway.client().chat(&question()).await.status, 200);
        gateway.shutdown().await;
    }
}

#[tokio::test]
async fn a_check_has_the_key_of_the_upstream() {
    let upstream = Upstream::start(|request: &Request| match request.header("authorization") {
        Some("Bearer sk-models") => Script::json(200, &json!({"version": "1.0", "models": []})),
        _ => Script::empty(401),
    })
    .await;
    upstream.script_health();
    let gateway = Setup::before(&upstream)
        .upstream(HEALTH)
        .upstream("key = \"sk-models\"")
        .chat()
        .start()
        .await;
    let up = eventually("its version", async || {
        Some(target(&gateway).await).filter(|target| target["version"] == "1.0")
    })
    .await;
    assert_eq!(up["state"], "up");
    gateway.shutdown().await;
}

#[tokio::test]
async fn only_an_ollama_is_asked_for_its_version_and_models() {
    let upstream = Upstream::always(Script::json(200, &json!({"status": "ok"}))).await;
    upstream.script_health();
    let gateway = Setup::before(&upstream)
        .upstream(r#"health = { path = "/health", interval = "20ms" }"#)
        .plugin("auth", "builtin:auth", "config = { keys = [] }")
        .route(CHAT, r#"["auth"]"#, "")
        .start()
        .await;
    eventually("a third check", async || {
        (asked(&upstream, "/health") > 2).then_some(())
    })
    .await;
    assert_eq!(target(&gateway).await["state"], "up");
    let all = upstream.requests();
    let others: Vec<&str> = all
        .iter()
        .map(|request| request.path())
        .filter(|path| *path != "/health")
        .collect();
    assert_eq!(others, [""; 0]);
    gateway.shutdown().await;
}

#[tokio::test]
async fn the_start_warns_of_an_address_that_ends_in_a_path_of_the_api() {
    let upstream = Upstream::always(Script::json(200, &json!({"models": []}))).await;
    let url = format!("{}/api", upstream.url());
    let gateway = Setup::before_url(&url).chat().start().await;
    let line = logs::line("the warning", |line| {
        let message = line["msg"].as_str().unwrap_or_default();
        message.contains(&url)
    })
    .await;
    assert_eq!(
        (&line["level"], &line["key"]),
        (&json!("warn"), &json!("upstream.ollama.targets[0]"))
    );
    assert!(
        line["mend"]
            .as_str()
            .is_some_and(|mend| mend.contains(&upstream.url())),
        "{line}"
    );
    gateway.shutdown().await;
}
