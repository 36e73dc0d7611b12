//! `plugin test --conformance` and `plugin bench --soak`, through the program.

use std::fs;

use serde_json::{Value, json};
use sluicegate_tests::component::Handmade;
use sluicegate_tests::guest;
use tempfile::TempDir;

use crate::command::{Said, name, run};

/// A case whose request tells a guest what to do; the stream has several events.
fn told(acts: &str) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let request = format!(
        "POST /v1/chat/completions HTTP/1.1\ncontent-type: application/json\n{}: {acts}\n\n{{\"model\":\"m\",\"messages\":[],\"stream\":true}}\n",
        guest::FIELD
    );
    let response = "HTTP/1.1 200 OK\ncontent-type: text/event-stream\n\ndata: one\n\ndata: two\n\ndata: three\n\n";
    for (file, text) in [
        ("request.http", request.as_str()),
        ("response.http", response),
    ] {
        fs::write(folder.path().join(file), text).expect("room for a file");
    }
    folder
}

async fn conformance(component: &str, arguments: &[&str]) -> Said {
    let test = ["plugin", "test", component, "--conformance"];
    run(&[&test[..], arguments].concat()).await
}

fn parsed(said: &Said) -> Value {
    serde_json::from_str(&said.out)
        .unwrap_or_else(|error| panic!("{error}: {}{}", said.out, said.err))
}

/// The report of a guest that does as it is told, with the exit code.
async fn report(component: &str, acts: &str) -> (Option<i32>, Value) {
    let folder = told(acts);
    let said = conformance(component, &["--case", name(folder.path()), "--json"]).await;
    (said.code, parsed(&said))
}

async fn assert_passes(component: &str, acts: &str) -> Value {
    let (code, report) = report(component, acts).await;
    assert_eq!(code, Some(0), "{acts}: {report:#}");
    assert_eq!(report["failed"], 0, "{acts}");
    report
}

/// Asserts that a problem is found in this group and this phase, with these words, and that something is said about mending it.
fn assert_found(report: &Value, acts: &str, group: &str, phase: &str, words: &str) {
    let groups = report["groups"].as_array().expect("groups");
    let found = groups.iter().find(|it| it["group"] == group);
    let found = found.unwrap_or_else(|| panic!("{acts}: no group {group}: {report:#}"));
    assert_eq!(found["result"], "failed", "{acts}: {report:#}");
    let problems = found["problems"].as_array().expect("problems");
    let has = |problem: &&Value, member: &str, words: &str| {
        problem[member]
            .as_str()
            .is_some_and(|text| text.contains(words))
    };
    let problem = problems
        .iter()
        .find(|problem| has(problem, "what", words) && has(problem, "phase", phase))
        .unwrap_or_else(|| panic!("{acts}: {words} in {phase}: {problems:#?}"));
    for member in ["scenario", "mend"] {
        assert!(
            problem[member]
                .as_str()
                .is_some_and(|text| !text.is_empty()),
            "{problem}"
        );
    }
}

#[tokio::test]
async fn a_component_may_have_any_plan_and_stop_as_it_likes() {
    for (acts, phase) in [
        ("response-plan=whole, response-body=upper", "response.body"),
        ("response-plan=chunks, response-chunk=sign", "chunks.chunk"),
        ("response-plan=sse, response-events=upper", "events.batch"),
        ("response-plan=ndjson, response-end=events", "events.end"),
        ("response-plan=document, response-end=body", "events.end"),
        ("request-plan=whole, request-body=upper", "request.body"),
    ] {
        let report = assert_passes(guest::FILTER, acts).await;
        assert!(
            report["calls"][phase].as_u64() > Some(10),
            "{acts}: {report:#}"
        );
        assert!(report["memory-bytes"].as_u64() > Some(10_000), "{acts}");
    }
}

#[tokio::test]
async fn what_was_never_called_is_said() {
    let report = assert_passes(guest::FILTER, "request-head=fail").await;
    let reason = report["warnings"][0]["reason"].as_str().expect("a warning");
    assert!(reason.ends_with("chunks, events"), "{reason}");
    let report = assert_passes(guest::FILTER, "response-plan=sse, response-events=fail").await;
    let reason = report["warnings"][0]["reason"].as_str().expect("a warning");
    assert!(reason.ends_with("chunks"), "{reason}");
    let said = conformance(guest::BARE, &[]).await;
    assert_eq!(
        (said.code, said.err.as_str()),
        (Some(0), ""),
        "{}",
        said.out
    );
    for words in [
        "server-sent events: passed (",
        "the client leaves: passed (",
        "stops from inside: passed (",
        "large responses: passed (",
        "calls: events.batch ",
        " of 16 MiB",
        " 0 failed\n",
    ] {
        assert!(said.out.contains(words), "{words}: {}", said.out);
    }
}

#[tokio::test]
async fn a_result_that_the_contract_does_not_allow_is_found() {
    for (component, acts, group, phase, words) in [
        (
            guest::FILTER,
            "request-head=reply-99",
            "methods and paths",
            "request.head",
            "99 is not a status",
        ),
        (
            guest::FILTER,
            "request-plan=look, request-body=upper",
            "request bodies",
            "request.body",
            "must return `none`",
        ),
        (
            guest::FILTER,
            "response-plan=document",
            "server-sent events",
            "events.end",
            "exactly one",
        ),
        (
            guest::FILTER,
            "response-plan=sse, response-end=fail-200",
            "newline-delimited JSON",
            "events.end",
            "200 is not an error status",
        ),
        (
            guest::WATCHER,
            "response-plan=whole, response-body=lie",
            "stops from inside",
            "response.body",
            "does not change bodies",
        ),
    ] {
        let (code, report) = report(component, acts).await;
        assert_eq!(code, Some(1), "{acts}: {report:#}");
        assert_found(&report, acts, group, phase, words);
    }
}

#[tokio::test]
async fn a_trap_and_an_exceeded_limit_are_found() {
    for (acts, group, phase, words) in [
        (
            "response-plan=sse, response-events=trap",
            "the model server breaks off",
            "events.batch",
            "it trapped",
        ),
        (
            "response-plan=sse, later-events=memory",
            "server-sent events",
            "events.batch",
            "memory limit",
        ),
        (
            "response-plan=sse, later-events=loop",
            "server-sent events",
            "events.batch",
            "CPU budget",
        ),
    ] {
        let (code, report) = report(guest::FILTER, acts).await;
        assert_eq!(code, Some(1), "{acts}: {report:#}");
        assert_found(&report, acts, group, phase, words);
        if words != "it trapped" {
            continue;
        }
        // What the plugin does not see does not fail.
        let groups = report["groups"].as_array().expect("groups");
        let passed = groups.iter().find(|it| it["group"] == "methods and paths");
        assert!(passed.is_some(), "{report:#}");
    }
    let closing = Handmade::default().world(
        "include plugin; export closing;",
        r#"(func (export "sluicegate:plugin/closing@V#closed") (param i32 i32) (unreachable))"#,
    );
    let file = closing.file();
    let said = conformance(name(file.path()), &["--json"]).await;
    assert_eq!(said.code, Some(1), "{}{}", said.out, said.err);
    let found = parsed(&said);
    assert_found(
        &found,
        "closing",
        "the client leaves",
        "closing.closed",
        "it trapped",
    );
}

#[tokio::test]
async fn output_that_depends_on_the_arrival_is_found_with_its_place() {
    let acts = "response-plan=sse, response-events=sizes";
    let folder = told(acts);
    let said = conformance(guest::FILTER, &["--case", name(folder.path())]).await;
    assert_eq!(said.code, Some(1), "{}{}", said.out, said.err);
    for words in [
        "server-sent events: failed (",
        "depends on how the response arrives: byte by byte",
        "the client gets `",
        "→ how a body is cut into chunks",
    ] {
        assert!(said.out.contains(words), "{words}: {}", said.out);
    }
    let (_, report) = report(guest::FILTER, acts).await;
    assert_found(
        &report,
        acts,
        "server-sent events",
        "events",
        "depends on how",
    );
}

#[tokio::test]
async fn a_gate_with_closing_and_observer_is_called_in_all_three() {
    let said = conformance(guest::COMBINED, &["--json"]).await;
    let report = parsed(&said);
    assert_eq!(said.code, Some(0), "{report:#}");
    for phase in ["gate.check", "closing.closed", "observer.observe"] {
        assert!(
            report["calls"][phase].as_u64() >= Some(9),
            "{phase}: {report:#}"
        );
    }
    // In each exchange once, however it ended.
    assert_eq!(
        report["calls"]["gate.check"],
        report["calls"]["closing.closed"]
    );
    assert_eq!(report["warnings"], json!([]));
}

#[tokio::test]
async fn what_cannot_be_loaded_gives_another_exit_code() {
    for arguments in [&[][..], &["--config", "{"], &["--case", "/nowhere/at-all"]] {
        let said = conformance(guest::WORDS, arguments).await;
        assert_eq!(
            (said.code, said.out.as_str()),
            (Some(2), ""),
            "{arguments:?}"
        );
        assert!(!said.err.is_empty(), "{arguments:?}");
    }
    let said = conformance("/nowhere/at-all.wasm", &[]).await;
    assert_eq!((said.code, said.out.as_str()), (Some(2), ""));
    assert!(said.err.contains("cannot be read"), "{}", said.err);
}

/// Asserts that plugins that ship pass, and that each of their interfaces was called.
async fn assert_shipped_pass(plugins: &[(&str, &str)]) {
    for (plugin, config) in plugins {
        let arguments = ["--config", config, "--json"];
        let said = conformance(&format!("builtin:{plugin}"), &arguments).await;
        let report = parsed(&said);
        assert_eq!(said.code, Some(0), "{plugin}: {report:#}");
        assert_eq!(report["warnings"], json!([]), "{plugin}");
    }
}

#[tokio::test]
async fn the_gates_and_filters_that_ship_pass() {
    assert_shipped_pass(&[
        ("auth", r#"{"keys":[{"name":"a","key":"sk-sample"}]}"#),
        (
            "jwt",
            r#"{"issuers":[{"issuer":"https://idp.example/","jwks":"https://idp.example/keys","audience":["a"]}]}"#,
        ),
        ("rewrite", "{}"),
        ("aggregate", "{}"),
        ("access-log", "{}"),
        ("redact", "{}"),
        (
            "rate-limit",
            r#"{"rules":[{"name":"a","concurrent":1000,"tokens":{"limit":1000000000,"per":"1m","hard":true}}]}"#,
        ),
    ])
    .await;
}

#[tokio::test]
async fn the_adapters_that_ship_pass() {
    assert_shipped_pass(&[
        ("ollama", "{}"),
        ("vllm", "{}"),
        ("tgi", "{}"),
        ("openai", "{}"),
    ])
    .await;
}

#[tokio::test]
async fn the_fronts_that_ship_pass() {
    assert_shipped_pass(&[
        ("anthropic", "{}"),
        ("responses", "{}"),
        ("ollama-api", "{}"),
    ])
    .await;
}

async fn bench(arguments: &[&str]) -> Said {
    run(&[&["plugin", "bench"], arguments].concat()).await
}

#[tokio::test]
async fn bench_has_every_figure_for_every_kind_of_plugin() {
    for (plugin, figures) in [
        (guest::GATE, &["gate.check"][..]),
        ("builtin:access-log", &["observer.observe"]),
        (
            "builtin:aggregate",
            &["response.head", "events.batch", "events.end"],
        ),
        (
            "builtin:vllm",
            &[
                "request.head",
                "request.body",
                "response.head",
                "events.batch, 32",
                "events.end",
                "closing",
            ],
        ),
        (
            "builtin:anthropic",
            &[
                "request.body",
                "response.head",
                "events.batch, 1 ",
                "response.body",
            ],
        ),
    ] {
        let said = bench(&[plugin, "--json"]).await;
        assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{plugin}");
        let report = parsed(&said);
        let times = report["times"].as_array().expect("times");
        for figure in [&["an instance"], figures].concat() {
            let has = |time: &Value| {
                time["name"]
                    .as_str()
                    .is_some_and(|it| it.starts_with(figure))
            };
            assert!(times.iter().any(has), "{plugin}: {figure}: {times:#?}");
        }
        let memory = report["memory-bytes-per-instance"].as_u64();
        assert!(memory > Some(1_000), "{plugin}: {memory:?}");
    }
}

#[tokio::test]
async fn a_soak_shows_what_is_left_in_memory() {
    let said = bench(&["builtin:openai", "--soak", "3000", "--json"]).await;
    assert_eq!(
        (said.code, said.err.as_str()),
        (Some(0), ""),
        "{}",
        said.out
    );
    let report = parsed(&said);
    let rounds = report["rounds"].as_array().expect("rounds");
    let names: Vec<&Value> = rounds.iter().map(|round| &round["name"]).collect();
    assert_eq!(names, ["one exchange", "many exchanges"]);
    for round in rounds {
        assert_eq!(
            (&round["unit"], &round["done"]),
            (&json!("events"), &json!(3000))
        );
        assert_eq!(round["failed"], Value::Null);
        assert!(round["us-each"].as_f64() > Some(0.0), "{round}");
    }
    // It keeps nothing of the events that have passed.
    assert_eq!(
        rounds[0]["memory-before-bytes"],
        rounds[0]["memory-after-bytes"]
    );
    assert!(
        rounds[0]["memory-before-bytes"].as_u64() > Some(10_000),
        "{}",
        rounds[0]
    );

    for (plugin, unit) in [
        (guest::GATE, "exchanges"),
        ("builtin:access-log", "summaries"),
    ] {
        let said = bench(&[plugin, "--soak", "500"]).await;
        assert_eq!(said.code, Some(0), "{}{}", said.out, said.err);
        assert!(
            said.out.contains(unit) && said.out.contains("no fault"),
            "{}",
            said.out
        );
    }
}

#[tokio::test]
async fn a_soak_says_which_call_failed_and_why() {
    let folder = told("response-plan=sse, later-events=memory");
    let case = ["--case", name(folder.path())];
    let said = bench(&[&[guest::FILTER, "--soak", "100"], &case[..]].concat()).await;
    assert_eq!(said.code, Some(1), "{}{}", said.out, said.err);
    let words = "one exchange: 1 events";
    assert!(said.out.contains(words), "{}", said.out);
    let words = "failed: at event 2: `events.batch` failed: it asked for more than its memory limit of 16777216 bytes";
    assert!(said.out.contains(words), "{}", said.out);
    let folder = told("response-plan=sse, later-events=fail");
    let case = ["--case", name(folder.path()), "--json"];
    let said = bench(&[&[guest::FILTER, "--soak", "100"], &case[..]].concat()).await;
    assert_eq!(said.code, Some(1), "{}{}", said.out, said.err);
    let failed = parsed(&said)["rounds"][0]["failed"].to_string();
    assert!(
        failed.contains("refused event 2 with the fault `guest_refuses`"),
        "{failed}"
    );
}
