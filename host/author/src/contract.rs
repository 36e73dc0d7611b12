//! The contract as this program embeds it: its version, and what a project may import beside the base world.

use std::fmt::Write as _;
use std::sync::OnceLock;

use wit_bindgen_core::wit_parser::{PackageId, Resolve, SourceMap, WorldId, WorldKey};

use crate::embedded;
use crate::names::Export;

/// The world that every plugin has.
const BASE: &str = "plugin";

/// The file in `kit/wit/` with the project's own world.
pub(crate) const WORLD_FILE: &str = "project.wit";

/// The contract, parsed.
pub(crate) struct Contract {
    pub(crate) resolve: Resolve,
    package: PackageId,
}

impl Contract {
    /// The contract alone.
    pub(crate) fn embedded() -> &'static Self {
        static CONTRACT: OnceLock<Contract> = OnceLock::new();
        CONTRACT.get_or_init(|| Self::parse(None))
    }

    /// The contract, and in it a world of a project's own; see [`world`].
    pub(crate) fn with(name: &str, world: &str) -> (Self, WorldId) {
        let contract = Self::parse(Some(world));
        let world = contract.world(name);
        (contract, world)
    }

    /// A project that was read has a legal name and known imports, so its world is valid, too.
    fn parse(world: Option<&str>) -> Self {
        let mut sources = SourceMap::new();
        // Beside them there are words about it.
        let files = embedded::files("wit/").filter(|(name, _)| name.ends_with(".wit"));
        for (name, bytes) in files {
            let text = std::str::from_utf8(bytes).expect("WIT is UTF-8");
            sources.push_str(name, text);
        }
        if let Some(world) = world {
            sources.push_str(WORLD_FILE, world);
        }
        let group = sources.parse();
        let group = group.unwrap_or_else(|(_, error)| panic!("the contract is invalid: {error}"));
        let mut resolve = Resolve::default();
        let package = resolve.push_group(group);
        let package = package.expect("the contract refers only to itself");
        Self { resolve, package }
    }

    fn world(&self, name: &str) -> WorldId {
        self.resolve.packages[self.package].worlds[name]
    }

    /// The version of the package, such as `0.2.0`.
    pub(crate) fn version(&self) -> String {
        let name = &self.resolve.packages[self.package].name;
        let version = name.version.as_ref();
        version.expect("the contract has a version").to_string()
    }

    /// The name of an interface in a component.
    pub(crate) fn interface(&self, name: &str) -> String {
        self.resolve.id_of_name(self.package, name)
    }

    /// The interfaces that a project may import: those with functions that the base world neither imports nor lets be exported.
    pub(crate) fn imports(&self) -> Vec<&str> {
        let base = &self.resolve.worlds[self.world(BASE)];
        let is_base = |id| {
            base.imports
                .keys()
                .any(|key| matches!(key, WorldKey::Interface(it) if *it == id))
        };
        let package = &self.resolve.packages[self.package];
        let interfaces = package.interfaces.iter();
        interfaces
            .filter(|(name, id)| {
                let has_functions = !self.resolve.interfaces[**id].functions.is_empty();
                has_functions && !is_base(**id) && Export::find(name).is_none()
            })
            .map(|(name, _)| name.as_str())
            .collect()
    }

    /// Whether the contract already uses a name for a world or an interface.
    pub(crate) fn uses(&self, name: &str) -> bool {
        let package = &self.resolve.packages[self.package];
        package.worlds.contains_key(name) || package.interfaces.contains_key(name)
    }
}

/// A project's own world, as a file of the contract's package.
pub(crate) fn world(name: &str, imports: &[String], exports: &[Export]) -> String {
    let version = Contract::embedded().version();
    let mut text = format!(
        "package sluicegate:plugin@{version};\n\n/// What this plugin imports and exports.\nworld %{name} {{\n  include {BASE};\n"
    );
    for import in imports {
        let _ = writeln!(text, "  import {import};");
    }
    for export in exports {
        let _ = writeln!(text, "  export {export};");
    }
    text.push_str("}\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_contract_is_valid_and_has_every_export() {
        let contract = Contract::embedded();
        for export in Export::ALL {
            assert!(contract.uses(export.name()), "{export}");
            let id = format!("sluicegate:plugin/{export}@{}", contract.version());
            assert_eq!(contract.interface(export.name()), id);
        }
        for import in contract.imports() {
            assert!(!["exchange", "log", "types", "gate"].contains(&import));
        }
    }

    #[test]
    fn a_world_has_what_the_project_says_and_any_name() {
        for name in ["interface", "my-filter"] {
            let text = world(name, &[], &[Export::Gate, Export::Events]);
            let (contract, world) = Contract::with(name, &text);
            let world = &contract.resolve.worlds[world];
            let mut exports: Vec<String> = world
                .exports
                .keys()
                .map(|key| contract.resolve.name_world_key(key))
                .collect();
            exports.sort();
            let interface = |name: &str| contract.interface(name);
            let expected = [
                "configure".to_owned(),
                "describe".to_owned(),
                interface("events"),
                interface("gate"),
            ];
            assert_eq!(exports, expected);
        }
    }
}
