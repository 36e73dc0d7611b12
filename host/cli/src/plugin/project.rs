//! What the commands take in place of a component: the folder of a project.

use std::path::{Path, PathBuf};

use sluicegate_author::project::Project;

use super::build::chain;
use super::case;

/// A component, and what its project has beside it.
#[derive(Debug)]
pub(super) struct Given {
    /// The component.
    pub(super) file: PathBuf,
    /// The cases of its project.
    pub(super) cases: Option<PathBuf>,
}

impl Given {
    /// A component as it was given, or that of the project in a folder.
    ///
    /// # Errors
    /// A sentence for the user: the folder is no project, or its component is not built yet.
    pub(super) fn of(file: PathBuf) -> Result<Self, String> {
        if !file.is_dir() {
            return Ok(Self { file, cases: None });
        }
        let project = Project::read(&file).map_err(|error| chain(&error))?;
        let component = project.component();
        if !component.is_file() {
            let folder = file.display();
            return Err(format!(
                "{} is not there yet: run `sluicegate plugin build {folder}`",
                component.display()
            ));
        }
        let cases = project.cases();
        Ok(Self {
            file: component,
            cases: cases.is_dir().then_some(cases),
        })
    }

    /// The configuration as it was given, or that of the project's first case.
    pub(super) fn config(&self, given: Option<String>) -> Option<String> {
        given.or_else(|| configuration_of(self.cases.as_deref()?))
    }
}

fn configuration_of(cases: &Path) -> Option<String> {
    let first = case::find(cases).ok()?.into_iter().next()?;
    let file = case::configuration_file(&first)?;
    file.to_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_folder_stands_for_the_component_of_its_project() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path();
        let file = Given::of(root.join("x.wasm")).expect("a file");
        assert_eq!((file.file, file.cases), (root.join("x.wasm"), None));
        let error = Given::of(root.to_owned()).expect_err("no project");
        assert!(error.contains("plugin.toml"), "{error}");
        let text = "name = \"x\"\nlanguage = \"c\"\nexports = [\"gate\"]\n";
        fs::write(root.join("plugin.toml"), text).expect("room");
        let error = Given::of(root.to_owned()).expect_err("not built");
        assert!(error.contains("plugin build"), "{error}");
        for path in ["build", "cases/a"] {
            fs::create_dir_all(root.join(path)).expect("room");
        }
        for path in [
            "build/x.wasm",
            "cases/a/request.http",
            "cases/a/config.toml",
        ] {
            fs::write(root.join(path), "").expect("room");
        }
        let given = Given::of(root.to_owned()).expect("a component");
        assert_eq!(given.file, root.join("build/x.wasm"));
        let config = root.join("cases/a/config.toml");
        assert_eq!(given.config(None).as_deref(), config.to_str());
        assert_eq!(given.config(Some("{}".into())).as_deref(), Some("{}"));
    }
}
