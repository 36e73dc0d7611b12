//! What differs between the languages: their folders here, their tools in a file each.

mod c;
mod go;
mod javascript;
mod python;
mod rust;

use crate::build;
use crate::kit::Files;
use crate::names::Language;
use crate::project::Project;

/// What new projects of all languages have: `plugin.toml`, the schema, the cases.
const COMMON: &str = "kits/template/";

impl Language {
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
