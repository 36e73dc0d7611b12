//! Compiles the plugins that ship, wraps them as components, and embeds them.
//!
//! They are compiled for `wasm32-unknown-unknown` and wrapped by `wit-component`: an instance without WASI imports is cheaper
//! to create. The result is `builtins.rs` in the build's output folder: a table of name and bytes.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use sluicegate_wasm_build::{BARE, Build, out, package, rerun_if_changed};
use wasm_encoder::ExportSection;
use wasm_encoder::reencode::{self, Reencode};
use wasmparser::Parser;
use wit_component::ComponentEncoder;

/// The plugins that ship: each is a folder under `plugins/` and a package `sluicegate-<name>`.
const PLUGINS: [&str; 14] = [
    "access-log",
    "aggregate",
    "anthropic",
    "auth",
    "jwt",
    "ollama",
    "ollama-api",
    "openai",
    "rate-limit",
    "redact",
    "responses",
    "rewrite",
    "tgi",
    "vllm",
];

/// A sandbox's memory is scanned when it is returned to the pool, so it should be small: a stack of 128 KiB instead of 1 MiB.
/// A stack overflow is a trap.
const STACK: &str = "-Clink-arg=-zstack-size=131072";

fn main() {
    let host = package();
    let root = host
        .parent()
        .expect("the host is a folder of the workspace");
    rerun_if_changed(
        root,
        &[
            "plugins",
            "wit",
            "host/contract",
            "Cargo.toml",
            "Cargo.lock",
        ],
    );
    let packages = PLUGINS.map(|plugin| format!("sluicegate-{plugin}"));
    let what: Vec<&str> = packages
        .iter()
        .flat_map(|package| ["--package", package])
        .collect();
    let modules = Build {
        target: BARE,
        what: &what,
        rustflags: STACK,
    }
    .run();
    let mut table = String::from("pub(super) const BUILTINS: &[(&str, &[u8])] = &[\n");
    for plugin in PLUGINS {
        let module = modules.join(format!("sluicegate_{}.wasm", plugin.replace('-', "_")));
        let component = out().join(format!("{plugin}.wasm"));
        fs::write(&component, componentize(&module)).expect("the output folder can be written");
        writeln!(table, "    ({plugin:?}, include_bytes!({component:?})),")
            .expect("a string takes all");
    }
    table.push_str("];\n");
    fs::write(out().join("builtins.rs"), table).expect("the output folder can be written");
}
fn componentize(module: &Path) -> Vec<u8> {
    let bytes = fs::read(module).unwrap_or_else(|error| panic!("{}: {error}", module.display()));
    let bytes = without_cleaning(&bytes)
        .unwrap_or_else(|error| panic!("{} cannot be read: {error}", module.display()));
    ComponentEncoder::default()
        .validate(true)
        .module(&bytes)
        .and_then(|mut encoder| encoder.encode())
        .unwrap_or_else(|error| {
            panic!("{} cannot be made a component: {error:#}", module.display())
        })
}

/// Functions whose results are freed, by interface and name: those that a stream calls repeatedly, and the one whose result
/// is often the largest of all and would otherwise stay until the stream ends. Every other function is called once, and its
/// result is small or the last one.
const FREED: [(&str, &str); 3] = [
    ("/request@", "#body"),
    ("/chunks@", "#chunk"),
    ("/events@", "#batch"),
];

/// Copies a module without the functions that free a result after the gateway has copied it, except those of [`FREED`].
/// Looking up and calling such a function in each sandbox is wasted work if the sandbox is dropped soon after.
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

fn without_cleaning(bytes: &[u8]) -> Result<Vec<u8>, reencode::Error> {
    let mut module = wasm_encoder::Module::new();
    WithoutCleaning.parse_core_module(&mut module, Parser::new(0), bytes)?;
    Ok(module.finish())
}
