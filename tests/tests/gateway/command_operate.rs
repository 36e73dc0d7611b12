//! The commands for the plugins of a running gateway.

use std::fs;

use serde_json::Value;
use sluicegate_tests::{guest, served, within};

use crate::command::{PROGRAM, Said};
use crate::versions::{Running, Scene, TOKEN, variant};

/// Runs a command against this gateway.
async fn run(running: &Running, arguments: &[&str]) -> Said {
    let address = running.gateway.admin().address().to_string();
    let mut command = served::program(PROGRAM, arguments);
    command
        .args(["--admin", &address])
        .env("SLUICEGATE_ADMIN_TOKEN", TOKEN);
    let output = within("the end of the command", command.output()).await;
    let output = output.expect("it starts");
    Said {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).expect("text"),
        err: String::from_utf8(output.stderr).expect("text"),
    }
}

/// The line of the output that begins with this.
fn line<'a>(said: &'a Said, begin: &str) -> &'a str {
    let found = said.out.lines().find(|line| line.starts_with(begin));
    found.unwrap_or_else(|| panic!("no {begin:?} in {}{}", said.out, said.err))
}

#[tokio::test]
async fn a_plugin_is_pushed_rolled_back_and_activated() {
    let scene = Scene::new("").await;
    let running = scene.start().await;
    let first = running.live().await;
    let folder = tempfile::tempdir().expect("a folder");
    let new = folder.path().join("mine.wasm");
    fs::write(&new, variant(guest::GATE, 1)).expect("written");
    let new = new.to_str().expect("UTF-8");

    let said = run(&running, &["plugin", "push", new, "--dry-run"]).await;
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(said.out.contains("could be used"), "{}", said.out);
    assert_eq!(running.live().await, first);

    let said = run(&running, &["plugin", "push", new]).await;
    assert_eq!(said.code, Some(0), "{}", said.err);
    let second = running.live().await;
    assert_ne!(second, first);
    assert_eq!(
        said.out,
        format!("mine: version {} is live\n", &second[..12])
    );

    let said = run(&running, &["plugin", "list"]).await;
    let mine = line(&said, "mine");
    assert!(
        mine.contains("live") && mine.contains(&second[..12]),
        "{mine}"
    );
    let said = run(&running, &["plugin", "list", "--json"]).await;
    let list: Value = serde_json::from_str(&said.out).expect("JSON");
    assert_eq!(list[0]["version_id"], second.as_str());

    let said = run(&running, &["plugin", "rollback", "mine"]).await;
    let expected = format!("mine: version {} is live again\n", &first[..12]);
    assert_eq!((said.code, said.out), (Some(0), expected), "{}", said.err);
    assert_eq!(running.live().await, first);
    let said = run(&running, &["plugin", "rollback", "mine"]).await;
    assert_eq!(said.code, Some(1));
    assert!(said.err.contains("no earlier version"), "{}", said.err);
    let said = run(&running, &["status"]).await;
    assert_eq!(said.code, Some(1));
    assert!(said.err.contains("rolled back by hand"), "{}", said.err);
    assert!(line(&said, "main").contains("http://"), "{}", said.out);
    let said = run(&running, &["reload"]).await;
    assert_eq!(said.code, Some(1));
    assert!(said.err.contains("not with all versions"), "{}", said.err);

    let said = run(&running, &["plugin", "activate", "mine"]).await;
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert_eq!(running.live().await, second);
    let said = run(&running, &["status"]).await;
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(said.out.contains("ready, generation"), "{}", said.out);
    let said = run(&running, &["status", "--json"]).await;
    let all: Value = serde_json::from_str(&said.out).expect("JSON");
    assert_eq!(all["ready"]["ready"], true);
    running.stop().await;
}

#[tokio::test]
async fn what_the_gateway_refuses_is_said_with_its_reason() {
    let scene = Scene::new("").await;
    let running = scene.start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, content: &[u8]| {
        let file = folder.path().join(name);
        fs::write(&file, content).expect("written");
        file.to_str().expect("UTF-8").to_owned()
    };
    let text = file("mine.wasm", b"#!/bin/sh");
    let said = run(&running, &["plugin", "push", &text]).await;
    assert_eq!(said.code, Some(1));
    assert!(
        said.err.contains("stage `format`") && said.err.contains("→"),
        "{}",
        said.err
    );
    let gate = file("../My Filter.wasm", &variant(guest::GATE, 1));
    let said = run(&running, &["plugin", "push", &gate]).await;
    assert_eq!(said.code, Some(1));
    assert!(said.err.contains("lower-case"), "{}", said.err);
    fs::remove_file(&gate).expect("removed");
    let said = run(&running, &["plugin", "push", &gate]).await;
    assert!(said.err.contains("cannot be read"), "{}", said.err);
    let said = run(&running, &["plugin", "activate", "nobody"]).await;
    assert_eq!(said.code, Some(1));
    assert!(said.err.contains("/plugins lists them"), "{}", said.err);
    running.stop().await;
}
