//! Compiles the plugins under `guests/examples` to components, as the gateway's own build does with those that ship.
//!
//! `library` and `sleeper` are compiled for `wasm32-wasip2`, as authors do, whose linker makes the component; the others for
//! `wasm32-unknown-unknown`, as the shipped plugins are. So are the filters under `examples/`, which are tested with their own
//! configurations. The components end up in the build's output folder.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use wit_component::ComponentEncoder;

const BARE: &str = "wasm32-unknown-unknown";
const WASI: &str = "wasm32-wasip2";

/// Guests without any import but the contract's.
const GUESTS: [&str; 11] = [
    "anthropic",
    "bare",
    "combined",
    "filter",
    "front",
    "gate",
    "observer",
    "ollama_api",
    "rules",
    "vllm",
    "watcher",
];
/// Guests that use more of the standard library than the contract gives.
const LIBRARY: [&str; 2] = ["library", "sleeper"];
/// The filters under `examples/`.
const EXAMPLES: [&str; 1] = ["redact"];

fn main() {
    let here = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    let root = here
        .parent()
        .expect("the tests are a folder of the workspace");
    for path in [
        "tests/guests",
        "examples",
        "plugins/sdk",
        "wit",
        "Cargo.lock",
    ] {
        println!("cargo::rerun-if-changed={}", root.join(path).display());
    }
    let target = target_folder(&out);
    let modules = build(root, &target, BARE, &guests(&GUESTS));
    let modules = modules.join("examples");
    for guest in GUESTS {
        let module = fs::read(modules.join(format!("{guest}.wasm"))).expect("it has been built");
        let component = ComponentEncoder::default()
            .validate(true)
            .module(&module)
            .and_then(|mut encoder| encoder.encode())
            .unwrap_or_else(|error| panic!("{guest} cannot be made a component: {error:#}"));
        fs::write(out.join(format!("{guest}.wasm")), component)
            .expect("the output folder can be written");
    }
    let components = build(root, &target, WASI, &guests(&LIBRARY));
    for guest in LIBRARY {
        keep(&components.join("examples"), &out, guest);
    }
    let components = build(root, &target, WASI, &packages(&EXAMPLES));
    for example in EXAMPLES {
        keep(&components, &out, example);
    }
}

fn keep(components: &Path, out: &Path, name: &str) {
    let name = format!("{name}.wasm");
    fs::copy(components.join(&name), out.join(&name)).expect("the output folder can be written");
}

/// Cargo's words for some guests.
fn guests<'a>(names: &[&'a str]) -> Vec<&'a str> {
    let examples = names.iter().flat_map(|name| ["--example", name]);
    ["--package", "sluicegate-guests"]
        .into_iter()
        .chain(examples)
        .collect()
}

/// Cargo's words for some packages.
fn packages<'a>(names: &[&'a str]) -> Vec<&'a str> {
    names.iter().flat_map(|name| ["--package", name]).collect()
}

/// The folder in which the shipped plugins are compiled too, so that what they share is compiled once.
fn target_folder(out: &Path) -> PathBuf {
    out.ancestors()
        .find(|folder| folder.join("CACHEDIR.TAG").is_file())
        .unwrap_or(out)
        .join("plugins")
}

/// Compiles for a target and says where the results are.
fn build(root: &Path, folder: &Path, target: &str, what: &[&str]) -> PathBuf {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .current_dir(root)
        .args(["build", "--profile", "plugin", "--target", target])
        .args(what)
        .arg("--target-dir")
        .arg(folder)
        // Settings of the outer build, which is for this machine.
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("RUSTFLAGS")
        .env_remove("RUSTC_WORKSPACE_WRAPPER");
    let status = cargo.status().expect("cargo is there, since it runs this");
    assert!(
        status.success(),
        "the guests do not build for {target}; see above. Is the target installed (`rustup target add {target}`)?"
    );
    folder.join(target).join("plugin")
}
