//! A gateway that starts with a cache: the second time it compiles nothing, and a cache that cannot be used stops nobody.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use serde_json::{Value, json};
use sluicegate_tests::served::Served;
use sluicegate_tests::upstream::ollama;
use sluicegate_tests::{Client, Script, Setup, Upstream, within};

use crate::child::PROGRAM;

/// Starts a gateway with this cache, asks it, stops it, and gives the log lines that it wrote before it served.
async fn one_life(upstream: &Upstream, cache: &Path) -> Vec<String> {
    let setup = Setup::before(upstream)
        .section(&format!("[plugins]\ncache = {cache:?}"))
        .chat();
    let mut served = Served::start_with(PROGRAM, &setup.toml());
    let mut lines = Vec::new();
    let client = loop {
        let text = within("the line that it serves", served.text("a line")).await;
        let line: Value = serde_json::from_str(&text).expect("a line of log");
        if line["msg"] == "serving" {
            let address = line["listen"].as_str().expect("an address");
            break Client::new(address.parse().expect("an address"));
        }
        lines.push(text);
    };
    let asked = upstream.requests().len();
    let body =
        json!({"model": "m", "stream": true, "messages": [{"role": "user", "content": "Hi"}]});
    let response = client.chat(&body).await;
    assert_eq!(response.status, 200, "{}", response.text());
    assert!(response.text().contains("Hello"), "{}", response.text());
    assert_eq!(upstream.requests().len(), asked + 1);
    served.signal("TERM").await;
    assert_eq!(served.ended().await, Some(0));
    lines
}

/// The entries of the cache, each with what changes when it is written again.
fn entries(cache: &Path) -> Vec<(String, u64)> {
    let mut entries: Vec<_> = fs::read_dir(cache)
        .expect("a folder")
        .map(|entry| {
            let entry = entry.expect("an entry");
            let inode = entry.metadata().expect("it is there").ino();
            (entry.file_name().to_string_lossy().into_owned(), inode)
        })
        .collect();
    entries.sort();
    entries
}

#[tokio::test]
async fn the_second_start_takes_all_plugins_from_the_cache() {
    let upstream = Upstream::always(Script::ndjson(&ollama::stream(&["Hello"]))).await;
    let parent = tempfile::tempdir().expect("a folder");
    let cache = parent.path().join("cache");
    one_life(&upstream, &cache).await;
    let first = entries(&cache);
    assert_eq!(first.len(), 5, "{first:?}");
    one_life(&upstream, &cache).await;
    assert_eq!(entries(&cache), first, "nothing is compiled again");
}

#[tokio::test]
async fn a_gateway_serves_without_a_cache_that_is_open_to_others() {
    let upstream = Upstream::always(Script::ndjson(&ollama::stream(&["Hello"]))).await;
    let parent = tempfile::tempdir().expect("a folder");
    let cache = parent.path().join("cache");
    fs::create_dir(&cache).expect("room");
    fs::set_permissions(&cache, Permissions::from_mode(0o755)).expect("it is ours");
    let lines = one_life(&upstream, &cache).await;
    assert!(
        lines.iter().any(|line| line.contains("chmod 700")),
        "{lines:?}"
    );
    assert_eq!(entries(&cache), []);
}
