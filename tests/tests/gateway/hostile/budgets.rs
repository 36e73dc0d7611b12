//! Budgets of a call, and what a guest can reach: time, log lines, work of the host, the standard library.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::json;
use sluicegate_tests::{Script, Setup, Upstream, guest, logs};

use super::{assert_plugin_fault, told};

// A thread waits with it, so there must be others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_that_sleeps_is_stopped_by_the_clock() {
    let upstream = Upstream::always(Script::empty(200)).await;
    let gateway = Setup::before(&upstream)
        .guest(guest::LIBRARY, "")
        .start()
        .await;
    let began = Instant::now();
    let sleeping = told(&gateway, "check=sleep");
    let (slow, quick) = tokio::join!(sleeping.get("/x"), async {
        let response = gateway.client().get("/x").await;
        (response, began.elapsed())
    });
    assert_plugin_fault(&slow);
    let slept = began.elapsed();
    assert!(slept >= Duration::from_secs(5), "{slept:?}");
    assert_eq!(quick.0.status, 200);
    assert!(quick.1 < slept, "the sleeper holds nobody up");
    let series = r#"sluicegate_plugin_faults_total{plugin="guest",reason="stalled"}"#;
    assert_eq!(gateway.metric(series).await, 1.0);
    gateway.shutdown().await;
}

#[tokio::test]
async fn log_lines_beyond_a_hundred_per_call_are_dropped_and_counted() {
    let upstream = Upstream::always(Script::empty(200)).await;
    let gateway = Setup::before(&upstream)
        .guest(guest::GATE, "")
        .start()
        .await;
    let id = logs::id();
    let client = told(&gateway, "check=log").with("x-request-id", &id);
    assert_eq!(client.get("/x").await.status, 200);
    let lines = logs::lines(|line| line["req"] == id.as_str() && line["msg"] == "chatter");
    assert_eq!(lines.len(), 100);
    assert_eq!(
        (&lines[7]["line"], &lines[7]["plugin"]),
        (&json!(7), &json!("guest"))
    );
    let series = r#"sluicegate_plugin_log_lines_dropped_total{plugin="guest"}"#;
    assert_eq!(gateway.metric(series).await, 50.0);
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_log_line_costs_what_a_line_may_cost() {
    let upstream = Upstream::always(Script::empty(200)).await;
    let gateway = Setup::before(&upstream)
        .guest(guest::GATE, "limits = { cpu = \"1s\", memory = \"64MiB\" }")
        .start()
        .await;
    for act in ["log-members", "log-equal-members"] {
        let id = logs::id();
        let client = told(&gateway, &format!("check={act}")).with("x-request-id", &id);
        assert_eq!(client.get("/x").await.status, 200, "{act}");
        let lines = logs::lines(|line| line["req"] == id.as_str() && line["msg"] == "members");
        assert_eq!(lines.len(), 1, "{act}");
        let fields = lines[0]["fields"]
            .as_str()
            .expect("what became of the fields");
        assert!(
            fields.starts_with("left out: ") && fields.ends_with(" bytes"),
            "{fields}"
        );
    }
    let id = logs::id();
    let client = told(&gateway, "check=log-flood").with("x-request-id", &id);
    assert_eq!(client.get("/x").await.status, 200);
    let lines = logs::lines(|line| line["req"] == id.as_str() && line["plugin"] == "guest");
    assert!(
        (1..=32).contains(&lines.len()),
        "256 KiB of 8 KiB each: {}",
        lines.len()
    );
    assert!(lines.iter().all(|line| {
        line["msg"]
            .as_str()
            .is_some_and(|text| text.len() == 8 << 10)
    }));
    let series = r#"sluicegate_plugin_log_lines_dropped_total{plugin="guest"}"#;
    assert_eq!(gateway.metric(series).await, (100 - lines.len()) as f64);
    gateway.shutdown().await;
}

#[tokio::test]
async fn what_the_host_does_for_a_guest_counts_for_its_budget() {
    let upstream = Upstream::always(Script::empty(200)).await;
    let gateway = Setup::before(&upstream)
        .guest(
            guest::GATE,
            "limits = { cpu = \"40ms\", memory = \"64MiB\" }",
        )
        .start()
        .await;
    // A note that is too long is refused before it is read, so this one comes to its end.
    let quick = told(&gateway, "check=notes-flood").get("/x").await;
    assert!(matches!(quick.status, 200 | 502), "{}", quick.status);
    let endless = told(&gateway, "check=names-flood").get("/x").await;
    assert_plugin_fault(&endless);
    let series = r#"sluicegate_plugin_faults_total{plugin="guest",reason="deadline"}"#;
    assert!(gateway.metric(series).await >= 1.0);
    assert_eq!(told(&gateway, "check=none").get("/x").await.status, 200);
    gateway.shutdown().await;
}

#[tokio::test]
async fn the_standard_library_works_and_finds_nothing_but_time_and_the_log() {
    let upstream = Upstream::always(Script::empty(200)).await;
    let gateway = Setup::before(&upstream)
        .guest(guest::LIBRARY, "")
        .start()
        .await;
    let id = logs::id();
    let response = gateway.client().with("x-request-id", &id).get("/x").await;
    let found = response.json();
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970");
    assert!(
        found["seconds"]
            .as_u64()
            .expect("a time")
            .abs_diff(now.as_secs())
            < 120
    );
    assert_eq!(
        (&found["three"], &found["nine"], &found["elapsed"]),
        (&json!(5), &json!(9), &json!(true))
    );
    assert_eq!(
        (&found["file"], &found["socket"]),
        (&json!(false), &json!(false))
    );
    assert_eq!(
        (&found["variables"], &found["arguments"]),
        (&json!(0), &json!(0))
    );
    for (words, level) in [
        ("library prints for", "info"),
        ("library complains for", "warn"),
    ] {
        let wanted = format!("{words} {id}");
        let line = logs::line(words, |line| line["msg"] == wanted.as_str()).await;
        assert_eq!(
            (&line["plugin"], &line["level"]),
            (&json!("guest"), &json!(level))
        );
    }
    gateway.shutdown().await;
}
