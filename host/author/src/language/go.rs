//! Go: the official toolchain, for `wasip1`, with an adapter to components.

use std::env::consts;
use std::path::Path;
use std::process::Command;

use wit_bindgen_core::Files as Generated;

use crate::build;
use crate::componentize;
use crate::embedded;
use crate::kit::Files;
use crate::project::Project;
use crate::tool::{self, Error};

/// Where bindings are in the module `sluicegate`, which is `kit/sluicegate`.
const BINDINGS: &str = "sluicegate/internal/wit";

/// Where the generator expects the code that bindings need at run time. It is taken from the generator's own sources, so that no
/// module has to be downloaded.
const RUNTIME: &str = "go.bytecodealliance.org/pkg/wit";

/// What is only for calls that the contract does not have.
const UNUSED: [&str; 2] = ["types/future.go", "types/stream.go"];

/// The first version that can export functions from any package, as the bindings do, and has what they use.
const OLDEST: (u32, u32) = (1, 25);
/// The version that the documentation names.
const TESTED: &str = "1.26.8";

/// Adds the bindings and what they need at run time.
pub(super) fn generate(project: &Project, kit: &mut Files) {
    let (mut contract, world) = project.contract();
    let options = wit_bindgen_go::Opts {
        // Nobody reads them, and gofmt may be missing.
        format: wit_bindgen_go::Format::False,
        pkg_name: Some(BINDINGS.into()),
        ..wit_bindgen_go::Opts::default()
    };
    let mut files = Generated::default();
    options
        .build()
        .generate(&mut contract.resolve, world, &mut files)
        .expect("the contract has nothing that Go cannot have");
    let mut add = |name: &str, bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes).replace(RUNTIME, BINDINGS);
        kit.insert(format!("{BINDINGS}/{name}"), text.into());
    };
    for (name, bytes) in files.iter() {
        add(name, bytes);
    }
    for (name, bytes) in embedded::files("go/") {
        if !UNUSED.contains(&name) {
            add(name, bytes);
        }
    }
}

pub(super) fn build(project: &Project) -> Result<Vec<u8>, build::Error> {
    let Some(go) = tool::find(&["go"]) else {
        return Err(missing("Go").into());
    };
    let version = tool::ask(
        Command::new(&go)
            .args(["env", "GOVERSION"])
            .current_dir(&project.folder),
    )
    .unwrap_or_default();
    if !is_new_enough(&version) {
        let (major, minor) = OLDEST;
        return Err(missing(&format!("Go {major}.{minor} or newer ({version} is there)")).into());
    }
    let module = project.build().join(build::MODULE);
    compile(&go, project, &module)?;
    let mut module = tool::output(&go, &module)?;
    let (contract, world) = project.contract();
    componentize::embed(&mut module, &contract, world)?;
    Ok(componentize::component(&module)?)
}

fn compile(go: &Path, project: &Project, module: &Path) -> Result<(), Error> {
    let module = std::path::absolute(module).unwrap_or_else(|_| module.to_owned());
    let mut command = Command::new(go);
    command
        .args(["build", "-buildmode=c-shared", "-trimpath"])
        // Before Go's own start, the bindings take memory by a function of its runtime.
        .arg("-ldflags=-s -w -checklinkname=0")
        .arg("-o")
        .arg(module)
        .arg(".")
        .current_dir(&project.folder)
        .env("GOOS", "wasip1")
        .env("GOARCH", "wasm")
        // A workspace around the project is none of its business.
        .env("GOWORK", "off");
    tool::run(&mut command)
}

fn missing(what: &str) -> Error {
    let arch = match consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let system = match consts::OS {
        "macos" => "darwin",
        other => other,
    };
    let command = format!(
        "curl -L https://go.dev/dl/go{TESTED}.{system}-{arch}.tar.gz | tar -C /usr/local -xz && export PATH=$PATH:/usr/local/go/bin"
    );
    Error::missing(what, &[&command])
}

/// Whether a version such as `go1.26.8` is one that works.
fn is_new_enough(version: &str) -> bool {
    let mut parts = version
        .trim_start_matches("go")
        .split(['.', '-', ' ', 'r', 'b'])
        .map(|part| part.parse::<u32>().unwrap_or(0));
    let found = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    found >= OLDEST
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::{Export, Language};

    #[test]
    fn versions_are_compared_by_numbers() {
        for version in ["go1.25", "go1.26.8", "go1.27rc1", "go2.0"] {
            assert!(is_new_enough(version), "{version}");
        }
        for version in ["go1.24.9", "go1.9", "", "devel"] {
            assert!(!is_new_enough(version), "{version}");
        }
    }

    #[test]
    fn bindings_are_a_part_of_the_kit_and_need_no_other_module() {
        let project = Project {
            name: "my-filter".into(),
            exports: vec![Export::Gate],
            ..Project::new(Language::Go)
        };
        let mut kit = Files::new();
        generate(&project, &mut kit);
        for name in [
            "wit_exports/wit_exports.go",
            "runtime/runtime.go",
            "types/option.go",
        ] {
            assert!(kit.contains_key(&format!("{BINDINGS}/{name}")), "{name}");
        }
        for (name, bytes) in &kit {
            assert!(
                !String::from_utf8_lossy(bytes).contains("go.bytecodealliance.org/pkg/wit"),
                "{name}"
            );
        }
    }
}
