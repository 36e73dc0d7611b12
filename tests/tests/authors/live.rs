//! A new plugin in each language, from nothing to live traffic, by the script that does the same for people.

use std::path::Path;
use std::time::Duration;

use sluicegate_tests::program;
use tokio::process::Command;
use tokio::time::timeout;

use crate::project::{Language, PROGRAM};

/// How long all languages may take on a busy machine: Python's component alone is compiled for a minute there.
const DEADLINE: Duration = Duration::from_mins(20);

/// What the script calls a language, and the tools that it needs.
const SCRIPTS: [(&str, &[&str]); 3] = [
    ("js", &["node", "npm"]),
    ("ts", &["node", "npm"]),
    ("python", &["python3"]),
];

#[tokio::test(flavor = "multi_thread")]
async fn every_language_goes_from_a_new_project_to_live_traffic() -> anyhow::Result<()> {
    let mut languages = Vec::new();
    for language in [Language::Rust, Language::C, Language::Go] {
        match language.missing() {
            None => languages.push(language.name()),
            Some(missing) => program::skip(&missing)?,
        }
    }
    for (language, tools) in SCRIPTS {
        match tools.iter().find(|tool| program::find(tool).is_none()) {
            None => languages.push(language),
            Some(missing) => program::skip(&format!("{missing} is not installed"))?,
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("authors");
    let output = Command::new(root.join("examples/filters/try.sh"))
        .args(&languages)
        .env("SLUICEGATE", PROGRAM)
        // What Rust's projects depend on is the same, so it is compiled once.
        .env("CARGO_TARGET_DIR", target)
        .kill_on_drop(true)
        .output();
    let output = timeout(DEADLINE, output).await??;
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{errors}");
    for language in &languages {
        let line = format!("{language}: built and tested in ");
        assert!(said.contains(&line), "{line}: {said}");
    }
    assert!(said.contains("no restart"), "{said}");
    Ok(())
}
