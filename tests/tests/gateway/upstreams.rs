//! What `/upstreams` shows of the model servers: their state, version and models in memory.

use serde_json::{Value, json};
use sluicegate_sim::{self as demo, Pace};
use sluicegate_tests::upstream::Request;
use sluicegate_tests::{Gateway, Script, Setup, Upstream, eventually};
use tokio::net::TcpListener;

const HEALTH: &str = r#"health = { path = "/health", interval = "30ms" }"#;

/// A model server that answers `/health`, and these two as the scripts say.
async fn server(version: Script, loaded: Script) -> Upstream {
    let upstream = Upstream::start(move |request| match request.path() {
        "/health" => Script::json(200, &json!({})),
        "/api/version" => version.clone(),
        "/api/ps" => loaded.clone(),
        _ => Script::empty(404),
    })
    .await;
    upstream.script_health();
    upstream
}

async fn target(gateway: &Gateway) -> Value {
    let document = gateway.admin().get("/upstreams").await.json();
    document["upstreams"][0]["targets"][0].clone()
}

/// The first target, once it is as `check` wants it.
async fn target_with(gateway: &Gateway, what: &str, check: impl Fn(&Value) -> bool) -> Value {
    eventually(what, async || Some(target(gateway).await).filter(&check)).await
}

fn requests(upstream: &Upstream, path: &str) -> usize {
    let all = upstream.requests();
    all.iter().filter(|request| request.path() == path).count()
}

#[tokio::test]
async fn ollamas_version_and_its_models_in_memory_are_shown() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    let ollama = tokio::spawn(demo::serve(listener, Pace::FULL_SPEED));
    let gateway = Setup::before_url(&url)
        .upstream(r#"health = { path = "/api/version", interval = "30ms" }"#)
        .chat()
        .start()
        .await;
    let cold = target_with(&gateway, "the version", |t| t["loaded"].is_array()).await;
    assert_eq!(
        (&cold["target"], &cold["state"], &cold["reason"]),
        (&json!(url), &json!("up"), &Value::Null)
    );
    assert!(cold["version"].as_str().is_some_and(|v| !v.is_empty()));
    assert_eq!(cold["loaded"], json!([]));

    let question = json!({"model": "qwen3:32b", "messages": [{"role": "user", "content": "Hi"}]});
    assert_eq!(gateway.client().chat(&question).await.status, 200);
    let warm = target_with(&gateway, "the model", |t| t["loaded"] != json!([])).await;
    assert_eq!(warm["loaded"], json!(["qwen3:32b"]));
    gateway.shutdown().await;
    ollama.abort();
}

#[tokio::test]
async fn a_server_that_is_no_ollama_is_up_and_nothing_more_is_known() {
    let missing = || Script::json(404, &json!({"error": "not found"}));
    let upstream = server(missing(), missing()).await;
    let gateway = Setup::before(&upstream)
        .upstream(HEALTH)
        .chat()
        .start()
        .await;
    // The second round proves that the first one was complete.
    eventually("a second round", async || {
        (requests(&upstream, "/api/ps") > 1).then_some(())
    })
    .await;
    assert_eq!(
        target(&gateway).await,
        json!({
            "target": upstream.url(),
            "state": "up",
            "reason": null,
            "circuit": "closed",
            "left_alone_ms": 0,
            "in_flight": 0,
            "waiting": 0,
            "version": null,
            "loaded": null,
            "models": null,
        })
    );
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_server_is_asked_as_politely_as_in_a_health_check() {
    let version = Script::json(200, &json!({"version": "0.12.3"}));
    let upstream = server(version, Script::json(200, &json!({"models": []}))).await;
    let gateway = Setup::before(&upstream)
        .upstream(HEALTH)
        .chat()
        .start()
        .await;
    target_with(&gateway, "the models", |t| t["loaded"].is_array()).await;
    let asked: Vec<_> = upstream.requests().into_iter().take(3).collect();
    let paths: Vec<_> = asked.iter().map(|request| request.path()).collect();
    assert_eq!(paths, ["/health", "/api/version", "/api/ps"]);
    let polite = |request: &Request| {
        request.method == "GET"
            && request.body.is_empty()
            && request.header("user-agent") == Some("sluicegate-health")
    };
    assert!(asked.iter().all(|request| polite(request)));
    // One connection does for all of it.
    assert_eq!(upstream.connections(), 1);
    gateway.shutdown().await;
}

#[tokio::test]
async fn the_usual_check_is_not_asked_twice() {
    let version = Script::json(200, &json!({"version": "0.12.3"}));
    let upstream = server(version, Script::json(200, &json!({"models": []}))).await;
    let gateway = Setup::before(&upstream)
        .upstream(r#"health = { path = "/api/version", interval = "30ms" }"#)
        .chat()
        .start()
        .await;
    let known = target_with(&gateway, "the models", |t| t["loaded"].is_array()).await;
    assert_eq!(known["version"], "0.12.3");
    let paths: Vec<_> = upstream
        .requests()
        .iter()
        .take(2)
        .map(|request| request.path().to_owned())
        .collect();
    assert_eq!(paths, ["/api/version", "/api/ps"]);
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_response_without_end_is_not_read_and_the_server_stays_up() {
    let version = Script::json(200, &json!({"version": "0.12.3"}));
    let endless = Script::status(200)
        .field("content-type", "application/json")
        .body("[".repeat(1 << 20));
    let upstream = server(version, endless).await;
    let gateway = Setup::before(&upstream)
        .upstream(HEALTH)
        .chat()
        .start()
        .await;
    let known = target_with(&gateway, "the version", |t| t["version"] == "0.12.3").await;
    assert_eq!(
        (&known["state"], &known["loaded"]),
        (&json!("up"), &Value::Null)
    );
    gateway.shutdown().await;
}

#[tokio::test]
async fn the_admin_interface_does_not_wait_for_a_server_that_never_tells() {
    let upstream = server(Script::silent(), Script::silent()).await;
    let gateway = Setup::before(&upstream)
        .upstream(HEALTH)
        .chat()
        .start()
        .await;
    // The question has arrived and is not answered; the state is known all the same.
    eventually("the question", async || {
        (requests(&upstream, "/api/version") == 1).then_some(())
    })
    .await;
    let known = target(&gateway).await;
    assert_eq!(
        (&known["state"], &known["version"], &known["loaded"]),
        (&json!("up"), &Value::Null, &Value::Null)
    );
    assert_eq!(requests(&upstream, "/api/ps"), 0, "it was not waited for");
    gateway.shutdown().await;
}

#[tokio::test]
async fn nothing_is_known_of_a_server_that_is_gone() {
    let version = Script::json(200, &json!({"version": "0.12.3"}));
    let upstream = server(
        version,
        Script::json(200, &json!({"models": [{"name": "m"}]})),
    )
    .await;
    let gateway = Setup::before(&upstream)
        .upstream(HEALTH)
        .chat()
        .start()
        .await;
    let up = target_with(&gateway, "the models", |t| t["loaded"].is_array()).await;
    assert_eq!(
        (&up["version"], &up["loaded"]),
        (&json!("0.12.3"), &json!(["m"]))
    );
    drop(upstream);
    let down = target_with(&gateway, "its end", |t| t["state"] == "down").await;
    assert_eq!(
        (&down["version"], &down["loaded"]),
        (&Value::Null, &Value::Null)
    );
    assert!(down["reason"].as_str().is_some_and(|why| !why.is_empty()));
    gateway.shutdown().await;
}
