use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;
use crate::testing::BATCHINGS;
use crate::window::Words;

fn words() -> Words {
    Words::new(["secret", "秘密"], "***").expect("words")
}

/// The data that a stream becomes, in batches of these sizes.
fn sent(stream: &[String], sizes: &[usize]) -> Vec<String> {
    let words = words();
    let mut deltas = Deltas::default();
    let mut out = Vec::new();
    let mut rest = stream;
    for size in sizes.iter().cycle() {
        let (batch, left) = rest.split_at((*size).min(rest.len()));
        let batch: Vec<_> = batch.iter().cloned().map(Event::data).collect();
        let new = deltas.rewrite(batch.clone(), &words).expect("a stream");
        assert_ne!(new.as_ref(), Some(&batch), "nothing changes");
        out.extend(new.unwrap_or(batch));
        rest = left;
        if rest.is_empty() {
            break;
        }
    }
    out.extend(deltas.end(&words));
    out.into_iter().map(|event| event.data).collect()
}

fn chunk(index: u32, delta: &Value) -> String {
    json!({"id": "c", "object": "chat.completion.chunk", "created": 7, "model": "m", "x": 1.50,
        "choices": [{"index": index, "delta": delta, "finish_reason": null}]})
    .to_string()
}

fn finish(index: u32, reason: &str) -> String {
    json!({"id": "c", "choices": [{"index": index, "delta": {}, "finish_reason": reason}]})
        .to_string()
}

/// All texts of a stream, joined as a client does, by choice and pointer.
fn joined(data: &[String]) -> BTreeMap<(u64, &'static str), String> {
    let mut texts = BTreeMap::new();
    for data in data {
        let Ok(chunk) = serde_json::from_str::<Value>(data) else {
            continue;
        };
        for choice in chunk["choices"].as_array().into_iter().flatten() {
            let index = choice["index"].as_u64().expect("an index");
            for pointer in [
                "/delta/content",
                "/delta/reasoning",
                "/delta/refusal",
                "/delta/tool_calls/0/function/arguments",
                "/text",
            ] {
                if let Some(text) = choice.pointer(pointer).and_then(Value::as_str) {
                    let all: &mut String = texts.entry((index, pointer)).or_default();
                    all.push_str(text);
                }
            }
        }
    }
    texts
}

#[test]
fn every_split_of_a_text_in_all_batch_sizes_gives_the_same() {
    let text = "A secret, 秘密 and secre";
    let places: Vec<usize> = (0..=text.len())
        .filter(|&at| text.is_char_boundary(at))
        .collect();
    for &first in &places {
        for &second in places.iter().filter(|&&it| it >= first) {
            let texts = [&text[..first], &text[first..second], &text[second..]];
            let mut stream = vec![chunk(0, &json!({"role": "assistant", "content": ""}))];
            stream.extend(texts.map(|text| chunk(0, &json!({"content": text}))));
            stream.extend([finish(0, "stop"), "[DONE]".into()]);
            let mut found = BATCHINGS.iter().map(|sizes| sent(&stream, sizes));
            let data = found.next().expect("one");
            assert_eq!(
                joined(&data)[&(0, "/delta/content")],
                "A ***, *** and secre"
            );
            assert_eq!(data.last().map(String::as_str), Some("[DONE]"));
            let end: Value = serde_json::from_str(&data[data.len() - 2]).expect("JSON");
            assert_eq!(end["choices"][0]["finish_reason"], "stop");
            assert!(found.all(|other| other == data));
        }
    }
}

#[test]
fn each_text_of_each_choice_is_one_of_its_own() {
    let call = |id: Value, arguments: &str| json!({"tool_calls": [{"index": 3, "id": id, "function": {"arguments": arguments}}]});
    let stream = [
        chunk(0, &json!({"reasoning": "a sec"})),
        chunk(1, &json!({"content": "a sec", "refusal": "sec"})),
        chunk(0, &json!({"reasoning": "ret"})),
        chunk(0, &json!({"reasoning": "sec"})),
        chunk(0, &json!({"content": "ret sec"})),
        chunk(1, &json!({"content": "ret", "refusal": "ret"})),
        chunk(0, &call(json!("t"), "{\"a\":\"s\\u0065c")),
        chunk(0, &call(Value::Null, "ret\"}")),
        finish(0, "tool_calls"),
        finish(1, "stop"),
    ];
    for sizes in BATCHINGS {
        let texts = joined(&sent(&stream, sizes));
        let expected = [
            ((0, "/delta/content"), "ret sec"),
            ((0, "/delta/reasoning"), "a ***sec"),
            (
                (0, "/delta/tool_calls/0/function/arguments"),
                "{\"a\":\"***\"}",
            ),
            ((1, "/delta/content"), "a ***"),
            ((1, "/delta/refusal"), "***"),
        ];
        let texts: Vec<_> = texts
            .iter()
            .map(|(key, text)| (*key, text.as_str()))
            .collect();
        assert_eq!(texts, expected);
    }
}

#[test]
fn held_text_comes_before_what_follows_it() {
    let stream = [
        chunk(0, &json!({"reasoning": "a sec"})),
        chunk(0, &json!({"content": "b sec"})),
        chunk(
            0,
            &json!({"tool_calls": [{"index": 0, "id": "t", "function": {"name": "f"}}]}),
        ),
        chunk(
            0,
            &json!({"tool_calls": [{"index": 0, "function": {"arguments": "{\"s\":\"se"}}]}),
        ),
        finish(0, "length"),
        json!({"id": "c", "choices": [], "usage": {"total_tokens": 3}}).to_string(),
        "[DONE]".into(),
    ];
    let data = sent(&stream, &[32]);
    let held = |delta: &str| {
        format!(
            r#"{{"id":"c","object":"chat.completion.chunk","created":7,"model":"m","choices":[{{"index":0,"delta":{{{delta}}},"finish_reason":null}}]}}"#
        )
    };
    assert_eq!(data.len(), stream.len() + 3);
    assert_eq!(data[1], held(r#""reasoning":"sec""#));
    assert_eq!(data[3], held(r#""content":"sec""#));
    assert_eq!(data[4], stream[2]);
    let arguments = r#""tool_calls":[{"index":0,"function":{"arguments":"se"}}]"#;
    assert_eq!(data[6], held(arguments));
    assert_eq!(data[7..], stream[4..]);
}

#[test]
fn what_is_not_changed_stays_as_it_is_written() {
    for data in [
        r#"{ "choices":[{"delta":{"content":"caf\u00e9","role":"secret","x":{"y":[1.50]}},"logprobs":null,"token":"secret"}],"z":1e400 }"#,
        r#"{"choices":[],"usage":{"total_tokens":12345678901234567890123}}"#,
        r#"{"type":"ping"}"#,
        "not JSON",
        "",
    ] {
        assert_eq!(sent(&[data.to_owned()], &[1]), [data]);
    }
    let data = r#"{"choices":[{"delta":{"content":"a secret","x":1.50}}],"z":1e400}"#;
    let expected = data.replace("secret", "***");
    assert_eq!(sent(&[data.to_owned()], &[1]), [expected]);
}

#[test]
fn completions_and_unknown_texts_are_texts_too() {
    let stream = [
        r#"{"choices":[{"index":0,"text":"a sec"}]}"#,
        r#"{"choices":[{"index":0,"text":"ret sec"}]}"#,
        r#"{"choices":[{"index":1,"delta":{"parts":[{"text":"sec"},{"text":"秘"}]}}]}"#,
        r#"{"choices":[{"index":1,"delta":{"parts":[{"text":"ret"},{"text":"密秘"}]}}]}"#,
    ]
    .map(str::to_owned);
    let data = sent(&stream, &[1]);
    let expected = [
        r#"{"choices":[{"index":0,"text":"a "}]}"#,
        r#"{"choices":[{"index":0,"text":"*** "}]}"#,
        r#"{"choices":[{"index":1,"delta":{"parts":[{"text":""},{"text":""}]}}]}"#,
        r#"{"choices":[{"index":1,"delta":{"parts":[{"text":"***"},{"text":"***"}]}}]}"#,
        r#"{"choices":[{"index":0,"text":"sec","finish_reason":null}]}"#,
        r#"{"choices":[{"index":1,"delta":{"parts":[{"text":"秘"}]},"finish_reason":null}]}"#,
    ];
    assert_eq!(data, expected);
}

#[test]
fn an_error_is_rewritten_and_drops_what_is_held() {
    let stream = [
        chunk(0, &json!({"content": "a sec"})),
        r#"{"error":{"message":"no secret here","code":"x"}}"#.to_owned(),
    ];
    let data = sent(&stream, &[1]);
    assert_eq!(data.len(), 2);
    assert_eq!(data[1], r#"{"error":{"message":"no *** here","code":"x"}}"#);
    let plain = sent(&[r#"{"error":"a secret"}"#.to_owned()], &[1]);
    assert_eq!(plain, [r#"{"error":"a ***"}"#]);
}

#[test]
fn a_stream_with_too_many_texts_ends() {
    let mut deltas = Deltas::default();
    for index in 0..TEXTS {
        let index = u32::try_from(index).expect("small");
        let event = Event::data(chunk(index, &json!({"content": "s"})));
        deltas.rewrite(vec![event], &words()).expect("a text");
    }
    let event = |index| vec![Event::data(chunk(index, &json!({"content": "s"})))];
    deltas.rewrite(event(0), &words()).expect("a known text");
    let fault = deltas
        .rewrite(event(9999), &words())
        .expect_err("one too many");
    assert_eq!(
        (fault.status, fault.code.as_str()),
        (502, "upstream_invalid")
    );
    let half = Event::data(r#"{"choices":[{"delta":{"content":"\ud800"}}]}"#);
    assert!(Deltas::default().rewrite(vec![half], &words()).is_err());
}
