//! The commands for authors of plugins, through the program: `plugin check`, `plugin test`, `plugin bench`.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sluicegate_tests::component::{self, Handmade};
use sluicegate_tests::guest;
use tempfile::TempDir;

use crate::command::{Said, name, run};

/// The configuration of the filter `words`.
const WORDS: &str = r#"{"words":["simulation"]}"#;

async fn plugin(command: &str, arguments: &[&str]) -> Said {
    run(&[&["plugin", command], arguments].concat()).await
}

fn parsed(said: &Said) -> Value {
    serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{error}: {}", said.out))
}

#[tokio::test]
async fn check_shows_what_an_author_wants_to_know() {
    let said = plugin("check", &[guest::WORDS, "--config", WORDS, "--json"]).await;
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""));
    let report = parsed(&said);
    for (member, value) in [
        ("verdict", json!("good")),
        ("refused", Value::Null),
        ("warnings", json!([])),
        ("contract", json!("0.2.0-draft.1")),
        ("contract-of-component", json!(["0.2.0-draft.1"])),
        ("exports", json!(["events", "response"])),
        ("configuration", json!("given")),
        ("image", json!("captured")),
        ("trial", json!("passed")),
        ("authenticates", json!(false)),
        ("cpu-budget-ms", json!(10_000)),
    ] {
        assert_eq!(report[member], value, "{member}");
    }
    assert_eq!(report["manifest"]["name"], "words");
    assert_eq!(report["limits"]["memory-bytes"], 16 << 20);
    let size = fs::metadata(guest::WORDS).expect("it is there").len();
    assert_eq!(report["component-bytes"], size);
    for member in ["code-bytes", "memory-bytes"] {
        assert!(
            report[member].as_u64() > Some(10_000),
            "{member}: {}",
            report[member]
        );
    }
    let calls = report["calls"].as_array().expect("calls");
    let calls: Vec<_> = calls.iter().map(|call| &call["name"]).collect();
    assert_eq!(calls, ["start", "describe", "configure"]);
    let imports = report["imports"].as_array().expect("imports");
    assert!(
        imports.iter().all(|import| import["given"] == true),
        "{imports:?}"
    );
    assert!(
        imports
            .iter()
            .any(|import| import["name"] == "sluicegate:plugin/exchange@0.2.0-draft.1")
    );

    let said = plugin("check", &[guest::WORDS, "--config", WORDS]).await;
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""));
    for words in [
        "(words 0.1.0): good",
        "events, response",
        "captured",
        "the given one fits",
        "passed",
    ] {
        assert!(said.out.contains(words), "{words}: {}", said.out);
    }
}

/// Asserts that a component is refused at this stage with these words, for people and for programs.
async fn assert_refused(file: &Path, config: Option<&str>, stage: &str, words: &str) -> Value {
    let config = config.map_or_else(Vec::new, |config| vec!["--config", config]);
    let arguments = [&[name(file)], &config[..]].concat();
    let said = plugin("check", &arguments).await;
    assert_eq!(said.code, Some(2), "{stage}: {}{}", said.out, said.err);
    let error = said.err.split_once("error: ").expect("an error").1;
    assert!(
        error.contains(&format!("the stage `{stage}`")),
        "{stage}: {error}"
    );
    assert!(
        error.contains(words) && error.contains("→"),
        "{words}: {error}"
    );
    let said = plugin("check", &[&arguments[..], &["--json"]].concat()).await;
    assert_eq!((said.code, said.err.as_str()), (Some(2), ""), "{stage}");
    let report = parsed(&said);
    assert_eq!(
        (&report["verdict"], &report["refused"]["stage"]),
        (&json!("refused"), &json!(stage))
    );
    let reason = report["refused"]["reason"].as_str().expect("a reason");
    assert!(reason.contains(words), "{words}: {reason}");
    assert!(
        report["refused"]["mend"]
            .as_str()
            .is_some_and(|mend| !mend.is_empty())
    );
    report
}

#[tokio::test]
async fn check_refuses_with_stage_reason_and_mend() {
    let module = component::file(&component::of_text("(module)"));
    assert_refused(module.path(), None, "format", "core WebAssembly module").await;
    let text = component::file(b"#!/bin/sh\n");
    assert_refused(text.path(), None, "format", "not WebAssembly").await;
    assert_refused(
        Path::new("/nowhere/at-all.wasm"),
        None,
        "read",
        "cannot be read",
    )
    .await;
    let no_phase = Handmade::default().world("include plugin;", "").file();
    assert_refused(no_phase.path(), None, "contract", "at least one of").await;

    let old = Handmade::default().version("0.1.0").file();
    let report = assert_refused(
        old.path(),
        None,
        "contract",
        "version 0.1.0 of the contract",
    )
    .await;
    assert_eq!(report["contract-of-component"], json!(["0.1.0"]));

    let foreign =
        component::of_text(r#"(component (import "wasi:http/incoming-handler@0.2.0" (instance)))"#);
    let foreign = component::file(&foreign);
    let report = assert_refused(
        foreign.path(),
        None,
        "contract",
        "wasi:http/incoming-handler@0.2.0",
    )
    .await;
    assert_eq!(
        report["imports"],
        json!([{"name": "wasi:http/incoming-handler@0.2.0", "given": false}])
    );

    let schema = Handmade::default()
        .manifest(r#"{"name":"x","config":{"type":"nonsense"}}"#)
        .file();
    assert_refused(schema.path(), Some("{}"), "manifest", "not a JSON Schema").await;
    let limits = Handmade::default()
        .manifest(r#"{"name":"x","limits":{"memory":"1GiB"}}"#)
        .file();
    assert_refused(limits.path(), None, "limits", "limits.memory").await;
    let gate = Path::new(guest::GATE);
    assert_refused(gate, Some(r#"{"colour":1}"#), "configuration", "colour").await;
    assert_refused(
        gate,
        Some(r#"{"configure":"refuse"}"#),
        "configure",
        "must refuse",
    )
    .await;
    assert_refused(
        gate,
        Some(r#"{"configure":"trap"}"#),
        "configure",
        "trapped",
    )
    .await;
    let filter = Path::new(guest::FILTER);
    assert_refused(
        filter,
        Some(r#"{"configure":"stillborn"}"#),
        "trial",
        "request.head",
    )
    .await;
    let said = plugin("check", &[guest::GATE, "--config", "{"]).await;
    assert_eq!((said.code, said.out.as_str()), (Some(2), ""));
    assert!(said.err.contains("not JSON"), "{}", said.err);
}

#[tokio::test]
async fn a_trap_shows_the_functions_that_were_running() {
    let traps = Handmade::default().world(
        "include plugin; export request;",
        r#"(func $innermost unreachable)
           (func $outer (export "sluicegate:plugin/request@V#head") (result i32) (call $innermost) (unreachable))
           (func (export "sluicegate:plugin/request@V#body") (param i32 i32) (result i32) (unreachable))"#,
    );
    let file = traps.file();
    let path = file.path().to_str().expect("UTF-8");
    let said = plugin("check", &[path]).await;
    assert_eq!(said.code, Some(2));
    for words in [
        "phase=request.head req=trial",
        "backtrace=\"innermost < outer\"",
        "in `innermost`",
    ] {
        assert!(said.err.contains(words), "{words}: {}", said.err);
    }
}

#[tokio::test]
async fn check_warns_of_what_a_gateway_takes_and_an_author_should_know() {
    let open = Handmade::default()
        .manifest(r#"{"name":"x","authenticates":true}"#)
        .file();
    let imageless = Handmade::default().imageless().file();
    for (file, config, verdict, words) in [
        (name(open.path()), "{}", "good", "was not refused"),
        (name(imageless.path()), "{}", "good", "no memory image"),
    ] {
        let said = plugin("check", &[file, "--config", config, "--json"]).await;
        assert_eq!(said.code, Some(0), "{}", said.err);
        let report = parsed(&said);
        assert_eq!(report["verdict"], verdict);
        let reason = report["warnings"][0]["reason"].as_str().expect("a warning");
        assert!(reason.contains(words), "{reason}");
    }
    let said = plugin("check", &[guest::WORDS]).await;
    assert_eq!(said.code, Some(0));
    assert!(said.out.contains("incomplete"), "{}", said.out);
    assert!(
        said.err.contains("warning: ") && said.err.contains("--config"),
        "{}",
        said.err
    );
    assert!(said.err.contains("words"), "{}", said.err);
}

/// A folder with one case; `files` are its files.
fn case(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (file, text) in files {
        fs::write(folder.path().join(file), text).expect("room for a file");
    }
    folder
}

fn read(folder: &TempDir, file: &str) -> Option<String> {
    fs::read_to_string(folder.path().join(file)).ok()
}

async fn tested(component: &str, folder: &TempDir, more: &[&str]) -> Said {
    plugin(
        "test",
        &[&[component, "--case", name(folder.path())], more].concat(),
    )
    .await
}

const REQUEST: &str = "POST /v1/chat/completions HTTP/1.1\ncontent-type: application/json\n\n{\"model\":\"m\",\"stream\":true}\n";
const STREAM: &str =
    "HTTP/1.1 200 OK\ncontent-type: text/event-stream\n\ndata: one\n\ndata: two\n\n";

/// The request with the acts of a guest.
fn told(acts: &str) -> String {
    REQUEST.replacen('\n', &format!("\n{}: {acts}\n", guest::FIELD), 1)
}

/// The cases of the example `redact`.
fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/redact/cases")
}

#[tokio::test]
async fn the_cases_of_the_example_rate_limit_pass() {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/rate-limit/cases");
    let said = plugin("test", &["builtin:rate-limit", "--case", name(&cases)]).await;
    assert_eq!(said.code, Some(0), "{}{}", said.out, said.err);
    assert!(said.out.ends_with("3 passed, 0 failed\n"), "{}", said.out);
}

#[tokio::test]
async fn the_cases_of_the_example_pass() {
    let said = plugin("test", &["builtin:redact", "--case", name(&examples())]).await;
    assert_eq!(said.code, Some(0), "{}{}", said.out, said.err);
    assert!(said.out.ends_with("5 passed, 0 failed\n"), "{}", said.out);
    let said = plugin(
        "test",
        &["builtin:redact", "--case", name(&examples()), "--json"],
    )
    .await;
    let report = parsed(&said);
    assert_eq!(
        (&report["passed"], &report["failed"]),
        (&json!(5), &json!(0))
    );
    // Whole, byte by byte, and cut in two behind each byte.
    let response = fs::read(examples().join("stream/response.http")).expect("a response");
    let head = response
        .windows(2)
        .position(|end| end == b"\n\n")
        .expect("a head")
        + 2;
    assert_eq!(report["cases"][2]["arrivals"], 2 + response.len() - head);
}

#[tokio::test]
async fn a_difference_is_shown_where_it_is() {
    let example = examples().join("stream");
    let read_example = |file: &str| fs::read_to_string(example.join(file)).expect("a file");
    let client = read_example("expected-client.http").replace("and no ", "and some ");
    let folder = case(&[
        ("config.toml", &read_example("config.toml")),
        ("request.http", &read_example("request.http")),
        ("response.http", &read_example("response.http")),
        (
            "expected-upstream.http",
            &read_example("expected-upstream.http"),
        ),
        ("expected-client.http", &client),
    ]);
    let said = tested("builtin:redact", &folder, &[]).await;
    assert_eq!(
        (said.code, said.err.as_str()),
        (Some(1), ""),
        "{}",
        said.out
    );
    assert!(
        said.out.contains("expected-client.http differs"),
        "{}",
        said.out
    );
    assert!(!said.out.contains("expected-upstream.http"), "{}", said.out);
    let lines: Vec<&str> = said.out.lines().map(str::trim_start).collect();
    let is_there = |begin: &str, words: &str| {
        lines
            .iter()
            .any(|line| line.starts_with(begin) && line.contains(words))
    };
    assert!(
        is_there("-data: ", "and some ") && is_there("+data: ", "and no "),
        "{}",
        said.out
    );
    assert!(said.out.ends_with("0 passed, 1 failed\n"), "{}", said.out);
    let report = parsed(&tested("builtin:redact", &folder, &["--json"]).await);
    assert_eq!(report["cases"][0]["result"], "failed");
}

#[tokio::test]
async fn missing_expectations_fail_until_they_are_written() {
    let folder = case(&[("request.http", REQUEST), ("response.http", STREAM)]);
    let said = tested(guest::BARE, &folder, &[]).await;
    assert_eq!(said.code, Some(1), "{}", said.out);
    for file in ["expected-upstream.http", "expected-client.http"] {
        assert!(
            said.out.contains(&format!("{file} is missing")),
            "{}",
            said.out
        );
    }
    fs::write(folder.path().join("expected-fault.txt"), "plugin_fault\n").expect("room");
    let said = tested(guest::BARE, &folder, &["--update"]).await;
    assert_eq!(said.code, Some(0), "{}", said.out);
    assert!(said.out.contains("updated"), "{}", said.out);
    assert_eq!(
        read(&folder, "expected-client.http").as_deref(),
        Some("HTTP/1.1 200 OK\ncontent-type: text/event-stream\n\ndata: ONE\n\ndata: TWO\n\n")
    );
    assert_eq!(
        read(&folder, "expected-upstream.http").as_deref(),
        Some(REQUEST)
    );
    assert_eq!(read(&folder, "expected-fault.txt"), None);
    let said = tested(guest::BARE, &folder, &[]).await;
    assert_eq!(said.code, Some(0), "{}", said.out);
    assert!(said.out.contains("passed"), "{}", said.out);
}

#[tokio::test]
async fn output_that_depends_on_how_the_stream_is_cut_is_found() {
    let acts = told("response-plan=sse, response-events=sizes");
    let folder = case(&[("request.http", &acts), ("response.http", STREAM)]);
    let said = tested(guest::FILTER, &folder, &["--update"]).await;
    assert_eq!(said.code, Some(1), "{}", said.out);
    assert!(
        said.out.contains("depends on how the response arrives"),
        "{}",
        said.out
    );
    assert!(said.out.contains("byte by byte"), "{}", said.out);
    // One call with two events, or two with one.
    assert!(
        said.out.contains("-data: 2") && said.out.contains("+data: 1"),
        "{}",
        said.out
    );
    assert_eq!(
        read(&folder, "expected-client.http"),
        None,
        "nothing is written"
    );
    // Bytes are compared as a whole, however they come out.
    let stable = told("response-plan=chunks, response-chunk=sign");
    let folder = case(&[("request.http", &stable), ("response.http", STREAM)]);
    let said = tested(guest::FILTER, &folder, &["--update"]).await;
    assert_eq!(said.code, Some(0), "{}", said.out);
    let client = read(&folder, "expected-client.http").expect("a response");
    assert!(client.ends_with("data: two\n\n[end]\n"), "{client}");
}

#[tokio::test]
async fn faults_are_expected_by_their_code_and_explained() {
    let acts = told("response-plan=sse, response-events=trap");
    let folder = case(&[("request.http", &acts), ("response.http", STREAM)]);
    let said = tested(guest::FILTER, &folder, &[]).await;
    assert_eq!(said.code, Some(1), "{}", said.out);
    assert!(
        said.out.contains("+plugin_fault") && said.out.contains("it trapped"),
        "{}",
        said.out
    );
    assert_eq!(
        tested(guest::FILTER, &folder, &["--update"]).await.code,
        Some(0)
    );
    assert_eq!(
        read(&folder, "expected-fault.txt").as_deref(),
        Some("plugin_fault\n")
    );
    let client = read(&folder, "expected-client.http").expect("an error");
    assert!(client.starts_with("HTTP/1.1 502 Bad Gateway\n"), "{client}");
    assert_eq!(tested(guest::FILTER, &folder, &[]).await.code, Some(0));

    let acts = told("request-head=fail");
    let folder = case(&[("request.http", &acts)]);
    assert_eq!(
        tested(guest::FILTER, &folder, &["--update"]).await.code,
        Some(0)
    );
    assert_eq!(
        read(&folder, "expected-fault.txt").as_deref(),
        Some("guest_refuses\n")
    );
    assert_eq!(
        read(&folder, "expected-upstream.http"),
        None,
        "nobody was asked"
    );
    let client = read(&folder, "expected-client.http").expect("an error");
    assert!(
        client.starts_with("HTTP/1.1 418 ") && client.contains("The guest refuses."),
        "{client}"
    );
}

#[tokio::test]
async fn a_gate_is_tested_without_the_credentials_that_the_gateway_keeps() {
    let config = r#"{"keys":[{"name":"a","key":"sk-case"}]}"#;
    let request = REQUEST.replacen('\n', "\nauthorization: Bearer sk-case\nx-kept: 1\n", 1);
    let folder = case(&[("request.http", &request), ("config.json", config)]);
    let said = tested("builtin:auth", &folder, &["--update"]).await;
    assert_eq!(said.code, Some(0), "{}{}", said.out, said.err);
    assert!(said.out.contains("the request alone"), "{}", said.out);
    let upstream = read(&folder, "expected-upstream.http").expect("it was asked");
    assert!(
        !upstream.contains("sk-case") && upstream.contains("x-kept: 1\n"),
        "{upstream}"
    );
    let unknown = request.replace("sk-case", "sk-other");
    fs::write(folder.path().join("request.http"), unknown).expect("room");
    let said = tested("builtin:auth", &folder, &[]).await;
    assert_eq!(said.code, Some(1));
    assert!(
        said.out.contains("nothing came out") && said.out.contains("+HTTP/1.1 401"),
        "{}",
        said.out
    );
}

#[tokio::test]
async fn a_case_has_state_of_its_own_and_responses_to_the_plugins_requests() {
    let fetch = "fetch GET https://idp.example/";
    let commands = format!("{fetch}; {fetch}; {fetch}; add n 1; take r 1 1000; count c 1");
    let request = REQUEST.replacen('\n', &format!("\nx-do: {commands}\n"), 1);
    let folder = case(&[
        ("request.http", &request),
        ("response.http", STREAM),
        (
            "capability-http-1.http",
            "HTTP/1.1 200 OK\ncontent-type: a/b\n\nhello",
        ),
        ("capability-http-2.http", "HTTP/1.1 403 Forbidden\n\n"),
    ]);
    let said = tested(guest::CAPABLE, &folder, &["--update"]).await;
    assert_eq!(said.code, Some(0), "{}{}", said.out, said.err);
    let client = read(&folder, "expected-client.http").expect("it responds");
    let expected = r#"["200 5 a/b","403 0 ","unavailable","1","granted 0","counted"]"#;
    assert!(client.contains(expected), "{client}");
    let said = tested(guest::CAPABLE, &folder, &[]).await;
    assert_eq!(said.code, Some(0), "{}{}", said.out, said.err);

    let said = plugin("check", &[guest::CAPABLE, "--json"]).await;
    assert_eq!(said.code, Some(0), "{}{}", said.out, said.err);
    let report = parsed(&said);
    let imports = report["imports"].as_array().expect("imports");
    let grants = imports.iter().filter_map(|import| import["grant"].as_str());
    let mut grants: Vec<_> = grants.collect();
    grants.sort_unstable();
    assert_eq!(grants, ["http", "kv", "metrics", "rate"]);
}

#[tokio::test]
async fn an_adapter_is_tested_between_the_two_forms_with_fixed_clock_and_randomness() {
    let lines = r#"{"model":"m","created_at":"2026-08-01T10:00:00Z","message":{"role":"assistant","content":"Hi 你"},"done":false}
{"model":"m","created_at":"2026-08-01T10:00:01Z","message":{"role":"assistant","content":""},"done":true,"done_reason":"stop","prompt_eval_count":3,"eval_count":2}
"#;
    let response = format!("HTTP/1.1 200 OK\ncontent-type: application/x-ndjson\n\n{lines}");
    let request = REQUEST.replace(
        "\"stream\"",
        "\"messages\":[{\"role\":\"user\",\"content\":\"Hi?\"}],\"stream\"",
    );
    let folder = case(&[("request.http", &request), ("response.http", &response)]);
    let said = tested("builtin:ollama", &folder, &["--update"]).await;
    assert_eq!(said.code, Some(0), "{}{}", said.out, said.err);
    let upstream = read(&folder, "expected-upstream.http").expect("it was asked");
    assert!(
        upstream.starts_with("POST /api/chat HTTP/1.1\n"),
        "{upstream}"
    );
    let client = read(&folder, "expected-client.http").expect("it got a response");
    assert!(
        client.contains("chat.completion.chunk") && client.ends_with("data: [DONE]\n\n"),
        "{client}"
    );
    // Its identifiers are random: in another run they are the same.
    let said = tested("builtin:ollama", &folder, &[]).await;
    assert_eq!(said.code, Some(0), "{}", said.out);

    let folder = case(&[("request.http", REQUEST)]);
    assert_eq!(
        tested(guest::LIBRARY, &folder, &["--update"]).await.code,
        Some(0)
    );
    let client = read(&folder, "expected-client.http").expect("a reply");
    assert!(
        client.contains(r#""seconds":1785578400,"#),
        "the time by WASI: {client}"
    );
}

#[tokio::test]
async fn what_cannot_be_tested_is_refused_with_a_reason() {
    let folder = case(&[("request.http", REQUEST), ("response.http", STREAM)]);
    let said = tested("builtin:access-log", &folder, &[]).await;
    assert_eq!((said.code, said.out.as_str()), (Some(2), ""));
    assert!(said.err.contains("only observes"), "{}", said.err);
    let said = tested(guest::WORDS, &folder, &[]).await;
    assert_eq!(said.code, Some(2), "it needs a configuration");
    assert!(
        said.err.contains("the stage `configuration`"),
        "{}",
        said.err
    );
    for (files, words) in [
        (&[][..], "request.http"),
        (&[("request.http", "nonsense")], "begin as a request"),
        (
            &[("request.http", REQUEST), ("response.http", "nonsense")],
            "begin as a response",
        ),
        (
            &[("request.http", REQUEST), ("config.json", "{")],
            "not JSON",
        ),
    ] {
        let said = tested(guest::BARE, &case(files), &[]).await;
        assert_eq!((said.code, said.out.as_str()), (Some(2), ""), "{words}");
        assert!(said.err.contains(words), "{words}: {}", said.err);
    }
}

#[tokio::test]
async fn bench_prints_what_each_call_costs() {
    let measured = async |arguments: &[&str]| {
        let said = plugin("bench", &[arguments, &["--json"]].concat()).await;
        assert_eq!(
            (said.code, said.err.as_str()),
            (Some(0), ""),
            "{arguments:?}"
        );
        parsed(&said)
    };
    let names = |report: &Value| -> Vec<String> {
        let times = report["times"].as_array().expect("times");
        for time in times {
            let figure = |member: &str| time[member].as_f64().expect("a number");
            assert!(
                figure("p50-us") > 0.0 && figure("p99-us") >= figure("p50-us"),
                "{time}"
            );
            assert!(time["samples"].as_u64() >= Some(100), "{time}");
        }
        times
            .iter()
            .map(|time| time["name"].as_str().expect("a name").to_owned())
            .collect()
    };
    let report = measured(&[guest::WORDS, "--config", WORDS]).await;
    let found = names(&report);
    let batch = |size| format!("events.batch, {size} at a time, each event");
    for name in [
        "an instance, made and given back".to_owned(),
        "response.head of a stream".to_owned(),
        "response.body of a document".to_owned(),
        "events.end".to_owned(),
        batch(1),
        batch(4),
        batch(16),
        batch(32),
    ] {
        assert!(found.contains(&name), "{name} in {found:?}");
    }
    assert!(
        !found.iter().any(|name| name.starts_with("request")),
        "{found:?}"
    );
    assert!(report["code-bytes"].as_u64() > Some(10_000));
    assert!(
        report["memory-bytes-per-instance"].as_u64() > Some(1_000),
        "{report}"
    );
    assert!(
        report["comparable"]
            .as_str()
            .is_some_and(|text| text.contains("Memory"))
    );

    let gate = measured(&[guest::GATE]).await;
    assert_eq!(
        names(&gate),
        ["an instance, made and given back", "gate.check"]
    );
    let observer = names(&measured(&["builtin:access-log"]).await);
    assert!(
        observer
            .iter()
            .any(|name| name.starts_with("observer.observe")),
        "{observer:?}"
    );
    let example = examples().join("stream");
    let own = names(&measured(&["builtin:redact", "--case", name(&example)]).await);
    assert!(
        own.contains(&batch(4)) && !own.contains(&batch(16)),
        "five events: {own:?}"
    );

    let said = plugin("bench", &[guest::GATE]).await;
    assert_eq!(said.code, Some(0), "{}", said.err);
    for words in [
        "p50",
        "gate.check",
        "memory of a live instance",
        "comparable",
    ] {
        assert!(said.out.contains(words), "{words}: {}", said.out);
    }
    let said = plugin("bench", &[guest::WORDS]).await;
    assert_eq!(
        (said.code, said.out.as_str()),
        (Some(2), ""),
        "it needs a configuration"
    );
}
