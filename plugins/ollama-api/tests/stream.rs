//! Streams: what lines a canonical stream becomes, however its events are divided, and how it can fail.

use serde_json::{Value, json};
use sluicegate_ollama_api::OllamaApi;
use sluicegate_plugin::testing::{Bench, Outcome, Request, Response, set_clock};

/// 2026-08-01T09:26:40.007Z
const NOW_MS: u64 = 1_785_576_400_007;

fn bench() -> Bench<OllamaApi> {
    set_clock(NOW_MS);
    Bench::load(json!({})).expect("loads")
}

fn asked(path: &str) -> Request {
    let question = match path {
        "/api/chat" => {
            json!({"model": "m:latest", "messages": [{"role": "user", "content": "Hi?"}]})
        }
        _ => json!({"model": "m:latest", "prompt": "Hi?"}),
    };
    Request::post(path).json(&question)
}

fn raw() -> Request {
    Request::post("/api/generate").json(&json!({"model": "m:latest", "prompt": "Hi?", "raw": true}))
}

fn delta(delta: &Value) -> String {
    json!({"id": "c", "model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": null}]}).to_string()
}

fn finish(reason: &str) -> String {
    json!({"id": "c", "model": "m", "choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}).to_string()
}

fn usage() -> String {
    json!({"id": "c", "choices": [], "usage": {"prompt_tokens": 11, "completion_tokens": 7}})
        .to_string()
}

/// A stream that ends as it should.
fn whole(chunks: &[String], reason: &str) -> Vec<String> {
    let end = [finish(reason), usage(), "[DONE]".to_owned()];
    chunks.iter().cloned().chain(end).collect()
}

fn lines(outcome: &Outcome) -> Vec<Value> {
    let read = |line: String| serde_json::from_str(&line).expect("a line of JSON");
    outcome.data().into_iter().map(read).collect()
}

/// The lines of a stream, in whatever batches it comes.
#[track_caller]
fn streamed(request: &Request, chunks: &[String]) -> Vec<Value> {
    let bench = bench();
    let mut found: Option<Vec<Value>> = None;
    for batches in [&[32][..], &[1], &[2], &[3, 1], &[5]] {
        let response = Response::sse(chunks.to_vec()).batches(batches);
        let outcome = bench.run(request.clone(), &response);
        assert_eq!(
            (outcome.status, &outcome.fault),
            (200, &None),
            "{batches:?}"
        );
        assert_eq!(
            outcome.header("content-type").as_deref(),
            Some("application/x-ndjson")
        );
        let lines = lines(&outcome);
        assert_eq!(
            *found.get_or_insert_with(|| lines.clone()),
            lines,
            "{batches:?}"
        );
    }
    found.expect("a stream")
}

fn line(message: &Value) -> Value {
    json!({"model": "m:latest", "created_at": "2026-08-01T09:26:40.007Z", "message": message, "done": false})
}

fn last(reason: &str) -> Value {
    let mut last = line(&json!({"role": "assistant", "content": ""}));
    last["done"] = json!(true);
    last["done_reason"] = json!(reason);
    for name in [
        "total_duration",
        "load_duration",
        "prompt_eval_duration",
        "eval_duration",
    ] {
        last[name] = json!(0);
    }
    last["prompt_eval_count"] = json!(11);
    last["eval_count"] = json!(7);
    last
}

#[test]
fn a_chat_streams_as_ollama_does() {
    let chunks = whole(
        &[
            delta(&json!({"role": "assistant", "content": ""})),
            delta(&json!({"reasoning": "Let me", "reasoning_content": "Let me"})),
            delta(&json!({"reasoning_content": " think"})),
            delta(&json!({"content": "Hel\u{2028}"})),
            delta(&json!({"content": "lo \"你好\"\n", "reasoning": null})),
        ],
        "stop",
    );
    let said = |text: &str| line(&json!({"role": "assistant", "content": text}));
    let thought = |text: &str| line(&json!({"role": "assistant", "content": "", "thinking": text}));
    assert_eq!(
        streamed(&asked("/api/chat"), &chunks),
        [
            thought("Let me"),
            thought(" think"),
            said("Hel\u{2028}"),
            said("lo \"你好\"\n"),
            last("stop")
        ]
    );
}

#[test]
fn no_line_contains_what_the_python_client_takes_for_its_end() {
    let text = "a\u{2028}b\u{2029}c\u{85}d\u{b}e\u{1c}f\ng";
    let arguments = format!("{{\n \"x\": \"{}\"}}", "a\u{2028}b");
    let chunks = whole(
        &[
            delta(&json!({"content": text})),
            delta(
                &json!({"tool_calls": [{"index": 0, "function": {"name": "f\u{85}", "arguments": arguments}}]}),
            ),
        ],
        "tool_calls",
    );
    let outcome = bench().run(asked("/api/chat"), &Response::sse(chunks));
    let ends = [
        '\u{b}', '\u{c}', '\u{1c}', '\u{1d}', '\u{1e}', '\u{85}', '\u{2028}', '\u{2029}', '\n',
        '\r',
    ];
    for line in outcome.data() {
        assert!(!line.contains(ends), "{line:?}");
    }
    let lines = lines(&outcome);
    assert_eq!(lines[0]["message"]["content"], text);
    assert_eq!(
        lines[1]["message"]["tool_calls"][0]["function"]["arguments"]["x"],
        "a\u{2028}b"
    );
}

#[test]
fn calls_are_sent_whole_before_the_last_line() {
    let call = |json: Value| delta(&json!({"tool_calls": [json]}));
    let chunks = whole(
        &[
            delta(&json!({"role": "assistant", "content": "I look."})),
            call(
                json!({"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": ""}}),
            ),
            call(json!({"index": 0, "function": {"arguments": "{\"city\""}})),
            call(json!({"index": 0, "function": {"arguments": ": \"Oslo\"}"}})),
            call(
                json!({"index": 1, "id": "b", "type": "function", "function": {"name": "g", "arguments": "{}"}}),
            ),
        ],
        "tool_calls",
    );
    let calls = json!([
        {"id": "a", "function": {"index": 0, "name": "f", "arguments": {"city": "Oslo"}}},
        {"id": "b", "function": {"index": 1, "name": "g", "arguments": {}}},
    ]);
    assert_eq!(
        streamed(&asked("/api/chat"), &chunks),
        [
            line(&json!({"role": "assistant", "content": "I look."})),
            line(&json!({"role": "assistant", "content": "", "tool_calls": calls})),
            last("stop"),
        ]
    );
}

#[test]
fn a_call_that_was_cut_is_left_out() {
    let call = json!({"index": 0, "id": "a", "function": {"name": "f", "arguments": "{\"city\""}});
    let call = delta(&json!({"tool_calls": [call]}));
    let text = delta(&json!({"content": "I look."}));
    let chunks = whole(&[text, call.clone()], "length");
    let said = line(&json!({"role": "assistant", "content": "I look."}));
    assert_eq!(
        streamed(&asked("/api/chat"), &chunks),
        [said, last("length")]
    );
    // Without anything else the response would be empty, as if the model had nothing to say.
    for thought in [None, Some(delta(&json!({"reasoning": "Let me"})))] {
        let chunks: Vec<String> = thought.into_iter().chain([call.clone()]).collect();
        let response = Response::sse(whole(&chunks, "length")).batches(&[1]);
        let outcome = bench().run(asked("/api/chat"), &response);
        let fault = outcome.fault.as_ref().expect("a fault");
        assert_eq!((fault.status, &*fault.code), (502, "upstream_error"));
        let lines = lines(&outcome);
        let last = lines.last().expect("a line");
        assert!(last["error"].as_str().is_some_and(|it| it.contains("`f`")));
    }
}

#[test]
fn a_prompt_streams_its_response() {
    let chunks = whole(
        &[
            delta(&json!({"reasoning": "Let me"})),
            delta(&json!({"content": "Hello"})),
        ],
        "length",
    );
    let found = streamed(&asked("/api/generate"), &chunks);
    assert_eq!(
        (&found[0]["response"], &found[0]["thinking"]),
        (&json!(""), &json!("Let me"))
    );
    assert_eq!(
        (&found[1]["response"], &found[1]["done"]),
        (&json!("Hello"), &json!(false))
    );
    assert_eq!(
        (&found[2]["response"], &found[2]["done_reason"]),
        (&json!(""), &json!("length"))
    );
    assert!(
        found
            .iter()
            .all(|line| line.get("message").is_none() && line["model"] == "m:latest")
    );

    let text = |text: &str, reason: Value| {
        let logprobs = json!({"tokens": [text], "token_logprobs": [-0.5], "top_logprobs": null});
        json!({"object": "text_completion", "choices": [{"text": text, "finish_reason": reason, "logprobs": logprobs}]})
            .to_string()
    };
    let chunks = [
        text("Hel", json!(null)),
        text("lo", json!("stop")),
        usage(),
        "[DONE]".to_owned(),
    ];
    let found = streamed(&raw(), &chunks);
    assert_eq!(found.len(), 3);
    assert_eq!(
        (&found[1]["response"], &found[2]["eval_count"]),
        (&json!("lo"), &json!(7))
    );
    assert_eq!(
        found[0]["logprobs"],
        json!([{"token": "Hel", "logprob": -0.5, "bytes": [72, 101, 108]}])
    );
}

#[test]
fn probabilities_belong_to_their_lines() {
    let chunk = |text: Option<&str>, token: &str| {
        let content = json!([{"token": token, "logprob": -0.5, "bytes": null, "top_logprobs": []}]);
        json!({"choices": [{"delta": {"content": text}, "finish_reason": null, "logprobs": {"content": content}}]})
            .to_string()
    };
    let chunks = whole(&[chunk(Some("a"), "a"), chunk(None, "<x>")], "stop");
    let found = streamed(&asked("/api/chat"), &chunks);
    assert_eq!(
        found[0]["logprobs"],
        json!([{"token": "a", "logprob": -0.5}])
    );
    assert_eq!(
        (
            &found[1]["message"]["content"],
            &found[1]["logprobs"][0]["token"]
        ),
        (&json!(""), &json!("<x>"))
    );
    assert!(found[2].get("logprobs").is_none());
}

#[test]
fn what_a_server_adds_does_not_matter() {
    let mut chunks = whole(&[delta(&json!({"content": "Hello"}))], "content_filter");
    chunks.insert(0, String::new());
    // After the end nothing counts.
    chunks.push("nonsense".to_owned());
    let found = streamed(&asked("/api/chat"), &chunks);
    assert_eq!(
        (found.len(), &found[1]["done_reason"]),
        (2, &json!("content_filter"))
    );
    // Without the end marker, a finish reason is an end too.
    let chunks = [delta(&json!({"content": "Hello"})), finish("stop")];
    let found = streamed(&asked("/api/chat"), &chunks);
    assert_eq!((found.len(), &found[1]["done"]), (2, &json!(true)));
    assert!(found[1].get("eval_count").is_none());
}

/// The stream fails at every moment: its lines so far, then the error as the last one.
#[test]
fn a_failure_at_any_moment_is_the_last_line() {
    let good = whole(
        &[
            delta(&json!({"role": "assistant", "content": ""})),
            delta(&json!({"reasoning": "Let me"})),
            delta(&json!({"content": "Hello"})),
            delta(
                &json!({"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": "{"}}]}),
            ),
        ],
        "stop",
    );
    // The lines that the first chunks make.
    let counts = [0, 0, 1, 2, 2];
    for (chunks, count) in counts.into_iter().enumerate() {
        for batches in [&[32][..], &[1], &[2]] {
            let response = Response::sse(good[..chunks].to_vec()).batches(batches);
            let outcome = bench().run(asked("/api/chat"), &response.clone().broken());
            let fault = outcome.fault.as_ref().expect("a failure");
            assert_eq!((&*fault.code, outcome.rendered), ("upstream_broken", true));
            let found = lines(&outcome);
            assert_eq!(found.len(), count + 1, "{chunks}");
            assert_eq!(
                found[count],
                json!({"error": "The model server broke off."})
            );

            // It just ends.
            let outcome = bench().run(asked("/api/chat"), &response);
            let fault = outcome.fault.as_ref().expect("a failure");
            assert_eq!(
                (&*fault.code, outcome.rendered),
                ("upstream_truncated", true)
            );
            let found = lines(&outcome);
            assert_eq!(found.len(), count + 1, "{chunks}");
            assert_eq!(found[count], json!({"error": fault.message}));
        }
        for bad in [
            "nonsense",
            "{\"object\":\"x\"}",
            r#"{"error":{"message":"The engine died.","type":"server_error","code":null}}"#,
        ] {
            let mut chunks = good[..chunks].to_vec();
            chunks.push(bad.to_owned());
            chunks.push(delta(&json!({"content": "never seen"})));
            for batches in [&[32][..], &[1], &[2]] {
                let response = Response::sse(chunks.clone()).batches(batches);
                let outcome = bench().run(asked("/api/chat"), &response);
                let fault = outcome.fault.as_ref().expect("a failure");
                assert_eq!((fault.status, outcome.rendered), (502, true));
                let found = lines(&outcome);
                assert_eq!(found.len(), count + 1, "{bad}");
                assert_eq!(found[count], json!({"error": fault.message}));
            }
        }
    }
}

#[test]
fn a_broken_call_is_an_error_after_what_was_said() {
    let call = json!({"index": 0, "id": "a", "function": {"name": "f", "arguments": "{\"city\""}});
    let chunks = whole(
        &[
            delta(&json!({"content": "I look."})),
            delta(&json!({"tool_calls": [call]})),
        ],
        "tool_calls",
    );
    for batches in [&[32][..], &[1]] {
        let response = Response::sse(chunks.clone()).batches(batches);
        let outcome = bench().run(asked("/api/chat"), &response);
        let found = lines(&outcome);
        assert_eq!(
            (found.len(), &found[0]["message"]["content"]),
            (2, &json!("I look."))
        );
        let error = found[1]["error"].as_str().expect("a text");
        assert!(error.contains("`f`"), "{error}");
        assert_eq!(
            outcome.fault.map(|fault| fault.code).as_deref(),
            Some("upstream_error")
        );
    }
}

#[test]
fn calls_that_never_end_are_not_collected_for_ever() {
    let part = "x".repeat(1 << 20);
    let call = json!({"index": 0, "function": {"name": "f", "arguments": part}});
    let chunks = vec![delta(&json!({"tool_calls": [call]})); 5];
    let outcome = bench().run(asked("/api/chat"), &Response::sse(chunks).batches(&[1]));
    assert_eq!(
        outcome.fault.map(|fault| fault.code).as_deref(),
        Some("response_too_large")
    );
}

#[test]
fn a_client_that_leaves_is_no_error() {
    let response = Response::sse([delta(&json!({"content": "Hello"}))]).left();
    let outcome = bench().run(asked("/api/chat"), &response);
    assert_eq!((outcome.fault, outcome.events.len()), (None, 1));
}

#[test]
fn an_event_that_breaks_off_is_an_error_wherever_that_is() {
    let call = json!({"index": 0, "id": "a", "function": {"name": "f", "arguments": "{}"}});
    let event = delta(&json!({"content": "é\"", "reasoning": "r", "tool_calls": [call]}));
    for at in (1..event.len()).filter(|&at| event.is_char_boundary(at)) {
        let outcome = bench().run(asked("/api/chat"), &Response::sse([&event[..at]]));
        let fault = outcome.fault.as_ref().expect("a failure");
        assert_eq!(
            (&*fault.code, outcome.rendered),
            ("upstream_invalid", true),
            "{}",
            &event[..at]
        );
        assert_eq!(lines(&outcome), [json!({"error": fault.message})]);
    }
}
