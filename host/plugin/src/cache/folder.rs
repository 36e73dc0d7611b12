//! The folder of the cache: private, bounded, and trusted for nothing that it does not prove.
//!
//! Files that do not have the name of an entry are left alone.

use std::io;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use sluicegate_state::{self as state, UNFINISHED};

use super::entry;
use crate::compile::Facts;
use crate::pins::Pins;

/// A key of an entry.
type Key = [u8; 32];

/// Behind the name of an entry, which is its key.
const ENTRY: &str = ".cwasm";
/// After that, an unfinished entry has been given up. Arbitrary; writing one takes a second.
const GIVEN_UP: Duration = Duration::from_secs(3600);
/// The folder, open.
#[derive(Debug)]
pub(super) struct Folder {
    files: state::Folder,
    /// The most bytes of all entries.
    most: u64,
    /// The entries that are in use.
    pub(super) pins: Pins,
    /// One writer at a time, so that two do not both find room for one.
    writing: Mutex<()>,
}

impl Folder {
    /// Opens the folder, or makes it.
    ///
    /// # Errors
    /// [`state::Error`]
    pub(super) fn open(path: &Path, most: u64) -> Result<Self, state::Error> {
        Ok(Self {
            files: state::Folder::open(path, "plugins.cache")?,
            most,
            pins: Pins::default(),
            writing: Mutex::default(),
        })
    }

    /// What an entry holds. One that cannot be trusted is removed.
    pub(super) fn read(&self, key: &Key) -> Option<(Facts, Bytes)> {
        let name = name(key);
        let entry = match self.contents(&name) {
            Ok(entry) => entry,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                self.remove(&name, &error.to_string());
                return None;
            }
        };
        let found = entry::decode(key, &entry.into());
        if found.is_none() {
            self.remove(&name, "it is damaged");
        }
        found
    }

    fn contents(&self, name: &str) -> io::Result<Vec<u8>> {
        let (entry, file) = self.files.read(name, self.most)?;
        // Its time is that of its last use.
        file.set_modified(SystemTime::now())?;
        Ok(entry)
    }

    /// Writes an entry, if there is room beside those in use. A failure is logged: the gateway goes on without the entry.
    pub(super) fn write(&self, key: &Key, facts: &Facts, artifact: &[u8]) {
        let head = entry::head(key, facts, artifact);
        let size = (head.len() + artifact.len()) as u64;
        let _writing = self.writing.lock().expect("no panic while it is held");
        let written = self.make_room(key, size).and_then(|room| {
            if !room {
                let (size, most) = (size, self.most);
                tracing::info!(size, most, "a compiled plugin does not fit into the cache");
                return Ok(());
            }
            self.files.write(&name(key), &[&head, artifact])
        });
        if let Err(error) = written {
            let folder = self.files.path().display();
            tracing::warn!(%folder, %error, "a compiled plugin cannot be cached");
        }
    }

    /// Removes what has not been used for longest until there is room for an entry of this size, and says whether there is.
    fn make_room(&self, key: &Key, size: u64) -> io::Result<bool> {
        let mut others = self.list()?;
        others.retain(|file| file.key != Some(*key));
        others.sort_by_key(|file| file.used);
        let mut total: u64 = others.iter().map(|file| file.size).sum();
        for file in others {
            let in_use = match &file.key {
                Some(key) => self.pins.has(key),
                None => file.used.elapsed().is_ok_and(|age| age < GIVEN_UP),
            };
            let needed = file.key.is_none() || total + size > self.most;
            if needed && !in_use && self.files.remove(&file.name)? {
                total -= file.size;
            }
        }
        Ok(total + size <= self.most)
    }

    /// The entries, finished or not.
    fn list(&self) -> io::Result<Vec<Entry>> {
        let files = self.files.list()?;
        let entries = files.into_iter().filter_map(|file| {
            let (name, key) = entry_of(&file.name)?;
            Some(Entry {
                size: file.size,
                used: file.modified,
                key,
                name,
            })
        });
        Ok(entries.collect())
    }

    fn remove(&self, name: &str, reason: &str) {
        let (folder, entry) = (self.files.path().display(), name);
        tracing::warn!(%folder, entry, reason, "an entry of the cache is removed");
        if let Err(error) = self.files.remove(name) {
            tracing::warn!(%folder, entry, %error, "it cannot be removed");
        }
    }
}

/// A file in the folder.
struct Entry {
    name: String,
    /// `None`: it is unfinished.
    key: Option<Key>,
    size: u64,
    used: SystemTime,
}

fn name(key: &Key) -> String {
    let mut name: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    name.push_str(ENTRY);
    name
}

/// The name as text, and the key, if it is one that this cache gives.
fn entry_of(name: &str) -> Option<(String, Option<Key>)> {
    let hex = name.get(..64)?;
    let mut key = [0; 32];
    for (byte, pair) in key.iter_mut().zip(hex.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok()?;
    }
    match name.get(64..)? {
        ENTRY => Some((name.to_owned(), Some(key))),
        rest if rest.starts_with(ENTRY) && rest.ends_with(UNFINISHED) => {
            Some((name.to_owned(), None))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
