//! Tokens are counted by TGI itself, if its model has a chat template.

use serde_json::json;
use sluicegate_plugin::testing::{Bench, Request, Response};
use sluicegate_tgi::Tgi;

fn ask() -> Request {
    let asked = json!({"model": "m", "messages": [{"role": "user", "content": "x"}], "stream": true, "top_p": 1});
    Request::post("/v1/chat/completions/input_tokens").json(&asked)
}

#[test]
fn a_chat_is_counted_by_its_tokens() {
    let token = |id: u32| json!({"id": id, "text": "x", "start": 0, "stop": 1});
    let counted =
        json!({"tokenize_response": [token(1), token(2), token(3)], "templated_text": "x"});
    let bench = Bench::<Tgi>::load(json!({})).expect("loads");
    let outcome = bench.run(ask(), &Response::json(&counted));
    assert_eq!(outcome.json(), json!({"input_tokens": 3}));
    assert_eq!(outcome.header("x-sluicegate-estimate"), None);
    let sent = outcome.sent.as_ref().expect("sent");
    let expected = json!({"model": "tgi", "messages": [{"role": "user", "content": "x"}]});
    assert_eq!(
        (sent.path.as_str(), sent.json()),
        ("/chat_tokenize", expected)
    );
}

#[test]
fn a_model_without_a_chat_template_gets_an_estimate() {
    let template = json!({"user": "U: {content}", "assistant": "A: {content}", "start": "A: "});
    let bench = Bench::<Tgi>::load(json!({ "template": template })).expect("loads");
    let outcome = bench.send(ask()).expect_err("a reply");
    assert_eq!(outcome.reason.as_deref(), Some("tokens.estimate"));
    assert_eq!(outcome.json(), json!({"input_tokens": 5}));
    assert_eq!(
        outcome.header("x-sluicegate-estimate").as_deref(),
        Some("true")
    );
}
