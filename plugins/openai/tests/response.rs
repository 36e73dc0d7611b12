//! Responses: what a client gets of what llama.cpp's server and others send.

use serde_json::{Value, json};
use sluicegate_openai::Openai;
use sluicegate_openai_api::testing;
use sluicegate_plugin::testing::{Bench, Outcome, Request, Response};

fn bench(config: Value) -> Bench<Openai> {
    Bench::load(config).expect("loads")
}

fn chat(members: &Value) -> Request {
    let case = json!({"openai": members});
    testing::request(case.as_object().expect("an object"))
}

/// A chunk as a server sends it.
fn chunk(delta: &Value, finish: &Value) -> Value {
    json!({"id": "its-own", "object": "chat.completion.chunk", "created": 1, "model": "served",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})
}

fn stream(events: &[Value]) -> Response {
    let done = "[DONE]".to_owned();
    Response::sse(events.iter().map(Value::to_string).chain([done]))
}

fn chunks(outcome: &Outcome) -> Vec<Value> {
    let parse = |data: String| serde_json::from_str(&data).unwrap_or(Value::String(data));
    outcome.data().into_iter().map(parse).collect()
}

#[test]
fn every_response_is_what_clients_expect_in_every_batching() {
    testing::check::<Openai>(
        include_str!("fixtures/responses.json"),
        &["its-own", "served"],
    );
}

#[test]
fn every_error_has_openais_form() {
    testing::check::<Openai>(include_str!("fixtures/errors.json"), &[]);
}

#[test]
fn members_that_openai_does_not_have_are_kept_once() {
    let mut first = chunk(
        &json!({"role": "assistant", "content": "a", "audio": 1}),
        &Value::Null,
    );
    first["service_tier"] = json!("default");
    first["citations"] = Value::Null;
    let mut last = chunk(&json!({}), &json!("stop"));
    last["choices"][0]["stop_reason"] = json!("END");
    let usage = json!({"choices": [], "timings": {"ms": 1}, "usage": {"prompt_tokens": 1, "completion_tokens": 1, "details": null}});
    let asked = chat(&json!({"stream": true, "stream_options": {"include_usage": true}}));
    let outcome = bench(json!({})).run(asked, &stream(&[first, last, usage]));
    let own = |choices: Value| {
        json!({"id": "chatcmpl-aaaabbbbccccdddd", "object": "chat.completion.chunk", "created": 1_767_225_600,
            "model": "asked/for:1", "choices": choices})
    };
    let choice = |delta: Value| own(json!([{"index": 0, "delta": delta, "finish_reason": null}]));
    let mut role = choice(json!({"role": "assistant", "content": ""}));
    role["service_tier"] = json!("default");
    let finish =
        own(json!([{"index": 0, "delta": {}, "finish_reason": "stop", "stop_reason": "END"}]));
    let mut usage = own(json!([]));
    usage["timings"] = json!({"ms": 1});
    usage["usage"] = json!({"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2});
    let expected = [
        role,
        choice(json!({"content": "a"})),
        choice(json!({"audio": 1})),
        finish,
        usage,
        json!("[DONE]"),
    ];
    assert_eq!(chunks(&outcome), expected);
    assert_eq!(outcome.note("finish"), Some(json!("stop")));
    assert_eq!(outcome.note("usage").expect("usage")["total_tokens"], 2);
}

#[test]
fn a_content_that_is_no_text_stays_as_it_is() {
    let parts = json!([{"type": "thinking", "thinking": []}, {"type": "text", "text": "A"}]);
    let whole = json!({"choices": [{"message": {"role": "assistant", "content": parts}, "finish_reason": "stop"}]});
    let outcome = bench(json!({})).run(chat(&json!({})), &Response::json(&whole));
    let text = String::from_utf8(outcome.body.clone()).expect("text");
    assert_eq!(text.matches("\"content\"").count(), 1, "{text}");
    assert_eq!(outcome.json()["choices"][0]["message"]["content"], parts);
    let event = chunk(&json!({"content": parts}), &json!("stop"));
    let outcome = bench(json!({})).run(chat(&json!({"stream": true})), &stream(&[event]));
    assert_eq!(
        chunks(&outcome)[1]["choices"][0]["delta"],
        json!({"content": parts})
    );
}

#[test]
fn thoughts_have_the_configured_name() {
    for (name, names) in [
        ("reasoning", &["reasoning"][..]),
        ("reasoning_content", &["reasoning_content"]),
        ("both", &["reasoning", "reasoning_content"]),
    ] {
        let bench = bench(json!({"reasoning-field": name}));
        let event = chunk(&json!({"reasoning_content": "Hm"}), &json!("stop"));
        let outcome = bench.run(chat(&json!({"stream": true})), &stream(&[event]));
        let delta = chunks(&outcome)[1]["choices"][0]["delta"].clone();
        let expected: Vec<(&str, &str)> = names.iter().map(|name| (*name, "Hm")).collect();
        let found: Vec<(&str, &str)> = delta
            .as_object()
            .expect("an object")
            .iter()
            .map(|(name, text)| (&**name, text.as_str().expect("a text")))
            .collect();
        assert_eq!(found, expected);
        let whole = json!({"choices": [{"message": {"reasoning": "Hm", "content": "A"}, "finish_reason": "stop"}]});
        let message =
            &bench.run(chat(&json!({})), &Response::json(&whole)).json()["choices"][0]["message"];
        assert!(names.iter().all(|name| message[*name] == "Hm"), "{message}");
    }
}

#[test]
fn a_stream_that_either_side_cuts_leaves_its_usage() {
    let text = || chunk(&json!({"content": "a"}), &Value::Null).to_string();
    let mut counted = chunk(&json!({"content": "b"}), &Value::Null);
    counted["usage"] = json!({"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7});
    let partial = |prompt: u32, total: u32| json!({"prompt_tokens": prompt, "completion_tokens": 2, "total_tokens": total, "partial": true});
    for (second, expected) in [
        (text(), partial(0, 2)),
        (counted.to_string(), partial(5, 7)),
    ] {
        let cut = || Response::sse([text(), second.clone()]);
        for response in [cut(), cut().broken(), cut().left()] {
            let outcome = bench(json!({})).run(chat(&json!({"stream": true})), &response);
            assert_eq!(outcome.note("usage"), Some(expected.clone()));
            assert_eq!(outcome.note("finish"), None);
        }
    }
}

#[test]
fn completions_of_a_prompt_keep_their_own_shape() {
    let event = |text: &str, finish: Value| {
        json!({"id": "its-own", "object": "text_completion", "created": 1, "model": "served",
            "choices": [{"index": 0, "text": text, "logprobs": {"tokens": [text]}, "finish_reason": finish}]})
    };
    let ask = |stream: bool| {
        Request::post("/v1/completions")
            .json(&json!({"model": "m", "prompt": "x", "stream": stream}))
    };
    let events = [event("<think>", json!("")), event("b", json!("eos_token"))];
    let outcome = bench(json!({})).run(ask(true), &stream(&events));
    let expected = |text: &str, logprobs: Value, finish: Value| {
        json!({"id": "cmpl-aaaabbbbccccdddd", "object": "text_completion", "created": 1_767_225_600, "model": "m",
            "choices": [{"index": 0, "text": text, "logprobs": logprobs, "finish_reason": finish}]})
    };
    let tokens = |text: &str| json!({"tokens": [text]});
    assert_eq!(
        chunks(&outcome),
        [
            expected("<think>", tokens("<think>"), Value::Null),
            expected("b", tokens("b"), Value::Null),
            expected("", Value::Null, json!("stop")),
            json!("[DONE]"),
        ]
    );
    let outcome = bench(json!({})).run(ask(false), &Response::json(&event("b", json!("length"))));
    assert_eq!(outcome.json(), expected("b", tokens("b"), json!("length")));
}

#[test]
fn embeddings_only_get_the_name_of_the_model() {
    let body = r#"{"object":"list","data":[{"object":"embedding","index":0,"embedding":[1.50]}],"model":"served","usage":{"prompt_tokens":1,"total_tokens":1}}"#;
    let ask = || Request::post("/v1/embeddings").json(&json!({"model": "m", "input": "x"}));
    let response = |body: &str| {
        Response::new(200)
            .header("content-type", "application/json")
            .body(body)
    };
    let outcome = bench(json!({})).run(ask(), &response(body));
    let text = String::from_utf8(outcome.body.clone()).expect("text");
    assert_eq!(text, body.replace("served", "m"));
    assert_eq!(
        outcome.note("usage"),
        Some(json!({"prompt_tokens": 1, "total_tokens": 1}))
    );
    for (body, status) in [
        ("{}", 502),
        (r#"{"error":{"message":"no","code":400}}"#, 400),
    ] {
        let fault = bench(json!({}))
            .run(ask(), &response(body))
            .fault
            .expect("a fault");
        assert_eq!(fault.status, status, "{fault}");
    }
}

#[test]
fn models_are_listed_and_found() {
    let list = json!({"object": "list", "data": [
        {"id": "qwen", "object": "model", "created": 7, "owned_by": "llamacpp", "meta": {"n_ctx": 64, "n_ctx_train": 128}},
        {"id": "acme/large", "owned_by": "", "context_window": 4096, "root": "/secret"},
        {"id": "gpt", "created": 8, "owned_by": "openai"},
        {"name": "no id"},
    ]});
    let run = |target: &str, body: &Value| {
        bench(json!({})).run(Request::get(target), &Response::json(body))
    };
    let entry = |id: &str, created: u32, owner: &str, length: Option<u32>| {
        let mut entry = json!({"id": id, "object": "model", "created": created, "owned_by": owner});
        if let Some(length) = length {
            entry["context_length"] = json!(length);
        }
        entry
    };
    let expected = [
        entry("qwen", 7, "library", Some(64)),
        entry("acme/large", 0, "acme", Some(4096)),
        entry("gpt", 8, "openai", None),
    ];
    let outcome = run("/v1/models?limit=3", &list);
    let sent = outcome.sent.as_ref().expect("sent");
    assert_eq!((&*sent.path, &*sent.query), ("/v1/models", ""));
    assert_eq!(outcome.json(), json!({"object": "list", "data": expected}));
    // A list without an object around it.
    assert_eq!(
        run("/v1/models", &list["data"]).json()["data"],
        json!(expected)
    );
    assert_eq!(
        run("/v1/models", &json!({"data": null})).json()["data"],
        json!([])
    );
    let found = run("/v1/models/acme%2Flarge", &list);
    assert_eq!(
        found.sent.as_ref().map(|sent| &*sent.path),
        Some("/v1/models")
    );
    assert_eq!(found.json(), expected[1]);
    let fault = run("/v1/models/other", &list).fault.expect("not there");
    assert_eq!((fault.status, &*fault.code), (404, "model_not_found"));
}
