//! Values, limits and metrics.

use std::fs;

use futures_util::future::join_all;
use sluicegate_tests::client::Raw;
use sluicegate_tests::{Barrier, Gateway, Script, Setup, Upstream, eventually, guest};

use super::{ALL, admin, ask, granted, model, reloadable, setup};

#[tokio::test]
async fn what_is_not_granted_is_denied_as_a_value() {
    let model = model().await;
    let gateway = granted(&model, "").await;
    let commands = "get k; set k v; insert k v; add k 1; delete k; take r 1 1000; hold r 1; \
                    settle r 1; fetch GET http://127.0.0.1:1/; count c 1; observe o 1";
    let results = ask(&gateway.client(), commands).await;
    assert_eq!(results, ["denied"; 11]);
    gateway.shutdown().await;
    // Each is granted for itself.
    let gateway = granted(&model, "metrics = true").await;
    let results = ask(&gateway.client(), "get k; take r 1 1000; count c 1").await;
    assert_eq!(results, ["denied", "denied", "counted"]);
    gateway.shutdown().await;
}

#[tokio::test]
async fn values_outlive_their_exchange_until_their_time_is_over() {
    let gateway = granted(&model().await, ALL).await;
    let client = gateway.client();
    let results = ask(
        &client,
        "get k; set k v; insert k w; set t v 300; get t; add n 2; add n -5",
    );
    let expected = ["none", "set", "false", "set", "v", "2", "-3"];
    assert_eq!(results.await, expected);
    eventually("the time of `t` is over", async || {
        (ask(&client, "get t").await == ["none"]).then_some(())
    })
    .await;
    let results = ask(&client, "get k; get n; delete k; get k; insert k w").await;
    assert_eq!(results, ["v", "-3", "deleted", "none", "true"]);
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_plugin_has_its_own_values_and_no_more_than_its_quota() {
    let grant = "kv = { keys = 2, size = \"1KiB\" }";
    let model = model().await;
    let gateway = setup(&model, grant)
        .plugin("other", guest::CAPABLE, "grant = { kv = true }")
        .route("/other", r#"["other"]"#, "")
        .start()
        .await;
    let client = gateway.client();
    let results = ask(
        &client,
        "set a v; set b v; set c v; delete a; set c v; set c w",
    )
    .await;
    assert_eq!(
        results,
        ["set", "set", "over-limit", "deleted", "set", "set"]
    );
    let results = ask(
        &client,
        "fill b 800; fill b 1000; get c; delete c; fill b 959; fill b 960",
    );
    let expected = ["set", "over-limit", "w", "deleted", "set", "over-limit"];
    assert_eq!(results.await, expected);
    let other = client.with("x-do", "get b; get c").get("/other").await;
    assert_eq!(other.text(), r#"["none","none"]"#);
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_limit_is_never_exceeded_by_two_hundred_clients() {
    let gateway = granted(&model().await, ALL).await;
    let client = gateway.client();
    let take = async || ask(&client, "take r 50 3600000").await;
    let verdicts = join_all((0..200).map(|_| take())).await;
    let granted = verdicts.iter().filter(|it| it[0].starts_with("granted"));
    assert_eq!(granted.count(), 50);
    gateway.shutdown().await;
}

#[tokio::test]
async fn held_units_are_held_until_the_exchanges_are_over() {
    let barrier = Barrier::new();
    let waiting = Script::status(200).chunked().wait(&barrier).chunk("x");
    let model = Upstream::always(waiting).await;
    let gateway = granted(&model, ALL).await;
    let client = gateway.client();
    let hold = async || {
        let client = client.clone().with("x-do", "hold slots 5; pass");
        client.get("/x").await
    };
    let all = async { join_all((0..200).map(|_| hold())).await };
    let release = async {
        eventually("all others are refused", async || {
            let sum = gateway
                .metric(r#"sluicegate_requests_total{route="/*",status="200",error="none"}"#)
                .await;
            (sum >= 195.0).then_some(())
        })
        .await;
        assert_eq!(model.requests().len(), 5);
        barrier.open();
    };
    let (responses, ()) = tokio::join!(all, release);
    let refused = responses
        .iter()
        .filter(|it| it.text() == r#"["refused 0"]"#);
    assert_eq!(refused.count(), 195);
    assert_eq!(model.requests().len(), 5);
    gateway.shutdown().await;
}

#[tokio::test]
async fn reservations_are_given_back_however_an_exchange_ends() {
    let model = Upstream::start(|request| match request.path() {
        "/cut" => Script::status(200).length(9).chunk("x").cut(),
        "/silent" => Script::silent(),
        _ => Script::json(200, &serde_json::Value::Null),
    })
    .await;
    let gateway = granted(&model, ALL).await;
    let client = gateway.client();
    let hold = |then: &str| client.clone().with("x-do", &format!("hold slot 1; {then}"));
    let is_free = async |after: &str| {
        eventually(after, async || {
            (ask(&client, "hold slot 1").await == ["granted 0"]).then_some(())
        })
        .await;
    };
    hold("pass").get("/x").await;
    is_free("a response").await;
    hold("get k").get("/x").await;
    is_free("a reply of the stage itself").await;
    hold("trap").get("/x").await;
    is_free("a trap").await;
    hold("pass").get("/cut").await;
    is_free("a model server that broke off").await;
    let mut raw = Raw::connect(gateway.address()).await;
    raw.send("GET /silent HTTP/1.1\r\nhost: x\r\nx-do: hold slot 1; pass\r\n\r\n")
        .await;
    eventually("it was asked", async || {
        let requests = model.requests();
        requests
            .iter()
            .any(|it| it.path() == "/silent")
            .then_some(())
    })
    .await;
    assert_eq!(ask(&client, "hold slot 1").await, ["refused 0"]);
    drop(raw);
    is_free("a client that left").await;
    // One that is settled is not given back again.
    let results = ask(
        &client,
        "hold slot 1; settle slot 0; hold slot 1; settle slot 0; settle slot 0",
    );
    assert_eq!(
        results.await,
        ["granted 0", "settled", "granted 0", "settled", "invalid"]
    );
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_plugins_own_metrics_stand_beside_the_gateways() {
    let gateway = granted(&model().await, ALL).await;
    let client = gateway.client();
    let commands = "count hits 2 kind=x; count hits 1 kind=x; count hits 1; observe hits 1; observe s 0.3; observe s x";
    let results = ask(&client, commands).await;
    let expected = [
        "counted", "counted", "invalid", "invalid", "observed", "invalid",
    ];
    assert_eq!(results, expected);
    let hits = r#"sluicegate_plugin_guest__hits_total{kind="x"}"#;
    assert!((gateway.metric(hits).await - 3.0).abs() < f64::EPSILON);
    let seconds = "sluicegate_plugin_guest__s_sum";
    assert!((gateway.metric(seconds).await - 0.3).abs() < f64::EPSILON);
    gateway.shutdown().await;
}

#[tokio::test]
async fn state_outlives_a_reload() {
    let model = model().await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("sluicegate.toml");
    let write = |limit: &str| {
        let lines = format!("grant = {{ {ALL} }}\nlimits = {{ cpu = \"{limit}\" }}");
        let setup = Setup::before(&model).guest(guest::CAPABLE, &lines);
        fs::write(&file, reloadable(&setup)).expect("written");
    };
    write("100ms");
    let gateway = Gateway::start_from(&file).await.expect("it starts");
    let client = gateway.client();
    let results = ask(&client, "set k v; take r 3 3600000; count c 1").await;
    assert_eq!(results, ["set", "granted 2", "counted"]);
    let admin = admin(&gateway);
    let version = async || admin.get("/plugins").await.text();
    let before = version().await;
    write("200ms");
    let reloaded = admin.post("/reload", &serde_json::Value::Null).await;
    assert_eq!(reloaded.status, 200);
    assert_ne!(version().await, before, "another version is in force");
    let results = ask(&client, "get k; take r 3 3600000; count c 1").await;
    assert_eq!(results, ["v", "granted 1", "counted"]);
    let metrics = admin.get("/metrics").await.text();
    let counted = "\nsluicegate_plugin_guest__c_total 2\n";
    assert!(metrics.contains(counted), "{metrics}");
    gateway.shutdown().await;
}
