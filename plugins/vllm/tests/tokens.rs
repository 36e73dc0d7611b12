//! Tokens are counted by vLLM itself.

use serde_json::json;
use sluicegate_plugin::testing::{Bench, Request, Response};
use sluicegate_vllm::Vllm;

#[test]
fn a_chat_is_counted_with_its_tools_and_its_template() {
    let bench = Bench::<Vllm>::load(json!({})).expect("loads");
    let tool = json!({"type": "function", "function": {"name": "f"}});
    let asked = json!({
        "model": "m", "messages": [{"role": "user", "content": "Hello"}], "tools": [tool], "stream": true, "max_tokens": 5,
        "stop": ["a", "b"], "reasoning_effort": "none", "priority": 1, "frob": 1
    });
    let request = Request::post("/v1/chat/completions/input_tokens").json(&asked);
    let counted =
        json!({"count": 9, "max_model_len": 1024, "tokens": [1, 320], "token_strs": null});
    let outcome = bench.run(request, &Response::json(&counted));
    assert_eq!(outcome.json(), json!({"input_tokens": 9}));
    assert_eq!(outcome.header("x-sluicegate-estimate"), None);
    let sent = outcome.sent.as_ref().expect("sent");
    let expected = json!({
        "model": "m", "messages": [{"role": "user", "content": "Hello"}], "tools": [tool],
        "chat_template_kwargs": {"enable_thinking": false, "thinking": false}
    });
    assert_eq!((sent.path.as_str(), sent.json()), ("/tokenize", expected));
}

#[test]
fn what_cannot_be_counted_is_an_error() {
    let bench = Bench::<Vllm>::load(json!({})).expect("loads");
    let ask =
        |body: &serde_json::Value| Request::post("/v1/chat/completions/input_tokens").json(body);
    let chat = json!({"model": "m", "messages": [{"role": "user", "content": "Hello"}]});
    for (response, code) in [
        (Response::json(&json!({"tokens": []})), "upstream_invalid"),
        (Response::json(&json!([])), "upstream_invalid"),
        (Response::new(500).body("{}"), "upstream_error"),
    ] {
        let outcome = bench.run(ask(&chat), &response);
        assert_eq!(outcome.fault.expect("a fault").code, code);
    }
    let far = json!({"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://10.0.0.1/"}}]});
    for (body, code) in [
        (json!({"model": "m"}), "missing_required_parameter"),
        (json!({"model": "m", "messages": []}), "invalid_value"),
        (
            json!({"model": "m", "messages": [far]}),
            "unsupported_value",
        ),
    ] {
        let refused = bench.send(ask(&body)).expect_err("refused");
        let fault = refused.fault.expect("a fault");
        assert_eq!((fault.status, &*fault.code), (400, code), "{body}");
    }
    let got = bench
        .send(Request::get("/v1/chat/completions/input_tokens"))
        .expect_err("refused");
    assert_eq!(got.fault.expect("a fault").status, 405);
}

#[test]
fn a_server_that_does_not_know_the_path_leaves_it_to_an_estimate() {
    let bench = Bench::<Vllm>::load(json!({})).expect("loads");
    let asked = json!({"model": "m", "messages": [{"role": "user", "content": "Hello"}]});
    let ask = || Request::post("/v1/chat/completions/input_tokens").json(&asked);
    for response in [
        Response::new(404).body("{\"detail\":\"Not Found\"}"),
        Response::new(404),
        Response::new(405).body("{\"detail\":\"Method Not Allowed\"}"),
        Response::new(501).body("no"),
    ] {
        let outcome = bench.run(ask(), &response);
        assert_eq!((outcome.status, &outcome.fault), (200, &None));
        assert_eq!(outcome.json(), json!({"input_tokens": 6}));
        let said = |name: &str| outcome.header(name).unwrap_or_default();
        assert_eq!(said("x-sluicegate-estimate"), "true");
        assert_eq!(said("content-type"), "application/json");
    }
    // The path is known, the model is not.
    let unknown = json!({"error": {"message": "The model `m` does not exist.", "type": "NotFoundError", "param": "model", "code": 404}});
    let response = Response::new(404).body(unknown.to_string());
    let fault = bench.run(ask(), &response).fault.expect("a fault");
    assert_eq!((fault.status, &*fault.code), (404, "model_not_found"));
}
