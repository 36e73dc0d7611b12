//! What the gateway keeps: on disk for itself, in folders that are its own, and for plugins in what is [shared].
//!
//! Every access to a folder goes through the folder's own descriptor, so that nobody can put another folder in its place meanwhile; no
//! symbolic link is followed; a file that others could have written is not read.

use std::fs::{DirBuilder, File, Metadata};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use rustix::fs::{
    AtFlags, Dir, FlockOperation, Mode, OFlags, Stat, flock, open, openat, renameat, statat,
    unlinkat,
};
use rustix::io::Errno;
use rustix::process::geteuid;

pub mod shared;

/// What others may do with a file.
const OTHERS: u32 = 0o077;

/// Behind the name of a file that is being written, after the name that it will have.
pub const UNFINISHED: &str = ".tmp";

/// The file that [`Folder::lock`] locks.
const LOCK: &str = "lock";

/// Why a folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is not there and cannot be made, or cannot be opened.
    #[error(
        "the folder {} cannot be used: {source}; it must be a folder of this user's own, not a symbolic link",
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
        "the folder {} belongs to user {owner}, and this is user {user}: name another one in `{key}`",
        path.display()
    )]
    Owner {
        /// The folder.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Who runs this program.
        user: u32,
        /// Where the configuration names it.
        key: &'static str,
    },
    /// Others may read or write it.
    #[error(
        "the folder {} is open to others (mode {mode:04o}), and what is in it is run: `chmod 700` it, and empty it if others could write",
        path.display()
    )]
    Mode {
        /// The folder.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// Another process has locked it.
    #[error(
        "the folder {} is in use by another gateway: name another one in `{key}`",
        path.display()
    )]
    Locked {
        /// The folder.
        path: PathBuf,
        /// Where the configuration names it.
        key: &'static str,
    },
}

/// An open folder.
pub struct Folder {
    descriptor: File,
    path: PathBuf,
    key: &'static str,
    /// Of unfinished files, for their names.
    count: AtomicU64,
}

/// A file in a folder.
#[derive(Debug)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// Its bytes.
    pub size: u64,
    /// When it was last modified.
    pub modified: SystemTime,
}

impl Folder {
    /// Opens a folder, or makes it. `key` is the key of the configuration that names it, for error texts.
    ///
    /// # Errors
    /// [`Error`]
    pub fn open(path: &Path, key: &'static str) -> Result<Self, Error> {
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
            return Err(Error::Owner {
                path,
                owner,
                user,
                key,
            });
        }
        if mode & OTHERS != 0 {
            return Err(Error::Mode { path, mode });
        }
        Ok(Self {
            descriptor,
            path,
            key,
            count: AtomicU64::new(0),
        })
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Locks the folder against other processes that lock it, until the returned file is dropped.
    ///
    /// # Errors
    /// [`Error::Locked`], or [`Error::Unusable`].
    pub fn lock(&self) -> Result<File, Error> {
        let unusable = |error: Errno| Error::Unusable {
            path: self.path.clone(),
            source: error.into(),
        };
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(&self.descriptor, LOCK, flags, Mode::RUSR | Mode::WUSR);
        let file = file.map_err(unusable)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(file.into()),
            Err(Errno::WOULDBLOCK) => Err(Error::Locked {
                path: self.path.clone(),
                key: self.key,
            }),
            Err(error) => Err(unusable(error)),
        }
    }

    /// At most `most` bytes of a file, with the file itself, open for reading.
    ///
    /// # Errors
    /// Those of the system; and for what is no file of this user alone.
    pub fn read(&self, name: &str, most: u64) -> io::Result<(Vec<u8>, File)> {
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
        let mut bytes = Vec::new();
        (&file).take(most).read_to_end(&mut bytes)?;
        Ok((bytes, file))
    }

    /// Writes a file, one part after the other: whoever reads it finds the whole, or what was there before, also after a crash.
    ///
    /// # Errors
    /// Those of the system; nothing is left then.
    pub fn write(&self, name: &str, parts: &[&[u8]]) -> io::Result<()> {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        let unfinished = format!("{name}.{}-{count}{UNFINISHED}", std::process::id());
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        let file = openat(&self.descriptor, &unfinished, flags, mode)?;
        let mut file = File::from(file);
        let written = parts
            .iter()
            .try_for_each(|part| file.write_all(part))
            .and_then(|()| file.sync_data())
            .and_then(|()| {
                let (from, to) = (&self.descriptor, &self.descriptor);
                Ok(renameat(from, &unfinished, to, name)?)
            });
        if written.is_err() {
            let _ = unlinkat(&self.descriptor, &unfinished, AtFlags::empty());
        }
        written
    }

    /// What is in the folder, but for names that are not UTF-8.
    ///
    /// # Errors
    /// Those of the system.
    pub fn list(&self) -> io::Result<Vec<Listed>> {
        let mut files = Vec::new();
        for file in Dir::read_from(&self.descriptor)? {
            let file = file?;
            let Ok(name) = file.file_name().to_str() else {
                continue;
            };
            if name == "." || name == ".." {
                continue;
            }
            let stat = match statat(&self.descriptor, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => stat,
                // Another process has the same folder.
                Err(Errno::NOENT) => continue,
                Err(error) => return Err(error.into()),
            };
            files.push(Listed {
                name: name.to_owned(),
                size: u64::try_from(stat.st_size).unwrap_or(0),
                modified: modified(&stat),
            });
        }
        Ok(files)
    }

    /// Removes a file, and says whether it was there.
    ///
    /// # Errors
    /// Those of the system.
    pub fn remove(&self, name: &str) -> io::Result<bool> {
        match unlinkat(&self.descriptor, name, AtFlags::empty()) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

impl std::fmt::Debug for Folder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Folder").field(&self.path).finish()
    }
}

fn mode(metadata: &Metadata) -> u32 {
    metadata.mode() & 0o7777
}

fn modified(stat: &Stat) -> SystemTime {
    let seconds = u64::try_from(stat.st_mtime).unwrap_or(0);
    let nanoseconds = u32::try_from(stat.st_mtime_nsec).unwrap_or(0);
    SystemTime::UNIX_EPOCH + Duration::new(seconds, nanoseconds)
}

#[cfg(test)]
mod tests;
