//! Python: componentize-py, from a virtual environment in the project or from `PATH`.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::build;
use crate::project::Project;
use crate::tool::{self, Error};

/// The version for a project that has no requirements.txt.
const VERSION: &str = "0.25.1";

/// The virtual environment that the README of a new project makes.
const ENVIRONMENT: &str = ".venv";

pub(super) fn build(project: &Project) -> Result<Vec<u8>, build::Error> {
    let folder = std::path::absolute(&project.folder);
    let folder = folder.unwrap_or_else(|_| project.folder.clone());
    let program = find(&folder)?;
    let module = folder.join("build").join(build::MODULE);
    let mut command = Command::new(&program);
    command
        .current_dir(&folder)
        .env("PATH", path(&folder))
        // It asks the interpreter for installed packages, and leaves compiled files beside the sources.
        .env("PYTHONDONTWRITEBYTECODE", "1")
        // An error in the author's module is a Python traceback; the tool's own would bury it.
        .env("RUST_BACKTRACE", "0")
        .args(["-d", "kit/wit", "-w", &project.name, "componentize"])
        // Without `--stub-wasi`: the gateway has clocks and random bytes for Python's own library, and output for its errors.
        .args(["-p", "kit", "-p", ".", "sluicegate_app", "-o"])
        .arg(&module);
    tool::run(&mut command)?;
    Ok(tool::output(&program, &module)?)
}

/// # Errors
/// It is neither in the project's virtual environment nor in `PATH`.
fn find(folder: &Path) -> Result<PathBuf, Error> {
    let own = folder.join(ENVIRONMENT).join("bin/componentize-py");
    if own.is_file() {
        return Ok(own);
    }
    tool::find(&["componentize-py"])
        .ok_or_else(|| missing(folder, tool::find(&["python3"]).is_some()))
}

fn missing(folder: &Path, has_python: bool) -> Error {
    if !has_python {
        let install = [
            "apt-get install python3 python3-venv",
            "brew install python",
        ];
        return Error::missing("Python 3 with venv", &install);
    }
    let environment = folder.join(ENVIRONMENT);
    let requirements = folder.join("requirements.txt");
    let what = if requirements.is_file() {
        format!("-r {}", requirements.display())
    } else {
        format!("componentize-py=={VERSION}")
    };
    let environment = environment.display();
    let command = format!("python3 -m venv {environment} && {environment}/bin/pip install {what}");
    Error::missing("componentize-py", &[&command])
}

/// `PATH` with the virtual environment's programs first, so that its packages are found.
fn path(folder: &Path) -> OsString {
    let before = env::var_os("PATH").unwrap_or_default();
    let own = folder.join(ENVIRONMENT).join("bin");
    let folders = std::iter::once(own).chain(env::split_paths(&before));
    env::join_paths(folders).unwrap_or(before)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tool_of_the_project_comes_first() {
        let folder = tempfile::tempdir().expect("a folder");
        let own = folder.path().join(".venv/bin/componentize-py");
        std::fs::create_dir_all(folder.path().join(".venv/bin")).expect("room");
        std::fs::write(&own, "").expect("room");
        assert_eq!(find(folder.path()).expect("it is there"), own);
        let first = env::split_paths(&path(folder.path())).next();
        assert_eq!(first, Some(folder.path().join(".venv/bin")));
    }

    #[test]
    fn what_is_missing_comes_with_the_command_for_this_project() {
        let folder = tempfile::tempdir().expect("a folder");
        let place = folder.path().display().to_string();
        let install = |has_python: bool| missing(folder.path(), has_python).to_string();
        assert!(install(false).contains("apt-get install python3 python3-venv"));
        let words = install(true);
        let pinned = format!(
            "python3 -m venv {place}/.venv && {place}/.venv/bin/pip install componentize-py=={VERSION}"
        );
        assert!(words.contains(&pinned), "{words}");
        std::fs::write(folder.path().join("requirements.txt"), "").expect("room");
        let words = install(true);
        assert!(
            words.contains(&format!("pip install -r {place}/requirements.txt")),
            "{words}"
        );
    }
}
