//! Nothing is open by accident: listeners off loopback, and secrets in the file.

use std::path::Path;

use sluicegate::builtin;
use sluicegate_config::{self as config, Problem};
use sluicegate_gateway::snapshot::{self, Prepared};
use sluicegate_gateway::supply::Supply;
use sluicegate_tests::gateway::loader;
use sluicegate_tests::guest;

const KEYS: &str = "config.keys = [{ name = \"a\", key = { env = \"KEY\" } }]";

/// A listener at this address, and a route with `auth` from this source, with these lines in its section.
fn guarded(listen: &str, source: &str, auth: &str) -> String {
    format!(
        "[[listener]]\nlisten = {listen:?}\n\
         [upstream.main]\nadapter = \"ollama\"\ntargets = [\"http://127.0.0.1:11434\"]\n\
         [[route]]\npath = \"/v1/chat/completions\"\npipeline = [\"auth\"]\nupstream = \"main\"\n\
         [plugin.auth]\nsource = {source:?}\n{auth}\n"
    )
}

async fn prepare(text: &str) -> Result<Prepared, Vec<Problem>> {
    let variable = |name: &str| (name == "KEY").then(|| "k".to_owned());
    let config = config::parse(text, Path::new("/"), &variable).expect("legal by itself");
    let supply = Supply::new(loader(), builtin::PLUGINS, None);
    let prepared = snapshot::prepare(config, &supply, None).await;
    prepared.map_err(|problems| problems.0)
}

/// The message of the only problem, which is the listener's.
async fn refused(text: &str) -> String {
    let mut problems = prepare(text).await.err().expect("open to everybody");
    assert_eq!(problems.len(), 1, "{problems:?}");
    let problem = problems.remove(0);
    assert_eq!(
        (&*problem.key, problem.line),
        ("listener[0].listen", Some(2))
    );
    problem.message
}

#[tokio::test]
async fn a_listener_off_loopback_needs_a_stage_that_authenticates_on_every_route_or_a_word() {
    let auth = "builtin:auth";
    prepare(&guarded("0.0.0.0:1", auth, KEYS))
        .await
        .expect("every route asks");
    prepare(&guarded("[::1]:1", auth, ""))
        .await
        .expect("loopback");
    refused(&guarded("192.0.2.1:1", auth, "")).await;
    refused(&guarded("0.0.0.0:1", auth, "config.keys = []")).await;
    let open = format!("on-fault = \"open\"\n{KEYS}");
    refused(&guarded("[::]:1", auth, &open)).await;
    let second = "[[route]]\npath = \"/x\"\npipeline = []\nupstream = \"main\"\n";
    let text = format!("{}{second}", guarded("0.0.0.0:1", auth, KEYS));
    assert!(refused(&text).await.ends_with("for /x"));
    let text = guarded("0.0.0.0:1", auth, "").replace("[upstream", "open = true\n[upstream");
    let prepared = prepare(&text).await.expect("it says so");
    assert_eq!(prepared.warnings(), []);
}

#[tokio::test]
async fn a_plugin_of_an_operators_own_counts_like_one_that_ships() {
    let folder = tempfile::tempdir().expect("a folder");
    let own = folder.path().join("own.wasm");
    let component = builtin::PLUGINS.find("auth").expect("it ships");
    std::fs::write(&own, component).expect("written");
    let own = own.to_str().expect("a path in UTF-8");
    prepare(&guarded("0.0.0.0:1", own, KEYS))
        .await
        .expect("it refuses whoever has no key");
    refused(&guarded("0.0.0.0:1", own, "")).await;
    // It says that it authenticates, and lets everybody in.
    refused(&guarded("0.0.0.0:1", guest::GATE, "")).await;
    // It refuses nobody, and does not say so.
    refused(&guarded("0.0.0.0:1", guest::FILTER, "")).await;
}

#[tokio::test]
async fn a_stage_that_does_not_load_is_the_only_problem() {
    let problems = prepare(&guarded("0.0.0.0:1", "/nowhere.wasm", "")).await;
    let problems = problems.err().expect("no such file");
    let keys: Vec<&str> = problems.iter().map(|problem| &*problem.key).collect();
    assert_eq!(keys, ["plugin.auth.source"]);
}

#[tokio::test]
async fn a_listener_on_loopback_that_asks_for_no_key_has_a_rule_for_hosts() {
    let rule = async |auth: &str| {
        let prepared = prepare(&guarded("127.0.0.1:1", "builtin:auth", auth)).await;
        let prepared = prepared.expect("loopback");
        prepared.config().listeners[0].hosts.clone()
    };
    assert_eq!(rule("").await, Some(Vec::new()));
    assert_eq!(rule(KEYS).await, None);
}

#[tokio::test]
async fn a_secret_in_plain_text_is_a_warning_off_loopback() {
    let plain = "config.keys = [{ name = \"a\", key = { env = \"KEY\" } }, { name = \"b\", key = \"sk-1\" }]\n\
                 config.inject = { bearer = \"sk-2\" }";
    let warnings = async |listen: &str| {
        let prepared = prepare(&guarded(listen, "builtin:auth", plain)).await;
        let prepared = prepared.expect("it asks for a key");
        let keys = prepared
            .warnings()
            .iter()
            .map(|warning| warning.key.clone());
        keys.collect::<Vec<_>>()
    };
    assert_eq!(warnings("127.0.0.1:1").await, [""; 0]);
    assert_eq!(
        warnings("0.0.0.0:1").await,
        [
            "plugin.auth.config.inject.bearer",
            "plugin.auth.config.keys[1].key"
        ]
    );
}
