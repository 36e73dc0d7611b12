//! A plugin project: its folder and its `plugin.toml`.

use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use wit_bindgen_core::wit_parser::{WorldId, validate_id};

use crate::contract::{self, Contract};
use crate::names::{Export, Language};

/// The file that makes a folder a project.
pub const FILE: &str = "plugin.toml";

/// The most characters of a name. Arbitrary: it is a part of paths, log lines and labels of metrics.
const NAME_MAX: usize = 64;

/// A project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Project {
    /// Its folder.
    pub folder: PathBuf,
    /// The plugin's name: lower-case words of letters and digits, joined by `-`.
    pub name: String,
    /// The language of its sources.
    pub language: Language,
    /// The interfaces that it exports: at least one, in the order of [`Export::ALL`].
    pub exports: Vec<Export>,
    /// The interfaces that it imports beside those that every plugin has.
    pub imports: Vec<String>,
    /// The engine, for languages that have a choice.
    pub engine: Option<String>,
}

/// Why a folder is no project.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such file, or it cannot be read.
    #[error("{} cannot be read: a project is a folder with a file {FILE}, as `plugin new` makes it", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is not TOML, or has unknown or wrong members.
    #[error("{} is wrong", .path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where and why.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// What it says cannot be; each with how to mend it.
    #[error("{} cannot be used:\n  {}", .path.display(), .problems.join("\n  "))]
    Problems {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problems: Vec<String>,
    },
}

/// The file as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    name: String,
    language: String,
    exports: Vec<String>,
    #[serde(default)]
    imports: Vec<String>,
    engine: Option<String>,
}

impl Project {
    /// A project without a folder, a name and exports.
    pub(crate) fn new(language: Language) -> Self {
        Self {
            folder: PathBuf::new(),
            name: String::new(),
            language,
            exports: Vec::new(),
            imports: Vec::new(),
            engine: None,
        }
    }

    /// Whether a folder holds a project.
    pub fn is_in(folder: &Path) -> bool {
        folder.join(FILE).is_file()
    }

    /// Reads the project in a folder.
    ///
    /// # Errors
    /// Every variant of [`Error`]; all problems are reported together.
    pub fn read(folder: &Path) -> Result<Self, Error> {
        let path = folder.join(FILE);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(source) => return Err(Error::Unreadable { path, source }),
        };
        let raw: Raw = match toml::from_str(&text) {
            Ok(raw) => raw,
            Err(source) => {
                let source = Box::new(source);
                return Err(Error::Syntax { path, source });
            }
        };
        let mut problems = Vec::new();
        problems.extend(name_problem(&raw.name));
        let language = language(&raw.language).map_err(|problem| problems.push(problem));
        let exports = exports(&raw.exports, &mut problems);
        let imports = imports(&raw.imports, &mut problems);
        match language {
            Ok(language) if problems.is_empty() => Ok(Self {
                folder: folder.to_owned(),
                name: raw.name,
                language,
                exports,
                imports,
                engine: raw.engine,
            }),
            Ok(_) | Err(()) => Err(Error::Problems { path, problems }),
        }
    }

    /// The folder that is written by this program and never by the author.
    pub fn kit(&self) -> PathBuf {
        self.folder.join("kit")
    }

    /// The folder for what is built.
    pub fn build(&self) -> PathBuf {
        self.folder.join("build")
    }

    /// The component, once it is built.
    pub fn component(&self) -> PathBuf {
        self.build().join(format!("{}.wasm", self.name))
    }

    /// The cases for `plugin test`.
    pub fn cases(&self) -> PathBuf {
        self.folder.join("cases")
    }

    /// Its own world, as a file of the contract's package.
    pub(crate) fn world(&self) -> String {
        contract::world(&self.name, &self.imports, &self.exports)
    }

    /// The contract, and its own world in it.
    pub(crate) fn contract(&self) -> (Contract, WorldId) {
        Contract::with(&self.name, &self.world())
    }

    /// Whether it exports this, or imports it.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.exports.iter().any(|export| export.name() == name)
            || self.imports.iter().any(|import| import == name)
    }
}

/// What is wrong with a name.
pub(crate) fn name_problem(name: &str) -> Option<String> {
    let is_lower = name.chars().all(|it| !it.is_ascii_uppercase());
    if name.len() > NAME_MAX || !is_lower || validate_id(name).is_err() {
        return Some(format!(
            "the name `{name}` cannot be a plugin's: use at most {NAME_MAX} lower-case letters and digits in words that begin with a letter and are joined by `-`, such as `block-words`"
        ));
    }
    Contract::embedded().uses(name).then(|| {
        format!(
            "the name `{name}` means something in the contract: use another, such as `my-{name}`"
        )
    })
}

pub(crate) fn language(name: &str) -> Result<Language, String> {
    Language::find(name).ok_or_else(|| {
        let known = Language::ALL.map(Language::name).join(", ");
        format!("there is no language `{name}`; there are {known}")
    })
}

/// The exports in the contract's order, each once.
pub(crate) fn exports(names: &[String], problems: &mut Vec<String>) -> Vec<Export> {
    let known = Export::ALL.map(Export::name).join(", ");
    let mut exports = Vec::new();
    for name in names {
        match Export::find(name) {
            Some(export) if exports.contains(&export) => {}
            Some(export) => exports.push(export),
            None => problems.push(format!("there is no export `{name}`; there are {known}")),
        }
    }
    if names.is_empty() {
        problems.push(format!("a plugin has at least one export: {known}"));
    }
    if exports.contains(&Export::Chunks) && !exports.contains(&Export::Response) {
        problems.push("the export `chunks` needs `response`, whose plan asks for chunks".into());
    }
    exports.sort();
    exports
}

/// The imports, each once.
pub(crate) fn imports(names: &[String], problems: &mut Vec<String>) -> Vec<String> {
    let contract = Contract::embedded();
    let known = contract.imports();
    let mut imports: Vec<String> = Vec::new();
    for name in names {
        if !known.contains(&name.as_str()) {
            let known = if known.is_empty() {
                "none in this version".to_owned()
            } else {
                known.join(", ")
            };
            problems.push(format!("there is no import `{name}`; there are {known}"));
        } else if !imports.contains(name) {
            imports.push(name.clone());
        }
    }
    imports
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Project, String> {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join(FILE), text).expect("room");
        Project::read(folder.path()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_project_says_name_language_and_exports() {
        let project = read(
            "name = \"my-filter\"\nlanguage = \"c\"\nexports = [\"events\", \"gate\", \"gate\"]\n",
        )
        .expect("a project");
        assert_eq!(project.language, Language::C);
        assert_eq!(project.exports, [Export::Gate, Export::Events]);
        assert!(project.component().ends_with("build/my-filter.wasm"));
        assert!(project.has("gate") && !project.has("closing"));
    }

    #[test]
    fn all_problems_are_reported_together() {
        let error = read(
            "name = \"My Filter\"\nlanguage = \"cobol\"\nexports = [\"gates\", \"chunks\"]\nimports = [\"files\"]\n",
        )
        .expect_err("wrong");
        for words in [
            "`My Filter` cannot be",
            "no language `cobol`; there are rust, c",
            "no export `gates`; there are gate, request",
            "`chunks` needs `response`",
            "no import `files`",
        ] {
            assert!(error.contains(words), "{words}: {error}");
        }
    }

    #[test]
    fn unknown_members_are_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let text = "name = \"a\"\nlanguage = \"c\"\nexport = [\"gate\"]\n";
        std::fs::write(folder.path().join(FILE), text).expect("room");
        let error = Project::read(folder.path()).expect_err("wrong");
        assert!(matches!(error, Error::Syntax { .. }), "{error}");
        let missing = Project::read(&folder.path().join("b")).expect_err("nothing");
        assert!(matches!(missing, Error::Unreadable { .. }), "{missing}");
    }

    #[test]
    fn names_are_words_joined_by_hyphens() {
        for name in ["a", "block-words", "v2", "interface"] {
            assert_eq!(name_problem(name), None, "{name}");
        }
        let long = "a".repeat(NAME_MAX + 1);
        for name in [
            "", "A", "a_b", "-a", "a-", "a--b", "1a", "../a", "a b", "é", &long, "gate", "plugin",
        ] {
            assert!(name_problem(name).is_some(), "{name}");
        }
    }
}
