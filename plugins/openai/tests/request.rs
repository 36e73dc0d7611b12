//! Requests: what goes to the server, and what is refused before.

use serde_json::json;
use sluicegate_openai::Openai;
use sluicegate_openai_api::testing;
use sluicegate_plugin::testing::{Bench, Request};

#[test]
fn every_request_is_changed_only_where_it_must_be() {
    testing::check_requests::<Openai>(include_str!("fixtures/requests.json"));
}

#[test]
fn only_what_clients_may_ask_is_offered() {
    let bench = Bench::<Openai>::load(json!({})).expect("loads");
    for (request, status, code) in [
        (Request::post("/v1/files"), 404, "not_found"),
        (Request::post("/v1/chat/completions/"), 404, "not_found"),
        (Request::post("/v1/load_lora_adapter"), 404, "not_found"),
        (Request::post("/tokenize"), 404, "not_found"),
        (Request::get("/v1/models/"), 404, "not_found"),
        (
            Request::get("/v1/chat/completions"),
            405,
            "method_not_allowed",
        ),
        (
            Request::new("DELETE", "/v1/models/mine"),
            405,
            "method_not_allowed",
        ),
    ] {
        let fault = bench
            .send(request)
            .expect_err("refused")
            .fault
            .expect("a fault");
        assert_eq!((fault.status, &*fault.code), (status, code), "{fault}");
    }
}

#[test]
fn a_configuration_that_cannot_be_is_refused() {
    for (config, part) in [
        (json!({"prefix": "v1"}), "prefix"),
        (json!({"prefix": "/v1?a"}), "prefix"),
        (json!({"media-hosts": ["https://a.test"]}), "media-hosts"),
        (json!({"thinking": "hard"}), "hard"),
    ] {
        let error = Bench::<Openai>::load(config).expect_err("refused");
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn tokens_are_estimated_without_asking_the_server() {
    let bench = Bench::<Openai>::load(json!({})).expect("loads");
    let body = json!({"model": "m", "messages": [{"role": "user", "content": "Hello"}]});
    let request = Request::post("/v1/chat/completions/input_tokens").json(&body);
    let outcome = bench.send(request).expect_err("a reply");
    assert_eq!(outcome.json(), json!({"input_tokens": 6}));
    assert_eq!(
        outcome.header("x-sluicegate-estimate").as_deref(),
        Some("true")
    );
}

#[test]
fn the_keys_of_all_adapters_and_no_others_are_known() {
    let keys = json!({"stream": "as-client", "reasoning-field": "both", "think-tags": false, "media-hosts": ["a.test"]});
    assert!(Bench::<Openai>::load(keys).is_ok());
    for (wrong, part) in [
        (json!({"streem": "always"}), "streem"),
        (json!({"stream": "sometimes"}), "sometimes"),
        (json!({"media-hosts": ["http://a.test/"]}), "media-hosts"),
    ] {
        let error = Bench::<Openai>::load(wrong).expect_err("refused");
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn the_policy_for_what_a_server_cannot_do_is_known_and_changes_nothing() {
    testing::check_unsupported::<Openai>(
        include_str!("fixtures/unsupported.json"),
        &testing::hello(),
    );
    let body = json!({"model": "m", "messages": [], "n": 2, "logit_bias": {"1": 1}, "audio": {}});
    let bench = Bench::<Openai>::load(json!({"unsupported": "drop"})).expect("loads");
    let sent = bench.send(Request::post("/v1/chat/completions").json(&body));
    let sent = sent.expect("passes").json();
    for name in ["n", "logit_bias", "audio"] {
        assert_eq!(sent[name], body[name]);
    }
}
