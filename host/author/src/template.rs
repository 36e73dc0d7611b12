//! New projects, from the templates of the languages; [`render`](crate::render) has their rules.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::embedded;
use crate::kit::{self, Files};
use crate::names::Language;
use crate::project::{self, Project};
use crate::render::render;

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

/// What describes the configuration of a plugin.
const SCHEMA: &str = "config.schema.json";

/// The author's files of a new project.
fn files(project: &Project) -> Files {
    let mut files = Files::new();
    for folder in project.language.folders().templates {
        for (name, bytes) in embedded::files(folder) {
            // In Rust the schema is made from a type.
            if project.language == Language::Rust && name == SCHEMA {
                continue;
            }
            if let Some(bytes) = render(name, bytes, project) {
                files.insert(name.to_owned(), bytes);
            }
        }
    }
    files
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::names::{Export, Language};
    use crate::render::{Mark, mark};

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
        let made = new(&wanted(&inner)).expect("a project");
        assert_eq!(Project::read(&inner).expect("a project"), made);
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
        let rust = files(&project(Language::Rust, vec![Export::Gate]));
        assert!(!rust.contains_key(SCHEMA) && rust.contains_key("src/lib.rs"));
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
