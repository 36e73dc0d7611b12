//! What is in the files that a configuration depends on.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::Read;
use sluicegate_config::{Config, Problems};
use sluicegate_plugin_host::load::MAX_BYTES;

/// How often a configuration is read until all its files are known. Each time it must have named others; three levels do not
/// exist.
const ROUNDS: usize = 4;

/// The contents of files, as digests; `None` for a file that cannot be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Contents(BTreeMap<PathBuf, Option<[u8; 32]>>);

impl Contents {
    /// Reads all of them.
    pub(super) fn of<'p>(files: impl IntoIterator<Item = &'p PathBuf>) -> Self {
        let files = files.into_iter();
        Self(files.map(|path| (path.clone(), digest(path))).collect())
    }

    /// The same files, as they are now.
    pub(super) fn again(&self) -> Self {
        Self::of(self.0.keys())
    }

    /// Their paths.
    pub(super) fn paths(&self) -> BTreeSet<PathBuf> {
        self.0.keys().cloned().collect()
    }
}

/// SHA-256 of as much of a file as any of them may have. A pipe can be read once only, and may block.
fn digest(path: &Path) -> Option<[u8; 32]> {
    if !path.is_file() {
        return None;
    }
    let mut hash = Sha256::new();
    let mut file = File::open(path).ok()?.take(MAX_BYTES as u64 + 1);
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match file.read(&mut buffer).ok()? {
            0 => return Some(hash.finalize().into()),
            length => hash.update(&buffer[..length]),
        }
    }
}

/// Reads the configuration, and looks into its files before that: a change in between makes them differ from what is returned
/// here, so that it is not missed. `known` are the files that it depended on before.
pub(super) fn read(read: &Read, known: &BTreeSet<PathBuf>) -> (Result<Config, Problems>, Contents) {
    let mut looked = known.clone();
    let mut contents = Contents::of(&looked);
    for _ in 0..ROUNDS {
        let (config, files) = read();
        if files.is_subset(&looked) || files.iter().any(|file| is_pipe(file)) {
            contents.0.retain(|path, _| files.contains(path));
            return (config, contents);
        }
        looked = files;
        contents = Contents::of(&looked);
    }
    (read().0, contents)
}

/// Whether it is something else than a file or a folder, such as a pipe with a secret: it has nothing to give a second time.
pub(super) fn is_pipe(path: &Path) -> bool {
    path.metadata()
        .is_ok_and(|it| !it.is_file() && !it.is_dir())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn what_changes_while_it_is_read_differs_afterwards() {
        let folder = tempfile::tempdir().expect("a folder");
        let (file, secret) = (folder.path().join("file"), folder.path().join("secret"));
        fs::write(&file, "1").expect("written");
        fs::write(&secret, "1").expect("written");
        let reads = AtomicUsize::new(0);
        let both: BTreeSet<_> = [file.clone(), secret.clone()].into();
        let (paths, changed) = (both.clone(), secret.clone());
        let reader = move || {
            // The secret changes behind the back of the second read.
            if reads.fetch_add(1, Ordering::Relaxed) == 1 {
                fs::write(&changed, "2").expect("written");
            }
            (Err(Problems(Vec::new())), paths.clone())
        };
        let (_, contents) = read(&reader, &[file].into());
        assert_eq!(contents.paths(), both);
        assert_ne!(contents, contents.again());
        let (_, contents) = read(&reader, &both);
        assert_eq!(contents, contents.again());
        fs::remove_file(&secret).expect("removed");
        assert_ne!(contents, contents.again());
    }

    #[test]
    fn what_names_a_pipe_is_read_once() {
        let reads = AtomicUsize::new(0);
        let paths: BTreeSet<_> = [PathBuf::from("/dev/null")].into();
        let reader = move || {
            assert_eq!(reads.fetch_add(1, Ordering::Relaxed), 0, "it is read again");
            (Err(Problems(Vec::new())), paths.clone())
        };
        let (_, contents) = read(&reader, &BTreeSet::new());
        assert_eq!(contents, contents.again());
    }
}
