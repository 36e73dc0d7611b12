//! Makes the component of a project.

use std::fs;
use std::io;
use std::path::PathBuf;

use crate::componentize;
use crate::kit;
use crate::project::Project;
use crate::tool;

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
        path: folder,
        source,
    })?;
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
