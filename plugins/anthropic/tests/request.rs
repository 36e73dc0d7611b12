//! Requests: what goes on as a canonical request, and what is refused.

use serde_json::{Value, json};
use sluicegate_anthropic::Anthropic;
use sluicegate_plugin::testing::{Bench, Outcome, Request, Response, Sent, take_logs};

fn bench(config: Value) -> Bench<Anthropic> {
    Bench::load(config).expect("it loads")
}

fn send(path: &str, body: &Value) -> Result<Sent, Box<Outcome>> {
    bench(json!({})).send(Request::post(path).json(body))
}

/// A request with these parameters besides the least that a request has.
fn with(parameters: &Value) -> Value {
    let mut body =
        json!({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]});
    for (name, value) in parameters.as_object().expect("an object") {
        body[name] = value.clone();
    }
    body
}

fn fixtures(text: &str) -> Vec<Value> {
    let Ok(Value::Array(cases)) = serde_json::from_str(text) else {
        panic!("the fixtures are a list");
    };
    assert!(!cases.is_empty());
    cases
}

#[test]
fn every_message_becomes_canonical() {
    for case in fixtures(include_str!("fixtures/messages.json")) {
        let body = with(&case["request"]);
        let request = Request::post("/v1/messages").json(&body);
        let bench = bench(json!({"prefill": "pass"}));
        let sent = bench.send(request).expect("taken").json();
        assert_eq!(sent["messages"], case["messages"], "{}", case["case"]);
    }
}

#[test]
fn every_parameter_becomes_canonical() {
    for case in fixtures(include_str!("fixtures/parameters.json")) {
        let config = case.get("config").cloned().unwrap_or_else(|| json!({}));
        let request = Request::post("/v1/messages").json(&with(&case["request"]));
        let mut sent = bench(config).send(request).expect("taken").json();
        let sent = sent.as_object_mut().expect("an object");
        for (name, value) in with(&json!({})).as_object().expect("an object") {
            let found = sent.remove(name);
            if case["request"].get(name).is_none() {
                assert_eq!(found.as_ref(), Some(value), "{}", case["case"]);
            }
        }
        assert_eq!(json!(sent), case["sent"], "{}", case["case"]);
    }
}

#[test]
fn every_refusal_says_what_to_mend() {
    for case in fixtures(include_str!("fixtures/refusals.json")) {
        let mut body = with(&case["request"]);
        body.as_object_mut()
            .expect("an object")
            .retain(|_, value| *value != "absent");
        let outcome = send("/v1/messages", &body).expect_err("refused");
        let fault = outcome.fault.expect("a fault");
        assert_eq!(fault.status, 400, "{}", case["request"]);
        let at = case["at"].as_str().expect("a place");
        assert_eq!(fault.param.as_deref(), Some(at), "{fault}");
        assert!(fault.message.starts_with(&format!("{at}: ")), "{fault}");
        let says = case["says"].as_str().expect("a part of the message");
        assert!(fault.message.contains(says), "{fault}");
    }
}

#[test]
fn an_assistants_message_is_not_continued_unless_the_operator_says_so() {
    let user = json!({"role": "user", "content": "Hi"});
    let prefill = json!({"role": "assistant", "content": "The ("});
    let body = with(&json!({"messages": [user, prefill]}));
    for config in [json!({}), json!({"prefill": "refuse"})] {
        let request = Request::post("/v1/messages").json(&body);
        let outcome = bench(config).send(request).expect_err("refused");
        let fault = outcome.fault.expect("a fault");
        assert_eq!(
            (fault.status, fault.param.as_deref()),
            (400, Some("messages.1"))
        );
        assert!(
            fault.message.contains("must end with a user's message"),
            "{fault}"
        );
    }
    let passed = json!([user, prefill]);
    let request = Request::post("/v1/messages").json(&body);
    let sent = bench(json!({"prefill": "pass"})).send(request);
    assert_eq!(sent.expect("taken").json()["messages"], passed);
    let counted = send("/v1/messages/count_tokens", &body).expect("taken");
    assert_eq!(counted.json()["messages"], passed);
}

#[test]
fn lists_are_bounded() {
    let message = json!({"role": "user", "content": "x"});
    for (name, element, most) in [
        ("stop_sequences", json!("x"), 64),
        ("messages", message, 100_000),
    ] {
        let mut body = with(&json!({name: vec![&element; most]}));
        assert!(send("/v1/messages", &body).is_ok(), "{name}");
        body[name] = json!(vec![&element; most + 1]);
        let outcome = send("/v1/messages", &body).expect_err("refused");
        let fault = outcome.fault.expect("a fault");
        assert_eq!((fault.status, fault.param.as_deref()), (400, Some(name)));
        assert!(
            fault.message.contains(&format!("at most {most} ")),
            "{fault}"
        );
    }
}

#[test]
fn what_is_no_request_is_refused() {
    for (body, says) in [
        (&b""[..], "not a JSON object"),
        (b"[]", "not a JSON object"),
        (b"{\"model\":\"m\"", "EOF"),
        (
            b"{\"model\":\"m\",\"model\":\"n\"}",
            "duplicate field `model`",
        ),
        (b"{\"model\":\"\xff\"}", "UTF-8"),
    ] {
        let request = Request::post("/v1/messages").body(body);
        let outcome = bench(json!({})).send(request).expect_err("refused");
        let fault = outcome.fault.expect("a fault");
        assert_eq!((fault.status, &*fault.code), (400, "invalid_json"));
        assert!(fault.message.contains(says), "{fault}");
    }
    let marked = format!("\u{feff} {}", with(&json!({})));
    let request = Request::post("/v1/messages").body(marked);
    let sent = bench(json!({})).send(request).expect("taken");
    assert_eq!(sent.json()["model"], "m");
}

#[test]
fn the_head_becomes_canonical() {
    let request = Request::post("/v1/messages?beta=true")
        .header("anthropic-version", "2023-06-01")
        .header("anthropic-beta", "interleaved-thinking-2025-05-14")
        .header("anthropic-dangerous-direct-browser-access", "true")
        .header("x-api-key", "sk")
        .json(&with(&json!({})));
    let sent = bench(json!({})).send(request).expect("taken");
    assert_eq!(
        (sent.path.as_str(), sent.query.as_str()),
        ("/v1/chat/completions", "")
    );
    let names: Vec<&str> = sent.fields.iter().map(|field| &*field.name).collect();
    assert!(
        !names.iter().any(|name| name.starts_with("anthropic-")),
        "{names:?}"
    );
    assert!(names.contains(&"x-api-key"));
    assert_eq!(
        sent.header("content-type").as_deref(),
        Some("application/json")
    );
}

#[test]
fn counting_takes_the_same_request_without_a_limit() {
    let mut body =
        with(&json!({"stream": true, "system": "S", "tools": [{"name": "f", "input_schema": {}}]}));
    body["max_tokens"] = Value::Null;
    let sent = send("/v1/messages/count_tokens?beta=true", &body).expect("taken");
    assert_eq!(sent.path, "/v1/chat/completions/input_tokens");
    let expected = json!({"model": "m", "messages": [{"role": "system", "content": "S"}, {"role": "user", "content": "Hi"}],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}]});
    assert_eq!(sent.json(), expected);
}

#[test]
fn models_are_asked_without_a_body() {
    for path in ["/v1/models", "/v1/models/m"] {
        let target = format!("{path}?limit=20");
        let sent = bench(json!({})).send(Request::get(&target)).expect("taken");
        let found = (
            sent.method.as_str(),
            sent.path.as_str(),
            sent.query.as_str(),
        );
        assert_eq!(found, ("GET", path, ""));
    }
    for (request, status) in [
        (Request::post("/v1/messages/batches"), 404),
        (Request::get("/v1/messages"), 405),
    ] {
        let outcome = bench(json!({})).send(request).expect_err("refused");
        assert_eq!(outcome.fault.expect("a fault").status, status);
    }
}

#[test]
fn a_budget_that_is_left_out_is_told() {
    let body = with(&json!({"thinking": {"type": "enabled", "budget_tokens": 1024}}));
    let response = Response::json(
        &json!({"choices": [{"message": {"content": "a"}, "finish_reason": "stop"}]}),
    );
    for (config, dropped) in [("as-asked", true), ("ignore", true), ("with-budget", false)] {
        take_logs();
        let request = Request::post("/v1/messages").json(&body);
        let outcome = bench(json!({"thinking": config})).run(request, &response);
        let told = outcome.header("x-sluicegate-dropped");
        let name = dropped.then_some("thinking.budget_tokens");
        assert_eq!((outcome.status, told.as_deref()), (200, name), "{config}");
        assert_eq!(take_logs().len(), usize::from(dropped));
    }
}

#[test]
fn escapes_are_kept_as_they_are() {
    let text = r#"{"model":"m","max_tokens":9,"system":[{"type":"text","text":"a\u00e9\"\n"},{"type":"text","text":"\ud83d\ude00"}],
        "messages":[{"role":"user","content":[{"type":"text","text":"\\"},{"type":"text","text":"\u2028"}]},
        {"role":"assistant","content":[{"type":"tool_use","id":"t\"","name":"f","input":{"a":"\"\\\n é"}}]}]}"#;
    let request = Request::post("/v1/messages").body(text);
    let sent = bench(json!({"prefill": "pass"}))
        .send(request)
        .expect("taken")
        .json();
    assert_eq!(sent["messages"][0]["content"], "aé\"\n\n\n😀");
    assert_eq!(sent["messages"][1]["content"], "\\\n\n\u{2028}");
    let call = &sent["messages"][2]["tool_calls"][0];
    assert_eq!(call["id"], "t\"");
    let arguments = call["function"]["arguments"].as_str().expect("a text");
    let arguments: Value = serde_json::from_str(arguments).expect("JSON");
    assert_eq!(arguments, json!({"a": "\"\\\n é"}));
}

#[test]
fn images_may_have_escaped_slashes_and_any_case_of_the_scheme() {
    let text = r#"{"model":"m","max_tokens":9,"messages":[{"role":"user","content":[
        {"type":"image","source":{"type":"base64","media_type":"image\/jpeg","data":"\/9j\/4AAQ"}},
        {"type":"image","source":{"type":"url","url":"HTTP:\/\/images.test\/a"}}]}]}"#;
    let request = Request::post("/v1/messages").body(text);
    let sent = bench(json!({})).send(request).expect("taken").json();
    let content = &sent["messages"][0]["content"];
    let url = |at: usize| &content[at]["image_url"]["url"];
    assert_eq!(url(0), "data:image/jpeg;base64,/9j/4AAQ");
    assert_eq!(url(1), "HTTP://images.test/a");
}

#[test]
fn only_known_words_configure_it() {
    for config in [
        json!({"thinking": "no"}),
        json!({"thoughts": "never"}),
        json!({"thought": "always"}),
        json!({"prefill": "continue"}),
    ] {
        assert!(Bench::<Anthropic>::load(config).is_err());
    }
}
