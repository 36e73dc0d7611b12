//! OpenAI's Responses API in the same clients, through the front `responses`.

use serde_json::{Value, json};
use sluicegate_sim::Vendor;
use sluicegate_tests::clients::Client;

use super::{Expected, refusal, understands, with_code};

#[tokio::test(flavor = "multi_thread")]
async fn the_python_client_understands_every_response_of_every_vendor() -> anyhow::Result<()> {
    understands(Client::Python, "responses", expected).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_node_client_understands_every_response_of_every_vendor() -> anyhow::Result<()> {
    understands(Client::Node, "responses", expected).await
}

/// What the client must find in each case, whatever its language.
fn expected(vendor: Vendor) -> Expected {
    let mut expected = texts();
    expected.extend(items());
    expected.extend(failures());
    // Where the vendors differ, the later ones win.
    expected.extend(match vendor {
        Vendor::Ollama | Vendor::Vllm => Expected::new(),
        Vendor::Tgi => of_tgi(),
    });
    expected
}

fn texts() -> Expected {
    Expected::from([
        (
            "text",
            json!({"object": "response", "model": "demo", "status": "completed", "output_text": "Hello big world",
                "types": ["message"], "store": false, "metadata": {"a": "b"}, "temperature": 0.5, "usage_adds_up": true,
                "has_request_id": true}),
        ),
        (
            "items",
            json!({"output_text": "one", "instructions": "Answer in one word."}),
        ),
        (
            "limits",
            json!({"status": "incomplete", "reason": "max_output_tokens", "output_tokens": 16, "item": "incomplete"}),
        ),
        ("request_id", json!({"request_id": "req_of_the_client"})),
        (
            "stream",
            json!({"first": ["response.created", "response.in_progress", "response.output_item.added",
                    "response.content_part.added"],
                "last": "response.completed", "deltas": "Hello big world", "output_text": "Hello big world",
                "is_numbered": true, "ids": 1, "usage_adds_up": true}),
        ),
        (
            "stream_helper",
            json!({"deltas": "Hello big world", "output_text": "Hello big world", "status": "completed"}),
        ),
        (
            "cut_stream",
            json!({"last": "response.incomplete", "reason": "max_output_tokens"}),
        ),
        (
            "json_schema",
            json!({"keys": ["age", "name"], "age_is_integer": true}),
        ),
        ("parse_helper", json!({"is_parsed": true})),
        (
            "logprobs",
            json!({"is_of_the_text": true, "alternatives": [2]}),
        ),
    ])
}

fn items() -> Expected {
    Expected::from([
        (
            "tools",
            json!({"type": "function_call", "status": "completed", "name": "get_weather", "arguments": {"city": "Oslo"},
                "has_ids": true, "tells_the_result": true}),
        ),
        (
            "tools_helper",
            json!({"type": "function_call", "name": "get_weather", "arguments": {"city": "Oslo"}}),
        ),
        (
            "tools_parallel",
            json!({"names": ["get_weather", "send_mail"], "call_ids": 2, "is_the_same": true}),
        ),
        (
            "tools_not_chosen",
            json!({"types": ["message"], "says": true}),
        ),
        ("allowed_tools", json!({"names": ["send_mail"]})),
        (
            "reasoning",
            json!({"types": ["reasoning", "message"], "reasons": true, "summary": 0, "is_encrypted": false, "says": true}),
        ),
        (
            "reasoning_stream",
            json!({"types": ["reasoning", "message"], "is_the_same": true, "says": true}),
        ),
        (
            "reasoning_summary",
            json!({"is_the_same": true, "reasons": true, "content": 0}),
        ),
        (
            "reasoning_encrypted",
            json!({"is_encrypted": true, "output_text": "ok"}),
        ),
        ("reasoning_off", json!({"types": ["message"], "says": true})),
    ])
}

fn failures() -> Expected {
    let unknown_model = with_code(
        refusal("NotFoundError", 404, &json!("model")),
        "model_not_found",
    );
    let failed = json!({"class": "InternalServerError", "type": "server_error", "has_message": true, "has_request_id": true});
    let broken_stream = json!({"last": "response.failed", "status": "failed", "has_error": true, "item": "incomplete"});
    Expected::from([
        (
            "previous_response",
            with_code(
                refusal("BadRequestError", 400, &json!("previous_response_id")),
                "unsupported_parameter",
            ),
        ),
        (
            "built_in_tool",
            with_code(
                refusal("BadRequestError", 400, &json!("tools[0].type")),
                "unsupported_value",
            ),
        ),
        (
            "retrieved",
            with_code(refusal("NotFoundError", 404, &Value::Null), "not_found"),
        ),
        (
            "wrong_key",
            with_code(
                refusal("AuthenticationError", 401, &Value::Null),
                "invalid_api_key",
            ),
        ),
        ("unknown_model", unknown_model.clone()),
        ("unknown_model_in_a_stream", unknown_model),
        ("failed_model_server", failed.clone()),
        ("failed_before_a_stream", failed.clone()),
        (
            "overload",
            json!({"class": "RateLimitError", "status": 429, "has_message": true, "has_request_id": true}),
        ),
        ("broken_response", failed),
        ("broken_stream", broken_stream.clone()),
        ("truncated_stream", broken_stream.clone()),
        ("stopped_server", broken_stream),
    ])
}

fn of_tgi() -> Expected {
    Expected::from([
        // There is one model, and it serves every name.
        ("unknown_model", json!({"class": null})),
        ("unknown_model_in_a_stream", json!({"class": null})),
        // It has no say in how much a model thinks.
        (
            "reasoning_off",
            json!({"types": ["reasoning", "message"], "says": true}),
        ),
        (
            "tools_not_chosen",
            json!({"types": ["reasoning", "message"], "says": true}),
        ),
        // It writes one call.
        (
            "tools_parallel",
            json!({"names": ["get_weather"], "call_ids": 1, "is_the_same": true}),
        ),
    ])
}
