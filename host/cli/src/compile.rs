//! Who compiles the plugins of a gateway: a child of this very program, behind a cache. And the command that is the child.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use sluicegate_plugin_host::cache::{self, Cached};
use sluicegate_plugin_host::compile::child::{Child, Limits};
use sluicegate_plugin_host::compile::{Compiler, worker};

/// The command's name, which no person types.
pub(super) const NAME: &str = "compile-plugin";

/// Compiles one plugin, from standard input to standard output.
pub(super) fn compile() -> ExitCode {
    match worker::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sluicegate: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The compiler of a gateway that serves, with its cache in this folder, if there is one.
///
/// # Errors
/// If the system does not say where this program is.
pub(super) fn compiler(folder: Option<&Path>) -> io::Result<Arc<dyn Compiler>> {
    let child = Arc::new(Child::new(this_program()?, [NAME], Limits::default()));
    let Some(folder) = folder else {
        tracing::info!("there is no folder for compiled plugins: every start compiles them");
        return Ok(child);
    };
    match Cached::open(folder, cache::MOST, child.clone()) {
        Ok(cached) => Ok(Arc::new(cached)),
        Err(error) => {
            tracing::warn!(%error, "compiled plugins are not cached: every start compiles them");
            Ok(child)
        }
    }
}

/// On Linux by the name that leads to the file that runs, even if another one is in its place by now.
fn this_program() -> io::Result<PathBuf> {
    let running = Path::new("/proc/self/exe");
    if running.exists() {
        return Ok(running.to_owned());
    }
    std::env::current_exe()
}
