//! Requests that are served.

use serde_json::{Value, json};
use sluicegate_tests::upstream::ollama;
use sluicegate_tests::{Gateway, Script, Setup, Upstream, logs};

use super::{
    PATH, before_ollama, before_vllm, client, events, last, names, post, question, streamed,
    thinks, vllm_says,
};
use crate::common::with;

#[tokio::test]
async fn a_response_is_asked_of_ollama_and_comes_back_whole() {
    let upstream = thinks().await;
    let gateway = before_ollama(&upstream).start().await;
    let asked = json!({"model": "qwen3:32b", "instructions": "Be brief.", "store": true, "temperature": 0.5, "max_output_tokens": 64,
        "metadata": {"a": "b"}, "reasoning": {"effort": "high"}, "include": ["reasoning.encrypted_content"],
        "text": {"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}}},
        "input": [{"role": "user", "content": [{"type": "input_text", "text": "Hi?"},
            {"type": "input_image", "image_url": "data:image/png;base64,iVBORw0KGgo="}]}]});
    let response = post(&gateway, &asked).await;
    assert_eq!(response.status, 200, "{}", response.text());
    assert_eq!(response.header("content-type"), "application/json");
    let response = response.json();
    assert!(
        response["id"]
            .as_str()
            .is_some_and(|id| id.starts_with("resp_"))
    );
    assert_eq!(
        (
            &response["status"],
            &response["model"],
            &response["store"],
            &response["metadata"]
        ),
        (
            &json!("completed"),
            &json!("qwen3:32b"),
            &json!(false),
            &json!({"a": "b"})
        )
    );
    let [thoughts, message] = [&response["output"][0], &response["output"][1]];
    assert_eq!(
        thoughts["content"],
        json!([{"type": "reasoning_text", "text": "They greet."}])
    );
    assert!(thoughts["encrypted_content"].is_string());
    assert_eq!(message["content"][0]["text"], "Hello 你好");
    assert_eq!(
        response["usage"],
        json!({"input_tokens": 11, "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0}, "output_tokens": 18,
            "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 29})
    );
    let sent = upstream.next_request().await;
    assert_eq!(
        (sent.method.as_str(), sent.target.as_str()),
        ("POST", "/api/chat")
    );
    assert!(!sent.fields.has("authorization"));
    let sent = sent.json();
    assert_eq!(
        sent["messages"],
        json!([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi?", "images": ["iVBORw0KGgo="]}])
    );
    assert_eq!(
        (&sent["model"], &sent["think"]),
        (&json!("qwen3:32b"), &json!("high"))
    );
    assert_eq!(sent["format"], json!({"type": "object"}));
    assert_eq!(
        (
            &sent["options"]["num_predict"],
            &sent["options"]["temperature"]
        ),
        (&json!(64), &json!(0.5))
    );
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_stream_has_its_events_by_name_and_in_order() {
    let upstream = thinks().await;
    let gateway = before_ollama(&upstream).start().await;
    let id = logs::id();
    let client = client(&gateway).with("x-request-id", &id);
    let response = client.post(PATH, &streamed()).await;
    let events = events(&response);
    let names = names(&events);
    let deltas = |name: &str| -> String {
        let deltas = events.iter().filter(|event| event.name == name);
        deltas
            .map(|event| event.json()["delta"].as_str().expect("a delta").to_owned())
            .collect()
    };
    assert_eq!(
        names[..4],
        [
            "created",
            "in_progress",
            "output_item.added",
            "content_part.added"
        ]
    );
    assert_eq!(
        names[names.len() - 4..],
        [
            "output_text.done",
            "content_part.done",
            "output_item.done",
            "completed"
        ]
    );
    assert_eq!(deltas("response.reasoning_text.delta"), "They greet.");
    assert_eq!(deltas("response.output_text.delta"), "Hello 你好");
    let response = last(&events);
    assert_eq!(response["usage"]["total_tokens"], 29);
    assert_eq!(events[0].json()["response"]["id"], response["id"]);
    assert_eq!(upstream.next_request().await.json()["stream"], true);
    // The gateway knows what was asked, as of a chat.
    let seen = logs::seen(&id).await;
    assert_eq!(
        (&seen["note_model"], &seen["note_stream"], &seen["error"]),
        (&json!("qwen3:32b"), &json!(true), &json!(""))
    );
    gateway.shutdown().await;
}

#[tokio::test]
async fn thoughts_are_a_summary_where_one_is_asked_for() {
    let upstream = thinks().await;
    let gateway = before_ollama(&upstream).start().await;
    let asked = with(streamed(), "reasoning", json!({"summary": "auto"}));
    let response = post(&gateway, &asked).await;
    let events = events(&response);
    assert!(names(&events).contains(&"reasoning_summary_text.delta"));
    assert!(!response.text().contains("reasoning_text"));
    let item = &last(&events)["output"][0];
    assert_eq!(
        item["summary"],
        json!([{"type": "summary_text", "text": "They greet."}])
    );
    gateway.shutdown().await;
}

#[tokio::test]
async fn calls_of_vllm_that_alternate_are_items_of_their_own() {
    let upstream = vllm_says(
        r#"[{"reasoning": "Two cities."}, {"content": "Let me see."},
            {"tool_calls": [{"index": 0, "id": "call_a", "type": "function", "function": {"name": "weather", "arguments": ""}}]},
            {"tool_calls": [{"index": 1, "id": "call_b", "type": "function", "function": {"name": "weather", "arguments": "{\"city\""}}]},
            {"tool_calls": [{"index": 0, "function": {"arguments": "{\"city\": \"Oslo\"}"}}]},
            {"tool_calls": [{"index": 1, "function": {"arguments": ": \"Rome\"}"}}]}]"#,
        "tool_calls",
    )
    .await;
    let gateway = before_vllm(&upstream).start().await;
    let tools = json!([{"type": "function", "name": "weather", "parameters": {"type": "object"}, "strict": true}]);
    let asked = with(
        with(streamed(), "tools", tools),
        "tool_choice",
        json!("auto"),
    );
    let streamed = post(&gateway, &asked).await;
    let events = events(&streamed);
    let response = last(&events);
    let output = response["output"].as_array().expect("items");
    let kinds: Vec<&Value> = output.iter().map(|item| &item["type"]).collect();
    assert_eq!(
        kinds,
        ["reasoning", "message", "function_call", "function_call"]
    );
    for (item, (id, arguments)) in output[2..].iter().zip([
        ("call_a", r#"{"city": "Oslo"}"#),
        ("call_b", r#"{"city": "Rome"}"#),
    ]) {
        assert_eq!(
            (
                &item["call_id"],
                &item["name"],
                &item["arguments"],
                &item["status"]
            ),
            (
                &json!(id),
                &json!("weather"),
                &json!(arguments),
                &json!("completed")
            )
        );
    }
    assert_eq!(
        (
            &response["usage"]["input_tokens_details"]["cached_tokens"],
            &response["model"]
        ),
        (&json!(4), &json!("qwen3:32b"))
    );
    let sent = upstream.next_request().await;
    assert_eq!(sent.target, "/v1/chat/completions");
    let sent = sent.json();
    assert_eq!(sent["stream_options"]["include_usage"], true);
    assert_eq!(
        sent["messages"],
        json!([{"role": "user", "content": "Hi?"}])
    );
    assert_eq!(
        (&sent["tools"][0]["function"]["name"], &sent["tool_choice"]),
        (&json!("weather"), &json!("auto"))
    );
    // The same in one object.
    let whole = post(&gateway, &with(asked, "stream", json!(false)))
        .await
        .json();
    assert_eq!(whole["output"].as_array().map(Vec::len), Some(4));
    for at in 0..4 {
        for member in ["type", "content", "call_id", "arguments", "status"] {
            assert_eq!(whole["output"][at][member], output[at][member]);
        }
    }
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_conversation_goes_on_with_what_the_client_was_given() {
    let call = ollama::tool_call("call_1", "weather", &json!({"city": "Oslo"}));
    let first = vec![ollama::thinking("I ask."), call, ollama::done("stop")];
    let upstream =
        Upstream::start(
            move |request| match request.json()["messages"].as_array().map(Vec::len) {
                Some(1) => Script::ndjson(&first),
                _ => Script::ndjson(&ollama::stream(&["It is 7°."])),
            },
        )
        .await;
    let gateway = before_ollama(&upstream).start().await;
    let tools = json!([{"type": "function", "name": "weather", "parameters": {"type": "object"}}]);
    let mut asked = json!({"model": "qwen3:32b", "tools": tools, "store": false, "include": ["reasoning.encrypted_content"],
        "input": [{"role": "user", "content": "Weather?"}]});
    let response = post(&gateway, &asked).await.json();
    upstream.next_request().await;
    let items = response["output"].as_array().expect("items").clone();
    assert_eq!(items[1]["type"], "function_call", "{response}");
    let input = asked["input"].as_array_mut().expect("items");
    for mut item in items {
        // As a client keeps it that does not keep thoughts in the clear.
        if item["type"] == "reasoning" {
            item["content"] = json!(null);
        }
        input.push(item);
    }
    input.push(json!({"type": "function_call_output", "call_id": response["output"][1]["call_id"], "output": "7°"}));
    let response = post(&gateway, &asked).await.json();
    assert_eq!(response["output"][0]["content"][0]["text"], "It is 7°.");
    let sent = upstream.next_request().await.json();
    let messages = sent["messages"].as_array().expect("messages");
    assert_eq!(messages.len(), 3);
    assert_eq!(
        (&messages[1]["role"], &messages[1]["thinking"]),
        (&json!("assistant"), &json!("I ask."))
    );
    assert_eq!(
        messages[1]["tool_calls"][0]["function"],
        json!({"index": 0, "name": "weather", "arguments": {"city": "Oslo"}})
    );
    assert_eq!(
        (
            &messages[2]["role"],
            &messages[2]["content"],
            &messages[2]["tool_name"]
        ),
        (&json!("tool"), &json!("7°"), &json!("weather"))
    );
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_response_that_is_cut_is_incomplete() {
    let mut lines = ollama::stream(&["1 2 3"]);
    lines.pop();
    lines.push(ollama::done("length"));
    let upstream = Upstream::always(Script::ndjson(&lines)).await;
    let gateway = before_ollama(&upstream).start().await;
    let response = post(&gateway, &streamed()).await;
    let events = events(&response);
    assert_eq!(names(&events).last(), Some(&"incomplete"));
    for response in [last(&events), post(&gateway, &question()).await.json()] {
        assert_eq!(
            (
                &response["status"],
                &response["incomplete_details"]["reason"]
            ),
            (&json!("incomplete"), &json!("max_output_tokens"))
        );
        assert_eq!(response["output"][0]["status"], "incomplete");
    }
    gateway.shutdown().await;
}

#[tokio::test]
async fn without_aggregate_a_stream_still_becomes_one_object() {
    let upstream = thinks().await;
    let gateway = Setup::before(&upstream)
        .stages("", "stream = \"always\"")
        .route(PATH, r#"["responses"]"#, "")
        .start()
        .await;
    let response = post(&gateway, &question()).await;
    assert_eq!(response.header("content-type"), "application/json");
    assert_eq!(
        response.json()["output"][1]["content"][0]["text"],
        "Hello 你好"
    );
    assert_eq!(upstream.next_request().await.json()["stream"], true);
    gateway.shutdown().await;
}

#[tokio::test]
async fn what_a_stage_behind_the_front_hides_gets_nowhere() {
    let words = ["this is a simu", "lation of a simul", "acrum"];
    let upstream = Upstream::always(Script::ndjson(&ollama::stream(&words))).await;
    let gateway = Setup::before(&upstream)
        .stages("", "")
        .plugin(
            "redact",
            "builtin:redact",
            "config = { words = [\"simulation\"], replacement = \"[…]\" }",
        )
        .route(PATH, r#"["responses", "aggregate", "redact"]"#, "")
        .start()
        .await;
    for body in [question(), streamed()] {
        let response = post(&gateway, &body).await;
        assert_eq!(response.status, 200);
        let text = response.text();
        assert!(text.contains("this is a […] of a simulacrum"), "{text}");
        assert!(!text.contains("simulation"), "{text}");
    }
    gateway.shutdown().await;
}

#[tokio::test]
async fn the_example_serves_responses_and_chats() {
    let upstream = Upstream::start(|request| match request.path() {
        "/api/chat" => Script::ndjson(&ollama::stream(&["Hello"])),
        "/api/tags" => Script::json(200, &json!({"models": []})),
        _ => Script::json(200, &json!({"version": "0.31.2"})),
    })
    .await;
    let toml = include_str!("../../../../examples/responses/sluicegate.toml")
        .replace("127.0.0.1:8080", "127.0.0.1:0")
        .replace("127.0.0.1:9180", "127.0.0.1:0")
        .replace("http://127.0.0.1:11434", &upstream.url());
    let env = |name: &str| (name == "SLUICEGATE_API_KEY").then(|| "sk-team".to_owned());
    let gateway = Gateway::start_in(&toml, &env)
        .await
        .expect("a legal configuration");
    let response = post(&gateway, &question()).await.json();
    assert_eq!(response["output"][0]["content"][0]["text"], "Hello");
    let client = client(&gateway);
    let chat = json!({"model": "m", "messages": [{"role": "user", "content": "Hi?"}]});
    let chat = client.chat(&chat).await.json();
    assert_eq!(chat["choices"][0]["message"]["content"], "Hello");
    let counted = client.post("/v1/responses/input_tokens", &question()).await;
    assert_eq!(counted.header("x-sluicegate-estimate"), "true");
    assert_eq!(counted.json()["object"], "response.input_tokens");
    assert!(counted.json()["input_tokens"].as_u64() > Some(0));
    assert_eq!(client.get("/v1/responses/resp_1").await.status, 404);
    assert_eq!(client.get("/v1/models").await.status, 200);
    assert_eq!(gateway.client().post(PATH, &question()).await.status, 401);
    gateway.shutdown().await;
}
