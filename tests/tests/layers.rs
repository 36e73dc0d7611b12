//! Which crate may depend on which other one.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// The crates of the gateway from bottom to top, each with those that it may use. Other crates are not part of the gateway.
const LAYERS: [(&str, &[&str]); 18] = [
    ("io", &[]),
    ("contract", &[]),
    ("state", &["contract"]),
    ("config", &["contract"]),
    ("framing", &["contract"]),
    ("telemetry", &["config", "contract"]),
    ("outbound", &["config"]),
    ("otlp", &["config", "outbound"]),
    ("serve", &["config", "io"]),
    ("upstream", &["config", "io", "telemetry"]),
    (
        "plugin-host",
        &["config", "contract", "outbound", "state", "telemetry"],
    ),
    (
        "gateway",
        &[
            "config",
            "contract",
            "framing",
            "otlp",
            "plugin-host",
            "serve",
            "state",
            "telemetry",
            "upstream",
        ],
    ),
    ("author", &[]),
    ("chat", &["config", "framing", "serve", "telemetry"]),
    ("sim", &[]),
    (
        "cli",
        &[
            "author",
            "chat",
            "config",
            "contract",
            "framing",
            "gateway",
            "outbound",
            "plugin-host",
            "sim",
            "state",
            "telemetry",
        ],
    ),
    ("page", &["wasm-build"]),
    ("wasm-build", &[]),
];

/// The direct dependencies of each package of the workspace, from cargo, without those of its tests.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let metadata = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked"])
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")))
        .output()
        .expect("cargo runs");
    let text = String::from_utf8_lossy(&metadata.stderr);
    let metadata: Value =
        serde_json::from_slice(&metadata.stdout).unwrap_or_else(|error| panic!("{error}: {text}"));
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let names: BTreeMap<String, String> = list(&metadata["packages"])
        .iter()
        .map(|package| (text(&package["id"]), text(&package["name"])))
        .collect();
    let is_used = |dependency: &Value| {
        let kinds = list(&dependency["dep_kinds"]);
        kinds.iter().any(|kind| kind["kind"] != "dev")
    };
    let nodes = list(&metadata["resolve"]["nodes"]);
    let used = |node: &Value| {
        let used = list(&node["deps"]).into_iter().filter(is_used);
        used.map(|it| names[&text(&it["pkg"])].clone()).collect()
    };
    nodes
        .iter()
        .map(|node| (names[&text(&node["id"])].clone(), used(node)))
        .collect()
}

#[test]
fn each_crate_depends_only_on_those_below_it() {
    let dependencies = dependencies();
    for (name, allowed) in LAYERS {
        let used = dependencies
            .get(&format!("sluicegate-{name}"))
            .unwrap_or_else(|| panic!("there is no crate `{name}`"));
        let ours = used.iter().filter_map(|it| it.strip_prefix("sluicegate-"));
        for other in ours {
            assert!(allowed.contains(&other), "`{name}` must not use `{other}`");
        }
    }
}

#[test]
fn only_the_gateway_and_the_command_line_reach_the_sandboxes() {
    let dependencies = dependencies();
    let reaches = |name: &str| {
        let mut seen = BTreeSet::new();
        let mut next = vec![format!("sluicegate-{name}")];
        while let Some(name) = next.pop() {
            if seen.insert(name.clone()) {
                next.extend(dependencies.get(&name).into_iter().flatten().cloned());
            }
        }
        seen.contains("wasmtime")
    };
    let reaching: Vec<&str> = LAYERS
        .iter()
        .map(|(name, _)| *name)
        .filter(|name| reaches(name))
        .collect();
    assert_eq!(reaching, ["plugin-host", "gateway", "cli"]);
}
