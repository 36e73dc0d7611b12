//! Compiles packages of this workspace to WebAssembly, for the build scripts that embed the results: the plugins that ship,
//! the Markdown module of the chat page, the guests of the tests.
//!
//! Everything here panics with a readable message where it cannot go on: that is how a build script reports an error.
#![expect(
    clippy::print_stdout,
    reason = "cargo reads what a build script prints"
)]

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The target without any imports of its own. An instance without WASI imports is cheaper to create.
pub const BARE: &str = "wasm32-unknown-unknown";

/// The target that plugin authors use: its linker makes a component by itself.
pub const WASI: &str = "wasm32-wasip2";

/// One run of cargo with the profile `plugin`.
#[derive(Debug)]
pub struct Build<'a> {
    /// [`BARE`] or [`WASI`].
    pub target: &'a str,
    /// What is compiled, in cargo's own arguments, such as `["--package", "sluicegate-auth"]`.
    pub what: &'a [&'a str],
    /// Flags for rustc; none is the usual case.
    pub rustflags: &'a str,
}

impl Build<'_> {
    /// Compiles, and returns the folder with the results.
    ///
    /// All build scripts share one target folder, so shared dependencies are compiled once. It is not the main one, which
    /// cargo has locked.
    ///
    /// # Panics
    /// If the target cannot be installed or something does not compile.
    #[must_use]
    pub fn run(&self) -> PathBuf {
        ensure_target(self.target);
        let folder = target_folder();
        let status = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .args(["build", "--profile", "plugin", "--target", self.target])
            .args(self.what)
            .arg("--target-dir")
            .arg(&folder)
            // Replaces the flags of the outer build, which are for this machine.
            .env("CARGO_ENCODED_RUSTFLAGS", self.rustflags)
            .env_remove("RUSTFLAGS")
            .env_remove("RUSTC_WORKSPACE_WRAPPER")
            .status()
            .expect("cargo is there, since it runs this");
        assert!(
            status.success(),
            "{:?} does not build for {}; see above",
            self.what,
            self.target
        );
        folder.join(self.target).join("plugin")
    }
}

/// The output folder of the running build script.
///
/// # Panics
/// Outside a build script.
#[must_use]
pub fn out() -> PathBuf {
    PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it for a build script"))
}

/// The folder of the package of the running build script.
///
/// # Panics
/// Outside a build script.
#[must_use]
pub fn package() -> PathBuf {
    PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it for a build script"))
}

/// Runs the build script again when one of these changes; they are below the workspace's root, `root`.
pub fn rerun_if_changed(root: &Path, paths: &[&str]) {
    for path in paths {
        println!("cargo::rerun-if-changed={}", root.join(path).display());
    }
}

/// Installs a compilation target if rustup has not installed it already.
fn ensure_target(target: &str) {
    let rustc = env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    let libraries = Command::new(rustc)
        .args(["--print", "target-libdir", "--target", target])
        .output();
    let installed = libraries
        .is_ok_and(|output| Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_dir());
    if installed {
        return;
    }
    println!("cargo::warning=adding the target {target}, which plugins are compiled for");
    let added = Command::new("rustup")
        .args(["target", "add", target])
        .status();
    assert!(
        added.is_ok_and(|status| status.success()),
        "the target {target} is missing: run `rustup target add {target}`, or install it with your Rust toolchain"
    );
}

/// Below the workspace's target folder, whatever its name: it is the folder with cargo's tag file.
fn target_folder() -> PathBuf {
    let out = out();
    out.ancestors()
        .find(|folder| folder.join("CACHEDIR.TAG").is_file())
        .unwrap_or(&out)
        .join("plugins")
}
