//! Makes the component of a project.

use std::fs;
use std::io;
use std::path::PathBuf;

use crate::componentize;
use crate::kit;
use crate::project::Project;
use crate::tool;

/// What the languages' tools write into the folder `build/`.
pub(crate) const MODULE: &str = "module.wasm";

/// The one file of all sources, for languages that have a bundler.
pub(crate) fn bundle(project: &str) -> String {
    format!("{project}.js")
}

/// A component that was built.
#[derive(Debug)]
pub struct Built {
    /// Where it is.
    pub path: PathBuf,
    /// How many bytes it has.
    pub bytes: usize,
}

/// Why there is no component.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kit cannot be written.
    #[error(transparent)]
    Kit(#[from] kit::Error),
    /// A tool is missing or has failed.
    #[error(transparent)]
    Tool(#[from] tool::Error),
    /// What the tools made does not fit.
    #[error(transparent)]
    Componentize(#[from] componentize::Error),
    /// A file of the project is missing or cannot be written.
    #[error("{} cannot be used", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The project asks for something that its language does not have.
    #[error("{0}")]
    Project(String),
}

/// Writes the kit, calls the language's tools, checks that the component exports what the project names, and writes it.
///
/// # Errors
/// Every variant of [`Error`]. The component of an earlier build stays as it is.
pub fn build(project: &Project) -> Result<Built, Error> {
    kit::write(project)?;
    let folder = project.build();
    if folder.is_symlink() {
        let source = io::Error::other("it must be a folder, not a link: remove it");
        return Err(Error::File {
            path: folder,
            source,
        });
    }
    fs::create_dir_all(&folder).map_err(|source| Error::File {
        path: folder.clone(),
        source,
    })?;
    // What a tool does not write must not be there from an earlier build.
    for name in [MODULE.to_owned(), bundle(&project.name)] {
        let path = folder.join(name);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(Error::File { path, source });
            }
            Ok(()) | Err(_) => {}
        }
    }
    let component = project.language.build(project)?;
    componentize::check(&component, project)?;
    let path = project.component();
    // Renamed, so that a gateway that watches the folder never sees half of it.
    let draft = path.with_extension("wasm.part");
    // What is left of a build that was broken off, or a link to somewhere else.
    let _ = fs::remove_file(&draft);
    let written = fs::write(&draft, &component).and_then(|()| fs::rename(&draft, &path));
    match written {
        Ok(()) => Ok(Built {
            path,
            bytes: component.len(),
        }),
        Err(source) => Err(Error::File { path, source }),
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::names::{Export, Language};

    /// A tool that succeeds and does nothing.
    fn idle(path: &std::path::Path) {
        let folder = path.parent().expect("a folder");
        fs::create_dir_all(folder).expect("room");
        fs::write(path, "#!/bin/sh\nexit 0\n").expect("room");
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("a file of ours");
    }

    #[test]
    fn what_an_earlier_build_has_left_is_not_taken_for_what_a_tool_wrote() {
        let folder = tempfile::tempdir().expect("a folder");
        let project = Project {
            folder: folder.path().to_owned(),
            name: "my-filter".into(),
            exports: vec![Export::Gate],
            ..Project::new(Language::Python)
        };
        idle(&folder.path().join(".venv/bin/componentize-py"));
        fs::create_dir(project.build()).expect("room");
        let module = project.build().join(MODULE);
        fs::write(&module, "old").expect("room");
        fs::write(project.component(), "the last one").expect("room");
        let error = build(&project).expect_err("nothing was written");
        let is_said = matches!(&error, Error::Tool(tool::Error::NoOutput { file, .. }) if file.ends_with("build/module.wasm"));
        assert!(is_said, "{error}");
        assert!(!module.exists());
        assert_eq!(
            fs::read(project.component()).expect("it stays"),
            b"the last one"
        );
    }
}
