//! The folder of the cache on a real disk.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::PathBuf;
use std::sync::Arc;

use tempfile::TempDir;

use super::*;

/// An hour ago and more: everything has its own time, however fast the test runs.
const LONG_AGO: Duration = Duration::from_secs(7200);

/// Makes an entry that cannot be trusted of the one at this path.
type Spoil<'a> = &'a dyn Fn(&Path);

fn opened(most: u64) -> (TempDir, Arc<Folder>) {
    let parent = tempfile::tempdir().expect("a folder");
    let folder = Folder::open(&parent.path().join("new/cache"), most).expect("a private folder");
    (parent, Arc::new(folder))
}

fn facts() -> Facts {
    Facts {
        manifest: "{}".into(),
        note: String::new(),
        no_image: None,
    }
}

/// Bytes of an entry with an artifact of 1,000.
fn size() -> u64 {
    (entry::head(&[0; 32], &facts(), &[0; 1000]).len() + 1000) as u64
}

fn write(folder: &Folder, key: u8) {
    folder.write(&[key; 32], &facts(), &[key; 1000]);
}

fn path(folder: &Folder, key: u8) -> PathBuf {
    folder.files.path().join(name(&[key; 32]))
}

fn has(folder: &Folder, key: u8) -> bool {
    path(folder, key).symlink_metadata().is_ok()
}

fn used(path: &Path, ago: Duration) {
    let file = File::open(path).expect("a file");
    let time = SystemTime::now() - ago;
    file.set_modified(time).expect("a time");
}

#[test]
fn what_is_written_is_read_and_is_for_this_user_alone() {
    let (_parent, folder) = opened(1 << 20);
    assert!(folder.read(&[1; 32]).is_none());
    write(&folder, 1);
    let (_, artifact) = folder.read(&[1; 32]).expect("an entry");
    assert_eq!(artifact[..], [1; 1000]);
    let mode_of = |path: &Path| fs::metadata(path).expect("it is there").mode() & 0o7777;
    assert_eq!(mode_of(folder.files.path()), 0o700);
    assert_eq!(mode_of(&path(&folder, 1)), 0o600);
    let files = fs::read_dir(folder.files.path()).expect("a folder");
    assert_eq!(files.count(), 1, "nothing unfinished is left");
}

#[test]
fn what_was_not_used_for_longest_makes_room() {
    let (_parent, folder) = opened(3 * size());
    for key in 1..=3 {
        write(&folder, key);
        used(
            &path(&folder, key),
            LONG_AGO - Duration::from_secs(key.into()),
        );
    }
    assert!((1..=3).all(|key| has(&folder, key)), "they fit exactly");
    // The oldest is used once more, so that the second is the oldest now.
    assert!(folder.read(&[1; 32]).is_some());
    write(&folder, 4);
    assert_eq!(
        [1, 2, 3, 4].map(|key| has(&folder, key)),
        [true, false, true, true]
    );
    // The same once more takes no more room.
    write(&folder, 4);
    assert_eq!(
        [1, 2, 3, 4].map(|key| has(&folder, key)),
        [true, false, true, true]
    );
}

#[test]
fn what_is_in_use_stays_and_the_bound_holds() {
    let (_parent, folder) = opened(2 * size());
    let first = folder.pins.pin([1; 32]);
    let again = folder.pins.pin([1; 32]);
    let second = folder.pins.pin([2; 32]);
    for key in 1..=3 {
        write(&folder, key);
    }
    assert_eq!([1, 2, 3].map(|key| has(&folder, key)), [true, true, false]);
    drop(first);
    write(&folder, 3);
    assert!(has(&folder, 1), "it is still in use once");
    drop(again);
    write(&folder, 3);
    assert_eq!([1, 2, 3].map(|key| has(&folder, key)), [false, true, true]);
    drop(second);
    assert!(folder.pins.is_empty());
    folder.write(&[4; 32], &facts(), &vec![0; 1 << 20]);
    assert!(!has(&folder, 4), "it is larger than the cache");
}

#[test]
fn an_entry_that_cannot_be_trusted_is_removed() {
    let (parent, folder) = opened(1 << 20);
    let other = parent.path().join("other");
    let spoil: [(&str, Spoil<'_>); 6] = [
        ("damaged", &|path| {
            let mut bytes = fs::read(path).expect("a file");
            *bytes.last_mut().expect("bytes") ^= 1;
            fs::write(path, bytes).expect("room");
        }),
        ("cut", &|path| fs::write(path, b"sg-cwsm1").expect("room")),
        ("of another key", &|path| {
            write(&folder, 9);
            fs::copy(super::tests::path(&folder, 9), path).expect("room");
        }),
        ("open to others", &|path| {
            fs::set_permissions(path, Permissions::from_mode(0o644)).expect("it is ours");
        }),
        ("a link", &|path| {
            fs::rename(path, &other).expect("it is there");
            symlink(&other, path).expect("a link");
        }),
        ("a pipe", &|path| {
            fs::remove_file(path).expect("it is there");
            let made = std::process::Command::new("mkfifo")
                .args(["-m", "600"])
                .arg(path)
                .status();
            assert!(made.expect("`mkfifo` is there").success());
        }),
    ];
    for (what, spoil) in spoil {
        write(&folder, 1);
        spoil(&path(&folder, 1));
        assert!(folder.read(&[1; 32]).is_none(), "{what}");
        assert!(!has(&folder, 1), "{what}");
        write(&folder, 1);
        assert!(folder.read(&[1; 32]).is_some(), "{what}");
    }
    assert!(other.is_file(), "what a link leads to is left alone");
}

#[test]
fn files_that_are_no_entries_are_left_alone_and_given_up_ones_removed() {
    let (_parent, folder) = opened(size());
    let stranger = folder.files.path().join("notes.txt");
    fs::write(&stranger, vec![0; 4096]).expect("room");
    let unfinished = |key: u8| {
        folder
            .files
            .path()
            .join(format!("{}.1-0.tmp", name(&[key; 32])))
    };
    for key in [1, 2] {
        fs::write(unfinished(key), b"half").expect("room");
    }
    used(&stranger, LONG_AGO);
    used(&unfinished(1), LONG_AGO);
    write(&folder, 3);
    assert!(stranger.exists() && !unfinished(1).exists());
    assert!(unfinished(2).exists(), "somebody writes it now");
    assert!(!has(&folder, 3), "and it counts");
    fs::remove_file(unfinished(2)).expect("it is there");
    write(&folder, 3);
    assert!(has(&folder, 3));
}
