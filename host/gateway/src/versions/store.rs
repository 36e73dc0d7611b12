//! What is kept of plugin versions when the gateway stops: which component was good, and which versions are rejected.
//!
//! # Shape
//! `plugin-NAME.json` is a [`Saved`], `HASH.wasm` a component with this SHA-256. A file that cannot be read counts as absent, with
//! a warning: the gateway then only forgets.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use sluicegate_plugin_host::component;
use sluicegate_plugin_host::load::MAX_BYTES;
use sluicegate_state::{Error, Folder, UNFINISHED};

use super::record::Rejection;

/// The most bytes of a `plugin-NAME.json`. Arbitrary; a few rejections have a few kilobytes.
const LONGEST: u64 = 1 << 20;

/// What is kept of one plugin.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Saved {
    /// The component that has proved good.
    pub(super) good: Option<String>,
    /// The one before it.
    pub(super) older: Option<String>,
    /// Versions that may not be used.
    pub(super) rejected: Vec<SavedRejection>,
}

/// A version that may not be used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SavedRejection {
    pub(super) version: String,
    pub(super) component: String,
    pub(super) at_ms: u64,
    #[serde(flatten)]
    pub(super) rejection: Rejection,
}

/// Where it is kept.
#[derive(Debug)]
pub(super) enum Store {
    /// In a folder that no other gateway has.
    Folder { folder: Folder, _lock: File },
    /// In memory: components by their hash.
    Memory(Mutex<HashMap<String, Arc<[u8]>>>),
}

impl Default for Store {
    fn default() -> Self {
        Self::Memory(Mutex::default())
    }
}

impl Store {
    /// In this folder if there is one that can be used.
    pub(super) fn open(folder: Option<&Path>) -> Self {
        let Some(path) = folder else {
            return Self::default();
        };
        let opened = Folder::open(path, "state.dir").and_then(|folder| {
            let lock = folder.lock()?;
            remove_unfinished(&folder);
            Ok::<_, Error>(Self::Folder {
                folder,
                _lock: lock,
            })
        });
        opened.unwrap_or_else(|error| {
            tracing::warn!(%error, "what is known of plugin versions is forgotten when the gateway stops");
            Self::default()
        })
    }

    /// What was kept of each plugin.
    pub(super) fn load(&self) -> BTreeMap<String, Saved> {
        let Self::Folder { folder, .. } = self else {
            return BTreeMap::new();
        };
        let files = warned(folder.list(), "the state folder cannot be listed").unwrap_or_default();
        let saved = files.into_iter().filter_map(|file| {
            let name = file.name.strip_prefix("plugin-")?.strip_suffix(".json")?;
            let read = folder
                .read(&file.name, LONGEST)
                .and_then(|(bytes, _)| Ok(serde_json::from_slice(&bytes)?));
            let saved = warned(read, "what is known of a plugin's versions cannot be read")?;
            Some((name.to_owned(), saved))
        });
        saved.collect()
    }

    /// Keeps this of a plugin; nothing of it, if there is nothing to keep.
    pub(super) fn save(&self, plugin: &str, saved: &Saved) {
        let Self::Folder { folder, .. } = self else {
            return;
        };
        let file = format!("plugin-{plugin}.json");
        let written = if *saved == Saved::default() {
            folder.remove(&file).map(drop)
        } else {
            let text = serde_json::to_vec_pretty(saved).map_err(io::Error::from);
            text.and_then(|text| folder.write(&file, &[&text]))
        };
        warned(
            written,
            "what is known of a plugin's versions cannot be kept",
        );
    }

    /// Keeps a component.
    pub(super) fn put(&self, hash: &str, bytes: &Arc<[u8]>) {
        match self {
            Self::Folder { folder, .. } => {
                if self.get(hash).is_none() {
                    let written = folder.write(&file_of(hash), &[bytes]);
                    warned(written, "a component cannot be kept to go back to");
                }
            }
            Self::Memory(kept) => {
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                kept.insert(hash.to_owned(), bytes.clone());
            }
        }
    }

    /// A component that is kept.
    pub(super) fn get(&self, hash: &str) -> Option<Arc<[u8]>> {
        match self {
            Self::Folder { folder, .. } => {
                let (bytes, _) = folder.read(&file_of(hash), MAX_BYTES as u64).ok()?;
                // One that is damaged would only be rejected later.
                (component(&bytes) == hash).then(|| bytes.into())
            }
            Self::Memory(kept) => {
                let kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                kept.get(hash).cloned()
            }
        }
    }

    /// Removes all components but these.
    pub(super) fn retain(&self, hashes: &BTreeSet<String>) {
        match self {
            Self::Folder { folder, .. } => {
                for file in folder.list().unwrap_or_default() {
                    let hash = file.name.strip_suffix(".wasm");
                    if hash.is_some_and(|hash| !hashes.contains(hash)) {
                        warned(folder.remove(&file.name), "a component cannot be removed");
                    }
                }
            }
            Self::Memory(kept) => {
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                kept.retain(|hash, _| hashes.contains(hash));
            }
        }
    }
}

/// Nobody else writes here, so that what is unfinished was given up.
fn remove_unfinished(folder: &Folder) {
    for file in folder.list().unwrap_or_default() {
        if file.name.ends_with(UNFINISHED) {
            warned(
                folder.remove(&file.name),
                "an unfinished file cannot be removed",
            );
        }
    }
}

fn file_of(hash: &str) -> String {
    format!("{hash}.wasm")
}

fn warned<T>(result: io::Result<T>, message: &str) -> Option<T> {
    result
        .inspect_err(|error| tracing::warn!(%error, "{message}"))
        .ok()
}
