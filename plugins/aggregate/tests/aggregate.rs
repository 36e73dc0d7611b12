//! Streams of every kind become one response, or one error.

use serde_json::{Map, Value, json};
use sluicegate_aggregate::Aggregate;
use sluicegate_ollama::Ollama;
use sluicegate_plugin::Event;
use sluicegate_plugin::testing::{BATCHINGS, Bench, Outcome, Request, Response};

fn bench() -> Bench<Aggregate> {
    Bench::load(json!({})).expect("loads")
}

/// A chat with the gateway's note that no stream is wanted.
fn chat() -> Request {
    Request::post("/v1/chat/completions")
        .note("stream", "false")
        .note("model", "\"noted\"")
}

fn event(value: &Value) -> Event {
    let text = |value: &Value| {
        value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned)
    };
    match value.get("event") {
        Some(name) => Event {
            name: text(name),
            data: text(&value["data"]),
            id: None,
        },
        None => Event::data(text(value)),
    }
}

fn code(outcome: &Outcome) -> Option<&str> {
    outcome.fault.as_ref().map(|fault| fault.code.as_str())
}

#[test]
fn every_stream_becomes_the_same_response_in_every_batching() {
    let cases: Vec<Map<String, Value>> =
        serde_json::from_str(include_str!("fixtures/streams.json")).expect("a list of cases");
    for case in cases {
        let name = case["case"].as_str().expect("a name");
        let events: Vec<Event> = case["events"]
            .as_array()
            .expect("a list")
            .iter()
            .map(event)
            .collect();
        for sizes in BATCHINGS {
            let response = Response::events(events.clone()).batches(sizes);
            let outcome = bench().run(chat(), &response);
            assert!(outcome.events.is_empty(), "{name}");
            match (case.get("response"), &outcome.fault) {
                (Some(response), None) => {
                    assert_eq!(outcome.json(), *response, "{name}");
                    let content_type = outcome.header("content-type");
                    assert_eq!(content_type.as_deref(), Some("application/json"), "{name}");
                }
                (None, Some(fault)) => {
                    let found = json!([fault.status, fault.code, fault.param]);
                    assert_eq!(found, case["fault"], "{name}");
                    assert_eq!(outcome.status, fault.status, "{name}");
                    assert!(!fault.message.is_empty());
                }
                (_, fault) => panic!("{name}: {fault:?}"),
            }
        }
    }
}

#[test]
fn what_needs_no_aggregation_goes_by_untouched() {
    let stream = || Response::sse(["{\"choices\":[]}", "[DONE]"]);
    let untouched = |request: Request, response: Response| {
        let outcome = bench().run(request, &response);
        assert_eq!(outcome.fault, None);
        outcome
    };
    let chat = |note: &str| Request::post("/v1/chat/completions").note("stream", note);
    assert_eq!(untouched(chat("true"), stream()).events.len(), 2);
    assert_eq!(untouched(chat("null"), stream()).events.len(), 2);
    assert_eq!(untouched(Request::post("/x"), stream()).events.len(), 2);
    assert_eq!(
        untouched(chat("false"), stream().status(500)).events.len(),
        2
    );
    let document = Response::json(&json!({"object": "chat.completion"}));
    assert_eq!(
        untouched(chat("false"), document).json()["object"],
        "chat.completion"
    );
    assert_eq!(
        untouched(chat("false"), Response::new(200).body("x")).body,
        b"x"
    );
}

#[test]
fn parameters_of_the_content_type_do_not_matter() {
    let body =
        "{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"x\"},\"finish_reason\":\"stop\"}]}";
    let mut response = Response::new(200)
        .header("content-type", "Text/Event-Stream ; charset=utf-8")
        .header("cache-control", "no-cache");
    response = response.body(body);
    let outcome = bench().run(chat(), &response);
    assert_eq!(outcome.json()["choices"][0]["message"]["content"], "x");
    assert_eq!(outcome.header("cache-control"), None);
}

#[test]
fn what_is_kept_is_bounded() {
    let bench = Bench::<Aggregate>::load(json!({"max-bytes": 2000})).expect("loads");
    let chunk = |delta: Value| json!({"choices": [{"index": 0, "delta": delta}]}).to_string();
    let long = "x".repeat(100);
    for delta in [
        json!({"content": long}),
        json!({"reasoning": long}),
        json!({"refusal": long}),
        json!({"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": long}}]}),
    ] {
        let outcome = bench.run(chat(), &Response::sse(vec![chunk(delta); 30]));
        assert_eq!(code(&outcome), Some("response_too_large"));
    }
    let names =
        (0..100).map(|n| json!({ format!("member{n}"): "some value or other" }).to_string());
    assert_eq!(
        code(&bench.run(chat(), &Response::sse(names))),
        Some("response_too_large")
    );
    let logprobs = json!({"choices": [{"index": 0, "logprobs": {"content": [long]}}]}).to_string();
    let outcome = bench.run(chat(), &Response::sse(vec![logprobs; 30]));
    assert_eq!(code(&outcome), Some("response_too_large"));
}

#[test]
fn more_parts_than_openai_has_are_nonsense() {
    let choices = (0..200).map(|n| json!({"choices": [{"index": n, "delta": {}}]}).to_string());
    assert_eq!(
        code(&bench().run(chat(), &Response::sse(choices))),
        Some("upstream_invalid")
    );
    let call = |n| json!({"choices": [{"index": 0, "delta": {"tool_calls": [{"index": n}]}}]});
    let calls = (0..200).map(|n| call(n).to_string());
    assert_eq!(
        code(&bench().run(chat(), &Response::sse(calls))),
        Some("upstream_invalid")
    );
}

#[test]
fn an_error_event_is_an_error_even_if_it_looks_like_the_chunk_before() {
    let chunk = "{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"x\"}}]}";
    let error = Event {
        name: "error".into(),
        data: chunk.into(),
        id: None,
    };
    let outcome = bench().run(chat(), &Response::events([Event::data(chunk), error]));
    assert_eq!(code(&outcome), Some("upstream_error"));
}

#[test]
fn data_that_is_not_utf8_is_taken_as_the_gateway_shows_it() {
    let chunk = b"{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"\xff\"}}]}".to_vec();
    let outcome = bench().run(chat(), &Response::sse([chunk, b"[DONE]".to_vec()]));
    let content = &outcome.json()["choices"][0]["message"]["content"];
    assert_eq!(*content, "\u{fffd}");
}

#[test]
fn a_server_that_breaks_off_gives_no_half_response() {
    let chunk =
        "{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"x\"},\"finish_reason\":\"stop\"}]}";
    let outcome = bench().run(chat(), &Response::sse([chunk]).broken());
    assert_eq!((outcome.status, outcome.body.len()), (502, 0));
    assert_eq!(code(&outcome), Some("upstream_broken"));
    assert!(!outcome.fault.expect("a fault").message.is_empty());
}

#[test]
fn streamed_and_aggregated_is_the_same_as_asked_for_whole() {
    let line = |value: Value| value.to_string();
    let lines = [
        line(json!({"message": {"content": "", "thinking": "H\"m"}, "done": false})),
        line(
            json!({"message": {"content": "a\n", "thinking": "."}, "done": false, "logprobs": [{"token": "a", "logprob": -1}]}),
        ),
        line(
            json!({"message": {"content": "b", "tool_calls": [{"id": "c1", "function": {"index": 0, "name": "f", "arguments": {"x": "\u{e9}"}}}]}, "done": false}),
        ),
        line(
            json!({"message": {"content": ""}, "done": true, "done_reason": "stop", "prompt_eval_count": 4, "eval_count": 5}),
        ),
    ];
    let whole = json!({
        "message": {"content": "a\nb", "thinking": "H\"m.", "tool_calls": [{"id": "c1", "function": {"index": 0, "name": "f", "arguments": {"x": "\u{e9}"}}}]},
        "logprobs": [{"token": "a", "logprob": -1}],
        "done": true, "done_reason": "stop", "prompt_eval_count": 4, "eval_count": 5
    });
    let ask = || {
        Request::post("/v1/chat/completions")
            .json(&json!({"model": "m", "messages": [{"role": "user", "content": "?"}]}))
    };
    let only_thoughts = [
        line(json!({"message": {"content": "", "thinking": "Hm"}, "done": false})),
        line(json!({"message": {"content": ""}, "done": true, "done_reason": "length"})),
    ];
    let whole_thoughts = json!({
        "message": {"content": "", "thinking": "Hm"}, "done": true, "done_reason": "length"
    });
    let always = Bench::<Ollama>::load(json!({})).expect("loads");
    let as_client = Bench::<Ollama>::load(json!({"stream": "as-client"})).expect("loads");
    for (lines, whole) in [(&lines[..], whole), (&only_thoughts, whole_thoughts)] {
        let streamed = always.run(ask(), &Response::ndjson(lines.to_vec()));
        let aggregated = bench().run(chat(), &Response::events(streamed.events));
        let expected = as_client.run(ask(), &Response::json(&whole));
        assert_eq!((&aggregated.fault, &expected.fault), (&None, &None));
        assert_eq!(aggregated.json(), expected.json());
    }
}
