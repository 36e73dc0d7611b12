//! The list of models, and the parsing it needs.

use serde_json::{Value, json};

use super::*;

fn tags() -> Vec<u8> {
    serde_json::to_vec(&json!({"models": [
        {"name": "qwen3:32b", "model": "qwen3:32b", "modified_at": "2026-08-01T12:00:00.123456789+02:00", "size": 1},
        {"name": "someone/tiny:latest", "modified_at": "2026-08-01T10:00:00Z"},
        {"model": "hf.co/org/m:Q4"},
        {"size": 3}
    ]}))
    .expect("JSON")
}

fn value(body: Result<Vec<u8>, Fault>) -> Value {
    serde_json::from_slice(&body.expect("translates")).expect("JSON")
}

#[test]
fn every_named_model_is_listed() {
    // 2026-08-01T10:00:00Z
    let created = 1_785_578_400_u64;
    assert_eq!(
        value(list(&tags())),
        json!({"object": "list", "data": [
            {"id": "qwen3:32b", "object": "model", "created": created, "owned_by": "library"},
            {"id": "someone/tiny:latest", "object": "model", "created": created, "owned_by": "someone"},
            {"id": "hf.co/org/m:Q4", "object": "model", "created": 0, "owned_by": "org"}
        ]})
    );
}

#[test]
fn what_a_model_can_do_is_listed_where_the_server_is_right_about_it() {
    let listed = |tag: &Value| {
        let tags = serde_json::to_vec(&json!({"models": [tag]})).expect("JSON");
        let entry = value(list(&tags))["data"][0].clone();
        (
            entry.get("capabilities").cloned(),
            entry.get("context_length").cloned(),
        )
    };
    for (capabilities, seen) in [
        (json!(["embedding"]), Some(json!(["embedding"]))),
        (
            json!(["completion", "vision"]),
            Some(json!(["completion", "vision"])),
        ),
        // It also says so of models that can call tools or think.
        (json!(["completion"]), None),
        (json!([]), None),
        (json!(null), None),
        (json!({"completion": true}), None),
        (json!([1]), None),
    ] {
        let tag = json!({"name": "m", "capabilities": capabilities, "details": {"context_length": 40960}});
        assert_eq!(listed(&tag), (seen, Some(json!(40_960))), "{capabilities}");
    }
    for details in [
        json!(null),
        json!({}),
        json!({"context_length": "x"}),
        json!(7),
    ] {
        let tag = json!({"name": "m", "details": details});
        assert_eq!(listed(&tag), (None, None), "{details}");
    }
}

#[test]
fn no_models_are_an_empty_list() {
    // Ollama's own layer sends `"data": null` here, which strict clients cannot read.
    for tags in [r#"{"models":null}"#, r#"{"models":[]}"#, "{}"] {
        assert_eq!(
            value(list(tags.as_bytes())),
            json!({"object": "list", "data": []})
        );
    }
}

#[test]
fn one_model_is_found_by_its_name() {
    let id = |wanted: &str| value(find(&tags(), wanted))["id"].clone();
    assert_eq!(id("qwen3:32b"), "qwen3:32b");
    assert_eq!(id("qwen3%3A32b"), "qwen3:32b");
    assert_eq!(id("someone/tiny:latest"), "someone/tiny:latest");
    assert_eq!(id("someone%2ftiny"), "someone/tiny:latest");
    assert_eq!(id("hf.co/org/m:Q4"), "hf.co/org/m:Q4");
}

#[test]
fn names_match_as_ollama_matches_them() {
    let tags = serde_json::to_vec(&json!({"models": [
        {"name": "qwen3:32b"}, {"name": "Demo:latest"}, {"name": "demo:Latest"}, {"name": "bare"},
        {"name": "someone/tiny:latest"}, {"name": "hf.co/Org/M:Q4_K_M"}
    ]}))
    .expect("JSON");
    for (wanted, found) in [
        ("QWEN3:32B", "qwen3:32b"),
        ("library/qwen3:32b", "qwen3:32b"),
        ("registry.ollama.ai/library/Qwen3%3A32b", "qwen3:32b"),
        ("DEMO", "Demo:latest"),
        ("demo:latest", "Demo:latest"),
        // An exact match wins.
        ("demo:Latest", "demo:Latest"),
        ("bare:latest", "bare"),
        ("Bare", "bare"),
        ("Someone/Tiny", "someone/tiny:latest"),
        ("HF.co/org/m:q4_k_m", "hf.co/Org/M:Q4_K_M"),
    ] {
        assert_eq!(value(find(&tags, wanted))["id"], found, "{wanted}");
    }
    for wanted in [
        "qwen3",
        "tiny",
        "other/tiny",
        "org/M:Q4_K_M",
        "library/someone/tiny",
        ":latest",
    ] {
        assert_eq!(
            find(&tags, wanted).expect_err("not there").status,
            404,
            "{wanted}"
        );
    }
}

#[test]
fn an_unknown_model_is_a_404_with_its_name() {
    for wanted in ["qwen3", "qwen3:32c", "", "%zz", "%ff", "a%"] {
        let fault = find(&tags(), wanted).expect_err("not there");
        assert_eq!(
            (fault.status, fault.code.as_str()),
            (404, "model_not_found"),
            "{wanted}"
        );
        assert_eq!(fault.param.as_deref(), Some("model"));
    }
    let fault = find(&tags(), "no%3Asuch").expect_err("not there");
    assert!(fault.message.contains("`no:such`"));
    let fault = find(&tags(), &"x".repeat(9000)).expect_err("not there");
    assert!(fault.message.len() < 300);
}

#[test]
fn what_is_not_a_list_of_tags_is_the_servers_fault() {
    for body in ["", "<html>", "[]", r#"{"models":{}}"#, "{\"models\":[1]}"] {
        assert_eq!(
            list(body.as_bytes()).expect_err("nonsense").code,
            "upstream_invalid"
        );
    }
}

#[test]
fn times_of_every_form_are_read() {
    let cases = [
        ("1970-01-01T00:00:00Z", Some(0)),
        ("2000-02-29T12:34:56Z", Some(951_827_696)),
        ("2024-12-31T23:59:59.999999999Z", Some(1_735_689_599)),
        ("2026-08-01T10:00:00.5-07:30", Some(1_785_605_400)),
        ("2026-08-01T10:00:00z", Some(1_785_578_400)),
        ("1969-12-31T23:59:59Z", None),
        ("2026-08-01T10:00:00", None),
        ("2026-08-01T10:00:00Q", None),
        ("2026-08-01T10:00:00+1", None),
        ("yesterday", None),
        ("", None),
        ("2026-08-01T10:00:00\u{e9}", None),
    ];
    for (text, seconds) in cases {
        assert_eq!(unix_seconds(text), seconds, "{text}");
    }
}
