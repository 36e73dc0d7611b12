//! C: clang with WASI's library, or zig.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use wit_bindgen_core::Files as Generated;

use crate::build;
use crate::componentize;
use crate::kit::Files;
use crate::project::Project;
use crate::tool::{self, Error};

/// The version of zig that the documentation names.
const ZIG: &str = "0.17.1";

/// The file of a project that describes its configuration.
const SCHEMA: &str = "config.schema.json";
/// In place of a schema.
const NO_CONFIGURATION: &str = r#"{"type":"object","additionalProperties":false}"#;

/// What of the kit is compiled.
const KIT: [&str; 3] = ["plugin.c", "sluicegate.c", "json.c"];

/// Adds the bindings: `plugin.h`, `plugin.c` and an object file with the world. The world is called `plugin` in them, so that
/// types have the same names in every project.
pub(super) fn generate(project: &Project, kit: &mut Files) {
    let (mut contract, world) = project.contract();
    let options = wit_bindgen_c::Opts {
        rename_world: Some("plugin".into()),
        ..wit_bindgen_c::Opts::default()
    };
    let mut files = Generated::default();
    options
        .build()
        .generate(&mut contract.resolve, world, &mut files)
        .expect("the contract has nothing that C cannot have");
    for (name, bytes) in files.iter() {
        kit.insert(name.to_owned(), bytes.to_vec());
    }
    kit.insert("config_schema.h".into(), schema(&project.folder).into());
}

/// A header with the schema of the configuration as a literal. Without a schema only an empty configuration is accepted.
fn schema(folder: &Path) -> String {
    let text = fs::read_to_string(folder.join(SCHEMA));
    let text = text.unwrap_or_else(|_| NO_CONFIGURATION.into());
    let mut header = format!("// {SCHEMA} as a literal.\n#define SG_CONFIG_SCHEMA");
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let literal = line.replace('\\', "\\\\").replace('"', "\\\"");
        // Two question marks would begin a trigraph.
        header.push_str(&format!(" \\\n  \"{}\"", literal.replace('?', "\\?")));
    }
    header.push('\n');
    header
}

pub(super) fn build(project: &Project) -> Result<Vec<u8>, build::Error> {
    let compiler = Compiler::find()?;
    let mut sources = sources(&project.folder)?;
    sources.extend(KIT.map(|name| project.kit().join(name)));
    let module = project.build().join(build::MODULE);
    let mut command = compiler.command();
    command
        .args([
            "-mexec-model=reactor",
            "-std=c17",
            "-O2",
            "-Wall",
            "-Wextra",
        ])
        // Generated code has parameters that it does not use.
        .args(["-Wno-unused-parameter", "-s"])
        // A sandbox's memory is scanned when it is given back, so it should be small.
        .arg("-Wl,-z,stack-size=131072")
        .arg("-I")
        .arg(project.kit())
        .args(&sources)
        .arg(project.kit().join("plugin_component_type.o"))
        .arg("-o")
        .arg(&module);
    tool::run(&mut command)?;
    let module = tool::output(&compiler.program, &module)?;
    Ok(componentize::component(&module)?)
}

/// The author's sources: the `.c` files in the folder and in `src`.
fn sources(folder: &Path) -> Result<Vec<PathBuf>, build::Error> {
    let mut sources: Vec<PathBuf> = [folder.to_owned(), folder.join("src")]
        .iter()
        .filter_map(|folder| fs::read_dir(folder).ok())
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "c"))
        .collect();
    sources.sort();
    if sources.is_empty() {
        let words = format!(
            "{} has no .c file, and neither has src/ in it",
            folder.display()
        );
        return Err(build::Error::Project(words));
    }
    Ok(sources)
}

/// A compiler with what it needs to compile for WASI.
struct Compiler {
    program: PathBuf,
    arguments: Vec<String>,
}

impl Compiler {
    /// The WASI SDK that the environment names, else a clang that has all it needs, else zig.
    ///
    /// # Errors
    /// What is missing.
    fn find() -> Result<Self, Error> {
        if let Some(sdk) = env::var_os("WASI_SDK_PATH") {
            return Ok(Self {
                program: Path::new(&sdk).join("bin/clang"),
                arguments: vec!["--target=wasm32-wasip1".into()],
            });
        }
        let mut lacking = None;
        for name in ["clang-21", "clang-20", "clang-19", "clang-18", "clang"] {
            let Some(program) = tool::find(&[name]) else {
                continue;
            };
            match lacks(&program) {
                None => {
                    return Ok(Self {
                        program,
                        arguments: vec!["--target=wasm32-wasi".into()],
                    });
                }
                Some(what) => lacking = lacking.or(Some(format!("{name} is there, but {what}"))),
            }
        }
        if let Some(program) = tool::find(&["python3", "python"])
            && tool::ask(Command::new(&program).args(["-c", "import ziglang"])).is_some()
        {
            return Ok(Self::zig(program, &["-m", "ziglang"]));
        }
        if let Some(program) = tool::find(&["zig"]) {
            return Ok(Self::zig(program, &[]));
        }
        let what = lacking.unwrap_or_else(|| "a C compiler for WebAssembly".into());
        let zig = format!("pip install ziglang=={ZIG}");
        let debian = "apt-get install clang-19 lld-19 wasi-libc libclang-rt-19-dev-wasm32";
        Err(Error::missing(&what, &[debian, &zig]))
    }

    fn zig(program: PathBuf, before: &[&str]) -> Self {
        let after = ["cc", "-target", "wasm32-wasi"];
        let arguments = before.iter().chain(&after);
        Self {
            program,
            arguments: arguments.map(|&it| it.to_owned()).collect(),
        }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments);
        command
    }
}

/// What a clang lacks to compile for WASI: its linker, the C library, or the compiler's own run-time library.
fn lacks(clang: &Path) -> Option<String> {
    let ask = |question: &str| {
        let mut command = Command::new(clang);
        tool::ask(command.args(["--target=wasm32-wasi", question])).unwrap_or_default()
    };
    // It prints the bare name of what it does not find.
    let is_found = |answer: &str| Path::new(answer).is_absolute() && Path::new(answer).exists();
    if !is_found(&ask("-print-prog-name=wasm-ld")) {
        return Some("its linker wasm-ld".into());
    }
    if !is_found(&ask("-print-file-name=libc.a")) {
        return Some("WASI's C library".into());
    }
    if !is_found(&ask("-print-libgcc-file-name")) {
        return Some("its run-time library for WebAssembly".into());
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_is_a_literal_of_c() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(schema(folder.path()).contains(r#"\"additionalProperties\":false"#));
        let text = "{\n  \"pattern\": \"\\\\d??\"\n}\n";
        fs::write(folder.path().join(SCHEMA), text).expect("room");
        assert_eq!(
            schema(folder.path()),
            concat!(
                "// config.schema.json as a literal.\n#define SG_CONFIG_SCHEMA \\\n  \"{\" \\\n",
                r#"  "\"pattern\": \"\\\\d\?\?\"" \"#,
                "\n  \"}\"\n"
            )
        );
    }

    #[test]
    fn sources_are_the_c_files_of_the_folder_and_of_src() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(sources(folder.path()).is_err());
        fs::create_dir(folder.path().join("src")).expect("room");
        for name in ["b.c", "a.h", "src/a.c"] {
            fs::write(folder.path().join(name), "").expect("room");
        }
        let found = sources(folder.path()).expect("two");
        assert_eq!(
            found,
            ["b.c", "src/a.c"].map(|name| folder.path().join(name))
        );
    }
}
