//! The stage as a whole, in both directions; see `tests/` for the proof that nothing gets through.

use serde_json::{Value, json};
use sluicegate_plugin::testing::{Bench, Outcome, Request, Response};

use super::*;

const CHAT: &str = "/v1/chat/completions";
const CARD: &str = "4111 1111 1111 1111";

fn bench(config: Value) -> Bench<Redact> {
    Bench::load(config).expect("a configuration")
}

fn sent(config: Value, body: &Value) -> Value {
    let request = Request::post(CHAT).json(body);
    bench(config).send(request).expect("it is sent").json()
}

fn run(config: Value, body: &Value, response: &Response) -> Outcome {
    bench(config).run(Request::post(CHAT).json(body), response)
}

fn chunk(delta: &Value) -> String {
    json!({"id": "c", "choices": [{"index": 0, "delta": delta, "finish_reason": null}]}).to_string()
}

fn content(outcome: &Outcome) -> String {
    let chunks = outcome.data();
    let chunks = chunks
        .iter()
        .filter_map(|it| serde_json::from_str::<Value>(it).ok());
    let text = |chunk: Value| {
        Some(
            chunk
                .pointer("/choices/0/delta/content")?
                .as_str()?
                .to_owned(),
        )
    };
    chunks.filter_map(text).collect()
}

#[test]
fn what_only_looks_like_data_is_searched() {
    let long = "A".repeat(300);
    let address = format!("data:image/png;base64,{long}");
    let body = json!({"messages": [{"role": "user", "content": [
        {"type": "text", "text": "data: I am alice@example.com ;base64,"},
        {"type": "text", "text": "data:alice@example.com;base64,AAAA"},
        {"type": "text", "text": "data:image/png;base64,13812345678aaaa"},
        {"type": "image_url", "image_url": {"url": "data:alice@example.com/x;base64,AAAA"}},
        {"type": "image_url", "image_url": {"url": "data:text/plain;base64,13812345678"}},
        {"type": "image_url", "image_url": {"url": address}},
        {"type": "x", "data": "13812345678", "file_data": long},
    ]}, {"role": "tool", "tool_call_id": "t", "content": "[{\"m\":\"alice\\u0040example.com\"}]"}]});
    let expected = json!({"messages": [{"role": "user", "content": [
        {"type": "text", "text": "data: I am [EMAIL] ;base64,"},
        {"type": "text", "text": "data:[EMAIL];base64,AAAA"},
        {"type": "text", "text": "data:image/png;base64,[PHONE]aaaa"},
        {"type": "image_url", "image_url": {"url": "data:[EMAIL]/x;base64,AAAA"}},
        {"type": "image_url", "image_url": {"url": "data:text/plain;base64,[PHONE]"}},
        {"type": "image_url", "image_url": {"url": address}},
        {"type": "x", "data": "[PHONE]", "file_data": long},
    ]}, {"role": "tool", "tool_call_id": "t", "content": "[{\"m\":\"[EMAIL]\"}]"}]});
    assert_eq!(sent(json!({}), &body), expected);
}

#[test]
fn every_text_of_a_request_is_searched() {
    let secret = format!("I am alice@example.com, {CARD}");
    let hidden = "I am [EMAIL], [CARD]";
    let body = json!({
        "model": "alice@example.com-7b", "user": secret, "metadata": {"alice@example.com": [secret]},
        "messages": [
            {"role": "system", "content": secret},
            {"role": "user", "content": [{"type": "text", "text": secret},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,13812345678aaaa"}}]},
            {"role": "assistant", "content": null, "reasoning": secret, "tool_calls": [{"id": "t", "type": "function",
                "function": {"name": "f", "arguments": "{\"a\\u0040\":\"alice\\u0040example.com\",\"n\":13812345678}"}}]},
            {"role": "tool", "tool_call_id": "t", "content": secret},
        ],
        "stop": [secret], "prompt": secret, "input": [secret], "unheard_of": {"x": [[secret]]}
    });
    let expected = json!({
        "model": "[EMAIL]-7b", "user": hidden, "metadata": {"[EMAIL]": [hidden]},
        "messages": [
            {"role": "system", "content": hidden},
            {"role": "user", "content": [{"type": "text", "text": hidden},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,13812345678aaaa"}}]},
            {"role": "assistant", "content": null, "reasoning": hidden, "tool_calls": [{"id": "t", "type": "function",
                "function": {"name": "f", "arguments": "{\"a@\":\"[EMAIL]\",\"n\":\"[PHONE]\"}"}}]},
            {"role": "tool", "tool_call_id": "t", "content": hidden},
        ],
        "stop": [hidden], "prompt": hidden, "input": [hidden], "unheard_of": {"x": [[hidden]]}
    });
    assert_eq!(sent(json!({}), &body), expected);
}

#[test]
fn json_in_a_text_is_searched_as_it_is_meant() {
    let config = json!({"detect": ["phone"], "words": ["蓝鸟"]});
    let tool = r#"{"\u9879":"\u84dd\u9e1f, caf\u00e9","phone":13812345678}"#;
    let open = r#"{"a":"caf\u00e9 \/"}"#;
    let body =
        json!({"messages": [{"role": "tool", "content": tool}, {"role": "tool", "content": open}]});
    let sent = sent(config.clone(), &body);
    assert_eq!(
        sent["messages"][0]["content"],
        r#"{"项":"[WORDS], café","phone":"[PHONE]"}"#
    );
    assert_eq!(sent["messages"][1]["content"], open);
    // And in a stream.
    for at in (0..=tool.len()).filter(|&at| tool.is_char_boundary(at)) {
        let stream = [&tool[..at], &tool[at..]].map(|text| chunk(&json!({"content": text})));
        let outcome = run(config.clone(), &json!({}), &Response::sse(stream));
        assert_eq!(
            content(&outcome),
            r#"{"项":"[WORDS], café","phone":"[PHONE]"}"#
        );
    }
}

#[test]
fn escapes_are_read_in_lines_of_json_in_fences_and_in_json_within_json() {
    let config = json!({"detect": ["email", "key"], "words": ["blue/bird"], "rules": [{"regex": "\\bEMP-\\d{6}\\b"}]});
    let secrets =
        r#""\u0061lice@example.com","BLUE\/BIRD","x\nEMP-123456\n","y\nAKIAIOSFODNN7EXAMPLE""#;
    let hidden = r#""[EMAIL]","[WORDS]","x\n[REGEX_1]\n","y\n[KEY]""#;
    let nested = |secrets: &str| {
        let inner = json!({"body": format!("[{secrets}]")}).to_string();
        json!({"outer": inner}).to_string()
    };
    for (text, expected) in [
        (format!("[{secrets}]"), format!("[{hidden}]")),
        (
            format!("{{\"n\":1}}\n{{\"a\":[{secrets}]}}\n"),
            format!("{{\"n\":1}}\n{{\"a\":[{hidden}]}}\n"),
        ),
        (
            format!("```json\n[{secrets}]\n``` and {secrets}"),
            format!("```json\n[{hidden}]\n``` and {hidden}"),
        ),
        (nested(secrets), nested(hidden)),
    ] {
        let body = json!({"messages": [{"content": text}]});
        assert_eq!(
            sent(config.clone(), &body)["messages"][0]["content"],
            expected
        );
        for at in (0..=text.len()).filter(|&at| text.is_char_boundary(at)) {
            let stream = [&text[..at], &text[at..]].map(|text| chunk(&json!({"content": text})));
            let outcome = run(config.clone(), &json!({}), &Response::sse(stream));
            assert_eq!(content(&outcome), expected, "{at}");
        }
    }
}

#[test]
fn words_of_the_operator_change_texts_and_no_names() {
    let config = json!({"detect": [], "words": ["role", "qwen", "f", "user"], "replacement": "…"});
    let body = json!({"model": "qwen", "messages": [{"role": "user", "content": "role Qwen"}],
        "tools": [{"type": "function", "function": {"name": "f", "description": "f",
            "parameters": {"type": "object", "required": ["user"], "properties": {"user": {"type": "string"}}}}}]});
    let mut expected = body.clone();
    expected["messages"][0]["content"] = json!("… …");
    expected["tools"][0]["function"]["description"] = json!("…");
    assert_eq!(sent(config, &body), expected);
}

#[test]
fn a_name_is_one_only_where_the_api_has_it() {
    let config = json!({"detect": [], "words": ["bluebird"]});
    let free = json!({"code": "bluebird", "detail": "bluebird", "role": "bluebird", "type": ["bluebird"], "id": "bluebird",
        "name": "bluebird", "required": ["bluebird"], "messages[].role": {"x": "bluebird"}});
    let hidden = json!({"code": "[WORDS]", "detail": "[WORDS]", "role": "[WORDS]", "type": ["[WORDS]"], "id": "[WORDS]",
        "name": "[WORDS]", "required": ["[WORDS]"], "messages[].role": {"x": "[WORDS]"}});
    let schema = |free: &Value| {
        json!({"type": "bluebird", "properties": {"default": {"type": "bluebird", "format": "bluebird",
            "default": free, "examples": [free]}}, "required": ["bluebird"], "items": [{"$ref": "bluebird"}]})
    };
    let body = |free: &Value| {
        json!({"model": "bluebird", "metadata": free, "extra": [free], "reasoning": {"effort": "bluebird"},
        "messages": [
            {"role": "bluebird", "content": [{"type": "bluebird", "text": "", "role": free["role"],
                "image_url": {"detail": "bluebird", "x": free}}]},
            {"role": "tool", "tool_call_id": "bluebird", "content": free.to_string(), "x": free},
            {"role": "assistant", "tool_calls": [{"id": "bluebird", "type": "bluebird",
                "function": {"name": "bluebird", "arguments": free}}]}],
        "tools": [{"type": "bluebird", "function": {"name": "bluebird", "parameters": schema(free)}}]})
    };
    // The names of members are not changed by words.
    assert_eq!(sent(config.clone(), &body(&free)), body(&hidden));

    let response = |free: &Value| {
        json!({"id": "bluebird", "model": "bluebird", "error": {"code": "bluebird", "type": "bluebird", "detail": free["detail"]},
        "detail": free["detail"], "choices": [{"finish_reason": "bluebird", "message": {"role": "bluebird", "x": free}}]})
    };
    let outcome = run(
        config.clone(),
        &json!({}),
        &Response::json(&response(&free)),
    );
    assert_eq!(outcome.json(), response(&hidden));

    // In a stream, texts with such names are held together too.
    let stream = ["blue", "bird"].map(|it| chunk(&json!({"role": "bluebird", "x": {"code": it}})));
    let outcome = run(config, &json!({}), &Response::sse(stream));
    let all = outcome.data().concat();
    assert!(
        all.contains("\"role\":\"bluebird\"") && all.contains("\"code\":\"[WORDS]\""),
        "{all}"
    );
}

#[test]
fn sound_in_a_stream_is_left_alone_and_its_transcript_is_searched() {
    let sound = [
        "13812345678",
        "AKIAABCDEFGHIJKLMNOPQRST",
        "4111111111111111+/=",
    ];
    let said = ["call 1381", "2345678 ", "now"];
    let stream = (0..3)
        .map(|at| chunk(&json!({"audio": {"id": "a", "data": sound[at], "transcript": said[at]}})));
    let outcome = run(
        json!({}),
        &json!({}),
        &Response::sse(stream.collect::<Vec<_>>()),
    );
    let of = |name: &str| {
        let chunks = outcome.data();
        let chunks = chunks
            .iter()
            .filter_map(|it| serde_json::from_str::<Value>(it).ok());
        let part = |chunk: Value| {
            chunk["choices"][0]["delta"]["audio"][name]
                .as_str()
                .map(str::to_owned)
        };
        chunks.filter_map(part).collect::<String>()
    };
    assert_eq!(of("data"), sound.concat());
    assert_eq!(of("transcript"), "call [PHONE] now");
    // What is not in base 64 is no sound.
    let stream = [chunk(&json!({"audio": {"data": "alice@example.com"}}))];
    let outcome = run(json!({}), &json!({}), &Response::sse(stream));
    assert!(outcome.data()[0].contains("[EMAIL]"));
}

#[test]
fn what_is_not_changed_is_sent_as_it_is_written() {
    let body = r#"{ "model":"m", "n":1.50, "messages":[{"content":"caf\u00e9"}] }"#;
    let request = || {
        Request::post(CHAT)
            .header("content-type", "application/json")
            .body(body)
    };
    let sent = bench(json!({})).send(request()).expect("it is sent");
    assert_eq!(sent.body, body.as_bytes());
    let outcome = bench(json!({})).run(request(), &Response::json(&json!({})).body(body));
    assert_eq!(outcome.body, body.as_bytes());
    assert!(outcome.notes.is_empty() || !outcome.notes.contains_key("redacted"));
}

#[test]
fn what_cannot_be_read_is_refused_in_both_directions() {
    let nested = "[".repeat(200) + &"]".repeat(200);
    for body in [
        "alice",
        "{",
        "\u{feff}{}",
        r#"{"messages":[{"content":"\ud800"}]}"#,
        r#"{"prompt":[1,2]}"#,
        r#"{"input":[[1],[2]]}"#,
        &nested,
    ] {
        let request = Request::post(CHAT).body(body);
        let outcome = bench(json!({})).send(request).expect_err(body);
        let fault = outcome.fault.expect("a fault");
        assert_eq!(
            (fault.status, fault.code.as_str()),
            (400, "redact_unreadable"),
            "{body}"
        );
    }
    let binary = Request::post(CHAT).body(vec![0xff, 0xfe]);
    assert!(bench(json!({})).send(binary).is_err());

    let plain = |body: &str| {
        Response::new(200)
            .header("content-type", "text/plain")
            .body(body)
    };
    let unreadable = [
        Response::new(200)
            .header("content-type", "application/json")
            .body("alice"),
        Response::new(200).body(vec![0xff, 0xfe]),
        plain(&nested),
        Response::sse(["alice"]),
        Response::sse([r#"{"type":"delta","delta":"ali"}"#]),
        Response::sse([r#"{"choices":[{"delta":{"content":"\ud800"}}]}"#]),
    ];
    for response in unreadable {
        let outcome = run(json!({}), &json!({}), &response);
        let fault = outcome.fault.expect("a fault");
        let expected = if fault.message.contains("half") {
            fault.code.as_str()
        } else {
            "redact_unreadable"
        };
        assert_eq!(
            (fault.status, fault.code.as_str()),
            (502, expected),
            "{response:?}"
        );
        assert!(outcome.events.is_empty());
    }
    let outcome = run(json!({}), &json!({}), &plain("mail alice@example.com"));
    assert_eq!(outcome.body, b"mail [EMAIL]");
    let sound = Response::new(200)
        .header("content-type", "audio/mpeg")
        .body(vec![0xff]);
    assert_eq!(run(json!({}), &json!({}), &sound).body, [0xff]);
    let ping = Response::sse([r#"{"type":"ping"}"#, "", "[DONE]"]);
    assert_eq!(run(json!({}), &json!({}), &ping).events.len(), 3);
}

#[test]
fn a_response_is_searched_whole_streamed_and_as_an_error() {
    let text = "write to bob@example.org";
    let response = json!({"id": "c", "choices": [{"index": 0, "finish_reason": "stop", "logprobs": {"content": [{"token": "bob"}]},
        "message": {"role": "assistant", "content": text, "refusal": text, "reasoning": text,
            "tool_calls": [{"id": "t", "function": {"name": "f", "arguments": "{\"to\":\"bob@example.org\"}"}}]}}],
        "usage": {"total_tokens": 7}});
    let outcome = run(json!({}), &json!({}), &Response::json(&response));
    let hidden = "write to [EMAIL]";
    let expected = json!({"id": "c", "choices": [{"index": 0, "finish_reason": "stop", "logprobs": null,
        "message": {"role": "assistant", "content": hidden, "refusal": hidden, "reasoning": hidden,
            "tool_calls": [{"id": "t", "function": {"name": "f", "arguments": "{\"to\":\"[EMAIL]\"}"}}]}}],
        "usage": {"total_tokens": 7}});
    assert_eq!(outcome.json(), expected);
    assert_eq!(
        outcome.note("redacted"),
        Some(json!({"response": {"email": 4}}))
    );

    let error =
        json!({"error": {"message": text, "type": "server_error", "param": null, "code": "x"}});
    let outcome = run(json!({}), &json!({}), &Response::json(&error).status(400));
    assert_eq!(outcome.json()["error"]["message"], hidden);
    let stream = [chunk(&json!({"content": "I wr"})), error.to_string()];
    let outcome = run(json!({}), &json!({}), &Response::sse(stream));
    let last: Value = serde_json::from_str(&outcome.data()[1]).expect("JSON");
    assert_eq!(
        (content(&outcome).as_str(), &last["error"]["message"]),
        ("I ", &json!(hidden))
    );
}

#[test]
fn a_rule_has_its_own_direction_and_replacement() {
    let config = json!({"detect": [], "rules": [
        {"detect": "email", "directions": ["request"], "replacement": "<mail>"},
        {"name": "staff", "regex": "EMP-\\d{6}", "directions": ["response"]},
        {"words": ["Blue Bird"], "ignore-case": false},
        {"words": ["cat"], "whole-words": true, "replacement": "***"}
    ]});
    let text = "a@b.org EMP-123456 Blue Bird blue bird Cat cats";
    let body = json!({"messages": [{"content": text}]});
    let response = Response::json(&json!({"choices": [{"message": {"content": text}}]}));
    let outcome = run(config, &body, &response);
    let sent = outcome.sent.as_ref().expect("it was sent").json();
    assert_eq!(
        sent["messages"][0]["content"],
        "<mail> EMP-123456 [WORDS_3] blue bird *** cats"
    );
    let got = &outcome.json()["choices"][0]["message"]["content"];
    assert_eq!(got, "a@b.org [STAFF] [WORDS_3] blue bird *** cats");
    let note = json!({"request": {"email": 1, "words-3": 1, "words-4": 1},
        "response": {"staff": 1, "words-3": 1, "words-4": 1}});
    assert_eq!(outcome.note("redacted"), Some(note));
}

#[test]
fn what_was_hidden_in_the_request_is_put_back_in_the_response() {
    let config = json!({"restore": true, "rules": [{"detect": "card", "restore": false}]});
    let text = format!("[EMAIL_1] is a@b.org, not \"c\"@d or e@f.org; 13812345678, {CARD}");
    let body = json!({"messages": [{"content": text}, {"content": "a@b.org"}]});
    let said = "[EMAIL_1] [EMAIL_2] [EMAIL_3] [EMAIL_4] [PHONE_1] [CARD] x@y.org";
    let tools =
        json!({"tool_calls": [{"index": 0, "function": {"arguments": "{\"to\":\"[EMAIL_2]\"}"}}]});
    let response =
        Response::json(&json!({"choices": [{"message": {"content": said}, "delta": tools}]}));
    let outcome = run(config.clone(), &body, &response);
    let sent = outcome.sent.as_ref().expect("it was sent").json();
    assert_eq!(
        sent["messages"],
        json!([{"content": "[EMAIL_1] is [EMAIL_2], not \"c\"@d or [EMAIL_3]; [PHONE_1], [CARD]"}, {"content": "[EMAIL_2]"}])
    );
    let expected = "[EMAIL_1] a@b.org e@f.org [EMAIL_4] 13812345678 [CARD] [EMAIL]";
    let got = outcome.json();
    assert_eq!(got["choices"][0]["message"]["content"], expected);
    let arguments = &got["choices"][0]["delta"]["tool_calls"][0]["function"]["arguments"];
    assert_eq!(arguments, "{\"to\":\"a@b.org\"}");
    let note = json!({"request": {"card": 1, "email": 3, "phone": 1}, "response": {"email": 1}, "restored": 4});
    assert_eq!(outcome.note("redacted"), Some(note));
    // The values are nowhere but in the response.
    assert!(!outcome.notes.values().any(|note| note.contains("a@b.org")));

    // Split at every place, and in an error.
    for at in 0..=said.len() {
        let stream = [&said[..at], &said[at..]].map(|text| chunk(&json!({"content": text})));
        let outcome = run(config.clone(), &body, &Response::sse(stream));
        assert_eq!(content(&outcome), expected);
    }
    let error = Response::json(&json!({"error": {"message": "no [EMAIL_2]"}})).status(400);
    assert_eq!(
        run(config, &body, &error).json()["error"]["message"],
        "no a@b.org"
    );
}

#[test]
fn a_placeholder_is_put_back_however_it_is_written_and_never_the_clients_own() {
    let config = json!({"restore": true, "words": ["a \"b\""]});
    let own = [
        "[EMAIL_1]",
        r"\u005bEMAIL_2]",
        "[ＥMAIL_3]",
        "[EM\u{ad}AIL_4]",
    ];
    let body = json!({"messages": [{"content": own.join(" ")}, {"content": "me@b.org a \"b\""}],
        "metadata": {"[EMAIL_5]": "x", "y": r#"{"z":"\\u005bEMAIL_6]"}"#}});
    let arguments = r#"{"[EMAIL_5]":"[EMAIL_7] \u005bEMAIL\u005f7\u005D [WORDS_1]","n":"{\"m\":\"\\u005bWORDS_1]\"}"}"#;
    let expected = r#"{"[EMAIL_5]":"me@b.org me@b.org a \"b\"","n":"{\"m\":\"a \\\"b\\\"\"}"}"#;
    let own = format!("{} [EMAIL_6] [EMAIL_8]", own.join(" "));
    for at in 0..arguments.len() {
        let (first, second) = arguments.split_at(at);
        let call = |text| json!({"tool_calls": [{"index": 0, "function": {"arguments": text}}]});
        let stream = [
            chunk(&json!({"content": own})),
            chunk(&call(first)),
            chunk(&call(second)),
        ];
        let outcome = run(config.clone(), &body, &Response::sse(stream));
        let sent = outcome.sent.as_ref().expect("it was sent").json();
        assert_eq!(sent["messages"][1]["content"], "[EMAIL_7] [WORDS_1]");
        assert_eq!(content(&outcome), own);
        let chunks = outcome.data();
        let chunks = chunks
            .iter()
            .filter_map(|it| serde_json::from_str::<Value>(it).ok());
        let part = |chunk: Value| {
            let delta = &chunk["choices"][0]["delta"];
            delta["tool_calls"][0]["function"]["arguments"]
                .as_str()
                .map(str::to_owned)
        };
        assert_eq!(
            chunks.filter_map(part).collect::<String>(),
            expected,
            "{at}"
        );
    }
}

#[test]
fn what_is_cut_between_two_events_is_hidden_outside_of_deltas_too() {
    let event = |note: &str, said: &str| {
        json!({"id": "c", "note": [note], "provider": "Fireworks", "choices": [
            {"index": 1, "x": {"y": said}, "message": {"content": said}, "delta": {}}]})
        .to_string()
    };
    let text = "I am alice@example.com, 13812345678.";
    for at in 1..text.len() {
        let (first, second) = text.split_at(at);
        let stream = [event(first, first), event(second, second)];
        let outcome = run(json!({}), &json!({}), &Response::sse(stream));
        let chunks = outcome.data();
        let chunks: Vec<Value> = chunks
            .iter()
            .filter_map(|it| serde_json::from_str(it).ok())
            .collect();
        for pointer in ["/note/0", "/choices/0/x/y", "/choices/0/message/content"] {
            let texts = chunks.iter().filter_map(|it| it.pointer(pointer)?.as_str());
            let joined: String = texts.collect();
            assert!(
                !joined.contains("alice@example.com") && !joined.contains("13812345678"),
                "{joined}"
            );
            assert!(
                joined.starts_with("I am ") && joined.ends_with('.'),
                "{joined}"
            );
        }
        assert!(chunks.iter().all(|it| it["provider"] == "Fireworks"));
    }
    // Without a bound of its own a stream could fill the sandbox.
    let places: Vec<Value> = (0..2000).map(|_| json!("x")).collect();
    let many = json!({"choices": [], "sources": places}).to_string();
    let outcome = run(json!({}), &json!({}), &Response::sse([many]));
    assert_eq!(
        outcome.fault.map(|it| it.code).as_deref(),
        Some("redact_unreadable")
    );
}

#[test]
fn text_that_cannot_be_part_of_a_match_goes_out_at_once() {
    let bench = bench(json!({"words": ["蓝鸟"]}));
    for (text, at_once) in [
        ("你好，世界", "你好，世界"),
        ("Hello, ", "Hello, "),
        ("Hello", ""),
        ("see 蓝", "see "),
        ("1. One (", "1. One ("),
    ] {
        let response = Response::sse([chunk(&json!({"content": text}))]);
        let outcome = bench.run(Request::post(CHAT).json(&json!({})), &response);
        let first: Value = serde_json::from_str(&outcome.data()[0]).expect("JSON");
        assert_eq!(first["choices"][0]["delta"]["content"], at_once, "{text}");
        assert_eq!(content(&outcome), text);
    }
}

#[test]
fn a_stream_that_breaks_off_does_not_give_what_is_held() {
    let response = Response::sse([chunk(&json!({"content": "I am alice@exam"}))]).broken();
    let outcome = run(json!({}), &json!({}), &response);
    assert_eq!(content(&outcome), "I am ");
    assert_eq!(
        outcome.fault.map(|it| it.code).as_deref(),
        Some("upstream_broken")
    );
}

#[test]
fn configurations_that_would_not_hide_are_refused() {
    for (config, reason) in [
        (json!({"detect": []}), "nothing would be hidden"),
        (json!({"rules": [{"words": [""]}]}), "not empty"),
        (json!({"rules": [{"words": []}]}), "not empty"),
        (
            json!({"rules": [{}]}),
            "one of `detect`, `words` and `regex`",
        ),
        (json!({"rules": [{"words": ["a"], "regex": "b"}]}), "rule 1"),
        (json!({"rules": [{"regex": "x*"}]}), "empty text"),
        (
            json!({"rules": [{"regex": "x", "whole-words": true}]}),
            "whole-words",
        ),
        (
            json!({"rules": [{"detect": "ip", "ignore-case": true}]}),
            "for words",
        ),
        (
            json!({"rules": [{"words": ["a"], "name": "A b"}]}),
            "the name",
        ),
        (
            json!({"rules": [{"words": ["a"], "directions": []}]}),
            "no direction",
        ),
        (
            json!({"rules": [{"detect": "ip"}, {"detect": "ip"}]}),
            "two rules",
        ),
        (json!({"replacement": ""}), "must not be empty"),
        (
            json!({"words": ["mail"]}),
            "itself hidden by the rule `words`",
        ),
        (json!({"words": ["_1"], "restore": true}), "itself hidden"),
        (
            json!({"rules": [{"words": ["x"], "replacement": "a@b.org"}]}),
            "itself hidden by the rule `email`",
        ),
        (json!({"detect": ["faces"]}), "unknown variant"),
    ] {
        let error = Bench::<Redact>::load(config.clone()).expect_err("it is refused");
        assert!(error.contains(reason), "{config}: {error}");
    }
}

#[test]
fn a_long_text_is_read_in_time_that_grows_with_it() {
    // Each of these would take hours if it were searched again behind every match or at every place, and each needs less than all
    // steps, with every detector.
    let config = json!({"detect": ["email", "key", "cn-id", "card", "phone", "ip"], "words": ["bluebird"],
        "rules": [{"regex": "x[0-9]{1,9}y"}]});
    let bench = bench(config);
    for (part, hidden) in [
        ("a@b.org ", "[EMAIL] "),
        ("abcdefgh", "abcdefgh"),
        ("1234567 ", "1234567 "),
        ("x123456 ", "x123456 "),
        ("4111 111", "4111 111"),
        ("-----BEG", "-----BEG"),
        ("\\u0061\\n", "\\u0061\\n"),
        ("::::::::", "::::::::"),
        ("蓝鸟ａ ", "蓝鸟ａ "),
    ] {
        let count = (1 << 20) / part.len();
        let text = part.repeat(count);
        let body = json!({"messages": [{"content": text}]});
        let sent = bench.send(Request::post(CHAT).json(&body));
        let sent = sent.expect("it is sent").json();
        assert!(
            sent["messages"][0]["content"] == hidden.repeat(count),
            "{part}"
        );
    }
}

#[test]
fn a_search_that_takes_too_long_is_refused_with_what_to_mend() {
    let bench = bench(json!({"detect": [], "rules": [{"regex": "x[0-9x]{3,200}y"}]}));
    let text = "x".repeat(1 << 20);
    let body = json!({"messages": [{"content": text}]});
    let fault = |outcome: Outcome| outcome.fault.expect("it is refused");
    let request = fault(
        *bench
            .send(Request::post(CHAT).json(&body))
            .expect_err("413"),
    );
    let got = |response: &Response| fault(bench.run(Request::post(CHAT), response));
    let plain = Response::new(200).header("content-type", "text/plain");
    let event = chunk(&json!({"content": text}));
    for (status, fault) in [
        (413, request),
        (502, got(&Response::json(&body))),
        (502, got(&plain.body(text.clone()))),
        (502, got(&Response::sse([event]))),
    ] {
        assert_eq!(
            (fault.status, fault.code.as_str()),
            (status, "redact_too_large")
        );
        assert!(
            fault.message.contains("regular expressions"),
            "{}",
            fault.message
        );
    }
}
