//! Builds the plugins that ship and embeds them as components.
//!
//! They are compiled for `wasm32-unknown-unknown` and wrapped by `wit-component`: without WASI imports an instance is
//! cheaper to make. The result is `builtins.rs` in the build's output folder: a table of name and octets.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use wit_component::ComponentEncoder;

const TARGET: &str = "wasm32-unknown-unknown";

/// The plugins that ship: each is a folder under `plugins/` and a package `sluicegate-<name>`.
const PLUGINS: [&str; 5] = ["access-log", "aggregate", "auth", "ollama", "rewrite"];

fn main() {
    let host = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    let root = host
        .parent()
        .expect("the host is a folder of the workspace");
    for path in ["plugins", "wit", "Cargo.lock"] {
        println!("cargo::rerun-if-changed={}", root.join(path).display());
    }

    ensure_target();
    let modules = build(root, &target_folder(&out));
    let mut table = String::from("pub(super) const BUILTINS: &[(&str, &[u8])] = &[\n");
    for plugin in PLUGINS {
        let module = modules.join(format!("sluicegate_{}.wasm", plugin.replace('-', "_")));
        let component = out.join(format!("{plugin}.wasm"));
        fs::write(&component, componentize(&module)).expect("the output folder can be written");
        writeln!(table, "    ({plugin:?}, include_bytes!({component:?})),")
            .expect("a string takes all");
    }
    table.push_str("];\n");
    fs::write(out.join("builtins.rs"), table).expect("the output folder can be written");
}

/// Installs the compilation target where rustup did not do so by itself.
fn ensure_target() {
    let rustc = env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    let libraries = Command::new(rustc)
        .args(["--print", "target-libdir", "--target", TARGET])
        .output();
    let installed = libraries
        .is_ok_and(|output| Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_dir());
    if installed {
        return;
    }
    println!("cargo::warning=adding the target {TARGET}, which the plugins are compiled for");
    let added = Command::new("rustup")
        .args(["target", "add", TARGET])
        .status();
    assert!(
        added.is_ok_and(|status| status.success()),
        "the plugins need the target {TARGET}: run `rustup target add {TARGET}`, or install it with your Rust toolchain"
    );
}

/// The workspace's target folder, whatever it is called: the one with cargo's tag file.
fn target_folder(out: &Path) -> PathBuf {
    out.ancestors()
        .find(|folder| folder.join("CACHEDIR.TAG").is_file())
        .unwrap_or(out)
        .join("plugins")
}

/// Compiles all plugins, in a target folder of their own because cargo has locked the main one, and says where they are.
fn build(root: &Path, target: &Path) -> PathBuf {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .current_dir(root)
        .args([
            "build",
            "--profile",
            "plugin",
            "--target",
            TARGET,
            "--target-dir",
        ])
        .arg(target)
        // Settings of the outer build, which is for this machine.
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("RUSTFLAGS")
        .env_remove("RUSTC_WORKSPACE_WRAPPER");
    for plugin in PLUGINS {
        cargo.args(["--package", &format!("sluicegate-{plugin}")]);
    }
    let status = cargo.status().expect("cargo is there, since it runs this");
    assert!(status.success(), "the plugins do not build; see above");
    target.join(TARGET).join("plugin")
}

fn componentize(module: &Path) -> Vec<u8> {
    let octets = fs::read(module).unwrap_or_else(|error| panic!("{}: {error}", module.display()));
    ComponentEncoder::default()
        .validate(true)
        .module(&octets)
        .and_then(|mut encoder| encoder.encode())
        .unwrap_or_else(|error| {
            panic!("{} cannot be made a component: {error:#}", module.display())
        })
}
