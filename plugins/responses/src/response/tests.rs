mod errors;
mod running;

use serde_json::{Value, json};
use sluicegate_plugin::testing::{Request, Response};

use self::running::{
    bench, chunk, completion, consistent, data, finish, request, run, steps, stream, streamed,
    whole,
};
use crate::reasoning;

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
fn instructions_are_in_the_first_and_the_last_event() {
    let request = streamed(&json!({"instructions": "Be brief."}));
    let events = run(&request, &stream(&[json!({"content": "a"})], "stop"));
    let found: Vec<(&str, &Value)> = events
        .iter()
        .filter_map(|event| Some((event["type"].as_str()?, event.get("response")?)))
        .map(|(name, response)| (name, &response["instructions"]))
        .collect();
    let brief = json!("Be brief.");
    assert_eq!(
        found,
        [
            ("response.created", &brief),
            ("response.in_progress", &Value::Null),
            ("response.completed", &brief)
        ]
    );
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
fn thoughts_between_texts_are_items_of_their_own() {
    let deltas = [
        json!({"reasoning": "I"}),
        json!({"content": "a"}),
        json!({"reasoning": "think"}),
        json!({"content": "b"}),
        json!({"reasoning": "again"}),
    ];
    let events = run(&streamed(&json!({})), &stream(&deltas, "stop"));
    let response = consistent(&events);
    let text = |at: usize| &response["output"][at]["content"][0]["text"];
    assert_eq!(
        [text(0), text(1), text(2), text(3)],
        ["I", "ab", "think", "again"]
    );
    let done = steps(&events).into_iter();
    let done: Vec<String> = done
        .filter(|step| step.starts_with("output_item.done"))
        .collect();
    assert_eq!(
        done,
        [
            "output_item.done 0",
            "output_item.done 2",
            "output_item.done 1",
            "output_item.done 3"
        ]
    );
}

#[test]
fn a_call_without_an_id_gets_one() {
    let call = json!({"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": "{}"}}]});
    let events = run(&streamed(&json!({})), &stream(&[call], "tool_calls"));
    assert_eq!(consistent(&events)["output"][0]["call_id"], "call_0");
}

#[test]
fn a_call_is_one_item_whenever_its_name_and_id_come() {
    let part = |id: &str, name: &str, arguments: &str| {
        let mut part = json!({"index": 0, "function": {"arguments": arguments}});
        if !id.is_empty() {
            part["id"] = json!(id);
        }
        if !name.is_empty() {
            part["function"]["name"] = json!(name);
        }
        json!({"tool_calls": [part]})
    };
    let one = |id: &str, name: &str| vec![(id.to_owned(), name.to_owned(), "{}".to_owned())];
    for (deltas, calls) in [
        (vec![part("a", "", ""), part("", "f", "{}")], one("a", "f")),
        (vec![part("", "", "{"), part("a", "f", "}")], one("a", "f")),
        (
            vec![part("", "", "{"), part("a", "", "}"), part("", "f", "")],
            one("a", "f"),
        ),
        // The first event of the item is out without the id, and the others must fit to it.
        (
            vec![part("", "f", "{"), part("a", "", "}"), part("a", "f", "")],
            one("call_0", "f"),
        ),
        (vec![part("a", "", "{}")], one("a", "")),
        (
            vec![part("a", "f", "{}"), part("b", "g", "{"), part("", "", "}")],
            [one("a", "f"), one("b", "g")].concat(),
        ),
        (
            vec![part("a", "f", "{}"), part("b", "", "{"), part("", "g", "}")],
            [one("a", "f"), one("b", "g")].concat(),
        ),
    ] {
        let events = run(&streamed(&json!({})), &stream(&deltas, "tool_calls"));
        let response = consistent(&events);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let item = |item: &Value| {
            (
                text(&item["call_id"]),
                text(&item["name"]),
                text(&item["arguments"]),
            )
        };
        let output = response["output"].as_array().expect("items");
        let found: Vec<_> = output.iter().map(item).collect();
        assert_eq!(found, calls, "{deltas:?}");
        let added = events
            .iter()
            .filter(|event| event["type"] == "response.output_item.added");
        let added: Vec<_> = added.map(|event| text(&event["item"]["name"])).collect();
        let names: Vec<_> = calls.iter().map(|(_, name, _)| name.clone()).collect();
        assert_eq!(added, names);
    }
}

#[test]
fn calls_of_a_whole_completion_need_no_ids() {
    let call =
        |name: &str| json!({"type": "function", "function": {"name": name, "arguments": "{}"}});
    let message = json!({"content": null, "tool_calls": [call("f"), call("g")]});
    let completion = Response::json(&completion(&message, "tool_calls"));
    let outcome = bench().run(request(&json!({})), &completion);
    let body: Value = serde_json::from_slice(&outcome.body).expect("JSON");
    let output = body["output"].as_array().expect("items");
    let names: Vec<&Value> = output.iter().map(|item| &item["name"]).collect();
    assert_eq!(names, ["f", "g"]);
    assert_ne!(output[0]["call_id"], output[1]["call_id"]);
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
