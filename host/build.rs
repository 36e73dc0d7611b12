//! Builds what is WebAssembly and embeds it: the plugins that ship, as components, and the chat page with its Markdown module.
//!
//! The plugins are compiled for `wasm32-unknown-unknown` and wrapped by `wit-component`: without WASI imports an instance is
//! cheaper to make. The results are `builtins.rs` and `page.rs` in the build's output folder: tables of name and octets.

use std::convert::Infallible;
use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use wasm_encoder::ExportSection;
use wasm_encoder::reencode::{self, Reencode};
use wasmparser::Parser;
use wit_component::ComponentEncoder;

const TARGET: &str = "wasm32-unknown-unknown";

/// The plugins that ship: each is a folder under `plugins/` and a package `sluicegate-<name>`.
const PLUGINS: [&str; 5] = ["access-log", "aggregate", "auth", "ollama", "rewrite"];

/// Every sandbox's memory is looked over when it is given back, so that it pays to keep it small: a stack of 128 KiB in
/// place of 1 MiB. One that is used up is a trap.
const STACK: &str = "-Clink-arg=-zstack-size=131072";

fn main() {
    let host = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    let root = host
        .parent()
        .expect("the host is a folder of the workspace");
    for path in ["plugins", "wit", "host/ui", "Cargo.toml", "Cargo.lock"] {
        println!("cargo::rerun-if-changed={}", root.join(path).display());
    }

    ensure_target();
    let modules = build(root, &target_folder(&out));
    embed_plugins(&modules, &out);
    embed_page(&host.join("ui"), &modules, &out);
}

fn embed_plugins(modules: &Path, out: &Path) {
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

/// The files of the page, and its Markdown module beside them.
fn embed_page(ui: &Path, modules: &Path, out: &Path) {
    let mut files = vec![(
        "markdown.wasm".to_owned(),
        modules.join("sluicegate_markdown.wasm"),
    )];
    list(ui, "", &mut files);
    files.sort();
    let mut table = String::from("pub(super) const FILES: &[(&str, &[u8])] = &[\n");
    for (name, path) in files {
        writeln!(table, "    ({name:?}, include_bytes!({path:?})),").expect("a string takes all");
    }
    table.push_str("];\n");
    fs::write(out.join("page.rs"), table).expect("the output folder can be written");
}

/// All files below a folder but the Markdown module's sources, by their path below it.
fn list(folder: &Path, prefix: &str, files: &mut Vec<(String, PathBuf)>) {
    for entry in fs::read_dir(folder).expect("the page's folder can be read") {
        let path = entry.expect("the page's folder can be read").path();
        let name = path
            .file_name()
            .expect("an entry has a name")
            .to_string_lossy()
            .into_owned();
        if !path.is_dir() {
            files.push((format!("{prefix}{name}"), path));
        } else if name != "markdown" {
            list(&path, &format!("{prefix}{name}/"), files);
        }
    }
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

/// Compiles all modules, in a target folder of their own because cargo has locked the main one, and says where they are.
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
        // In place of the settings of the outer build, which is for this machine.
        .env("CARGO_ENCODED_RUSTFLAGS", STACK)
        .env_remove("RUSTFLAGS")
        .env_remove("RUSTC_WORKSPACE_WRAPPER");
    cargo.args(["--package", "sluicegate-markdown"]);
    for plugin in PLUGINS {
        cargo.args(["--package", &format!("sluicegate-{plugin}")]);
    }
    let status = cargo.status().expect("cargo is there, since it runs this");
    assert!(
        status.success(),
        "the WebAssembly modules do not build; see above"
    );
    target.join(TARGET).join("plugin")
}

fn componentize(module: &Path) -> Vec<u8> {
    let octets = fs::read(module).unwrap_or_else(|error| panic!("{}: {error}", module.display()));
    let octets = without_cleaning(&octets)
        .unwrap_or_else(|error| panic!("{} cannot be read: {error}", module.display()));
    ComponentEncoder::default()
        .validate(true)
        .module(&octets)
        .and_then(|mut encoder| encoder.encode())
        .unwrap_or_else(|error| {
            panic!("{} cannot be made a component: {error:#}", module.display())
        })
}

/// Functions whose results are freed, by interface and name: those that a stream calls again and again, and the one whose result,
/// often the largest of all, would be in the way until the stream ends. Every other function is called once, and its result is
/// small or the last one.
const FREED: [(&str, &str); 3] = [
    ("/request@", "#body"),
    ("/chunks@", "#chunk"),
    ("/events@", "#batch"),
];

/// Copies a module without the functions that free a result once the gateway has it, but for those of [`FREED`]: to look such
/// a function up for each sandbox, and to call it, is work for nothing if the sandbox is given up soon.
struct WithoutCleaning;

impl Reencode for WithoutCleaning {
    type Error = Infallible;

    fn parse_export(
        &mut self,
        exports: &mut ExportSection,
        export: wasmparser::Export<'_>,
    ) -> Result<(), reencode::Error> {
        let cleans = export.name.starts_with("cabi_post_");
        let is_freed = |(interface, name): &(&str, &str)| {
            export.name.contains(interface) && export.name.ends_with(name)
        };
        if cleans && !FREED.iter().any(is_freed) {
            return Ok(());
        }
        reencode::utils::parse_export(self, exports, export)
    }
}

fn without_cleaning(octets: &[u8]) -> Result<Vec<u8>, reencode::Error> {
    let mut module = wasm_encoder::Module::new();
    WithoutCleaning.parse_core_module(&mut module, Parser::new(0), octets)?;
    Ok(module.finish())
}
