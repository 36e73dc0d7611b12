//! The languages' tools, installed once, and the commands for authors over them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use sluicegate_tests::{program, served};
use tokio::process::Command;

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_sluicegate-tested");

/// How long an installation may take; a slow mirror, on a busy machine.
const INSTALL: Duration = Duration::from_mins(10);
/// How long a command may take: Python's interpreter is compiled anew for each configuration, on a busy machine.
pub(crate) const RUN: Duration = Duration::from_mins(8);

pub(crate) const ALL: &str = "gate,request,response,chunks,events,closing,observer";

/// The language's tools, installed into a folder; projects in it find them there.
pub(crate) struct Tools {
    folder: PathBuf,
    /// Goes before the machine's `PATH`.
    pub(crate) bin: PathBuf,
}

impl Tools {
    /// What the template of TypeScript pins, which JavaScript needs too.
    pub(crate) async fn node() -> anyhow::Result<Option<Self>> {
        let (Some(npm), Some(_)) = (program::find("npm"), program::find("node")) else {
            program::skip("Node.js with npm is not installed, so its plugins cannot be built")?;
            return Ok(None);
        };
        let manifest = root().join("plugins/kits/typescript/template/package.json");
        let pinned = fs::read(manifest)?;
        let folder = target("node");
        program::install_once(&folder, &pinned, async || {
            fs::write(folder.join("package.json"), &pinned)?;
            let mut command = Command::new(npm);
            command
                .args(["install", "--no-audit", "--no-fund", "--loglevel=error"])
                .current_dir(&folder);
            program::finish(command, INSTALL).await.map(drop)
        })
        .await?;
        let bin = folder.join("node_modules/.bin");
        Ok(Some(Self { folder, bin }))
    }

    pub(crate) async fn python() -> anyhow::Result<Option<Self>> {
        let Some(python) = program::find("python3") else {
            program::skip("Python is not installed, so its plugins cannot be built")?;
            return Ok(None);
        };
        let requirements = root().join("plugins/kits/python/template/requirements.txt");
        let pinned = fs::read(&requirements)?;
        let folder = target("python");
        let bin = folder.join("venv/bin");
        program::install_once(&folder, &pinned, async || {
            let mut command = Command::new(python);
            command
                .args(["-m", "venv", "--clear", "venv"])
                .current_dir(&folder);
            program::finish(command, INSTALL).await?;
            let mut command = Command::new(bin.join("pip"));
            command.args(["install", "--quiet", "--disable-pip-version-check", "-r"]);
            command.arg(&requirements);
            program::finish(command, INSTALL).await.map(drop)
        })
        .await?;
        Ok(Some(Self { folder, bin }))
    }

    /// The tools of languages that are on the machine's `PATH`.
    pub(crate) fn of_the_machine() -> Self {
        let folder = target("machine");
        fs::create_dir_all(&folder).expect("room for projects");
        let bin = folder.clone();
        Self { folder, bin }
    }

    /// A fresh folder in which the tools are found.
    pub(crate) fn room(&self) -> tempfile::TempDir {
        tempfile::tempdir_in(&self.folder).expect("room for a project")
    }

    /// Runs `sluicegate plugin …`.
    pub(crate) async fn plugin(&self, arguments: &[&str]) -> anyhow::Result<Output> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::iter::once(self.bin.clone()).chain(std::env::split_paths(&path));
        let arguments = [&["plugin"], arguments].concat();
        let mut command = served::program(PROGRAM, &arguments);
        command.env("PATH", std::env::join_paths(folders)?);
        // They keep what they download and compile there.
        command.env("HOME", std::env::var_os("HOME").unwrap_or_default());
        let output = tokio::time::timeout(RUN, command.kill_on_drop(true).output());
        Ok(output.await.with_context(|| format!("{arguments:?}"))??)
    }

    /// Builds a project, and runs its component on its cases.
    async fn build_and_test(&self, project: &Path, name: &str) -> anyhow::Result<()> {
        let folder = text(project);
        succeeds(&self.plugin(&["build", folder]).await?)?;
        let component = project.join("build").join(format!("{name}.wasm"));
        let cases = project.join("cases");
        let test = ["test", text(&component), "--case", text(&cases)];
        let said = succeeds(&self.plugin(&test).await?)?;
        ensure!(said.contains(", 0 failed"), "{said}");
        Ok(())
    }

    /// A new project passes its cases, with every export and with one.
    pub(crate) async fn new_project_passes(
        &self,
        language: &str,
        exports: &[&str],
    ) -> anyhow::Result<()> {
        for exports in exports {
            let room = self.room();
            let project = room.path().join("mine");
            let arguments = ["new", "mine", "--lang", language, "--exports", exports];
            let dir = [&arguments[..], &["--dir", text(&project)]].concat();
            succeeds(&self.plugin(&dir).await?)?;
            let built = self.build_and_test(&project, "mine").await;
            built.with_context(|| format!("{language}, {exports}"))?;
        }
        Ok(())
    }

    /// An example as it stands in the repository, in a copy.
    pub(crate) async fn example(&self, folder: &str, name: &str) -> anyhow::Result<()> {
        let room = self.room();
        let project = room.path().join(name);
        copy(&root().join("examples/filters").join(folder), &project)?;
        self.build_and_test(&project, name).await
    }
}

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn target(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join("scripts")
        .join(name)
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

/// What a command that succeeded has printed.
pub(crate) fn succeeds(output: &Output) -> anyhow::Result<String> {
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "{}\n{said}\n{complaint}",
        output.status
    );
    Ok(said)
}

/// What a command that failed has complained about.
pub(crate) fn fails(output: &Output) -> anyhow::Result<String> {
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(!output.status.success(), "it succeeded: {complaint}");
    Ok(complaint)
}

/// Copies a project without what is built.
pub(crate) fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let name = entry.file_name();
        if ["build", "kit", "node_modules", ".venv"]
            .iter()
            .any(|left| name == *left)
        {
            continue;
        }
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &to.join(name))?;
        } else {
            fs::copy(entry.path(), to.join(name))?;
        }
    }
    Ok(())
}
