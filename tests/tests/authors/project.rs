//! A project in a folder of its own, and the commands on it.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use sluicegate_tests::{program, served};
use tempfile::TempDir;

/// The program, built from its own source by this package.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_sluicegate-tested");

/// How long a command may take: the first build in Rust downloads and compiles what it depends on, on a busy machine.
const DEADLINE: Duration = Duration::from_mins(10);

/// A language, and what it needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Language {
    Rust,
    C,
    Go,
}

impl Language {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::C => "c",
            Self::Go => "go",
        }
    }

    /// What the machine lacks, as a sentence.
    pub(crate) fn missing(self) -> Option<String> {
        let any = |names: &[&str]| names.iter().any(|name| program::find(name).is_some());
        let is_there = match self {
            Self::Rust => any(&["cargo"]),
            Self::C => {
                (any(&["clang-19", "clang"]) && any(&["wasm-ld-19", "wasm-ld"])) || any(&["zig"])
            }
            Self::Go => any(&["go"]),
        };
        let tool = match self {
            Self::Rust => "cargo",
            Self::C => "clang with wasm-ld",
            Self::Go => "go",
        };
        (!is_there).then(|| format!("{tool} is not installed"))
    }
}

/// A project.
pub(crate) struct Project {
    language: Language,
    name: String,
    root: TempDir,
}

/// What a command that ended has said.
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Runs the program with variables in its environment.
pub(crate) async fn run(arguments: &[&str], environment: &[(&str, &OsStr)]) -> Said {
    let mut command = served::program(PROGRAM, arguments);
    command.envs(environment.iter().copied()).kill_on_drop(true);
    let output: Output = tokio::time::timeout(DEADLINE, command.output())
        .await
        .expect("it ends in time")
        .expect("it starts");
    Said {
        code: output.status.code(),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

impl Project {
    /// Makes one by `plugin new`.
    pub(crate) async fn new(language: Language, name: &str, exports: &str) -> Self {
        let project = Self {
            language,
            name: name.to_owned(),
            root: tempfile::tempdir().expect("a folder"),
        };
        let folder = project.folder();
        let dir = folder.to_str().expect("UTF-8");
        let arguments = [
            "plugin",
            "new",
            name,
            "--lang",
            language.name(),
            "--exports",
            exports,
            "--dir",
            dir,
        ];
        let said = run(&arguments, &[]).await;
        assert_eq!(said.code, Some(0), "{}", said.err);
        project
    }

    /// A copy of a project that stands somewhere, without what was built there.
    pub(crate) fn copy(language: Language, from: &Path) -> Self {
        let name = from.file_name().and_then(OsStr::to_str).expect("a name");
        let (_, plugin) = name.split_once('-').expect("a language and a name");
        let project = Self {
            language,
            name: plugin.to_owned(),
            root: tempfile::tempdir().expect("a folder"),
        };
        copy(from, &project.folder());
        project
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.root.path().join("project")
    }

    pub(crate) fn component(&self) -> PathBuf {
        self.folder().join(format!("build/{}.wasm", self.name))
    }

    pub(crate) async fn build(&self) -> Said {
        // What Rust's projects depend on is the same, so it is compiled once.
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("authors");
        match self.language {
            Language::Rust => {
                self.build_with(&[("CARGO_TARGET_DIR", target.as_os_str())])
                    .await
            }
            Language::C | Language::Go => self.build_with(&[]).await,
        }
    }

    pub(crate) async fn build_with(&self, environment: &[(&str, &OsStr)]) -> Said {
        let folder = self.folder();
        let folder = folder.to_str().expect("UTF-8");
        // The tools keep what they need in the user's folder.
        let home = std::env::var_os("HOME").unwrap_or_default();
        let mut environment = environment.to_vec();
        environment.push(("HOME", &home));
        run(&["plugin", "build", folder], &environment).await
    }

    /// Another command of `plugin` on the project.
    pub(crate) async fn run(&self, command: &str, arguments: &[&str]) -> Said {
        let folder = self.folder();
        let folder = folder.to_str().expect("UTF-8");
        run(&[&["plugin", command, folder], arguments].concat(), &[]).await
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("room");
    for entry in fs::read_dir(from).expect("it is there") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().and_then(OsStr::to_str).expect("UTF-8");
        if path.is_file() {
            fs::copy(&path, to.join(name)).expect("room");
        } else if !["kit", "build"].contains(&name) {
            copy(&path, &to.join(name));
        }
    }
}
