use serde_json::{Value, json};

use super::*;
use crate::reasoning;

/// The request of the chat API that is made of this one, without model and `messages`.
#[track_caller]
fn parameters(mut request: Value) -> Value {
    request["model"] = json!("m");
    request["input"] = json!("Hi");
    let mut chat = translated(&request);
    let chat = chat.as_object_mut().expect("an object");
    assert_eq!(chat.remove("model"), Some(json!("m")));
    let messages = json!([{"role": "user", "content": "Hi"}]);
    assert_eq!(chat.remove("messages"), Some(messages));
    json!(chat)
}

/// The messages that are made of this input.
#[track_caller]
fn messages(input: &Value) -> Value {
    translated(&json!({"model": "m", "input": input}))["messages"].take()
}

#[track_caller]
fn translated(request: &Value) -> Value {
    let (chat, _) = translate(request.to_string().as_bytes())
        .unwrap_or_else(|fault| panic!("{request}: {fault}"));
    serde_json::from_str(&chat).unwrap_or_else(|error| panic!("{chat}: {error}"))
}

/// The status, code and parameter with which a request is refused; its message has this part.
#[track_caller]
fn assert_refused(request: &Value, code: &str, param: &str, part: &str) {
    let Err(fault) = translate(request.to_string().as_bytes()) else {
        panic!("{request} was not refused");
    };
    assert_eq!(
        (fault.status, &*fault.code, fault.param.as_deref()),
        (400, code, Some(param)),
        "{request}: {fault}"
    );
    assert!(fault.message.contains(part), "{request}: {fault}");
    assert!(fault.message.len() < 300, "{fault}");
}

#[test]
fn parameters_have_the_names_of_the_chat_api() {
    for (request, chat) in [
        (json!({}), json!({})),
        (
            json!({"stream": true, "stream_options": {"include_obfuscation": true}}),
            json!({"stream": true, "stream_options": {"include_usage": true}}),
        ),
        (
            json!({"stream": false, "store": true, "background": false}),
            json!({}),
        ),
        (
            json!({"max_output_tokens": 20}),
            json!({"max_completion_tokens": 20}),
        ),
        (
            json!({"temperature": 0.50, "top_p": 1, "user": "u", "safety_identifier": "s", "prompt_cache_key": "k",
                "service_tier": "auto", "top_k": 4, "chat_template_kwargs": {"a": 1}, "seed": 7, "odd \"name\"": 1}),
            json!({"temperature": 0.50, "top_p": 1, "user": "u", "safety_identifier": "s", "prompt_cache_key": "k",
                "service_tier": "auto", "top_k": 4, "chat_template_kwargs": {"a": 1}, "seed": 7, "odd \"name\"": 1}),
        ),
        (
            json!({"metadata": {"a": "b"}, "truncation": "auto", "top_logprobs": 5, "prompt_cache_retention": "24h"}),
            json!({}),
        ),
        (
            json!({"include": ["message.output_text.logprobs", "file_search_call.results"], "top_logprobs": 5}),
            json!({"logprobs": true, "top_logprobs": 5}),
        ),
        (
            json!({"include": ["reasoning.encrypted_content"]}),
            json!({}),
        ),
        (
            json!({"reasoning": {"effort": "low", "summary": "auto"}}),
            json!({"reasoning_effort": "low"}),
        ),
        (
            json!({"reasoning": {"effort": null, "summary": null}}),
            json!({}),
        ),
        (
            json!({"text": {"format": {"type": "text"}, "verbosity": "low"}}),
            json!({"verbosity": "low"}),
        ),
        (
            json!({"text": {"format": {"type": "json_object"}}}),
            json!({"response_format": {"type": "json_object"}}),
        ),
        (
            json!({"text": {"format": {"type": "json_schema", "name": "n", "description": "d", "strict": true,
                "schema": {"type": "object"}}}}),
            json!({"response_format": {"type": "json_schema", "json_schema":
                {"name": "n", "description": "d", "strict": true, "schema": {"type": "object"}}}}),
        ),
        // Many clients send every parameter.
        (
            json!({"previous_response_id": null, "conversation": null, "prompt": null, "max_tool_calls": null,
                "temperature": null, "tools": null, "tool_choice": null, "include": null, "text": null, "stream": null}),
            json!({}),
        ),
        (
            json!({"tools": [], "tool_choice": "auto", "parallel_tool_calls": true}),
            json!({}),
        ),
    ] {
        assert_eq!(parameters(request.clone()), chat, "{request}");
    }
}

#[test]
fn tools_are_functions_of_the_chat_api() {
    let schema = json!({"type": "object", "properties": {}});
    let tool = |name: &str| json!({"type": "function", "name": name, "description": "d", "parameters": schema, "strict": true});
    let chat_tool = |name: &str| {
        json!({"type": "function",
        "function": {"name": name, "description": "d", "parameters": schema, "strict": true}})
    };
    let two = json!([tool("a"), tool("b")]);
    let chat_two = json!([chat_tool("a"), chat_tool("b")]);
    for (choice, chat) in [
        (json!("auto"), json!("auto")),
        (json!("none"), json!("none")),
        (json!("required"), json!("required")),
        (
            json!({"type": "function", "name": "b"}),
            json!({"type": "function", "function": {"name": "b"}}),
        ),
    ] {
        let request = json!({"tools": two, "tool_choice": choice, "parallel_tool_calls": false});
        let expected =
            json!({"tools": chat_two, "tool_choice": chat, "parallel_tool_calls": false});
        assert_eq!(parameters(request), expected);
    }
    // No model server knows a list of allowed tools.
    for mode in ["auto", "required"] {
        let allowed = json!({"type": "allowed_tools", "mode": mode, "tools": [{"type": "function", "name": "b"}]});
        let request = json!({"tools": two, "tool_choice": allowed});
        let expected = json!({"tools": [chat_tool("b")], "tool_choice": mode});
        assert_eq!(parameters(request), expected);
    }
    let bare = json!({"tools": [{"type": "function", "name": "a", "parameters": null, "strict": null, "defer_loading": true}]});
    let expected = json!({"tools": [{"type": "function", "function": {"name": "a"}}]});
    assert_eq!(parameters(bare), expected);
}

#[test]
fn very_many_allowed_tools_are_found_among_very_many() {
    const COUNT: usize = 5_000;
    let tool = |at: usize| json!({"type": "function", "name": format!("f{at}")});
    let tools: Vec<Value> = (0..COUNT).map(tool).collect();
    let allowed: Vec<Value> = (1..COUNT).rev().map(tool).collect();
    let choice = json!({"type": "allowed_tools", "mode": "auto", "tools": allowed});
    let chat = parameters(json!({"tools": tools, "tool_choice": choice}));
    let tools = chat["tools"].as_array().expect("tools");
    assert_eq!(tools.len(), COUNT - 1);
    assert_eq!(tools[0]["function"]["name"], "f1");
}

#[test]
fn input_becomes_messages() {
    let data = "data:image/png;base64,iVBO";
    for (input, chat) in [
        (json!("Hi"), json!([{"role": "user", "content": "Hi"}])),
        (
            json!([{"role": "system", "content": "S"}, {"type": "message", "role": "developer", "content": "D"},
                {"role": "user", "content": [{"type": "input_text", "text": "a\n\"你\""}]}]),
            json!([{"role": "system", "content": "S"}, {"role": "developer", "content": "D"},
                {"role": "user", "content": "a\n\"你\""}]),
        ),
        (
            json!([{"role": "user", "content": [{"type": "input_text", "text": "a"},
                {"type": "input_image", "image_url": data, "detail": "low"}, {"type": "input_image", "image_url": data}]}]),
            json!([{"role": "user", "content": [{"type": "text", "text": "a"},
                {"type": "image_url", "image_url": {"url": data, "detail": "low"}},
                {"type": "image_url", "image_url": {"url": data}}]}]),
        ),
        (
            json!([{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}]),
            json!([{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}]),
        ),
    ] {
        assert_eq!(messages(&input), chat, "{input}");
    }
    let instructed = translated(
        &json!({"model": "m", "instructions": "Be\tbrief.", "input": [{"role": "user", "content": "Hi"}]}),
    );
    assert_eq!(
        instructed["messages"],
        json!([{"role": "system", "content": "Be\tbrief."}, {"role": "user", "content": "Hi"}])
    );
    let empty = translated(&json!({"model": "m", "instructions": "", "input": "Hi"}));
    assert_eq!(empty["messages"].as_array().map(Vec::len), Some(1));
}

/// Items as this front sends them, and as clients send them back.
fn said(text: &str) -> Value {
    json!({"id": "msg_1", "type": "message", "status": "completed", "role": "assistant",
        "content": [{"type": "output_text", "text": text, "annotations": [], "logprobs": []}]})
}

fn call(id: &str) -> Value {
    json!({"id": "fc_1", "type": "function_call", "status": "completed", "call_id": id, "name": "f", "arguments": "{\"a\":1}",
        "parsed_arguments": null})
}

fn output(id: &str) -> Value {
    json!({"type": "function_call_output", "call_id": id, "output": "7°"})
}

fn thought(text: &str) -> Value {
    json!({"id": "rs_1", "type": "reasoning", "summary": [], "status": "completed",
        "content": [{"type": "reasoning_text", "text": text}]})
}

#[test]
fn a_turn_of_the_model_is_one_message() {
    let user = json!({"role": "user", "content": "Hi"});
    let calls = |ids: &[&str]| -> Value {
        ids.iter()
            .map(|id| json!({"id": id, "type": "function", "function": {"name": "f", "arguments": "{\"a\":1}"}}))
            .collect()
    };
    let result = |id: &str| json!({"role": "tool", "content": "7°", "tool_call_id": id});
    for (items, chat) in [
        // Parallel calls, and the next turn.
        (
            json!([
                user,
                thought("I\n\"t\""),
                call("1"),
                call("2"),
                output("1"),
                output("2"),
                thought("now"),
                said("It is 7°."),
                user
            ]),
            json!([user, {"role": "assistant", "content": null, "reasoning": "I\n\"t\"", "tool_calls": calls(&["1", "2"])},
                result("1"), result("2"), {"role": "assistant", "content": "It is 7°.", "reasoning": "now"}, user]),
        ),
        // One call after the other.
        (
            json!([user, call("1"), output("1"), call("2"), output("2")]),
            json!([user, {"role": "assistant", "content": null, "tool_calls": calls(&["1"])}, result("1"),
                {"role": "assistant", "content": null, "tool_calls": calls(&["2"])}, result("2")]),
        ),
        // Text before and after a call.
        (
            json!([
                user,
                said("Let me see."),
                call("1"),
                said("Wait."),
                output("1")
            ]),
            json!([user, {"role": "assistant", "content": "Let me see.\n\nWait.", "tool_calls": calls(&["1"])}, result("1")]),
        ),
        // Thoughts that led to nothing.
        (json!([user, thought("cut"), user]), json!([user, user])),
        (json!([user, thought("cut")]), json!([user])),
        (
            json!([user, {"role": "assistant", "content": [{"type": "output_text", "text": "a"}, {"type": "output_text", "text": "b"},
                {"type": "refusal", "refusal": "c"}]}]),
            json!([user, {"role": "assistant", "content": "abc"}]),
        ),
        (
            json!([user, said("")]),
            json!([user, {"role": "assistant", "content": ""}]),
        ),
    ] {
        assert_eq!(messages(&items), chat, "{items}");
    }
}

#[test]
fn the_output_of_a_function_may_have_parts() {
    let parts = json!([{"type": "function_call_output", "call_id": "1", "output":
        [{"type": "input_text", "text": "a"}, {"type": "input_image", "image_url": "data:x"}]}]);
    assert_eq!(
        messages(&parts),
        json!([{"role": "tool", "tool_call_id": "1", "content":
            [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": "data:x"}}]}])
    );
}

#[test]
fn reasoning_is_read_in_every_form() {
    let sealed = reasoning::seal("I \"think\".");
    let summary =
        json!([{"type": "summary_text", "text": "I"}, {"type": "summary_text", "text": "sum"}]);
    for (item, reasoning) in [
        (
            json!({"summary": [], "encrypted_content": sealed}),
            Some("I \"think\"."),
        ),
        (
            json!({"summary": summary, "encrypted_content": sealed}),
            Some("I \"think\"."),
        ),
        (json!({"summary": summary}), Some("I\n\nsum")),
        // Of another issuer.
        (
            json!({"summary": [], "encrypted_content": "gAAAAABo"}),
            None,
        ),
        (
            json!({"summary": summary, "encrypted_content": "gAAAAABo", "content": null}),
            Some("I\n\nsum"),
        ),
        (json!({"id": "rs_1"}), None),
    ] {
        let mut item = item;
        item["type"] = json!("reasoning");
        let messages = messages(&json!([{"role": "user", "content": "Hi"}, item, said("Yes.")]));
        let expected = reasoning.map_or(Value::Null, |text| json!(text));
        assert_eq!(messages[1]["reasoning"], expected, "{item}");
        assert_eq!(messages[1]["content"], "Yes.");
    }
}

#[test]
fn what_needs_a_store_is_refused() {
    let request = |name: &str, value: Value| {
        let mut request = json!({"model": "m", "input": "Hi"});
        request[name] = value;
        request
    };
    let whole = "Send the whole conversation as `input`, with `store: false`";
    for (name, value, part) in [
        ("previous_response_id", json!("resp_1"), whole),
        ("conversation", json!({"id": "conv_1"}), whole),
        ("background", json!(true), "`background: false`"),
        ("prompt", json!({"id": "pmpt_1"}), "`instructions`"),
        ("max_tool_calls", json!(3), "built-in tools"),
        ("context_management", json!([]), "shorter `input`"),
        ("moderation", json!({}), "no moderation"),
        ("n", json!(2), "one response"),
        ("messages", json!([]), "Use `input` instead"),
        ("max_tokens", json!(5), "Use `max_output_tokens` instead"),
        ("response_format", json!({}), "Use `text.format` instead"),
    ] {
        assert_refused(&request(name, value), "unsupported_parameter", name, part);
    }
    for item in [
        json!({"type": "item_reference", "id": "msg_1"}),
        json!({"id": "msg_1"}),
    ] {
        let request = json!({"model": "m", "input": [{"role": "user", "content": "Hi"}, item]});
        assert_refused(
            &request,
            "unsupported_value",
            "input[1].type",
            "`store: false`",
        );
    }
}

#[test]
fn what_runs_elsewhere_is_refused_by_its_name() {
    let long = "x".repeat(1000);
    for kind in [
        "web_search",
        "file_search",
        "code_interpreter",
        "computer_use_preview",
        "mcp",
        "image_generation",
        "custom",
        "local_shell",
        &long,
    ] {
        let part = format!("`{}`", &kind[..kind.len().min(64)]);
        let tools = json!({"model": "m", "input": "Hi", "tools": [{"type": kind}]});
        assert_refused(&tools, "unsupported_value", "tools[0].type", &part);
        let choice = json!({"model": "m", "input": "Hi", "tool_choice": {"type": kind}});
        assert_refused(&choice, "unsupported_value", "tool_choice.type", &part);
    }
    for kind in [
        "web_search_call",
        "computer_call_output",
        "custom_tool_call",
        "compaction",
        &long,
    ] {
        let part = format!("`{}`", &kind[..kind.len().min(64)]);
        let request = json!({"model": "m", "input": [{"type": kind}]});
        assert_refused(&request, "unsupported_value", "input[0].type", &part);
    }
}

#[test]
fn content_that_cannot_be_read_is_refused() {
    let user = |part: Value| json!({"model": "m", "input": [{"role": "user", "content": [part]}]});
    let at = |name: &str| format!("input[0].content[0].{name}");
    let unsupported = "unsupported_value";
    let file = json!({"type": "input_file", "file_id": "f"});
    assert_refused(&user(file), unsupported, &at("type"), "`input_text`");
    let image = json!({"type": "input_image", "file_id": "f"});
    assert_refused(
        &user(image),
        "unsupported_parameter",
        &at("file_id"),
        "`image_url`",
    );
    let sound = json!({"type": "input_audio", "input_audio": {}});
    assert_refused(&user(sound), unsupported, &at("type"), "`input_audio`");
    let bare = json!({"type": "input_image"});
    assert_refused(
        &user(bare),
        "missing_required_parameter",
        &at("image_url"),
        "Missing",
    );
    let said = json!({"model": "m", "input": [{"role": "assistant", "content": [{"type": "input_image", "image_url": "x"}]}]});
    assert_refused(&said, unsupported, &at("type"), "assistant");
}

#[test]
fn wrong_values_are_named_by_their_place() {
    let cases: Vec<(String, String, Value)> =
        serde_json::from_str(include_str!("tests/wrong_values.json")).expect("cases");
    for (code, param, request) in cases {
        assert_refused(&request, &code, &param, "`");
    }
    let fault = translate(b"{").expect_err("no JSON");
    assert_eq!((fault.status, &*fault.code), (400, "invalid_json"));
}

#[test]
fn a_response_repeats_the_request() {
    let echo = |request: &str| -> Value {
        let (_, asked) = translate(request.as_bytes()).expect("a request");
        assert!(!asked.echo.json.contains('\n'), "{}", asked.echo.json);
        serde_json::from_str(&format!("{{\"x\":0{}}}", asked.echo.json)).expect("JSON")
    };
    assert_eq!(
        echo(r#"{"model":"m","input":"Hi"}"#),
        json!({"x": 0, "model": "m", "background": false, "instructions": null, "max_output_tokens": null,
            "max_tool_calls": null, "metadata": {}, "parallel_tool_calls": true, "previous_response_id": null,
            "prompt_cache_key": null, "reasoning": {"effort": null, "summary": null}, "safety_identifier": null,
            "service_tier": "default", "store": false, "temperature": null, "text": {"format": {"type": "text"}},
            "tool_choice": "auto", "tools": [], "top_logprobs": 0, "top_p": null, "truncation": "disabled", "user": null})
    );
    let request = r#"{ "model" : "m", "input": "Hi", "instructions": "a \" \\", "store": true, "temperature": 0.70,
        "metadata": { "a b" : "c\n \"d\"" }, "text": {"verbosity": "low"}, "reasoning": { "effort" : "low" },
        "tools": [ { "type": "function", "name": "f",
            "parameters": { "type" : "object" } } ], "tool_choice": "none", "truncation": "auto", "max_output_tokens": 9 }"#;
    let repeated = echo(request);
    let given: Value = serde_json::from_str(request).expect("JSON");
    for name in [
        "model",
        "instructions",
        "temperature",
        "metadata",
        "tools",
        "tool_choice",
        "truncation",
        "max_output_tokens",
    ] {
        assert_eq!(repeated[name], given[name], "{name}");
    }
    assert_eq!(repeated["store"], false);
    assert_eq!(
        repeated["reasoning"],
        json!({"effort": "low", "summary": null})
    );
    assert_eq!(
        repeated["text"],
        json!({"format": {"type": "text"}, "verbosity": "low"})
    );
}

#[test]
fn lists_are_bounded() {
    let item = json!({"role": "user", "content": "x"});
    let request = |count: usize| json!({"model": "m", "input": vec![&item; count]});
    let taken = translated(&request(100_000));
    assert_eq!(taken["messages"].as_array().map(Vec::len), Some(100_000));
    let Err(fault) = translate(request(100_001).to_string().as_bytes()) else {
        panic!("too many");
    };
    assert_eq!((fault.status, fault.param.as_deref()), (400, Some("input")));
    assert!(fault.message.contains("at most 100000 "), "{fault}");
}

#[test]
fn what_is_long_is_not_repeated() {
    for (length, is_repeated) in [(256 * 1024 - 2, true), (256 * 1024 - 1, false)] {
        let text = "x".repeat(length);
        let request = json!({"model": "m", "input": "Hi", "instructions": text, "metadata": {"a": "x".repeat(256 * 1024)}});
        let (chat, asked) = translate(request.to_string().as_bytes()).expect("taken");
        let chat: Value = serde_json::from_str(&chat).expect("JSON");
        assert_eq!(chat["messages"][0]["content"], json!(text));
        let echo: Value =
            serde_json::from_str(&format!("{{{}}}", &asked.echo.json[1..])).expect("JSON");
        let repeated = if is_repeated {
            json!(text)
        } else {
            Value::Null
        };
        assert!(echo["instructions"] == repeated, "{length}");
        assert_eq!(echo["metadata"], json!({}));
    }
}
