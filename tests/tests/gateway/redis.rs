//! Gateways that share their limits in a real Redis, which each test starts for itself.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;
use serde_json::json;
use sluicegate_tests::upstream::ollama;
use sluicegate_tests::{Barrier, Gateway, Script, Upstream, eventually, logs};
use tempfile::TempDir;

use super::common::{assert_error, question, with};
use super::rate_limit::{client, setup};

/// A server of a test, which ends with it.
pub(crate) struct Redis {
    folder: TempDir,
    child: Child,
}

fn spawn(folder: &Path) -> Child {
    Command::new("redis-server")
        .args(["--port", "0", "--save", "", "--appendonly", "no"])
        .args(["--unixsocket", "redis.sock", "--requirepass", "hushhush"])
        .current_dir(folder)
        .stdout(Stdio::null())
        .spawn()
        .expect("redis-server runs: install Debian's package `redis-server`")
}

impl Redis {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let child = spawn(folder.path());
        Self { folder, child }
    }

    fn kill(&mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
    }

    fn start_again(&mut self) {
        self.child = spawn(self.folder.path());
    }

    /// The section of the configuration that names it.
    pub(crate) fn section(&self) -> String {
        let socket = self.folder.path().join("redis.sock");
        let url = format!("unix://{}?pass=hushhush", socket.display());
        format!("[state]\ndir = \"\"\nurl = {url:?}")
    }

    /// A gateway that shares its state there.
    async fn gateway(&self, upstream: &Upstream, rules: &str) -> Gateway {
        let section = self.section();
        let gateway = setup(upstream, rules).section(&section).start().await;
        reachable(&gateway, true).await;
        gateway
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until the admin interface says so.
async fn reachable(gateway: &Gateway, is: bool) {
    eventually("the state is reachable, or not", async || {
        let config = gateway.admin().get("/config").await.json();
        (config["state"]["reachable"] == json!(is)).then_some(())
    })
    .await;
    let metrics = gateway.admin().get("/metrics").await.text();
    let metric = metrics
        .lines()
        .find(|it| it.starts_with("sluicegate_state_reachable{"));
    let expected = if is { " 1" } else { " 0" };
    assert!(
        metric.is_some_and(|it| it.ends_with(expected)),
        "{metric:?}"
    );
}

/// A model server whose chats end when the barrier opens.
async fn held(barrier: &Barrier) -> Upstream {
    let end = format!("{}\n", ollama::done("stop"));
    Upstream::always(Script::ndjson_head().wait(barrier).chunk(end)).await
}

#[tokio::test]
async fn two_gateways_together_grant_no_more_requests_and_slots_than_the_limit() {
    let redis = Redis::start();
    let barrier = Barrier::new();
    let upstream = held(&barrier).await;
    let rules = r#"{ name = "r", on-failure = "closed", by = ["tenant"], requests = { limit = 30, per = "1d" } }, { name = "c", on-failure = "closed", concurrent = 40 }"#;
    let gateways = [
        redis.gateway(&upstream, rules).await,
        redis.gateway(&upstream, rules).await,
    ];
    let refused = AtomicUsize::new(0);
    let ask = async |n: usize| {
        let key = ["a", "b"][n / 2 % 2];
        let response = client(&gateways[n % 2], key).chat(&question()).await;
        refused.fetch_add(usize::from(response.status != 200), Ordering::Relaxed);
        response
    };
    let all = async { join_all((0..200).map(ask)).await };
    let release = async {
        eventually("all others are refused", async || {
            let waiting = upstream.requests().len();
            (refused.load(Ordering::Relaxed) + waiting == 200).then_some(())
        })
        .await;
        barrier.open();
    };
    let (responses, ()) = tokio::join!(all, release);
    let granted = responses.iter().filter(|it| it.status == 200).count();
    assert_eq!(granted, upstream.requests().len());
    // A slot that is given back at once, since the other limit refuses, may have refused another one.
    assert!((1..=40).contains(&granted), "{granted}");
    for refused in responses.iter().filter(|it| it.status != 200) {
        assert_error(refused, 429, "rate_limit_exceeded");
    }
    for tenant in ["a", "b"] {
        let mut more = 0;
        for n in 0..60 {
            let response = client(&gateways[n % 2], tenant).chat(&question()).await;
            more += usize::from(response.status == 200);
        }
        let of_tenant = responses
            .iter()
            .enumerate()
            .filter(|(n, it)| it.status == 200 && ["a", "b"][n / 2 % 2] == tenant);
        assert_eq!(
            of_tenant.count() + more,
            30,
            "{tenant}: all of it, and no more"
        );
    }
    for gateway in gateways {
        gateway.shutdown().await;
    }
}

#[tokio::test]
async fn tokens_that_one_gateway_reserves_are_missing_at_the_other_until_they_are_settled() {
    let redis = Redis::start();
    let barrier = Barrier::new();
    let upstream = held(&barrier).await;
    let rules = r#"{ name = "t", tokens = { limit = 1000, per = "366d" } }"#;
    let one = redis.gateway(&upstream, rules).await;
    let two = redis.gateway(&upstream, rules).await;
    let body = with(question(), "max_tokens", json!(900));
    let asked = client(&one, "a");
    let asking = asked.chat(&body);
    let other = async {
        eventually("the first one is on its way", async || {
            (!upstream.requests().is_empty()).then_some(())
        })
        .await;
        let refused = client(&two, "b").chat(&body).await;
        assert_error(&refused, 429, "rate_limit_exceeded");
        barrier.open();
    };
    let (response, ()) = tokio::join!(asking, other);
    assert_eq!(response.status, 200);
    eventually("the rest is back", async || {
        (client(&two, "b").chat(&body).await.status == 200).then_some(())
    })
    .await;
    one.shutdown().await;
    two.shutdown().await;
}

#[tokio::test]
async fn a_redis_that_is_killed_and_comes_back_hangs_nobody() {
    let mut redis = Redis::start();
    let upstream = Upstream::start(|_| Script::ndjson(&ollama::stream(&["Hello"]))).await;
    let open = r#"{ name = "r", requests = { limit = 100000, per = "1d" } }"#;
    let closed =
        r#"{ name = "r", on-failure = "closed", requests = { limit = 100000, per = "1d" } }"#;
    let open = redis.gateway(&upstream, open).await;
    let closed = redis.gateway(&upstream, closed).await;
    let load = async |gateway: &Gateway| {
        let ask = async |n: usize| {
            let began = tokio::time::Instant::now();
            let response = client(gateway, ["a", "b"][n % 2]).chat(&question()).await;
            assert!(began.elapsed().as_secs() < 20, "{:?}", began.elapsed());
            response
        };
        join_all((0..100).map(ask)).await
    };
    let kill = async {
        eventually("the load has begun", async || {
            (upstream.requests().len() > 20).then_some(())
        })
        .await;
        redis.kill();
    };
    let (of_open, of_closed, ()) = tokio::join!(load(&open), load(&closed), kill);
    assert!(of_open.iter().all(|it| it.status == 200));
    for response in of_closed.iter().filter(|it| it.status != 200) {
        assert_error(response, 503, "rate_limit_unavailable");
        assert_eq!(response.header("retry-after"), "1");
    }
    // Nobody may have asked after it was killed.
    for gateway in [&open, &closed] {
        reachable(gateway, false).await;
    }
    let id = logs::id();
    let asked = client(&open, "a").with("x-request-id", &id);
    assert_eq!(asked.chat(&question()).await.status, 200);
    let refused = client(&closed, "a").chat(&question()).await;
    assert_error(&refused, 503, "rate_limit_unavailable");
    redis.start_again();
    for gateway in [&open, &closed] {
        reachable(gateway, true).await;
        let response = client(gateway, "a").chat(&question()).await;
        assert_eq!(response.status, 200);
        assert!(!response.header("x-ratelimit-remaining-requests").is_empty());
    }
    for gateway in [open, closed] {
        let config = gateway.admin().get("/config").await.text();
        assert!(
            config.contains("redis.sock") && !config.contains("hushhush"),
            "{config}"
        );
        gateway.shutdown().await;
    }
}
