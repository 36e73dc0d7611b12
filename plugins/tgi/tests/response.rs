//! Responses: what a client gets of what TGI sends.

use serde_json::{Value, json};
use sluicegate_openai_api::testing;
use sluicegate_plugin::testing::{BATCHINGS, Bench, Outcome, Request, Response};
use sluicegate_tgi::Tgi;

/// Words that are TGI's.
const NAMES: [&str; 5] = [
    "acme/stub",
    "native",
    "stop_sequence",
    "eos_token",
    "description",
];

fn bench(config: Value) -> Bench<Tgi> {
    Bench::load(config).expect("loads")
}

fn chunks(outcome: &Outcome) -> Vec<Value> {
    let parse = |data: String| serde_json::from_str(&data).unwrap_or(Value::String(data));
    outcome.data().into_iter().map(parse).collect()
}

#[test]
fn every_response_is_what_clients_expect_in_every_batching() {
    testing::check::<Tgi>(include_str!("fixtures/responses.json"), &NAMES);
}

#[test]
fn every_error_has_openais_form() {
    testing::check::<Tgi>(include_str!("fixtures/errors.json"), &NAMES);
}

#[test]
fn tokens_beyond_the_limit_are_cut_off_and_the_server_is_released() {
    let token = json!({"choices": [{"index": 0, "delta": {"role": "assistant", "content": "x"}, "finish_reason": null}]});
    let events = vec![token.to_string(); 2048];
    let asked = json!({"model": "m", "messages": [], "stream": true, "max_tokens": 1100, "stream_options": {"include_usage": true}});
    for sizes in BATCHINGS {
        let request = Request::post("/v1/chat/completions").json(&asked);
        let outcome = bench(json!({})).run(request, &Response::sse(events.clone()).batches(sizes));
        let (choices, usage) = testing::streamed(&outcome).expect("a sound stream");
        assert_eq!(
            (choices[&0].content.len(), &*choices[&0].finish),
            (1100, "length")
        );
        let counted = json!({"prompt_tokens": 0, "completion_tokens": 1100, "total_tokens": 1100, "partial": true});
        assert_eq!(usage, Some(counted.clone()));
        assert_eq!(outcome.note("usage"), Some(counted));
        assert!(outcome.finished, "the body was ended");
    }
}

#[test]
fn the_mark_of_the_end_is_no_text_of_a_completion() {
    let event = |text: &str, reason: &str| {
        json!({"object": "text_completion", "id": "", "created": 1, "model": "acme/stub-1b",
            "choices": [{"index": 0, "text": text, "logprobs": null, "finish_reason": reason}]})
    };
    let mut last = event("<|im_end|>", "eos_token");
    last["usage"] = json!({"prompt_tokens": 4, "completion_tokens": 2, "total_tokens": 6});
    let stream = |events: &[Value]| {
        Response::sse(
            events
                .iter()
                .map(Value::to_string)
                .chain(["[DONE]".to_owned()]),
        )
    };
    let asked = json!({"model": "m", "prompt": "x", "stream": true, "stop": "END"});
    let run = |events: &[Value]| {
        let request = Request::post("/v1/completions").json(&asked);
        let outcome = bench(json!({})).run(request, &stream(events));
        assert_eq!(outcome.fault, None);
        let texts = chunks(&outcome);
        let texts: String = texts
            .iter()
            .filter_map(|chunk| chunk["choices"][0]["text"].as_str())
            .collect();
        (texts, outcome.note("finish"), outcome.note("usage"))
    };
    let usage = Some(last["usage"].clone());
    let stop = Some(json!("stop"));
    assert_eq!(
        run(&[event("a", ""), last]),
        ("a".to_owned(), stop.clone(), usage)
    );
    let (text, finish, _) = run(&[
        event("a", ""),
        event(" E", ""),
        event("ND", "stop_sequence"),
    ]);
    assert_eq!((&*text, finish), ("a ", stop));
}

#[test]
fn the_length_of_the_context_is_what_the_server_says_of_itself() {
    let list = json!({"object": "list", "data": [{"id": "acme/stub-1b", "object": "model", "created": 0, "owned_by": "acme/stub-1b"}]});
    let request = || Request::get("/v1/models/acme%2Fstub-1b");
    let info = json!({"model_id": "acme/stub-1b", "max_total_tokens": 1024});
    let known = bench(json!({}))
        .run(request().info(&info), &Response::json(&list))
        .json();
    let expected = json!({"id": "acme/stub-1b", "object": "model", "created": 0, "owned_by": "acme", "context_length": 1024});
    assert_eq!(known, expected);
    let unknown = bench(json!({}))
        .run(request(), &Response::json(&list))
        .json();
    assert_eq!(unknown.get("context_length"), None);
}
