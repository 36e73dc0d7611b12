//! Budgets of `rate-limit`: what was spent is shown to the operator, and is there after a restart and a hard end.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sluicegate_tests::upstream::ollama;
use sluicegate_tests::{Gateway, Script, Setup, Upstream, eventually, logs};

use super::common::{CHAT, assert_error, question, with};
use super::rate_limit::client;
use super::redis::Redis;

/// 11 tokens of a prompt and 18 of a response cost 0.000191.
const SPENT: u64 = 191;

/// The usual pipeline with a budget of 0.000400 in a month for each tenant, and this section.
fn setup(upstream: &Upstream, section: &str) -> Setup {
    let keys = r#"{ name = "a", key = "sk-a" }, { name = "b", key = "sk-b" }"#;
    let config = r#"
prices = [{ models = ["qwen3*"], input = 1, output = 10 }]
rules = [{ name = "team", by = ["tenant"], budget = { limit = 0.0004, per = "month" } }]"#;
    Setup::before(upstream)
        .section(section)
        .stages(keys, "")
        .plugin(
            "rate-limit",
            "builtin:rate-limit",
            &format!("grant = {{ rate = true }}\n[plugin.rate-limit.config]{config}"),
        )
        .route(CHAT, r#"["auth", "aggregate", "rate-limit"]"#, "")
}

fn state(folder: &Path) -> String {
    format!("[state]\ndir = {:?}", folder.display().to_string())
}

async fn model() -> Upstream {
    Upstream::start(|_| Script::ndjson(&ollama::stream(&["Hello"]))).await
}

/// A question to a model that has a price, for which 0.0002 are enough.
fn priced() -> Value {
    let body = with(question(), "model", json!("qwen3:32b"));
    with(body, "max_tokens", json!(5))
}

/// What the operator sees of one tenant: spent and reserved.
async fn spent(gateway: &Gateway, tenant: &str) -> Option<(u64, u64)> {
    let all = gateway.admin().get("/budgets").await.json();
    let all = all["budgets"].as_array().expect("a list").clone();
    let subject = json!(tenant).to_string();
    let budget = all.into_iter().find(|it| it["subject"] == subject)?;
    assert_eq!(
        (&budget["plugin"], &budget["limit"], &budget["capacity"]),
        (&json!("rate-limit"), &json!("team.budget"), &json!(400))
    );
    let window = budget["window"].as_str().expect("a month");
    assert!(window.len() == 7 && window.starts_with("20"), "{window}");
    assert!(budget["left_ms"].as_u64() > Some(0));
    Some((budget["spent"].as_u64()?, budget["reserved"].as_u64()?))
}

async fn settled(gateway: &Gateway, tenant: &str, expected: u64) {
    eventually("it is settled", async || {
        (spent(gateway, tenant).await == Some((expected, 0))).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_is_spent_is_shown_and_refused_beyond_the_budget_also_after_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path().join("state");
    let upstream = model().await;
    let gateway = setup(&upstream, &state(&dir)).start().await;
    for n in 1..=2 {
        let response = client(&gateway, "a").chat(&priced()).await;
        assert_eq!(response.status, 200, "{}", response.text());
        settled(&gateway, "a", n * SPENT).await;
    }
    let refused = client(&gateway, "a").chat(&priced()).await;
    assert_error(&refused, 429, "insufficient_quota");
    assert_eq!(refused.header("x-should-retry"), "false");
    assert_eq!(client(&gateway, "b").chat(&priced()).await.status, 200);
    let unpriced = with(priced(), "model", json!("other"));
    let unpriced = client(&gateway, "b").chat(&unpriced).await;
    assert_error(&unpriced, 403, "model_has_no_price");
    settled(&gateway, "b", SPENT).await;
    assert_eq!(upstream.requests().len(), 3);
    gateway.shutdown().await;

    let again = setup(&upstream, &state(&dir)).start().await;
    assert_eq!(spent(&again, "a").await, Some((2 * SPENT, 0)));
    assert_eq!(spent(&again, "b").await, Some((SPENT, 0)));
    let refused = client(&again, "a").chat(&priced()).await;
    assert_error(&refused, 429, "insufficient_quota");
    assert_eq!(client(&again, "b").chat(&priced()).await.status, 200);
    assert_eq!(upstream.requests().len(), 4);
    again.shutdown().await;
}

#[tokio::test]
async fn what_is_spent_is_on_disk_soon_so_that_a_hard_end_loses_little() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path().join("state");
    let upstream = model().await;
    let gateway = setup(&upstream, &state(&dir)).start().await;
    assert_eq!(client(&gateway, "a").chat(&priced()).await.status, 200);
    settled(&gateway, "a", SPENT).await;
    let began = Instant::now();
    // A copy of the files, as they are at this moment, is what a kill leaves.
    let copies = tempfile::tempdir().expect("a folder");
    eventually("it is on disk", async || {
        let killed = copies.path().join(logs::id());
        std::fs::create_dir(&killed).expect("a folder");
        for name in ["spend.db", "spend.db-wal"] {
            std::fs::copy(dir.join(name), killed.join(name)).expect("copied");
        }
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        std::fs::set_permissions(&killed, mode).expect("it is ours");
        let other = Box::pin(setup(&upstream, &state(&killed)).start()).await;
        let found = spent(&other, "a").await;
        other.shutdown().await;
        (found == Some((SPENT, 0))).then_some(())
    })
    .await;
    // 1 s is promised, and a start of a gateway takes a while too.
    let took = began.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
    gateway.shutdown().await;
}

#[tokio::test]
async fn gateways_share_a_budget_in_redis_and_each_shows_it() {
    let redis = Redis::start();
    let upstream = model().await;
    let section = redis.section();
    let one = setup(&upstream, &section).start().await;
    let two = setup(&upstream, &section).start().await;
    for gateway in [&one, &two] {
        assert_eq!(client(gateway, "a").chat(&priced()).await.status, 200);
    }
    for gateway in [&one, &two] {
        settled(gateway, "a", 2 * SPENT).await;
        let refused = client(gateway, "a").chat(&priced()).await;
        assert_error(&refused, 429, "insufficient_quota");
    }
    assert_eq!(upstream.requests().len(), 2);
    one.shutdown().await;
    two.shutdown().await;
}
