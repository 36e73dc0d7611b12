//! Requests: what goes to vLLM, and what is refused before.

use serde_json::json;
use sluicegate_openai_api::testing;
use sluicegate_plugin::testing::{Bench, Request, take_logs};
use sluicegate_vllm::Vllm;

#[test]
fn every_request_that_vllm_would_refuse_or_misread_is_mended_or_refused() {
    testing::check_requests::<Vllm>(include_str!("fixtures/requests.json"));
}

#[test]
fn what_clients_may_not_set_is_logged_by_name_only() {
    take_logs();
    let bench = Bench::<Vllm>::load(json!({})).expect("loads");
    let body = json!({"model": "m", "messages": [], "priority": 1, "chat_template": "secret"});
    let sent = bench.send(Request::post("/v1/chat/completions").json(&body));
    assert!(sent.is_ok());
    let lines = take_logs();
    assert_eq!(lines.len(), 1);
    assert_eq!(
        lines[0].fields(),
        r#"{"parameters":["chat_template","priority"]}"#
    );
}

#[test]
fn only_names_of_guarded_parameters_can_be_allowed() {
    let error = Bench::<Vllm>::load(json!({"allow": ["prioroty"]})).expect_err("refused");
    assert!(
        error.contains("prioroty") && error.contains("priority"),
        "{error}"
    );
}

#[test]
fn the_keys_of_all_adapters_and_no_others_are_known() {
    let keys = json!({"stream": "as-client", "reasoning-field": "both", "think-tags": false, "media-hosts": ["a.test"]});
    assert!(Bench::<Vllm>::load(keys).is_ok());
    for (wrong, part) in [
        (json!({"streem": "always"}), "streem"),
        (json!({"stream": "sometimes"}), "sometimes"),
        (json!({"media-hosts": ["http://a.test/"]}), "media-hosts"),
    ] {
        let error = Bench::<Vllm>::load(wrong).expect_err("refused");
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn what_vllm_cannot_do_is_refused_or_dropped() {
    testing::check_unsupported::<Vllm>(
        include_str!("fixtures/unsupported.json"),
        &testing::hello(),
    );
}
