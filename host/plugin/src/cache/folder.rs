//! The folder of the cache: private, bounded, and trusted for nothing that it does not prove.
//!
//! Every access goes through the folder's own descriptor, so that nobody can put another folder in its place meanwhile; no
//! symbolic link is followed. Files that do not have the name of an entry are left alone.

use std::ffi::CStr;
use std::fs::{DirBuilder, File, Metadata};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use rustix::fs::{AtFlags, Dir, Mode, OFlags, Stat, open, openat, renameat, statat, unlinkat};
use rustix::io::Errno;
use rustix::process::geteuid;

use super::entry;
use crate::compile::Facts;
use crate::pins::Pins;

/// A key of an entry.
type Key = [u8; 32];

/// Behind the name of an entry, which is its key.
const ENTRY: &str = ".cwasm";
/// Behind the name of an entry that is being written.
const UNFINISHED: &str = ".tmp";
/// After that, an unfinished entry has been given up. Arbitrary; writing one takes a second.
const GIVEN_UP: Duration = Duration::from_secs(3600);
/// What others may do with a file.
const OTHERS: u32 = 0o077;

/// Why a folder cannot be the cache.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is not there and cannot be made, or cannot be opened.
    #[error(
        "the cache folder {} cannot be used: {source}; it must be a folder of this user's own, not a symbolic link",
        path.display()
    )]
    Unusable {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It is somebody else's.
    #[error(
        "the cache folder {} belongs to user {owner}, and this is user {user}: name another one in `[plugins] cache`",
        path.display()
    )]
    Owner {
        /// The folder.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Who runs this program.
        user: u32,
    },
    /// Others may read or write it.
    #[error(
        "the cache folder {} is open to others (mode {mode:04o}), and what is in it is run: `chmod 700` it, and empty it if others could write",
        path.display()
    )]
    Mode {
        /// The folder.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
}

/// An open folder.
pub(super) struct Folder {
    descriptor: File,
    path: PathBuf,
    /// The most bytes of all entries.
    most: u64,
    /// The entries that are in use.
    pub(super) pins: Pins,
    /// One writer at a time, so that two do not both find room for one.
    writing: Mutex<()>,
    /// Of unfinished entries, for their names.
    count: AtomicU64,
}

impl std::fmt::Debug for Folder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Folder").field(&self.path).finish()
    }
}

impl Folder {
    /// Opens the folder, or makes it.
    ///
    /// # Errors
    /// [`Error`]
    pub(super) fn open(path: &Path, most: u64) -> Result<Self, Error> {
        // Without a slash at its end, which would follow a symbolic link.
        let path: PathBuf = path.components().collect();
        let unusable = |source| Error::Unusable {
            path: path.clone(),
            source,
        };
        let mut builder = DirBuilder::new();
        let made = builder.recursive(true).mode(0o700).create(&path);
        made.map_err(unusable)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = open(&path, flags, Mode::empty());
        let descriptor = File::from(opened.map_err(|error| unusable(error.into()))?);
        let metadata = descriptor.metadata().map_err(unusable)?;
        let (owner, user) = (metadata.uid(), geteuid().as_raw());
        let mode = mode(&metadata);
        if owner != user {
            return Err(Error::Owner { path, owner, user });
        }
        if mode & OTHERS != 0 {
            return Err(Error::Mode { path, mode });
        }
        Ok(Self {
            descriptor,
            path,
            most,
            pins: Pins::default(),
            writing: Mutex::default(),
            count: AtomicU64::new(0),
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
        // A pipe of that name must not hold anybody up.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = File::from(openat(&self.descriptor, name, flags, Mode::empty())?);
        let metadata = file.metadata()?;
        let ours = metadata.is_file()
            && metadata.uid() == geteuid().as_raw()
            && mode(&metadata) & OTHERS == 0;
        if !ours {
            return Err(io::Error::other("it is no file of this user alone"));
        }
        let mut entry = Vec::new();
        (&file).take(self.most).read_to_end(&mut entry)?;
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
            self.write_entry(&name(key), &head, artifact)
        });
        if let Err(error) = written {
            let folder = self.path.display();
            tracing::warn!(%folder, %error, "a compiled plugin cannot be cached");
        }
    }

    fn write_entry(&self, name: &str, head: &[u8], artifact: &[u8]) -> io::Result<()> {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        let unfinished = format!("{name}.{}-{count}{UNFINISHED}", std::process::id());
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(
            &self.descriptor,
            &unfinished,
            flags,
            Mode::RUSR | Mode::WUSR,
        )?;
        let mut file = File::from(file);
        let written = file
            .write_all(head)
            .and_then(|()| file.write_all(artifact))
            .and_then(|()| {
                let (from, to) = (&self.descriptor, &self.descriptor);
                Ok(renameat(from, &unfinished, to, name)?)
            });
        if written.is_err() {
            let _ = unlinkat(&self.descriptor, &unfinished, AtFlags::empty());
        }
        written
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
            if needed && !in_use && self.unlink(&file.name)? {
                total -= file.size;
            }
        }
        Ok(total + size <= self.most)
    }

    /// The entries, finished or not.
    fn list(&self) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for file in Dir::read_from(&self.descriptor)? {
            let file = file?;
            let Some((name, key)) = entry_of(file.file_name()) else {
                continue;
            };
            let stat = match statat(&self.descriptor, &name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => stat,
                // Another gateway has the same folder.
                Err(Errno::NOENT) => continue,
                Err(error) => return Err(error.into()),
            };
            entries.push(Entry {
                size: u64::try_from(stat.st_size).unwrap_or(0),
                used: modified(&stat),
                key,
                name,
            });
        }
        Ok(entries)
    }

    fn remove(&self, name: &str, reason: &str) {
        let (folder, entry) = (self.path.display(), name);
        tracing::warn!(%folder, entry, reason, "an entry of the cache is removed");
        if let Err(error) = self.unlink(name) {
            tracing::warn!(%folder, entry, %error, "it cannot be removed");
        }
    }

    /// Removes a file, and says whether it was there.
    fn unlink(&self, name: &str) -> io::Result<bool> {
        match unlinkat(&self.descriptor, name, AtFlags::empty()) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(error.into()),
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

fn mode(metadata: &Metadata) -> u32 {
    metadata.mode() & 0o7777
}

fn modified(stat: &Stat) -> SystemTime {
    let seconds = u64::try_from(stat.st_mtime).unwrap_or(0);
    let nanoseconds = u32::try_from(stat.st_mtime_nsec).unwrap_or(0);
    SystemTime::UNIX_EPOCH + Duration::new(seconds, nanoseconds)
}

fn name(key: &Key) -> String {
    let mut name: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    name.push_str(ENTRY);
    name
}

/// The name as text, and the key, if it is one that this cache gives.
fn entry_of(name: &CStr) -> Option<(String, Option<Key>)> {
    let name = name.to_str().ok()?;
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
