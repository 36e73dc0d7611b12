//! The folder `kit/` of a project: the contract, the language's helpers, generated bindings.
//!
//! It is written anew by each build, so that it always fits the contract of this program. A file that is the same already is
//! left alone, so that tools which look at times do not build it again.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::contract;
use crate::embedded;
use crate::project::Project;
use crate::render::render;

/// Files by their path below a folder, with `/` between its parts.
pub(crate) type Files = BTreeMap<String, Vec<u8>>;

/// A file cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("{} cannot be written", .path.display())]
pub struct Error {
    path: PathBuf,
    source: io::Error,
}

/// Writes the kit of a project, and removes what does not belong to it.
///
/// # Errors
/// The folder cannot be written.
pub fn write(project: &Project) -> Result<(), Error> {
    let folder = project.kit();
    let files = files(project);
    is_own(&folder, "wit")?;
    tidy(&folder, &folder, &files)?;
    write_all(&folder, &files)
}

/// Whether a folder that this program tidies is its own: not a link to somewhere else, and empty, absent or with what this
/// program writes there.
///
/// # Errors
/// It is somebody else's.
pub(crate) fn is_own(folder: &Path, mark: &str) -> Result<(), Error> {
    let refused = |reason: &str| Error {
        path: folder.to_owned(),
        source: io::Error::other(reason.to_owned()),
    };
    let Ok(there) = fs::symlink_metadata(folder) else {
        return Ok(());
    };
    if !there.is_dir() {
        return Err(refused("it must be a folder, not a link: remove it"));
    }
    let is_empty = fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none());
    if is_empty || folder.join(mark).exists() {
        Ok(())
    } else {
        Err(refused(
            "it has files that `sluicegate plugin build` did not write, and would remove: move them",
        ))
    }
}

/// All files of the kit.
fn files(project: &Project) -> Files {
    let mut files = Files::new();
    for (name, bytes) in embedded::files("wit/") {
        files.insert(format!("wit/{name}"), bytes.to_vec());
    }
    let world = project.world();
    files.insert(format!("wit/{}", contract::WORLD_FILE), world.into());
    for folder in project.language.folders().kit {
        for (name, bytes) in embedded::files(folder) {
            if name.starts_with("template/") {
                continue;
            }
            if let Some(bytes) = render(name, bytes, project) {
                files.insert(name.to_owned(), bytes);
            }
        }
    }
    project.language.generate(project, &mut files);
    files
}

/// Writes files that are not there or differ.
///
/// # Errors
/// One cannot be written.
pub(crate) fn write_all(folder: &Path, files: &Files) -> Result<(), Error> {
    for (name, bytes) in files {
        let path = folder.join(name);
        if fs::read(&path).is_ok_and(|there| there == *bytes) {
            continue;
        }
        // Never through a link.
        if path.is_symlink() {
            fs::remove_file(&path).map_err(|source| Error {
                path: path.clone(),
                source,
            })?;
        }
        let parent = path.parent().unwrap_or(folder);
        fs::create_dir_all(parent)
            .and_then(|()| fs::write(&path, bytes))
            .map_err(|source| Error { path, source })?;
    }
    Ok(())
}

/// Removes files that an older kit had.
fn tidy(root: &Path, folder: &Path, files: &Files) -> Result<(), Error> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Ok(());
    };
    for entry in entries.flatten() {
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            tidy(root, &path, files)?;
            // It stays if it is not empty.
            let _ = fs::remove_dir(&path);
            continue;
        }
        let name = path.strip_prefix(root).ok().and_then(Path::to_str);
        if !name.is_some_and(|name| files.contains_key(&name.replace('\\', "/"))) {
            fs::remove_file(&path).map_err(|source| Error { path, source })?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::{Export, Language};

    #[test]
    fn nothing_outside_of_the_project_and_nothing_of_the_author_is_touched() {
        let (folder, other) = (
            tempfile::tempdir().expect("a folder"),
            tempfile::tempdir().expect("another"),
        );
        let mine = other.path().join("mine.txt");
        fs::write(&mine, "x").expect("room");
        let project = Project {
            folder: folder.path().to_owned(),
            name: "my-filter".into(),
            exports: vec![Export::Gate],
            ..Project::new(Language::C)
        };
        std::os::unix::fs::symlink(other.path(), project.kit()).expect("a link");
        assert!(write(&project).is_err());
        fs::remove_file(project.kit()).expect("it is there");
        fs::create_dir(project.kit()).expect("room");
        fs::write(project.kit().join("own.c"), "x").expect("room");
        assert!(write(&project).is_err());
        assert!(project.kit().join("own.c").exists());
        fs::remove_file(project.kit().join("own.c")).expect("it is there");
        write(&project).expect("room");
        let header = project.kit().join("sluicegate.h");
        fs::remove_file(&header).expect("the kit has one");
        std::os::unix::fs::symlink(&mine, &header).expect("a link");
        write(&project).expect("room");
        assert!(!header.is_symlink());
        assert_eq!(fs::read_to_string(&mine).expect("it is there"), "x");
    }

    #[test]
    fn a_kit_has_the_world_and_is_written_once() {
        for language in Language::ALL {
            let folder = tempfile::tempdir().expect("a folder");
            let project = Project {
                folder: folder.path().to_owned(),
                name: "my-filter".into(),
                exports: vec![Export::Gate],
                ..Project::new(language)
            };
            write(&project).expect("room");
            let world = project.kit().join("wit").join(contract::WORLD_FILE);
            let text = fs::read_to_string(&world).expect("a world");
            assert!(text.contains("world %my-filter {\n  include plugin;\n  export gate;\n}"));
            let written = |path: &Path| {
                fs::metadata(path)
                    .and_then(|it| it.modified())
                    .expect("a time")
            };
            let before = written(&world);
            let old = project.kit().join("old/file");
            fs::create_dir_all(project.kit().join("old")).expect("room");
            fs::write(&old, "x").expect("room");
            write(&project).expect("room");
            assert_eq!(written(&world), before);
            assert!(!project.kit().join("old").exists());
        }
    }
}
