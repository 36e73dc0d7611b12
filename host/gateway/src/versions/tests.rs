//! What is remembered of plugin versions, with and without a state folder.

use std::fs;

use super::*;

fn open(folder: &Path) -> Versions {
    Versions::open(Some(folder), Arc::default())
}

fn rejection(reason: &str) -> Rejection {
    Rejection::by_traffic(reason.to_owned())
}

fn component(text: &str) -> (String, Arc<[u8]>) {
    let bytes: Arc<[u8]> = text.as_bytes().into();
    (sluicegate_plugin_host::component(&bytes), bytes)
}

#[test]
fn a_restart_remembers_what_was_rejected_and_what_was_good() {
    let parent = tempfile::tempdir().expect("a folder");
    let folder = parent.path().join("state");
    let ((first, first_bytes), (second, second_bytes)) = (component("first"), component("second"));
    {
        let versions = open(&folder);
        versions.keep(&first, &first_bytes);
        versions.keep(&second, &second_bytes);
        versions.prove("p", "v1", &first);
        versions.prove("p", "v2", &second);
        versions.prove("p", "v2", &second);
        versions.reject("p", "v3", "c3", rejection("it traps"));
        versions.reject("q", "v4", "c4", rejection("it traps too"));
        assert!(versions.absolve("q"));
        assert!(!versions.absolve("q"));
    }
    let versions = open(&folder);
    assert_eq!(versions.good("p"), [second.clone(), first.clone()]);
    assert_eq!(versions.rejection("p", "v3"), Some(rejection("it traps")));
    assert_eq!(versions.rejection("q", "v4"), None);
    assert_eq!(versions.component(&first), Some(first_bytes));

    // A component that was altered is not taken.
    fs::write(folder.join(format!("{second}.wasm")), "altered").expect("room");
    assert_eq!(versions.component(&second), None);

    versions.return_to("p", &first);
    versions.tidy(&BTreeSet::new(), BTreeSet::new());
    for hash in [&first, &second] {
        assert!(!folder.join(format!("{hash}.wasm")).exists());
    }
    assert!(!folder.join("plugin-p.json").exists());
    drop(versions);
    assert_eq!(open(&folder).names(), Vec::<String>::new());
}

#[test]
fn a_version_that_was_rejected_meanwhile_does_not_prove_itself() {
    let versions = Versions::default();
    versions.prove("p", "v1", "c1");
    versions.reject("p", "v2", "c2", rejection("the operator went back"));
    versions.prove("p", "v2", "c2");
    assert_eq!(versions.good("p"), ["c1"]);
    // With another configuration it is another version.
    versions.prove("p", "v3", "c2");
    assert_eq!(versions.good("p"), ["c2", "c1"]);
}

#[test]
fn a_folder_that_another_gateway_has_is_left_alone() {
    let parent = tempfile::tempdir().expect("a folder");
    let folder = parent.path().join("state");
    let one = open(&folder);
    one.prove("p", "v1", "c1");
    let other = open(&folder);
    assert_eq!(other.good("p"), Vec::<String>::new());
    other.prove("p", "v2", "c2");
    drop((one, other));
    assert_eq!(open(&folder).good("p"), ["c1"]);
}

#[test]
fn a_file_that_cannot_be_read_is_as_none() {
    let parent = tempfile::tempdir().expect("a folder");
    let folder = parent.path().join("state");
    open(&folder).prove("p", "v1", "c1");
    fs::write(folder.join("plugin-p.json"), "{").expect("room");
    assert_eq!(open(&folder).good("p"), Vec::<String>::new());
}

#[test]
fn the_number_of_versions_is_bounded_and_the_newest_are_kept() {
    let versions = Versions::default();
    for number in 0..2 * REMEMBERED {
        let version = format!("v{number}");
        versions.loading("p", &version, "c");
        versions.reject("p", &version, "c", rejection("it traps"));
    }
    let records = versions.records("p");
    assert_eq!(records.len(), REMEMBERED);
    assert_eq!(records[0].version, format!("v{}", 2 * REMEMBERED - 1));
    assert_eq!(versions.rejection("p", "v0"), None);
    versions.loading("p", "w", "c");
    versions.unused("p", "w");
    assert_eq!(versions.rejection("p", "w"), None);
    assert!(versions.records("p").iter().all(|it| it.version != "w"));
}

#[test]
fn what_happens_is_told_once() {
    let versions = Versions::default();
    versions.loading("p", "v", "c");
    versions.loading("p", "v", "c");
    versions.reject("p", "v", "c", rejection("it traps"));
    let (_, told) = versions.journal().after(0);
    let states: Vec<_> = told.iter().map(|it| it.data["state"].clone()).collect();
    assert_eq!(states, ["loading", "rejected"]);
    assert_eq!(told[1].data["rejected"]["reason"], "it traps");
}
