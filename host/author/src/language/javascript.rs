//! JavaScript and TypeScript: npm's tools in the project. A bundler makes one file of the sources and the kit, and QuickJS or
//! StarlingMonkey is put around it.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::build;
use crate::names::Language;
use crate::project::Project;
use crate::tool::{self, Error};

/// What StarlingMonkey needs beside what templates ask for.
const STARLINGMONKEY: &str = "@bytecodealliance/componentize-js";
const STARLINGMONKEY_VERSION: &str = "0.23.0";
/// What it imports without saying so in its manifest.
const SHIM: &str = "@bytecodealliance/preview2-shim";
const SHIM_VERSION: &str = "0.17.9";

pub(super) fn build(project: &Project) -> Result<Vec<u8>, build::Error> {
    let tools = Tools::of(project)?;
    if project.language == Language::TypeScript {
        let compiler = tools.program("tsc", "typescript")?;
        tool::run(tools.command(&compiler).args(["--noEmit", "-p", "."]))?;
    }
    let bundle = format!("build/{}", build::bundle(&project.name));
    bundle_into(&tools, &bundle)?;
    let program = match project.engine.as_deref() {
        None | Some("quickjs") => quickjs(&tools, project, &bundle)?,
        Some("starlingmonkey") => starlingmonkey(&tools, project, &bundle)?,
        Some(other) => {
            let words = format!(
                "there is no engine `{other}`: plugin.toml may say \"quickjs\", the default, or \"starlingmonkey\""
            );
            return Err(build::Error::Project(words));
        }
    };
    let module = tools.folder.join("build").join(build::MODULE);
    Ok(tool::output(&program, &module)?)
}

/// Makes one file of the author's sources and the kit.
fn bundle_into(tools: &Tools, bundle: &str) -> Result<(), build::Error> {
    let bundler = tools.program("esbuild", "esbuild")?;
    let mut command = tools.command(&bundler);
    command
        .args(["kit/entry.js", "--bundle", "--format=esm"])
        .args(["--platform=neutral", "--main-fields=module,main"])
        .args(["--target=es2023", "--charset=utf8"])
        // What the gateway offers is imported by the component.
        .arg("--external:sluicegate:*")
        .arg("--log-level=warning")
        .arg(format!("--outfile={bundle}"));
    tool::run(&mut command)?;
    tool::output(&bundler, &tools.folder.join(bundle))?;
    Ok(())
}

fn quickjs(tools: &Tools, project: &Project, bundle: &str) -> Result<PathBuf, build::Error> {
    let program = tools.program("componentize-qjs", "componentize-qjs")?;
    let mut command = tools.command(&program);
    command
        // The gateway's calls return when they are done. WASI is not stubbed: stack traces go to its standard error.
        .args(["--sync", "--wit", "kit/wit", "--js", bundle])
        .args(["-n", &project.name, "-o"])
        .arg(Path::new("build").join(build::MODULE));
    tool::run(&mut command)?;
    Ok(program)
}

fn starlingmonkey(tools: &Tools, project: &Project, bundle: &str) -> Result<PathBuf, build::Error> {
    if tools.find(STARLINGMONKEY).is_none() || tools.find(SHIM).is_none() {
        let install = format!(
            "npm install --save-dev --save-exact {STARLINGMONKEY}@{STARLINGMONKEY_VERSION} {SHIM}@{SHIM_VERSION}"
        );
        return Err(tools.missing("StarlingMonkey's tool", &install).into());
    }
    let mut command = tools.command(&tools.node);
    command
        .args(["kit/starlingmonkey.js", bundle, &project.name])
        .arg(Path::new("build").join(build::MODULE));
    if project.has("http") {
        command.arg("fetch");
    }
    tool::run(&mut command)?;
    Ok(tools.node.clone())
}

/// Node, and the folder in which its tools are looked for.
struct Tools {
    node: PathBuf,
    folder: PathBuf,
}

impl Tools {
    /// # Errors
    /// There is no Node.
    fn of(project: &Project) -> Result<Self, Error> {
        let Some(node) = tool::find(&["node"]) else {
            let install = ["apt-get install nodejs npm", "brew install node"];
            return Err(Error::missing("Node.js with npm", &install));
        };
        // Commands run in the folder: a program's path must not depend on that.
        let folder = std::path::absolute(&project.folder);
        let folder = folder.unwrap_or_else(|_| project.folder.clone());
        Ok(Self { node, folder })
    }

    /// Something in `node_modules` of the folder or, as Node itself looks for it, of one around it.
    fn find(&self, name: &str) -> Option<PathBuf> {
        let folders = self.folder.ancestors();
        folders
            .map(|folder| folder.join("node_modules").join(name))
            .find(|path| path.exists())
    }

    /// A program of a package.
    ///
    /// # Errors
    /// The package is not installed: which command installs it depends on whether package.json names it.
    fn program(&self, name: &str, package: &str) -> Result<PathBuf, Error> {
        self.find(&format!(".bin/{name}")).ok_or_else(|| {
            let manifest = std::fs::read_to_string(self.folder.join("package.json"));
            let is_named = manifest.is_ok_and(|text| text.contains(&format!("\"{package}\"")));
            let install = if is_named {
                "npm install".to_owned()
            } else {
                format!("npm install --save-dev --save-exact {package}")
            };
            self.missing(&format!("{package} (from npm)"), &install)
        })
    }

    fn missing(&self, what: &str, install: &str) -> Error {
        let is_here = env::current_dir().is_ok_and(|here| here == self.folder);
        let folder = self.folder.display();
        let command = if is_here {
            install.to_owned()
        } else {
            format!("cd {folder} && {install}")
        };
        Error::missing(what, &[&command])
    }

    /// A command that runs in the project's folder.
    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.folder);
        command
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tools(folder: &Path) -> Tools {
        Tools {
            node: "node".into(),
            folder: folder.to_owned(),
        }
    }

    #[test]
    fn a_tool_is_looked_for_as_node_does_it() {
        let outer = tempfile::tempdir().expect("a folder");
        let inner = outer.path().join("filters/mine");
        std::fs::create_dir_all(&inner).expect("room");
        let bin = outer.path().join("node_modules/.bin");
        std::fs::create_dir_all(&bin).expect("room");
        std::fs::write(bin.join("esbuild"), "").expect("room");
        let found = tools(&inner)
            .program("esbuild", "esbuild")
            .expect("it is there");
        assert_eq!(found, bin.join("esbuild"));
    }

    #[test]
    fn a_missing_tool_comes_with_the_command_for_this_project() {
        let folder = tempfile::tempdir().expect("a folder");
        let tools = tools(folder.path());
        let install = |package| match tools.program(package, package) {
            Err(Error::Missing { install, .. }) => install.join("\n"),
            other => panic!("{other:?}"),
        };
        let cd = format!("cd {} && npm install", folder.path().display());
        let saved = format!("{cd} --save-dev --save-exact no-such-tool");
        assert_eq!(install("no-such-tool"), saved);
        let manifest = r#"{"devDependencies":{"no-such-tool":"1.0.0"}}"#;
        std::fs::write(folder.path().join("package.json"), manifest).expect("room");
        assert_eq!(install("no-such-tool"), cd);
    }
}
