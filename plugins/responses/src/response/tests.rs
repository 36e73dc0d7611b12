use serde_json::{Value, json};
use sluicegate_plugin::Event;
use sluicegate_plugin::testing::{BATCHINGS, Bench, Outcome, Request, Response, set_clock};

use crate::{Responses, reasoning};

const PATH: &str = "/v1/responses";

fn bench() -> Bench<Responses> {
    set_clock(1_790_000_000_000);
    Bench::load(json!({})).expect("a configuration")
}

fn request(further: &Value) -> Request {
    let mut body = json!({"model": "m", "input": "Hi"});
    for (name, value) in further.as_object().expect("an object") {
        body[name] = value.clone();
    }
    Request::post(PATH).json(&body)
}

fn streamed(further: &Value) -> Request {
    let mut further = further.clone();
    further["stream"] = json!(true);
    request(&further)
}

fn chunk(delta: &Value) -> String {
    json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m",
        "choices": [{"index": 0, "delta": delta, "finish_reason": null}]})
    .to_string()
}

fn finish(reason: &str) -> String {
    json!({"id": "chatcmpl-1", "choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
        .to_string()
}

fn usage() -> String {
    json!({"choices": [], "usage": {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18,
        "prompt_tokens_details": {"cached_tokens": 3}, "completion_tokens_details": {"reasoning_tokens": 2}}})
    .to_string()
}

/// A whole stream of these deltas.
fn stream(deltas: &[Value], reason: &str) -> Vec<String> {
    let mut chunks = vec![chunk(&json!({"role": "assistant", "content": ""}))];
    chunks.extend(deltas.iter().map(chunk));
    chunks.extend([finish(reason), usage(), "[DONE]".to_owned()]);
    chunks
}

/// The completion that these deltas make.
fn completion(message: &Value, reason: &str) -> Value {
    let usage: Value = serde_json::from_str(&usage()).expect("JSON");
    json!({"id": "chatcmpl-1", "object": "chat.completion", "model": "m", "usage": usage["usage"],
        "choices": [{"index": 0, "message": message, "finish_reason": reason, "logprobs": null}]})
}

/// The data of the events, which must have their names and their numbers, and the same id and model.
#[track_caller]
fn data(events: &[Event]) -> Vec<Value> {
    let mut found = Vec::new();
    for (number, event) in events.iter().enumerate() {
        assert!(!event.data.contains('\n'), "{}", event.data);
        let data: Value = serde_json::from_str(&event.data)
            .unwrap_or_else(|error| panic!("{}: {error}", event.data));
        assert_eq!(data["type"], *event.name, "{data}");
        assert_eq!(data["sequence_number"], number, "{data}");
        found.push(data);
    }
    for event in &found {
        if let Some(response) = event.get("response") {
            assert_eq!(response["id"], found[0]["response"]["id"]);
            assert_eq!(
                (&response["model"], &response["store"]),
                (&json!("m"), &json!(false))
            );
        }
    }
    found
}

/// The names of events, without `response.`, and with the indices of their items.
fn steps(events: &[Value]) -> Vec<String> {
    let step = |event: &Value| {
        let name = event["type"].as_str().unwrap_or_default();
        let name = name.strip_prefix("response.").unwrap_or(name);
        match event.get("output_index") {
            Some(index) => format!("{name} {index}"),
            None => name.to_owned(),
        }
    };
    events.iter().map(step).collect()
}

/// Checks that a stream is consistent: an item is added before it is written, its texts are those of its deltas, and the last
/// event has the items that were done. Gives the response of the last event.
#[track_caller]
fn consistent(events: &[Value]) -> Value {
    let mut items: Vec<Value> = Vec::new();
    let mut texts = std::collections::BTreeMap::<(u64, String), String>::new();
    let mut done: Vec<Option<Value>> = Vec::new();
    for event in events {
        let kind = event["type"].as_str().expect("a type");
        let at = event["output_index"].as_u64();
        let item = at.and_then(|at| items.get(usize::try_from(at).expect("small")));
        if let Some(id) = event.get("item_id") {
            assert_eq!(id, &item.expect("it was added")["id"], "{event}");
        }
        match kind {
            "response.output_item.added" => {
                assert_eq!(at, Some(items.len() as u64), "{event}");
                assert_eq!(event["item"]["status"], "in_progress");
                items.push(event["item"].clone());
                done.push(None);
            }
            "response.output_item.done" => {
                let at = usize::try_from(at.expect("an index")).expect("small");
                assert_eq!(event["item"]["id"], items[at]["id"]);
                assert!(
                    done[at].replace(event["item"].clone()).is_none(),
                    "done twice: {event}"
                );
            }
            _ => {}
        }
        let key = |kind: &str| {
            let part = event.get("content_index").or(event.get("summary_index"));
            (
                at.expect("an index"),
                format!("{kind} {}", part.unwrap_or(&Value::Null)),
            )
        };
        if let Some(kind) = kind.strip_suffix(".delta") {
            *texts.entry(key(kind)).or_default() += event["delta"].as_str().expect("a delta");
        } else if let Some(kind) = kind.strip_suffix(".done")
            && let Some(text) = event
                .get("text")
                .or(event.get("refusal"))
                .or(event.get("arguments"))
        {
            assert_eq!(
                texts.remove(&key(kind)).unwrap_or_default(),
                text.as_str().expect("a text"),
                "{event}"
            );
        }
    }
    let last = events.last().expect("an event");
    let response = last["response"].clone();
    if last["type"] != "response.failed" {
        assert!(texts.is_empty(), "{texts:?}");
        let done: Vec<Value> = done
            .into_iter()
            .map(|item| item.expect("each item is done"))
            .collect();
        assert_eq!(response["output"], json!(done));
    }
    response
}

/// Runs a stream in every batching: all give the same. Gives the events.
#[track_caller]
fn run(request: &Request, chunks: &[String]) -> Vec<Value> {
    let bench = bench();
    let mut all = Vec::new();
    for sizes in BATCHINGS {
        let outcome = bench.run(
            request.clone(),
            &Response::sse(chunks.to_vec()).batches(sizes),
        );
        assert_eq!(
            (outcome.status, &outcome.fault),
            (200, &None),
            "{outcome:?}"
        );
        assert_eq!(
            outcome.header("content-type").as_deref(),
            Some("text/event-stream; charset=utf-8")
        );
        all.push(without_ids(data(&outcome.events)));
    }
    assert!(all.iter().all(|events| events == &all[0]));
    all.swap_remove(0)
}

/// Ids with their random part left out.
fn without_ids(events: Vec<Value>) -> Vec<Value> {
    let Some(id) = events[0]["response"]["id"].as_str() else {
        return events;
    };
    let id = id.strip_prefix("resp_").expect("a prefix").to_owned();
    assert_eq!(id.len(), 24);
    let replaced =
        |event: Value| serde_json::from_str(&event.to_string().replace(&id, "")).expect("JSON");
    events.into_iter().map(replaced).collect()
}

/// Runs a request for one object: over a whole completion, and over a stream that no stage has aggregated.
#[track_caller]
fn whole(request: &Request, message: &Value, deltas: &[Value], reason: &str) -> Value {
    let bench = bench();
    let outcome = bench.run(
        request.clone(),
        &Response::json(&completion(message, reason)),
    );
    let response = checked(&outcome);
    for sizes in BATCHINGS {
        let chunks = Response::sse(stream(deltas, reason)).header("cache-control", "no-cache");
        let outcome = bench.run(request.clone(), &chunks.batches(sizes));
        assert_eq!(checked(&outcome), response);
        assert_eq!(outcome.header("cache-control"), None);
    }
    response
}

#[track_caller]
fn checked(outcome: &Outcome) -> Value {
    assert_eq!((outcome.status, &outcome.fault), (200, &None));
    assert_eq!(
        outcome.header("content-type").as_deref(),
        Some("application/json")
    );
    let response = json!({"response": outcome.json()});
    without_ids(vec![response])[0]["response"].clone()
}

#[test]
fn a_text_is_a_message() {
    let deltas = [json!({"content": "Hel\"lo"}), json!({"content": " 你好\n"})];
    let events = run(
        &streamed(&json!({"temperature": 0.5})),
        &stream(&deltas, "stop"),
    );
    assert_eq!(
        steps(&events),
        [
            "created",
            "in_progress",
            "output_item.added 0",
            "content_part.added 0",
            "output_text.delta 0",
            "output_text.delta 0",
            "output_text.done 0",
            "content_part.done 0",
            "output_item.done 0",
            "completed"
        ]
    );
    let part = json!({"type": "output_text", "text": "", "annotations": [], "logprobs": []});
    assert_eq!(events[3]["part"], part);
    assert_eq!(events[3]["content_index"], 0);
    assert_eq!(
        (&events[4]["delta"], &events[4]["logprobs"]),
        (&json!("Hel\"lo"), &json!([]))
    );
    let response = consistent(&events);
    let created = &events[0]["response"];
    assert_eq!(
        (&created["status"], &created["output"], &created["usage"]),
        (&json!("in_progress"), &json!([]), &Value::Null)
    );
    let whole = whole(
        &request(&json!({"temperature": 0.5})),
        &json!({"role": "assistant", "content": "Hel\"lo 你好\n"}),
        &deltas,
        "stop",
    );
    assert_eq!(whole, response);
    assert_eq!(
        whole,
        json!({"id": "resp_", "object": "response", "created_at": whole["created_at"], "completed_at": 1_790_000_000,
            "status": "completed", "error": null, "incomplete_details": null, "model": "m",
            "output": [{"id": "msg_0", "type": "message", "status": "completed", "role": "assistant",
                "content": [{"type": "output_text", "text": "Hel\"lo 你好\n", "annotations": [], "logprobs": []}]}],
            "usage": {"input_tokens": 11, "input_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 0}, "output_tokens": 7,
                "output_tokens_details": {"reasoning_tokens": 2}, "total_tokens": 18},
            "temperature": 0.5, "top_p": null, "instructions": null, "max_output_tokens": null, "max_tool_calls": null,
            "metadata": {}, "parallel_tool_calls": true, "previous_response_id": null, "prompt_cache_key": null,
            "reasoning": {"effort": null, "summary": null}, "safety_identifier": null, "service_tier": "default",
            "store": false, "background": false, "text": {"format": {"type": "text"}}, "tool_choice": "auto", "tools": [],
            "top_logprobs": 0, "truncation": "disabled", "user": null})
    );
    assert!(whole["created_at"].is_u64());
}

#[test]
fn the_model_server_is_asked_for_a_chat_with_usage() {
    let outcome = bench().run(streamed(&json!({})), &Response::sse(stream(&[], "stop")));
    let sent = outcome.sent.as_ref().expect("a request");
    assert_eq!(
        (&*sent.method, &*sent.path, &*sent.query),
        ("POST", "/v1/chat/completions", "")
    );
    assert_eq!(
        sent.json(),
        json!({"model": "m", "messages": [{"role": "user", "content": "Hi"}], "stream": true,
            "stream_options": {"include_usage": true}})
    );
    assert_eq!(outcome.note("stream"), Some(json!(true)));
}

#[test]
fn thoughts_are_an_item_of_their_own() {
    let deltas = [
        json!({"reasoning": "I "}),
        json!({"reasoning": "think.", "reasoning_content": "think."}),
        json!({"content": "Yes"}),
    ];
    let message = json!({"reasoning": "I think.", "content": "Yes"});
    let text = json!({"type": "reasoning_text", "text": "I think."});
    let summary = json!({"type": "summary_text", "text": "I think."});
    let sealed = reasoning::seal("I think.");
    for (asked, names, item) in [
        (
            json!({}),
            [
                "content_part.added 0",
                "reasoning_text.delta 0",
                "reasoning_text.done 0",
                "content_part.done 0",
            ],
            json!({"summary": [], "content": [text]}),
        ),
        (
            json!({"reasoning": {"summary": "auto"}}),
            [
                "reasoning_summary_part.added 0",
                "reasoning_summary_text.delta 0",
                "reasoning_summary_text.done 0",
                "reasoning_summary_part.done 0",
            ],
            json!({"summary": [summary]}),
        ),
        (
            json!({"include": ["reasoning.encrypted_content"]}),
            [
                "content_part.added 0",
                "reasoning_text.delta 0",
                "reasoning_text.done 0",
                "content_part.done 0",
            ],
            json!({"summary": [], "content": [text], "encrypted_content": sealed}),
        ),
        (
            json!({"include": ["reasoning.encrypted_content"], "reasoning": {"summary": "detailed"}}),
            [
                "reasoning_summary_part.added 0",
                "reasoning_summary_text.delta 0",
                "reasoning_summary_text.done 0",
                "reasoning_summary_part.done 0",
            ],
            json!({"summary": [summary], "encrypted_content": sealed}),
        ),
    ] {
        let events = run(&streamed(&asked), &stream(&deltas, "stop"));
        let [added, delta, done, part_done] = names;
        assert_eq!(
            steps(&events)[2..9],
            [
                "output_item.added 0",
                added,
                delta,
                delta,
                done,
                part_done,
                "output_item.done 0"
            ]
        );
        assert_eq!(steps(&events)[9], "output_item.added 1");
        assert_eq!(events[2]["item"].get("encrypted_content"), None);
        let response = consistent(&events);
        let mut expected = item;
        expected["id"] = json!("rs_0");
        expected["type"] = json!("reasoning");
        expected["status"] = json!("completed");
        assert_eq!(response["output"][0], expected);
        assert_eq!(response["output"][1]["content"][0]["text"], "Yes");
        let whole = whole(&request(&asked), &message, &deltas, "stop");
        assert_eq!(whole["output"], response["output"]);
    }
}

#[test]
fn each_call_is_an_item_also_if_their_parts_alternate() {
    let call = |index: u64, id: &str, arguments: &str| match id {
        "" => json!({"tool_calls": [{"index": index, "function": {"arguments": arguments}}]}),
        id => {
            json!({"tool_calls": [{"index": index, "id": id, "type": "function", "function": {"name": format!("f\"{index}"), "arguments": arguments}}]})
        }
    };
    let whole_call = |index: u64, id: &str, arguments: &str| json!({"id": id, "type": "function", "function": {"name": format!("f\"{index}"), "arguments": arguments}});
    let message = json!({"content": "Let me see.", "tool_calls":
        [whole_call(0, "a", "{\"x\":1}"), whole_call(1, "b", "{\"y\":\"é\"}")]});
    let text = json!({"content": "Let me see."});
    let orders = [
        // One after the other, both at once, and in turns; the text first and last.
        vec![
            text.clone(),
            call(0, "a", ""),
            call(0, "", "{\"x\""),
            call(0, "", ":1}"),
            call(1, "b", "{\"y\":\"é\"}"),
        ],
        vec![
            text.clone(),
            call(0, "a", "{"),
            call(1, "b", "{\"y\":"),
            call(0, "", "\"x\":1}"),
            call(1, "", "\"é\"}"),
        ],
        vec![
            text.clone(),
            json!({"tool_calls": [call(0, "a", "")["tool_calls"][0], call(1, "b", "{\"y\":\"é\"}")["tool_calls"][0]]}),
            call(0, "a", "{\"x\":1}"),
        ],
    ];
    for deltas in &orders {
        let events = run(&streamed(&json!({})), &stream(deltas, "tool_calls"));
        let response = consistent(&events);
        assert_eq!(response["status"], "completed");
        let item = |at: u64, id: &str, arguments: &str| {
            json!({"id": format!("fc_{at}"), "type": "function_call", "status": "completed",
            "call_id": id, "name": format!("f\"{}", at - 1), "arguments": arguments})
        };
        assert_eq!(response["output"][1], item(1, "a", "{\"x\":1}"));
        assert_eq!(response["output"][2], item(2, "b", "{\"y\":\"é\"}"));
        assert_eq!(
            events.last().expect("an event")["type"],
            "response.completed"
        );
        let whole = whole(&request(&json!({})), &message, deltas, "tool_calls");
        assert_eq!(whole["output"], response["output"]);
    }
}

#[test]
fn text_behind_a_call_belongs_to_the_one_message() {
    let call = json!({"tool_calls": [{"index": 0, "id": "a", "function": {"name": "f", "arguments": "{}"}}]});
    let events = run(
        &streamed(&json!({})),
        &stream(
            &[json!({"content": "a"}), call, json!({"content": "b"})],
            "tool_calls",
        ),
    );
    let response = consistent(&events);
    assert_eq!(response["output"][0]["content"][0]["text"], "ab");
    assert_eq!(response["output"].as_array().map(Vec::len), Some(2));
}

#[test]
fn a_call_without_an_id_gets_one() {
    let call = json!({"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": "{}"}}]});
    let events = run(&streamed(&json!({})), &stream(&[call], "tool_calls"));
    assert_eq!(consistent(&events)["output"][0]["call_id"], "call_0");
}

#[test]
fn a_refusal_is_a_part() {
    let deltas = [
        json!({"content": "Hm. "}),
        json!({"refusal": "I can"}),
        json!({"refusal": "not."}),
    ];
    let events = run(&streamed(&json!({})), &stream(&deltas, "stop"));
    assert_eq!(
        steps(&events)[2..],
        [
            "output_item.added 0",
            "content_part.added 0",
            "output_text.delta 0",
            "output_text.done 0",
            "content_part.done 0",
            "content_part.added 0",
            "refusal.delta 0",
            "refusal.delta 0",
            "refusal.done 0",
            "content_part.done 0",
            "output_item.done 0",
            "completed"
        ]
    );
    assert_eq!(events[8]["content_index"], 1);
    let response = consistent(&events);
    assert_eq!(
        response["output"][0]["content"][1],
        json!({"type": "refusal", "refusal": "I cannot."})
    );
    let whole = whole(
        &request(&json!({})),
        &json!({"content": "Hm. ", "refusal": "I cannot."}),
        &deltas,
        "stop",
    );
    assert_eq!(whole["output"], response["output"]);
}

#[test]
fn a_cut_response_is_incomplete_and_so_is_its_last_item() {
    let call = json!({"tool_calls": [{"index": 0, "id": "a", "function": {"name": "f", "arguments": "{\"x"}}]});
    for (deltas, reason, why, statuses) in [
        (
            vec![json!({"content": "1 2"})],
            "length",
            "max_output_tokens",
            vec!["incomplete"],
        ),
        (
            vec![json!({"content": "1 2"})],
            "content_filter",
            "content_filter",
            vec!["incomplete"],
        ),
        (
            vec![json!({"reasoning": "I"})],
            "length",
            "max_output_tokens",
            vec!["incomplete"],
        ),
        (
            vec![json!({"reasoning": "I"}), json!({"content": "1"})],
            "length",
            "max_output_tokens",
            vec!["completed", "incomplete"],
        ),
        (
            vec![json!({"content": "1"}), call],
            "length",
            "max_output_tokens",
            vec!["completed", "incomplete"],
        ),
        (vec![], "length", "max_output_tokens", vec![]),
    ] {
        let events = run(&streamed(&json!({})), &stream(&deltas, reason));
        let response = consistent(&events);
        assert_eq!(
            events.last().expect("an event")["type"],
            "response.incomplete"
        );
        assert_eq!(
            (&response["status"], &response["completed_at"]),
            (&json!("incomplete"), &Value::Null)
        );
        assert_eq!(response["incomplete_details"], json!({"reason": why}));
        let output = response["output"].as_array().expect("items");
        let found: Vec<&Value> = output.iter().map(|item| &item["status"]).collect();
        assert_eq!(found, statuses);
        assert_eq!(response["usage"]["output_tokens"], 7);
    }
}

#[test]
fn a_model_that_says_nothing_says_an_empty_text() {
    for deltas in [vec![], vec![json!({"reasoning": "I"})]] {
        let events = run(&streamed(&json!({})), &stream(&deltas, "stop"));
        let response = consistent(&events);
        let output = response["output"].as_array().expect("items");
        assert_eq!(
            output.last().map(|item| &item["content"][0]["text"]),
            Some(&json!(""))
        );
        let mut message = json!({"content": ""});
        if let Some(delta) = deltas.first() {
            message["reasoning"] = delta["reasoning"].clone();
        }
        assert_eq!(
            whole(&request(&json!({})), &message, &deltas, "stop")["output"],
            response["output"]
        );
    }
}

#[test]
fn log_probabilities_come_with_their_text_if_they_are_asked_for() {
    let entry = |token: &str, top: Value| json!({"token": token, "logprob": -0.5, "bytes": null, "top_logprobs": top});
    let top = json!([{"token": "é", "logprob": -1, "bytes": [195, 169]}]);
    let with = |content: &str, entries: Value| {
        let mut chunk: Value =
            serde_json::from_str(&chunk(&json!({"content": content}))).expect("JSON");
        chunk["choices"][0]["logprobs"] = json!({"content": entries, "refusal": null});
        chunk.to_string()
    };
    let chunks = [
        with("a", json!([entry("a", top)])),
        // Half of a character, and its other half.
        with("", json!([entry("\u{fffd}", json!(null))])),
        with("é", json!([entry("c", json!([])), entry("d", json!([]))])),
        finish("stop"),
        "[DONE]".to_owned(),
    ];
    let found = |token: &str, bytes: Value, top: Value| json!({"token": token, "logprob": -0.5, "bytes": bytes, "top_logprobs": top});
    let all = json!([
        found(
            "a",
            json!([97]),
            json!([{"token": "é", "logprob": -1, "bytes": [195, 169]}])
        ),
        found("\u{fffd}", json!([239, 191, 189]), json!([])),
        found("c", json!([99]), json!([])),
        found("d", json!([100]), json!([])),
    ]);
    let asked = json!({"include": ["message.output_text.logprobs"]});
    let events = run(&streamed(&asked), &chunks);
    let response = consistent(&events);
    assert_eq!(response["output"][0]["content"][0]["logprobs"], all);
    let deltas = events
        .iter()
        .filter(|event| event["type"] == "response.output_text.delta");
    let deltas: Vec<&Value> = deltas
        .flat_map(|event| event["logprobs"].as_array().expect("a list"))
        .collect();
    assert_eq!(json!(deltas), all);
    let done = events
        .iter()
        .find(|event| event["type"] == "response.output_text.done");
    assert_eq!(done.expect("it")["logprobs"], all);
    let events = run(&streamed(&json!({})), &chunks);
    assert_eq!(
        consistent(&events)["output"][0]["content"][0]["logprobs"],
        json!([])
    );
}

#[test]
fn one_object_in_place_of_a_stream_becomes_a_stream() {
    let message = json!({"role": "assistant", "reasoning": "I", "content": "Yes", "tool_calls": [
        {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}},
        {"id": "b", "type": "function", "function": {"name": "f", "arguments": "{}"}}]});
    let completion = completion(&message, "tool_calls");
    // From a cache; and behind an early head, where it is an event.
    for response in [
        Response::json(&completion),
        Response::sse([completion.to_string()]),
    ] {
        let outcome = bench().run(streamed(&json!({})), &response);
        assert_eq!(outcome.fault, None);
        let events = data(&outcome.events);
        let response = consistent(&events);
        let kinds: Vec<&Value> = response["output"]
            .as_array()
            .expect("items")
            .iter()
            .map(|item| &item["type"])
            .collect();
        assert_eq!(
            kinds,
            ["reasoning", "message", "function_call", "function_call"]
        );
        assert_eq!(
            events.last().expect("an event")["type"],
            "response.completed"
        );
    }
}

#[test]
fn an_error_in_mid_stream_ends_the_response_as_failed() {
    let error = json!({"error": {"message": "The model server broke off.", "type": "server_error", "param": null, "code": "upstream_broken"}});
    let failed = json!({"code": "upstream_broken", "message": "The model server broke off."});
    let deltas = [
        json!({"reasoning": "I"}),
        json!({"content": "Ye"}),
        json!({"content": "s"}),
    ];
    let chunks = stream(&deltas, "stop");
    let bench = bench();
    for cut in 1..chunks.len() {
        for sizes in BATCHINGS {
            let response = Response::sse(chunks[..cut].to_vec())
                .batches(sizes)
                .broken();
            let outcome = bench.run(streamed(&json!({})), &response);
            assert!(outcome.rendered && outcome.status == 200, "{outcome:?}");
            let events = data(&outcome.events);
            let last = events.last().expect("an event");
            assert_eq!(last["type"], "response.failed");
            let response = consistent(&events);
            assert_eq!(
                (&response["status"], &response["error"]),
                (&json!("failed"), &failed)
            );
            assert_eq!(response["completed_at"], Value::Null);
            // What was written stays, and says that it is not complete.
            let output = response["output"].as_array().expect("items");
            assert_eq!(output.len(), cut.saturating_sub(1).min(2));
            assert!(output.iter().all(|item| item["status"] != "in_progress"));
            if cut == 3 {
                assert_eq!(
                    (&output[0]["status"], &output[1]["status"]),
                    (&json!("completed"), &json!("incomplete"))
                );
            }
        }
    }
    // Before the first event it has to do as the body of a response too.
    let outcome = bench.run(
        streamed(&json!({})),
        &Response::sse(Vec::<String>::new()).broken(),
    );
    let events = data(&outcome.events);
    assert_eq!(steps(&events), ["error"]);
    assert_eq!(
        (&events[0]["error"], &events[0]["code"]),
        (&error["error"], &json!("upstream_broken"))
    );
}

#[test]
fn what_cannot_be_translated_is_an_error_behind_what_can() {
    let begun = [chunk(&json!({"content": "Hel"}))];
    for (rest, code) in [
        (vec!["nonsense".to_owned()], "upstream_invalid"),
        (
            vec!["{}".to_owned(), "[DONE]".to_owned()],
            "upstream_invalid",
        ),
        (vec![], "upstream_truncated"),
        (
            vec![json!({"error": {"message": "Dead.", "code": "dead"}}).to_string()],
            "dead",
        ),
    ] {
        let chunks: Vec<String> = begun.iter().cloned().chain(rest).collect();
        for sizes in BATCHINGS {
            let outcome = bench().run(
                streamed(&json!({})),
                &Response::sse(chunks.clone()).batches(sizes),
            );
            let events = data(&outcome.events);
            assert_eq!(
                steps(&events)[4..],
                ["output_text.delta 0", "failed"],
                "{code}"
            );
            assert_eq!(consistent(&events)["error"]["code"], code);
            assert_eq!(outcome.fault.map(|fault| fault.code).as_deref(), Some(code));
        }
        // As one object it has a status.
        let outcome = bench().run(request(&json!({})), &Response::sse(chunks));
        assert_eq!(
            (outcome.status, &outcome.json()["error"]["code"]),
            (502, &json!(code))
        );
    }
    for odd in [
        json!({"choices": "none"}),
        json!({"object": "list"}),
        json!([]),
    ] {
        let outcome = bench().run(request(&json!({})), &Response::json(&odd));
        assert_eq!(
            (outcome.status, &outcome.json()["error"]["code"]),
            (502, &json!("upstream_invalid"))
        );
    }
    let cut = completion(&json!({"content": "Hel"}), "stop")
        .to_string()
        .replace("\"stop\"", "null");
    let outcome = bench().run(
        request(&json!({})),
        &Response::json(&serde_json::from_str::<Value>(&cut).expect("JSON")),
    );
    assert_eq!(outcome.json()["error"]["code"], "upstream_truncated");
    let outcome = bench().run(
        request(&json!({})),
        &Response::new(307).header("location", "/x"),
    );
    assert_eq!(
        (outcome.status, &outcome.json()["error"]["code"]),
        (502, &json!("upstream_invalid"))
    );
}

#[test]
fn behind_an_early_head_an_error_is_a_failed_response() {
    let error = json!({"error": {"message": "No such model.", "type": "invalid_request_error", "param": "model", "code": "model_not_found"}});
    let outcome = bench().run(
        streamed(&json!({})),
        &Response::sse([error.to_string()]).status(404),
    );
    let events = data(&outcome.events);
    assert_eq!(steps(&events), ["created", "in_progress", "failed"]);
    assert_eq!(
        consistent(&events)["error"],
        json!({"code": "model_not_found", "message": "No such model."})
    );
}

#[test]
fn errors_before_the_stream_pass_as_they_are() {
    let error = json!({"error": {"message": "No.", "type": "invalid_request_error", "param": "temperature", "code": "invalid_value"}});
    for asked in [streamed(&json!({})), request(&json!({}))] {
        let response = Response::json(&error)
            .status(400)
            .header("retry-after", "3");
        let outcome = bench().run(asked.clone(), &response);
        assert_eq!((outcome.status, outcome.json()), (400, error.clone()));
        assert_eq!(outcome.header("retry-after").as_deref(), Some("3"));
        assert_eq!(
            outcome.header("content-type").as_deref(),
            Some("application/json")
        );
        let page = Response::new(503)
            .header("content-type", "text/html")
            .body("<html>");
        let outcome = bench().run(asked, &page);
        assert_eq!(
            (outcome.status, &outcome.json()["error"]["code"]),
            (503, &json!("upstream_error"))
        );
    }
}

#[test]
fn a_request_that_is_refused_is_an_error_of_openai_s_form() {
    let outcome = bench().run(
        request(&json!({"previous_response_id": "resp_1"})),
        &Response::new(200),
    );
    assert_eq!((outcome.status, &outcome.sent), (400, &None));
    let error = &outcome.json()["error"];
    assert_eq!(
        (&error["type"], &error["code"], &error["param"]),
        (
            &json!("invalid_request_error"),
            &json!("unsupported_parameter"),
            &json!("previous_response_id")
        )
    );
}

#[test]
fn there_is_nothing_but_the_creation_of_responses() {
    for (method, target) in [
        ("GET", "/v1/responses/resp_1"),
        ("DELETE", "/v1/responses/resp_1"),
        ("POST", "/v1/responses/resp_1/cancel"),
        ("GET", "/v1/responses/resp_1/input_items?limit=3"),
        ("GET", "/v1/responses"),
        ("POST", "/v1/responses/compact"),
    ] {
        let outcome = bench().run(Request::new(method, target), &Response::new(200));
        assert_eq!(
            (outcome.status, &outcome.sent),
            (404, &None),
            "{method} {target}"
        );
        let message = outcome.json()["error"]["message"].to_string();
        assert!(message.contains("not stored"), "{message}");
    }
}

#[test]
fn tokens_are_counted_as_those_of_a_chat() {
    let counted =
        Response::json(&json!({"input_tokens": 42})).header("x-sluicegate-estimate", "true");
    let path = "/v1/responses/input_tokens";
    let asked = json!({"model": "m", "instructions": "Be brief.", "input": "Hi", "stream": true});
    let outcome = bench().run(Request::post(path).json(&asked), &counted);
    assert_eq!(
        outcome.json(),
        json!({"object": "response.input_tokens", "input_tokens": 42})
    );
    assert_eq!(
        outcome.header("x-sluicegate-estimate").as_deref(),
        Some("true")
    );
    let sent = outcome.sent.expect("a request");
    assert_eq!(sent.path, "/v1/chat/completions/input_tokens");
    let messages =
        json!([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]);
    assert_eq!(sent.json()["messages"], messages);
    for (response, status) in [
        (Response::json(&json!({"tokens": 1})), 502),
        (
            Response::new(404)
                .header("content-type", "application/json")
                .body(r#"{"error":{"message":"No."}}"#),
            404,
        ),
    ] {
        let outcome = bench().run(Request::post(path).json(&asked), &response);
        assert_eq!(outcome.status, status);
        assert!(outcome.json()["error"]["message"].is_string());
    }
}
