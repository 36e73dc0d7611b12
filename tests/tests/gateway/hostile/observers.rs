//! Observers that misbehave: they lose their batch, and no exchange waits for them.

use sluicegate_tests::{Script, Setup, Upstream, eventually, guest, logs};

use super::told;

#[tokio::test]
async fn an_observer_that_traps_loses_its_batch_and_nothing_else() {
    let upstream = Upstream::always(Script::empty(200)).await;
    let gateway = Setup::before(&upstream)
        .guest(guest::GATE, "")
        .start()
        .await;
    assert_eq!(
        told(&gateway, "check=trap-observer").get("/x").await.status,
        200
    );
    let series = r#"sluicegate_plugin_faults_total{plugin="observer",reason="trap"}"#;
    eventually("the observer's fault", async || {
        (gateway.metric(series).await >= 1.0).then_some(())
    })
    .await;
    let id = logs::id();
    let client = gateway.client().with("x-request-id", &id);
    assert_eq!(client.get("/x").await.status, 200);
    assert_eq!(logs::seen(&id).await["status"], 200);
    gateway.shutdown().await;
}

#[tokio::test]
async fn an_observer_that_sleeps_is_stopped_by_the_clock_and_holds_nobody_up() {
    let upstream = Upstream::always(Script::empty(200)).await;
    let gateway = Setup::before(&upstream)
        .plugin("gate", guest::GATE, "")
        .plugin("sleeper", guest::SLEEPER, "")
        .plugin("observer", guest::OBSERVER, "")
        .route(
            "/*",
            r#"["gate"]"#,
            r#"observers = ["sleeper", "observer"]"#,
        )
        .start()
        .await;
    let ask = async |acts: &str| {
        let id = logs::id();
        let client = told(&gateway, acts).with("x-request-id", &id);
        assert_eq!(client.get("/x").await.status, 200);
        id
    };
    let awake = async |id: String| {
        logs::line("the sleeper's line", |line| line["awake"] == id.as_str()).await
    };
    // While it sleeps, exchanges are served and the other observer sees them.
    let asleep = ask("check=sleep-observer").await;
    logs::seen(&asleep).await;
    let series = r#"sluicegate_plugin_faults_total{plugin="sleeper",reason="stalled"}"#;
    assert_eq!(gateway.metric(series).await, 0.0, "it sleeps");
    logs::seen(&ask("").await).await;
    // Then it loses its batch, and sees what comes later.
    eventually("the sleeper's fault", async || {
        (gateway.metric(series).await >= 1.0).then_some(())
    })
    .await;
    awake(ask("").await).await;
    assert_eq!(upstream.requests().len(), 3);
    gateway.shutdown().await;
}
