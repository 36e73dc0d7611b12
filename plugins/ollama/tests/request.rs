//! Requests: every row of the mapping, and every refusal.

use serde_json::{Map, Value, json};
use sluicegate_ollama::Ollama;
use sluicegate_openai_api::testing;
use sluicegate_plugin::Fault;
use sluicegate_plugin::testing::{Bench, Outcome, Request, Response, Sent, take_logs};

fn fixtures(text: &str) -> Vec<Map<String, Value>> {
    serde_json::from_str(text).expect("a list of cases")
}

fn bench(case: &Map<String, Value>) -> Bench<Ollama> {
    Bench::load(case.get("config").cloned().unwrap_or_else(|| json!({}))).expect("loads")
}

/// The case's members, added to a minimal request.
fn openai(case: &Map<String, Value>) -> Value {
    let mut request = json!({"model": "m", "messages": [{"role": "user", "content": "Hi"}]});
    let members = request.as_object_mut().expect("an object");
    members.extend(case["openai"].as_object().expect("an object").clone());
    request
}

fn send(bench: &Bench<Ollama>, body: impl Into<Vec<u8>>) -> Result<Sent, Box<Outcome>> {
    bench.send(Request::post("/v1/chat/completions").body(body))
}

fn refusal(result: Result<Sent, Box<Outcome>>) -> Fault {
    result.expect_err("refused").fault.expect("a fault")
}

#[test]
fn every_row_of_the_mapping_table() {
    for case in fixtures(include_str!("fixtures/requests.json")) {
        let name = case["case"].as_str().expect("a name");
        let sent = send(&bench(&case), openai(&case).to_string());
        let sent = sent.unwrap_or_else(|outcome| panic!("{name}: {:?}", outcome.fault));
        assert_eq!(sent.path, "/api/chat", "{name}");
        let body = sent.json();
        for (member, expected) in case["ollama"].as_object().expect("an object") {
            let found = body.get(member).unwrap_or(&Value::Null);
            assert_eq!(found, expected, "{name}: {member}");
        }
        // No parameter of OpenAI's reaches Ollama under its own name.
        for member in body.as_object().expect("an object").keys() {
            let known = [
                "model",
                "messages",
                "stream",
                "format",
                "keep_alive",
                "tools",
                "options",
                "think",
                "truncate",
                "shift",
                "logprobs",
                "top_logprobs",
            ];
            assert!(known.contains(&member.as_str()), "{name}: {member}");
        }
    }
}

#[test]
fn every_bad_request_is_a_400_that_names_the_parameter() {
    for case in fixtures(include_str!("fixtures/refusals.json")) {
        let name = case["case"].as_str().expect("a name");
        let body = match case.get("body") {
            Some(body) => body.as_str().expect("a text").to_owned(),
            None => openai(&case).to_string(),
        };
        let result = send(&bench(&case), body);
        assert!(result.is_err(), "{name}");
        let fault = refusal(result);
        assert_eq!(fault.status, 400, "{name}: {fault}");
        assert_eq!(fault.code, case["code"], "{name}: {fault}");
        assert_eq!(
            fault.param.as_deref(),
            case.get("param").and_then(Value::as_str),
            "{name}"
        );
        if let Some(part) = case.get("says") {
            assert!(
                fault.message.contains(part.as_str().expect("a text")),
                "{name}: {fault}"
            );
        }
    }
}

#[test]
fn text_that_is_not_utf8_is_told_with_its_place() {
    let fault = refusal(send(&bench(&Map::new()), b"{\"model\":\"\xff\"}".to_vec()));
    assert_eq!((fault.status, fault.code.as_str()), (400, "invalid_json"));
    assert!(fault.message.contains("byte 10"), "{fault}");
}

#[test]
fn a_byte_order_mark_and_blanks_do_not_matter() {
    let body =
        "\u{feff} {\"messages\":[{\"content\":\"x\",\"role\":\"user\"}] , \"model\":\"m\"}\r\n";
    let sent = send(&bench(&Map::new()), body).expect("translates");
    assert_eq!(
        sent.json()["messages"],
        json!([{"role": "user", "content": "x"}])
    );
}

#[test]
fn a_name_longer_than_any_models_is_refused() {
    let request = json!({"model": "x".repeat(513), "messages": [{"role": "user", "content": ""}]});
    let fault = refusal(send(&bench(&Map::new()), request.to_string()));
    assert_eq!(fault.param.as_deref(), Some("model"));
}

#[test]
fn escaped_data_uris_are_unescaped() {
    // PHP writes `\/` for every slash.
    let body = r#"{"model":"m","messages":[{"role":"user","content":[
        {"type":"image_url","image_url":{"url":"data:image\/png;base64,A\/B="}}]}]}"#;
    let sent = send(&bench(&Map::new()), body).expect("translates");
    assert_eq!(sent.json()["messages"][0]["images"], json!(["A/B="]));
}

#[test]
fn half_a_surrogate_pair_in_the_arguments_of_a_call_is_accepted() {
    let call = |arguments: &str| {
        format!(
            r#"{{"model":"m","messages":[{{"role":"assistant","tool_calls":[{{"function":{{"name":"f","arguments":{arguments}}}}}]}}]}}"#
        )
    };
    for (arguments, expected) in [
        // In the text as the model wrote it.
        (r#""{\"a\":\"\\ud83d\"}""#, r#""arguments":{"a":"\ud83d"}"#),
        // In the text as the client wrote it, which is not valid text.
        (
            r#""{\"a\":\"\ud83d\"}""#,
            r#""arguments":{"arguments":"{\"a\":\"\ud83d\"}"}"#,
        ),
        (r#"{"a":"\ud83d"}"#, r#""arguments":{"a":"\ud83d"}"#),
    ] {
        let sent = send(&bench(&Map::new()), call(arguments)).expect("translates");
        let body = String::from_utf8(sent.body).expect("text");
        assert!(body.contains(expected), "{arguments}: {body}");
    }
}

#[test]
fn the_head_goes_to_ollamas_endpoint_without_the_query() {
    let body = json!({"model": "m", "messages": [{"role": "user", "content": "x"}]});
    let request = Request::post("/v1/chat/completions?api-version=1")
        .header("content-type", "text/plain")
        .body(body.to_string());
    let sent = bench(&Map::new()).send(request).expect("translates");
    assert_eq!((sent.path.as_str(), sent.query.as_str()), ("/api/chat", ""));
    assert_eq!(
        sent.header("content-type").as_deref(),
        Some("application/json")
    );
}

#[test]
fn paths_without_a_counterpart_are_not_found() {
    for path in [
        "/",
        "/v1",
        "/v1/",
        "/v1/models/",
        "/v1/responses",
        "/v1/completions/",
        "/api/pull",
        "/api/chat",
        "/v1/chat/completions/",
    ] {
        let fault = refusal(bench(&Map::new()).send(Request::post(path)));
        assert_eq!(
            (fault.status, fault.code.as_str()),
            (404, "not_found"),
            "{path}"
        );
    }
}

#[test]
fn unknown_parameters_are_logged_once_and_only_by_name() {
    take_logs();
    let request = json!({"model": "m", "messages": [{"role": "user", "content": "x"}], "frob": "secret", "nic": 1});
    send(&bench(&Map::new()), request.to_string()).expect("translates");
    let lines = take_logs();
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0].fields(), r#"{"parameters":["frob","nic"]}"#);
}

#[test]
fn tokens_are_estimated_without_asking_ollama() {
    let bench = bench(&Map::new());
    let path = "/v1/chat/completions/input_tokens";
    let body = json!({"model": "m", "messages": [{"role": "user", "content": "Hello 你好"}]});
    let outcome = bench
        .send(Request::post(path).json(&body))
        .expect_err("a reply");
    assert_eq!((outcome.status, &outcome.sent), (200, &None));
    assert_eq!(outcome.json(), json!({"input_tokens": 8}));
    assert_eq!(
        outcome.header("x-sluicegate-estimate").as_deref(),
        Some("true")
    );
    let fault = refusal(bench.send(Request::post(path).json(&json!({"model": "m"}))));
    assert_eq!(fault.param.as_deref(), Some("messages"));
}

#[test]
fn what_ollama_cannot_do_is_refused_or_dropped() {
    let line = json!({"message": {"content": "Hi"}, "response": "Hi", "done": true, "done_reason": "stop"});
    testing::check_unsupported::<Ollama>(
        include_str!("fixtures/unsupported.json"),
        &Response::ndjson([line.to_string()]),
    );
}

#[test]
fn a_path_is_asked_with_its_own_method_only() {
    // HEAD is shown as GET.
    const METHODS: [&str; 6] = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    for (path, allowed) in [
        ("/v1/chat/completions", "POST"),
        ("/v1/completions", "POST"),
        ("/v1/embeddings", "POST"),
        ("/v1/chat/completions/input_tokens", "POST"),
        ("/v1/models", "GET"),
        ("/v1/models/a%2Fb", "GET"),
    ] {
        for method in METHODS.into_iter().filter(|method| *method != allowed) {
            let request = Request::new(method, path).body("{}");
            let outcome = bench(&Map::new()).run(request, &Response::json(&json!({})));
            assert!(outcome.sent.is_none(), "{method} {path}");
            let allow = outcome.header("allow");
            let fault = outcome.fault.expect("a fault");
            assert_eq!(
                (fault.status, &*fault.code, allow.as_deref()),
                (405, "method_not_allowed", Some(allowed)),
                "{method} {path}"
            );
        }
    }
}
