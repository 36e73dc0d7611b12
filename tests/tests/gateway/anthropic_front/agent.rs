//! A coding agent: its requests as they are recorded, over several turns with calls of tools.

use serde_json::{Value, json};
use sluicegate_tests::upstream::ollama;
use sluicegate_tests::{Gateway, Script, Upstream};

use super::{PATH, client, content, delta, front, order, vllm};

/// A request as a coding agent sends it after these messages.
fn request(messages: &Value) -> Value {
    let cached = json!({"type": "ephemeral"});
    let tools: Vec<Value> = (0..20)
        .map(|at| {
            let mut tool = json!({"name": format!("Tool{at}"), "description": "Does something.\n\nUse it.", "input_schema": {
                "$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object", "additionalProperties": false,
                "properties": {"path": {"type": "string", "description": "The \"path\""}, "limit": {"type": "integer", "minimum": 1}}, "required": ["path"]}});
            if at == 19 {
                tool["cache_control"] = cached.clone();
            }
            tool
        })
        .collect();
    let prompt = "You are an agent. ".repeat(500);
    json!({
        "model": "claude-sonnet-4-5", "max_tokens": 32000, "stream": true, "temperature": 1,
        "system": [{"type": "text", "text": "x-client: 1", "cache_control": null}, {"type": "text", "text": prompt, "cache_control": cached}],
        "tools": tools,
        "metadata": {"user_id": "user_0_account__session_1"},
        "thinking": {"type": "enabled", "budget_tokens": 31999},
        "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        "messages": messages,
    })
}

/// Sends a request as a coding agent does; gives the content that it gets, and why it ended.
async fn ask(gateway: &Gateway, messages: &Value) -> (Value, Value) {
    let client = client(gateway)
        .with(
            "anthropic-beta",
            "claude-code-20250219,interleaved-thinking-2025-05-14,context-management-2025-06-27",
        )
        .with("anthropic-dangerous-direct-browser-access", "true")
        .with("x-app", "cli")
        .with("accept", "application/json");
    let response = client
        .post("/v1/messages?beta=true", &request(messages))
        .await;
    assert_eq!(response.status, 200, "{}", response.text());
    let events = response.events();
    assert_eq!(order(&events).last(), Some(&"message_stop"));
    (
        content(&events),
        delta(&events)["delta"]["stop_reason"].clone(),
    )
}

/// The model thinks, says something and calls two tools; then it reads an image; then it is done.
fn ollama_turns() -> Vec<Script> {
    let call = |id: &str, arguments: &Value| ollama::tool_call(id, "Tool1", arguments);
    vec![
        Script::ndjson(&[
            ollama::thinking("Hm. "),
            ollama::thinking("Two files."),
            ollama::content("I look."),
            call("call_1", &json!({"path": "a.rs"})),
            call("call_2", &json!({"path": "b.rs", "limit": 5})),
            ollama::done("stop"),
        ]),
        Script::ndjson(&[
            call("call_3", &json!({"path": "c.png"})),
            ollama::done("stop"),
        ]),
        Script::ndjson(&ollama::stream(&["All ", "done."])),
    ]
}

fn vllm_turns() -> Vec<Script> {
    let begin = |index: u64, id: &str| json!({"tool_calls": [{"index": index, "id": id, "type": "function", "function": {"name": "Tool1", "arguments": ""}}]});
    let more = |index: u64, text: &str| json!({"tool_calls": [{"index": index, "function": {"arguments": text}}]});
    vec![
        vllm(
            &[
                json!({"reasoning": "Hm. "}),
                json!({"reasoning": "Two files."}),
                json!({"content": "I look."}),
                begin(0, "call_1"),
                more(0, "{\"path\": \"a"),
                begin(1, "call_2"),
                more(0, ".rs\"}"),
                more(1, "{\"path\": \"b.rs\","),
                more(1, " \"limit\": 5}"),
            ],
            "tool_calls",
        ),
        vllm(
            &[begin(0, "call_3"), more(0, "{\"path\": \"c.png\"}")],
            "tool_calls",
        ),
        vllm(
            &[json!({"content": "All "}), json!({"content": "done."})],
            "stop",
        ),
    ]
}

#[tokio::test]
async fn an_agent_works_over_several_turns_with_both_vendors() {
    for (adapter, turns) in [("ollama", ollama_turns()), ("vllm", vllm_turns())] {
        let upstream = Upstream::sequence(turns).await;
        let gateway = front(&upstream, adapter).start().await;
        let mut messages = json!([{"role": "user", "content": [
            {"type": "text", "text": "<system-reminder>\nBe brief.\n</system-reminder>"},
            {"type": "text", "text": "Fix it.", "cache_control": {"type": "ephemeral"}}]}]);

        let (first, reason) = ask(&gateway, &messages).await;
        assert_eq!(reason, "tool_use");
        assert_eq!(
            first,
            json!([{"type": "thinking", "thinking": "Hm. Two files."}, {"type": "text", "text": "I look."},
                {"type": "tool_use", "id": "call_1", "name": "Tool1", "input": {"path": "a.rs"}},
                {"type": "tool_use", "id": "call_2", "name": "Tool1", "input": {"path": "b.rs", "limit": 5}}]),
            "{adapter}"
        );
        push(
            &mut messages,
            json!({"role": "assistant", "content": first}),
        );
        push(
            &mut messages,
            json!({"role": "user", "content": [{"type": "tool_result", "tool_use_id": "call_1", "content": "fn a() {}"},
                {"type": "tool_result", "tool_use_id": "call_2", "content": [{"type": "text", "text": "no such file"}], "is_error": true}]}),
        );
        let (second, reason) = ask(&gateway, &messages).await;
        assert_eq!(
            (&second[0]["id"], reason),
            (&json!("call_3"), json!("tool_use"))
        );
        push(
            &mut messages,
            json!({"role": "assistant", "content": second}),
        );
        push(
            &mut messages,
            json!({"role": "user", "content": [{"type": "tool_result", "tool_use_id": "call_3", "content": [
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}}]},
                {"type": "text", "text": "Go on."}]}),
        );
        let (third, reason) = ask(&gateway, &messages).await;
        assert_eq!(
            (third, reason),
            (
                json!([{"type": "text", "text": "All done."}]),
                json!("end_turn")
            )
        );

        for _ in 0..2 {
            upstream.next_request().await;
        }
        let asked = upstream.next_request().await;
        for name in [
            "anthropic-beta",
            "anthropic-dangerous-direct-browser-access",
            "x-api-key",
        ] {
            assert!(!asked.fields.has(name), "{name}");
        }
        assert_asked(adapter, &asked.json());
        gateway.shutdown().await;
    }
}

fn push(list: &mut Value, value: Value) {
    list.as_array_mut().expect("a list").push(value);
}

/// What the model server is asked in the third turn.
fn assert_asked(adapter: &str, asked: &Value) {
    assert_eq!(asked["tools"].as_array().map(Vec::len), Some(20));
    let tool = &asked["tools"][19];
    assert_eq!(
        (&tool["type"], &tool["function"]["name"]),
        (&json!("function"), &json!("Tool19"))
    );
    assert!(tool.get("cache_control").is_none());
    let messages = asked["messages"].as_array().expect("a list");
    let roles: Vec<&str> = messages
        .iter()
        .filter_map(|message| message["role"].as_str())
        .collect();
    assert_eq!(
        roles,
        [
            "system",
            "user",
            "assistant",
            "tool",
            "tool",
            "assistant",
            "tool",
            "user"
        ]
    );
    let system = messages[0]["content"].as_str().expect("a text");
    assert!(
        system.starts_with("x-client: 1\n\nYou are an agent. You"),
        "{system}"
    );
    assert_eq!(
        messages[1]["content"],
        "<system-reminder>\nBe brief.\n</system-reminder>\n\nFix it."
    );
    assert_eq!(messages[2]["content"], "I look.");
    let calls = messages[2]["tool_calls"].as_array().expect("calls");
    assert_eq!((calls.len(), &calls[1]["id"]), (2, &json!("call_2")));
    assert_eq!(messages[3]["tool_call_id"], "call_1");
    assert_eq!(messages[4]["content"], "Error: no such file");
    assert_eq!(messages[6]["content"], "The image is in the next message.");
    match adapter {
        "ollama" => {
            assert_eq!(messages[2]["thinking"], "Hm. Two files.");
            assert_eq!(
                calls[1]["function"]["arguments"],
                json!({"path": "b.rs", "limit": 5})
            );
            assert_eq!(messages[3]["tool_name"], "Tool1");
            assert_eq!(
                messages[7],
                json!({"role": "user", "content": "Go on.", "images": ["AA=="]})
            );
            assert_eq!(
                (&asked["think"], &asked["options"]["num_predict"]),
                (&json!(true), &json!(32000))
            );
        }
        _ => {
            assert_eq!(messages[2]["reasoning"], "Hm. Two files.");
            let arguments = calls[1]["function"]["arguments"].as_str().expect("a text");
            let arguments: Value = serde_json::from_str(arguments).expect("JSON");
            assert_eq!(arguments, json!({"path": "b.rs", "limit": 5}));
            assert_eq!(
                messages[7]["content"][1],
                json!({"type": "text", "text": "Go on."})
            );
            assert_eq!(asked["chat_template_kwargs"]["enable_thinking"], true);
            assert_eq!(
                (&asked["max_tokens"], &asked["user"]),
                (&json!(32000), &json!("user_0_account__session_1"))
            );
        }
    }
}

#[tokio::test]
async fn a_title_that_an_agent_asks_for_has_no_thoughts() {
    let lines = [
        ollama::thinking("Hm."),
        ollama::content("Fix"),
        ollama::done("stop"),
    ];
    let upstream = Upstream::always(Script::ndjson(&lines)).await;
    let gateway = front(&upstream, "ollama").start().await;
    let asked = json!({"model": "m", "max_tokens": 512, "stream": true, "temperature": 0, "thinking": {"type": "disabled"},
        "system": "Write a title.", "output_config": {"format": {"type": "json_schema", "schema": {"type": "object", "properties": {"title": {"type": "string"}}}}},
        "messages": [{"role": "user", "content": "Fix it."}]});
    let response = client(&gateway).post(PATH, &asked).await;
    assert_eq!(
        content(&response.events()),
        json!([{"type": "text", "text": "Fix"}])
    );
    let asked = upstream.next_request().await.json();
    assert_eq!(
        (&asked["think"], &asked["format"]["type"]),
        (&json!(false), &json!("object"))
    );
    gateway.shutdown().await;
}
