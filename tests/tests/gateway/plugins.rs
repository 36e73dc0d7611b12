//! Plugins that ship, and examples, in a running gateway. Their own tests cover all cases.

use serde_json::{Value, json};
use sluicegate_tests::upstream::ollama;
use sluicegate_tests::{Gateway, Script, Setup, Upstream, guest, logs};

#[tokio::test]
async fn rewrite_changes_paths_fields_and_the_upstream_before_the_model_server_is_asked() {
    let upstream = Upstream::always(Script::empty(200)).await;
    let other = Upstream::always(Script::empty(202)).await;
    let rules = r#"
[[plugin.rewrite.config.rules]]
prefix = "/old/"
path = "/v1/"
set = { x-from = "old" }
remove = ["x-secret"]
[[plugin.rewrite.config.rules]]
regex = "^/models/([a-z]+)$"
path = "/m/$1/show"
host = "models.example"
[[plugin.rewrite.config.rules]]
exact = "/elsewhere"
upstream = "other"
"#;
    let extra = format!("[upstream.other]\ntargets = [\"{}\"]", other.url());
    let gateway = Setup::before(&upstream)
        .plugin("rewrite", "builtin:rewrite", rules)
        .route("/*", r#"["rewrite"]"#, &extra)
        .start()
        .await;
    let client = gateway.client().with("x-secret", "1");
    client.get("/old/a/b?c=d").await;
    let asked = upstream.next_request().await;
    assert_eq!(
        (
            asked.target.as_str(),
            asked.header("x-from"),
            asked.header("x-secret")
        ),
        ("/v1/a/b?c=d", Some("old"), None)
    );
    client.get("/models/qwen").await;
    let asked = upstream.next_request().await;
    assert_eq!(
        (asked.target.as_str(), asked.header("host")),
        ("/m/qwen/show", Some("models.example"))
    );
    assert_eq!(client.get("/elsewhere").await.status, 202);
    assert_eq!(other.next_request().await.target, "/elsewhere");
    client.get("/same").await;
    assert_eq!(upstream.next_request().await.target, "/same");
    gateway.shutdown().await;
}

#[tokio::test]
async fn the_example_redact_works_with_its_own_configuration() {
    let words = ["this is a simu", "lation of a simul", "acrum 模", "拟"];
    let upstream = Upstream::always(Script::ndjson(&ollama::stream(&words))).await;
    let toml = include_str!("../../../examples/redact/sluicegate.toml");
    let toml = toml
        .replace("127.0.0.1:8080", "127.0.0.1:0")
        .replace("127.0.0.1:9180", "127.0.0.1:0")
        .replace("http://127.0.0.1:11434", &upstream.url());
    let gateway = Gateway::start(&toml).await.expect("a legal configuration");
    let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "Hi?"}]});
    let response = gateway.client().chat(&body).await;
    let expected = "this is a […] of a simulacrum […]";
    assert_eq!(
        response.json()["choices"][0]["message"]["content"],
        expected
    );
    body["stream"] = json!(true);
    let chat = gateway.client().chat(&body).await.streamed_chat();
    assert_eq!((chat.content.as_str(), chat.done), (expected, true));
    gateway.shutdown().await;
}

#[tokio::test]
async fn an_access_log_that_leaves_paths_out_still_logs_their_failures() {
    let upstream = Upstream::start(|request| match request.header("x-status") {
        Some(_) => Script::empty(500),
        None => Script::empty(200),
    })
    .await;
    let gateway = Setup::before(&upstream)
        .plugin("gate", guest::GATE, "")
        .plugin(
            "brief",
            "builtin:access-log",
            "config = { fields = [\"req\", \"status\"], skip-paths = [\"/quiet\"] }",
        )
        .route("/*", r#"["gate"]"#, r#"observers = ["brief"]"#)
        .start()
        .await;
    let (quiet, failed, loud) = (logs::id(), logs::id(), logs::id());
    let client = |id: &str| gateway.client().with("x-request-id", id);
    client(&quiet).get("/quiet").await;
    client(&failed).with("x-status", "500").get("/quiet").await;
    client(&loud).get("/loud").await;
    // Lines come in the order in which the exchanges ended.
    let line = logs::line("the last line", |line| {
        line["plugin"] == "brief" && line["req"] == loud.as_str()
    })
    .await;
    assert_eq!(
        (&line["status"], &line["path"]),
        (&json!(200), &Value::Null)
    );
    let about = |id: &str| logs::lines(|line| line["plugin"] == "brief" && line["req"] == id).len();
    assert_eq!((about(&quiet), about(&failed)), (0, 1));
    gateway.shutdown().await;
}
