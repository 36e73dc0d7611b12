//! The tools of the languages: where they are, and what to say if one is missing.

use std::env;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

/// Why a tool has not done its work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is not there.
    #[error("{what} is missing. Install it:\n    {}", .install.join("\n  or\n    "))]
    Missing {
        /// What it is.
        what: String,
        /// Commands of which one installs it.
        install: Vec<String>,
    },
    /// It is there and cannot be started.
    #[error("{} cannot be started", .program.display())]
    Unstartable {
        /// The tool.
        program: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It has failed, and said why.
    #[error("{} has failed ({status}); its output is above", .program.display())]
    Failed {
        /// The tool.
        program: PathBuf,
        /// How it ended.
        status: ExitStatus,
    },
    /// It has done its work, and what it should have written is not there.
    #[error("{} has not written {}", .program.display(), .file.display())]
    NoOutput {
        /// The tool.
        program: PathBuf,
        /// The file.
        file: PathBuf,
    },
}

impl Error {
    /// A missing tool with the commands of which one installs it.
    pub(crate) fn missing(what: &str, install: &[&str]) -> Self {
        Self::Missing {
            what: what.to_owned(),
            install: install.iter().map(|&command| command.to_owned()).collect(),
        }
    }
}

/// The first of these programs that is in `PATH`.
pub(crate) fn find(names: &[&str]) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    names.iter().find_map(|name| find_in(&path, name))
}

fn find_in(path: &OsStr, name: &str) -> Option<PathBuf> {
    env::split_paths(path)
        .map(|folder| folder.join(name))
        .find(|file| is_program(file))
}

#[cfg(unix)]
fn is_program(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    file.metadata()
        .is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_program(file: &Path) -> bool {
    file.is_file()
}

/// Runs a tool to its end. What it prints goes to standard error, where a person sees it while it works.
///
/// # Errors
/// It cannot be started, or it fails.
pub(crate) fn run(command: &mut Command) -> Result<(), Error> {
    let status = command.stdin(Stdio::null()).stdout(io::stderr()).status();
    let program = PathBuf::from(command.get_program());
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Error::Failed { program, status }),
        Err(source) => Err(Error::Unstartable { program, source }),
    }
}

/// What a tool prints, without blanks around it; `None` if it fails.
pub(crate) fn ask(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output();
    let output = output.ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// What a tool has written.
///
/// # Errors
/// There is no such file.
pub(crate) fn output(program: &Path, file: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(file).map_err(|_| Error::NoOutput {
        program: program.to_owned(),
        file: file.to_owned(),
    })
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_is_found_in_the_path_and_must_be_a_program() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("tool");
        std::fs::write(&file, "").expect("room");
        let path = env::join_paths([Path::new("/nowhere"), folder.path()]).expect("a path");
        assert_eq!(find_in(&path, "tool"), None);
        let executable = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(&file, executable).expect("a file of ours");
        assert_eq!(find_in(&path, "tool"), Some(file));
        assert_eq!(find_in(&path, "other"), None);
    }

    #[test]
    fn what_is_missing_is_said_with_the_commands_that_install_it() {
        let error = Error::missing("clang", &["apt-get install clang", "pip install ziglang"]);
        assert_eq!(
            error.to_string(),
            "clang is missing. Install it:\n    apt-get install clang\n  or\n    pip install ziglang"
        );
    }

    #[test]
    fn a_failing_tool_is_named_with_its_status() {
        let error = run(Command::new("/bin/sh").args(["-c", "exit 3"])).expect_err("3");
        assert!(matches!(error, Error::Failed { status, .. } if status.code() == Some(3)));
        let error = run(&mut Command::new("/nowhere/tool")).expect_err("nothing");
        assert!(matches!(error, Error::Unstartable { .. }));
        assert_eq!(
            ask(Command::new("/bin/sh").args(["-c", "echo ' a '"])).as_deref(),
            Some("a")
        );
        assert_eq!(ask(Command::new("/bin/sh").args(["-c", "exit 1"])), None);
    }
}
