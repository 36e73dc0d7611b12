//! Lines of scripted exchanges.

use serde_json::{Value, json};
use sluicegate_plugin::json::Members;
use sluicegate_plugin::log::{Level, Line};
use sluicegate_plugin::testing::{Bench, take_logs};

use super::*;

fn observe(config: Value, summaries: &[Summary]) -> Vec<Line> {
    let bench = Bench::<AccessLog>::load(config).expect("loads");
    take_logs();
    bench.observe(summaries);
    take_logs()
}

fn fields(line: &Line) -> Value {
    serde_json::from_str(&line.fields()).expect("a JSON object")
}

fn full() -> Summary {
    let fact = |name: &str, json: &str| (name.to_owned(), json.to_owned());
    Summary {
        id: "req_a".into(),
        route: "/v1/*".into(),
        method: "POST".into(),
        path: "/v1/chat/\"completions\"".into(),
        client: "192.0.2.1".into(),
        status: 200,
        upstream: "main".into(),
        target: "http://127.0.0.1:11434".into(),
        attempts: 1,
        request_bytes: 10,
        response_bytes: 2000,
        events: 7,
        duration_us: 1_234_567,
        first_byte_us: 89_001,
        overhead_us: 42,
        facts: vec![
            fact("finish", "\"stop\""),
            fact("model", "\"qwen3:32b\""),
            fact("stream", "true"),
            fact("tenant", "\"team-a\""),
            fact(
                "usage",
                r#"{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7,"x":{}}"#,
            ),
        ],
        ..Summary::default()
    }
}

#[test]
fn a_line_has_everything_that_is_known_in_a_fixed_order() {
    let lines = observe(json!({}), &[full()]);
    assert_eq!(lines.len(), 1);
    assert_eq!(
        (lines[0].level, lines[0].message.as_str()),
        (Level::Info, "exchange")
    );
    assert_eq!(
        fields(&lines[0]),
        json!({
            "req": "req_a", "route": "/v1/*", "method": "POST", "path": "/v1/chat/\"completions\"",
            "client": "192.0.2.1", "tenant": "team-a", "model": "qwen3:32b",
            "upstream": "main", "upstream_target": "http://127.0.0.1:11434", "status": 200, "attempts": 1, "stream": true,
            "finish": "stop", "duration_ms": 1234.567, "ttft_ms": 89.001, "overhead_ms": 0.042,
            "tokens_in": 3, "tokens_out": 4, "request_bytes": 10, "response_bytes": 2000, "events": 7
        })
    );
    let text = lines[0].fields();
    let Members(members) = serde_json::from_str(&text).expect("a JSON object");
    let names: Vec<&str> = members.iter().map(|(name, _)| &**name).collect();
    let all: Vec<&str> = Field::ALL.iter().map(|field| field.name()).collect();
    let shown: Vec<&str> = all
        .into_iter()
        .filter(|name| names.contains(name))
        .collect();
    assert_eq!(names, shown);
}

#[test]
fn what_an_exchange_does_not_have_is_left_out() {
    let refused = Summary {
        id: "req_b".into(),
        method: "GET".into(),
        path: "/x".into(),
        status: 404,
        error: "not_found".into(),
        ..Summary::default()
    };
    let line = &observe(json!({}), &[refused])[0];
    assert_eq!(
        fields(line),
        json!({
            "req": "req_b", "method": "GET", "path": "/x", "status": 404, "error": "not_found",
            "attempts": 0, "duration_ms": 0.0, "overhead_ms": 0.0, "request_bytes": 0, "response_bytes": 0
        })
    );
    assert_eq!(line.level, Level::Info);
}

#[test]
fn failures_of_this_side_are_warnings_and_cancellation_shows() {
    let failed = Summary {
        status: 502,
        error: "upstream_broken".into(),
        ..full()
    };
    let left = Summary {
        status: 0,
        error: "client_closed".into(),
        ..full()
    };
    let mut cut = full();
    cut.facts = vec![(
        "usage".into(),
        r#"{"completion_tokens":9,"partial":true}"#.into(),
    )];
    let lines = observe(json!({}), &[failed, left, cut]);
    assert_eq!(lines[0].level, Level::Warn);
    assert_eq!(fields(&lines[0])["error"], "upstream_broken");
    assert_eq!(lines[1].level, Level::Info);
    assert_eq!(fields(&lines[1])["cancelled"], true);
    assert_eq!(fields(&lines[1]).get("error"), None);
    assert_eq!(fields(&lines[0]).get("cancelled"), None);
    let cut = fields(&lines[2]);
    assert_eq!(
        (&cut["tokens_in"], &cut["tokens_out"]),
        (&json!(0), &json!(9))
    );
    assert_eq!(cut["tokens_partial"], true);
}

#[test]
fn a_usage_of_another_shape_is_no_usage() {
    for usage in ["5", "null", r#"{"prompt_tokens":"three"}"#] {
        let mut summary = full();
        summary.facts = vec![("usage".into(), usage.into())];
        let line = fields(&observe(json!({}), &[summary])[0]);
        assert_eq!(line.get("tokens_in"), None, "{usage}");
    }
}

#[test]
fn fields_can_be_chosen_with_their_order() {
    let lines = observe(
        json!({"fields": ["status", "req", "tokens_out"]}),
        &[full()],
    );
    let expected = r#"{"status":200,"req":"req_a","tokens_out":4}"#;
    assert_eq!(lines[0].fields(), expected);
}

#[test]
fn skipped_paths_are_logged_only_when_they_failed() {
    let of = |status, path: &str| Summary {
        status,
        path: path.into(),
        ..Summary::default()
    };
    let summaries = [
        of(200, "/v1/models"),
        of(404, "/v1/models"),
        of(200, "/v1/models/x"),
    ];
    let lines = observe(
        json!({"skip-paths": ["/v1/models"], "fields": ["status"]}),
        &summaries,
    );
    let written: Vec<String> = lines.iter().map(Line::fields).collect();
    assert_eq!(written, [r#"{"status":404}"#, r#"{"status":200}"#]);
    let cancelled = Summary {
        error: "client_closed".into(),
        ..of(200, "/v1/models")
    };
    assert_eq!(
        observe(json!({"skip-paths": ["/v1/models"]}), &[cancelled]).len(),
        1
    );
}

#[test]
fn configuration_mistakes_are_refused() {
    for config in [
        json!({"fields": []}),
        json!({"fields": ["nope"]}),
        json!({"feilds": []}),
    ] {
        assert!(
            Bench::<AccessLog>::load(config.clone()).is_err(),
            "{config}"
        );
    }
}

#[test]
fn the_schema_and_the_code_know_the_same_fields() {
    let manifest: Value = serde_json::from_str(&AccessLog::manifest().to_json()).expect("JSON");
    let known = manifest["config"]["properties"]["fields"]["items"]["enum"].clone();
    let all: Vec<&str> = Field::ALL.iter().map(|field| field.name()).collect();
    assert_eq!(known, json!(all));
    // The names in the configuration are also those in the line.
    for field in Field::ALL {
        let read: Field = serde_json::from_value(json!(field.name())).expect("known");
        assert_eq!(read, field);
    }
}
