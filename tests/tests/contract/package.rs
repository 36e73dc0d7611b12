//! A WIT package as files, from which it can be parsed more than once and with a world more.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow};
use wit_parser::{PackageId, Resolve, SourceMap};

/// The files of a package.
#[derive(Clone, Debug)]
pub(crate) struct Package {
    files: Vec<(PathBuf, String)>,
}

impl Package {
    /// The `.wit` files of a folder; those of folders in it are of other packages.
    pub(crate) fn read(folder: &Path) -> Result<Self> {
        let mut files = Vec::new();
        for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
            let path = entry?.path();
            if path.extension().is_some_and(|end| end == "wit") {
                let text = fs::read_to_string(&path)?;
                files.push((path, text));
            }
        }
        Ok(Self { files })
    }

    /// A package of one file.
    pub(crate) fn of(text: &str) -> Self {
        Self {
            files: vec![(PathBuf::from("package.wit"), text.to_owned())],
        }
    }

    /// The package in a [`Resolve`] of its own.
    pub(crate) fn resolve(&self) -> Result<(Resolve, PackageId)> {
        let mut resolve = Resolve::default();
        let package = self.add(&mut resolve, "0.0.0", "")?;
        Ok((resolve, package))
    }

    /// Adds the package to others, under a version that tells it from those of the same name, and with `world` as a part of it.
    pub(crate) fn add(
        &self,
        resolve: &mut Resolve,
        version: &str,
        world: &str,
    ) -> Result<PackageId> {
        let mut map = SourceMap::new();
        for (path, text) in &self.files {
            map.push(path, text);
        }
        // A file need not name its package if another one does.
        map.push_str("world.wit", world);
        let mut group = map.parse().map_err(|(map, error)| {
            let place = error.render(&map);
            anyhow!(error).context(place)
        })?;
        group.main.name.version = version.parse().ok();
        Ok(resolve.push_group(group)?)
    }
}
