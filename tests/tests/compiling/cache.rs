//! The cache in front of a compiler: what it spares, and what it never keeps.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;
use sluicegate_plugin_host::Engine;
use sluicegate_plugin_host::cache::{Cached, MOST};
use sluicegate_plugin_host::compile::{Compiler, Compiling, InProcess, Job};
use sluicegate_tests::component::Handmade;
use sluicegate_tests::guest;
use tempfile::TempDir;

use crate::common::{configured, loaded, read};

/// Compiles in process, and counts how often.
#[derive(Default)]
struct Counting(AtomicUsize);

impl Compiler for Counting {
    fn compile<'a>(&'a self, engine: &'a Engine, job: &'a Job) -> Compiling<'a> {
        self.0.fetch_add(1, Ordering::Relaxed);
        InProcess.compile(engine, job)
    }
}

/// A cache in a folder that was empty.
struct Setup {
    parent: TempDir,
    counting: Arc<Counting>,
    cached: Arc<dyn Compiler>,
}

impl Setup {
    fn new() -> Self {
        let parent = tempfile::tempdir().expect("a folder");
        let counting = Arc::new(Counting::default());
        let cached = open(parent.path(), MOST, &counting);
        Self {
            parent,
            counting,
            cached,
        }
    }

    /// Another gateway, with the same folder and at most so many bytes in it.
    fn restart(&mut self, most: u64) {
        self.cached = open(self.parent.path(), most, &self.counting);
    }

    fn compiled(&self) -> usize {
        self.counting.0.load(Ordering::Relaxed)
    }

    fn entries(&self) -> Vec<PathBuf> {
        let folder = fs::read_dir(self.parent.path().join("cache")).expect("a folder");
        folder
            .map(|entry| entry.expect("an entry").path())
            .collect()
    }
}

fn open(parent: &Path, most: u64, counting: &Arc<Counting>) -> Arc<dyn Compiler> {
    let cached = Cached::open(&parent.join("cache"), most, counting.clone());
    Arc::new(cached.expect("a private folder"))
}

#[tokio::test]
async fn an_unchanged_plugin_is_compiled_once_across_restarts() {
    let mut setup = Setup::new();
    let gate = read(guest::GATE);
    let plain = configured(json!({}));
    let first = loaded(&setup.cached, &gate, &plain).await.expect("right");
    setup.restart(MOST);
    let second = loaded(&setup.cached, &gate, &plain).await.expect("right");
    assert_eq!(setup.compiled(), 1);
    assert_eq!(first.manifest().name, second.manifest().name);
    assert_eq!(first.exports(), second.exports());
    assert_eq!(first.code_bytes(), second.code_bytes());
    assert!(first.is_imaged() && second.is_imaged());

    let other = read(guest::FILTER);
    loaded(&setup.cached, &other, &plain).await.expect("right");
    assert_eq!(setup.compiled(), 2, "another component");
    let mut smaller = plain.clone();
    smaller.limits.memory = Some(8 << 20);
    loaded(&setup.cached, &gate, &smaller).await.expect("right");
    assert_eq!(setup.compiled(), 3, "another limit");
    assert_eq!(setup.entries().len(), 3);
}

#[tokio::test]
async fn a_plugin_without_an_image_is_one_from_the_cache_too() {
    let mut setup = Setup::new();
    let file = Handmade::default().imageless().file();
    let bytes = read(file.path());
    for _ in 0..2 {
        let plugin = loaded(&setup.cached, &bytes, &configured(json!({}))).await;
        assert!(!plugin.expect("right").is_imaged());
        setup.restart(MOST);
    }
    assert_eq!(setup.compiled(), 1);
}

#[tokio::test]
async fn a_damaged_entry_is_compiled_again_and_replaced() {
    let mut setup = Setup::new();
    let gate = read(guest::GATE);
    let plain = configured(json!({}));
    loaded(&setup.cached, &gate, &plain).await.expect("right");
    let entry = setup.entries().pop().expect("one");
    let mut damaged = read(&entry);
    let middle = damaged.len() / 2;
    damaged[middle] ^= 0x10;
    fs::write(&entry, damaged).expect("room");
    setup.restart(MOST);
    loaded(&setup.cached, &gate, &plain).await.expect("right");
    assert_eq!(setup.compiled(), 2);
    assert_eq!(setup.entries(), [entry]);
    setup.restart(MOST);
    loaded(&setup.cached, &gate, &plain).await.expect("right");
    assert_eq!(setup.compiled(), 2, "the new one is whole");
}

#[tokio::test]
async fn nothing_that_was_made_with_a_secret_is_written() {
    let setup = Setup::new();
    // The configuration refers to one.
    let mut referring = configured(json!({}));
    referring.secrets.insert("/key".to_owned());
    let gate = read(guest::GATE);
    // The plugin's schema marks one.
    let schema =
        r#"{"name":"handmade","config":{"properties":{"key":{"type":"string","writeOnly":true}}}}"#;
    let marking = read(Handmade::default().manifest(schema).file().path());
    let with_key = configured(json!({"key": "sk-4711"}));
    for round in 1..=2 {
        for (bytes, configured) in [(&gate, &referring), (&marking, &with_key)] {
            loaded(&setup.cached, bytes, configured)
                .await
                .expect("right");
        }
        assert_eq!(setup.compiled(), 2 * round);
        assert_eq!(setup.entries().len(), 0);
    }
    let without = configured(json!({}));
    loaded(&setup.cached, &marking, &without)
        .await
        .expect("right");
    assert_eq!(setup.entries().len(), 1, "the same plugin without a secret");
}

#[tokio::test]
async fn a_plugin_that_is_refused_leaves_no_entry() {
    let setup = Setup::new();
    let refusing = configured(json!({"configure": "refuse"}));
    let gate = read(guest::GATE);
    assert!(loaded(&setup.cached, &gate, &refusing).await.is_err());
    assert_eq!(setup.entries().len(), 0);
}

#[tokio::test]
async fn what_is_loaded_is_not_thrown_out() {
    let mut setup = Setup::new();
    let gate = read(guest::GATE);
    let plain = configured(json!({}));
    drop(loaded(&setup.cached, &gate, &plain).await.expect("right"));
    let entry = setup.entries().pop().expect("one");
    let size = entry.metadata().expect("it is there").len();
    // Room for one, but not for two.
    setup.restart(size + size / 2);
    let mut other = plain.clone();
    other.limits.memory = Some(8 << 20);

    let live = loaded(&setup.cached, &gate, &plain).await.expect("right");
    assert_eq!(setup.compiled(), 1, "it comes from the cache");
    for _ in 0..2 {
        loaded(&setup.cached, &gate, &other).await.expect("right");
    }
    assert_eq!(setup.compiled(), 3, "there is no room for the other one");
    drop(live);
    for _ in 0..2 {
        loaded(&setup.cached, &gate, &other).await.expect("right");
    }
    assert_eq!(setup.compiled(), 4, "there is now");
}
