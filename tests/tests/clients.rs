//! The official OpenAI clients against the gateway, with the simulated model server behind it.
//!
//! They install themselves into the target folder. A machine without Python or Node.js skips its half, loudly; in CI
//! (`CI=true`) that is a failure.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};
use sluicegate_sim as demo;
use sluicegate_tests::clients::Language;
use sluicegate_tests::{Gateway, gateway, program};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

const KEY: &str = "sk-of-the-test";

#[tokio::test(flavor = "multi_thread")]
async fn the_python_client_understands_every_answer() -> anyhow::Result<()> {
    understands(Language::Python).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_node_client_understands_every_answer() -> anyhow::Result<()> {
    understands(Language::Node).await
}

async fn understands(language: Language) -> anyhow::Result<()> {
    if let Some(missing) = language.missing_program() {
        return program::skip(&format!(
            "{missing} is not installed, so the {language:?} client cannot be tested"
        ));
    }
    let client = language
        .install(Path::new(env!("CARGO_TARGET_TMPDIR")))
        .await?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let model_server = format!("http://{}", listener.local_addr()?);
    let mut tasks = JoinSet::new();
    tasks.spawn(demo::serve(listener, demo::Pace::FULL_SPEED));
    let gateway = Gateway::start(&gateway::configuration(&model_server, &[KEY])).await?;

    let url = format!("http://{}", gateway.address());
    let found = client.run(&url, KEY).await?;

    // All differences in one report: a client's run is too slow to fix them one by one.
    let expected = expected();
    let differences: Vec<String> = expected
        .iter()
        .filter(|(case, facts)| !found.get(**case).is_some_and(|found| has(found, facts)))
        .map(|(case, facts)| {
            let found = found.get(*case).unwrap_or(&Value::Null);
            format!("{case}\n  expected {facts}\n  found    {found}")
        })
        .collect();
    assert!(
        differences.is_empty(),
        "{language:?}:\n{}",
        differences.join("\n")
    );
    assert_eq!(
        found.len(),
        expected.len(),
        "cases that nothing is expected of: {found:?}"
    );
    gateway.shutdown().await;
    Ok(())
}

/// Whether all these facts were found; more may have been.
fn has(found: &Value, facts: &Value) -> bool {
    let Value::Object(facts) = facts else {
        return found == facts;
    };
    facts
        .iter()
        .all(|(name, fact)| found.get(name) == Some(fact))
}

/// What the client must find in each case, whatever its language.
fn expected() -> BTreeMap<&'static str, Value> {
    let refusal = |class: &str, status: u16, param: Value| {
        json!({"class": class, "status": status, "type": "invalid_request_error", "param": param,
            "has_message": true, "has_request_id": true})
    };
    let with_code = |mut refusal: Value, code: &str| {
        refusal["code"] = json!(code);
        refusal
    };
    let unknown_model = with_code(
        refusal("NotFoundError", 404, json!("model")),
        "model_not_found",
    );
    let failed = json!({"class": "InternalServerError", "type": "server_error", "has_message": true, "has_request_id": true});
    let broken_stream =
        json!({"class": "APIError", "has_message": true, "has_chunks_before": true});
    BTreeMap::from([
        (
            "chat",
            json!({"object": "chat.completion", "model": "demo", "role": "assistant", "content": "Hello big world",
                "finish_reason": "stop", "completion_tokens": 3, "usage_adds_up": true, "has_request_id": true}),
        ),
        (
            "chinese",
            json!({"answers_in_chinese": true, "reasons": true}),
        ),
        ("nulls", json!({"content": "ok"})),
        (
            "limits",
            json!({"finish_reason": "length", "completion_tokens": 5}),
        ),
        ("request_id", json!({"request_id": "req_of_the_client"})),
        (
            "stream",
            json!({"content": "Hello big world", "roles": ["assistant"], "finish_reasons": ["stop"], "ids": 1,
                "objects": ["chat.completion.chunk"], "has_usage": false}),
        ),
        (
            "stream_usage",
            json!({"chunks_with_usage": 1, "is_last": true, "choices": 0, "completion_tokens": 3, "usage_adds_up": true}),
        ),
        (
            "stream_helper",
            json!({"deltas": "Hello big world", "content": "Hello big world", "role": "assistant", "finish_reason": "stop"}),
        ),
        (
            "tools",
            json!({"finish_reason": "tool_calls", "calls": 1, "type": "function", "has_id": true, "name": "get_weather",
                "arguments": {"city": "Oslo"}, "tells_the_result": true}),
        ),
        (
            "tools_helper",
            json!({"finish_reason": "tool_calls", "calls": 1, "ids": 1, "name": "get_weather",
                "arguments": {"city": "Oslo"}}),
        ),
        (
            "json_schema",
            json!({"keys": ["age", "name"], "age_is_integer": true}),
        ),
        ("parse_helper", json!({"is_parsed": true})),
        (
            "models",
            json!({"ids": ["demo", "qwen3:32b"], "retrieved": "qwen3:32b"}),
        ),
        (
            "wrong_key",
            with_code(
                refusal("AuthenticationError", 401, Value::Null),
                "invalid_api_key",
            ),
        ),
        (
            "no_messages",
            refusal("BadRequestError", 400, json!("messages")),
        ),
        ("two_choices", refusal("BadRequestError", 400, json!("n"))),
        ("unknown_model", unknown_model.clone()),
        ("unknown_model_in_a_stream", unknown_model.clone()),
        ("unknown_model_retrieved", unknown_model),
        ("failed_model_server", failed.clone()),
        ("broken_answer", failed),
        ("broken_stream", broken_stream.clone()),
        ("truncated_stream", broken_stream),
    ])
}
