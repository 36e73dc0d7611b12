//! The proof that nothing gets through: texts with secrets in them, cut into events and batches in any way, in both directions.

use std::fmt::Write as _;

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};
use sluicegate_plugin::json::push_escaped;
use sluicegate_plugin::testing::{BATCHINGS, Bench, Request, Response};
use sluicegate_redact::Redact;

const CHAT: &str = "/v1/chat/completions";

/// What is hidden, and what stands in its place. No part of one is another one.
const SECRETS: [(&str, &str); 26] = [
    ("alice@example.com", "[EMAIL]"),
    ("zhang.san+1@mail.example.co.uk", "[EMAIL]"),
    ("sk-proj-0123456789abcdefABCDEF-_xyz", "[KEY]"),
    ("ghp_0123456789abcdefghijklmnopqrstuvwxyz", "[KEY]"),
    (
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJlLXg",
        "[KEY]",
    ),
    ("11010519491231002X", "[CN_ID]"),
    ("440524 18800101 0014", "[CN_ID]"),
    ("4111 1111 1111 1111", "[CARD]"),
    ("5500-0055-5555-5559", "[CARD]"),
    ("13812345678", "[PHONE]"),
    ("+86 139 1234 5678", "[PHONE]"),
    ("+1 (555) 123-4567", "[PHONE]"),
    ("BlueBird", "<bird>"),
    ("bluebird two", "<bird>"),
    ("蓝鸟计划", "<bird>"),
    ("Straße\t\"7\"", "<bird>"),
    ("EMP-123456", "[STAFF]"),
    ("<x>秘密\n密</x>", "[TAGGED]"),
    // Written in another way.
    ("ａｌｉｃｅ＠example．ｏrg", "[EMAIL]"),
    ("car\u{ad}ol@\u{200b}example.xn--p1ai", "[EMAIL]"),
    (r"\u0062ob@example\u002ecom", "[EMAIL]"),
    ("+86\u{a0}137\u{202f}1234\u{2007}5678", "[PHONE]"),
    ("４１１１ 1111 1111\u{3000}１１１１", "[CARD]"),
    ("𝐁lue\u{2060}Bird", "<bird>"),
    ("ＥＭＰ－１２３４５７", "[STAFF]"),
    (
        "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIIGlRFzRo/a+==\n-----END EC PRIVATE KEY-----",
        "[KEY]",
    ),
];

/// What stays, some of it nearly a secret.
const OPEN: [&str; 23] = [
    "alice@",
    "alice@example",
    "@example.com",
    "sk-short",
    "task-list",
    "110105194912310021",
    "4111 1111 1111 1112",
    "1381234567",
    "+12",
    "Blue",
    "bluebir",
    "蓝鸟",
    "EMP-12345",
    "<x>秘",
    "Hello",
    "你好",
    "😀",
    "a\"b\\c",
    "\n",
    "3.14",
    "\u{ad}\u{200b}",
    "C:\\users\\u00",
    "-----BEGIN PUBLIC",
];

fn config(restore: bool) -> Value {
    json!({"restore": restore, "rules": [
        {"name": "bird", "words": ["bluebird", "bluebird two", "蓝鸟计划", "straße\t\"7\""], "replacement": "<bird>"},
        {"name": "staff", "regex": "\\bEMP-\\d{6}\\b"},
        {"name": "tagged", "regex": "<x>[^<>（）]{1,20}</x>"}
    ]})
}

fn bench(restore: bool) -> Bench<Redact> {
    Bench::load(config(restore)).expect("a configuration")
}

/// A text, and what becomes of it.
fn text() -> impl Strategy<Value = (String, String)> {
    let secret = prop::sample::select(&SECRETS[..]).prop_map(|(text, hidden)| (text, hidden));
    let open = prop::sample::select(&OPEN[..]).prop_map(|text| (text, text));
    vec(prop_oneof![secret, open], 0..8).prop_map(|parts| {
        let mut text = (String::new(), String::new());
        for (part, hidden) in parts {
            // Between them something that is part of nothing.
            let _ = (write!(text.0, "（{part}）"), write!(text.1, "（{hidden}）"));
        }
        text
    })
}

/// A text in chunks of these sizes, over and over.
fn chunks<'a>(text: &'a str, sizes: &[usize]) -> Vec<&'a str> {
    let mut chunks = Vec::new();
    let mut rest = text;
    for size in sizes.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let end = rest
            .char_indices()
            .nth(*size)
            .map_or(rest.len(), |(at, _)| at);
        let (chunk, tail) = rest.split_at(end);
        chunks.push(chunk);
        rest = tail;
    }
    chunks
}

/// A kind of text in a stream.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Content,
    Reasoning,
    Refusal,
    Arguments,
    Completion,
}

const KINDS: [Kind; 5] = [
    Kind::Content,
    Kind::Reasoning,
    Kind::Refusal,
    Kind::Arguments,
    Kind::Completion,
];

impl Kind {
    fn choice(self, text: &str) -> Value {
        match self {
            Self::Content => json!({"delta": {"content": text}}),
            Self::Reasoning => json!({"delta": {"reasoning": text}}),
            Self::Refusal => json!({"delta": {"refusal": text}}),
            Self::Arguments => {
                json!({"delta": {"tool_calls": [{"index": 2, "function": {"arguments": text}}]}})
            }
            Self::Completion => json!({"text": text}),
        }
    }

    fn event(self, choice: u64, text: &str) -> String {
        let mut it = self.choice(text);
        it["index"] = json!(choice);
        json!({"id": "c", "x": {"y": 1}, "choices": [it]}).to_string()
    }

    const fn pointer(self) -> &'static str {
        match self {
            Self::Content => "/delta/content",
            Self::Reasoning => "/delta/reasoning",
            Self::Refusal => "/delta/refusal",
            Self::Arguments => "/delta/tool_calls/0/function/arguments",
            Self::Completion => "/text",
        }
    }

    /// A text as it is written in a stream: as JSON in arguments, with more escapes than necessary.
    fn written(self, text: &str) -> String {
        let Self::Arguments = self else {
            return text.to_owned();
        };
        let mut out = String::from("{\"a\":\"");
        for (at, char) in text.chars().enumerate() {
            let mut units = [0; 2];
            match at % 3 {
                0 => push_escaped(&mut out, char.encode_utf8(&mut [0; 4])),
                _ => char.encode_utf16(&mut units).iter().for_each(|unit| {
                    let _ = write!(out, "\\u{unit:04X}");
                }),
            }
        }
        out + "\",\"n\":13812345678,\"b\":[1.50,true]}"
    }

    /// The text that a client reads in what it got.
    fn read(self, got: &str) -> String {
        let Self::Arguments = self else {
            return got.to_owned();
        };
        let value: Value = serde_json::from_str(got).expect("the arguments are JSON");
        assert_eq!(
            (&value["n"], &value["b"]),
            (&json!("[PHONE]"), &json!([1.5, true]))
        );
        value["a"].as_str().expect("a text").to_owned()
    }
}

/// What a client joins of this kind.
fn joined(data: &[String], choice: u64, kind: Kind) -> String {
    let mut out = String::new();
    for data in data {
        let Ok(chunk) = serde_json::from_str::<Value>(data) else {
            continue;
        };
        for it in chunk["choices"].as_array().into_iter().flatten() {
            if it["index"] == choice {
                out.push_str(
                    it.pointer(kind.pointer())
                        .and_then(Value::as_str)
                        .unwrap_or_default(),
                );
            }
        }
    }
    out
}

fn assert_no_secret(text: &str) {
    for (secret, _) in SECRETS {
        assert!(!text.contains(secret), "{secret:?} in {text:?}");
    }
}

fn stream(mut events: Vec<String>, choices: u64) -> Vec<String> {
    for choice in 0..choices {
        events.push(
            json!({"choices": [{"index": choice, "delta": {}, "finish_reason": "stop"}]})
                .to_string(),
        );
    }
    events.push("[DONE]".into());
    events
}

#[test]
fn each_secret_is_hidden_at_every_cut_in_every_batch() {
    let bench = bench(false);
    for (secret, hidden) in SECRETS {
        for kind in KINDS {
            let text = kind.written(&format!("a {secret} b"));
            let places = (0..=text.len()).filter(|&at| text.is_char_boundary(at));
            for at in places {
                // In two; and the second half character by character.
                let (first, second) = text.split_at(at);
                let mut events = vec![kind.event(0, first), kind.event(0, second)];
                if at % 7 == 0 {
                    events.truncate(1);
                    events.extend(
                        chunks(second, &[1])
                            .iter()
                            .map(|chunk| kind.event(0, chunk)),
                    );
                }
                let response =
                    Response::sse(stream(events, 1)).batches(BATCHINGS[at % BATCHINGS.len()]);
                let outcome = bench.run(Request::post(CHAT), &response);
                assert_eq!(outcome.fault, None);
                let got = joined(&outcome.data(), 0, kind);
                assert_eq!(kind.read(&got), format!("a {hidden} b"), "{text} at {at}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_forbidden_comes_out_and_everything_else_does(
        texts in vec((text(), prop::sample::select(&KINDS[..]), vec(1usize..9, 1..6)), 1..4),
        batches in vec(1usize..9, 1..4),
    ) {
        // Each text is a choice of its own, and all go on at the same time.
        let mut rows: Vec<Vec<String>> = Vec::new();
        for (choice, ((text, _), kind, sizes)) in texts.iter().enumerate() {
            let written = kind.written(text);
            let events = chunks(&written, sizes);
            rows.push(events.iter().map(|chunk| kind.event(choice as u64, chunk)).collect());
        }
        let longest = rows.iter().map(Vec::len).max().unwrap_or(0);
        let events = (0..longest).flat_map(|at| rows.iter().filter_map(move |row| row.get(at).cloned()));
        let response = Response::sse(stream(events.collect(), texts.len() as u64)).batches(&batches);
        let outcome = bench(false).run(Request::post(CHAT), &response);
        prop_assert_eq!(outcome.fault.as_ref(), None);
        for (choice, ((_, hidden), kind, _)) in texts.iter().enumerate() {
            let got = kind.read(&joined(&outcome.data(), choice as u64, *kind));
            assert_no_secret(&got);
            prop_assert_eq!(&got, hidden);
        }
        for data in outcome.data() {
            // The rest of a chunk is as it was; a chunk of held text has only its text.
            let chunk = serde_json::from_str::<Value>(&data).unwrap_or_default();
            let rest = &chunk["x"];
            prop_assert!(rest.is_null() || rest["y"] == 1);
        }
    }

    #[test]
    fn a_whole_response_and_a_request_are_searched_alike((text, hidden) in text()) {
        let arguments = Kind::Arguments.written(&text);
        let call = json!([{"id": "t", "function": {"name": "f", "arguments": arguments}}]);
        let message = json!({"role": "assistant", "content": text, "tool_calls": call});
        let request = Request::post(CHAT).json(&json!({"messages": [message]}));
        let response = Response::json(&json!({"choices": [{"message": message}]}));
        let outcome = bench(false).run(request, &response);
        let sent = outcome.sent.as_ref().expect("it was sent").json();
        let got = outcome.json();
        for message in [&sent["messages"][0], &got["choices"][0]["message"]] {
            prop_assert_eq!(message["content"].as_str(), Some(hidden.as_str()));
            let arguments = message["tool_calls"][0]["function"]["arguments"].as_str();
            prop_assert_eq!(Kind::Arguments.read(arguments.expect("arguments")), hidden.as_str());
        }
    }

    #[test]
    fn what_is_hidden_on_the_way_comes_back(
        (text, _) in text(),
        sizes in vec(1usize..9, 1..6),
        batches in vec(1usize..9, 1..4),
    ) {
        let bench = bench(true);
        let text = format!("[EMAIL_1] {text}");
        let request = || Request::post(CHAT).json(&json!({"messages": [{"content": text}]}));
        let sent = bench.send(request()).expect("it is sent").json();
        let said = sent["messages"][0]["content"].as_str().expect("a text").to_owned();
        assert_no_secret(&said);
        // The model repeats all that it was told.
        for kind in [Kind::Content, Kind::Completion] {
            let events = chunks(&said, &sizes).iter().map(|chunk| kind.event(0, chunk)).collect();
            let response = Response::sse(stream(events, 1)).batches(&batches);
            let outcome = bench.run(request(), &response);
            prop_assert_eq!(outcome.fault.as_ref(), None);
            prop_assert_eq!(joined(&outcome.data(), 0, kind), text.as_str());
        }
    }

    #[test]
    fn not_even_texts_that_take_turns_let_a_secret_through(
        (text, _) in text(),
        sizes in vec(1usize..9, 1..6),
        turns in vec(0usize..3, 1..9),
    ) {
        // Between its chunks the model says something of another kind, so that what is held has to go out.
        let kind = Kind::Content;
        let mut events = Vec::new();
        for (chunk, turn) in chunks(&text, &sizes).iter().zip(turns.iter().cycle()) {
            events.push(kind.event(0, chunk));
            match turn {
                0 => {}
                1 => events.push(Kind::Reasoning.event(0, "alice")),
                _ => events.push(Kind::Arguments.event(0, "1")),
            }
        }
        let outcome = bench(false).run(Request::post(CHAT), &Response::sse(stream(events, 1)));
        prop_assert_eq!(outcome.fault.as_ref(), None);
        assert_no_secret(&joined(&outcome.data(), 0, kind));
    }
}
