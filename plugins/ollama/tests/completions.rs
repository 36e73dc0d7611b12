//! Completions of a prompt: requests, refusals, streams in all batchings, whole responses, errors.

use serde_json::{Value, json};
use sluicegate_ollama::Ollama;
use sluicegate_openai_api::testing::{self, Framing};
use sluicegate_plugin::testing::{BATCHINGS, Bench, Outcome, Request, Response};

fn bench(config: Value) -> Bench<Ollama> {
    Bench::load(config).expect("loads")
}

/// A request with these members beside a model and a prompt.
fn prompt(members: &Value) -> Request {
    let mut request = json!({"model": "m", "prompt": "1, 2,"});
    for (name, value) in members.as_object().expect("an object") {
        request[name] = value.clone();
    }
    Request::post("/v1/completions").json(&request)
}

fn lines() -> [String; 3] {
    [
        json!({"model": "own", "created_at": "x", "response": " 3 \"", "done": false}),
        json!({"model": "own", "created_at": "x", "response": "<think>é", "done": false}),
        json!({"model": "own", "created_at": "x", "response": "", "done": true, "done_reason": "length", "context": [1, 2], "prompt_eval_count": 4, "eval_count": 2}),
    ]
    .map(|line| line.to_string())
}

fn choices(outcome: &Outcome) -> Vec<Value> {
    let chunks = outcome.data().into_iter().filter(|data| data != "[DONE]");
    chunks
        .map(|data| {
            let chunk: Value = serde_json::from_str(&data).expect("JSON");
            assert_eq!(chunk["object"], "text_completion");
            assert_eq!(chunk["id"], "cmpl-aaaabbbbccccdddd");
            assert_eq!(chunk["model"], "m");
            match chunk.get("usage") {
                Some(usage) => usage.clone(),
                None => chunk["choices"][0].clone(),
            }
        })
        .collect()
}

fn choice(text: &str, finish: Option<&str>) -> Value {
    json!({"index": 0, "text": text, "logprobs": null, "finish_reason": finish})
}

#[test]
fn a_prompt_reaches_ollama_as_it_is() {
    let plain = json!({
        "model": "m", "stream": true, "truncate": false, "shift": false, "prompt": "1, 2,", "raw": true,
        "think": false, "options": {"temperature": 1, "top_p": 1, "num_predict": 16}
    });
    let with = |members: Value| {
        let mut body = plain.clone();
        for (name, value) in members.as_object().expect("an object") {
            body[name] = value.clone();
        }
        body
    };
    let options = |members: Value| {
        let mut options = json!({"temperature": 1, "top_p": 1, "num_predict": 16});
        for (name, value) in members.as_object().expect("an object") {
            options[name] = value.clone();
        }
        with(json!({"options": options}))
    };
    let mut filled = with(json!({"suffix": "9"}));
    filled.as_object_mut().expect("an object").remove("raw");
    for (members, expected) in [
        (json!({}), plain.clone()),
        (json!({"prompt": ["one"]}), with(json!({"prompt": "one"}))),
        (
            json!({"n": 1, "best_of": 1, "echo": true, "user": "u", "suffix": ""}),
            plain.clone(),
        ),
        (json!({"suffix": "9"}), filled),
        (json!({"max_tokens": 7}), options(json!({"num_predict": 7}))),
        (
            json!({"temperature": 0, "stop": "\n", "seed": 3, "presence_penalty": 0.5}),
            options(json!({"temperature": 0, "stop": ["\n"], "seed": 3, "presence_penalty": 0.5})),
        ),
        (json!({"logprobs": 0}), with(json!({"logprobs": true}))),
        (
            json!({"logprobs": 2}),
            with(json!({"logprobs": true, "top_logprobs": 2})),
        ),
        (
            json!({"response_format": {"type": "json_object"}}),
            with(json!({"format": "json"})),
        ),
        (
            json!({"reasoning_effort": "high", "think": true, "tools": [1], "messages": []}),
            plain.clone(),
        ),
    ] {
        let sent = bench(json!({}))
            .send(prompt(&members))
            .unwrap_or_else(|outcome| panic!("{members}: {outcome:?}"));
        assert_eq!(
            (sent.path.as_str(), sent.json()),
            ("/api/generate", expected),
            "{members}"
        );
    }
}

#[test]
fn the_length_of_a_completion_is_the_operators_if_the_client_says_none() {
    for (config, expected) in [
        (json!({"options": {"num_predict": 99}}), json!(99)),
        (json!({"sampling": "model"}), Value::Null),
    ] {
        let sent = bench(config).send(prompt(&json!({}))).expect("sent").json();
        assert_eq!(sent["options"]["num_predict"], expected);
    }
}

#[test]
fn what_ollama_cannot_do_is_refused() {
    for (members, code, param) in [
        (
            json!({"prompt": null}),
            "missing_required_parameter",
            "prompt",
        ),
        (
            json!({"model": null}),
            "missing_required_parameter",
            "model",
        ),
        (json!({"prompt": ""}), "invalid_value", "prompt"),
        (json!({"prompt": []}), "invalid_value", "prompt"),
        (json!({"prompt": [""]}), "invalid_value", "prompt"),
        (json!({"prompt": 1}), "invalid_type", "prompt"),
        (json!({"prompt": [{}]}), "invalid_type", "prompt"),
        (json!({"prompt": ["a", "b"]}), "unsupported_value", "prompt"),
        (json!({"prompt": [1, 2]}), "unsupported_value", "prompt"),
        (json!({"prompt": [[1, 2]]}), "unsupported_value", "prompt"),
        (json!({"n": 2}), "unsupported_value", "n"),
        (json!({"best_of": 2}), "unsupported_value", "best_of"),
        (json!({"logprobs": true}), "invalid_type", "logprobs"),
        (json!({"logprobs": 21}), "invalid_value", "logprobs"),
        (
            json!({"echo": true, "logprobs": 1}),
            "unsupported_value",
            "logprobs",
        ),
        (json!({"echo": 1}), "invalid_type", "echo"),
        (json!({"suffix": 1}), "invalid_type", "suffix"),
        (json!({"max_tokens": 0}), "invalid_value", "max_tokens"),
        (
            json!({"stream_options": {}}),
            "invalid_value",
            "stream_options",
        ),
        (
            json!({"logit_bias": {"1": 1}}),
            "unsupported_value",
            "logit_bias",
        ),
    ] {
        let refused = bench(json!({}))
            .send(prompt(&members))
            .expect_err("refused");
        let fault = refused.fault.expect("a fault");
        let found = (fault.status, &*fault.code, fault.param.as_deref());
        assert_eq!(found, (400, code, Some(param)), "{members}: {fault}");
    }
}

#[test]
fn every_batching_gives_the_same_chunks() {
    let usage = json!({"prompt_tokens": 4, "completion_tokens": 2, "total_tokens": 6});
    let plain = [
        choice(" 3 \"", None),
        choice("<think>é", None),
        choice("", Some("length")),
    ];
    let echoed = [[choice("1, 2,", None)].as_slice(), &plain].concat();
    let counted = [&plain, [usage.clone()].as_slice()].concat();
    for (members, expected) in [
        (json!({"stream": true}), plain.to_vec()),
        (json!({"stream": true, "echo": true}), echoed),
        (
            json!({"stream": true, "stream_options": {"include_usage": true}}),
            counted.clone(),
        ),
        // For `aggregate`.
        (json!({}), counted),
    ] {
        let sizes = testing::batchings(Framing::Ndjson, &lines());
        for sizes in sizes.iter().map(Vec::as_slice).chain(BATCHINGS) {
            let response = Response::ndjson(lines()).batches(sizes);
            let outcome = bench(json!({})).run(prompt(&members), &response);
            assert_eq!(outcome.fault, None);
            assert_eq!(choices(&outcome), expected, "{members} in {sizes:?}");
            assert_eq!(outcome.data().last().map(String::as_str), Some("[DONE]"));
            assert_eq!(outcome.note("finish"), Some(json!("length")));
            assert_eq!(outcome.note("usage"), Some(usage.clone()));
        }
    }
}

#[test]
fn a_whole_response_is_a_text_completion() {
    let token = |text: &str| json!({"token": text, "logprob": -0.5, "bytes": [1], "top_logprobs": [{"token": text, "logprob": -0.5}, {"token": "\"", "logprob": -2}]});
    let answer = json!({
        "model": "own", "response": "é\"x", "done": true, "done_reason": "stop",
        "prompt_eval_count": 4, "eval_count": 2, "logprobs": [token("é\""), token("x")]
    });
    let bench = bench(json!({"stream": "as-client"}));
    let outcome = bench.run(prompt(&json!({"logprobs": 2})), &Response::json(&answer));
    let body = outcome.json();
    let usage = json!({"prompt_tokens": 4, "completion_tokens": 2, "total_tokens": 6});
    assert_eq!(
        (&body["object"], &body["model"], &body["usage"]),
        (&json!("text_completion"), &json!("m"), &usage)
    );
    let expected = json!({
        "index": 0, "text": "é\"x", "finish_reason": "stop",
        "logprobs": {
            "tokens": ["é\"", "x"], "token_logprobs": [-0.5, -0.5], "text_offset": [0, 2],
            "top_logprobs": [{"é\"": -0.5, "\"": -2}, {"x": -0.5, "\"": -2}]
        }
    });
    assert_eq!(body["choices"], json!([expected]));
    let echoed = bench
        .run(prompt(&json!({"echo": true})), &Response::json(&answer))
        .json();
    assert_eq!(echoed["choices"][0]["text"], "1, 2,é\"x");
    let unfinished = json!({"response": "x", "done": false});
    let outcome = bench.run(prompt(&json!({})), &Response::json(&unfinished));
    assert_eq!(outcome.fault.expect("a fault").code, "upstream_truncated");
}

#[test]
fn log_probabilities_of_a_stream_count_on() {
    let line = |text: &str| {
        json!({"response": text, "done": false, "logprobs": [{"token": text, "logprob": -1}]})
            .to_string()
    };
    let done = json!({"response": "", "done": true}).to_string();
    let response = Response::ndjson([line("你好"), line("x"), done]);
    let outcome = bench(json!({})).run(prompt(&json!({"stream": true, "logprobs": 0})), &response);
    let offsets: Vec<Value> = choices(&outcome)
        .iter()
        .map(|choice| choice["logprobs"]["text_offset"].clone())
        .collect();
    assert_eq!(offsets, [json!([0]), json!([2]), Value::Null]);
    for wrong in [json!(3), json!([{"token": 1, "logprob": 1}])] {
        let line = json!({"response": "x", "logprobs": wrong}).to_string();
        let outcome =
            bench(json!({})).run(prompt(&json!({"logprobs": 0})), &Response::ndjson([line]));
        assert_eq!(outcome.fault.expect("a fault").code, "upstream_invalid");
    }
}

#[test]
fn errors_and_cuts_are_those_of_chats() {
    let long = json!({"error": "the input length exceeds the context length"});
    let outcome = bench(json!({})).run(
        prompt(&json!({})),
        &Response::new(400).body(long.to_string()),
    );
    let fault = outcome.fault.expect("a fault");
    let found = (fault.status, &*fault.code, fault.param.as_deref());
    assert_eq!(found, (400, "context_length_exceeded", Some("prompt")));

    let insert = json!({"error": "registry.ollama.ai/library/m does not support insert"});
    let outcome = bench(json!({})).run(
        prompt(&json!({"suffix": "x"})),
        &Response::new(400).body(insert.to_string()),
    );
    let fault = outcome.fault.expect("a fault");
    assert_eq!((fault.status, &*fault.code), (400, "unsupported_value"));

    let [first, ..] = lines();
    for (response, code) in [
        (Response::ndjson([first.clone()]), "upstream_truncated"),
        (
            Response::ndjson([first.clone(), json!({"error": "boom"}).to_string()]),
            "upstream_error",
        ),
        (
            Response::ndjson([
                first,
                json!({"error": "the input length exceeds the context length"}).to_string(),
            ]),
            "context_length_exceeded",
        ),
    ] {
        let outcome = bench(json!({})).run(prompt(&json!({"stream": true})), &response);
        assert_eq!(choices(&outcome), [choice(" 3 \"", None)]);
        assert!(!outcome.data().contains(&"[DONE]".to_owned()));
        assert_eq!(
            outcome.note("usage"),
            Some(
                json!({"prompt_tokens": 0, "completion_tokens": 1, "total_tokens": 1, "partial": true})
            )
        );
        assert_eq!(outcome.fault.expect("a fault").code, code);
    }
}
