//! Forced tool calls: what Ollama is asked, and how its text becomes the call.

use serde_json::{Value, json};
use sluicegate_ollama::Ollama;
use sluicegate_openai_api::testing::{self, Framing};
use sluicegate_plugin::testing::{BATCHINGS, Bench, Outcome, Request, Response};

fn bench(config: Value) -> Bench<Ollama> {
    Bench::load(config).expect("loads")
}

fn tool(name: &str, parameters: &Value) -> Value {
    json!({"type": "function", "function": {"name": name, "description": format!("Does {name}."), "parameters": parameters}})
}

fn city() -> Value {
    json!({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]})
}

fn named(name: &str) -> Value {
    json!({"type": "function", "function": {"name": name}})
}

/// A chat with these tools and members.
fn ask(tools: &[Value], choice: &Value, members: &Value) -> Request {
    let mut request = json!({
        "model": "m", "stream": true, "messages": [{"role": "user", "content": "Hi"}], "tools": tools,
        "tool_choice": choice
    });
    for (name, value) in members.as_object().expect("an object") {
        request[name] = value.clone();
    }
    Request::post("/v1/chat/completions").json(&request)
}

fn sent(tools: &[Value], choice: &Value, members: &Value) -> Value {
    let sent = bench(json!({})).send(ask(tools, choice, members));
    sent.unwrap_or_else(|outcome| panic!("{outcome:?}")).json()
}

/// One of the choices in the form of the text.
fn option(name: &str, parameters: &Value) -> Value {
    json!({
        "type": "object", "properties": {"name": {"const": name}, "parameters": parameters},
        "required": ["name", "parameters"], "additionalProperties": false
    })
}

#[test]
fn one_tool_gives_the_form_of_its_arguments() {
    let tools = [tool("f", &city()), tool("g", &json!({}))];
    let nothing = json!({"type": "object", "properties": {}, "additionalProperties": false});
    let allowed = json!({"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [named("f")]}});
    let bare = [json!({"type": "function", "function": {"name": "g"}})];
    for (tools, choice, format) in [
        (&tools[..], named("f"), city()),
        (&tools[..1], json!("required"), city()),
        (&tools[..], allowed, city()),
        (&tools[..], named("g"), nothing.clone()),
        (&bare[..], json!("required"), nothing),
    ] {
        let body = sent(
            tools,
            &choice,
            &json!({"parallel_tool_calls": false, "logprobs": true, "top_logprobs": 2}),
        );
        assert_eq!(body["format"], format, "{choice}");
        for absent in ["tools", "logprobs", "top_logprobs"] {
            assert_eq!(body.get(absent), None, "{choice}");
        }
        let messages = body["messages"].as_array().expect("a list");
        assert_eq!(
            (&messages[0]["role"], messages.len()),
            (&json!("system"), 2)
        );
        assert_eq!(messages[1], json!({"role": "user", "content": "Hi"}));
    }
}

#[test]
fn the_model_is_told_the_tools_in_one_system_message() {
    let tools = [tool("f", &city()), tool("g\"", &json!({}))];
    let messages = json!([{"role": "developer", "content": [{"type": "text", "text": "Be \"brief\"."}]}, {"role": "user", "content": "Hi"}]);
    let body = sent(&tools, &json!("required"), &json!({ "messages": messages }));
    let messages = body["messages"].as_array().expect("a list");
    assert_eq!(messages.len(), 2);
    let system = messages[0]["content"].as_str().expect("a text");
    assert!(system.ends_with("\n\nBe \"brief\"."), "{system}");
    for tool in &tools {
        let told = tool["function"].to_string();
        assert!(system.contains(&told), "{told} in {system}");
    }
    // Only the tools that may be called.
    let body = sent(&tools, &named("f"), &json!({}));
    let system = body["messages"][0]["content"].as_str().expect("a text");
    assert!(
        system.contains("Does f.") && !system.contains("Does g"),
        "{system}"
    );
}

#[test]
fn several_tools_give_a_choice_with_the_name_first() {
    let tools = [
        tool("f", &city()),
        tool("g", &json!({"properties": {"n": {"type": "integer"}}})),
        tool("h", &json!({})),
    ];
    let body = sent(&tools, &json!("required"), &json!({}));
    let nothing = json!({"type": "object", "properties": {}, "additionalProperties": false});
    let all = [
        option("f", &city()),
        option("g", &json!({"properties": {"n": {"type": "integer"}}})),
        option("h", &nothing),
    ];
    assert_eq!(body["format"], json!({ "anyOf": all }));
    let allowed = json!({"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [named("h"), named("f")]}});
    let body = sent(&tools, &allowed, &json!({}));
    assert_eq!(body["format"], json!({"anyOf": [all[0], all[2]]}));
}

#[test]
fn references_go_on_pointing_to_their_schema() {
    let tree = json!({
        "type": "object",
        "properties": {"root": {"$ref": "#/$defs/node"}, "all": {"$ref": "#"}, "other": {"$ref": "https://x.test/y"}, "list": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}},
        "$defs": {"node": {"properties": {"$ref": {"type": "string"}, "next": {"$ref": "#/$defs/node"}}}}
    });
    // The only tool's schema is the whole form, so its references stay.
    assert_eq!(
        sent(&[tool("t", &tree)], &named("t"), &json!({}))["format"],
        tree
    );
    let body = sent(
        &[tool("f", &city()), tool("t", &tree)],
        &json!("required"),
        &json!({}),
    );
    let moved = json!({
        "type": "object",
        "properties": {"root": {"$ref": "#/$defs/1/$defs/node"}, "all": {"$ref": "#/$defs/1"}, "other": {"$ref": "https://x.test/y"}, "list": {"anyOf": [{"$ref": "#/$defs/1/$defs/node"}, {"type": "null"}]}},
        "$defs": {"node": {"properties": {"$ref": {"type": "string"}, "next": {"$ref": "#/$defs/1/$defs/node"}}}}
    });
    let expected = json!({"$defs": {"1": moved}, "anyOf": [option("f", &city()), option("t", &json!({"$ref": "#/$defs/1"}))]});
    assert_eq!(body["format"], expected);
    // Every reference leads somewhere.
    for pointer in ["/$defs/1", "/$defs/1/$defs/node"] {
        assert!(body["format"].pointer(pointer).is_some(), "{pointer}");
    }
}

#[test]
fn a_schema_of_any_depth_is_moved_or_refused() {
    let deep = |layers: usize| {
        let (open, close) = ("{\"not\":".repeat(layers), "}".repeat(layers));
        let schema = format!("{open}{{\"$ref\":\"#\"}}{close}");
        let tool = format!(
            "{{\"type\":\"function\",\"function\":{{\"name\":\"f\",\"parameters\":{schema}}}}}"
        );
        let body = format!(
            "{{\"model\":\"m\",\"messages\":[{{\"role\":\"user\",\"content\":\"x\"}}],\"tools\":[{tool},{tool}],\"tool_choice\":\"required\"}}"
        );
        bench(json!({})).send(Request::post("/v1/chat/completions").body(body))
    };
    let sent = deep(98).expect("sent");
    let text = String::from_utf8(sent.body).expect("text");
    assert!(text.contains("{\"$ref\":\"#/$defs/0\"}") && text.contains("{\"$ref\":\"#/$defs/1\"}"));
    for layers in [100, 100_000] {
        let fault = deep(layers).expect_err("refused").fault.expect("a fault");
        assert_eq!((fault.status, fault.param.as_deref()), (400, Some("tools")));
    }
}

#[test]
fn tools_that_may_be_called_are_only_offered() {
    let tools = [tool("f", &city()), tool("g", &city())];
    let allowed =
        json!({"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [named("g")]}});
    let body = sent(&tools, &allowed, &json!({}));
    assert_eq!(
        (&body["tools"], body.get("format")),
        (&json!([tools[1]]), None)
    );
    assert_eq!(body["messages"].as_array().map(Vec::len), Some(1));
}

fn line(message: &Value) -> String {
    json!({"created_at": "x", "message": message, "done": false}).to_string()
}

fn done(reason: &str) -> String {
    json!({"created_at": "x", "message": {"content": ""}, "done": true, "done_reason": reason, "eval_count": 9}).to_string()
}

/// The deltas, each call without its id, and the finish reason.
fn deltas(outcome: &Outcome) -> (Vec<Value>, Option<String>) {
    let mut deltas = Vec::new();
    let mut finish = None;
    for data in outcome.data() {
        let Ok(chunk) = serde_json::from_str::<Value>(&data) else {
            assert_eq!(data, "[DONE]");
            continue;
        };
        let choice = &chunk["choices"][0];
        assert!(
            finish.is_none() || choice.is_null(),
            "nothing after the finish reason"
        );
        finish = finish.or(choice["finish_reason"].as_str().map(str::to_owned));
        let mut delta = choice["delta"].clone();
        if let Some(call) = delta
            .get_mut("tool_calls")
            .and_then(|calls| calls[0].as_object_mut())
            && let Some(id) = call.remove("id")
        {
            let id = id.as_str().expect("a text");
            assert!(id.starts_with("call_") && id.len() == 29, "{id}");
        }
        if delta.as_object().is_some_and(|members| !members.is_empty()) {
            deltas.push(delta);
        }
    }
    (deltas, finish)
}

fn begins(name: &str) -> Value {
    json!({"tool_calls": [{"index": 0, "type": "function", "function": {"name": name, "arguments": ""}}]})
}

fn goes_on(arguments: &str) -> Value {
    json!({"tool_calls": [{"index": 0, "function": {"arguments": arguments}}]})
}

#[test]
fn a_choice_is_streamed_as_a_call_after_the_thoughts() {
    let tools = [tool("f", &city()), tool("g", &city())];
    let content = |text: &str| line(&json!({"content": text}));
    let lines = || {
        vec![
            line(&json!({"content": "", "thinking": "Hm.\n"})),
            content("{\"na"),
            content("me\": \"g\", \"parameters\""),
            content(": {\"city\""),
            content(": \"Par\\\"is\"}"),
            content("}"),
            done("stop"),
        ]
    };
    let role = json!({"role": "assistant", "content": ""});
    let sizes = testing::batchings(Framing::Ndjson, &lines());
    for sizes in sizes.iter().map(Vec::as_slice).chain(BATCHINGS) {
        let response = Response::ndjson(lines()).batches(sizes);
        let outcome = bench(json!({})).run(ask(&tools, &json!("required"), &json!({})), &response);
        let (found, finish) = deltas(&outcome);
        let expected = [
            role.clone(),
            json!({"reasoning": "Hm.\n"}),
            begins("g"),
            goes_on("{\"city\""),
            goes_on(": \"Par\\\"is\"}"),
        ];
        assert_eq!(found, expected);
        assert_eq!(finish.as_deref(), Some("tool_calls"));
        assert_eq!(outcome.note("finish"), Some(json!("tool_calls")));
        assert_eq!(outcome.data().last().map(String::as_str), Some("[DONE]"));
    }
}

#[test]
fn the_only_tool_is_called_with_the_text() {
    let content = |text: &str| line(&json!({"content": text}));
    let role = json!({"role": "assistant", "content": ""});
    for (texts, reason, expected, finish) in [
        (
            vec!["{\"city\":", " \"Oslo\"}", "\n"],
            "stop",
            vec![begins("f"), goes_on("{\"city\":"), goes_on(" \"Oslo\"}")],
            "tool_calls",
        ),
        (
            vec!["{\"ci"],
            "length",
            vec![begins("f"), goes_on("{\"ci")],
            "length",
        ),
        (
            vec!["{\"ci"],
            "stop",
            vec![begins("f"), goes_on("{\"ci")],
            "length",
        ),
        (
            vec!["No", "!"],
            "stop",
            vec![json!({"content": "No"}), json!({"content": "!"})],
            "stop",
        ),
        (vec![], "length", vec![], "length"),
        // A model whose template Ollama does not know.
        (
            vec!["<think>", "Hm</th", "ink>\n{}"],
            "stop",
            vec![json!({"reasoning": "Hm"}), begins("f"), goes_on("{}")],
            "tool_calls",
        ),
    ] {
        let mut lines: Vec<String> = texts.iter().map(|text| content(text)).collect();
        lines.push(done(reason));
        let outcome = bench(json!({})).run(
            ask(&[tool("f", &city())], &named("f"), &json!({})),
            &Response::ndjson(lines),
        );
        let expected = [vec![role.clone()], expected].concat();
        let found = deltas(&outcome);
        assert_eq!(found, (expected, Some(finish.to_owned())), "{texts:?}");
    }
}

#[test]
fn one_object_becomes_a_call_too() {
    let tools = [tool("f", &city()), tool("g", &city())];
    for (content, reason, finish, call, shown) in [
        (
            "{\"name\":\"g\",\"parameters\":{\"city\":\"Oslo\"}}",
            "stop",
            "tool_calls",
            Some("{\"city\":\"Oslo\"}"),
            Value::Null,
        ),
        (
            "{\"name\":\"g\",\"parameters\":{\"ci",
            "length",
            "length",
            Some("{\"ci"),
            Value::Null,
        ),
        ("{\"name\":\"g", "length", "length", None, json!("")),
        ("I cannot.", "stop", "stop", None, json!("I cannot.")),
    ] {
        let answer = json!({"done": true, "done_reason": reason, "message": {"content": content}});
        let request = ask(&tools, &json!("required"), &json!({"stream": false}));
        let outcome = bench(json!({"stream": "as-client"})).run(request, &Response::json(&answer));
        let choice = outcome.json()["choices"][0].clone();
        assert_eq!(
            (&choice["finish_reason"], &choice["message"]["content"]),
            (&json!(finish), &shown),
            "{content}"
        );
        let called = &choice["message"]["tool_calls"];
        match call {
            None => assert_eq!(*called, Value::Null),
            Some(arguments) => {
                let function = json!({"name": "g", "arguments": arguments});
                assert_eq!(
                    (&called[0]["function"], called.as_array().map(Vec::len)),
                    (&function, Some(1))
                );
                assert_eq!(called[0]["type"], "function");
            }
        }
    }
}

#[test]
fn a_call_of_ollama_s_own_ends_with_tool_calls_too() {
    let tools = [tool("f", &city()), tool("g", &city())];
    let native = |arguments: Value| {
        let call = json!({"function": {"name": "f", "arguments": arguments}});
        line(&json!({"content": "", "tool_calls": [call]}))
    };
    let text = |text: &str| line(&json!({"content": text}));
    for (lines, reason, finish) in [
        (vec![native(json!({}))], "stop", "tool_calls"),
        (vec![text("Now."), native(json!({}))], "stop", "tool_calls"),
        (vec![native(json!({}))], "length", "length"),
        (vec![native(json!("{"))], "stop", "length"),
        (
            vec![
                native(json!({})),
                text("{\"name\":\"g\",\"parameters\":{\"a"),
            ],
            "stop",
            "length",
        ),
    ] {
        let lines = [lines, vec![done(reason)]].concat();
        let request = ask(&tools, &json!("required"), &json!({}));
        let outcome = bench(json!({})).run(request, &Response::ndjson(lines.clone()));
        let (found, said) = deltas(&outcome);
        assert!(
            found
                .iter()
                .any(|delta| delta["tool_calls"][0]["function"]["name"] == "f")
        );
        assert_eq!(said.as_deref(), Some(finish), "{lines:?}");
    }
}

#[test]
fn calls_between_the_parts_of_a_forced_one_stay_apart() {
    let tools = [tool("f", &city()), tool("g", &city())];
    let native = |id: &str| {
        let call = json!({"id": id, "function": {"name": "f", "arguments": {}}});
        line(&json!({"content": "", "tool_calls": [call]}))
    };
    let text = |text: &str| line(&json!({"content": text}));
    let lines = vec![
        native("a"),
        text("{\"name\":\"g\",\"parameters\":{\"city\":"),
        native("b"),
        text("\"Oslo\"}}"),
        done("stop"),
    ];
    let sizes = testing::batchings(Framing::Ndjson, &lines);
    for sizes in sizes.iter().map(Vec::as_slice).chain(BATCHINGS) {
        let response = Response::ndjson(lines.clone()).batches(sizes);
        let request = ask(&tools, &json!("required"), &json!({}));
        let outcome = bench(json!({})).run(request, &response);
        let (found, _) = testing::streamed(&outcome).expect("a stream");
        let called = found[&0].calls.iter();
        let called: Vec<_> = called
            .map(|[_, name, arguments]| [&**name, &**arguments])
            .collect();
        assert_eq!(
            called,
            [["f", "{}"], ["g", "{\"city\":\"Oslo\"}"], ["f", "{}"]]
        );
        assert_eq!(outcome.note("finish"), Some(json!("tool_calls")));
    }
}
