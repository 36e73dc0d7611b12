//! The place of the database file: its folder, its mode, its lock, and the file systems that it must not be on.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use super::Error;

/// File systems on which SQLite's locks or its shared memory do not work between machines.
const NETWORK: [&str; 10] = [
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "smbfs",
    "afs",
    "ncpfs",
    "9p",
    "fuse.sshfs",
    "ceph",
];

/// Creates the folder if it is missing (only for its owner), and refuses network file systems.
pub(crate) fn prepare(path: &Path) -> Result<(), Error> {
    let fail = |source| Error::Prepare {
        path: path.to_owned(),
        source,
    };
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        Some(_) | None => PathBuf::from("."),
    };
    if !directory.exists() {
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&directory).map_err(fail)?;
    }
    let full = directory.canonicalize().map_err(fail)?;
    // Only Linux has a file with the kinds of its mounts; elsewhere the operator must know.
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    match network(&mounts, &full) {
        Some(kind) => Err(Error::Network {
            path: path.to_owned(),
            kind: kind.to_owned(),
        }),
        None => Ok(()),
    }
}

/// The free bytes in the folder of the database, if the system says.
pub(crate) fn free(path: &Path) -> Option<u64> {
    let place = rustix::fs::statvfs(path).ok()?;
    place.f_bavail.checked_mul(place.f_frsize)
}

/// Locks the database for this process. The lock ends with the file handle, also after a crash.
///
/// It is on a file beside the database: SQLite's locks are per statement, and closing any handle of the database file
/// itself would drop them.
pub(crate) fn lock(path: &Path) -> Result<File, Error> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let lock = PathBuf::from(name);
    let fail = |source| Error::Prepare {
        path: lock.clone(),
        source,
    };
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&lock)
        .map_err(fail)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(Error::InUse(path.to_owned())),
        Err(std::fs::TryLockError::Error(source)) => Err(fail(source)),
    }
}

/// Makes the database and its other files private to their owner.
pub(crate) fn private(path: &Path) -> Result<(), Error> {
    for suffix in ["", "-wal", "-shm", ".lock"] {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        let file = PathBuf::from(name);
        match restrict(&file) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(Error::Prepare { path: file, source }),
        }
    }
    Ok(())
}

#[cfg(unix)]
fn restrict(file: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600))
}

#[cfg(not(unix))]
fn restrict(file: &Path) -> io::Result<()> {
    std::fs::metadata(file).map(drop)
}

/// The kind of network file system that a folder is on, if it is on one.
///
/// # Source
/// Linux `proc_pid_mountinfo(5)`: the mount point is the fifth field, the kind follows a lone `-`.
fn network<'a>(mounts: &'a str, directory: &Path) -> Option<&'a str> {
    let mut best: Option<(usize, &str)> = None;
    for line in mounts.lines() {
        let mut halves = line.splitn(2, " - ");
        let point = halves.next().and_then(|half| half.split(' ').nth(4));
        let kind = halves.next().and_then(|half| half.split(' ').next());
        if let (Some(point), Some(kind)) = (point, kind)
            && directory.starts_with(point.replace("\\040", " "))
            && best.is_none_or(|(length, _)| point.len() >= length)
        {
            best = Some((point.len(), kind));
        }
    }
    best.map(|(_, kind)| kind)
        .filter(|kind| NETWORK.contains(kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:40 / /srv/nas rw shared:9 - nfs4 nas:/vol rw
31 30 8:2 / /srv/nas/local\\040disk rw - xfs /dev/sdb rw
garbage
";

    #[test]
    fn the_innermost_mount_decides() {
        assert_eq!(network(MOUNTS, Path::new("/home/me")), None);
        assert_eq!(network(MOUNTS, Path::new("/srv/nas/chat")), Some("nfs4"));
        assert_eq!(network(MOUNTS, Path::new("/srv/nas/local disk/chat")), None);
        assert_eq!(network("", Path::new("/")), None);
    }

    #[test]
    fn a_second_gateway_is_refused_until_the_first_is_gone() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("deep/er/chat.db");
        prepare(&path).expect("the folder can be made");
        let first = lock(&path).expect("the lock is free");
        assert!(matches!(lock(&path), Err(Error::InUse(_))));
        drop(first);
        lock(&path).expect("the lock is free again");
    }
}
