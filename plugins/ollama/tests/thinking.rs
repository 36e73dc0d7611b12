//! Thinking: every name by which clients ask for it, and thoughts that Ollama leaves in the content.

use serde_json::{Value, json};
use sluicegate_ollama::Ollama;
use sluicegate_plugin::testing::{Bench, Outcome, Request, Response};

fn bench(config: Value) -> Bench<Ollama> {
    Bench::load(config).expect("loads")
}

fn ask(members: &Value) -> Request {
    let mut request =
        json!({"model": "m", "stream": true, "messages": [{"role": "user", "content": "Hi"}]});
    for (name, value) in members.as_object().expect("an object") {
        request[name] = value.clone();
    }
    Request::post("/v1/chat/completions").json(&request)
}

/// Members of a request, the `think` that Ollama gets, and whether the client is not shown the thoughts.
fn names() -> Vec<(Value, Value, bool)> {
    let nothing = Value::Null;
    vec![
        (json!({}), nothing.clone(), false),
        (json!({"reasoning_effort": "none"}), json!(false), false),
        (json!({"reasoning_effort": "minimal"}), json!("low"), false),
        (
            json!({"reasoning_effort": "medium"}),
            json!("medium"),
            false,
        ),
        (json!({"reasoning_effort": "xhigh"}), json!("max"), false),
        (json!({"reasoning": {}}), nothing.clone(), false),
        (
            json!({"reasoning": {"effort": "high"}}),
            json!("high"),
            false,
        ),
        (
            json!({"reasoning": {"effort": "none", "summary": "auto"}}),
            json!(false),
            false,
        ),
        (json!({"reasoning": {"enabled": true}}), json!(true), false),
        (
            json!({"reasoning": {"enabled": false}}),
            json!(false),
            false,
        ),
        (
            json!({"reasoning": {"effort": "low", "enabled": true}}),
            json!("low"),
            false,
        ),
        (json!({"reasoning": {"max_tokens": 0}}), json!(false), false),
        (
            json!({"reasoning": {"exclude": true}}),
            nothing.clone(),
            true,
        ),
        (
            json!({"reasoning": {"effort": "high", "exclude": true}}),
            json!("high"),
            true,
        ),
        (json!({"include_reasoning": false}), nothing.clone(), true),
        (json!({"include_reasoning": true}), nothing.clone(), false),
        (json!({"enable_thinking": false}), json!(false), false),
        (json!({"enable_thinking": true}), json!(true), false),
        (
            json!({"chat_template_kwargs": {"enable_thinking": false}}),
            json!(false),
            false,
        ),
        (
            json!({"chat_template_kwargs": {"thinking": true, "x": 1}}),
            json!(true),
            false,
        ),
        (
            json!({"chat_template_kwargs": {"reasoning_effort": "high"}}),
            json!("high"),
            false,
        ),
        (json!({"thinking": {"type": "enabled"}}), json!(true), false),
        (
            json!({"thinking": {"type": "disabled"}}),
            json!(false),
            false,
        ),
        (
            json!({"thinking": {"type": "disabled", "budget_tokens": 0}}),
            json!(false),
            false,
        ),
        (json!({"thinking": {"type": "adaptive"}}), nothing, false),
        (json!({"think": true}), json!(true), false),
        (json!({"think": "max"}), json!("max"), false),
        // OpenAI's own name wins over those of other servers, Ollama's over all.
        (
            json!({"reasoning_effort": "low", "enable_thinking": false}),
            json!("low"),
            false,
        ),
        (
            json!({"reasoning_effort": "low", "think": false}),
            json!(false),
            false,
        ),
    ]
}

#[test]
fn every_name_becomes_think() {
    for (members, think, is_hidden) in names() {
        let done = json!({"message": {"content": "a", "thinking": "b"}, "done": true}).to_string();
        let outcome = bench(json!({})).run(ask(&members), &Response::ndjson([done]));
        let sent = outcome.sent.as_ref().expect("sent").json();
        assert_eq!(
            sent.get("think").unwrap_or(&Value::Null),
            &think,
            "{members}"
        );
        for name in members.as_object().expect("an object").keys() {
            assert!(name == "think" || sent.get(name).is_none(), "{members}");
        }
        let thoughts = if is_hidden { "" } else { "b" };
        assert_eq!(said(&outcome, "reasoning"), thoughts, "{members}");
        assert_eq!(said(&outcome, "content"), "a", "{members}");
    }
}

#[test]
fn what_cannot_be_honoured_is_refused() {
    for (members, param) in [
        (json!({"reasoning_effort": "much"}), "reasoning_effort"),
        (json!({"reasoning": true}), "reasoning"),
        (
            json!({"reasoning": {"max_tokens": 9}}),
            "reasoning.max_tokens",
        ),
        (
            json!({"reasoning": {"effort": "none", "enabled": true}}),
            "reasoning",
        ),
        (json!({"enable_thinking": "no"}), "enable_thinking"),
        (
            json!({"chat_template_kwargs": {"thinking": 1}}),
            "chat_template_kwargs.thinking",
        ),
        (json!({"thinking": {"type": "on"}}), "thinking.type"),
        (json!({"think": "none"}), "think"),
    ] {
        let refused = bench(json!({})).send(ask(&members)).expect_err("refused");
        let fault = refused.fault.expect("a fault");
        assert_eq!(
            (fault.status, fault.param.as_deref()),
            (400, Some(param)),
            "{members}"
        );
    }
}

/// All texts of a member of the deltas.
fn said(outcome: &Outcome, member: &str) -> String {
    let mut all = String::new();
    for data in outcome.data() {
        let chunk: Value = serde_json::from_str(&data).unwrap_or_default();
        all += chunk["choices"][0]["delta"][member]
            .as_str()
            .unwrap_or_default();
    }
    all
}

fn line(message: &Value) -> String {
    json!({"created_at": "x", "message": message, "done": false}).to_string()
}

fn done(reason: &str) -> String {
    json!({"created_at": "x", "message": {"content": ""}, "done": true, "done_reason": reason})
        .to_string()
}

/// The thoughts and the content of a text in these lines.
fn split(config: &Value, parts: &[&str], reason: &str) -> (String, String) {
    let mut lines: Vec<String> = parts
        .iter()
        .map(|part| line(&json!({"content": part})))
        .collect();
    lines.push(done(reason));
    let outcome = bench(config.clone()).run(ask(&json!({})), &Response::ndjson(lines));
    assert_eq!(outcome.fault, None);
    (said(&outcome, "reasoning"), said(&outcome, "content"))
}

#[test]
fn thoughts_in_the_content_are_split_off_wherever_the_stream_is_cut() {
    for (text, reason, thoughts, content) in [
        ("<think>\nHm é.\n</think>\n\nYes", "stop", "Hm é.\n", "Yes"),
        ("Yes <think>no</think>", "stop", "", "Yes <think>no</think>"),
        ("<th", "stop", "", "<th"),
        ("<think>Hm</th", "length", "Hm", ""),
        ("\n x", "stop", "", "\n x"),
    ] {
        let expected = (thoughts.to_owned(), content.to_owned());
        let ends: Vec<usize> = (0..=text.len())
            .filter(|&at| text.is_char_boundary(at))
            .collect();
        for &one in &ends {
            for &two in ends.iter().filter(|&&two| two >= one) {
                let parts = [&text[..one], &text[one..two], &text[two..]];
                assert_eq!(split(&json!({}), &parts, reason), expected, "{parts:?}");
            }
        }
        let answer = json!({"message": {"content": text}, "done": true, "done_reason": reason});
        let request = ask(&json!({"stream": false}));
        let outcome = bench(json!({"stream": "as-client"})).run(request, &Response::json(&answer));
        let message = &outcome.json()["choices"][0]["message"];
        let found = |name: &str| message[name].as_str().unwrap_or_default().to_owned();
        assert_eq!((found("reasoning"), found("content")), expected);
    }
    let off = json!({"think-tags": false});
    let text = "<think>a</think>b";
    assert_eq!(
        split(&off, &[text], "stop"),
        (String::new(), text.to_owned())
    );
}

#[test]
fn content_after_thoughts_of_ollamas_own_is_left_alone() {
    let lines = [
        line(&json!({"content": "", "thinking": "a"})),
        line(&json!({"content": "\n<think>b</think>c"})),
        done("stop"),
    ];
    let outcome = bench(json!({})).run(ask(&json!({})), &Response::ndjson(lines));
    assert_eq!(said(&outcome, "reasoning"), "a");
    assert_eq!(said(&outcome, "content"), "\n<think>b</think>c");
}

#[test]
fn thoughts_come_under_the_configured_names() {
    let think = |text: &str| line(&json!({"content": "", "thinking": text}));
    for (field, names) in [
        ("reasoning", &["reasoning"][..]),
        ("reasoning_content", &["reasoning_content"]),
        ("both", &["reasoning", "reasoning_content"]),
    ] {
        for lines in [
            vec![
                think("a"),
                think("b"),
                think("c"),
                line(&json!({"content": "d"})),
                done("stop"),
            ],
            vec![
                line(&json!({"content": "<think>ab"})),
                line(&json!({"content": "c</think>d"})),
                done("stop"),
            ],
        ] {
            let outcome = bench(json!({"reasoning-field": field}))
                .run(ask(&json!({})), &Response::ndjson(lines));
            for name in ["reasoning", "reasoning_content"] {
                let expected = if names.contains(&name) { "abc" } else { "" };
                assert_eq!(said(&outcome, name), expected, "{field}");
            }
            assert_eq!(said(&outcome, "content"), "d");
        }
        let answer = json!({"message": {"content": "d", "thinking": "abc"}, "done": true});
        let config = json!({"reasoning-field": field, "stream": "as-client"});
        let outcome = bench(config).run(ask(&json!({"stream": false})), &Response::json(&answer));
        let message = &outcome.json()["choices"][0]["message"];
        for name in ["reasoning", "reasoning_content"] {
            assert_eq!(
                message[name] == "abc",
                names.contains(&name),
                "{field}: {message}"
            );
        }
    }
}

/// The tokens of the log probabilities, and the content.
fn tokens(parts: &[(&str, &[&str])], end: &Value) -> (Vec<String>, String) {
    let lines = parts.iter().map(|(content, tokens)| {
        let tokens: Vec<Value> = tokens.iter().map(|text| json!({"token": text, "logprob": -1})).collect();
        json!({"created_at": "x", "message": {"content": content}, "done": false, "logprobs": tokens}).to_string()
    });
    let lines: Vec<String> = lines.chain([end.to_string()]).collect();
    let outcome = bench(json!({})).run(ask(&json!({"logprobs": true})), &Response::ndjson(lines));
    let mut found = Vec::new();
    for data in outcome.data() {
        let chunk: Value = serde_json::from_str(&data).unwrap_or_default();
        let list = chunk["choices"][0]["logprobs"]["content"]
            .as_array()
            .cloned();
        for token in list.unwrap_or_default() {
            found.push(token["token"].as_str().expect("a text").to_owned());
        }
    }
    (found, said(&outcome, "content"))
}

#[test]
fn log_probabilities_are_those_of_the_content_that_is_split_off() {
    let end = json!({"message": {"content": ""}, "done": true, "done_reason": "stop"});
    for (parts, expected) in [
        // As Ollama sends a text of a template that it does not know: a token in each line.
        (
            vec![
                ("<think>", &["<think>"][..]),
                ("\n", &["\n"]),
                ("Hm", &["Hm"]),
                ("</think>", &["</think>"]),
                ("\n\n", &["\n\n"]),
                ("Hm", &["Hm"]),
                ("!", &["!"]),
            ],
            vec!["Hm", "!"],
        ),
        (
            vec![
                ("<th", &["<", "th"]),
                ("ink>a</", &["ink>", "a", "</"]),
                ("think>b", &["think>", "b"]),
            ],
            vec!["b"],
        ),
        (
            vec![("<think>a</think>b", &["<think>", "a", "</think>", "b"])],
            vec!["b"],
        ),
        // It only began as a mark.
        (
            vec![("<", &["<"]), ("b>", &["b", ">"])],
            vec!["<", "b", ">"],
        ),
        (vec![("<", &["<"]), ("th", &["th"])], vec!["<", "th"]),
        (vec![("<think>a", &["<think>", "a"])], vec![]),
    ] {
        let (found, content) = tokens(&parts, &end);
        assert_eq!(found, expected, "{parts:?}");
        assert_eq!(content, expected.concat(), "{parts:?}");
    }
}
