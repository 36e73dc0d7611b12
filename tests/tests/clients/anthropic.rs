//! Anthropic's official clients, through the front `anthropic`.

use serde_json::{Value, json};
use sluicegate_sim::Vendor;
use sluicegate_tests::clients::Client;

use super::{Expected, understands};

#[tokio::test(flavor = "multi_thread")]
async fn the_python_client_understands_every_message_of_every_vendor() -> anyhow::Result<()> {
    understands(Client::Python, "anthropic", expected).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_node_client_understands_every_message_of_every_vendor() -> anyhow::Result<()> {
    understands(Client::Node, "anthropic", expected).await
}

/// What the client must find in each case, whatever its language.
fn expected(vendor: Vendor) -> Expected {
    let mut expected = texts();
    expected.extend(tools());
    expected.extend(failures());
    // Where the vendors differ, the later ones win.
    expected.extend(match vendor {
        Vendor::Ollama => of_ollama(),
        Vendor::Vllm => of_vllm(),
        Vendor::Tgi => of_tgi(),
    });
    expected
}

fn texts() -> Expected {
    let ok = json!({"text": "ok"});
    let thought =
        json!({"types": ["thinking", "text"], "reasons": true, "says": true, "is_signed": true});
    let stopped = json!({"text": "one ", "stop_reason": "end_turn", "stop_sequence": null});
    Expected::from([
        (
            "message",
            json!({"type": "message", "role": "assistant", "model": "demo", "types": ["text"], "text": "Hello big world",
                "stop_reason": "end_turn", "stop_sequence": null, "counts": true, "has_id": true, "has_request_id": true}),
        ),
        ("request_id", json!({"request_id": "req_of_the_client"})),
        ("system_with_cache_fields", ok.clone()),
        ("sampling", ok.clone()),
        ("beta", ok.clone()),
        ("bearer", ok.clone()),
        ("image", ok.clone()),
        (
            "limits",
            json!({"stop_reason": "max_tokens", "output_tokens": 5}),
        ),
        ("stop_text", stopped.clone()),
        ("stop_text_stream", stopped),
        (
            "stream",
            json!({"order": ["message_start", "content_block_start", "content_block_delta", "content_block_stop",
                "message_delta", "message_stop"], "text": "Hello big world", "first_input_tokens": 0, "counts": true,
                "stop_reason": "end_turn"}),
        ),
        (
            "stream_helper",
            json!({"deltas": "Hello big world", "text": "Hello big world", "stop_reason": "end_turn", "counts": true,
                "request_id": true}),
        ),
        ("thinking", thought.clone()),
        ("thinking_stream", thought),
        ("thinking_not_asked", json!({"types": ["text"]})),
        ("thinking_off", json!({"types": ["text"]})),
        ("thinking_sent_back", ok),
        (
            "json_schema",
            json!({"keys": ["age", "name"], "age_is_integer": true}),
        ),
        ("parse_helper", json!({"is_parsed": true})),
        ("count_tokens", json!({"counts": true})),
        (
            "models",
            json!({"ids": ["demo", "embed", "qwen3:32b"], "types": ["model"], "has_time": true, "retrieved": "qwen3:32b"}),
        ),
    ])
}

fn tools() -> Expected {
    let weather = json!(["get_weather", {"city": "Oslo"}]);
    let mail = json!(["send_mail", {"subject": "a simulated value"}]);
    let both = json!({"calls": [weather, mail], "ids": 2, "stop_reason": "tool_use"});
    let none = json!({"types": ["text"], "stop_reason": "end_turn"});
    let cut = json!({"leaks": false, "stop_reason": "max_tokens"});
    Expected::from([
        (
            "tools",
            json!({"stop_reason": "tool_use", "calls": [weather], "has_id": true, "tells_the_result": true, "then": "end_turn"}),
        ),
        ("tools_parallel", both.clone()),
        ("tools_stream", both),
        ("tools_not_chosen", none.clone()),
        ("tools_not_chosen_stream", none.clone()),
        ("tools_none", none),
        (
            "tools_any",
            json!({"names": ["get_weather"], "stop_reason": "tool_use"}),
        ),
        (
            "tools_named_stream",
            json!({"names": ["send_mail"], "stop_reason": "tool_use"}),
        ),
        ("tools_broken", cut.clone()),
        ("tools_broken_stream", cut),
    ])
}

/// An exception with a status.
fn failed(class: &str, status: u16, kind: &str) -> Value {
    json!({"class": class, "status": status, "type": kind, "has_message": true, "has_request_id": true})
}

/// An exception in mid-stream.
fn broken(kind: &str) -> Value {
    json!({"type": kind, "has_message": true, "has_deltas_before": true, "has_an_end": false})
}

fn failures() -> Expected {
    let refused = failed("BadRequestError", 400, "invalid_request_error");
    let unknown = failed("NotFoundError", 404, "not_found_error");
    let busy = failed("RateLimitError", 429, "rate_limit_error");
    let overloaded = failed("OverloadedError", 529, "overloaded_error");
    Expected::from([
        (
            "wrong_key",
            failed("AuthenticationError", 401, "authentication_error"),
        ),
        ("no_messages", refused.clone()),
        ("document", refused.clone()),
        ("server_tool", refused),
        ("unknown_model", unknown.clone()),
        ("unknown_model_in_a_stream", unknown),
        ("failed_model_server", overloaded.clone()),
        ("failed_before_a_stream", overloaded.clone()),
        ("overload", busy.clone()),
        ("overload_in_a_stream", busy),
        ("unavailable", overloaded.clone()),
        ("page_of_a_proxy", overloaded.clone()),
        ("broken_answer", overloaded),
        ("broken_stream", broken("overloaded_error")),
        ("truncated_stream", broken("api_error")),
        ("stopped_server", broken("overloaded_error")),
    ])
}

fn of_ollama() -> Expected {
    let failed = failed("InternalServerError", 502, "api_error");
    let unreadable = json!({"type": "api_error"});
    Expected::from([
        // It has no message then, only an error.
        ("tools_broken", unreadable.clone()),
        ("tools_broken_stream", unreadable),
        ("failed_model_server", failed.clone()),
        ("failed_before_a_stream", failed.clone()),
        ("broken_answer", failed),
        ("broken_stream", broken("api_error")),
        ("stopped_server", broken("api_error")),
    ])
}

fn of_vllm() -> Expected {
    let stopped = json!({"text": "one ", "stop_reason": "stop_sequence", "stop_sequence": "two"});
    Expected::from([
        ("stop_text", stopped.clone()),
        ("stop_text_stream", stopped),
    ])
}

fn of_tgi() -> Expected {
    // It makes one call at a time, and has one model under whatever name.
    let one =
        json!({"calls": [["get_weather", {"city": "Oslo"}]], "ids": 1, "stop_reason": "tool_use"});
    let any = json!({"class": null});
    Expected::from([
        ("tools_parallel", one.clone()),
        ("tools_stream", one),
        ("unknown_model", any.clone()),
        ("unknown_model_in_a_stream", any),
        (
            "models",
            json!({"ids": ["qwen3:32b"], "types": ["model"], "has_time": true, "retrieved": "qwen3:32b"}),
        ),
    ])
}
