//! Compiles the plugins under `guests/examples` to components, as the gateway's own build does with those that ship.
//!
//! `fetcher`, `library`, `sleeper` and `words` are compiled for `wasm32-wasip2`, as authors do, whose linker makes the component; the others
//! for `wasm32-unknown-unknown`, as the shipped plugins are. The components end up in the build's output folder.

use std::fs;
use std::path::{Path, PathBuf};

use sluicegate_wasm_build::{BARE, Build, WASI, out, package, rerun_if_changed};
use wit_component::ComponentEncoder;

/// Guests without any import but the contract's.
const GUESTS: [&str; 14] = [
    "anthropic",
    "bare",
    "capable",
    "combined",
    "filter",
    "front",
    "gate",
    "marker",
    "observer",
    "ollama_api",
    "rules",
    "tally",
    "vllm",
    "watcher",
];
/// Guests that use more of the standard library than the contract gives, and one that is made as authors do.
const LIBRARY: [&str; 4] = ["fetcher", "library", "sleeper", "words"];

fn main() {
    let tests = package();
    let root = tests
        .parent()
        .expect("the tests are a folder of the workspace");
    rerun_if_changed(
        root,
        &[
            "tests/guests",
            "plugins/sdk",
            "host/contract",
            "wit",
            "Cargo.lock",
        ],
    );
    let modules = build(BARE, &guests(&GUESTS)).join("examples");
    for guest in GUESTS {
        let module = fs::read(modules.join(format!("{guest}.wasm"))).expect("it has been built");
        let component = ComponentEncoder::default()
            .validate(true)
            .module(&module)
            .and_then(|mut encoder| encoder.encode())
            .unwrap_or_else(|error| panic!("{guest} cannot be made a component: {error:#}"));
        fs::write(out().join(format!("{guest}.wasm")), component)
            .expect("the output folder can be written");
    }
    let components = build(WASI, &guests(&LIBRARY));
    for guest in LIBRARY {
        keep(&components.join("examples"), guest);
    }
}

fn build(target: &str, what: &[&str]) -> PathBuf {
    Build {
        target,
        what,
        rustflags: "",
    }
    .run()
}

fn keep(components: &Path, name: &str) {
    let name = format!("{name}.wasm");
    fs::copy(components.join(&name), out().join(&name)).expect("the output folder can be written");
}

/// Cargo's words for some guests.
fn guests<'a>(names: &[&'a str]) -> Vec<&'a str> {
    let examples = names.iter().flat_map(|name| ["--example", name]);
    ["--package", "sluicegate-guests"]
        .into_iter()
        .chain(examples)
        .collect()
}
