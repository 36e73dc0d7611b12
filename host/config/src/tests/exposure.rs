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
    let secrets: Vec<&str> = auth.secrets.iter().map(String::as_str).collect();
    assert_eq!(secrets, ["/keys/0/key", "/keys/1/key"]);
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
fn configuration_of_a_plugin_never_prints() {
    let config = good(&guarded(
        "127.0.0.1:1",
        "config.keys = [{ name = \"a\", key = \"hunter2\" }]",
    ));
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn listener_knows_where_its_address_stands() {
    let position = |text: &str, variables: &[(&str, &str)]| {
        let config = read_with(text, variables).expect("right");
        let position = config.listeners[0].position.clone();
        (position.key, position.line.is_some())
    };
    let text = guarded("0.0.0.0:1", "");
    assert_eq!(position(&text, &[]), ("listener[0].listen".into(), true));
    let from_env = [("SLUICEGATE_LISTEN", "0.0.0.0:2")];
    assert_eq!(
        position(&text, &from_env),
        ("SLUICEGATE_LISTEN".into(), false)
    );
}

#[test]
fn dangling_name_is_not_reported_again_as_an_open_listener() {
    let text = with("127.0.0.1:8080", "0.0.0.0:1").replace("[\"ollama\"]", "[\"outh\"]");
    let all = read(&text).expect_err("dangling").0;
    assert_eq!(all.len(), 1, "{all:?}");
}
