//! Replaced snapshots: unchanged parts go on, removed parts leave nothing behind.

use std::path::Path;
use std::sync::Arc;

use serde_json::json;
use sluicegate_config as config;
use sluicegate_tests::upstream::ollama;
use sluicegate_tests::{Script, Setup, Upstream, eventually, guest};

use crate::common::streamed;

/// How often the configuration is put into force.
const SWAPS: usize = 1_000;

fn parse(setup: &Setup) -> config::Config {
    config::parse(&setup.toml(), Path::new(""), &|_| None).expect("a right configuration")
}

/// Resident memory of this process, in KiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_swaps_leave_tasks_memory_and_metrics_where_they_were() {
    let upstream = Upstream::always(Script::ndjson(&ollama::stream(&["Hello"]))).await;
    let other = Upstream::always(Script::ndjson(&ollama::stream(&["Hello"]))).await;
    let health = "health = { path = \"/health\", interval = \"1h\" }";
    let first = Setup::before(&upstream).upstream(health).chat();
    // Another target, another plugin, another route, another limit.
    let second = Setup::before(&other)
        .upstream(health)
        .limit("exchanges = 17")
        .chat()
        .plugin("guest", guest::GATE, "")
        .route("/other", r#"["guest"]"#, "");
    let gateway = first.start().await;
    let running = gateway.running();
    let swap = async |setup: &Setup| {
        running
            .control()
            .apply(parse(setup))
            .await
            .expect("it is put into force");
    };
    let series = async || -> Vec<String> {
        let text = gateway.admin().get("/metrics").await.text();
        let names = text.lines().filter(|line| !line.starts_with('#'));
        let mut names: Vec<_> = names
            .filter_map(|line| line.rsplit_once(' '))
            .map(|(name, _)| name.to_owned())
            .collect();
        names.sort();
        names
    };
    // Everything has been there once: what is made on first use does not count as a leak.
    for setup in [&second, &first] {
        swap(setup).await;
        let chat = gateway.client().chat(&streamed()).await;
        assert_eq!(chat.status, 200);
    }
    // Two observers, and of the one target its health check, what lists its models and what looks after stalled ones.
    let settled = async || {
        eventually("the tasks to end", async || {
            (running.tasks() == 5).then_some(())
        })
        .await;
    };
    settled().await;
    let (before, memory) = (series().await, resident());
    for turn in 0..SWAPS / 2 {
        swap(&second).await;
        if turn % 100 == 0 {
            assert_eq!(gateway.client().chat(&streamed()).await.status, 200);
        }
        swap(&first).await;
    }
    settled().await;
    eventually("the metrics of what is gone to go", async || {
        (series().await == before).then_some(())
    })
    .await;
    // Other tests of this process have memory of their own for a while.
    eventually("the memory of the swaps to be given back", async || {
        let grown = resident().saturating_sub(memory);
        (grown < 32 * 1024).then_some(())
    })
    .await;
    assert_eq!(gateway.client().chat(&streamed()).await.status, 200);
    gateway.shutdown().await;
}

#[tokio::test]
async fn what_has_not_changed_is_the_same_object_with_its_connections() {
    let upstream = Upstream::always(Script::ndjson(&ollama::stream(&["Hello"]))).await;
    let other = Upstream::always(Script::ndjson(&ollama::stream(&["Hello"]))).await;
    let urls = |urls: &[&Upstream]| urls.iter().map(|it| it.url()).collect::<Vec<_>>();
    let gateway = Setup::before(&upstream).chat().start().await;
    assert_eq!(gateway.client().chat(&streamed()).await.status, 200);
    let core = gateway.running().core().clone();
    let before = core.snapshot.load_full();

    // Another timeout, another limit, one more target: the target that was there keeps its connection.
    let more = Setup::before_urls(&urls(&[&upstream, &other]))
        .upstream("timeout = { connect = \"5s\", idle = \"7s\" }")
        .limit("headers = 50")
        .chat();
    gateway
        .running()
        .control()
        .apply(parse(&more))
        .await
        .expect("in force");
    let after = core.snapshot.load_full();
    let target = |snapshot: &sluicegate_gateway::snapshot::Snapshot| {
        snapshot.upstreams["ollama"].targets()[0].clone()
    };
    assert!(Arc::ptr_eq(&target(&before), &target(&after)));
    for (name, plugin) in &before.plugins {
        assert!(Arc::ptr_eq(plugin, &after.plugins[name]), "{name}");
    }
    assert_eq!(after.server.limits.headers, 50);
    for _ in 0..2 {
        assert_eq!(gateway.client().chat(&streamed()).await.status, 200);
    }
    assert_eq!(upstream.connections(), 1, "it was not connected to again");

    // A plugin that changes is another one, and the others stay.
    let keyed = Setup::before_urls(&urls(&[&upstream, &other]))
        .chat_with(r#"{ name = "a", key = "sk-a" }"#, "");
    gateway
        .running()
        .control()
        .apply(parse(&keyed))
        .await
        .expect("in force");
    let last = core.snapshot.load_full();
    assert!(!Arc::ptr_eq(&after.plugins["auth"], &last.plugins["auth"]));
    assert!(Arc::ptr_eq(
        &after.plugins["ollama"],
        &last.plugins["ollama"]
    ));
    assert_eq!(gateway.client().chat(&streamed()).await.status, 401);

    // One that cannot be put into force changes nothing.
    let wrong = Setup::before(&upstream)
        .plugin("guest", "/nowhere.wasm", "")
        .route("/*", r#"["guest"]"#, "");
    let problems = gateway
        .running()
        .control()
        .apply(parse(&wrong))
        .await
        .expect_err("refused");
    assert!(problems.to_string().contains("plugin.guest.source"));
    assert!(Arc::ptr_eq(&last, &core.snapshot.load_full()));
    gateway.shutdown().await;
}

#[tokio::test]
async fn an_exchange_ends_with_the_snapshot_that_it_began_with() {
    let barrier = sluicegate_tests::Barrier::new();
    let script = Script::sse_head().chunk("data: one\n\n").wait(&barrier);
    let upstream = Upstream::always(script.chunk("data: two\n\n")).await;
    let setup = Setup::before(&upstream).guest(guest::BARE, "");
    let gateway = setup.start().await;
    let mut stream = gateway.client().open(hyper::Method::GET, "/x", "").await;
    assert_eq!(stream.event().await.expect("an event").data, "ONE");
    let plain = Setup::before(&upstream).guest(guest::FILTER, "");
    gateway
        .running()
        .control()
        .apply(parse(&plain))
        .await
        .expect("in force");
    barrier.open();
    let rest = stream.rest().await;
    assert!(
        rest.text().contains("TWO") && rest.complete,
        "{}",
        rest.text()
    );
    assert!(gateway.client().get("/x").await.text().contains("two"));
    let _ = json!(null);
    gateway.shutdown().await;
}
