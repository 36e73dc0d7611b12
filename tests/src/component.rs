//! Components made by hand: for what no compiler would make, such as a broken manifest or a contract of the future.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::Path;

use anyhow::Context as _;
use tempfile::NamedTempFile;
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// The version of the contract in `wit/`.
const CONTRACT: &str = "0.2.0-draft.1";

/// Where the manifest lies in the memory of a handmade component. Below are the results of its functions, and what a component
/// counts; all else is zero, and a zero result means "fine".
const MANIFEST: usize = 1024;
/// What `describe` returns: where the manifest is, and how long.
const DESCRIBED: usize = 16;
/// What `configure` returns, a `result<string, string>`: a word for the case, address and length of the text. Zero is an empty
/// text of success.
const CONFIGURED: usize = 32;
/// What `check` returns, a `result<_, stop>` of 52 bytes: a word for the case, then the stop, whose size is that of a fault (11
/// words) and a word for its own case. Zero is success.
const CHECKED: usize = 64;
/// Where a component that can have no image counts its configurations; behind all results.
const COUNT: usize = 128;

/// A gate that lets everything through, with one thing or another about it that is wrong.
#[derive(Debug, Clone)]
pub struct Handmade {
    manifest: String,
    version: String,
    world: String,
    more: String,
    imageless: bool,
}

impl Default for Handmade {
    fn default() -> Self {
        Self {
            manifest: r#"{"name":"handmade"}"#.to_owned(),
            version: CONTRACT.to_owned(),
            world: "include gate-plugin;".to_owned(),
            more: String::new(),
            imageless: false,
        }
    }
}

impl Handmade {
    /// Another result of `describe`.
    #[must_use]
    pub fn manifest(self, manifest: &str) -> Self {
        Self {
            manifest: manifest.to_owned(),
            ..self
        }
    }

    /// Built for another version of the contract.
    #[must_use]
    pub fn version(self, version: &str) -> Self {
        Self {
            version: version.to_owned(),
            ..self
        }
    }

    /// Another world (in WIT, as part of the contract's package), and what the module needs for it (in WAT; `@V` stands for
    /// `@` and the contract's version).
    #[must_use]
    pub fn world(self, world: &str, module: &str) -> Self {
        Self {
            world: world.to_owned(),
            more: module.to_owned(),
            ..self
        }
    }

    /// Made so that no image of its memory can be taken; it traps in an exchange for which it has not been configured, once.
    #[must_use]
    pub fn imageless(self) -> Self {
        Self {
            imageless: true,
            ..self
        }
    }

    /// The component in a file, which lives as long as what is returned.
    ///
    /// # Panics
    /// If it cannot be made: the test's own fault.
    pub fn file(&self) -> NamedTempFile {
        file(&self.component().expect("a component"))
    }

    fn component(&self) -> anyhow::Result<Vec<u8>> {
        let mut module = wat::parse_str(self.module())?;
        let (resolve, world) = self.contract()?;
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)?;
        ComponentEncoder::default()
            .validate(true)
            .module(&module)?
            .encode()
    }

    /// The contract, in this component's version, with its world.
    fn contract(&self) -> anyhow::Result<(Resolve, wit_parser::WorldId)> {
        let mut text = contract(&self.version)?;
        let _ = write!(text, "\nworld handmade {{ {} }}\n", self.world);
        let mut resolve = Resolve::default();
        let package = resolve.push_source("contract.wit", &text)?;
        let world = resolve.select_world(&[package], Some("handmade"))?;
        Ok((resolve, world))
    }

    fn module(&self) -> String {
        let gate = if self.world.contains("gate") {
            format!(
                r#"(func (export "sluicegate:plugin/gate@V#check") (result i32) @CHECK (i32.const {CHECKED}))"#
            )
        } else {
            String::new()
        };
        // An instruction that takes something out of the module is what images cannot hold.
        let (configure, check) = if self.imageless {
            (
                format!(
                    "(data.drop $passive) (i32.store (i32.const {COUNT}) (i32.add (i32.load (i32.const {COUNT})) (i32.const 1)))"
                ),
                format!(
                    "(if (i32.ne (i32.load (i32.const {COUNT})) (i32.const 1)) (then unreachable))"
                ),
            )
        } else {
            (String::new(), String::new())
        };
        // Imports come first in a module, and what is added may be some.
        let module = format!(
            r#"(module @MORE {gate}
(memory (export "memory") 2)
(data (i32.const {DESCRIBED}) "{}{}")
(data (i32.const {MANIFEST}) "{}")
(func (export "describe") (result i32) (i32.const {DESCRIBED}))
(data $passive "x")
(func (export "configure") (param i32 i32) (result i32) {configure} (i32.const {CONFIGURED}))
(func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 65536)))"#,
            word(MANIFEST),
            word(self.manifest.len()),
            self.manifest.bytes().map(escape).collect::<String>(),
        );
        module
            .replace("@MORE", &self.more)
            .replace("@CHECK", &check)
            .replace("@V", &format!("@{}", self.version))
    }
}

/// The files of the contract as one, in some version.
fn contract(version: &str) -> anyhow::Result<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit");
    let mut text = format!("package sluicegate:plugin@{version};\n");
    for entry in fs::read_dir(&folder).context("the contract")? {
        let path = entry?.path();
        // Beside them there are words about it, and there may be a folder with the frozen contract.
        if path.extension().is_none_or(|extension| extension != "wit") {
            continue;
        }
        let file = fs::read_to_string(path)?;
        text.extend(file.lines().skip(1).flat_map(|line| [line, "\n"]));
    }
    Ok(text)
}

/// These bytes in a file of a component's name, which lives as long as what is returned.
///
/// # Panics
/// If the system has no room for it.
pub fn file(bytes: &[u8]) -> NamedTempFile {
    let mut file = tempfile::Builder::new()
        .suffix(".wasm")
        .tempfile()
        .expect("a temporary file");
    file.write_all(bytes).expect("room for a small file");
    file
}

/// WebAssembly in its text form, as bytes: a core module, or a component.
///
/// # Panics
/// If it is not well formed.
pub fn of_text(text: &str) -> Vec<u8> {
    wat::parse_str(text).expect("well-formed text")
}

fn word(number: usize) -> String {
    let number = u32::try_from(number).expect("a small number");
    number.to_le_bytes().into_iter().map(escape).collect()
}

fn escape(byte: u8) -> String {
    format!("\\{byte:02x}")
}
