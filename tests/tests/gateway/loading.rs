//! Plugins that cannot be loaded: each is refused with a reason that says what to mend, and nothing is started.

use sluicegate_tests::component::{self, Handmade};
use sluicegate_tests::{Script, Setup, Upstream, guest};
use tempfile::NamedTempFile;

/// What the gateway says when it is to start with this plugin.
async fn refusal(source: &str, lines: &str) -> String {
    let upstream = Upstream::always(Script::empty(200)).await;
    let setup = Setup::before(&upstream)
        .plugin("guest", source, lines)
        .route("/*", r#"["guest"]"#, "");
    match setup.try_start().await {
        Ok(_) => panic!("it starts with {source} {lines}"),
        Err(error) => format!("{error:#}"),
    }
}

async fn refusal_of(file: NamedTempFile) -> String {
    refusal(file.path().to_str().expect("a path in UTF-8"), "").await
}

/// Asserts that the problem has a key, says these words, and has a mend.
fn assert_says(problem: &str, key: &str, words: &str) {
    assert!(
        problem.contains(&format!("{key}: ")),
        "no {key} in {problem}"
    );
    assert!(problem.contains(words), "no {words:?} in {problem}");
    assert!(problem.contains("→"), "no mend in {problem}");
}

const SOURCE: &str = "plugin.guest.source";

#[tokio::test]
async fn files_that_are_not_components_are_distinguished() {
    let problem = refusal_of(component::file(b"#!/bin/sh\nexit 0\n")).await;
    assert_says(&problem, SOURCE, "this is not WebAssembly");
    let problem = refusal_of(component::file(b"")).await;
    assert_says(&problem, SOURCE, "this is not WebAssembly");
    let problem = refusal_of(component::file(&component::of_text("(module)"))).await;
    assert_says(&problem, SOURCE, "core WebAssembly module");
    assert_says(&problem, SOURCE, "wasm32-wasip2");
    let problem = refusal_of(component::file(b"\0asm\x0d\0\x01\0rubbish")).await;
    assert_says(&problem, SOURCE, "not valid");
    let problem = refusal("/nowhere/at-all.wasm", "").await;
    assert_says(&problem, SOURCE, "cannot be read");
}

#[tokio::test]
async fn a_component_needs_at_least_one_phase() {
    let problem = refusal_of(component::file(&component::of_text("(component)"))).await;
    assert_says(&problem, SOURCE, "it exports nothing");
    let problem = refusal_of(Handmade::default().world("include plugin;", "").file()).await;
    assert_says(
        &problem,
        SOURCE,
        "at least one of sluicegate:plugin/gate, /request, /response, /events, /closing and /observer",
    );
    let lonely = Handmade::default().world(
        "include plugin; export chunks;",
        r#"(func (export "sluicegate:plugin/chunks@V#chunk") (param i32 i32 i32) (result i32) (i32.const 64))"#,
    );
    let problem = refusal_of(lonely.file()).await;
    assert_says(&problem, SOURCE, "chunks without /response");
}

#[tokio::test]
async fn a_gate_that_also_observes_is_one_plugin() {
    let both = Handmade::default().world(
        "include gate-plugin; export observer;",
        r#"(func (export "sluicegate:plugin/observer@V#observe") (param i32 i32))"#,
    );
    let file = both.file();
    let upstream = Upstream::always(Script::empty(200)).await;
    let gateway = Setup::before(&upstream)
        .plugin("guest", file.path().to_str().expect("a path in UTF-8"), "")
        .route("/*", r#"["guest"]"#, "")
        .start()
        .await;
    assert_eq!(gateway.client().get("/x").await.status, 200);
    let plugins = gateway.admin().get("/plugins").await.json();
    assert_eq!(
        plugins["plugins"][0]["exports"],
        serde_json::json!(["gate", "observer"])
    );
    gateway.shutdown().await;
}

#[tokio::test]
async fn a_plugin_for_another_version_of_the_contract_is_refused_by_its_number() {
    for version in ["0.2.0", "0.1.0", "0.2.0-draft.2", "1.0.0"] {
        let problem = refusal_of(Handmade::default().version(version).file()).await;
        assert_says(
            &problem,
            SOURCE,
            &format!("version {version} of the contract"),
        );
        assert_says(&problem, SOURCE, "this gateway speaks 0.2.0-draft.1");
    }
}

#[tokio::test]
async fn an_import_that_plugins_are_not_given_is_named() {
    let greedy = Handmade::default().world(
        "include gate-plugin; import door: interface { open: func(); }",
        r#"(import "door" "open" (func))"#,
    );
    let problem = refusal_of(greedy.file()).await;
    assert_says(&problem, SOURCE, "imports door");
    let problem = refusal_of(component::file(&component::of_text(
        r#"(component (import "wasi:http/incoming-handler@0.2.0" (instance)))"#,
    )))
    .await;
    assert_says(&problem, SOURCE, "imports wasi:http/incoming-handler@0.2.0");
}

#[tokio::test]
async fn a_manifest_must_be_one_and_its_schema_too() {
    for manifest in [
        "",
        "no json",
        "[]",
        r#"{"version":"1"}"#,
        r#"{"name":1}"#,
        r#"{"name":"x","adapter":"ollama"}"#,
    ] {
        let problem = refusal_of(Handmade::default().manifest(manifest).file()).await;
        assert_says(&problem, SOURCE, "`describe` did not return a manifest");
    }
    let manifest = r#"{"name":"x","config":{"type":"nonsense"}}"#;
    let problem = refusal_of(Handmade::default().manifest(manifest).file()).await;
    assert_says(&problem, SOURCE, "is not a JSON Schema");
}

#[tokio::test]
async fn a_wrong_configuration_is_reported_by_its_key_and_without_its_value() {
    let problem = refusal(
        guest::GATE,
        "config = { configure = 4711, unknown = \"s3cret\" }",
    )
    .await;
    assert_says(&problem, "plugin.guest.config.configure", "string");
    assert_says(&problem, "plugin.guest.config", "unknown");
    assert!(
        !problem.contains("4711") && !problem.contains("s3cret"),
        "{problem}"
    );
    let file = Handmade::default().file();
    let path = file.path().to_str().expect("a path in UTF-8");
    let problem = refusal(path, "config = { any = 1 }").await;
    assert_says(&problem, "plugin.guest.config", "takes no configuration");
}

#[tokio::test]
async fn a_plugin_that_refuses_its_configuration_is_quoted() {
    for source in [guest::GATE, guest::FILTER, guest::WATCHER, guest::LIBRARY] {
        let problem = refusal(source, "config = { configure = \"refuse\" }").await;
        assert_says(
            &problem,
            "plugin.guest.config",
            "`configure` says that it must refuse",
        );
    }
}

#[tokio::test]
async fn a_plugin_that_fails_while_it_is_loaded_is_not_loaded() {
    for (deed, words) in [
        ("trap", "trapped"),
        ("memory", "memory limit"),
        ("stack", "trapped"),
    ] {
        let problem = refusal(guest::GATE, &format!("config = {{ configure = {deed:?} }}")).await;
        assert_says(&problem, SOURCE, "`configure` failed");
        assert_says(&problem, SOURCE, words);
    }
}

#[tokio::test]
async fn a_plugin_that_never_ends_while_it_is_loaded_is_given_up() {
    // Two at once: the one computes for ever, the other sleeps.
    let (computes, sleeps) = tokio::join!(
        refusal(guest::GATE, "config = { configure = \"loop\" }"),
        refusal(guest::LIBRARY, "config = { configure = \"sleep\" }"),
    );
    for problem in [computes, sleeps] {
        assert_says(&problem, SOURCE, "`configure` failed");
    }
}

#[tokio::test]
async fn a_filter_whose_every_exchange_fails_is_not_loaded() {
    let problem = refusal(guest::FILTER, "config = { configure = \"stillborn\" }").await;
    assert_says(&problem, SOURCE, "`request.head` failed");
}

#[tokio::test]
async fn a_component_of_which_no_image_can_be_taken_is_configured_in_every_exchange() {
    let upstream = Upstream::always(Script::empty(200)).await;
    let file = Handmade::default().imageless().file();
    let path = file.path().to_str().expect("a path in UTF-8");
    let gateway = Setup::before(&upstream).guest(path, "").start().await;
    let plugins = gateway.admin().get("/plugins").await.json();
    let guest = plugins["plugins"]
        .as_array()
        .expect("a list")
        .iter()
        .find(|plugin| plugin["name"] == "guest");
    assert_eq!(
        guest.expect("it is loaded")["image"],
        false,
        "and the operator can see it"
    );
    for _ in 0..3 {
        let response = gateway.client().get("/x").await;
        assert_eq!(response.status, 200, "{}", response.text());
    }
    gateway.shutdown().await;
}

#[tokio::test]
async fn only_a_stage_that_changes_nothing_may_fail_open() {
    let problem = refusal(guest::FILTER, "on-fault = \"open\"").await;
    assert_says(&problem, "plugin.guest.on-fault", "");
    assert!(problem.contains("transforms"), "{problem}");
}

#[tokio::test]
async fn a_function_of_another_type_is_refused() {
    // The interface has the right name, but it is not the contract's.
    let other = r#"
(component
  (core module $m (func (export "f") (result i32) (i32.const 1)))
  (core instance $i (instantiate $m))
  (func $check (result u32) (canon lift (core func $i "f")))
  (instance $gate (export "check" (func $check)))
  (export "sluicegate:plugin/gate@0.2.0-draft.1" (instance $gate))
)"#;
    let problem = refusal_of(component::file(&component::of_text(other))).await;
    assert_says(&problem, SOURCE, "does not follow the contract");
}

#[tokio::test]
async fn all_plugins_are_tried_and_all_problems_are_reported_at_once() {
    let upstream = Upstream::always(Script::empty(200)).await;
    let module = component::file(&component::of_text("(module)"));
    let module = module.path().to_str().expect("a path in UTF-8");
    let error = Setup::before(&upstream)
        .plugin("one", "/nowhere/at-all.wasm", "")
        .plugin("two", module, "")
        .plugin("three", guest::GATE, "config = { configure = \"refuse\" }")
        .plugin("four", guest::OBSERVER, "")
        .plugin("five", guest::GATE, "")
        .route(
            "/*",
            r#"["one", "two", "three", "four"]"#,
            r#"observers = ["five"]"#,
        )
        .try_start()
        .await
        .err()
        .expect("it does not start");
    let problem = format!("{error:#}");
    for (key, words) in [
        ("plugin.one.source", "cannot be read"),
        ("plugin.two.source", "core WebAssembly module"),
        ("plugin.three.config", "must refuse"),
        ("route[0].pipeline[3]", "the plugin `four` is an observer"),
        (
            "route[0].observers[0]",
            "the plugin `five` is not an observer",
        ),
    ] {
        assert_says(&problem, key, words);
    }
}
