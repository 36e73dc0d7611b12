//! Responses: streams in all batchings, whole responses, errors, models.

use serde_json::{Map, Value, json};
use sluicegate_ollama::Ollama;
use sluicegate_openai_api::testing::{self, Framing};
use sluicegate_plugin::testing::{BATCHINGS, Bench, Outcome, Request, Response};

fn fixtures(text: &str) -> Vec<Map<String, Value>> {
    serde_json::from_str(text).expect("a list of cases")
}

fn bench(config: Option<&Value>) -> Bench<Ollama> {
    Bench::load(config.cloned().unwrap_or_else(|| json!({}))).expect("loads")
}

/// A chat request with additional members.
fn chat(members: Option<&Value>) -> Request {
    let mut request =
        json!({"model": "m/x:1", "stream": true, "messages": [{"role": "user", "content": "Hi"}]});
    if let Some(Value::Object(members)) = members {
        request
            .as_object_mut()
            .expect("an object")
            .extend(members.clone());
    }
    Request::post("/v1/chat/completions").json(&request)
}

/// Lines of a fixture: values as compact JSON, texts as they are.
fn lines(case: &Map<String, Value>) -> Vec<String> {
    let text = |line: &Value| {
        line.as_str()
            .map_or_else(|| line.to_string(), str::to_owned)
    };
    case["lines"]
        .as_array()
        .expect("a list")
        .iter()
        .map(text)
        .collect()
}

/// A chunk of a fixture: `[delta, finish reason, logprobs?]`, `{"usage"}`, or the end marker.
fn chunk(expected: &Value) -> Value {
    let mut chunk = json!({
        "id": "chatcmpl-aaaabbbbccccdddd", "object": "chat.completion.chunk",
        "created": 1_767_225_600, "model": "m/x:1", "choices": []
    });
    match expected {
        Value::Array(parts) => {
            chunk["choices"] = json!([{"index": 0, "delta": parts[0], "finish_reason": parts[1]}]);
            if let Some(logprobs) = parts.get(2) {
                chunk["choices"][0]["logprobs"] = logprobs.clone();
            }
        }
        Value::Object(members) => chunk["usage"] = members["usage"].clone(),
        marker => return marker.clone(),
    }
    chunk
}

fn chunks(outcome: &Outcome) -> Vec<Value> {
    let parse = |data: String| serde_json::from_str(&data).unwrap_or(Value::String(data));
    outcome.data().into_iter().map(parse).collect()
}

#[test]
fn every_stream_becomes_the_same_chunks_in_every_batching() {
    for case in fixtures(include_str!("fixtures/streams.json")) {
        let name = case["case"].as_str().expect("a name");
        let bench = bench(case.get("config"));
        let expected: Vec<Value> = case["chunks"]
            .as_array()
            .expect("a list")
            .iter()
            .map(chunk)
            .collect();
        // Blank lines are no events.
        let lines: Vec<String> = lines(&case)
            .into_iter()
            .filter(|line| !line.trim().is_empty())
            .collect();
        let sizes = testing::batchings(Framing::Ndjson, &lines);
        for sizes in sizes.iter().map(Vec::as_slice).chain(BATCHINGS) {
            let response = Response::ndjson(lines.clone()).batches(sizes);
            let outcome = bench.run(chat(case.get("openai")), &response);
            assert_eq!(chunks(&outcome), expected, "{name} in batches of {sizes:?}");
            // Until an event has left the adapter, a fault is a whole response.
            let streamed = !expected.is_empty();
            let content_type = outcome.header("content-type");
            assert_eq!(
                content_type.as_deref(),
                streamed.then_some("text/event-stream; charset=utf-8"),
                "{name}"
            );
            assert_eq!(outcome.status == 200, streamed, "{name}");
            assert!(
                outcome.events.iter().all(|event| event.name.is_empty()),
                "{name}"
            );
            match (case.get("fault"), &outcome.fault) {
                (None, fault) => assert_eq!(*fault, None, "{name}"),
                (Some(expected), fault) => {
                    let fault = fault.as_ref().unwrap_or_else(|| panic!("{name}: no fault"));
                    assert_eq!(
                        json!({"status": fault.status, "code": fault.code}),
                        *expected
                    );
                }
            }
            for note in ["finish", "usage"] {
                if let Some(expected) = case.get(note) {
                    assert_eq!(
                        outcome.note(note).as_ref(),
                        Some(expected),
                        "{name}: {note}"
                    );
                }
            }
        }
    }
}

/// What Ollama sends in place of these lines to a client that wants no stream: texts, calls and tokens put together.
fn in_one_object(lines: &[String]) -> Value {
    let mut texts = [("content", String::new()), ("thinking", String::new())];
    let (mut calls, mut tokens) = (Vec::new(), Vec::new());
    for line in lines {
        let mut line: Value = serde_json::from_str(line).expect("JSON");
        let message = line["message"].take();
        for (name, text) in &mut texts {
            *text += message[*name].as_str().unwrap_or_default();
        }
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        calls.extend(list(&message["tool_calls"]));
        tokens.extend(list(&line["logprobs"]));
        if line["done"] == true {
            line["message"] = json!({"role": "assistant", "tool_calls": calls});
            for (name, text) in texts {
                line["message"][name] = json!(text);
            }
            line["logprobs"] = json!(tokens);
            return line;
        }
    }
    panic!("no end: {lines:?}");
}

#[test]
fn one_object_says_the_same_as_the_stream() {
    for case in fixtures(include_str!("fixtures/streams.json")) {
        let name = case["case"].as_str().expect("a name");
        // A text that is no token's cannot be told from thoughts where all are in one object.
        if case.contains_key("fault") || name.starts_with("logprobs of text that was held back") {
            continue;
        }
        let lines: Vec<String> = lines(&case)
            .into_iter()
            .filter(|line| !line.trim().is_empty())
            .collect();
        let whole = Response::json(&in_one_object(&lines));
        let request = |stream: bool| {
            let mut members = case.get("openai").cloned().unwrap_or_else(|| json!({}));
            members["stream"] = json!(stream);
            if !stream && let Some(members) = members.as_object_mut() {
                members.remove("stream_options");
            }
            chat(Some(&members))
        };
        let mut config = case.get("config").cloned().unwrap_or_else(|| json!({}));
        config["stream"] = json!("as-client");
        let bench = bench(Some(&config));
        let outcome = bench.run(request(true), &Response::ndjson(lines));
        let (streamed, _) =
            testing::streamed(&outcome).unwrap_or_else(|why| panic!("{name}: {why}"));
        let outcome = bench.run(request(false), &whole);
        let (found, usage) = testing::whole(&outcome).unwrap_or_else(|why| panic!("{name}: {why}"));
        let said = |choice: &testing::Said| {
            let mut said = choice.to_json();
            // Ids that the server left out are drawn.
            said["ids"] = json!(
                choice
                    .calls
                    .iter()
                    .map(|[id, ..]| !id.is_empty())
                    .collect::<Vec<_>>()
            );
            said
        };
        assert_eq!(said(&found[&0]), said(&streamed[&0]), "{name}");
        if let Some(expected) = case.get("usage") {
            assert_eq!(usage.as_ref(), Some(expected), "{name}");
        }
    }
}

#[test]
fn the_notes_of_the_gateway_are_left_alone() {
    let line = json!({"done": true}).to_string();
    let outcome = bench(None).run(chat(None), &Response::ndjson([line.clone()]));
    assert_eq!(outcome.note("model"), Some(json!("m/x:1")));
    assert_eq!(outcome.note("stream"), Some(json!(true)));
    let outcome = bench(None).run(
        chat(Some(&json!({"stream": null}))),
        &Response::ndjson([line]),
    );
    assert_eq!(outcome.note("stream"), Some(json!(false)));
}

#[test]
fn the_response_names_the_model_that_the_client_asked_for() {
    // The upstream may have another name for it, which is then in the body of the attempt.
    let body = json!({"model": "own/name", "stream": true, "messages": [{"role": "user", "content": "Hi"}]});
    let request = Request::post("/v1/chat/completions")
        .json(&body)
        .note("model", "\"asked\"");
    let line = json!({"done": true}).to_string();
    let outcome = bench(None).run(request, &Response::ndjson([line]));
    assert_eq!(
        outcome.sent.as_ref().expect("sent").json()["model"],
        "own/name"
    );
    assert_eq!(chunks(&outcome)[0]["model"], "asked");
}

#[test]
fn a_missing_call_id_is_generated_and_always_different() {
    let call = json!({"function": {"name": "f", "arguments": {}}});
    let empty = json!({"id": "", "function": {"name": "f", "arguments": {}}});
    let line = json!({"message": {"content": "", "tool_calls": [call, empty]}, "done": true});
    let outcome = bench(None).run(chat(None), &Response::ndjson([line.to_string()]));
    let ids: Vec<String> = chunks(&outcome)
        .iter()
        .filter_map(|chunk| chunk["choices"][0]["delta"]["tool_calls"][0]["id"].as_str())
        .map(str::to_owned)
        .collect();
    assert_eq!(ids.len(), 2);
    assert_ne!(ids[0], ids[1]);
    assert!(
        ids.iter()
            .all(|id| id.starts_with("call_") && id.len() == 29)
    );
}

#[test]
fn a_client_s_own_request_id_is_kept_whole() {
    let line = json!({"done": true}).to_string();
    let outcome = bench(None).run(chat(None).id("my-id_7"), &Response::ndjson([line]));
    assert_eq!(chunks(&outcome)[0]["id"], "chatcmpl-my-id_7");
}

#[test]
fn one_object_in_place_of_a_stream_is_streamed_too() {
    let answer = json!({"message": {"content": "x"}, "done": true, "done_reason": "stop"});
    let outcome = bench(None).run(chat(None), &Response::json(&answer));
    assert_eq!(outcome.data().last().map(String::as_str), Some("[DONE]"));
    assert_eq!(outcome.fault, None);
}

#[test]
fn a_server_that_breaks_off_leaves_no_end_marker() {
    let line = json!({"message": {"content": "x"}, "done": false}).to_string();
    let outcome = bench(None).run(chat(None), &Response::ndjson([line]).broken());
    assert!(!outcome.data().contains(&"[DONE]".to_owned()));
    assert!(outcome.fault.is_some());
}

#[test]
fn a_stream_that_either_side_cuts_leaves_its_usage() {
    let line = |text: &str| json!({"message": {"content": text}, "done": false}).to_string();
    let done = json!({"done": true, "eval_count": 7}).to_string();
    let partial = |tokens: u32| {
        json!({
            "prompt_tokens": 0, "completion_tokens": tokens, "total_tokens": tokens, "partial": true
        })
    };
    let cut = || Response::ndjson([line("a"), line("b")]);
    for response in [cut(), cut().broken(), cut().left()] {
        let outcome = bench(None).run(chat(None), &response);
        assert_eq!(outcome.note("usage"), Some(partial(2)));
        assert_eq!(outcome.note("finish"), None);
    }
    let nothing = Response::ndjson::<&str>([]).left();
    assert_eq!(
        bench(None).run(chat(None), &nothing).note("usage"),
        Some(partial(0))
    );
    // The stream was not cut, the client has left.
    let left = Response::ndjson([line("a"), done]).left();
    let outcome = bench(None).run(chat(None), &left);
    assert_eq!(
        outcome.note("usage"),
        Some(json!({"prompt_tokens": 0, "completion_tokens": 7, "total_tokens": 7}))
    );
    let failed = Response::new(500).body("{\"error\":\"boom\"}");
    assert_eq!(bench(None).run(chat(None), &failed).note("usage"), None);
}

#[test]
fn a_fault_after_good_lines_of_the_same_batch_ends_the_body() {
    let lines = [
        json!({"message": {"content": "a"}, "done": false}).to_string(),
        json!({"error": "boom"}).to_string(),
        json!({"message": {"content": "late"}, "done": false}).to_string(),
    ];
    let outcome = bench(None).run(chat(None), &Response::ndjson(lines));
    assert!(outcome.finished);
    assert_eq!(outcome.events.len(), 2, "the role and the text");
    assert_eq!(
        outcome.fault.map(|fault| fault.code).as_deref(),
        Some("upstream_error")
    );
}

fn whole(answer: &Value) -> Outcome {
    let bench = bench(Some(&json!({"stream": "as-client"})));
    let members = json!({"stream": false});
    bench.run(chat(Some(&members)), &Response::json(answer))
}

#[test]
fn a_whole_response_becomes_a_completion() {
    let outcome = whole(&json!({
        "model": "m", "created_at": "x", "done": true, "done_reason": "length",
        "message": {"role": "assistant", "content": "Hi <b> \"you\"", "thinking": "Hm"},
        "logprobs": [{"token": "Hi", "logprob": -1.5}],
        "prompt_eval_count": 3, "eval_count": 4
    }));
    assert_eq!(outcome.fault, None);
    assert_eq!(
        outcome.header("content-type").as_deref(),
        Some("application/json")
    );
    let usage = json!({"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7});
    assert_eq!(
        outcome.json(),
        json!({
            "id": "chatcmpl-aaaabbbbccccdddd", "object": "chat.completion",
            "created": 1_767_225_600, "model": "m/x:1",
            "choices": [{
                "index": 0, "finish_reason": "length",
                "message": {"role": "assistant", "content": "Hi <b> \"you\"", "refusal": null, "reasoning": "Hm"},
                "logprobs": {"content": [{"token": "Hi", "logprob": -1.5, "bytes": null, "top_logprobs": []}], "refusal": null}
            }],
            "usage": usage
        })
    );
    assert_eq!(outcome.note("usage"), Some(usage));
    assert_eq!(outcome.note("finish"), Some(json!("length")));
}

#[test]
fn a_whole_response_leaves_out_thoughts_that_are_not_wanted() {
    let answer = json!({"done": true, "message": {"content": "Hi", "thinking": "Hm"}});
    let members = json!({"stream": false, "reasoning": {"exclude": true}});
    let bench = bench(Some(&json!({"stream": "as-client"})));
    let outcome = bench.run(chat(Some(&members)), &Response::json(&answer));
    let message = &outcome.json()["choices"][0]["message"];
    assert_eq!(
        *message,
        json!({"role": "assistant", "content": "Hi", "refusal": null})
    );
}

#[test]
fn a_whole_response_with_calls_has_no_content() {
    let call =
        |id: &str| json!({"id": id, "function": {"index": 0, "name": "f", "arguments": {"a": 1}}});
    let message = json!({"content": "", "tool_calls": [call("a"), call("b")]});
    let outcome = whole(&json!({"done": true, "done_reason": "stop", "message": message}));
    let choice = &outcome.json()["choices"][0];
    assert_eq!(choice["finish_reason"], "tool_calls");
    assert_eq!(choice["message"]["content"], Value::Null);
    let called = |id: &str| json!({"id": id, "type": "function", "function": {"name": "f", "arguments": "{\"a\":1}"}});
    assert_eq!(
        choice["message"]["tool_calls"],
        json!([called("a"), called("b")])
    );
}

#[test]
fn a_call_whose_arguments_cannot_be_read_ends_with_length() {
    let readable = json!({"function": {"name": "g", "arguments": {}}});
    for (arguments, shown, finish) in [
        (
            json!("{\"a\": \"\\u00e9\"}"),
            "{\"a\": \"\\u00e9\"}",
            "tool_calls",
        ),
        (json!(""), "{}", "tool_calls"),
        (Value::Null, "{}", "tool_calls"),
        (json!("{\"a\":"), "{\"a\":", "length"),
        (json!("{\"a\": \"\n\"}"), "{\"a\": \"\n\"}", "length"),
        (json!("Paris"), "Paris", "length"),
    ] {
        let call = json!({"id": "a", "function": {"name": "f", "arguments": arguments}});
        let message = json!({"content": "", "tool_calls": [call, readable]});
        let response = json!({"done": true, "done_reason": "stop", "message": message});
        let outcome = whole(&response);
        let choice = &outcome.json()["choices"][0];
        let called = &choice["message"]["tool_calls"];
        let found = (
            &called[0]["function"]["arguments"],
            &choice["finish_reason"],
        );
        assert_eq!(found, (&json!(shown), &json!(finish)), "{arguments}");
        assert_eq!(called[1]["function"]["name"], "g");
        // In a stream, the end may be another line.
        let lines = [
            json!({"message": message, "done": false}).to_string(),
            json!({"done": true, "done_reason": "stop"}).to_string(),
        ];
        let outcome = bench(None).run(chat(None), &Response::ndjson(lines));
        assert_eq!(outcome.note("finish"), Some(json!(finish)), "{arguments}");
    }
}

#[test]
fn a_response_is_not_lost_by_null_or_a_strange_count() {
    let lines = [
        r#"{"message":{"content":"a"},"done":null,"eval_count":null}"#,
        r#"{"message":{"content":"b"},"done":false,"prompt_eval_count":-1}"#,
        r#"{"message":{"content":""},"done":true,"done_reason":"stop","prompt_eval_count":-1,"eval_count":2.0}"#,
    ];
    let outcome = bench(None).run(chat(None), &Response::ndjson(lines));
    assert_eq!(outcome.fault, None);
    let (found, _) = testing::streamed(&outcome).expect("a stream");
    assert_eq!(found[&0].to_json()["content"], "ab");
    assert_eq!(
        outcome.note("usage"),
        Some(json!({"prompt_tokens": 0, "completion_tokens": 2, "total_tokens": 2}))
    );
}

#[test]
fn a_call_without_a_name_is_refused() {
    let named = json!({"function": {"name": "f", "arguments": {}}});
    for function in [
        json!({"name": null, "arguments": {}}),
        json!({"name": "", "arguments": {}}),
        json!({"name": 1, "arguments": {}}),
        json!({"arguments": {}}),
        Value::Null,
    ] {
        let calls = json!([named, {"id": "a", "function": function}]);
        let message = json!({"content": "", "tool_calls": calls});
        let response = json!({"done": true, "done_reason": "stop", "message": message});
        let streamed = bench(None).run(chat(None), &Response::ndjson([response.to_string()]));
        for outcome in [whole(&response), streamed] {
            let fault = outcome.fault.expect("a fault");
            let found = (fault.status, &*fault.code);
            assert_eq!(found, (502, "upstream_invalid"), "{function}");
        }
    }
}

#[test]
fn logprobs_of_a_whole_response_are_those_of_its_content() {
    let token = |text: &str| json!({"token": text, "logprob": -1});
    let shown = |message: Value, tokens: &[&str]| {
        let tokens: Vec<Value> = tokens.iter().map(|text| token(text)).collect();
        let outcome = whole(&json!({"done": true, "message": message, "logprobs": tokens}));
        let logprobs = outcome.json()["choices"][0]["logprobs"]["content"].clone();
        let list = logprobs.as_array().expect("a list").clone();
        list.iter()
            .map(|token| token["token"].as_str().expect("a text").to_owned())
            .collect::<Vec<_>>()
    };
    let thoughtful = json!({"content": "Hi you", "thinking": "Hi you\n"});
    let tokens = [
        "<think>", "Hi", " you", "\n", "</think>", "\n\n", "Hi", " you", "<end>",
    ];
    assert_eq!(shown(thoughtful, &tokens), ["Hi", " you"]);
    let only = json!({"content": "", "thinking": "Hm"});
    assert!(shown(only, &["<think>", "Hm"]).is_empty());
    assert_eq!(shown(json!({"content": "Hi"}), &["H", "i"]), ["H", "i"]);
    // The texts do not match, and nothing but content was made.
    assert_eq!(shown(json!({"content": "é"}), &["\u{fffd}"]), ["\u{fffd}"]);
    let unknown = json!({"content": "é", "thinking": "Hm"});
    assert!(shown(unknown, &["Hm", "\u{fffd}"]).is_empty());
}

#[test]
fn a_whole_response_may_be_empty_but_not_unfinished() {
    let message = &whole(&json!({"done": true})).json()["choices"][0]["message"];
    assert_eq!(
        *message,
        json!({"role": "assistant", "content": "", "refusal": null})
    );
    let code = |answer: Value| whole(&answer).fault.expect("a fault").code;
    assert_eq!(
        code(json!({"message": {"content": "x"}, "done": false})),
        "upstream_truncated"
    );
    assert_eq!(code(json!({"error": "boom"})), "upstream_error");
    assert_eq!(code(json!([])), "upstream_invalid");
    for reason in ["load", "unload"] {
        let fault = whole(&json!({"done": true, "done_reason": reason})).fault;
        let fault = fault.expect("a fault");
        assert_eq!(fault.code, "upstream_error", "{reason}");
        assert!(fault.message.contains("without messages"), "{fault}");
    }
}

#[test]
fn every_error_has_the_right_status_code_and_parameter() {
    for case in fixtures(include_str!("fixtures/errors.json")) {
        let name = case["case"].as_str().expect("a name");
        let status = u16::try_from(case["status"].as_u64().expect("a status")).expect("small");
        let body = match &case["body"] {
            Value::String(text) => text.clone(),
            body => body.to_string(),
        };
        let mut response = Response::new(status).body(body);
        for (name, value) in case
            .get("headers")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
        {
            response = response.header(name, value.as_str().expect("a text"));
        }
        let outcome = bench(None).run(chat(None), &response);
        let fault = outcome.fault.as_ref().expect("a fault");
        let (found, message) = (
            json!([fault.status, fault.code, fault.param]),
            &fault.message,
        );
        assert_eq!(found, case["expect"], "{name}: {message}");
        assert_eq!(outcome.status, fault.status, "{name}");
        if let Some(part) = case.get("says") {
            assert!(
                message.contains(part.as_str().expect("a text")),
                "{name}: {message}"
            );
        }
        let after = case.get("retry-after").and_then(Value::as_str);
        assert_eq!(outcome.header("retry-after").as_deref(), after, "{name}");
    }
}

#[test]
fn an_error_text_of_any_length_and_depth_is_bounded() {
    let long = json!({"error": "é".repeat(5000)}).to_string();
    let mut deep = json!({"error": "bottom"}).to_string();
    for _ in 0..6 {
        deep = json!({ "error": deep }).to_string();
    }
    for body in [long, deep] {
        let outcome = bench(None).run(chat(None), &Response::new(500).body(body));
        assert!(outcome.fault.expect("a fault").message.len() <= 1000);
    }
}

#[test]
fn responses_of_another_kind_are_refused_before_the_body() {
    for kind in [
        "text/html",
        "text/event-stream",
        "text/plain; charset=utf-8",
        "application/jsonp",
        "",
    ] {
        let response = Response::new(200)
            .header("content-type", kind)
            .body("{\"done\":true}");
        let outcome = bench(None).run(chat(None), &response);
        assert_eq!(
            outcome.fault.map(|fault| fault.code).as_deref(),
            Some("upstream_invalid"),
            "{kind}"
        );
    }
    for kind in [
        "Application/X-NDJSON",
        "application/json; charset=utf-8",
        "application/ndjson",
    ] {
        let response = Response::new(200)
            .header("content-type", kind)
            .body("{\"done\":true}");
        assert_eq!(bench(None).run(chat(None), &response).fault, None, "{kind}");
    }
    let unnamed = Response::new(200).body("{\"done\":true}");
    assert_eq!(bench(None).run(chat(None), &unnamed).fault, None);
}

#[test]
fn models_are_listed_and_found() {
    let tags = json!({"models": [{"name": "qwen3:32b", "modified_at": "2026-08-01T10:00:00Z"}]});
    let run = |target: &str| bench(None).run(Request::get(target), &Response::json(&tags));
    let outcome = run("/v1/models?limit=3");
    let sent = outcome.sent.as_ref().expect("sent");
    assert_eq!((sent.path.as_str(), sent.query.as_str()), ("/api/tags", ""));
    assert_eq!(outcome.json()["data"][0]["id"], "qwen3:32b");
    assert_eq!(run("/v1/models/qwen3%3A32b").json()["object"], "model");
    let fault = run("/v1/models/gpt-4").fault.expect("not there");
    assert_eq!(
        (fault.status, fault.code.as_str()),
        (404, "model_not_found")
    );
    let failed = Response::new(500).body("{\"error\":\"boom\"}");
    let outcome = bench(None).run(Request::get("/v1/models"), &failed);
    assert_eq!(outcome.fault.map(|fault| fault.status), Some(502));
}
