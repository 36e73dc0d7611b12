//! Whether what was built for one version of the contract works with another one.
//!
//! Plugins outlive gateways. What a gateway may do to the contract they were built for: offer more functions and interfaces to
//! import, and know more phases, which are interfaces of their own to export. It may not take anything away, and no type and no
//! function that a plugin exports may change, not even by a field, a case or a parameter more.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use anyhow::{Context as _, Result};
use wit_parser::{Resolve, WorldItem, WorldKey};

use crate::package::Package;

/// The world that a component with everything in it would have. Its name is in no package.
const WORLD: &str = "everything-there-is";

/// Whether any plugin that was built for `old` works where `new` is expected.
///
/// # Errors
/// The first thing found that does not fit: a name that is gone, or a type that differs.
pub(crate) fn check(old: &Package, new: &Package) -> Result<()> {
    let world = everything(old)?;
    let mut resolve = Resolve::default();
    let before = old.add(&mut resolve, "0.0.1", &world)?;
    let after = new
        .add(&mut resolve, "0.0.2", &world)
        .context("something that can be imported or exported is gone")?;
    let before = resolve.packages[before].worlds[WORLD];
    let after = resolve.packages[after].worlds[WORLD];
    wit_component::semver_check(resolve, before, after)
}

/// A world of what every plugin has (the world `plugin`), and of all that some world of the package imports or exports.
///
/// Only what is in the older package: a phase that is new there is compared from the day on which it is frozen.
fn everything(package: &Package) -> Result<String> {
    let (resolve, id) = package.resolve()?;
    let package = &resolve.packages[id];
    let (mut imports, mut exports) = (BTreeSet::new(), BTreeSet::new());
    let named = |key: &WorldKey, item: &WorldItem| match (key, item) {
        (WorldKey::Interface(interface), WorldItem::Interface { .. }) => {
            resolve.interfaces[*interface].name.clone()
        }
        _ => None,
    };
    for world in package.worlds.values().map(|world| &resolve.worlds[*world]) {
        imports.extend(
            world
                .imports
                .iter()
                .filter_map(|(key, item)| named(key, item)),
        );
        exports.extend(
            world
                .exports
                .iter()
                .filter_map(|(key, item)| named(key, item)),
        );
    }
    let mut text = format!("world {WORLD} {{\n  include plugin;\n");
    for (word, names) in [("import", imports), ("export", exports)] {
        for name in names {
            writeln!(text, "  {word} {name};")?;
        }
    }
    text.push_str("}\n");
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTRACT: &str = r"
package a:plugin@0.2.0;
interface types {
  record fault { status: u16, code: string }
  variant stop { reply(string), fault(fault) }
  enum plan { skip, whole }
}
interface exchange {
  use types.{fault};
  id: func() -> string;
  set: func(name: string, value: list<u8>) -> result<_, fault>;
}
interface log { write: func(message: string); }
interface gate {
  use types.{stop};
  check: func() -> result<_, stop>;
}
interface response {
  use types.{stop, plan};
  head: func() -> result<plan, stop>;
}
world plugin {
  import exchange;
  import log;
  export describe: func() -> string;
}
world gate-export { export gate; }
world response-export { export response; }
";

    /// What becomes of the contract when `from` is `to`.
    fn change(from: &str, to: &str) -> Result<()> {
        assert!(CONTRACT.contains(from), "{from}");
        let new = CONTRACT.replace(from, to);
        check(&Package::of(CONTRACT), &Package::of(&new))
    }

    #[test]
    fn a_contract_is_compatible_with_itself_and_with_its_next_version() {
        for to in ["@0.2.0", "@0.2.1", "@0.3.0-draft.1"] {
            change("@0.2.0", to).expect(to);
        }
    }

    #[test]
    fn what_only_adds_to_imports_passes() {
        let id = "id: func() -> string;";
        change(id, "id: func() -> string;\n  route: func() -> string;").expect("a function");
        change("  import log;", "  import log;\n  import clock;")
            .expect_err("an interface that is not there");
        let clock = "interface clock { now: func() -> u64; }\nworld plugin {\n  import clock;";
        change("world plugin {", clock).expect("an interface");
        let later =
            "interface later { f: func(); }\nworld later-export { export later; }\nworld plugin {";
        change("world plugin {", later).expect("a later phase");
        change("interface log {", "/// Lines.\ninterface log {").expect("a comment");
    }

    #[test]
    fn what_takes_an_import_away_is_refused() {
        change("  id: func() -> string;\n", "").expect_err("a function");
        change("id: func() -> string;", "name: func() -> string;").expect_err("a name");
        change("id: func() -> string;", "id: func() -> option<string>;").expect_err("a result");
        change("write: func(message: string)", "write: func(text: string)")
            .expect_err("a parameter");
        change("  import log;\n", "").expect("the interface itself is still offered");
        let gone = "interface log { write: func(message: string); }";
        let old = Package::of(CONTRACT);
        let new = CONTRACT.replace(gone, "").replace("  import log;\n", "");
        check(&old, &Package::of(&new)).expect_err("an interface");
    }

    #[test]
    fn what_changes_a_type_is_refused() {
        change("status: u16, code", "status: u32, code").expect_err("a field");
        let more = "code: string, param: option<string> }";
        change("code: string }", more).expect_err("a field more");
        change("fault(fault) }", "fault(fault), wait }").expect_err("a case more");
        change("skip, whole }", "skip, whole, chunks }").expect_err("a case of an enum more");
    }

    #[test]
    fn what_changes_an_export_is_refused() {
        change("check: func()", "check: func(late: bool)").expect_err("a parameter");
        change("check: func()", "examine: func()").expect_err("a name");
        let more = "head: func() -> result<plan, stop>;\n  body: func();";
        change("head: func() -> result<plan, stop>;", more).expect_err("a function more");
        change("describe: func() -> string", "describe: func() -> list<u8>").expect_err("a result");
        change(
            "export describe: func() -> string;",
            "export describe: func() -> string;\n  export late: func();",
        )
        .expect_err("something that every plugin must have");
        let gone =
            "interface gate {\n  use types.{stop};\n  check: func() -> result<_, stop>;\n}\n";
        let old = Package::of(CONTRACT);
        let new = CONTRACT
            .replace(gone, "")
            .replace("world gate-export { export gate; }\n", "");
        check(&old, &Package::of(&new)).expect_err("a phase");
    }
}
