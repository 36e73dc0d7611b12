//! The same cases over a real vLLM, whose address is in the environment variable `SLUICEGATE_REAL_VLLM`.
//!
//! It must generate what the tables here say: a small model that was trained on these conversations alone does. The requests
//! have temperature 0 and a seed, so that it generates the same each time.

use std::collections::BTreeMap;
use std::env;
use std::path::Path;

use anyhow::Context as _;
use serde_json::{Value, json};
use sluicegate_sim::Vendor;
use sluicegate_tests::clients::Client;
use sluicegate_tests::{Client as Http, Gateway, program};

use super::{Expected, KEY, compared, configuration, expected};

/// Where the server is, such as `http://127.0.0.1:8000`.
const ADDRESS: &str = "SLUICEGATE_REAL_VLLM";

/// Cases in which a model server fails. A simulated one does so on command; a real one cannot be told to.
const ONLY_SIMULATED: [&str; 9] = [
    // An error status, in JSON.
    "failed_model_server",
    "failed_before_a_stream",
    "overload",
    "overload_in_a_stream",
    // An error status in HTML, as a proxy before the server has it.
    "page_of_a_proxy",
    // An error in place of the rest, or a connection that ends early.
    "broken_answer",
    "broken_stream",
    "truncated_stream",
    // An operator stops it while it generates.
    "stopped_server",
];

#[ignore = "needs a real vLLM; see the README"]
#[tokio::test(flavor = "multi_thread")]
async fn the_python_client_understands_every_answer_of_a_real_vllm() -> anyhow::Result<()> {
    understands(Client::Python).await
}

#[ignore = "needs a real vLLM; see the README"]
#[tokio::test(flavor = "multi_thread")]
async fn the_node_client_understands_every_answer_of_a_real_vllm() -> anyhow::Result<()> {
    understands(Client::Node).await
}

async fn understands(client: Client) -> anyhow::Result<()> {
    let Ok(address) = env::var(ADDRESS) else {
        return program::skip(&format!("{ADDRESS} has no address of a vLLM"));
    };
    if let Some(missing) = client.missing_program() {
        return program::skip(&format!(
            "{missing} is not installed, so {client:?} cannot be tested"
        ));
    }
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let installed = client.install(target).await?;
    let gateway = Gateway::start(&configuration(&address, Vendor::Vllm)).await?;
    let http = Http::new(gateway.address()).with("authorization", &format!("Bearer {KEY}"));
    let models = http.get("/v1/models").await.json();
    let model = models["data"][0]["id"]
        .as_str()
        .with_context(|| format!("{address} has no model: {models}"))?;
    let found = installed
        .run_over(
            &server(model),
            &format!("http://{}", gateway.address()),
            KEY,
        )
        .await?;
    gateway.shutdown().await;
    let mut expected = expected(Vendor::Vllm);
    expected.retain(|case, _| !ONLY_SIMULATED.contains(case));
    expected.extend(of_real_vllm(model));
    let differences = compared(&address, &expected, &found);
    assert!(
        differences.is_empty(),
        "{client:?}:\n{}",
        differences.join("\n")
    );
    Ok(())
}

/// What the scripts must know of the server.
fn server(model: &str) -> Value {
    json!({
        "words": {
            "demo": model,
            "embed": model,
            "qwen3:32b": model,
            // What is asked.
            "/echo Hello big world": "What is 1+1?",
            "/echo hi": "Hello",
            "/echo ok": "Say hello in one word.",
            "/echo one two three": "Count to 120.",
            "two": "4",
            "/long 50": "Count to 120.",
            "/long 3000": "Count to 120.",
            "1100": "100",
            "/error call": "Make a broken call.",
            "Somebody, please.": "Give me a person as JSON.",
            "你好,请用一句话介绍你自己": "你好，请用一句话介绍你自己",
            "What is the weather in Oslo?": "What is the weather in Paris?",
            "12 degrees": "sunny, 21 degrees",
            "The weather in Oslo, by mail, please.": "What is the weather in Paris and London?",
            "send_mail": "get_weather",
            "A tool, please.": "What is the weather in Paris?",
            "A mail, please.": "What is the weather in Paris?",
            // What is looked for in its answers.
            "simulated": "How can I help",
            "simulation": "The user greets me.",
            "模拟回答": "我是一个小模型 🌊",
            "模拟程序": "用户要我介绍自己。",
            "get_weather: 12 degrees": "sunny in Paris, 21 degrees",
        },
        "parameters": {"temperature": 0, "seed": 1},
        // As its chat template has it where it does not think.
        "template": "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n",
        "left_out": ONLY_SIMULATED,
    })
}

/// Where the client must find something else than with a simulated vLLM.
fn of_real_vllm(model: &str) -> Expected {
    let mut expected = texts(model);
    expected.extend(tools());
    expected.extend(other_endpoints(model));
    expected
}

fn texts(model: &str) -> Expected {
    let sum = "1+1 is 2.";
    BTreeMap::from([
        (
            "chat",
            json!({"object": "chat.completion", "model": model, "role": "assistant", "content": sum,
                "finish_reason": "stop", "usage_adds_up": true, "has_request_id": true}),
        ),
        ("nulls", json!({"content": "Hello."})),
        (
            "stream",
            json!({"content": sum, "roles": ["assistant"], "finish_reasons": ["stop"], "ids": 1,
                "objects": ["chat.completion.chunk"], "has_usage": false}),
        ),
        (
            "stream_usage",
            json!({"chunks_with_usage": 1, "is_last": true, "choices": 0, "usage_adds_up": true}),
        ),
        (
            "stream_helper",
            json!({"deltas": sum, "content": sum, "role": "assistant", "finish_reason": "stop"}),
        ),
        (
            "stop_text",
            json!({"content": "1 2 3 ", "finish_reason": "stop"}),
        ),
        (
            "stop_text_stream",
            json!({"content": "1 2 3 ", "finish_reasons": ["stop"]}),
        ),
        // It has not room for more.
        (
            "many_tokens",
            json!({"finish_reason": "length", "completion_tokens": 100}),
        ),
        ("defaults_of_openai", json!({"content": "Hello."})),
        ("greedy", json!({"content": "Hello."})),
    ])
}

fn tools() -> Expected {
    BTreeMap::from([
        (
            "tools",
            json!({"finish_reason": "tool_calls", "calls": 1, "type": "function", "has_id": true, "name": "get_weather",
                "arguments": {"city": "Paris"}, "tells_the_result": true}),
        ),
        (
            "tools_helper",
            json!({"finish_reason": "tool_calls", "calls": 1, "name": "get_weather", "arguments": {"city": "Paris"}}),
        ),
        // It knows this tool only.
        (
            "tools_parallel",
            json!({"names": ["get_weather", "get_weather"], "ids": 2, "finish_reason": "tool_calls"}),
        ),
        (
            "tools_stream",
            json!({"calls": [["get_weather", {"city": "Paris"}], ["get_weather", {"city": "London"}]],
                "is_well_begun": true, "finish_reasons": ["tool_calls"]}),
        ),
        (
            "tools_named_stream",
            json!({"calls": ["get_weather"], "is_well_begun": true, "finish_reasons": ["tool_calls"]}),
        ),
    ])
}

fn other_endpoints(model: &str) -> Expected {
    let greeting = "Hello! How can I help you today?";
    // Without a model for them it does not have the path at all.
    let no_embeddings = json!({"class": "NotFoundError", "code": "not_found"});
    BTreeMap::from([
        (
            "two_choices",
            json!({"class": null, "contents": [greeting, greeting]}),
        ),
        ("models", json!({"ids": [model], "retrieved": model})),
        (
            "completion",
            json!({"object": "text_completion", "model": model, "text": "1+1 is 2.", "finish_reason": "stop",
                "usage_adds_up": true}),
        ),
        (
            "completion_stream",
            json!({"text": "1+1 is 2.", "finish_reasons": ["stop"], "has_usage": false, "ids": 1}),
        ),
        ("embeddings", no_embeddings.clone()),
        ("embeddings_short", no_embeddings.clone()),
        ("embeddings_of_a_chat_model", no_embeddings.clone()),
        ("embeddings_of_nothing", no_embeddings),
    ])
}
