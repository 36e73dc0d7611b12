//! Responses: whole messages, streams in every batching, errors at every moment.

use serde_json::{Value, json};
use sluicegate_anthropic::Anthropic;
use sluicegate_plugin::Event;
use sluicegate_plugin::testing::{BATCHINGS, Bench, Outcome, Request, Response, take_logs};

const PATH: &str = "/v1/messages";

fn bench() -> Bench<Anthropic> {
    Bench::load(json!({})).expect("it loads")
}

/// A request; its client wants to see thoughts.
fn request(streams: bool) -> Request {
    Request::post(PATH).json(
        &json!({"model": "asked", "max_tokens": 9, "stream": streams, "thinking": {"type": "enabled", "budget_tokens": 1024},
            "messages": [{"role": "user", "content": "Hi"}]}),
    )
}

fn run(request: Request, response: &Response) -> Outcome {
    bench().run(request, response)
}

fn fixtures(text: &str) -> Vec<Value> {
    let Ok(Value::Array(cases)) = serde_json::from_str(text) else {
        panic!("the fixtures are a list");
    };
    assert!(!cases.is_empty());
    cases
}

/// A chunk with this delta.
fn delta(delta: &Value) -> String {
    json!({"id": "chatcmpl-7", "object": "chat.completion.chunk", "created": 1, "model": "m",
        "choices": [{"index": 0, "delta": delta, "finish_reason": null}]})
    .to_string()
}

/// The end of a stream: finish, usage, end marker.
fn ending(reason: &str) -> [String; 3] {
    let finish = json!({"id": "chatcmpl-7", "object": "chat.completion.chunk", "created": 1, "model": "m",
        "choices": [{"index": 0, "delta": {}, "finish_reason": reason}]});
    let usage = json!({"id": "chatcmpl-7", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [],
        "usage": {"prompt_tokens": 11, "completion_tokens": 18, "total_tokens": 29}});
    [finish.to_string(), usage.to_string(), "[DONE]".to_owned()]
}

/// The events of a message in short: `start`, `ping`, blocks as `0:text(…)`, and the end. Fails where their order is wrong.
fn blocks(events: &[Event]) -> Vec<String> {
    let mut short: Vec<String> = Vec::new();
    let mut open: Option<u64> = None;
    let mut next = 0;
    for event in events {
        let data: Value = serde_json::from_str(&event.data).expect("JSON");
        assert_eq!(data["type"], event.name.as_str(), "{event:?}");
        match event.name.as_str() {
            "content_block_start" => {
                assert_eq!((open, &data["index"]), (None, &json!(next)), "{event:?}");
                open = Some(next);
                let block = &data["content_block"];
                let kind = block["type"].as_str().expect("a type");
                short.push(match kind {
                    "tool_use" => {
                        assert_eq!(block["input"], json!({}));
                        format!(
                            "{next}:{kind} {} {}(",
                            text(&block["id"]),
                            text(&block["name"])
                        )
                    }
                    _ => format!("{next}:{kind}("),
                });
            }
            "content_block_delta" => {
                assert_eq!(open.map(|open| json!(open)), Some(data["index"].clone()));
                let delta = &data["delta"];
                let (kind, member) = match text(&delta["type"]) {
                    "text_delta" => (":text(", "text"),
                    "thinking_delta" => (":thinking(", "thinking"),
                    "signature_delta" => (":thinking(", "signature"),
                    "input_json_delta" => (":tool_use ", "partial_json"),
                    other => panic!("{other}"),
                };
                let last = short.last_mut().expect("a block");
                assert!(last.contains(kind), "{last}: {event:?}");
                if member == "signature" {
                    assert!(!text(&delta[member]).is_empty());
                    last.push_str(" signed");
                } else {
                    last.push_str(text(&delta[member]));
                }
            }
            "content_block_stop" => {
                assert_eq!(
                    open.take().map(|open| json!(open)),
                    Some(data["index"].clone())
                );
                next += 1;
                short.last_mut().expect("a block").push(')');
            }
            "message_delta" => {
                let delta = &data["delta"];
                short.push(format!(
                    "{} {} {}",
                    delta["stop_reason"], delta["stop_sequence"], data["usage"]
                ));
            }
            "error" => short.push(format!("error {}", text(&data["error"]["type"]))),
            name => short.push(name.to_owned()),
        }
    }
    short
}

fn text(value: &Value) -> &str {
    value
        .as_str()
        .unwrap_or_else(|| panic!("{value} is no text"))
}

#[test]
fn a_whole_completion_is_a_message() {
    for case in fixtures(include_str!("fixtures/whole.json")) {
        let mut completion = case["completion"].clone();
        for (name, value) in [
            ("id", "chatcmpl-7"),
            ("object", "chat.completion"),
            ("model", "m"),
        ] {
            if completion.get(name).is_none() {
                completion[name] = json!(value);
            }
        }
        let outcome = run(request(false), &Response::json(&completion));
        assert_eq!(outcome.status, 200, "{}", case["case"]);
        assert_eq!(
            outcome.header("request-id").as_deref(),
            Some("req_aaaabbbbccccdddd")
        );
        let message = outcome.json();
        assert_eq!(
            (&message["type"], &message["role"]),
            (&json!("message"), &json!("assistant"))
        );
        for (name, expected) in case["message"].as_object().expect("an object") {
            let mut found = message[name].clone();
            if let Some(blocks) = found.as_array_mut() {
                for block in blocks
                    .iter_mut()
                    .filter(|block| block["type"] == "thinking")
                {
                    let signature = block
                        .as_object_mut()
                        .and_then(|block| block.remove("signature"));
                    assert!(signature.is_some_and(|it| it.is_string()));
                }
            }
            assert_eq!(&found, expected, "{}: {name}", case["case"]);
        }
    }
}

#[test]
fn a_stream_is_a_message_in_every_batching() {
    for case in fixtures(include_str!("fixtures/streams.json")) {
        let deltas = case["deltas"].as_array().expect("a list");
        let mut chunks: Vec<String> = deltas.iter().map(delta).collect();
        chunks.extend(ending(case["finish"].as_str().unwrap_or("stop")));
        let mut expected = vec!["message_start".to_owned(), "ping".to_owned()];
        for block in case["blocks"].as_array().expect("a list") {
            expected.push(text(block).to_owned());
        }
        if let Some(error) = case["error"].as_str() {
            expected.push(format!("error {error}"));
        } else {
            let usage = json!({"input_tokens": 11, "output_tokens": 18});
            expected.push(format!("{} null {usage}", case["stop_reason"]));
            expected.push("message_stop".to_owned());
        }
        for sizes in BATCHINGS {
            let response = Response::sse(chunks.clone()).batches(sizes);
            let outcome = run(request(true), &response);
            assert_eq!(
                blocks(&outcome.events),
                expected,
                "{} in {sizes:?}",
                case["case"]
            );
            assert_eq!(outcome.fault.is_some(), case["error"].is_string());
            let start: Value = serde_json::from_str(&outcome.events[0].data).expect("JSON");
            let message = json!({"id": "msg_7", "type": "message", "role": "assistant", "model": "m", "content": [],
                "stop_reason": null, "stop_sequence": null, "usage": {"input_tokens": 0, "output_tokens": 0}});
            assert_eq!(start["message"], message);
        }
    }
}

#[test]
fn calls_come_in_order_and_whole_however_their_parts_are_mixed() {
    let arguments = [
        r#"{"a": "\u00e9 \"{"}"#,
        "{}",
        r#"{"b":[1,{"c":null}], "d": -1.5e3}"#,
    ];
    // Arbitrary, and the same in every run.
    let mut seed = 7_u64;
    let mut random = |below: usize| {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(seed >> 33).expect("31 bits") % below
    };
    for _ in 0..300 {
        let mut chunks = vec![delta(&json!({"role": "assistant", "content": "Hm"}))];
        let (mut rest, mut begun) = (arguments.to_vec(), 0);
        while rest.iter().any(|rest| !rest.is_empty()) {
            // A call begins behind the one before it, and may go on at any time.
            let at = random(arguments.len().min(begun + 1));
            if rest[at].is_empty() {
                continue;
            }
            let (part, tail) = rest[at].split_at(1 + random(rest[at].len()));
            rest[at] = tail;
            let mut call = json!({"index": at, "function": {"arguments": part}});
            if at == begun {
                begun += 1;
                call["id"] = json!(format!("c{at}"));
                call["function"]["name"] = json!("f");
            }
            chunks.push(delta(&json!({"tool_calls": [call]})));
        }
        chunks.extend(ending("tool_calls"));
        let sizes = [1 + random(4), 1 + random(4)];
        let outcome = run(request(true), &Response::sse(chunks).batches(&sizes));
        let calls = arguments.iter().enumerate();
        let calls =
            calls.map(|(at, arguments)| format!("{}:tool_use c{at} f({arguments})", at + 1));
        let mut expected = vec![
            "message_start".to_owned(),
            "ping".to_owned(),
            "0:text(Hm)".to_owned(),
        ];
        expected.extend(calls);
        assert_eq!(blocks(&outcome.events)[..6], expected);
        assert_eq!(outcome.fault, None);
    }
}

#[test]
fn deltas_go_out_as_they_come() {
    let call =
        |index: u64, parts: &Value| json!({"tool_calls": [{"index": index, "function": parts}]});
    let mut chunks = vec![
        delta(&json!({"role": "assistant", "content": ""})),
        delta(&json!({"content": "He"})),
        delta(&json!({"content": "llo"})),
        delta(&call(0, &json!({"name": "f", "arguments": ""}))),
        delta(&call(0, &json!({"arguments": "{\"a\""}))),
        delta(&call(0, &json!({"arguments": ":1}"}))),
        delta(&call(1, &json!({"name": "g", "arguments": "{"}))),
    ];
    // What the client has when the stream breaks off after some of the chunks.
    let mut before = 0;
    for (count, expected) in [(1, 2), (2, 4), (3, 5), (4, 7), (5, 8), (6, 9), (7, 12)] {
        let response = Response::sse(chunks[..count].to_vec()).left();
        let outcome = run(request(true), &response);
        assert_eq!(outcome.events.len(), expected, "{count}");
        assert!(outcome.events.len() > before);
        before = outcome.events.len();
    }
    chunks.extend(ending("tool_calls"));
    let outcome = run(request(true), &Response::sse(chunks));
    // The second call was never complete.
    assert_eq!(
        blocks(&outcome.events).last().map(String::as_str),
        Some("error api_error")
    );
}

#[test]
fn a_client_that_asked_for_no_thinking_gets_no_thoughts() {
    let deltas = [json!({"reasoning": "Hm."}), json!({"content": "Yes"})];
    let mut chunks: Vec<String> = deltas.iter().map(delta).collect();
    chunks.extend(ending("stop"));
    let whole = json!({"id": "chatcmpl-7", "model": "m", "choices": [{"message": {"reasoning": "Hm.", "content": "Yes"}, "finish_reason": "stop"}]});
    for (thinking, config, shows) in [
        (Value::Null, json!({}), false),
        (json!({"type": "disabled"}), json!({}), false),
        (
            json!({"type": "adaptive", "display": "omitted"}),
            json!({}),
            false,
        ),
        (json!({"type": "adaptive"}), json!({}), true),
        (Value::Null, json!({"thoughts": "always"}), true),
    ] {
        for streams in [true, false] {
            let body = json!({"model": "m", "max_tokens": 9, "stream": streams, "thinking": thinking, "messages": [{"role": "user", "content": "Hi"}]});
            let request = Request::post(PATH).json(&body);
            let response = if streams {
                Response::sse(chunks.clone())
            } else {
                Response::json(&whole)
            };
            let outcome = Bench::<Anthropic>::load(config.clone())
                .expect("loads")
                .run(request, &response);
            let found = String::from_utf8(outcome.body).expect("text");
            assert_eq!(found.contains("Hm."), shows, "{thinking}: {found}");
            assert!(found.contains("Yes"));
        }
    }
}

#[test]
fn what_a_chunk_does_not_say_comes_from_the_exchange() {
    let chunks = [
        r#"{"choices":[{"delta":{"content":"a"},"finish_reason":"stop"}]}"#,
        "[DONE]",
    ];
    let outcome = run(request(true), &Response::sse(chunks));
    let start: Value = serde_json::from_str(&outcome.events[0].data).expect("JSON");
    assert_eq!(start["message"]["id"], "msg_req_aaaabbbbccccdddd");
    assert_eq!(start["message"]["model"], "asked");
}

#[test]
fn stop_sequences_and_cached_tokens_are_told() {
    let finish = json!({"id": "chatcmpl-7", "model": "m", "choices": [{"index": 0, "delta": {"content": "a"}, "finish_reason": "stop", "stop_reason": "###"}],
        "usage": {"prompt_tokens": 11, "completion_tokens": 18, "prompt_tokens_details": {"cached_tokens": 4}}});
    let outcome = run(
        request(true),
        &Response::sse([finish.to_string(), "[DONE]".to_owned()]),
    );
    let usage = json!({"input_tokens": 7, "cache_read_input_tokens": 4, "output_tokens": 18});
    let expected = format!("\"stop_sequence\" \"###\" {usage}");
    let short = blocks(&outcome.events);
    assert_eq!(short[short.len() - 2], expected);
}

#[test]
fn a_response_that_was_not_streamed_is_a_stream_for_a_client_that_wants_one() {
    let completion = json!({"id": "chatcmpl-7", "object": "chat.completion", "model": "m", "choices": [{"index": 0, "message": {"role": "assistant",
        "content": "Hi", "tool_calls": [{"id": "t", "type": "function", "function": {"name": "f", "arguments": "{}"}}]}, "finish_reason": "tool_calls"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 2}});
    // As a document, and as the one event behind a head that went out early.
    for response in [
        Response::json(&completion),
        Response::sse([completion.to_string()]),
    ] {
        let outcome = run(request(true), &response);
        assert!(
            outcome
                .header("content-type")
                .is_some_and(|it| it.starts_with("text/event-stream"))
        );
        let usage = json!({"input_tokens": 1, "output_tokens": 2});
        let expected = [
            "message_start",
            "ping",
            "0:text(Hi)",
            "1:tool_use t f({})",
            &format!("\"tool_use\" null {usage}"),
            "message_stop",
        ];
        assert_eq!(blocks(&outcome.events), expected);
    }
}

#[test]
fn a_stream_that_nobody_made_one_response_of_is_an_error_and_says_what_is_missing() {
    take_logs();
    let outcome = run(request(false), &Response::sse(["[DONE]"]));
    assert_eq!(outcome.status, 502);
    assert_eq!(outcome.json()["error"]["type"], "api_error");
    let lines = take_logs();
    let said = lines
        .iter()
        .filter(|line| line.message.contains("`aggregate`"));
    assert_eq!(said.count(), 1);
}

#[test]
fn an_error_has_its_form_at_every_moment() {
    let error = json!({"error": {"message": "Slow down.", "type": "rate_limit_error", "param": null, "code": "busy"}});
    let expected = |kind: &str, message: &str| json!({"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_aaaabbbbccccdddd"});
    // Before there is any response.
    for streams in [true, false] {
        let response = Response::json(&error)
            .status(429)
            .header("retry-after", "7");
        let outcome = run(request(streams), &response);
        assert_eq!(outcome.status, 429);
        assert_eq!(outcome.json(), expected("rate_limit_error", "Slow down."));
        assert_eq!(outcome.header("retry-after").as_deref(), Some("7"));
        assert_eq!(
            outcome.header("request-id").as_deref(),
            Some("req_aaaabbbbccccdddd")
        );
        let outcome = run(request(streams), &Response::json(&error).status(503));
        assert_eq!(outcome.status, 529);
        // What is no error of ours says nothing.
        let outcome = run(request(streams), &Response::new(500).body("<p>secret"));
        assert_eq!(outcome.json(), expected("api_error", "The request failed."));
        let outcome = run(
            request(streams),
            &Response::new(307).header("location", "/x"),
        );
        assert_eq!(
            (outcome.status, &outcome.json()["type"]),
            (502, &json!("error"))
        );
    }
    // Behind a head that went out early: an event with the status of the error.
    let outcome = run(
        request(true),
        &Response::sse([error.to_string()]).status(429),
    );
    assert_eq!(blocks(&outcome.events), ["error rate_limit_error"]);
    // The front's own.
    let outcome = run(Request::post(PATH).body("{}"), &Response::new(200));
    let message = "model: Field required";
    assert_eq!(
        (outcome.status, outcome.json()),
        (
            400,
            expected("invalid_request_error", &format!("{message}."))
        )
    );
    for nonsense in ["", "{}", "[]", r#"{"choices":"none"}"#, r#"{"choices":[]}"#] {
        let outcome = run(request(false), &Response::new(200).body(nonsense));
        assert_eq!(
            (outcome.status, &outcome.json()["error"]["type"]),
            (502, &json!("api_error")),
            "{nonsense}"
        );
    }
}

#[test]
fn an_error_in_mid_stream_is_the_last_event_and_comes_behind_what_was_said() {
    let begun = [
        delta(&json!({"content": "Hel"})),
        delta(&json!({"content": "lo"})),
    ];
    let error = r#"{"error":{"message":"died","type":"server_error","param":null,"code":null}}"#;
    let all = ["message_start", "ping", "0:text(Hello", "error api_error"];
    for sizes in BATCHINGS {
        let with = |rest: &[&str]| {
            let chunks = begun
                .iter()
                .cloned()
                .chain(rest.iter().map(|&it| it.to_owned()));
            Response::sse(chunks).batches(sizes)
        };
        for (response, code) in [
            (with(&[]).broken(), "upstream_broken"),
            (with(&[]), "upstream_truncated"),
            (with(&["nonsense"]), "upstream_invalid"),
            (with(&[error, "[DONE]"]), "upstream_error"),
        ] {
            let outcome = run(request(true), &response);
            assert_eq!(blocks(&outcome.events), all, "{code} in {sizes:?}");
            assert_eq!(outcome.fault.map(|fault| fault.code).as_deref(), Some(code));
            assert_eq!((outcome.status, outcome.rendered), (200, true));
        }
    }
    // An end before anything was said is no message.
    let outcome = run(request(true), &Response::sse(["[DONE]"]));
    assert_eq!(blocks(&outcome.events), ["error api_error"]);
}

#[test]
fn tokens_and_models_are_told() {
    let body = json!({"model": "m", "messages": [{"role": "user", "content": "Hi"}]});
    let request = Request::post("/v1/messages/count_tokens").json(&body);
    let response =
        Response::json(&json!({"input_tokens": 42})).header("x-sluicegate-estimate", "true");
    let outcome = run(request.clone(), &response);
    assert_eq!(outcome.json(), json!({"input_tokens": 42}));
    assert_eq!(
        outcome.header("x-sluicegate-estimate").as_deref(),
        Some("true")
    );
    let outcome = run(request, &Response::new(404).body("{}"));
    assert_eq!(
        (outcome.status, &outcome.json()["error"]["type"]),
        (404, &json!("not_found_error"))
    );
    let model = json!({"id": "m", "object": "model", "created": 1, "owned_by": "x"});
    let list = json!({"object": "list", "data": [model]});
    let shown = json!({"type": "model", "id": "m", "display_name": "m", "created_at": "1970-01-01T00:00:01Z"});
    let outcome = run(Request::get("/v1/models"), &Response::json(&list));
    assert_eq!(
        outcome.json(),
        json!({"data": [shown], "has_more": false, "first_id": "m", "last_id": "m"})
    );
    let outcome = run(Request::get("/v1/models/m"), &Response::json(&model));
    assert_eq!(outcome.json(), shown);
}
