//! Responses: what a client gets of what vLLM sends.

use serde_json::{Value, json};
use sluicegate_openai_api::testing;
use sluicegate_plugin::testing::{Bench, Request, Response};
use sluicegate_vllm::Vllm;

/// Words that are vLLM's.
const NAMES: [&str; 4] = ["vllm", "badrequesterror", "qwen3-32b", "kv_transfer_params"];

fn bench(config: Value) -> Bench<Vllm> {
    Bench::load(config).expect("loads")
}

fn chat(members: &Value) -> Request {
    let case = json!({"openai": members});
    testing::request(case.as_object().expect("an object"))
}

#[test]
fn every_response_is_what_clients_expect_in_every_batching() {
    testing::check::<Vllm>(include_str!("fixtures/responses.json"), &NAMES);
}

#[test]
fn every_error_has_openais_form() {
    testing::check::<Vllm>(include_str!("fixtures/errors.json"), &NAMES);
}

#[test]
fn members_that_were_asked_for_are_shown_and_those_of_the_server_are_not() {
    let whole = json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "served", "system_fingerprint": "vllm-0.32.0-1",
        "prompt_token_ids": [1, 2], "kv_transfer_params": {"remote_host": "10.0.0.1"}, "metrics": null,
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "A", "annotations": null, "reasoning": null},
            "logprobs": null, "finish_reason": "stop", "stop_reason": "END", "token_ids": [3]}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2, "prompt_tokens_details": null}
    });
    let expected = json!({
        "id": "chatcmpl-aaaabbbbccccdddd", "object": "chat.completion", "created": 1_767_225_600, "model": "asked/for:1",
        "prompt_token_ids": [1, 2],
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "A", "refusal": null},
            "logprobs": null, "finish_reason": "stop", "stop_reason": "END", "token_ids": [3]}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    });
    let run = |config: Value| {
        bench(config)
            .run(chat(&json!({})), &Response::json(&whole))
            .json()
    };
    assert_eq!(run(json!({})), expected);
    let shown = run(json!({"allow": ["kv_transfer_params"]}));
    assert_eq!(shown["kv_transfer_params"], whole["kv_transfer_params"]);
}

#[test]
fn a_client_that_asks_with_functions_gets_a_function_call() {
    let asked = |stream: bool| chat(&json!({"functions": [{"name": "f"}], "stream": stream}));
    let call = |arguments: &str| json!({"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": arguments}});
    let whole = json!({"choices": [{"message": {"content": null, "tool_calls": [call("{}"), call("{}")]}, "finish_reason": "tool_calls"}]});
    let choice = &bench(json!({}))
        .run(asked(false), &Response::json(&whole))
        .json()["choices"][0];
    assert_eq!(choice["finish_reason"], "function_call");
    assert_eq!(
        choice["message"]["function_call"],
        json!({"name": "f", "arguments": "{}"})
    );
    assert_eq!(choice["message"].get("tool_calls"), None);

    let event = |delta: Value, finish: Value| {
        json!({"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}).to_string()
    };
    let more = json!({"tool_calls": [{"index": 0, "function": {"arguments": "}"}}]});
    let events = [
        event(json!({"tool_calls": [call("{")]}), Value::Null),
        event(more, Value::Null),
        event(json!({}), json!("stop")),
        "[DONE]".to_owned(),
    ];
    let outcome = bench(json!({})).run(asked(true), &Response::sse(events));
    let parts: Vec<Value> = outcome.data()[1..4]
        .iter()
        .map(|data| serde_json::from_str::<Value>(data).expect("JSON")["choices"][0].take())
        .collect();
    assert_eq!(
        parts[0]["delta"],
        json!({"function_call": {"name": "f", "arguments": "{"}})
    );
    assert_eq!(
        parts[1]["delta"],
        json!({"function_call": {"arguments": "}"}})
    );
    assert_eq!(parts[2]["finish_reason"], "function_call");
}

#[test]
fn models_are_found_although_vllm_has_no_path_for_one() {
    let list = json!({"object": "list", "data": [
        {"id": "qwen3-32b", "object": "model", "created": 7, "owned_by": "vllm", "root": "/models/tiny", "parent": null, "max_model_len": 512,
            "permission": [{"id": "modelperm-1"}]},
        {"id": "alias", "object": "model", "created": 7, "owned_by": "vllm", "root": "/models/tiny", "parent": null, "max_model_len": 512}]});
    let outcome = bench(json!({})).run(Request::get("/v1/models/alias"), &Response::json(&list));
    assert_eq!(
        outcome.sent.as_ref().map(|sent| &*sent.path),
        Some("/v1/models")
    );
    let expected = json!({"id": "alias", "object": "model", "created": 7, "owned_by": "library", "context_length": 512});
    assert_eq!(outcome.json(), expected);
}
