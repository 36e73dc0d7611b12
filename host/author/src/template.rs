//! New projects, from the templates of the languages.
//!
//! In a file of a template, and of a kit, a line that has only `<gate>` in a comment begins a region, and one with `</gate>` ends
//! it. A region is kept if the project has that export or import, `<gate|request>` if it has one of them, `<!gate>` if it has
//! not. The lines with the marks are left out, and so is a file of which nothing is left. In JSON, commas before a closing bracket
//! are left out, too. `{{name}}` is the project's name, `{{language}}` its language, `{{contract}}` the contract's version;
//! `{{exports}}` and `{{imports}}` are lists of strings, `{{exports-as-words}}` is without quotes.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::contract::Contract;
use crate::embedded;
use crate::export::Export;
use crate::kit::{self, Files};
use crate::project::{self, Project};

/// What a new project is to be, as given on the command line.
#[derive(Debug)]
pub struct New<'a> {
    /// The plugin's name.
    pub name: &'a str,
    /// The language's name.
    pub language: &'a str,
    /// The names of exports.
    pub exports: &'a [String],
    /// The names of imports.
    pub imports: &'a [String],
    /// The project's folder.
    pub folder: &'a Path,
}

/// Why no project was made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Names that cannot be.
    #[error("{}", .0.join("\n  "))]
    Problems(Vec<String>),
    /// The folder has something in it, or is a file.
    #[error("{} is not an empty folder: name another with --dir, or empty it", .0.display())]
    NotEmpty(PathBuf),
    /// The folder cannot be read or made.
    #[error("the folder {} cannot be used", .path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file cannot be written.
    #[error(transparent)]
    Kit(#[from] kit::Error),
}

/// Makes a project: the author's files and the kit.
///
/// # Errors
/// Every variant of [`Error`]; nothing is written for the first three.
pub fn new(wanted: &New<'_>) -> Result<Project, Error> {
    let project = plan(wanted)?;
    let is_empty = fs::read_dir(&project.folder).map(|mut entries| entries.next().is_none());
    match is_empty {
        Ok(true) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Ok(false) => return Err(Error::NotEmpty(project.folder)),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            return Err(Error::NotEmpty(project.folder));
        }
        Err(source) => {
            let path = project.folder;
            return Err(Error::Folder { path, source });
        }
    }
    kit::write_all(&project.folder, &files(&project))?;
    kit::write(&project)?;
    Ok(project)
}

fn plan(wanted: &New<'_>) -> Result<Project, Error> {
    let mut problems: Vec<String> = project::name_problem(wanted.name).into_iter().collect();
    let language = project::language(wanted.language).map_err(|problem| problems.push(problem));
    let exports = project::exports(wanted.exports, &mut problems);
    let imports = project::imports(wanted.imports, &mut problems);
    match language {
        Ok(language) if problems.is_empty() => Ok(Project {
            folder: wanted.folder.to_owned(),
            name: wanted.name.to_owned(),
            exports,
            imports,
            ..Project::new(language)
        }),
        Ok(_) | Err(()) => Err(Error::Problems(problems)),
    }
}

/// The author's files of a new project.
fn files(project: &Project) -> Files {
    let mut files = Files::new();
    for folder in project.language.folders().templates {
        for (name, bytes) in embedded::files(folder) {
            if let Some(bytes) = render(name, bytes, project) {
                files.insert(name.to_owned(), bytes);
            }
        }
    }
    files
}

/// A file of a template or kit as the project gets it; `None` if nothing is left of it. What is not UTF-8 stays as it is.
pub(crate) fn render(file: &str, bytes: &[u8], project: &Project) -> Option<Vec<u8>> {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return Some(bytes.to_vec());
    };
    let mut out = String::with_capacity(text.len());
    // Whether each region around the line is kept.
    let mut regions: Vec<bool> = Vec::new();
    let mut has_marks = false;
    for line in text.split_inclusive('\n') {
        match mark(line) {
            Some(Mark::Begin(condition)) => {
                has_marks = true;
                regions.push(holds(condition, project));
            }
            Some(Mark::End) => {
                regions.pop();
            }
            None if regions.iter().all(|kept| *kept) => out.push_str(line),
            None => {}
        }
    }
    if has_marks && out.trim().is_empty() {
        return None;
    }
    // The blank lines before a region that is left out. In a message they are a part of its body.
    if has_marks && !file.ends_with(".http") {
        let end = out.trim_end().len();
        out.truncate(end);
        out.push('\n');
    }
    if has_marks && file.ends_with(".json") {
        out = without_last_commas(&out);
    }
    Some(fill(out, project).into_bytes())
}

/// Fills the placeholders.
fn fill(text: String, project: &Project) -> String {
    if !text.contains("{{") {
        return text;
    }
    let quoted = |names: &[&str]| {
        let names: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
        names.join(", ")
    };
    let exports: Vec<&str> = project.exports.iter().map(|export| export.name()).collect();
    let imports: Vec<&str> = project.imports.iter().map(String::as_str).collect();
    [
        ("{{name}}", project.name.clone()),
        ("{{language}}", project.language.name().to_owned()),
        ("{{contract}}", Contract::embedded().version()),
        ("{{exports}}", quoted(&exports)),
        ("{{exports-as-words}}", exports.join(", ")),
        ("{{imports}}", quoted(&imports)),
    ]
    .iter()
    .fold(text, |text, (name, value)| text.replace(name, value))
}

/// JSON without commas before closing brackets, which regions may leave.
fn without_last_commas(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        if line.trim_start().starts_with([']', '}']) && out.trim_end().ends_with(',') {
            let end = out.trim_end().len() - 1;
            out.remove(end);
        }
        out.push_str(line);
    }
    out
}

enum Mark<'a> {
    Begin(&'a str),
    End,
}

/// The mark that is alone in a line, apart from what makes the line a comment.
fn mark(line: &str) -> Option<Mark<'_>> {
    let line = line.trim().trim_start_matches(['/', '#', '*', ';', ' ']);
    let line = line.strip_prefix("<!--").unwrap_or(line);
    let line = line.strip_suffix("-->").unwrap_or(line);
    let line = line.strip_suffix("*/").unwrap_or(line).trim();
    let inner = line.strip_prefix('<')?.strip_suffix('>')?;
    let (is_end, names) = match inner.strip_prefix('/') {
        Some(names) => (true, names),
        None => (false, inner),
    };
    let is_known = |name: &str| {
        Export::find(name).is_some() || name == "imports" || name.starts_with("import-")
    };
    let condition = names.strip_prefix('!').unwrap_or(names);
    if !condition.split('|').all(is_known) {
        return None;
    }
    Some(if is_end {
        Mark::End
    } else {
        Mark::Begin(names)
    })
}

fn holds(condition: &str, project: &Project) -> bool {
    let has = |name: &str| match name.strip_prefix("import-") {
        Some(import) => project.imports.iter().any(|it| it == import),
        None if name == "imports" => !project.imports.is_empty(),
        None => project.has(name),
    };
    match condition.strip_prefix('!') {
        Some(names) => !names.split('|').any(has),
        None => condition.split('|').any(has),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::language::Language;

    /// Every set of exports that a plugin can have.
    fn sets() -> Vec<Vec<Export>> {
        let all = (1_u32..1 << Export::ALL.len()).map(|bits| {
            let is_in = |number: &usize| bits & (1 << number) != 0;
            let numbers = (0..Export::ALL.len()).filter(is_in);
            numbers
                .map(|number| Export::ALL[number])
                .collect::<Vec<_>>()
        });
        all.filter(|set| !set.contains(&Export::Chunks) || set.contains(&Export::Response))
            .collect()
    }

    fn project(language: Language, exports: Vec<Export>) -> Project {
        Project {
            name: "my-filter".into(),
            exports,
            ..Project::new(language)
        }
    }

    #[test]
    fn no_set_of_exports_leaves_a_mark_or_a_placeholder() {
        for language in Language::ALL {
            for set in sets() {
                let project = project(language, set);
                for (name, bytes) in files(&project) {
                    let text = String::from_utf8(bytes).expect("a template is text");
                    assert!(!text.contains("{{"), "{language}: {name}");
                    assert!(text.lines().all(|line| mark(line).is_none()), "{name}");
                    if name.ends_with(".json") {
                        let json: Result<serde_json::Value, _> = serde_json::from_str(&text);
                        assert!(json.is_ok(), "{language}: {name}: {text}");
                    }
                    if name.ends_with(".toml") {
                        let parsed: Result<toml::Table, _> = text.parse();
                        assert!(parsed.is_ok(), "{language}: {name}: {text}");
                    }
                }
            }
        }
    }

    #[test]
    fn each_region_of_an_embedded_file_ends() {
        for (name, bytes) in embedded::files("kits/") {
            let mut open: Vec<&str> = Vec::new();
            for line in std::str::from_utf8(bytes).expect("text").lines() {
                match mark(line) {
                    Some(Mark::Begin(names)) => open.push(names),
                    Some(Mark::End) => {
                        let begun = open.pop();
                        assert!(
                            begun.is_some_and(|names| line.contains(&format!("</{names}>"))),
                            "{name}: {line}"
                        );
                    }
                    None => {}
                }
            }
            assert!(open.is_empty(), "{name}: {open:?}");
        }
    }

    #[test]
    fn a_region_is_kept_for_what_the_project_has() {
        let gate = project(Language::C, vec![Export::Gate]);
        let text = "a\n// <gate>\nb {{name}}\n# <!gate>\nc\n# </!gate>\n/* </gate> */\n<!-- <request|gate> -->\nd\n// </request|gate>\n// <events>\ne\n// </events>\n<html>\n";
        let kept = render("x", text.as_bytes(), &gate).expect("something");
        assert_eq!(
            String::from_utf8_lossy(&kept),
            "a\nb my-filter\nd\n<html>\n"
        );
        assert_eq!(render("x", b"# <events>\na\n# </events>\n", &gate), None);
        let end = render("x", b"a\n\n// <events>\nb\n// </events>\n", &gate);
        assert_eq!(end.as_deref(), Some(&b"a\n"[..]));
        let json = render("x.json", b"[\n1,\n// <events>\n2\n// </events>\n]\n", &gate);
        assert_eq!(json.as_deref(), Some(&b"[\n1\n]\n"[..]));
        assert_eq!(render("x", &[0xff, 0], &gate), Some(vec![0xff, 0]));
    }

    #[test]
    fn a_folder_with_something_in_it_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let exports = ["gate".to_owned()];
        let wanted = |folder| New {
            name: "my-filter",
            language: "c",
            exports: &exports,
            imports: &[],
            folder,
        };
        let inner = folder.path().join("new/project");
        let project = new(&wanted(&inner)).expect("a project");
        assert_eq!(Project::read(&inner).expect("a project"), project);
        let names: BTreeSet<_> = fs::read_dir(&inner)
            .expect("it is there")
            .map(|entry| entry.expect("an entry").file_name())
            .collect();
        for name in [
            "plugin.toml",
            "README.md",
            ".gitignore",
            "cases",
            "kit",
            "config.schema.json",
        ] {
            assert!(names.contains(std::ffi::OsStr::new(name)), "{name}");
        }
        let again = new(&wanted(&inner)).expect_err("it is not empty");
        assert!(matches!(again, Error::NotEmpty(_)), "{again}");
        let file = new(&wanted(&inner.join("plugin.toml"))).expect_err("a file");
        assert!(matches!(file, Error::NotEmpty(_)), "{file}");
    }

    #[test]
    fn unknown_names_are_refused_with_those_that_there_are() {
        let wanted = New {
            name: "Door",
            language: "basic",
            exports: &["doors".to_owned()],
            imports: &["files".to_owned()],
            folder: Path::new("/nowhere"),
        };
        let error = new(&wanted).expect_err("wrong").to_string();
        for words in [
            "`Door`", "`basic`", "rust", "`doors`", "observer", "`files`",
        ] {
            assert!(error.contains(words), "{words}: {error}");
        }
    }
}
