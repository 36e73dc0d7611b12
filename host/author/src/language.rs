//! The languages that authors use. What differs between them is here and in a file each.

mod c;
mod go;
mod javascript;
mod python;
mod rust;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::build;
use crate::kit::Files;
use crate::project::Project;

/// What new projects of all languages have: `plugin.toml`, the schema, the cases.
const COMMON: &str = "kits/template/";

/// A language.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// With the SDK.
    Rust,
    /// By clang or zig.
    C,
    /// By QuickJS or StarlingMonkey.
    JavaScript,
    /// As JavaScript, with types that are checked.
    TypeScript,
    /// By componentize-py.
    Python,
    /// By the official toolchain.
    Go,
}

impl Language {
    /// All.
    pub const ALL: [Self; 6] = [
        Self::Rust,
        Self::C,
        Self::JavaScript,
        Self::TypeScript,
        Self::Python,
        Self::Go,
    ];

    /// Its name in `plugin.toml`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::C => "c",
            Self::JavaScript => "javascript",
            Self::TypeScript => "typescript",
            Self::Python => "python",
            Self::Go => "go",
        }
    }

    /// Its short name on the command line, if it has one.
    const fn short(self) -> Option<&'static str> {
        match self {
            Self::Rust => Some("rs"),
            Self::JavaScript => Some("js"),
            Self::TypeScript => Some("ts"),
            Self::Python => Some("py"),
            Self::C | Self::Go => None,
        }
    }

    /// The language of this name or short name.
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|language| language.name() == name || language.short() == Some(name))
    }

    /// The embedded folders whose files become `kit/`, and those that become a new project.
    pub(crate) const fn folders(self) -> Folders {
        match self {
            Self::Rust => Folders {
                kit: &["rust/"],
                templates: &[COMMON, "kits/rust/template/"],
            },
            Self::C => Folders {
                kit: &["kits/c/"],
                templates: &[COMMON, "kits/c/template/"],
            },
            Self::JavaScript => Folders {
                kit: &["kits/javascript/"],
                templates: &[COMMON, "kits/javascript/template/"],
            },
            Self::TypeScript => Folders {
                kit: &["kits/javascript/", "kits/typescript/"],
                templates: &[COMMON, "kits/typescript/template/"],
            },
            Self::Python => Folders {
                kit: &["kits/python/"],
                templates: &[COMMON, "kits/python/template/"],
            },
            Self::Go => Folders {
                kit: &["kits/go/"],
                templates: &[COMMON, "kits/go/template/"],
            },
        }
    }

    /// Adds what is generated for the project to its kit, such as bindings.
    pub(crate) fn generate(self, project: &Project, kit: &mut Files) {
        match self {
            Self::Rust | Self::JavaScript | Self::TypeScript | Self::Python => {}
            Self::C => c::generate(project, kit),
            Self::Go => go::generate(project, kit),
        }
    }

    /// Makes the component by the language's own tools. The kit is there, and so is the folder `build/`.
    pub(crate) fn build(self, project: &Project) -> Result<Vec<u8>, build::Error> {
        match self {
            Self::Rust => rust::build(project),
            Self::C => c::build(project),
            Self::JavaScript | Self::TypeScript => javascript::build(project),
            Self::Python => python::build(project),
            Self::Go => go::build(project),
        }
    }
}

/// Where the embedded files of a language are.
pub(crate) struct Folders {
    pub(crate) kit: &'static [&'static str],
    pub(crate) templates: &'static [&'static str],
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
