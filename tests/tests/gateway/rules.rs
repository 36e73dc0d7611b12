//! The contract's rules: the gateway and the SDK's native bench say the same to a plugin that tries everything.

use hyper::Method;
use serde_json::json;
use sluicegate_plugin::testing::{Bench, Request, Response};
use sluicegate_tests::{Script, Setup, Upstream, guest};

#[tokio::test]
async fn the_gateway_and_the_bench_keep_the_same_rules() {
    let upstream = Upstream::always(Script::json(200, &json!({"a": 1}))).await;
    let gateway = Setup::before(&upstream)
        .guest(guest::RULES, "")
        .start()
        .await;
    let body = r#"{"model":"m"}"#;
    let response = gateway
        .client()
        .with("x-gone", "1")
        .request(Method::POST, "/x?q=1", body)
        .await;
    let in_gateway = response.text();

    let bench = Bench::<guest::Rules>::load(json!({})).expect("it loads");
    let request = Request::post("/x?q=1").header("x-gone", "1").body(body);
    let outcome = bench.run(request, &Response::json(&json!({"a": 1})));
    let in_bench = String::from_utf8(outcome.body.clone()).expect("text");

    let pairs = in_gateway.lines().zip(in_bench.lines());
    for (gateway, bench) in pairs {
        assert_eq!(gateway, bench);
    }
    assert_eq!(in_gateway.lines().count(), in_bench.lines().count());
    assert_eq!(response.status, outcome.status);
    assert_eq!(
        response.header("x-set"),
        outcome.header("x-set").unwrap_or_default()
    );
    // What a later change of both at once would hide.
    for line in [
        "gate.check path \"/é\": 500 illegal_change: `/é` is not a path",
        "gate.check status 201: 500 illegal_change: the status can only be set in a response phase",
        "response.head path \"/v1/x%20y\": 500 illegal_change: the path can only be set in a request phase",
        "response.body set \"x-set\": ok",
        "request.body reads POST /v1/x%20y a=b 0 0 value value \"m\" 13 1",
    ] {
        assert!(
            in_gateway.lines().any(|have| have == line),
            "no {line}\n{in_gateway}"
        );
    }
    let sent = upstream.next_request().await;
    assert_eq!(sent.target, "/v1/x%20y?a=b");
    assert_eq!(
        (sent.header("x-set"), sent.header("x-gone")),
        (Some("value"), None)
    );
    gateway.shutdown().await;
}
