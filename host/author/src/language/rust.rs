//! Rust: cargo, for `wasm32-wasip2`, whose linker makes the component.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::build;
use crate::project::Project;
use crate::tool::{self, Error};

const TARGET: &str = "wasm32-wasip2";

pub(super) fn build(project: &Project) -> Result<Vec<u8>, build::Error> {
    let Some(cargo) = tool::find(&["cargo"]) else {
        return Err(Error::missing(
            "Rust (cargo)",
            &["curl --proto '=https' -sSf https://sh.rustup.rs | sh"],
        )
        .into());
    };
    if !has_target() {
        let what = format!("Rust's target {TARGET}");
        let command = format!("rustup target add {TARGET}");
        return Err(Error::missing(&what, &[&command]).into());
    }
    let module = compile(&cargo, project)?;
    Ok(tool::output(&cargo, &module)?)
}

fn has_target() -> bool {
    let mut rustc = Command::new("rustc");
    let folder = tool::ask(rustc.args(["--print", "target-libdir", "--target", TARGET]));
    folder.is_some_and(|folder| Path::new(&folder).is_dir())
}

/// Runs cargo, and returns where it has put the component.
fn compile(cargo: &Path, project: &Project) -> Result<PathBuf, build::Error> {
    let mut command = Command::new(cargo);
    command
        .args(["build", "--release", "--target", TARGET])
        // It renders its warnings and errors, and tells where the results are.
        .arg("--message-format=json-render-diagnostics")
        .current_dir(&project.folder)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit());
    let output = command.output().map_err(|source| Error::Unstartable {
        program: cargo.to_owned(),
        source,
    })?;
    if !output.status.success() {
        let program = cargo.to_owned();
        let status = output.status;
        return Err(Error::Failed { program, status }.into());
    }
    let text = String::from_utf8_lossy(&output.stdout);
    artifact(&text).ok_or_else(|| {
        let words = "cargo has built no component: Cargo.toml needs `crate-type = [\"cdylib\"]` under [lib]";
        build::Error::Project(words.into())
    })
}

/// The last `.wasm` file among cargo's messages: the project's own, since what it depends on comes first.
fn artifact(messages: &str) -> Option<PathBuf> {
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["reason"] == "compiler-artifact")
        .flat_map(|message| message["filenames"].as_array().cloned().unwrap_or_default())
        .filter_map(|name| name.as_str().map(PathBuf::from))
        .rfind(|path| {
            path.extension()
                .is_some_and(|extension| extension == "wasm")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_component_is_the_last_wasm_file_that_cargo_names() {
        let messages = concat!(
            r#"{"reason":"compiler-artifact","filenames":["/t/a.rlib"]}"#,
            "\n",
            r#"{"reason":"compiler-artifact","filenames":["/t/plugin.wasm"]}"#,
            "\n",
            r#"{"reason":"build-finished","success":true}"#,
            "\n"
        );
        assert_eq!(artifact(messages), Some(PathBuf::from("/t/plugin.wasm")));
        assert_eq!(artifact("{}\nx"), None);
    }
}
