//! What an author does, through the program: `plugin new`, `plugin build`, `plugin test`, with the toolchains of this machine.
//!
//! A machine without a language's tools skips that language, loudly; in CI (`CI=true`) that is a failure.

mod live;
mod project;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;
use sluicegate_tests::program;

use crate::project::{Language, Project, run};

/// Sets of exports: each alone and with what it is usually seen with, so that every part of a template is built with and without
/// its neighbours.
const SETS: [&str; 9] = [
    "gate",
    "request",
    "events",
    "response,events",
    "response,chunks",
    "closing",
    "gate,closing,observer",
    "request,response,events,closing",
    "gate,request,response,chunks,events,closing,observer",
];

/// Makes, builds and tests a project with each of these sets of exports.
async fn every(language: Language, sets: &[&str]) -> anyhow::Result<()> {
    if let Some(missing) = language.missing() {
        return program::skip(&format!(
            "{missing}, so plugins in {} cannot be built",
            language.name()
        ));
    }
    for (number, exports) in sets.iter().enumerate() {
        let project = Project::new(language, &format!("filter-n{number}"), exports).await;
        let built = project.build().await;
        assert_eq!(built.code, Some(0), "{exports}: {}", built.err);
        assert!(
            built.out.contains(&format!("filter-n{number}.wasm: ")) && built.out.contains(" KiB"),
            "{}",
            built.out
        );
        let tested = project.run("test", &[]).await;
        let gates = exports.split(',').any(|it| it == "gate");
        let cases = if gates { "2 passed" } else { "1 passed" };
        assert_eq!(
            tested.code,
            Some(0),
            "{exports}: {}{}",
            tested.out,
            tested.err
        );
        assert!(tested.out.contains(cases), "{exports}: {}", tested.out);
        // What an engine compiles for half a minute has been loaded once by now.
        if language != Language::Go {
            let checked = project.run("check", &["--json"]).await;
            let report: Value = serde_json::from_str(&checked.out)?;
            let found = report["exports"].as_array().into_iter().flatten();
            let found: BTreeSet<&str> = found.filter_map(Value::as_str).collect();
            let wanted: BTreeSet<&str> = exports.split(',').collect();
            assert_eq!(found, wanted);
            assert_eq!(report["trial"], "passed", "{exports}: {report}");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_project_in_rust_builds_and_passes_its_cases() -> anyhow::Result<()> {
    every(Language::Rust, &[SETS[0], SETS[5], SETS[8]]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_project_in_c_builds_and_passes_its_cases() -> anyhow::Result<()> {
    every(Language::C, &SETS).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_project_in_go_builds_and_passes_its_cases() -> anyhow::Result<()> {
    every(Language::Go, &[SETS[4], SETS[8]]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_observer_alone_is_built_and_has_no_case() -> anyhow::Result<()> {
    if let Some(missing) = Language::C.missing() {
        return program::skip(&missing);
    }
    let project = Project::new(Language::C, "watcher", "observer").await;
    let built = project.build().await;
    assert_eq!(built.code, Some(0), "{}", built.err);
    let tested = project.run("test", &[]).await;
    assert_eq!(tested.code, Some(2));
    assert!(tested.err.contains("--case"), "{}", tested.err);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_filters_that_stand_as_examples_pass_their_cases() -> anyhow::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/filters");
    for (language, name) in [
        (Language::C, "c-origin-gate"),
        (Language::Go, "go-tenant-header"),
    ] {
        if let Some(missing) = language.missing() {
            program::skip(&missing)?;
            continue;
        }
        let project = Project::copy(language, &folder.join(name));
        let built = project.build().await;
        assert_eq!(built.code, Some(0), "{name}: {}", built.err);
        let tested = project.run("test", &[]).await;
        assert_eq!(tested.code, Some(0), "{name}: {}{}", tested.out, tested.err);
        assert!(tested.out.contains("3 passed, 0 failed"), "{}", tested.out);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_kit_of_c_reads_json_right() -> anyhow::Result<()> {
    if let Some(missing) = Language::C.missing() {
        return program::skip(&missing);
    }
    let project = Project::new(Language::C, "json", "gate").await;
    fs::write(project.folder().join("filter.c"), include_str!("json.c"))?;
    // It takes no configuration.
    fs::remove_file(project.folder().join("config.schema.json"))?;
    let built = project.build().await;
    assert_eq!(built.code, Some(0), "{}", built.err);
    let checked = project.run("check", &["--config", "{}"]).await;
    assert_eq!(checked.code, Some(0), "{}{}", checked.out, checked.err);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_does_not_compile_keeps_the_component_of_before() -> anyhow::Result<()> {
    if let Some(missing) = Language::C.missing() {
        return program::skip(&missing);
    }
    let project = Project::new(Language::C, "broken", "gate").await;
    assert_eq!(project.build().await.code, Some(0));
    let before = fs::read(project.component())?;
    fs::write(project.folder().join("filter.c"), "this is no C\n")?;
    let built = project.build().await;
    assert_eq!(built.code, Some(1));
    assert!(
        built.err.contains("filter.c:1:1"),
        "the compiler's words: {}",
        built.err
    );
    assert!(built.err.contains("has failed"), "{}", built.err);
    assert_eq!(fs::read(project.component())?, before);
    // What the project says it exports must be there.
    fs::write(
        project.folder().join("filter.c"),
        "#include \"sluicegate.h\"\nconst char *sg_describe(void) { return \"{}\"; }\n",
    )?;
    let built = project.build().await;
    assert_eq!(built.code, Some(1));
    assert!(built.err.contains("sg_check"), "{}", built.err);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_tool_is_named_with_the_command_that_installs_it() {
    let nothing = tempfile::tempdir().expect("a folder");
    for (language, words) in [
        (
            Language::Rust,
            vec!["Rust (cargo) is missing", "sh.rustup.rs"],
        ),
        (
            Language::C,
            vec![
                "a C compiler for WebAssembly is missing",
                "apt-get install clang-19 lld-19 wasi-libc libclang-rt-19-dev-wasm32",
                "pip install ziglang==",
            ],
        ),
        (Language::Go, vec!["Go is missing", "https://go.dev/dl/go"]),
    ] {
        let project = Project::new(language, "lonely", "gate").await;
        let built = project
            .build_with(&[("PATH", nothing.path().as_os_str())])
            .await;
        assert_eq!(built.code, Some(1), "{}", built.err);
        for words in words {
            assert!(built.err.contains(words), "{words}: {}", built.err);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_is_refused_before_anything_is_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = folder.path().join("new");
    let dir = place.to_str().expect("UTF-8");
    let said = run(
        &[
            "plugin",
            "new",
            "My_Filter",
            "--lang",
            "cobol",
            "--exports",
            "gates,chunks",
            "--imports",
            "files",
            "--dir",
            dir,
        ],
        &[],
    )
    .await;
    assert_eq!(said.code, Some(2));
    for words in [
        "`My_Filter`",
        "`cobol`",
        "rust, c",
        "`gates`",
        "gate, request",
        "needs `response`",
        "`files`",
    ] {
        assert!(said.err.contains(words), "{words}: {}", said.err);
    }
    assert!(!place.exists());
    fs::create_dir(&place).expect("room");
    fs::write(place.join("mine"), "x").expect("room");
    let said = run(
        &[
            "plugin",
            "new",
            "mine",
            "--lang",
            "c",
            "--exports",
            "gate",
            "--dir",
            dir,
        ],
        &[],
    )
    .await;
    assert_eq!(said.code, Some(2));
    assert!(said.err.contains("not an empty folder"), "{}", said.err);
    let said = run(&["plugin", "build", dir], &[]).await;
    assert_eq!(said.code, Some(2));
    assert!(said.err.contains("plugin.toml"), "{}", said.err);
}
