//! Being ready: starting without a model server, and noticing that one comes or goes.

use serde_json::json;
use sluicegate_tests::upstream::{closed_port, ollama};
use sluicegate_tests::{Script, Setup, Upstream, eventually, logs};

use crate::lifecycle::{question, ready};

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
