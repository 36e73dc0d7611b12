//! Capabilities in an adapter, in `closing` and in an observer, and a plugin that is of no use without them.

use sluicegate_tests::{Gateway, Script, Setup, Upstream, guest, logs, within};

use super::model;

/// A gateway whose adapter counts, and is granted this.
fn setup(model: &Upstream, name: &str, grant: &str) -> Setup {
    Setup::before(model)
        .adapter(name)
        .plugin(name, guest::TALLY, grant)
        .route("/*", "[]", &format!("observers = [{name:?}]"))
}

/// What the plugin of this name said at its `calls`th call in a place: its error, and the units left.
async fn told(name: &str, place: &str, calls: u64) -> (String, i64) {
    let line = logs::line(place, |line| {
        line["plugin"] == name && line["place"] == place && line["calls"] == calls
    })
    .await;
    let error = line["error"].as_str().expect("a text");
    (error.to_owned(), line["left"].as_i64().expect("a number"))
}

#[tokio::test]
async fn an_adapter_its_closing_and_its_observer_share_what_they_count() {
    let model = model().await;
    let grant = "grant = { kv = true, rate = true }";
    let gateway = setup(&model, "tally", grant).start().await;
    // 50 of 100 are reserved, of which `closing` says that 10 were used; each other place takes one.
    for (calls, left) in [(1, [50, 49, 89, 88]), (2, [38, 37, 77, 76])] {
        assert_eq!(gateway.client().get("/x").await.status, 200);
        for (place, left) in ["request", "response", "closing", "observer"]
            .into_iter()
            .zip(left)
        {
            // An observer has no exchange that could give back what it reserves.
            let error = if place == "observer" { "invalid" } else { "" };
            let expected = (error.to_owned(), left);
            assert_eq!(told("tally", place, calls).await, expected, "{place}");
        }
    }
    assert_eq!(model.requests().len(), 2);
    gateway.shutdown().await;
}

#[tokio::test]
async fn the_total_timeout_ends_the_wait_of_an_adapter() {
    let provider = Upstream::always(Script::silent()).await;
    let model = model().await;
    let grant = format!(
        "grant = {{ kv = true, rate = true, http = [\"{}\"] }}",
        provider.url()
    );
    let gateway = setup(&model, "tally-late", &grant)
        .upstream("timeout = { total = \"300ms\" }")
        .start()
        .await;
    let client = gateway.client().with("x-fetch", &provider.url());
    let response = within("the total timeout", client.get("/x")).await;
    assert_eq!(response.status, 504);
    assert_eq!(response.error()["code"], "upstream_total_timeout");
    // The plugin was told, and went on for as long as it had something to do.
    let (error, _) = told("tally-late", "request", 1).await;
    assert_eq!(error, "unavailable");
    let request = within("it was asked", provider.next_request()).await;
    within("it is hung up on", request.disconnected()).await;
    assert!(model.requests().is_empty());
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_plugin_that_requires_capabilities_is_not_loaded_without_them() {
    let model = model().await;
    for (grant, missing, mend) in [
        ("", "kv, rate", "kv = true, rate = true"),
        ("grant = { kv = true }", "rate", "rate = true"),
        ("grant = { kv = true, rate = false }", "rate", "rate = true"),
    ] {
        let refused = setup(&model, "tally", grant).try_start().await;
        let error: anyhow::Error = refused.err().expect("it does not start");
        let error = format!("{error:#}");
        let expected = format!(
            "plugin.tally.source: the plugin requires {missing}, which the configuration does not grant it"
        );
        assert!(error.contains(&expected), "{error}");
        let mend = format!("add grant = {{ {mend} }} to [plugin.tally]");
        assert!(error.contains(&mend), "{error}");
    }
    let gateway: Gateway = setup(&model, "tally", "grant = { kv = true, rate = true }")
        .start()
        .await;
    gateway.shutdown().await;
}
