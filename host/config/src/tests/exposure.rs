//! Secrets stay secret, and nothing is open by accident.

use std::fs;

use serde_json::json;

use super::{good, guarded, problems, read, read_with, with};

#[test]
fn secrets_come_from_environment_and_files_and_never_print() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("key");
    fs::write(&file, "from-file\r\n").expect("written");
    let config = format!(
        "config.keys = [{{ name = \"a\", key = {{ env = \"KEY\" }} }}, {{ key = {{ file = {file:?} }} }}]"
    );
    let text = guarded("127.0.0.1:1", &config);
    let config = read_with(&text, &[("KEY", "from-env")]).expect("right");
    let auth = &config.plugins["auth"];
    assert!(auth.secret);
    assert_eq!(
        auth.config,
        json!({ "keys": [{ "name": "a", "key": "from-env" }, { "key": "from-file" }] })
    );
    let shown = format!("{config:?}");
    assert!(!shown.contains("from-env") && !shown.contains("from-file"));
    assert!(shown.contains("***"));
}

#[test]
fn secret_that_is_not_there_is_a_problem() {
    let folder = tempfile::tempdir().expect("a folder");
    let (empty, long) = (folder.path().join("empty"), folder.path().join("long"));
    fs::write(&empty, "\n").expect("written");
    fs::write(&long, "x".repeat((64 << 10) + 1)).expect("written");
    for reference in [
        "{ env = \"KEY\" }".to_owned(),
        "{ file = \"nowhere\" }".to_owned(),
        format!("{{ file = {empty:?} }}"),
        format!("{{ file = {long:?} }}"),
    ] {
        let config = format!("config = {{ keys = [{{ key = {reference} }}] }}");
        let text = guarded("127.0.0.1:1", &config);
        let all = read_with(&text, &[("KEY", "")]).expect_err("missing").0;
        assert_eq!(all.len(), 1, "{all:?}");
        assert_eq!(all[0].key, "plugin.auth.config.keys[0].key");
        assert_eq!(all[0].line, Some(14));
    }
}

#[test]
fn misplaced_secret_is_not_shown() {
    let hidden = |more: &str| {
        let text = format!("{:?}", problems(more));
        assert!(!text.contains("hunter2"), "{text}");
    };
    hidden("[chat]\nstore = \"mysql://u:hunter2@db\"");
    hidden("[upstream.a]\ntargets = [\"http://u:hunter2@a\"]");
    hidden("[admin]\nlisten = \"127.0.0.1:0\"\ntoken = [\"hunter2\"]");
    hidden("[chat]\nstore = \"postgres://u:hunter2@db/x\"");
    let chat = good("[chat]\nkey = \"hunter2\"\nusers = [{ name = \"ann\", token = \"hunter2\" }]");
    assert!(!format!("{chat:?}").contains("hunter2"));
    assert_eq!(
        chat.chat.expect("configured").users[0].token.expose(),
        "hunter2"
    );
}

#[test]
fn plain_key_is_a_secret_and_off_loopback_a_warning() {
    let plain = "config.keys = [{ name = \"a\", key = \"sk-1\" }]";
    let config = good(&guarded("127.0.0.1:1", plain));
    assert!(config.plugins["auth"].secret);
    assert_eq!(config.warnings, []);
    let config = good(&guarded("0.0.0.0:1", plain));
    assert_eq!(config.warnings.len(), 1);
    assert_eq!(config.warnings[0].key, "plugin.auth.config.keys[0].key");
}

#[test]
fn listener_off_loopback_needs_a_key_on_every_route_or_a_word() {
    let reference = "config.keys = [{ name = \"a\", key = { env = \"KEY\" } }]";
    let key = [("KEY", "k")];
    let listens = |text: &str| read_with(text, &key);
    let refused = |text: &str| {
        let all = listens(text).expect_err("open to everyone").0;
        assert_eq!(all.len(), 1, "{all:?}");
        assert_eq!(all[0].key, "listener[0].listen");
        all[0].message.clone()
    };
    listens(&guarded("0.0.0.0:1", reference)).expect("every route asks");
    listens(&guarded("[::1]:1", "")).expect("loopback");
    refused(&with("127.0.0.1:8080", "192.0.2.1:1"));
    refused(&guarded("0.0.0.0:1", ""));
    refused(&guarded("0.0.0.0:1", "config.keys = []"));
    refused(&guarded(
        "[::]:1",
        &format!("on-fault = \"open\"\n{reference}"),
    ));
    let second = "[[route]]\npath = \"/x\"\npipeline = [\"ollama\"]\nupstream = \"ollama\"\n";
    let text = format!("{}{second}", guarded("0.0.0.0:1", reference));
    assert!(refused(&text).ends_with("for /x"));
    let text = with("127.0.0.1:8080\"", "0.0.0.0:1\"\nopen = true");
    assert_eq!(good(&text).warnings, []);
    let text = guarded("0.0.0.0:1", "").replace("builtin:auth", "own.wasm");
    assert_eq!(good(&text).warnings[0].key, "listener[0].listen");
}

#[test]
fn dangling_name_is_not_reported_again_as_an_open_listener() {
    let text = with("127.0.0.1:8080", "0.0.0.0:1").replace("[\"ollama\"]", "[\"outh\"]");
    let all = read(&text).expect_err("dangling").0;
    assert_eq!(all.len(), 1, "{all:?}");
}
