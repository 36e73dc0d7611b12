//! Ollama's own clients, through the front `ollama-api`.

use serde_json::json;
use sluicegate_sim::Vendor;
use sluicegate_tests::clients::Client;

use super::{Expected, understands};

#[tokio::test(flavor = "multi_thread")]
async fn ollamas_python_client_understands_every_response_of_every_vendor() -> anyhow::Result<()> {
    understands(Client::Python, "ollama", expected).await
}

#[tokio::test(flavor = "multi_thread")]
async fn ollamas_node_client_understands_every_response_of_every_vendor() -> anyhow::Result<()> {
    understands(Client::Node, "ollama", expected_of_node).await
}

/// What only the client of Node.js can do.
fn expected_of_node(vendor: Vendor) -> Expected {
    let mut expected = expected(vendor);
    expected.insert("version", json!({"version": "0.12.0"}));
    expected.insert("abort", json!({"name": "AbortError", "lines": true}));
    expected
}

/// What the client must find in each case, whatever its language.
fn expected(vendor: Vendor) -> Expected {
    let mut expected = texts();
    expected.extend(failures());
    // Where the vendors differ, the later ones win.
    match vendor {
        Vendor::Ollama | Vendor::Vllm => {}
        Vendor::Tgi => expected.extend(of_tgi()),
    }
    expected
}

fn texts() -> Expected {
    Expected::from([
        (
            "chat",
            json!({"model": "demo", "role": "assistant", "content": "Hello big world", "done": true, "done_reason": "stop",
                "dated": true, "counts": true, "times": true}),
        ),
        (
            "chat_stream",
            json!({"content": "Hello big world", "lines": true, "done": true, "done_reason": "stop", "models": ["demo"],
                "counts": true, "times": true}),
        ),
        ("chinese", json!({"answers_in_chinese": true})),
        ("line_ends", json!({"content": true})),
        ("thinking", json!({"thinks": true, "says": true})),
        (
            "thinking_stream",
            json!({"thinks_first": true, "both": false}),
        ),
        ("thinking_off", json!({"thinks": false, "says": true})),
        (
            "tools",
            json!({"calls": 1, "name": "get_weather", "arguments": {"city": "Oslo"}, "done_reason": "stop",
                "tells_the_result": true}),
        ),
        (
            "tools_stream",
            json!({"calls": [["get_weather", {"city": "Oslo"}], ["send_mail", {"subject": "a simulated value"}]],
                "are_before_the_end": true, "done_reason": "stop"}),
        ),
        ("tools_not_chosen", json!({"calls": 0, "says": true})),
        (
            "tools_broken",
            json!({"calls": 0, "is_cut_or_an_error": true}),
        ),
        ("image", json!({"status": 200, "is_seen": [true]})),
        (
            "schema",
            json!({"keys": ["age", "name"], "age_is_integer": true}),
        ),
        ("options", json!({"done_reason": "length", "eval_count": 5})),
        ("stop", json!({"content": "one ", "done_reason": "stop"})),
        (
            "logprobs",
            json!({"is_of_the_content": true, "alternatives": [2]}),
        ),
        (
            "load",
            json!({"done_reasons": ["load", "unload"], "done": true}),
        ),
        (
            "generate",
            json!({"response": "Hello big world", "done_reason": "stop", "counts": true, "times": true}),
        ),
        (
            "generate_stream",
            json!({"response": "Hello big world", "done": true}),
        ),
        (
            "generate_raw",
            json!({"status": 200, "responses": ["Hello big world"]}),
        ),
        (
            "embed",
            json!({"status": 200, "vectors": [2, 1], "dimensions": [64], "is_the_same": true, "counts": true}),
        ),
        ("embed_nothing", json!({"vectors": 0})),
        (
            "models",
            json!({"names": ["demo", "embed", "qwen3:32b"], "are_dated": true, "capabilities": ["completion"],
                "context_length": true, "loaded": ["demo", "embed", "qwen3:32b"]}),
        ),
    ])
}

fn failures() -> Expected {
    let unknown = json!({"status": 404, "message": "model 'gpt-nonsense' not found"});
    let failed = json!({"is_an_error": true, "has_message": true});
    // In mid-stream there is no status any more.
    let broken =
        json!({"status": null, "has_message": true, "has_lines_before": true, "is_done": false});
    Expected::from([
        ("unknown_model", unknown.clone()),
        ("unknown_model_in_a_stream", unknown.clone()),
        ("unknown_model_shown", unknown),
        ("wrong_key", json!({"status": 401, "has_message": true})),
        ("wrong_key_elsewhere", json!({"statuses": [401, 401]})),
        (
            "wrong_option",
            json!({"status": 400, "message": "option \"stop\" must be of type array"}),
        ),
        ("pull", json!({"status": 403, "has_message": true})),
        ("failed_model_server", failed.clone()),
        ("overload", json!({"status": 429})),
        ("broken_answer", failed),
        ("broken_stream", broken.clone()),
        ("truncated_stream", broken),
    ])
}

fn of_tgi() -> Expected {
    Expected::from([
        // There is one model, and it serves every name.
        ("unknown_model", json!({"status": 200})),
        ("unknown_model_in_a_stream", json!({"status": 200})),
        (
            "models",
            json!({"names": ["qwen3:32b"], "are_dated": true, "loaded": ["qwen3:32b"]}),
        ),
        // It has no say in how much a model thinks.
        ("thinking_off", json!({"thinks": true, "says": true})),
        // Its grammar of tools has room for one call.
        (
            "tools_stream",
            json!({"calls": [["get_weather", {"city": "Oslo"}]], "are_before_the_end": true, "done_reason": "stop"}),
        ),
        ("embed", json!({"status": 400})),
    ])
}
