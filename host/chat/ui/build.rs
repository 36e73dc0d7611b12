//! Embeds the files of the chat page, and the Markdown module, which is compiled here.
//!
//! The result is `page.rs` in the build's output folder: a table of path and bytes.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use sluicegate_wasm_build::{BARE, Build, out, package, rerun_if_changed};

/// What the page is made of, below this folder.
const PARTS: [&str; 5] = ["app.css", "i18n", "icon.svg", "index.html", "js"];

fn main() {
    let ui = package();
    rerun_if_changed(&ui, &PARTS);
    rerun_if_changed(&ui, &["markdown/src", "markdown/Cargo.toml"]);
    let modules = Build {
        target: BARE,
        what: &["--package", "sluicegate-markdown"],
        rustflags: "",
    }
    .run();
    let mut files = vec![(
        "markdown.wasm".to_owned(),
        modules.join("sluicegate_markdown.wasm"),
    )];
    for part in PARTS {
        list(&ui.join(part), part, &mut files);
    }
    files.sort();
    let mut table = String::from("pub(super) const FILES: &[(&str, &[u8])] = &[\n");
    for (name, path) in files {
        writeln!(table, "    ({name:?}, include_bytes!({path:?})),").expect("a string takes all");
    }
    table.push_str("];\n");
    fs::write(out().join("page.rs"), table).expect("the output folder can be written");
}

/// A file, or all files below a folder, by their path below the page's root.
fn list(path: &Path, name: &str, files: &mut Vec<(String, PathBuf)>) {
    if !path.is_dir() {
        files.push((name.to_owned(), path.to_owned()));
        return;
    }
    for entry in fs::read_dir(path).expect("the page's folder can be read") {
        let path = entry.expect("the page's folder can be read").path();
        let child = path.file_name().expect("an entry has a name");
        list(&path, &format!("{name}/{}", child.to_string_lossy()), files);
    }
}
