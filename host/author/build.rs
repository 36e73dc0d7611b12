//! Lists what the crate embeds: the contract, the kits with their templates, the Rust SDK, and what Go's bindings need at run
//! time. The result is `embedded.rs` in the build's output folder, a table of names and bytes.
//!
//! Everything here panics with a readable message where it cannot go on: that is how a build script reports an error.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use toml::Table;

/// Where the SDK is in the workspace.
const SDK: &str = "plugins/sdk";

/// Folders that tools leave beside sources.
const LEFT_OUT: [&str; 6] = [
    "target",
    "node_modules",
    "__pycache__",
    "build",
    "kit",
    "tests",
];

/// The name under which a file is embedded, and where it is.
type Files = BTreeMap<String, PathBuf>;

fn main() {
    let root = fs::canonicalize("../..").expect("the crate is two folders below the root");
    let mut files = Files::new();
    add(&mut files, &root.join("wit"), "wit");
    add(&mut files, &root.join("plugins/kits"), "kits");
    add_sdk(&mut files, &root);
    let runtime = go_bindings().join("src/pkg/wit");
    for package in ["runtime", "types"] {
        add(&mut files, &runtime.join(package), &format!("go/{package}"));
    }
    let mut table = String::from("pub(crate) static FILES: &[(&str, &[u8])] = &[\n");
    for (name, path) in &files {
        writeln!(table, "    ({name:?}, include_bytes!({path:?})),").expect("a string takes all");
    }
    table.push_str("];\n");
    fs::write(out().join("embedded.rs"), table).expect("the output folder can be written");
    for path in ["Cargo.toml", "Cargo.lock"] {
        println!("cargo::rerun-if-changed={}", root.join(path).display());
    }
}

fn out() -> PathBuf {
    PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it for a build script"))
}

/// Adds all files below a folder.
fn add(files: &mut Files, folder: &Path, name: &str) {
    println!("cargo::rerun-if-changed={}", folder.display());
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    for entry in entries {
        let path = entry.expect("a folder that can be read").path();
        let part = path.file_name().and_then(|part| part.to_str());
        let part = part.expect("names are UTF-8");
        let name = format!("{name}/{part}");
        if path.is_dir() {
            if !LEFT_OUT.contains(&part) {
                add(files, &path, &name);
            }
        } else {
            files.insert(name, path);
        }
    }
}

/// Adds the SDK and the crates of this workspace that it uses, in the places that they have here, and a workspace around them
/// with the versions of their dependencies.
fn add_sdk(files: &mut Files, root: &Path) {
    let workspace = manifest(&root.join("Cargo.toml"));
    let versions = &workspace["workspace"]["dependencies"];
    let mut members = BTreeSet::from([SDK.to_owned()]);
    let mut dependencies = Table::new();
    let mut next = vec![SDK.to_owned()];
    while let Some(member) = next.pop() {
        add(
            files,
            &root.join(&member).join("src"),
            &format!("rust/{member}/src"),
        );
        let path = root.join(&member).join("Cargo.toml");
        for name in inherited(&manifest(&path)) {
            let version = &versions[&name];
            let folder = version.get("path").and_then(|path| path.as_str());
            if let Some(folder) = folder
                && members.insert(folder.to_owned())
            {
                next.push(folder.to_owned());
            }
            dependencies.insert(name, version.clone());
        }
        files.insert(format!("rust/{member}/Cargo.toml"), path);
    }
    let members: Vec<String> = members.into_iter().collect();
    let text = toml::toml! { [workspace] };
    let mut workspace_of_kit = text;
    let inner = workspace_of_kit["workspace"]
        .as_table_mut()
        .expect("it was just made");
    inner.insert("resolver".into(), "3".into());
    inner.insert("members".into(), members.into());
    inner.insert("package".into(), workspace["workspace"]["package"].clone());
    inner.insert("dependencies".into(), dependencies.into());
    inner.insert("lints".into(), Table::new().into());
    let path = out().join("kit.toml");
    let text = toml::to_string(&workspace_of_kit).expect("a table is TOML");
    fs::write(&path, text).expect("the output folder can be written");
    files.insert("rust/Cargo.toml".into(), path);
}

fn manifest(path: &Path) -> Table {
    println!("cargo::rerun-if-changed={}", path.display());
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
    text.parse()
        .unwrap_or_else(|error| panic!("{path:?}: {error}"))
}

/// The dependencies whose versions are in the workspace's manifest, those of tests aside.
fn inherited(manifest: &Table) -> Vec<String> {
    let mut tables: Vec<&Table> = Vec::new();
    tables.extend(manifest.get("dependencies").and_then(|it| it.as_table()));
    let targets = manifest.get("target").and_then(|it| it.as_table());
    for target in targets.into_iter().flat_map(|targets| targets.values()) {
        tables.extend(target.get("dependencies").and_then(|it| it.as_table()));
    }
    tables
        .into_iter()
        .flatten()
        .filter(|(_, dependency)| dependency.get("workspace").is_some())
        .map(|(name, _)| name.clone())
        .collect()
}

/// Where the sources of the crate `wit-bindgen-go` are: the run-time part of the bindings is among them.
fn go_bindings() -> PathBuf {
    let output = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["metadata", "--format-version", "1", "--offline"])
        .output()
        .expect("cargo is there, since it runs this");
    assert!(
        output.status.success(),
        "cargo metadata: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo writes JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    let package = packages
        .iter()
        .find(|package| package["name"] == "wit-bindgen-go")
        .expect("it is a dependency of this crate");
    let manifest = package["manifest_path"].as_str().expect("a path");
    let folder = Path::new(manifest).parent().expect("a file is in a folder");
    folder.to_owned()
}
