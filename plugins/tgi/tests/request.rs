//! Requests: what goes to TGI, and what is refused before.

use serde_json::json;
use sluicegate_openai_api::testing;
use sluicegate_plugin::testing::Bench;
use sluicegate_tgi::Tgi;

#[test]
fn every_request_gets_the_form_that_tgi_takes_or_is_refused() {
    testing::check_requests::<Tgi>(include_str!("fixtures/requests.json"));
}

#[test]
fn a_template_has_a_place_for_every_text() {
    let template = json!({"user": "{content}", "assistant": "A: ", "start": ""});
    let error = Bench::<Tgi>::load(json!({"template": template})).expect_err("refused");
    assert!(error.contains("template.assistant"), "{error}");
}

#[test]
fn the_keys_of_all_adapters_and_no_others_are_known() {
    let keys = json!({"stream": "as-client", "reasoning-field": "both", "think-tags": false, "media-hosts": ["a.test"]});
    assert!(Bench::<Tgi>::load(keys).is_ok());
    for (wrong, part) in [
        (json!({"streem": "always"}), "streem"),
        (json!({"stream": "sometimes"}), "sometimes"),
        (json!({"media-hosts": ["http://a.test/"]}), "media-hosts"),
    ] {
        let error = Bench::<Tgi>::load(wrong).expect_err("refused");
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn what_tgi_cannot_do_is_refused_or_dropped() {
    testing::check_unsupported::<Tgi>(include_str!("fixtures/unsupported.json"), &testing::hello());
}
