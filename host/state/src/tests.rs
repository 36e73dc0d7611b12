//! Private folders on a real disk.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};

use super::*;

const KEY: &str = "plugins.cache";

#[test]
fn only_a_private_folder_of_ones_own_is_opened() {
    let parent = tempfile::tempdir().expect("a folder");
    let opened = |path: &Path| Folder::open(path, KEY).map(drop);
    let folder = parent.path().join("own");
    fs::create_dir(&folder).expect("room");
    for mode in [0o755, 0o770, 0o701] {
        fs::set_permissions(&folder, Permissions::from_mode(mode)).expect("it is ours");
        let error = opened(&folder).expect_err("others can use it");
        assert!(matches!(error, Error::Mode { .. }) && error.to_string().contains("chmod 700"));
    }
    fs::set_permissions(&folder, Permissions::from_mode(0o700)).expect("it is ours");
    assert!(opened(&folder).is_ok());

    let link = parent.path().join("link");
    symlink(&folder, &link).expect("a link");
    for link in [link.clone(), link.join("")] {
        assert!(
            matches!(opened(&link), Err(Error::Unusable { .. })),
            "{}",
            link.display()
        );
    }
    let file = parent.path().join("file");
    fs::write(&file, b"").expect("room");
    assert!(matches!(opened(&file), Err(Error::Unusable { .. })));

    // Somebody else's: only root can give a folder away, and for all others `/` is root's.
    let foreign = if geteuid().is_root() {
        chown(&folder, Some(1), None).expect("root may");
        folder
    } else {
        PathBuf::from("/")
    };
    let error = opened(&foreign).expect_err("it is somebody else's");
    assert!(matches!(error, Error::Owner { .. }) && error.to_string().contains(KEY));
}

#[test]
fn what_is_written_is_whole_and_for_this_user_alone() {
    let parent = tempfile::tempdir().expect("a folder");
    let folder = Folder::open(&parent.path().join("new/own"), KEY).expect("a private folder");
    let missing = folder.read("file", 9).expect_err("it is not there");
    assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    folder.write("file", &[b"ab", b"cd"]).expect("room");
    assert_eq!(folder.read("file", 9).expect("a file").0, b"abcd");
    assert_eq!(folder.read("file", 3).expect("a file").0, b"abc");
    folder.write("file", &[b"e"]).expect("room");
    assert_eq!(folder.read("file", 9).expect("a file").0, b"e");
    let mode_of = |path: &Path| fs::metadata(path).expect("it is there").mode() & 0o7777;
    assert_eq!(mode_of(folder.path()), 0o700);
    assert_eq!(mode_of(&folder.path().join("file")), 0o600);
    let names: Vec<_> = folder.list().expect("a folder").into_iter().collect();
    assert_eq!((names.len(), names[0].name.as_str()), (1, "file"));
    assert!(folder.remove("file").expect("it is ours"));
    assert!(!folder.remove("file").expect("it is ours"));
}

#[test]
fn one_gateway_at_a_time_locks_a_folder() {
    let parent = tempfile::tempdir().expect("a folder");
    let open = || Folder::open(&parent.path().join("own"), KEY).expect("a private folder");
    let (one, other) = (open(), open());
    let lock = one.lock().expect("it is free");
    let refused = other.lock().expect_err("it is locked");
    assert!(refused.to_string().contains("another gateway"), "{refused}");
    drop(lock);
    assert!(other.lock().is_ok());
}
